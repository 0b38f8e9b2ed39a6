use std::fs;
use std::path::PathBuf;

use super::*;

mod secrets;

fn flags(change: impl FnOnce(&mut Settings)) -> Source {
    let mut flags = Settings::default();
    change(&mut flags);
    Source { files: Vec::new(), flags }
}

fn load(source: Source) -> Result<Config, String> {
    Config::load(source, |warning| panic!("unexpected: {warning}"))
}

fn refused(change: impl FnOnce(&mut Settings)) -> String {
    load(flags(change)).unwrap_err()
}

fn decode(text: &str) -> Result<Settings, String> {
    file::decode(text.as_bytes())
}

#[test]
fn without_any_setting_the_defaults_are_serfs() {
    let config = load(Source::default()).unwrap();
    assert_eq!(config.node_name, gethostname::gethostname().to_str().unwrap());
    assert_eq!(config.bind, Endpoint { host: "0.0.0.0".into(), port: None });
    assert_eq!(config.rpc_addr, Address::Tcp("127.0.0.1:7373".into()));
    assert_eq!(config.retry_interval, Duration::from_secs(30));
    assert_eq!(config.retry_max_attempts, None);
    assert_eq!(config.profile, Profile::Lan);
    assert_eq!(config.log_level, LevelFilter::Info);
    assert_eq!(config.handler_timeout, None);
    assert_eq!(config.handler_concurrency, 1);
    assert_eq!(config.refused_grace, Duration::from_millis(500));
    assert_eq!(config.reconnect_interval, Duration::from_secs(30));
    assert_eq!(config.reconnect_timeout, Duration::from_secs(86_400));
    assert_eq!(config.tombstone_timeout, Duration::from_secs(86_400));
    assert_eq!(config.max_members, 16_384);
}

/// Each key, and a value of its own.
const ALL: &str = r#"{"Node_Name":"n","cluster":"c","BIND":"b","advertise":"a","advertise_observed":true,"interface":"i","rpc_addr":"r","rpc_auth":"s","rpc_auth_file":"u",
            "rpc_allow_unauthenticated":true,"http_addr":"a:1","statsd_addr":"d:2","statsite_addr":"e:3","start_join":["j"],
            "replay_on_join":true,"retry_join":["k"],"retry_interval":"2s","retry_max_attempts":3,
            "discover":"d","mdns":{"interface":"m","disable_ipv4":true,"Disable_IPv6":true},
            "tags":{"Role":"web"},"profile":"wan","event_handlers":["h"],"handler_timeout":"4s",
            "handler_concurrency":5,"log_level":"debug","log_format":"json","enable_syslog":true,"syslog_facility":"user","leave_on_terminate":true,
            "skip_leave_on_interrupt":true,"refused_grace":"0","reconnect_interval":"6ms","reconnect_timeout":"7us",
            "tombstone_timeout":"8ns","max_members":9,"tags_file":"t",
            "encrypt_key":"e","keyring_file":"f","snapshot_path":"s","rejoin_after_leave":true,"event_authority":{"k":["p","q*"]},
            "role":"r","protocol":4,"user_event_size_limit":600,"query_size_limit":601,
            "query_response_size_limit":602,"broadcast_timeout":"9ns","disable_coordinates":true,
            "disable_name_resolution":true,"validate_node_names":true,"MsgpackUseNewTimeFormat":true,"enable_compression":true}"#;

#[test]
fn every_key_of_a_file_is_read_whatever_its_case() {
    let settings = decode(ALL);
    let expected = Settings {
        node_name: "n".into(),
        cluster: "c".into(),
        bind: "b".into(),
        advertise: "a".into(),
        advertise_observed: true,
        interface: "i".into(),
        rpc_addr: "r".into(),
        rpc_auth: Secret("s".into()),
        rpc_auth_file: "u".into(),
        rpc_allow_unauthenticated: true,
        http_addr: "a:1".into(),
        statsd_addr: "d:2".into(),
        statsite_addr: "e:3".into(),
        start_join: vec!["j".into()],
        replay_on_join: true,
        retry_join: vec!["k".into()],
        retry_interval: 2_000_000_000,
        retry_max_attempts: 3,
        discover: "d".into(),
        mdns: Mdns { interface: "m".into(), disable_ipv4: true, disable_ipv6: true },
        tags: BTreeMap::from([("Role".into(), "web".into())]),
        tags_file: "t".into(),
        encrypt_key: Secret("e".into()),
        event_authority: BTreeMap::from([("k".into(), vec!["p".into(), "q*".into()])]),
        keyring_file: "f".into(),
        snapshot_path: "s".into(),
        rejoin_after_leave: true,
        profile: "wan".into(),
        event_handlers: vec!["h".into()],
        handler_timeout: 4_000_000_000,
        handler_concurrency: 5,
        log_level: "debug".into(),
        log_format: "json".into(),
        enable_syslog: true,
        syslog_facility: "user".into(),
        leave_on_terminate: true,
        skip_leave_on_interrupt: true,
        refused_grace: Some(0),
        reconnect_interval: 6_000_000,
        reconnect_timeout: 7_000,
        tombstone_timeout: 8,
        max_members: 9,
        role: "r".into(),
        protocol: 4,
        user_event_size_limit: 600,
        query_size_limit: 601,
        query_response_size_limit: 602,
        broadcast_timeout: 9,
        disable_coordinates: true,
        disable_name_resolution: true,
        validate_node_names: true,
    };
    assert_eq!(settings, Ok(expected));
}

#[test]
fn a_key_is_one_and_not_beside_a_keyring() {
    let text = keys::encode(&Key::new([7; 32]));
    let with = |text: &str, file: &str| {
        load(flags(|flags| (flags.encrypt_key, flags.keyring_file) = (Secret(text.into()), file.into())))
    };
    let config = with(&text, "").unwrap();
    assert_eq!(config.encrypt_key, Some(Key::new([7; 32])));
    assert!(!format!("{config:?}").contains(&text[..8]), "nothing shows it");
    assert_eq!(
        with("*", "").unwrap_err(),
        "Invalid encryption key: illegal base64 data at input byte 0",
        "as Serf 0.9.4 says"
    );
    assert!(
        with("AAAA", "").unwrap_err().starts_with("Invalid encryption key: the key has 3 bytes, and must")
    );
    assert_eq!(
        with(&text, "/none").unwrap_err(),
        "Failed to setup the Serf agent: Encryption key not allowed while using a keyring"
    );
}

#[test]
fn the_reference_has_every_key_and_knows_what_it_takes() {
    use super::reference::{KEYS, Kind};
    let all: serde_json::Map<String, serde_json::Value> = serde_json::from_str(ALL).unwrap();
    let mut known: Vec<String> = all.keys().map(|key| key.to_lowercase()).collect();
    let keys = || KEYS.iter().flat_map(|(_, keys)| keys.iter());
    let mut told: Vec<String> = keys().map(|key| key.name.to_lowercase()).collect();
    known.sort();
    told.sort();
    assert_eq!(told, known);
    for key in keys() {
        let value = match key.kind {
            Kind::Text => r#""x""#,
            Kind::Span => r#""1s""#,
            Kind::Count => "1",
            Kind::Switch => "true",
            Kind::List => r#"["x"]"#,
            Kind::Map => r#"{"x": "y"}"#,
            Kind::Lists => r#"{"x": ["y"]}"#,
            Kind::Mdns => r#"{"interface": "x"}"#,
        };
        assert!(decode(&format!(r#"{{"{}": {value}}}"#, key.name)).is_ok(), "{}", key.name);
        assert!(key.flag.is_some() || !key.meaning.is_empty(), "{} is not explained", key.name);
    }
}

#[test]
fn a_role_is_a_tag_and_the_protocol_one_of_gos() {
    let mut warned = String::new();
    let source = flags(|flags| (flags.role, flags.protocol) = ("web".into(), 2));
    let config = Config::load(source, |warning| warned.push_str(warning)).unwrap();
    assert_eq!(config.tags, BTreeMap::from([("role".into(), "web".into())]));
    assert_eq!(warned, "Deprecation warning: 'Role' has been replaced with 'Tags'");
    for (version, wrong) in [(1, "low"), (9, "high")] {
        let error = refused(|flags| flags.protocol = version);
        assert!(
            error.ends_with(&format!("Protocol version '{version}' too {wrong}. Must be in range: [2, 5]"))
        );
    }
    assert_eq!(load(flags(|flags| flags.user_event_size_limit = 1_327)).unwrap().event_size_limit, 1_327);
    let error = refused(|flags| flags.user_event_size_limit = 1_328);
    assert!(error.ends_with("user event size limit exceeds limit of 1327 bytes"), "{error}");
}

#[test]
fn unknown_keys_and_facilities_are_named() {
    let error = |text: &str| decode(text).unwrap_err();
    assert!(error(r#"{"bogus":1}"#).ends_with("'' has invalid keys: bogus"));
    let refused = load(flags(|flags| flags.syslog_facility = "LOCAL8".into())).unwrap_err();
    assert!(
        refused.starts_with("Invalid syslog facility: LOCAL8. Valid facilities are: [KERN "),
        "{refused}"
    );
}

#[test]
fn what_is_shown_is_the_same_configuration_again_but_for_secrets() {
    let source = flags(|flags| {
        flags.node_name = "n".into();
        flags.tags.insert("a".into(), "1".into());
        (flags.retry_interval, flags.handler_timeout) = (90_000_000_000, 250_000_000);
        flags.event_handlers = vec!["user:deploy=a.sh".into()];
        flags.leave_on_terminate = true;
        flags.encrypt_key = Secret(keys::encode(&Key::new([7; 32])));
        flags.rpc_auth = Secret("token".into());
        (flags.http_addr, flags.statsd_addr) = ("127.0.0.1:1".into(), "127.0.0.1:2".into());
        flags.statsite_addr = "127.0.0.1:3".into();
        (flags.enable_syslog, flags.syslog_facility) = (true, "mail".into());
        flags.log_format = "json".into();
    });
    let config = load(source.clone()).unwrap();
    let shown = Config::shown(source, |_| ()).unwrap();
    assert!(!shown.contains("token") && !shown.contains(&keys::encode(&Key::new([7; 32]))), "{shown}");
    assert_eq!(shown.matches("(hidden)").count(), 2);
    let mut again = decode(&shown).unwrap();
    (again.encrypt_key, again.rpc_auth) = (Secret(keys::encode(&Key::new([7; 32]))), Secret("token".into()));
    let again = load(Source { files: Vec::new(), flags: again }).unwrap();
    assert_eq!(Config { source: Source::default(), ..again }, Config { source: Source::default(), ..config });
}

#[test]
fn of_a_folder_the_json_files_are_read_in_the_order_of_their_names() {
    let folder = std::env::temp_dir().join(format!("serf-config-folder-{}", std::process::id()));
    fs::create_dir_all(folder.join("sub.json")).unwrap();
    for (name, text) in [
        ("b.json", r#"{"node_name":"b","start_join":["two"]}"#),
        ("a.json", r#"{"node_name":"a","start_join":["one"],"log_level":"warn"}"#),
        ("readme.txt", "no settings"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    let source = Source { files: vec![folder.clone()], flags: Settings::default() };
    let config = load(source.clone()).unwrap();
    assert_eq!((&*config.node_name, config.log_level), ("b", LevelFilter::Warn));
    assert_eq!(config.start_join, ["one", "two"]);
    fs::write(folder.join("c.json"), "{").unwrap();
    let error = load(source).unwrap_err();
    assert!(error.contains("c.json': unexpected EOF"), "{error}");
    fs::remove_dir_all(&folder).unwrap();
    let gone = load(Source { files: vec![folder], flags: Settings::default() }).unwrap_err();
    assert!(gone.starts_with("Error reading '") && gone.ends_with(": no such file or directory"), "{gone}");
}

#[test]
fn tags_are_configured_or_in_a_file_not_both() {
    let both = refused(|flags| {
        flags.tags_file = "/none".into();
        flags.tags.insert("role".into(), "web".into());
    });
    assert_eq!(both, "Failed to setup the Serf agent: Tags config not allowed while using tag files");
}

#[test]
fn nulls_and_empty_durations_say_nothing() {
    assert_eq!(decode("null"), Ok(Settings::default()));
    assert_eq!(decode(r#"{"tags":null,"retry_interval":"","node_name":null}"#), Ok(Settings::default()));
}

/// Every text but the two of the JSON reader itself was compared with Serf 0.9.4.
#[test]
fn what_a_file_has_wrong_is_told_in_serfs_words() {
    for (text, message) in [
        (r#"{"bogus_key":1}"#, "1 error(s) decoding:\n\n* '' has invalid keys: bogus_key"),
        (r#"{"zzz":1,"bogus":2}"#, "1 error(s) decoding:\n\n* '' has invalid keys: bogus, zzz"),
        (r#"{"node_name":"a","NODE_NAME":"b"}"#, "1 error(s) decoding:\n\n* '' has invalid keys: NODE_NAME"),
        (
            r#"{"node_name":5}"#,
            "1 error(s) decoding:\n\n* 'node_name' expected type 'string', got unconvertible type 'float64', value: '5'",
        ),
        (
            r#"{"leave_on_terminate":"yes"}"#,
            "1 error(s) decoding:\n\n* 'leave_on_terminate' expected type 'bool', got unconvertible type 'string', value: 'yes'",
        ),
        (
            r#"{"tags":{"a":1}}"#,
            "1 error(s) decoding:\n\n* 'tags[a]' expected type 'string', got unconvertible type 'float64', value: '1'",
        ),
        (
            r#"{"bogus":1,"node_name":true,"tags":"x","rpc_addr":["a"],"start_join":[1,{"b":1}]}"#,
            "6 error(s) decoding:\n\n\
             * '' has invalid keys: bogus\n\
             * 'node_name' expected type 'string', got unconvertible type 'bool', value: 'true'\n\
             * 'rpc_addr' expected type 'string', got unconvertible type '[]interface {}', value: '[a]'\n\
             * 'start_join[0]' expected type 'string', got unconvertible type 'float64', value: '1'\n\
             * 'start_join[1]' expected type 'string', got unconvertible type 'map[string]interface {}', value: 'map[b:1]'\n\
             * 'tags' expected a map, got 'string'",
        ),
        (
            r#"{"start_join":"foo","retry_max_attempts":"3"}"#,
            "2 error(s) decoding:\n\n\
             * 'retry_max_attempts' expected type 'int', got unconvertible type 'string', value: '3'\n\
             * 'start_join': source data must be an array or slice, got string",
        ),
        (
            r#"{"retry_interval":5}"#,
            "1 error(s) decoding:\n\n* 'retry_interval' expected type 'string', got unconvertible type 'float64', value: '5'",
        ),
        (r#"{"retry_interval":"5q"}"#, "time: unknown unit \"q\" in duration \"5q\""),
        (r#"{"retry_interval":"30"}"#, "time: missing unit in duration \"30\""),
        (r#"{"Reconnect_Interval":"xx"}"#, "time: invalid duration \"xx\""),
        ("[1]", "'' expected a map, got 'slice'"),
        ("5", "'' expected a map, got 'float64'"),
        (r#""str""#, "'' expected a map, got 'string'"),
        ("", "EOF"),
        (r#"{"a":"#, "unexpected EOF"),
        ("{not json", "key must be a string at line 1 column 2"),
        ("{} trailing", "trailing characters at line 1 column 4"),
    ] {
        assert_eq!(decode(text), Err(message.to_owned()), "{text}");
    }
}

#[test]
fn files_merge_in_order_and_flags_last() {
    let folder = std::env::temp_dir().join(format!("serf-config-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let [first, second] = ["first.json", "second.json"].map(|name| folder.join(name));
    fs::write(
        &first,
        r#"{"node_name":"one","bind":"127.0.0.1:1","tags":{"a":"1","b":"1"},"start_join":["j1"],
            "event_handlers":["h1"],"replay_on_join":true,"retry_max_attempts":7,"retry_interval":"5s"}"#,
    )
    .unwrap();
    fs::write(
        &second,
        r#"{"node_name":"two","bind":"","tags":{"b":"2","c":"2"},"start_join":["j2"],"retry_join":["r2"],
            "event_handlers":["user:x=h2"],"replay_on_join":false,"retry_max_attempts":0}"#,
    )
    .unwrap();
    let flags = Settings {
        tags: BTreeMap::from([("c".into(), "3".into())]),
        start_join: vec!["j3".into()],
        event_handlers: vec!["member-join=h3".into()],
        retry_interval: 9_000_000_000,
        ..Settings::default()
    };
    let config = load(Source { files: vec![first.clone(), second.clone()], flags }).unwrap();
    assert_eq!(config.node_name, "two");
    assert_eq!(config.bind, Endpoint { host: "127.0.0.1".into(), port: Some(1) });
    let tags: Vec<_> = config.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(tags, ["a=1", "b=2", "c=3"]);
    assert_eq!(config.start_join, ["j1", "j2", "j3"]);
    assert_eq!(config.retry_join, ["r2"]);
    let scripts: Vec<_> = config.event_handlers.iter().map(|spec| spec.script.as_str()).collect();
    assert_eq!(scripts, ["h1", "h2", "h3"]);
    assert!(config.replay_on_join, "a switch can only be turned on");
    assert_eq!(config.retry_max_attempts, Some(7));
    assert_eq!(config.retry_interval, Duration::from_secs(9));

    fs::write(&second, r#"{"log_level":"warn","leave_on_terminate":true}"#).unwrap();
    let reloaded = config.reload(|_| ()).unwrap();
    assert_eq!((reloaded.node_name.as_str(), reloaded.log_level), ("one", LevelFilter::Warn));
    assert!(reloaded.signals.leave_on_terminate);
    fs::write(&second, r#"{"bb":1}"#).unwrap();
    let message = config.reload(|_| ()).unwrap_err();
    let shown = second.display();
    assert_eq!(
        message,
        format!("Error decoding '{shown}': 1 error(s) decoding:\n\n* '' has invalid keys: bb")
    );
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let source = Source { files: vec![PathBuf::from("nosuch.json")], flags: Settings::default() };
    let message = load(source).unwrap_err();
    assert_eq!(message, "Error reading 'nosuch.json': open nosuch.json: no such file or directory");
}

#[test]
fn settings_of_no_use_are_refused_in_serfs_words() {
    for (message, text) in [
        (
            refused(|flags| flags.log_level = "bogus".into()),
            "Invalid log level: BOGUS. Valid log levels are: [TRACE DEBUG INFO WARN ERR]",
        ),
        (refused(|flags| flags.profile = "LAN".into()), "Unknown profile: LAN"),
        (
            refused(|flags| flags.rpc_addr = "unix:rpc.sock".into()),
            "Invalid RPC address: address unix:rpc.sock: the path must begin with /, as unix:/run/serf/rpc.sock",
        ),
        (
            refused(|flags| flags.event_handlers = vec!["bogus=foo.sh".into()]),
            "Invalid event script: Event 'bogus' invoking 'foo.sh'",
        ),
        (
            refused(|flags| flags.bind = "a:b:c".into()),
            "Invalid bind address: address a:b:c: too many colons in address",
        ),
        (
            refused(|flags| flags.advertise = "1.2.3.4:x".into()),
            "Invalid advertise address: address tcp/x: unknown port",
        ),
        (
            refused(|flags| (flags.advertise, flags.advertise_observed) = ("1.2.3.4".into(), true)),
            "Invalid advertise address: 'advertise' says one, 'advertise_observed' takes the one that others see: give \
             one of them",
        ),
        (
            refused(|flags| flags.node_name = "a\0b".into()),
            "Invalid node name: \"a\\0b\" has a NUL byte, which no environment can hold",
        ),
        (refused(|flags| flags.handler_timeout = -1), "Invalid handler timeout: it must not be negative"),
        (
            refused(|flags| flags.refused_grace = Some(99_000_000)),
            "Invalid refused grace: it must be 0, or from 100ms to 3s",
        ),
        (
            refused(|flags| flags.refused_grace = Some(-1)),
            "Invalid refused grace: it must be 0, or from 100ms to 3s",
        ),
        (
            refused(|flags| flags.handler_concurrency = 257),
            "Invalid handler concurrency: 257. It must be between 1 and 256",
        ),
        (
            refused(|flags| flags.max_members = u64::MAX),
            "Invalid max members: 18446744073709551615. It must be between 1 and 65534",
        ),
    ] {
        assert_eq!(message, text);
    }
}

#[tokio::test]
async fn nobody_is_told_to_come_to_every_address() {
    for (text, ip) in [("0.0.0.0", "0.0.0.0"), (":7946", "0.0.0.0"), ("[::]:7946", "::")] {
        let config = load(flags(|flags| flags.advertise = text.into())).unwrap();
        let refused = config.setup(|_| ()).await.map(|_| ()).unwrap_err();
        let why = "stands for every address: give the one that others reach, as 10.0.0.1";
        assert_eq!(refused, format!("Invalid advertise address: {ip} {why}"), "{text}");
    }
}

#[test]
fn several_errors_are_told_one_by_one_in_serfs_order() {
    let mut wrong = Settings {
        event_handlers: vec!["bogus=x".into()],
        log_level: "bogus".into(),
        bind: "a:b:c".into(),
        profile: "bogus".into(),
        ..Settings::default()
    };
    let refusal = |flags: &Settings| load(Source { files: Vec::new(), flags: flags.clone() }).unwrap_err();
    assert!(refusal(&wrong).starts_with("Invalid event script"));
    wrong.event_handlers.clear();
    assert!(refusal(&wrong).starts_with("Invalid log level"));
    wrong.log_level.clear();
    assert!(refusal(&wrong).starts_with("Invalid bind address"));
    wrong.bind.clear();
    assert!(refusal(&wrong).starts_with("Unknown profile"));
}

#[test]
fn a_retry_interval_below_a_second_is_raised_with_a_warning() {
    for nanoseconds in [-5, 1, 999_999_999] {
        let mut warnings = Vec::new();
        let source = flags(|flags| flags.retry_interval = nanoseconds);
        let config = Config::load(source, |warning| warnings.push(warning.to_owned())).unwrap();
        assert_eq!(config.retry_interval, Duration::from_secs(1));
        assert_eq!(warnings, ["Warning: 'RetryInterval' is too low. Setting to 1s"]);
    }
}

#[test]
fn tags_split_at_the_first_equals_sign() {
    assert_eq!(tag("a=b=c"), Ok(("a".into(), "b=c".into())));
    assert_eq!(tag("a="), Ok(("a".into(), String::new())));
    assert_eq!(tag("bad"), Err("Invalid tag: 'bad'".into()));
    assert_eq!(tag("=x"), Err("Invalid tag: '=x'".into()));
}

#[test]
fn discovery_wants_a_name_that_mdns_can_carry_and_a_network_to_look_in() {
    let with =
        |name: &str, mdns: Mdns| load(flags(|flags| (flags.discover, flags.mdns) = (name.into(), mdns)));
    let found = with("web_1", Mdns { disable_ipv6: true, ..Mdns::default() }).unwrap().discovery.unwrap();
    assert_eq!((found.name.as_str(), found.disable_ipv4, found.disable_ipv6), ("web_1", false, true));
    for name in ["a.b", "a--b", "a-", &"x".repeat(26)] {
        let error = with(name, Mdns::default()).unwrap_err();
        assert!(error.starts_with(&format!("Invalid discover name: {name:?}")), "{error}");
    }
    let neither = Mdns { disable_ipv4: true, disable_ipv6: true, ..Mdns::default() };
    assert!(with("web", neither.clone()).unwrap_err().contains("neither IPv4 nor IPv6"));
    assert!(with("", neither).unwrap_err().contains("-discover=NAME"));
    let error = decode(r#"{"mdns":{"bogus":1,"interface":2}}"#).unwrap_err();
    assert!(
        error.contains("'mdns' has invalid keys: bogus")
            && error.contains("'mdns.interface' expected type 'string'")
    );
}

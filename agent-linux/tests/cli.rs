//! The `serf` binary as a user meets it: output, streams and exit codes, against a fake agent.

use std::ffi::OsStr;
use std::process::{Output, Stdio};

use agent_linux::agent::model::Event;
use agent_linux::rpc::server::Options;
use agent_linux::rpc::token::Token;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

#[path = "rpc/fake.rs"]
#[allow(dead_code)]
mod fake;
use fake::Fake;

fn serf(address: &str, args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serf"));
    command
        .args(args)
        .env("SERF_RPC_ADDR", address)
        .env_remove("SERF_RPC_AUTH")
        .env_remove("SERF_RPC_AUTH_FILE")
        .stdin(Stdio::null());
    command
}

/// Exit code, standard output, standard error.
fn seen(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn run(fake: &Fake, args: &[&str]) -> (Option<i32>, String, String) {
    seen(serf(&fake.address.to_string(), args).output().await.unwrap())
}

fn said(code: i32, out: &str) -> (Option<i32>, String, String) {
    (Some(code), out.to_owned(), String::new())
}

#[tokio::test]
async fn commands_print_what_serf_prints() {
    let fake = Fake::start(Options::default()).await;
    let reached = "Event 'deploy' reached 18 of 20 members after 1.9 ms\n";
    let missing = format!("{reached}No receipt from 'web2'\nNo receipt from 'a\\nb'\n");
    let table = [
        (
            &["members"][..],
            0,
            "db    [fe80::1]:7946  alive   \nweb1  10.0.0.1:7946   alive   role=web\nweb2  10.0.0.2:7946   failed  dc=east,role=web<2>\n",
        ),
        (
            &["members", "-detailed", "-name", "db"],
            0,
            "db  [fe80::1]:7946  alive    Protocol Version: 5  Available Protocol Range: [2, 5]\n",
        ),
        (
            &["members", "--status=failed", "--tag", "role=web.*"],
            0,
            "web2  10.0.0.2:7946  failed  dc=east,role=web<2>\n",
        ),
        (
            &["members", "-role", "web"],
            0,
            "Deprecation warning: 'Role' has been replaced with 'Tags'\nweb1  10.0.0.1:7946  alive  role=web\n",
        ),
        (&["members", "-name=nobody"], 0, "\n"),
        (&["members", "-name=nobody", "-format=json"], 0, "{\n  \"members\": null\n}\n"),
        (
            &["members", "-name=web2", "-format", "json"],
            0,
            "{\n  \"members\": [\n    {\n      \"name\": \"web2\",\n      \"addr\": \"10.0.0.2:7946\",\n      \"port\": 7946,\n      \
             \"tags\": {\n        \"dc\": \"east\",\n        \"role\": \"web\\u003c2\\u003e\"\n      },\n      \
             \"status\": \"failed\",\n      \"protocol\": {\n        \"max\": 5,\n        \"min\": 2,\n        \
             \"version\": 5\n      }\n    }\n  ]\n}\n",
        ),
        (&["members", "-format=xml"], 1, "Encoding error: Invalid output format \"xml\"\n"),
        (&["members", "-tag=role"], 1, "Error: Invalid tag: 'role'\n"),
        (&["event", "deploy", "v1"], 0, "Event 'deploy' dispatched! Coalescing enabled: true\n"),
        (&["event", "-coalesce=0", ""], 0, "Event '' dispatched! Coalescing enabled: false\n"),
        (&["event", "--", "-x", "-y"], 0, "Event '-x' dispatched! Coalescing enabled: true\n"),
        (&["event", "full"], 1, "Error sending event: event queue full\n"),
        (&["event", "-wait=90%", "-wait-timeout=1m", "deploy"], 0, reached),
        (&["event", "-wait", "-coalesce=false", "deploy"], 2, &missing),
        (&["join", "-replay", "a", "b"], 0, "Successfully joined cluster by contacting 2 nodes.\n"),
        (&["join", "nobody"], 1, "Error joining the cluster: 1 error occurred:\n\t* nobody there\n\n\n"),
        (&["force-leave", "-prune", "web2"], 0, ""),
        (&["info"], 0, "agent:\n\tname = fake\ntags:\n"),
        (
            &["info", "-format=json"],
            0,
            "{\n  \"agent\": {\n    \"name\": \"fake\"\n  },\n  \"tags\": {}\n}\n",
        ),
        (&["monitor", "-log-level=bogus"], 1, "Error starting monitor: Unknown log level: BOGUS\n"),
        (&["rtt", "web1"], 0, "Estimated web1 <-> fake rtt: 500.000 ms\n"),
        (&["rtt", "web1", "web1"], 0, "Estimated web1 <-> web1 rtt: 500.000 ms\n"),
        (&["rtt", "web1", "a\tb"], 1, "Could not find a coordinate for node \"a\\tb\"\n"),
        (&["leave"], 0, "Graceful leave complete\n"),
    ];
    for (args, code, out) in table {
        assert_eq!(run(&fake, args).await, said(code, out), "{args:?}");
    }
    assert_eq!(
        fake.done(),
        [
            "event deploy v1 true",
            "event   false",
            "event -x -y true",
            "event full  true",
            "deploy Wait { share: 90, timeout: 60s }",
            "deploy Wait { share: 100, timeout: 5s }",
            "join [\"a\", \"b\"] true",
            "join [\"nobody\"] false",
            "force-leave web2 true",
            "leave"
        ]
    );
}

#[tokio::test]
async fn why_a_member_has_failed_is_told_as_text_and_as_json() {
    let fake = Fake::start(Options::default()).await;
    let address = fake.address.to_string();
    let why = async |args: &[&str]| seen(serf(&address, args).env("TZ", "UTC").output().await.unwrap());
    let text = "web2 is failed\n  \
                1970-01-01T00:00:01.000+00:00  was probed once more (2 times)\n  \
                1970-01-01T00:00:03.000+00:00  is suspected by web1\n  \
                1970-01-01T00:00:04.000+00:00  is accused by a member that is not known any more, too: 2 by now have \
                confirmed the suspicion\n  \
                1970-01-01T00:00:05.000+00:00  is failed: it has not contradicted in time; 2 had confirmed the suspicion\n";
    assert_eq!(why(&["why", "web2"]).await, said(0, text));
    assert_eq!(why(&["why"]).await, said(0, text), "the failed ones");
    assert_eq!(why(&["why", "a\tb"]).await, said(1, "There is no member 'a\\tb'\n"));
    assert_eq!(why(&["why", "-format=xml"]).await, said(1, "Invalid format: xml\n"));
    let (code, json, _) = why(&["why", "-format=json", "web2"]).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let change = &json["members"][0]["changes"][2];
    assert_eq!((code, &json["members"][0]["status"]), (Some(0), &"failed".into()));
    assert_eq!((&change["what"], &change["by"]), (&"suspected".into(), &"web1".into()));
}

#[tokio::test]
async fn a_share_or_time_that_is_none_is_named() {
    let fake = Fake::start(Options::default()).await;
    for wait in ["95", "0%", "101%", "%", "+5%", "many", "true", ""] {
        let (code, _, err) = run(&fake, &["event", &format!("-wait={wait}"), "deploy"]).await;
        let why = format!("invalid value \"{wait}\" for flag -wait: a share is 1% to 100%\n");
        assert_eq!((code, err), (Some(1), why));
    }
    let negative = run(&fake, &["event", "-wait", "-wait-timeout=-1s", "deploy"]).await;
    assert_eq!(negative, said(1, "The timeout must not be negative\n"));
    assert!(fake.done().is_empty());
}

#[tokio::test]
async fn a_bad_expression_is_named() {
    let fake = Fake::start(Options::default()).await;
    let (code, out, _) = run(&fake, &["members", "-name=("]).await;
    assert_eq!(code, Some(1));
    assert!(out.starts_with("Error retrieving members: Invalid regular expression '(': "), "{out}");
    let too_long = "Error retrieving members: Regular expression too long, at most 4096 bytes are allowed\n";
    let long = format!("-name={}", ".".repeat(4097));
    assert_eq!(run(&fake, &["members", &long]).await, said(1, too_long));
}

#[tokio::test]
async fn the_token_comes_from_the_flag_or_the_environment() {
    let fake = Fake::start(Options { auth: Token::new("token"), ..Options::default() }).await;
    let required = said(1, "Error sending event: Authentication required\n");
    assert_eq!(run(&fake, &["event", "a"]).await, required);
    let wrong = said(1, "Error connecting to Serf agent: Invalid authentication token\n");
    assert_eq!(run(&fake, &["event", "-rpc-auth", "x", "a"]).await, wrong);
    assert_eq!(run(&fake, &["event", "-rpc-auth=token", "a"]).await.0, Some(0));
    let address = fake.address.to_string();
    let output = serf(&address, &["event", "b"]).env("SERF_RPC_AUTH", "token").output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    let there = format!("-rpc-addr={address}");
    let output = serf("127.0.0.1:1", &["event", &there, "-rpc-auth=token", "c"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(fake.done(), ["event a  true", "event b  true", "event c  true"]);
}

#[tokio::test]
async fn the_token_may_be_in_a_file_and_flags_come_before_the_environment() {
    let fake = Fake::start(Options { auth: Token::new("token"), ..Options::default() }).await;
    let file = std::env::temp_dir().join(format!("serf-cli-token-{}", std::process::id()));
    std::fs::write(&file, "token\n").unwrap();
    let path = file.to_str().unwrap();
    let flag = format!("-rpc-auth-file={path}");
    assert_eq!(run(&fake, &["event", &flag, "a"]).await.0, Some(0));
    let address = fake.address.to_string();
    let with = async |args: &[&str], environment: &[(&str, &str)]| {
        seen(serf(&address, args).envs(environment.iter().copied()).output().await.unwrap())
    };
    let in_file = ("SERF_RPC_AUTH_FILE", path);
    assert_eq!(with(&["event", "b"], &[in_file]).await.0, Some(0));
    assert_eq!(with(&["event", &flag, "c"], &[("SERF_RPC_AUTH", "wrong")]).await.0, Some(0));
    assert_eq!(with(&["event", "-rpc-auth=token", "d"], &[("SERF_RPC_AUTH_FILE", "/none")]).await.0, Some(0));
    let both = |names: &str| {
        said(1, &format!("Error connecting to Serf agent: {names} both give a token: take one out\n"))
    };
    assert_eq!(
        with(&["event", &flag, "-rpc-auth=token", "e"], &[]).await,
        both("-rpc-auth and -rpc-auth-file")
    );
    assert_eq!(
        with(&["event", "f"], &[in_file, ("SERF_RPC_AUTH", "token")]).await,
        both("SERF_RPC_AUTH and SERF_RPC_AUTH_FILE")
    );
    let gone = with(&["event", "-rpc-auth-file=/none", "g"], &[]).await;
    let told = "Error connecting to Serf agent: Failed to read RPC token file: open /none: no such file or directory\n";
    assert_eq!(gone, said(1, told));
    assert_eq!(fake.done(), ["event a  true", "event b  true", "event c  true", "event d  true"]);
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test]
async fn an_address_that_is_no_socket_is_told() {
    for (address, why) in [
        ("unix:/none/rpc.sock", "dial unix /none/rpc.sock: connect: no such file or directory"),
        (
            "unix:rpc.sock",
            "dial unix: address unix:rpc.sock: the path must begin with /, as unix:/run/serf/rpc.sock",
        ),
    ] {
        let said_so = said(1, &format!("Error connecting to Serf agent: {why}\n"));
        assert_eq!(seen(serf(address, &["members"]).output().await.unwrap()), said_so);
    }
}

#[tokio::test]
async fn nobody_there_is_an_error_on_standard_output() {
    let unused =
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    for args in [&["members"][..], &["info"], &["event", "x"], &["join", "x"], &["leave"], &["monitor"]] {
        let error =
            format!("Error connecting to Serf agent: dial tcp {unused}: connect: connection refused\n");
        assert_eq!(seen(serf(&unused, args).output().await.unwrap()), said(1, &error));
    }
}

/// Whoever answers at the agent's address is not to steer the terminal.
#[tokio::test]
async fn a_foreign_error_is_written_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let foreign = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 256]).await;
        stream.write_all(b"\x82\xa3Seq\x00\xa5Error\xa6\x1b[31mx").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let mut command = serf(&address, &["info"]);
    let (output, ()) = tokio::join!(command.output(), foreign);
    assert_eq!(seen(output.unwrap()), said(1, "Error connecting to Serf agent: \\u{1b}[31mx\n"));
}

#[tokio::test]
async fn help_and_mistakes_go_where_serf_sends_them() {
    let run = async |args: &[&str]| seen(serf("127.0.0.1:1", args).output().await.unwrap());
    for (args, code) in [
        (&[][..], 127),
        (&["bogus"], 127),
        (&["bogus", "-x"], 127),
        (&[""], 127),
        (&["help"], 127),
        (&["-h"], 0),
        (&["--help"], 0),
        (&["-help"], 0),
    ] {
        let (exit, out, err) = run(args).await;
        assert_eq!((exit, out.as_str()), (Some(code), ""), "{args:?}");
        assert!(err.starts_with("Usage: serf ") && err.contains("    force-leave     "), "{err}");
    }
    for command in ["event", "members", "join", "leave", "force-leave", "monitor", "info", "version"] {
        for args in [&[command, "-h"][..], &[command, "x", "--help"], &["-h", command]] {
            let (exit, out, err) = run(args).await;
            assert_eq!((exit, out.as_str()), (Some(0), ""), "{args:?}");
            assert!(err.starts_with(&format!("Usage: serf {command}")), "{err}");
        }
        if command != "version" {
            let (exit, out, err) = run(&[command, "-bogus"]).await;
            assert_eq!((exit, err.as_str()), (Some(1), "flag provided but not defined: -bogus\n"));
            assert!(out.starts_with(&format!("Usage: serf {command}")), "{out}");
        }
    }
    for (args, first) in [
        (&["event"][..], "An event name must be specified.\n\nUsage: serf event"),
        (
            &["event", "a", "b", "c"],
            "Too many command line arguments. Only a name and payload must be specified.\n\nUsage: serf event",
        ),
        (&["join"], "At least one address to join must be specified.\n\nUsage: serf join"),
        (&["force-leave"], "A node name must be specified to force leave.\n\nUsage: serf force-leave"),
        (
            &["force-leave", "a", "b"],
            "A node name must be specified to force leave.\n\nUsage: serf force-leave",
        ),
    ] {
        let (exit, out, err) = run(args).await;
        assert_eq!((exit, err.as_str()), (Some(1), ""), "{args:?}");
        assert!(out.starts_with(first), "{out}");
    }
    let version = format!("{}\nAgent Protocol: 5 (Understands back to: 2)\n", env!("CARGO_PKG_VERSION"));
    for args in [&["version"][..], &["-v"], &["--version"], &["event", "x", "-v"], &["version", "-x", "y"]] {
        assert_eq!(run(args).await, said(0, &version));
    }
    let (exit, out, err) = run(&["-x", "members"]).await;
    assert_eq!((exit, out.as_str()), (Some(1), ""));
    assert!(err.contains("Usage: serf members"), "{err}");
}

#[tokio::test]
async fn names_and_payloads_are_any_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let fake = Fake::start(Options::default()).await;
    let args = [&b"event"[..], b"\xffname", b"\xfe\x01"].map(OsStr::from_bytes);
    let output = serf(&fake.address.to_string(), &args).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"Event '\xffname' dispatched! Coalescing enabled: true\n");
    assert_eq!(fake.done(), ["event \\xffname \\xfe\\x01 true"]);
}

#[tokio::test]
async fn output_that_nobody_reads_is_no_panic() {
    let fake = Fake::start(Options::default()).await;
    for args in [&["members"][..], &["info"], &["version"], &["event", "-bogus"], &["-h"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = serf(&fake.address.to_string(), args);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let status = command.status().await.unwrap();
        assert!(matches!(status.code(), Some(0 | 1)), "{args:?}: {status}");
    }
}

#[tokio::test]
async fn monitor_follows_log_and_events_until_the_agent_ends() {
    let fake = Fake::start(Options::default()).await;
    fake.logs.push(log::Level::Info, "2026/01/02 03:04:05 [INFO] agent: old");
    fake.logs.push(log::Level::Debug, "not this one");
    let mut child = serf(&fake.address.to_string(), &["monitor"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).await.unwrap();
    assert_eq!(line, "2026/01/02 03:04:05 [INFO] agent: old\n");
    // The event stream starts behind the log's; an event of each round is seen once it runs.
    let event = Event::User { ltime: 1, name: b"x".to_vec(), payload: b"y".to_vec(), coalesce: true };
    let mut lines = out.lines();
    let first = loop {
        fake.hub.publish(event.clone().into());
        if let Ok(first) = tokio::time::timeout(std::time::Duration::from_millis(50), lines.next_line()).await
        {
            break first.unwrap().unwrap();
        }
    };
    assert_eq!(first, "Event Info:");
    for expected in
        ["\tCoalesce: true", "\tEvent: \"user\"", "\tLTime: 1", "\tName: \"x\"", "\tPayload: []byte{0x79}"]
    {
        assert_eq!(lines.next_line().await.unwrap().unwrap(), expected);
    }
    assert_eq!(run(&fake, &["leave"]).await.0, Some(0));
    let mut rest = String::new();
    lines.into_inner().read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with(
        "\n\nRemote side ended the monitor! This usually means that the\nremote side has exited or crashed.\n"
    ) || rest == "\nRemote side ended the monitor! This usually means that the\nremote side has exited or crashed.\n", "{rest}");
    assert_eq!(child.wait().await.unwrap().code(), Some(1));
}

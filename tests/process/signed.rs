//! Events and queries that only operators may fire and ask, and keys that only they change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::{Agent, Scratch, Setup, fleet_of, ours, run, wait_until};

/// Makes a key pair: the public key.
fn pair(path: &Path) -> String {
    let made = run(ours(), ["keygen", &format!("-sign={}", path.display())]);
    assert_eq!((made.code, made.stdout.trim_end().len()), (0, 44), "{}", made.stdout);
    assert_eq!(fs::metadata(path).expect("it is written").permissions().mode() & 0o777, 0o600);
    made.stdout.trim_end().to_owned()
}

/// Agents that know this operator.
fn fleet(scratch: &Scratch, public: &str, extra: &[&str]) -> Vec<Agent> {
    let file = scratch.file("authority.json");
    let patterns = r#"["reboot","deploy/*","query:disk-*","keys:*"]"#;
    let settings = format!(r#"{{"event_authority":{{"{public}":{patterns}}}}}"#);
    fs::write(&file, settings).expect("a scratch folder");
    fleet_of(3, |name| {
        let setup = Setup::new(name).arg(format!("-config-file={}", file.display()));
        extra.iter().fold(setup, |setup, arg| setup.arg(arg))
    })
}

#[test]
fn operators_alone_fire_what_is_theirs_and_a_thief_does_not() {
    let scratch = Scratch::new();
    let (key, other) = (scratch.file("operator.key"), scratch.file("other.key"));
    let agents = fleet(&scratch, &pair(&key), &[]);
    pair(&other);
    let fire = |key: &Path, args: &[&str]| {
        let sign = format!("-sign={}", key.display());
        agents[1].cli([&["event", "-coalesce=false", &sign], args].concat())
    };
    let unsigned = agents[1].cli(["event", "reboot", "unsigned"]);
    assert_eq!(unsigned.code, 1);
    assert!(unsigned.stdout.contains("only an operator may do this: sign it"), "{}", unsigned.stdout);
    for (key, args) in [(&other, ["reboot", "other"]), (&key, ["log", "not its own"])] {
        let refused = fire(key, &args);
        assert_eq!(refused.code, 1);
        assert!(
            refused.stdout.contains("no operator who may do this has signed just this"),
            "{}",
            refused.stdout
        );
    }
    let fired = fire(&key, &["reboot", "1"]);
    assert_eq!((fired.code, &*fired.stdout), (0, "Event 'reboot' dispatched! Coalescing enabled: false\n"));
    assert_eq!(fire(&key, &["-node=n3", "deploy/web", "2"]).code, 0);
    let waited = fire(&key, &["-wait", "deploy/db", "3"]);
    assert!(waited.code == 0 && waited.stdout.contains("reached 3 of 3 members"), "{}", waited.stdout);
    let heard = |agent: &Agent, name: &str| agent.recorder().payloads(name);
    wait_until("the event for one", || heard(&agents[2], "deploy/web") == ["2"]);

    // A member with the agents' own program and the fleet's key, but not their configuration.
    let thief = Setup::new("thief").join(&agents[0]).start();
    agents[0].wait_sees("thief", "alive");
    assert_eq!(
        thief.cli(["event", "-coalesce=false", "reboot", "stolen"]).code,
        0,
        "its own program does as it is told"
    );
    assert_eq!(thief.cli(["event", "-coalesce=false", "log", "allowed"]).code, 0);
    wait_until("what anybody may fire", || agents.iter().all(|agent| heard(agent, "log") == ["allowed"]));
    wait_until("the refusal", || {
        agents.iter().all(|agent| agent.info("counters", "events_unauthorized") > 0)
    });
    assert!(agents.iter().all(|agent| agent.printed().contains("is refused: no operator has signed it")));
    for agent in &agents {
        assert_eq!(
            (heard(agent, "reboot"), heard(agent, "deploy/db")),
            (vec!["1".to_owned()], vec!["3".to_owned()])
        );
    }
    assert!(heard(&agents[0], "deploy/web").is_empty());
}

#[test]
fn an_operator_is_revoked_by_a_reload() {
    let scratch = Scratch::new();
    let (gone, stays) = (scratch.file("gone.key"), scratch.file("stays.key"));
    let (first, second) = (pair(&gone), pair(&stays));
    let agents = fleet(&scratch, &first, &[]);
    let fire = |key: &Path| {
        let sign = format!("-sign={}", key.display());
        agents[0].cli(["event", "-coalesce=false", &sign, "reboot", "1"])
    };
    assert_eq!((fire(&gone).code, fire(&stays).code), (0, 1));
    let file = scratch.file("authority.json");
    fs::write(&file, format!(r#"{{"event_authority":{{"{second}":["reboot"]}}}}"#))
        .expect("a scratch folder");
    agents.iter().for_each(|agent| agent.signal("HUP"));
    wait_until("the new operator", || fire(&stays).code == 0);
    assert_eq!(fire(&gone).code, 1);
    assert_eq!(agents[0].cli(["event", "-coalesce=false", "deploy/web"]).code, 0, "nobody's any more");
    // A reload that cannot be read changes nothing.
    fs::write(&file, r#"{"event_authority":{"x":[]}}"#).expect("a scratch folder");
    agents.iter().for_each(|agent| agent.signal("HUP"));
    wait_until("the refusal", || {
        agents[0].printed().contains("Failed to reload configs: Invalid event_authority")
    });
    assert_eq!((fire(&gone).code, fire(&stays).code), (1, 0));
}

#[test]
fn operators_alone_ask_what_is_theirs_and_change_keys() {
    let scratch = Scratch::new();
    let key = scratch.file("operator.key");
    let generated = || run(ours(), ["keygen"]).stdout.trim_end().to_owned();
    let (old, new) = (generated(), generated());
    let encrypt = format!("-encrypt={old}");
    let answers = ["-event-handler=query=echo $SERF_SELF_NAME", &encrypt];
    let agents = fleet(&scratch, &pair(&key), &answers);
    let sign = format!("-sign={}", key.display());
    let unsigned = "only an operator may do this: sign it";
    let asked = agents[0].cli(["query", "disk-free"]);
    assert!(asked.code == 1 && asked.stdout.contains(unsigned), "{}", asked.stdout);
    let asked = agents[0].cli(["query", &sign, "disk-free"]);
    assert!(asked.code == 0 && asked.stdout.contains("Total Responses: 3"), "{}", asked.stdout);
    let asked = agents[0].cli(["query", &sign, "-no-ack", "-node=n2", "disk-free", "x"]);
    assert!(asked.stdout.contains("Response from 'n2': n2\nTotal Responses: 1"), "{}", asked.stdout);
    assert_eq!(agents[0].cli(["query", "load"]).code, 0, "what no pattern covers is anybody's");
    let wrong = agents[0].cli(["query", &sign, "load"]);
    assert!(wrong.code == 1 && wrong.stdout.contains("no operator who may do this"), "{}", wrong.stdout);

    // A member with the fleet's key, but not the agents' configuration, gives an order; then an operator does.
    let thief = Setup::new("thief").arg(&*encrypt).join(&agents[0]).start();
    agents.iter().for_each(|agent| agent.wait_sees("thief", "alive"));
    let evil = generated();
    let stolen = thief.cli(["keys", "-install", &evil]);
    assert_eq!(stolen.code, 1);
    assert!(stolen.stdout.contains("Error installing key: 1/4 nodes reported success"), "{}", stolen.stdout);
    drop(thief.crash());
    agents.iter().for_each(|agent| agent.wait_sees("thief", "failed"));
    let refused = agents[2].cli(["keys", "-install", &new]);
    assert_eq!((refused.code, refused.stdout.contains(unsigned)), (1, true), "{}", refused.stdout);
    // One is away meanwhile, follows nobody when it is back, and gets the orders once more.
    let mut agents = agents;
    let away = agents.remove(1).crash();
    agents[0].wait_sees("n2", "failed");
    agents[1].wait_sees("n2", "failed");
    let order = |args: &[&str]| agents[1].cli([&["keys"], args].concat());
    let rotate = || {
        for what in ["-install", "-use"] {
            let given = order(&[&sign, what, &new]);
            assert!(given.code == 0, "{what}: {}", given.stdout);
        }
    };
    rotate();
    let back = away.start();
    agents[1].wait_sees("n2", "alive");
    let behind = order(&[&sign, "-remove", &old]);
    assert!(behind.code == 1 && behind.stdout.contains("n2 encrypts with it still"), "{}", behind.stdout);
    rotate();
    back.wait_sees("n3", "alive");
    let left = order(&[&sign, "-remove", &old]);
    assert!(left.stdout.contains("failed, and perhaps without another key: thief;"), "{}", left.stdout);
    assert_eq!(order(&[&sign, "-force", "-remove", &old]).code, 0);
    let listed = order(&["-list"]);
    let last = format!("\n\n{new}  [3/3]\n  failed, and not asked: thief\n");
    assert!(listed.stdout.ends_with(&last), "{}", listed.stdout);
    let listed = order(&[&sign, "-list"]);
    assert!(listed.code == 0, "{}", listed.stdout);
}

#[test]
fn keys_and_settings_that_are_wrong_are_told_with_what_to_do() {
    let scratch = Scratch::new();
    let key = scratch.file("operator.key");
    let public = pair(&key);
    let sign = format!("-sign={}", key.display());
    let again = run(ours(), ["keygen", &sign]);
    assert!(again.code == 1 && again.stdout.contains("name another file"), "{}", again.stdout);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("ours");
    let open = run(ours(), ["event", &sign, "reboot"]);
    assert!(open.code == 1 && open.stdout.contains("chmod 600"), "{}", open.stdout);
    let none = run(ours(), ["event", "-sign=/none", "reboot"]);
    assert!(none.code == 1 && none.stdout.contains("/none: no such file or directory"), "{}", none.stdout);
    for (settings, why) in [
        (r#"{"AAAA":["x"]}"#.to_owned(), "is no public key, as serf keygen -sign=FILE prints it"),
        (format!(r#"{{"{public}":["force-leave"]}}"#), "members have no keys of their own"),
        (format!(r#"{{"{public}":["query:_serf_*"]}}"#), "what agents say among themselves"),
        (format!(r#"{{"{public}":["keys:list"]}}"#), "there are \"keys:install\", \"keys:use\""),
        (format!(r#"{{"{public}":"x"}}"#), "source data must be an array or slice, got string"),
    ] {
        let file = scratch.file("wrong.json");
        fs::write(&file, format!(r#"{{"event_authority":{settings}}}"#)).expect("a scratch folder");
        let refused = run(ours(), ["agent", &format!("-config-file={}", file.display())]);
        assert!(refused.code == 1 && refused.stdout.contains(why), "{}", refused.stdout);
    }
}

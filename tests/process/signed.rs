//! Events that only operators may fire.

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
fn fleet(scratch: &Scratch, public: &str) -> Vec<Agent> {
    let file = scratch.file("authority.json");
    let settings = format!(r#"{{"event_authority":{{"{public}":["reboot","deploy/*"]}}}}"#);
    fs::write(&file, settings).expect("a scratch folder");
    fleet_of(3, |name| Setup::new(name).arg(format!("-config-file={}", file.display())))
}

#[test]
fn operators_alone_fire_what_is_theirs_and_a_thief_does_not() {
    let scratch = Scratch::new();
    let (key, other) = (scratch.file("operator.key"), scratch.file("other.key"));
    let agents = fleet(&scratch, &pair(&key));
    pair(&other);
    let fire = |key: &Path, args: &[&str]| {
        let sign = format!("-sign={}", key.display());
        agents[1].cli([&["event", "-coalesce=false", &sign], args].concat())
    };
    let unsigned = agents[1].cli(["event", "reboot", "unsigned"]);
    assert_eq!(unsigned.code, 1);
    assert!(
        unsigned.stdout.contains("only an operator may fire events of this name: sign it"),
        "{}",
        unsigned.stdout
    );
    for (key, args) in [(&other, ["reboot", "other"]), (&key, ["log", "not its own"])] {
        let refused = fire(key, &args);
        assert_eq!(refused.code, 1);
        assert!(
            refused.stdout.contains("no operator who may fire events of this name"),
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
        (r#"{"AAAA":["x"]}"#.to_owned(), "is no public key, as serf keygen -sign prints it"),
        (format!(r#"{{"{public}":["query:x"]}}"#), "only events can be signed"),
        (format!(r#"{{"{public}":"x"}}"#), "source data must be an array or slice, got string"),
    ] {
        let file = scratch.file("wrong.json");
        fs::write(&file, format!(r#"{{"event_authority":{settings}}}"#)).expect("a scratch folder");
        let refused = run(ours(), ["agent", &format!("-config-file={}", file.display())]);
        assert!(refused.code == 1 && refused.stdout.contains(why), "{}", refused.stdout);
    }
}

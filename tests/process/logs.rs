//! Where the log goes, and what it looks like.

use serde_json::Value;

use crate::harness::{Process, Scratch, Setup, wait_until};

/// All of what an agent has printed, an object for each line.
fn objects(printed: &str) -> Vec<Value> {
    let whole = printed.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn all_that_an_agent_says_in_json_is_json() {
    let mut agent = Setup::new("n \"1\"").arg("-log-format=json").start();
    let said = |printed: String, text: &str| {
        objects(&printed)
            .into_iter()
            .find(|line| line["message"].as_str().is_some_and(|said| said.contains(text)))
    };
    wait_until("its own join", || said(agent.printed(), "EventMemberJoin: n").is_some());
    let join = said(agent.printed(), "EventMemberJoin: n").expect("it was there");
    assert_eq!(
        (&join["level"], &join["target"], &join["node"]),
        (&"INFO".into(), &"serf".into(), &"n \"1\"".into())
    );
    assert!(join["time"].as_str().is_some_and(|time| time.len() > 25 && time.contains('T')), "{join}");
    let end = agent.end_by("INT");
    for text in ["Serf agent running!", "Caught signal: interrupt", "shutdown complete"] {
        assert!(said(end.stdout.clone(), text).is_some(), "{text}: {}", end.stdout);
    }
}

#[test]
fn a_monitor_gets_the_same_lines_whatever_the_format() {
    let agent = Setup::new("n1").arg("-log-format=json").start();
    let monitor = agent.start_cli(["monitor"]);
    wait_until("its lines", || monitor.printed().contains("[INFO] serf: EventMemberJoin: n1 127."));
}

#[test]
fn an_unknown_format_is_named() {
    let end = Process::start(&mut Setup::new("n1").arg("-log-format=xml").command()).wait();
    let told = "Invalid log format: xml. Valid log formats are: [text json]";
    assert!(end.code == 1 && end.text().contains(told), "{}", end.text());
}

#[test]
fn the_log_s_level_changes_with_the_file_and_sighup() {
    let scratch = Scratch::new();
    let file = scratch.write("serf.json", r#"{"log_level": "warn"}"#);
    let agent = Setup::new("n1").arg(format!("-config-file={}", file.display())).start();
    agent.wait_sees("n1", "alive");
    assert!(!agent.printed().contains("[INFO]"), "{}", agent.printed());
    let fire = |name: &str| assert_eq!(agent.cli(["event", "-coalesce=false", name]).code, 0);
    let told = |line: &str| agent.printed().contains(line);
    scratch.write("serf.json", r#"{"log_level": "debug"}"#);
    agent.signal("HUP");
    wait_until("lines for debugging", || {
        fire("more");
        told("[DEBUG] agent: Requesting user event send: more")
    });
    scratch.write("serf.json", r#"{"log_level": "err"}"#);
    agent.signal("HUP");
    wait_until("the reload", || agent.printed().matches("Reloading configuration...").count() == 2);
    // The same way that a line would come.
    wait_until("silence", || {
        let before = agent.printed();
        fire("less");
        agent.printed() == before
    });
}

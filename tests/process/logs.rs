//! Where the log goes, and what it looks like.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Process, Scratch, Setup, wait_for, wait_until};

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
    let told = "Invalid log format: xml. Valid log formats are: [text json journald]";
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

/// A socket of the test's own in the place of the system's, which an agent sees in a namespace of its own.
struct Listener {
    socket: UnixDatagram,
    heard: Vec<Vec<u8>>,
}

impl Listener {
    fn new(at: &Path) -> Listener {
        let socket = UnixDatagram::bind(at).expect("a scratch folder");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time");
        Listener { socket, heard: Vec::new() }
    }

    /// What has come in which this is, if anything has by now.
    fn find(&mut self, text: &str) -> Option<String> {
        let mut buf = [0; 32 << 10];
        while let Ok(len) = self.socket.recv(&mut buf) {
            self.heard.push(buf[..len].to_vec());
        }
        let texts = self.heard.iter().map(|heard| String::from_utf8_lossy(heard).into_owned());
        texts.into_iter().find(|heard| heard.contains(text))
    }
}

/// An agent for which the socket at `at` is at `place`, below one of the folders that are the system's; `first`, a line of the
/// shell's is run.
fn beside(setup: Setup, scratch: &Scratch, at: &Path, place: &str, first: &str) -> Setup {
    let folder = scratch.folder("system");
    let (top, rest) = place.trim_start_matches('/').split_once('/').expect("a folder");
    // Of its devices a shell needs this one.
    let script = format!(
        "cd '{0}' && mkdir -p $(dirname {rest}) && touch null {rest} && mount --bind /dev/null null && \
         mount --bind '{1}' {rest} && mount --rbind '{0}' /{top} && {first} exec \"$0\" \"$@\"",
        folder.display(),
        at.display()
    );
    setup
        .through_mounting(&script)
        .expect("namespaces for this user: sysctl kernel.unprivileged_userns_clone=1")
}

#[test]
fn the_system_s_log_is_told_with_facility_and_priority() {
    let scratch = Scratch::new();
    let at = scratch.file("log");
    let mut syslog = Listener::new(&at);
    let file = scratch
        .write("serf.json", r#"{"enable_syslog": true, "syslog_facility": "local3", "log_level": "warn"}"#);
    let setup = Setup::new("n1")
        .arg(format!("-config-file={}", file.display()))
        .arg("-event-handler=user:bad=exit 1");
    let agent = beside(setup, &scratch, &at, "/dev/log", "").start();
    assert_eq!(agent.cli(["event", "-coalesce=false", "bad"]).code, 0);
    let line = wait_for("the failure", || syslog.find("exit status 1"));
    // local3 is 19, an error 3.
    assert!(line.starts_with("<155>"), "{line}");
    assert!(line.contains(&format!(" serf[{}]: [ERR] agent: ", agent.pid())), "{line}");
    assert!(syslog.find("[INFO]").is_none(), "it is told what the log's level lets pass");
    assert!(agent.printed().contains("exit status 1"), "as is the terminal");
}

#[test]
fn the_journal_is_told_in_fields() {
    let scratch = Scratch::new();
    let at = scratch.file("journal");
    let mut journal = Listener::new(&at);
    let setup = Setup::new("n1").arg("-log-format=journald").arg("-log-level=debug");
    let setup = setup.arg("-event-handler=user:two=printf 'one\\ntwo\\n'");
    let agent = beside(setup, &scratch, &at, "/run/systemd/journal/socket", "").start();
    let join = wait_for("its own join", || journal.find("EventMemberJoin: n1"));
    for field in [
        "MESSAGE\n",
        "PRIORITY\n\x01\0\0\0\0\0\0\x006\n",
        "SYSLOG_IDENTIFIER\n\x04\0\0\0\0\0\0\0serf\n",
        "SERF_NODE\n\x02\0\0\0\0\0\0\0n1\n",
        "SERF_COMPONENT\n\x04\0\0\0\0\0\0\0serf\n",
    ] {
        assert!(join.contains(field), "{field:?} in {join:?}");
    }
    assert_eq!(agent.cli(["event", "-coalesce=false", "two"]).code, 0);
    wait_for("a message of two lines", || journal.find("script output: one\ntwo\n"));
    assert!(
        !agent.printed().contains("EventMemberJoin"),
        "it goes there and nowhere else: {}",
        agent.printed()
    );
}

/// As under systemd, which says where it has put standard output.
#[test]
fn the_journal_is_told_where_standard_output_goes_there() {
    let scratch = Scratch::new();
    let at = scratch.file("journal");
    let mut journal = Listener::new(&at);
    let place = "/run/systemd/journal/socket";
    let first = "export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/$$/fd/1) &&";
    let agent = beside(Setup::new("n1"), &scratch, &at, place, first).start();
    wait_for("its own join", || journal.find("EventMemberJoin: n1"));
    assert!(!agent.printed().contains("EventMemberJoin"), "{}", agent.printed());
    let elsewhere = Setup::new("n2").through(["env", "JOURNAL_STREAM=1:2"]).start();
    wait_until("a line", || elsewhere.printed().contains("EventMemberJoin: n2"));
}

#[test]
fn without_a_system_s_log_an_agent_that_is_to_tell_it_does_not_start() {
    let scratch = Scratch::new();
    // Bound once, and listened to no more.
    let at = scratch.file("log");
    drop(Listener::new(&at));
    let setup = beside(Setup::new("n1").arg("-syslog"), &scratch, &at, "/dev/log", "");
    let end = Process::start(&mut setup.command()).wait();
    let told = "Syslog setup failed: connect /dev/log: connection refused; leave -syslog out";
    assert!(end.code == 1 && end.text().contains(told), "{}", end.text());
}

//! Ours and Debian's Go Serf, command line against agent both ways, and PyPI's `serfclient`.
//!
//! One script of commands runs against two agents, once for each pairing of command line and agent. What Debian's pair
//! answers is the expectation for the other three. `tests/run interop` fetches the foreign programs.

#[path = "../process/harness/mod.rs"]
mod harness;
mod transcript;

use std::env;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use harness::{Process, Setup, debian, fleet, ours, wait_until};
use transcript::Entry;

#[track_caller]
fn assert_like_debian(cli: &Path, agent: &Path) {
    static EXPECTED: OnceLock<Vec<Entry>> = OnceLock::new();
    let expected = EXPECTED.get_or_init(|| transcript::record(debian(), debian()));
    let found = transcript::record(cli, agent);
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(found, expected, "found (left) is not what Debian's Serf says (right)");
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn debians_command_line_finds_our_agent_like_its_own() {
    assert_like_debian(debian(), ours());
}

#[test]
fn our_command_line_finds_debians_agent_like_its_own() {
    assert_like_debian(ours(), debian());
}

#[test]
fn our_command_line_and_agent_together_are_like_debians() {
    assert_like_debian(ours(), ours());
}

#[test]
fn the_python_client_sends_events_and_lists_members() {
    const SCRIPT: &str = r#"
import sys
from serfclient.client import SerfClient

client = SerfClient(host=sys.argv[1], port=int(sys.argv[2]))
client.event("from python", "payload", coalesce=False)
# Keys and text are bytes or str, depending on the version of its msgpack.
text = lambda value: value.decode() if isinstance(value, bytes) else value
keyed = lambda entries: {text(key): value for key, value in entries.items()}
for member in map(keyed, keyed(client.members().body)["Members"]):
    print(text(member["Name"]), text(member["Status"]))
print(sorted(map(text, client.stats().body)))
client.close()
"#;
    let folder =
        env::var_os("SERF_PYTHONPATH").expect("`tests/run` fetches serfclient and sets SERF_PYTHONPATH");
    let agents = fleet(2);
    let rpc = agents[0].address().rpc;
    let mut client = Command::new("python3");
    client.args(["-c", SCRIPT, &rpc.ip().to_string(), &rpc.port().to_string()]).env("PYTHONPATH", folder);
    let said = Process::start(&mut client).wait();
    assert_eq!(said.code, 0, "{}", said.text());
    let mut lines: Vec<_> = said.stdout.lines().collect();
    let sections = lines.pop();
    lines.sort_unstable();
    assert_eq!(lines, ["n1 alive", "n2 alive"]);
    for section in ["'agent'", "'event_handlers'", "'runtime'", "'serf'", "'tags'"] {
        assert!(sections.is_some_and(|names| names.contains(section)), "{section} in {sections:?}");
    }
    for agent in &agents {
        wait_until("python's event at the handler", || {
            agent.recorder().payloads("from python") == ["payload"]
        });
    }
}

#[test]
fn an_agent_of_either_kind_answers_the_same_stream() {
    for binary in [ours(), debian()] {
        let agent = Setup::new("n1").binary(binary).start();
        let stream = agent.stream();
        agent.rpc().event(b"name", b"payload", true).expect("the event is accepted");
        let event = stream.events.recv_timeout(harness::DEADLINE).expect("the event comes back");
        assert_eq!((&event.name[..], &event.payload[..], event.ltime), (&b"name"[..], &b"payload"[..], 1));
    }
}

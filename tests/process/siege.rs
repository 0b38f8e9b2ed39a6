//! Clients that ask for much and hang up, and clients that nobody has let in.

use crate::harness::rpc::Rpc;
use crate::harness::{Agent, Scratch, Setup, fleet, wait_for, wait_until};

/// More than the connections that an agent takes at once.
const CLIENTS: usize = 260;

/// Addresses at which nobody is.
fn nobody(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("127.9.{}.{}:9", i / 200, 1 + i % 200)).collect()
}

/// An agent that is in no fleet.
fn lone(name: &str) -> Agent {
    let agent = Setup::new(name).start();
    agent.wait_sees(name, "alive");
    agent
}

/// What an agent's process holds in memory, in KiB.
fn resident(agent: &Agent) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("Linux tells it");
    line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
}

/// Clients that ask for joins of a thousand dead addresses each and hang up take neither connections, nor the core's places
/// for joins, nor memory.
#[test]
fn joins_end_with_their_clients() {
    let (one, other) = (lone("n1"), lone("n2"));
    let before = resident(&one);
    for _ in 0..CLIENTS {
        let mut client = wait_for("a free connection", || Rpc::connect(one.address().rpc).ok());
        client.begin_join(&nobody(1_000)).expect("the agent listens");
    }
    wait_until("connections to be free", || Rpc::connect(one.address().rpc).is_ok());
    let joined = one.cli(["join", &other.address().gossip.to_string()]);
    assert_eq!((joined.code, joined.text().contains("contacting 1 nodes")), (0, true), "{}", joined.text());
    let more = resident(&one).saturating_sub(before);
    assert!(more < 16 * 1024, "{more} KiB more than before");
}

/// A good address is not kept waiting by somebody else's dead ones.
#[test]
fn a_join_does_not_wait_behind_another_one() {
    let (one, other) = (lone("n1"), lone("n2"));
    let mut first = one.rpc();
    first.begin_join(&nobody(1_000)).expect("the agent listens");
    let joined = one.cli(["join", &other.address().gossip.to_string()]);
    assert_eq!(joined.code, 0, "{}", joined.text());
    assert!(
        !first.is_answered().expect("the connection stands"),
        "a thousand dead addresses were tried before it"
    );
}

/// Nor by dead ones before it.
#[test]
fn a_good_address_behind_dead_ones_is_joined() {
    let (one, other) = (lone("n1"), lone("n2"));
    let good = [other.address().gossip.to_string()];
    let joined = one.cli(["join".to_owned()].into_iter().chain(nobody(40)).chain(good));
    assert!(joined.text().contains("contacting 1 nodes"), "{}", joined.text());
    one.wait_sees("n2", "alive");
}

#[test]
fn too_many_addresses_are_refused() {
    let one = lone("n1");
    let refused = one.cli(["join".to_owned()].into_iter().chain(nobody(1_025)));
    assert_eq!(refused.code, 1);
    assert!(refused.text().contains("too many addresses to join: 1025, at most 1024"), "{}", refused.text());
}

/// Whoever has not authenticated can't make the agent keep more than a token.
#[test]
fn a_stranger_s_long_request_ends_its_connection() {
    let scratch = Scratch::new();
    let file = scratch.write("serf.json", r#"{"rpc_auth": "secret"}"#);
    let agent = Setup::new("n1").arg(format!("-config-file={}", file.display())).start();
    let mut stranger = wait_for("the agent to listen", || Rpc::connect(agent.address().rpc).ok());
    assert!(stranger.authenticate(&"x".repeat(64 * 1024)).is_err_and(|error| !error.contains("token")));
    let mut guess = Rpc::connect(agent.address().rpc).expect("it listens");
    assert_eq!(guess.authenticate("wrong"), Err("Invalid authentication token".to_owned()));
    assert_eq!(guess.authenticate("secret"), Ok(()));
    wait_until("the guess in the log", || {
        agent.printed().contains("Invalid authentication token from client: ")
    });
}

/// Whoever closes its own side only, as a script at the end of its input does, still gets its answer.
#[test]
fn a_client_that_asks_no_more_gets_its_answer() {
    let agents = fleet(2);
    let mut client = agents[0].rpc();
    client.begin_join(&[agents[1].address().gossip.to_string()]).expect("the agent listens");
    client.ends().expect("its own side is closed");
    wait_until("the answer", || client.is_answered().is_ok_and(|answered| answered));
}

//! Clients that ask for much and hang up, and clients that nobody has let in.

use std::io::Read;
use std::net::{TcpStream, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fleet_tests::wire;

use crate::harness::memory::Memory;
use crate::harness::rpc::Rpc;
use crate::harness::{Agent, Scratch, Setup, fleet, fleet_of, wait_for, wait_until};

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

/// In MiB, more than an agent held before a storm.
const LEFT: f64 = 1.0;

/// Waits until an agent holds no more memory than before a storm, or next to nothing more.
fn wait_slim(agent: &Agent, before: f64) {
    let memory = Memory::of(agent.pid());
    wait_for(&format!("{} to hold {before} MiB again", agent.name()), || {
        (memory.resident() <= before + LEFT).then_some(())
    });
}

/// Clients that ask for joins of a thousand dead addresses each and hang up take neither connections, nor the core's places
/// for joins, nor memory.
#[test]
fn joins_end_with_their_clients() {
    let (one, other) = (lone("n1"), lone("n2"));
    let before = Memory::of(one.pid()).resident();
    for _ in 0..CLIENTS {
        let mut client = wait_for("a free connection", || Rpc::connect(one.address().rpc).ok());
        client.begin_join(&nobody(1_000)).expect("the agent listens");
    }
    wait_until("connections to be free", || Rpc::connect(one.address().rpc).is_ok());
    let joined = one.cli(["join", &other.address().gossip.to_string()]);
    assert_eq!((joined.code, joined.text().contains("contacting 1 nodes")), (0, true), "{}", joined.text());
    wait_slim(&one, before);
}

fn burst(agent: &Agent, count: usize) {
    let events = (0..count).map(|number| (&b"burst"[..], number.to_string().into_bytes()));
    let answers = agent.rpc().burst(events).expect("the agent stays");
    assert!(answers.iter().all(Result::is_ok));
}

/// Streams that nobody reads are bounded, over all connections, and what they have taken is given back. Others get their answers
/// meanwhile, and the agent is a good member.
#[test]
fn streams_that_nobody_reads_take_little_and_leave_nothing() {
    let agents = fleet_of(2, |name| Setup::new(name).unhandled());
    // The core's own memory is touched as it is used, and stays.
    burst(&agents[1], 5_000);
    wait_until("all to have come", || agents[0].info("counters", "events_new") >= 5_000);
    let before = Memory::of(agents[0].pid()).resident();
    let mut readers: Vec<Rpc> = (0..200).map(|_| agents[0].rpc()).collect();
    for reader in &mut readers {
        for _ in 0..60 {
            reader.begin_stream("*").expect("the agent listens");
        }
    }
    burst(&agents[1], 3_000);
    wait_until("all to have come", || agents[0].info("counters", "events_new") >= 8_000);
    let peak = Memory::of(agents[0].pid()).peak() - before;
    assert!(peak < 32.0, "{peak} MiB for streams that nobody reads");
    assert_eq!(agents[1].members()["n1"], "alive");
    assert_eq!(
        agents[0].rpc().stream("user").err().map(|error| error.to_string()),
        Some("Too many streams".into())
    );
    drop(readers);
    wait_slim(&agents[0], before);
    wait_until("a stream to be had", || agents[0].rpc().stream("user").is_ok());
}

/// Members of whom only strangers tell are no members; whoever really comes is seen by all, and so is who goes.
#[test]
fn ghosts_fill_no_table() {
    let mut agents = fleet(3);
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    for n in 0..3_000_u64 {
        let mut ghosts: Vec<_> =
            (0..8).map(|g| wire::alive(&format!("ghost-{}", 8 * n + g), 900, 1, 1)).collect();
        ghosts.extend((n % 2 == 0).then(|| wire::fleet(1)));
        let sent = stranger.send_to(&wire::datagram(&ghosts), agents[0].address().gossip);
        sent.expect("loopback is there");
        if n % 50 == 0 {
            // No faster than the socket takes them in.
            sleep(Duration::from_millis(1));
        }
    }
    wait_until("ghosts to be refused", || agents[0].info("counters", "strangers") > 10_000);
    assert_eq!(agents[0].members().len(), 3);
    assert!(agents[0].printed().contains("[WARN] serf: Newcomers were refused"), "{}", agents[0].printed());
    let newcomer = Setup::new("n4").join(&agents[0]).start();
    agents.remove(2).crash();
    for agent in agents.iter().chain([&newcomer]) {
        agent.wait_sees("n4", "alive");
    }
    agents[1].wait_sees("n3", "failed");
}

/// A table that is full is told of, with what helps.
#[test]
fn a_full_table_is_told_of() {
    let first = Setup::new("n1").arg("-max-members=2").start();
    let _others = ["n2", "n3"].map(|name| Setup::new(name).join(&first).start());
    wait_until("the warning", || {
        first.printed().contains("The table of members is full") && first.printed().contains("-max-members")
    });
}

/// What is damaged on the way does not count as anything.
#[test]
fn damaged_datagrams_are_refused() {
    let agents = fleet(2);
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let event = wire::datagram(&[wire::event(5, 7, b"deploy", b"1", false)]);
    for bit in 0..8 * event.len() {
        let mut damaged = event.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        stranger.send_to(&damaged, agents[0].address().gossip).expect("loopback is there");
        sleep(Duration::from_micros(200));
    }
    let count = |which| agents[0].info("counters", which);
    let refused = || count("refused") + count("refused_wire") + count("refused_unsealed");
    wait_until("all to be refused", || refused() >= 8 * event.len() as u64);
    assert_eq!(agents[0].info("counters", "events_new"), 0);
    assert!(agents[0].printed().contains("it was damaged on the way"));
}

/// A thread for each of hundreds of names would be a storm of its own.
#[test]
fn names_are_looked_up_a_few_at_a_time() {
    let agent = lone("n1");
    let names: Vec<String> = (0..64).map(|i| format!("host-{i}.invalid")).collect();
    // Also where those who have asked do not wait.
    for _ in 0..10 {
        agent.rpc().begin_join(&names).expect("the agent listens");
    }
    let mut client = agent.rpc();
    client.begin_join(&names).expect("the agent listens");
    let threads = || std::fs::read_dir(format!("/proc/{}/task", agent.pid())).expect("it runs").count();
    let mut most = threads();
    wait_until("the answer", || {
        most = most.max(threads());
        client.is_answered().is_ok_and(|answered| answered)
    });
    // 16 that look up, and those that were given up after 10 s and that the system's resolver keeps longer; not 704.
    assert!(most <= 64, "{most} threads");
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

/// More clients than the agent takes connections say nothing, or guess at the token: who has it gets in all the same.
#[test]
fn clients_without_the_token_keep_nobody_out() {
    let scratch = Scratch::new();
    let file = scratch.write("serf.json", r#"{"rpc_auth": "secret"}"#);
    let agent = Setup::new("n1").arg(format!("-config-file={}", file.display())).start();
    let rpc = agent.address().rpc;
    let mut owner = wait_for("the agent to listen", || Rpc::connect(rpc).ok());
    assert_eq!(owner.authenticate("secret"), Ok(()));
    let held: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(rpc).expect("loopback works")).collect();
    for _ in 0..3 {
        let mut client = Rpc::connect(rpc).expect("somebody else gives way");
        assert_eq!(client.authenticate("secret"), Ok(()));
        let guesses: Vec<_> = (0..CLIENTS).map(|_| Rpc::connect(rpc).expect("it listens")).collect();
        assert!(client.members().is_ok(), "who has authenticated stays");
        drop(guesses);
    }
    assert!(owner.members().is_ok(), "who has authenticated stays");
    drop(held);
}

/// As many clients as there are places for shake hands and ask for nothing, or take no answer, one of them having closed its own
/// side: after a while others get in.
#[test]
fn clients_that_want_nothing_give_way() {
    let agent = lone("n1");
    let rpc = agent.address().rpc;
    let mut held: Vec<_> = (0..256).map(|_| Rpc::connect(rpc).expect("it listens")).collect();
    for client in &mut held[..100] {
        // More answers than a connection that nobody reads takes.
        for _ in 0..2_000 {
            if client.begin_members().is_err() {
                break;
            }
        }
        client.ends().expect("its own side is closed");
    }
    for _ in 0..20 {
        wait_until("a place", || agent.cli(["event", "-coalesce=false", "e"]).code == 0);
    }
    let left = agent.cli(["leave"]);
    assert_eq!((left.code, left.text()), (0, "Graceful leave complete\n".to_owned()));
}

/// A name that nobody can have is refused, and nothing malformed is sent.
#[test]
fn an_impossible_name_is_not_forced_to_leave() {
    let agents = fleet(2);
    for name in ["", &"x".repeat(129)] {
        let refused = agents[0].cli(["force-leave", name]);
        assert_eq!(
            (refused.code, refused.text().contains("1 to 128 bytes")),
            (1, true),
            "{}",
            refused.text()
        );
    }
    assert_eq!(agents[0].cli(["event", "-coalesce=false", "after"]).code, 0);
    wait_until("the event at the other one", || agents[1].user_events().len() == 1);
    assert_eq!(agents[1].info("counters", "refused"), 0);
}

/// Whoever may speak can make the agent keep so much of a request that never ends, and no more.
#[test]
fn an_endless_request_ends_its_connection() {
    let agent = lone("n1");
    let mut client = agent.rpc();
    assert!(client.event(b"e", &[b'x'; 200 << 10], false).is_err_and(|error| error.contains("exceeds")));
    assert!(client.event(b"e", &[b'x'; 300 << 10], false).is_err_and(|error| !error.contains("exceeds")));
    assert_eq!(agent.members().len(), 1, "it serves others as before");
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

/// The log says so, and is not itself a way to fill a disk.
#[test]
fn refused_clients_are_logged_once_a_second() {
    let agent = lone("n1");
    let rpc = agent.address().rpc;
    // The agent holds 256 at a time.
    let held: Vec<_> = (0..256).map(|_| Rpc::connect(rpc).expect("it listens")).collect();
    wait_until("the last one to be taken", || agent.printed().matches("Accepted client").count() >= 256);
    let began = Instant::now();
    for _ in 0..1_000 {
        let mut refused = TcpStream::connect(rpc).expect("loopback works");
        let mut said = Vec::new();
        refused.read_to_end(&mut said).expect("it says why, and ends");
        assert!(String::from_utf8_lossy(&said).contains("Too many RPC connections"), "{said:?}");
    }
    let lines = agent.printed().matches("Refused client").count() as u64;
    assert!((1..=2 + began.elapsed().as_secs()).contains(&lines), "{lines} lines for 1,000 refusals");
    drop(held);
    wait_until("the agent to answer again", || Rpc::connect(rpc).is_ok());
}

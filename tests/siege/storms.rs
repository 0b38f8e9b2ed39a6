//! The storms.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use fleet_tests::rng::Rng;
use fleet_tests::wire::{alive, datagram, fleet as in_fleet};

use crate::harness::rpc::Rpc;
use crate::harness::{Agent, Scratch, Setup, fleet_of, wait_for};

pub struct Storm {
    pub name: &'static str,
    /// The token of the RPC, or empty.
    pub token: &'static str,
    /// Whom it meets: the first of these.
    pub fleet: fn() -> Vec<Agent>,
    pub rage: fn(&[Agent]),
}

pub const ALL: [Storm; 9] = [
    Storm {
        name: "260 joins of 1,000 dead addresses, all hung up",
        token: "",
        fleet: lone,
        rage: dead_joins,
    },
    Storm { name: "20 joins of 800 host names, all hung up", token: "", fleet: lone, rage: host_names },
    Storm {
        name: "256 strangers, 1 MiB each that never ends",
        token: TOKEN,
        fleet: guarded,
        rage: unfinished,
    },
    Storm { name: "200 clients that guess tokens for 10 s", token: TOKEN, fleet: guarded, rage: guesses },
    Storm {
        name: "200 x 60 streams that nobody reads, 3,000 events",
        token: "",
        fleet: three,
        rage: unread_streams,
    },
    Storm {
        name: "200 clients that ask 500 times and read nothing",
        token: "",
        fleet: three,
        rage: unread_answers,
    },
    Storm { name: "30,000 datagrams of 8 ghosts each", token: "", fleet: three, rage: ghosts },
    Storm { name: "100,000 datagrams of noise", token: "", fleet: three, rage: noise },
    Storm {
        name: "10,000 events, and a handler that is stuck for 10 s",
        token: "",
        fleet: stuck,
        rage: events,
    },
];

const TOKEN: &str = "secret";

fn lone() -> Vec<Agent> {
    fleet_of(1, |name| Setup::new(name).unhandled())
}

fn three() -> Vec<Agent> {
    fleet_of(3, |name| Setup::new(name).unhandled())
}

/// With a token.
fn guarded() -> Vec<Agent> {
    let scratch = Scratch::new();
    let file = scratch.write("serf.json", &format!(r#"{{"rpc_auth": "{TOKEN}"}}"#));
    vec![Setup::new("n1").unhandled().arg(format!("-config-file={}", file.display())).start()]
}

/// The first has a handler that takes its time for its first event.
fn stuck() -> Vec<Agent> {
    fleet_of(3, |name| match name {
        "n1" => Setup::new(name)
            .unhandled()
            .arg("-event-handler=user:slow=sleep 10")
            .arg("-event-handler=user:burst=true"),
        _ => Setup::new(name).unhandled(),
    })
}

fn dead_joins(agents: &[Agent]) {
    let nobody: Vec<String> = (0..1_000).map(|i| format!("127.9.{}.{}:9", i / 200, 1 + i % 200)).collect();
    for _ in 0..260 {
        let mut client = wait_for("a free connection", || Rpc::connect(agents[0].address().rpc).ok());
        client.begin_join(&nobody).expect("the agent listens");
    }
    thread::sleep(Duration::from_secs(3));
}

fn host_names(agents: &[Agent]) {
    let names: Vec<String> = (0..800).map(|i| format!("host-{i}.invalid")).collect();
    for _ in 0..20 {
        let mut client = agents[0].rpc();
        client.begin_join(&names).expect("the agent listens");
        thread::sleep(Duration::from_millis(100));
    }
    thread::sleep(Duration::from_secs(3));
}

fn unfinished(agents: &[Agent]) {
    let strangers: Vec<_> =
        (0..256).filter_map(|_| TcpStream::connect(agents[0].address().rpc).ok()).collect();
    thread::scope(|scope| {
        for mut stranger in &strangers {
            scope.spawn(move || {
                // A handshake, and a token of a MiB of which the last byte never comes.
                let _ = stranger.set_write_timeout(Some(Duration::from_secs(2)));
                let head = b"\x82\xa7Command\xa9handshake\xa3Seq\x00\x81\xa7Version\x01\x82\xa7Command\xa4auth\xa3Seq\x01";
                let token = b"\x81\xa7AuthKey\xdb\x00\x10\x00\x00";
                let _ = stranger.write_all(head).and_then(|()| stranger.write_all(token));
                let _ = stranger.write_all(&vec![b'x'; (1 << 20) - 1]);
            });
        }
    });
    thread::sleep(Duration::from_secs(3));
}

fn guesses(agents: &[Agent]) {
    let address = agents[0].address().rpc;
    thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(move || {
                for _ in 0..10 {
                    let Ok(mut guess) = Rpc::connect(address) else { continue };
                    let _ = guess.authenticate("wrong");
                }
            });
        }
    });
}

fn unread_streams(agents: &[Agent]) {
    let mut readers = Vec::new();
    for _ in 0..200 {
        let mut reader = wait_for("a free connection", || Rpc::connect(agents[0].address().rpc).ok());
        for _ in 0..60 {
            reader.begin_stream("*").expect("the agent listens");
        }
        readers.push(reader);
    }
    burst(&agents[1], 3_000);
    thread::sleep(Duration::from_secs(3));
}

fn unread_answers(agents: &[Agent]) {
    let mut readers = Vec::new();
    for _ in 0..200 {
        let mut reader = wait_for("a free connection", || Rpc::connect(agents[0].address().rpc).ok());
        for _ in 0..500 {
            reader.begin_members().expect("the agent listens");
        }
        readers.push(reader);
    }
    thread::sleep(Duration::from_secs(3));
}

fn ghosts(agents: &[Agent]) {
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    for n in 0..30_000_u64 {
        let ghost = |g: u64| alive(&format!("ghost-{}", 8 * n + g), 900, 1, 1);
        let mut ghosts: Vec<_> = (0..8).map(ghost).collect();
        ghosts.extend((n % 2 == 0).then(|| in_fleet(1)));
        let _ = stranger.send_to(&datagram(&ghosts), agents[0].address().gossip);
        pace(n);
    }
}

fn noise(agents: &[Agent]) {
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let mut rng = Rng::new(1);
    for n in 0..100_000 {
        let bytes: Vec<u8> = (0..rng.below(1_400)).map(|_| rng.bits() as u8).collect();
        let _ = stranger.send_to(&bytes, agents[0].address().gossip);
        pace(n);
    }
}

fn events(agents: &[Agent]) {
    agents[1].rpc().event(b"slow", b"", false).expect("it is accepted");
    burst(&agents[1], 10_000);
    thread::sleep(Duration::from_secs(10));
    // One script after the other.
    let first = &agents[0];
    wait_for("the handler to have caught up", || (first.info("handlers", "waiting") == 0).then_some(()));
}

fn burst(agent: &Agent, count: usize) {
    let events = (0..count).map(|number| (&b"burst"[..], number.to_string().into_bytes()));
    agent.rpc().burst(events).expect("the agent stays");
}

/// No faster than a socket takes datagrams in, or the storm would be lost on the way.
fn pace(n: u64) {
    if n.is_multiple_of(50) {
        thread::sleep(Duration::from_millis(1));
    }
}

//! Numbers pushed, to sockets of the test's own in the place of statsd and statsite.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use crate::harness::{Address, Agent, Process, Scratch, Setup, wait_until};

/// An agent with one key of a file.
fn agent(scratch: &Scratch, key: &str, value: &str) -> Setup {
    let file = scratch.write("serf.json", &format!("{{{key:?}: {value:?}}}"));
    Setup::new("n1").arg(format!("-config-file={}", file.display()))
}

/// What all lines of a counter come to.
fn sum(lines: &str, name: &str) -> f64 {
    let counts =
        lines.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.strip_suffix("|c"));
    counts.map(|count| count.parse::<f64>().expect("a number")).sum()
}

fn fire(agent: &Agent, count: usize) {
    for _ in 0..count {
        agent.rpc().event(b"deploy", b"", false).expect("accepted");
    }
}

#[test]
fn statsd_is_told_under_serfs_names() {
    let scratch = Scratch::new();
    let at = SocketAddr::new(Address::unused().rpc.ip(), 8125);
    let statsd = UdpSocket::bind(at).expect("the address was free");
    statsd.set_read_timeout(Some(Duration::from_millis(20))).expect("a time");
    let first = agent(&scratch, "statsd_addr", &at.to_string()).start();
    let other = Setup::new("n2").join(&first).start();
    first.wait_sees("n2", "alive");
    // Tags that change before that are part of the join.
    wait_until("the join at the handler", || first.recorder().count("member-join", "n2") == 1);
    fire(&first, 3);
    assert_eq!(first.cli(["query", "load"]).code, 0);
    assert_eq!(other.cli(["tags", "-set", "role=web"]).code, 0);
    wait_until("the tags at the handler", || first.recorder().count("member-update", "n2") == 1);
    drop(other);
    first.wait_sees("n2", "failed");
    let mut heard = String::new();
    let mut told = |name: &str| {
        let mut buf = [0; 2048];
        while let Ok(len) = statsd.recv(&mut buf) {
            heard += &String::from_utf8_lossy(&buf[..len]);
        }
        sum(&heard, name)
    };
    for (name, count) in [
        ("events", 3.0),
        ("queries", 1.0),
        ("member.join", 2.0),
        ("member.update", 1.0),
        ("member.failed", 1.0),
    ] {
        wait_until(name, || told(&format!("serf-agent.serf.{name}")) == count);
    }
    assert!(told("serf-agent.memberlist.udp.sent") > 100.0);
    assert!(heard.contains("serf-agent.serf.queue.Event:0.000000|ms\n"), "{heard}");
    assert!(heard.contains(".memberlist.health.score:0.000000|g\n"), "{heard}");
    assert!(!heard.contains("deploy"), "names of events are anybody's");
}

/// It comes later than the agent, ends, and comes back: what was counted meanwhile is told then.
#[test]
fn statsite_may_come_later_and_again() {
    let scratch = Scratch::new();
    let at = SocketAddr::new(Address::unused().rpc.ip(), 8125);
    let agent = agent(&scratch, "statsite_addr", &at.to_string()).start();
    fire(&agent, 3);
    wait_until("a warning", || {
        agent.printed().contains(&format!("Metrics are not taken at {at}: connection refused"))
    });
    let statsite = TcpListener::bind(at).expect("the address was free");
    let told = |count: f64| {
        let (mut stream, _) = statsite.accept().expect("the agent comes");
        stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a time");
        let mut heard = String::new();
        wait_until("all events", || {
            let mut buf = [0; 2048];
            let len = stream.read(&mut buf).unwrap_or(0);
            heard += &String::from_utf8_lossy(&buf[..len]);
            sum(&heard, "serf-agent.serf.events") >= count
        });
        assert_eq!(sum(&heard, "serf-agent.serf.events"), count);
    };
    told(3.0);
    // The first push into the connection that has ended is lost in it: of that the agent hears afterwards.
    wait_until("a new connection", || {
        statsite.set_nonblocking(true).expect("a listener");
        statsite.accept().is_ok()
    });
    fire(&agent, 2);
    statsite.set_nonblocking(false).expect("a listener");
    told(2.0);
}

#[test]
fn an_address_without_a_port_is_refused() {
    for (key, kind) in [("statsd_addr", "statsd"), ("statsite_addr", "statsite")] {
        let scratch = Scratch::new();
        let end = Process::start(&mut agent(&scratch, key, "127.0.0.1").command()).wait();
        let told = format!(
            "Failed to start {kind} sink. Got: address 127.0.0.1: missing port in address; see {key}"
        );
        assert!(end.code == 1 && end.text().contains(&told), "{}", end.text());
    }
}

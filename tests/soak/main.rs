//! A fleet at work for an hour (`SOAK_MINUTES`): memory, file descriptors, threads and processes at its start and at its end: `tests/run soak`.
//!
//! Three agents go on, with snapshots, scripts, HTTP and streams. A fourth one comes and goes, by leaving and by `kill -9`. Users fire, ask, set tags, reload,
//! scrape, and hang up in the midst of it all the time.

#[path = "../process/harness/mod.rs"]
mod harness;
#[path = "../table.rs"]
mod table;

use std::env;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use harness::http::get;
use harness::memory::Memory;
use harness::{Agent, Scratch, Setup, wait_until};
use table::Goal::AtMost;
use table::{head, judged, number, row};

/// Until then what is touched once has been touched: the core's memory for names and payloads, which they go round in.
const WARM_UP: usize = 200;

/// Fills that memory, of 2.3 MiB, some times by then.
const PAYLOAD: usize = 300;

/// What an agent may hold more at the end, in MiB.
const GROWTH: f64 = 1.0;

/// What one process has.
struct Held {
    resident: f64,
    descriptors: f64,
    threads: f64,
}

impl Held {
    fn by(agent: &Agent) -> Held {
        let count = |what: &str| {
            let entries = fs::read_dir(format!("/proc/{}/{what}", agent.pid())).expect("it runs");
            entries.count() as f64
        };
        Held {
            resident: Memory::of(agent.pid()).resident(),
            descriptors: count("fd"),
            threads: count("task"),
        }
    }
}

fn main() {
    let minutes = env::var("SOAK_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let scratch = Scratch::new();
    let agents: Vec<Agent> = harness::fleet_of(3, |name| with_all(name, &scratch));
    let (mut rounds, mut begin, mut end) = (0, Vec::new(), None);
    let mut guest = Some(with_all("guest", &scratch).join(&agents[0]));
    while end.is_none_or(|end| Instant::now() < end) {
        guest = Some(work(&agents, guest.take().expect("it is always given back"), rounds));
        rounds += 1;
        if rounds == WARM_UP {
            begin = agents.iter().map(Held::by).collect();
            end = Some(Instant::now() + Duration::from_secs(60 * minutes));
        }
    }
    wait_until("scripts to be done", || {
        agents.iter().all(|agent| agent.info("handlers", "waiting") + agent.info("handlers", "running") == 0)
    });
    // Connections that were hung up on are noticed.
    thread::sleep(Duration::from_secs(20));
    let mut text = head(
        &format!("After {minutes} minutes, {rounds} rounds of {ROUND} events"),
        1,
        &["agent", "what", "at the start", "at the end", "growth", "goal", "met"],
    );
    for (agent, begin) in agents.iter().zip(&begin) {
        let end = Held::by(agent);
        for (what, begin, end, goal) in [
            ("resident memory (MiB)", begin.resident, end.resident, GROWTH),
            ("file descriptors", begin.descriptors, end.descriptors, 2.0),
            ("threads", begin.threads, end.threads, 1.0),
        ] {
            let [goal, met] = judged((end - begin).max(0.0), AtMost(goal));
            text += &row(&[
                agent.name().into(),
                what.into(),
                number(begin),
                number(end),
                number(end - begin),
                goal,
                met,
            ]);
        }
        let lost = agent.info("counters", "event_gaps") + agent.info("counters", "pull_miss");
        eprintln!(
            "{}: {lost} events missed, snapshot of {} bytes",
            agent.name(),
            agent.info("levels", "snapshot_bytes")
        );
    }
    println!("{text}");
}

fn with_all(name: &str, scratch: &Scratch) -> Setup {
    let setup = Setup::new(name);
    let http = std::net::SocketAddr::new(setup.address().rpc.ip(), 7374);
    let config = scratch.write(&format!("{name}.json"), r#"{"tags": {"role": "web"}}"#);
    setup
        .unhandled()
        .arg(format!("-snapshot={}", scratch.file(&format!("{name}.snapshot")).display()))
        .arg(format!("-http-addr={http}"))
        .arg(format!("-config-file={}", config.display()))
        .arg("-event-handler=user:deploy=cat >/dev/null")
        .arg("-event-handler=query:load=echo 1")
}

/// Events of a round.
const ROUND: usize = 100;

/// A guest comes, all do what users do, and it goes, one way or the other.
fn work(agents: &[Agent], guest: Setup, round: usize) -> Setup {
    let guest = guest.start();
    agents[0].wait_sees("guest", "alive");
    let stream = agents[1].stream();
    let mut rpc = agents[round % 3].rpc();
    for n in 0..ROUND {
        let (name, payload) = (["deploy", "note"][n % 2], format!("{round}-{n} {}", "x".repeat(PAYLOAD)));
        rpc.event(name.as_bytes(), payload.as_bytes(), n % 4 < 2).expect("accepted");
    }
    rpc.query("load").expect("asked");
    assert_eq!(agents[2].cli(["tags", &format!("-set=round={round}")]).code, 0);
    agents[0].signal("HUP");
    for agent in agents {
        let http = std::net::SocketAddr::new(agent.address().rpc.ip(), 7374);
        for path in ["/metrics", "/v1/members", "/healthz"] {
            assert_eq!(get(http, path).status, 200, "{path}");
        }
        // Who hangs up in the midst of something.
        let _ = agent.rpc().begin_join(&["127.0.0.250:1".to_owned()]);
        let _ = agent.rpc().begin_stream("*");
    }
    drop(stream);
    if round.is_multiple_of(2) {
        return guest.crash();
    }
    assert_eq!(guest.cli(["leave"]).code, 0);
    agents[0].wait_sees("guest", "left");
    guest.crash()
}

//! Everything measured on one fleet of one binary, in the network namespace that this process runs in.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use crate::harness::rpc::{Rpc, Stream};
use crate::harness::{Agent, Setup, wait_quiet, wait_until};
use crate::proc::{Traffic, cpu_seconds, proportional, resident};

const EVENTS: usize = 30;
const BURST: usize = 2_000;
/// After the start, until the news of it have died away.
const SETTLE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(20);
/// An event that is not everywhere by then counts as incomplete.
const EVENT_DEADLINE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// Name of a figure and its value.
pub type Figures = BTreeMap<String, f64>;

/// Runs `count` agents of `binary` through all phases.
pub fn measure(binary: &Path, count: usize) -> Figures {
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| {
        figures.insert(name.to_owned(), value);
    };

    let started = Instant::now();
    let mut agents = start(binary, count);
    put("converged_s", started.elapsed().as_secs_f64());

    sleep(SETTLE);
    let (cpu, traffic) = (cpu_of(&mut agents), Traffic::now());
    sleep(IDLE);
    let per_node_second = 1.0 / IDLE.as_secs_f64() / count as f64;
    put("idle_cpu_percent", (cpu_of(&mut agents) - cpu) * per_node_second * 100.0);
    put("idle_bytes", (Traffic::now().bytes - traffic.bytes) * per_node_second);
    put("idle_datagrams", (Traffic::now().datagrams - traffic.datagrams) * per_node_second);
    put("idle_rss_mib", mean_mib(&mut agents, resident));
    put("idle_pss_mib", mean_mib(&mut agents, proportional));

    let streams: Vec<Stream> = agents.iter().map(Agent::stream).collect();
    let spread = spread(&agents, &streams);
    put("half_ms", median(&spread.half));
    put("all_ms", median(&spread.all));
    put("worst_ms", spread.all.iter().copied().fold(0.0, f64::max));
    put("incomplete", (EVENTS - spread.all.len()) as f64);

    let (delivered, seconds) = burst(&agents, &streams);
    put("burst_percent", delivered as f64 * 100.0 / (BURST * count) as f64);
    put("burst_s", seconds);
    put("loaded_rss_mib", mean_mib(&mut agents, resident));
    put("binary_mib", binary.metadata().map_or(0.0, |file| file.len() as f64) / f64::from(1 << 20));
    figures
}

/// The seed first, the others all at once; returns when every agent sees every agent alive.
fn start(binary: &Path, count: usize) -> Vec<Agent> {
    let setup = |number: usize| Setup::new(&format!("n{number}")).binary(binary).unhandled();
    let seed = setup(1).start();
    let mut agents = scope(|threads| {
        let starting: Vec<_> = (2..=count)
            .map(|number| {
                let setup = setup(number).join(&seed);
                threads.spawn(|| setup.start())
            })
            .collect();
        starting.into_iter().map(|thread| thread.join().expect("the agent starts")).collect::<Vec<_>>()
    });
    agents.insert(0, seed);

    let mut waiting: Vec<Rpc> = agents.iter().map(Agent::rpc).collect();
    wait_until("all agents to see all others", || {
        waiting.retain_mut(|rpc| {
            let members = rpc.members().expect("the agents stay");
            members.values().filter(|status| *status == "alive").count() < count
        });
        waiting.is_empty()
    });
    agents
}

/// Milliseconds per event; `all` has only those that reached everyone.
#[derive(Default)]
struct Spread {
    half: Vec<f64>,
    all: Vec<f64>,
}

/// Single events from one agent after the other, timed from before the call until each agent's stream shows them.
fn spread(agents: &[Agent], streams: &[Stream]) -> Spread {
    let mut spread = Spread::default();
    let mut rpcs: Vec<Rpc> = agents.iter().map(Agent::rpc).collect();
    for number in 0..EVENTS {
        let payload = format!("event {number}").into_bytes();
        let origin = number % agents.len();
        let sent = Instant::now();
        rpcs[origin].event(b"bench", &payload, false).expect("a single event is accepted");
        let arrival = |stream: &Stream| loop {
            let left = EVENT_DEADLINE.saturating_sub(sent.elapsed());
            let event = stream.events.recv_timeout(left).ok()?;
            if event.payload == payload {
                return Some((event.at - sent).as_secs_f64() * 1e3);
            }
        };
        let mut delays: Vec<f64> = streams.iter().filter_map(arrival).collect();
        delays.sort_by(f64::total_cmp);
        spread.half.extend(delays.get(agents.len().div_ceil(2) - 1));
        if delays.len() == agents.len() {
            spread.all.extend(delays.last());
        }
        sleep(PAUSE);
    }
    spread
}

/// Many events through one connection: distinct deliveries over all agents, and seconds until the last of them.
fn burst(agents: &[Agent], streams: &[Stream]) -> (usize, f64) {
    let sent = Instant::now();
    let events = (0..BURST).map(|number| (&b"burst"[..], number.to_string().into_bytes()));
    agents[0].rpc().burst(events).expect("the agent stays");

    let mut distinct = vec![HashSet::new(); streams.len()];
    let mut last = sent;
    let delivered = wait_quiet("the burst to end", Duration::from_secs(5), || {
        for (stream, distinct) in streams.iter().zip(&mut distinct) {
            for event in stream.events.try_iter().filter(|event| event.name == b"burst") {
                distinct.insert(event.payload);
                last = last.max(event.at);
            }
        }
        distinct.iter().map(HashSet::len).sum()
    });
    (delivered, (last - sent).as_secs_f64())
}

fn cpu_of(agents: &mut [Agent]) -> f64 {
    agents.iter_mut().map(|agent| cpu_seconds(agent.process().pid())).sum()
}

fn mean_mib(agents: &mut [Agent], kib: fn(u32) -> f64) -> f64 {
    let sum: f64 = agents.iter_mut().map(|agent| kib(agent.process().pid())).sum();
    sum / agents.len() as f64 / 1024.0
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

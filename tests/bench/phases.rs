//! What is measured on a fleet, phase by phase.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use fleet_tests::rng::Rng;
use nix::sys::signal::{Signal, kill as signal};
use nix::unistd::Pid;

use crate::fleet::{Fleet, Usage, median};
use crate::harness::rpc::{Rpc, Stream};
use crate::harness::{Agent, Scratch, wait_quiet, wait_until};
use crate::proc::{proportional, resident};

/// Single events, and how many of them are fired in larger fleets.
pub const EVENTS: usize = 30;
pub const BURST: usize = 2_000;
/// Agents killed at once.
const KILLED: usize = 3;
/// Queries, one after the other.
const QUERIES: usize = 5;
/// After the start, until the news of it have died away.
const SETTLE: Duration = Duration::from_secs(10);
pub const IDLE: Duration = Duration::from_secs(20);
/// How often a fleet is started: the time until all see all varies, with where its members are in their rounds of news.
const STARTS: usize = 5;
/// An event that is not everywhere by then counts as incomplete.
const EVENT_DEADLINE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);
/// How long every agent has hardly any CPU time, and how long what was suspected may take to be told.
pub const STARVED: Duration = Duration::from_secs(30);
const AFTERMATH: Duration = Duration::from_secs(10);
/// For how long an agent then has none, in ms, and for how long some.
pub const STOPPED: std::ops::Range<u64> = 1_000..4_000;
pub const RUNNING: Duration = Duration::from_millis(50);

/// 32 bytes, as both kinds of agents take them.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Name of a figure and its value.
pub type Figures = BTreeMap<String, f64>;

/// Runs `count` agents of `binary` through all phases.
pub fn everything(binary: &Path, count: usize) -> Figures {
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| {
        figures.insert(name.to_owned(), value);
    };
    let mut starts: Vec<f64> = (1..STARTS).map(|_| Fleet::start(binary, count).converged).collect();
    let mut fleet = Fleet::start(binary, count);
    starts.push(fleet.converged);
    put("converged_s", median(&starts));
    put("binary_mib", binary.metadata().map_or(0.0, |file| file.len() as f64) / f64::from(1 << 20));

    let idle = idle(&fleet, count, &mut put);
    put("idle_rss_mib", fleet.mean_mib(resident));
    put("idle_pss_mib", fleet.mean_mib(proportional));

    let before = fleet.usage();
    let spread = spread(&fleet);
    let after = fleet.usage();
    let busy = Rates::between(&before, &after, count);
    let seconds_per_event = (after.at - before.at).as_secs_f64() / EVENTS as f64;
    put("event_cpu_us", (busy.cpu - idle.cpu) * seconds_per_event * 1e6);
    put("event_bytes", (busy.bytes - idle.bytes) * seconds_per_event);
    spread.put(&mut put);

    receipts(&fleet, &mut put);
    queries(&fleet, &mut put);

    let (delivered, seconds) = burst(&fleet.agents, &fleet.streams);
    put("burst_percent", delivered as f64 * 100.0 / (BURST * count) as f64);
    put("burst_s", seconds);
    put("loaded_rss_mib", fleet.mean_mib(resident));

    let (first, last) = kill(&mut fleet);
    put("noticed_first_s", median(&first));
    put("noticed_all_s", median(&last));
    put("accused", starve(&fleet) as f64);
    figures
}

/// Convergence, single events, receipts and queries only, for larger fleets.
pub fn events(binary: &Path, count: usize) -> Figures {
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| {
        figures.insert(name.to_owned(), value);
    };
    let fleet = Fleet::start(binary, count);
    put("converged_s", fleet.converged);
    sleep(SETTLE);
    spread(&fleet).put(&mut put);
    receipts(&fleet, &mut put);
    queries(&fleet, &mut put);
    figures
}

/// Events and idling with a key that all agents have; and events without, for comparison in the same minutes.
pub fn sealed(binary: &Path, count: usize) -> Figures {
    let mut figures = Figures::new();
    let open = Fleet::start(binary, count);
    sleep(SETTLE);
    figures.insert("open_all_ms".to_owned(), median(&spread(&open).all));
    drop(open);
    let mut put = |name: &str, value: f64| {
        figures.insert(name.to_owned(), value);
    };
    let fleet = Fleet::start_with(binary, count, |_| Some(format!("-encrypt={KEY}")));
    put("converged_s", fleet.converged);
    idle(&fleet, count, &mut put);
    spread(&fleet).put(&mut put);
    figures
}

/// Events and a burst with a snapshot of each agent's; and without, for comparison in the same minutes.
pub fn recorded(binary: &Path, count: usize) -> Figures {
    let mut figures = Figures::new();
    let scratch = Scratch::new();
    let flag = |number| Some(format!("-snapshot={}", scratch.file(&format!("snapshot-{number}")).display()));
    for (before, fleet) in
        [("plain_", Fleet::start(binary, count)), ("", Fleet::start_with(binary, count, flag))]
    {
        let mut put = |name: &str, value: f64| {
            figures.insert(format!("{before}{name}"), value);
        };
        let idle = idle(&fleet, count, &mut put);
        let start = fleet.usage();
        spread(&fleet).put(&mut put);
        let end = fleet.usage();
        let busy = Rates::between(&start, &end, count);
        let seconds_per_event = (end.at - start.at).as_secs_f64() / EVENTS as f64;
        put("event_cpu_us", (busy.cpu - idle.cpu) * seconds_per_event * 1e6);
        let (delivered, seconds) = burst(&fleet.agents, &fleet.streams);
        put("burst_percent", delivered as f64 * 100.0 / (BURST * count) as f64);
        put("burst_s", seconds);
        put("loaded_rss_mib", fleet.mean_mib(resident));
    }
    figures
}

/// What it uses when nothing happens.
fn idle(fleet: &Fleet, count: usize, put: &mut impl FnMut(&str, f64)) -> Rates {
    sleep(SETTLE);
    let before = fleet.usage();
    sleep(IDLE);
    let idle = Rates::between(&before, &fleet.usage(), count);
    put("idle_cpu_percent", idle.cpu * 100.0);
    put("idle_bytes", idle.bytes);
    put("idle_datagrams", idle.datagrams);
    idle
}

/// Events of which one agent after the other waits for receipts, timed from before the call until it is answered. Go's agents
/// know nothing of that, and hang up.
fn receipts(fleet: &Fleet, put: &mut impl FnMut(&str, f64)) {
    let (mut times, mut missing) = (Vec::new(), 0);
    for agent in fleet.agents.iter().cycle().take(EVENTS) {
        let mut rpc = agent.rpc();
        let fired = Instant::now();
        let Ok(without) = rpc.event_with_receipts("waited-for") else { return };
        missing += without;
        times.push(fired.elapsed().as_secs_f64() * 1e3);
        sleep(PAUSE);
    }
    put("receipts_ms", median(&times));
    put("no_receipt", missing as f64);
}

/// Queries from one agent after the other, timed from before the call until it is told that this was all. Each agent's handler
/// is a script that prints a line.
fn queries(fleet: &Fleet, put: &mut impl FnMut(&str, f64)) {
    let (mut times, mut answers) = (Vec::new(), 0);
    for agent in fleet.agents.iter().cycle().take(QUERIES) {
        let mut rpc = agent.rpc();
        let asked = Instant::now();
        answers += rpc.query("bench").expect("the agent answers").len();
        times.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    put("query_ms", median(&times));
    put("unanswered", (QUERIES * fleet.agents.len() - answers) as f64);
}

/// Per node and second.
struct Rates {
    /// Seconds.
    cpu: f64,
    bytes: f64,
    datagrams: f64,
}

impl Rates {
    fn between(before: &Usage, after: &Usage, count: usize) -> Rates {
        let share = 1.0 / (after.at - before.at).as_secs_f64() / count as f64;
        Rates {
            cpu: (after.cpu - before.cpu) * share,
            bytes: (after.traffic.bytes - before.traffic.bytes) * share,
            datagrams: (after.traffic.datagrams - before.traffic.datagrams) * share,
        }
    }
}

/// Milliseconds per event; `all` has only those that reached everyone.
#[derive(Default)]
struct Spread {
    half: Vec<f64>,
    all: Vec<f64>,
}

impl Spread {
    fn put(&self, put: &mut impl FnMut(&str, f64)) {
        put("half_ms", median(&self.half));
        put("all_ms", median(&self.all));
        put("worst_ms", self.all.iter().copied().fold(0.0, f64::max));
        put("incomplete", (EVENTS - self.all.len()) as f64);
    }
}

/// Single events from one agent after the other, timed from before the call until each agent's stream shows them.
fn spread(fleet: &Fleet) -> Spread {
    let mut spread = Spread::default();
    let count = fleet.agents.len();
    let mut rpcs: Vec<Rpc> = fleet.agents.iter().map(Agent::rpc).collect();
    for number in 0..EVENTS {
        let payload = format!("event {number}").into_bytes();
        let sent = Instant::now();
        rpcs[number % count].event(b"bench", &payload, false).expect("a single event is accepted");
        let arrival = |stream: &Stream| loop {
            let left = EVENT_DEADLINE.saturating_sub(sent.elapsed());
            let event = stream.events.recv_timeout(left).ok()?;
            if event.payload == payload {
                return Some((event.at - sent).as_secs_f64() * 1e3);
            }
        };
        let mut delays: Vec<f64> = fleet.streams.iter().filter_map(arrival).collect();
        delays.sort_by(f64::total_cmp);
        spread.half.extend(delays.get(count.div_ceil(2) - 1));
        if delays.len() == count {
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

/// Kills some at once: for each, seconds until the first of the others lists it as failed, and until all do.
fn kill(fleet: &mut Fleet) -> (Vec<f64>, Vec<f64>) {
    let killed = fleet.agents.split_off(fleet.agents.len() - KILLED);
    fleet.streams.truncate(fleet.agents.len());
    let names: Vec<String> = killed.iter().map(|agent| agent.name().to_owned()).collect();
    let mut rpcs: Vec<Rpc> = fleet.agents.iter().map(Agent::rpc).collect();
    let died = Instant::now();
    killed.into_iter().for_each(|agent| drop(agent.crash()));
    let (mut first, mut last) = (vec![f64::NAN; KILLED], vec![f64::NAN; KILLED]);
    wait_until("all to notice the deaths", || {
        let lists: Vec<_> = rpcs.iter_mut().map(|rpc| rpc.members().expect("the others stay")).collect();
        let after = died.elapsed().as_secs_f64();
        for (i, name) in names.iter().enumerate() {
            let noticed = lists.iter().filter(|list| list[name] == "failed").count();
            if noticed > 0 {
                first[i] = first[i].min(after);
            }
            if noticed == lists.len() {
                last[i] = last[i].min(after);
            }
        }
        sleep(Duration::from_millis(30));
        last.iter().all(|last| last.is_finite())
    });
    (first, last)
}

/// Stops and continues every agent by itself, again and again: how often a living one was told to have failed, over all
/// agents.
fn starve(fleet: &Fleet) -> usize {
    // Those that were killed have been told of by then.
    sleep(AFTERMATH);
    let failures: Vec<Stream> = fleet
        .agents
        .iter()
        .map(|agent| agent.rpc().stream("member-failed").expect("the agent takes streams"))
        .collect();
    scope(|threads| {
        for agent in &fleet.agents {
            threads.spawn(|| stutter(agent.pid()));
        }
    });
    sleep(AFTERMATH);
    let told = failures.iter().flat_map(|stream| stream.events.try_iter());
    told.flat_map(|event| event.members)
        .filter(|name| fleet.agents.iter().any(|agent| agent.name() == name))
        .count()
}

fn stutter(pid: u32) {
    let began = Instant::now();
    let mut rng = Rng::new(pid.into());
    let send = |which| signal(Pid::from_raw(pid as i32), which).expect("the agent stays");
    while began.elapsed() < STARVED {
        send(Signal::SIGSTOP);
        sleep(Duration::from_millis(rng.range(STOPPED)));
        send(Signal::SIGCONT);
        sleep(RUNNING);
    }
}

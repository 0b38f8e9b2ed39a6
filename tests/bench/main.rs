//! Our agent beside Debian's Go Serf, one fleet after the other on the same machine: `tests/run bench`.
//!
//! Each fleet has a network namespace of its own, where nothing but the agents sends: loopback's byte counter there is the
//! fleet's traffic, TCP and all headers included. This program starts itself once per fleet for that.

mod bare;
mod brokers;
mod crashes;
mod fleet;
#[path = "../process/harness/mod.rs"]
mod harness;
mod phases;
mod proc;
mod sockets;
mod sustained;
#[path = "../table.rs"]
mod table;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use brokers::Whose;
use harness::{debian, ours};
use phases::{Figures, IDLE, RUNNING, STARVED, STOPPED};
use table::Goal::{AtLeast, AtMost, None};
use table::{head, judged, number, row};

/// How this program tells itself what to measure: everything or single events of so many agents of one binary, or a
/// rate for so many seconds.
const EVERYTHING: &str = "--everything";
const EVENTS: &str = "--events";
const SEALED: &str = "--sealed";
const RECORDED: &str = "--recorded";
const SUSTAINED: &str = "--sustained";
const CRASHES: &str = "--crashes";
const BROKER: &str = "--broker";
const BESIDE_BROKER: &str = "--beside-broker";
const BARE: &str = "--bare";
/// What its user tells it: only the part about crashes, or beside a broker.
const ONLY_CRASHES: &str = "crashes";
const ONLY_BROKERS: &str = "brokers";

/// Agents of the fleet that goes through all phases, and of the larger one.
const COUNT: usize = 20;
const MANY: usize = 50;
/// Offered in turn, in events per second.
const RATES: [usize; 3] = [500, 1_000, 4_000];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let numeric = |i: usize| args.get(i).and_then(|text| text.parse().ok()).expect("a number follows");
    let binary = || Path::new(args.get(1).expect("the binary follows"));
    let figures = match args.first().map(String::as_str) {
        Some(EVERYTHING) => phases::everything(binary(), numeric(2)),
        Some(EVENTS) => phases::events(binary(), numeric(2)),
        Some(SEALED) => phases::sealed(binary(), numeric(2)),
        Some(RECORDED) => phases::recorded(binary(), numeric(2)),
        Some(SUSTAINED) => {
            sustained::measure(binary(), numeric(2), numeric(3), Duration::from_secs(numeric(4) as u64))
        }
        Some(CRASHES) => crashes::measure(binary(), numeric(2), args.get(3).expect("a name follows")),
        Some(BROKER) => brokers::mosquitto(binary(), numeric(2), numeric(3) as u8),
        Some(BESIDE_BROKER) => brokers::agents(binary(), numeric(2)),
        Some(BARE) => bare::measure(numeric(2)),
        Some(bare::PASS_ON) => {
            bare::pass_on(&args[1], &args[2]);
            return ExitCode::SUCCESS;
        }
        _ if args.iter().any(|arg| arg == ONLY_CRASHES) => return crashed(),
        _ if args.iter().any(|arg| arg == ONLY_BROKERS) => return beside_brokers(),
        _ => return report(),
    };
    figures.iter().for_each(|(name, value)| println!("{name} {value}"));
    ExitCode::SUCCESS
}

/// Crashes alone: they take long, as Go's agents do.
fn crashed() -> ExitCode {
    let binaries = [debian(), ours()];
    let report =
        crashes::report(|which, name| measured(binaries[which], &[CRASHES, &which.to_string(), name]));
    match report {
        Some(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Option::None => ExitCode::FAILURE,
    }
}

/// Events beside a broker, alone.
fn beside_brokers() -> ExitCode {
    let folder = env::var("SERF_MOSQUITTO")
        .expect("SERF_MOSQUITTO names where mosquitto is unpacked; tests/run does it");
    let report = brokers::report(|count, whose| match whose {
        Whose::Mosquitto(qos) => {
            measured(Path::new(&folder), &[BROKER, &count.to_string(), &qos.to_string()])
        }
        Whose::Bare => measured(ours(), &[BARE, &count.to_string()]),
        Whose::Ours => measured(ours(), &[BESIDE_BROKER, &count.to_string()]),
    });
    match report {
        Some(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Option::None => ExitCode::FAILURE,
    }
}

/// Seconds per rate: `RATE_SECONDS`, for those who want to know whether it lasts.
fn length() -> Duration {
    let seconds = env::var("RATE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

fn report() -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    println!("One machine with {cores} cores (load before: {load}), LAN profile.");
    let measure = |what: [&str; 2]| [debian(), ours()].map(|binary| measured(binary, &what));
    let [Some(theirs), Some(ours)] = measure([EVERYTHING, &COUNT.to_string()]) else {
        return ExitCode::FAILURE;
    };
    print!("{}", beside(&theirs, &ours));
    let [Some(theirs), Some(ours)] = measure([EVENTS, &MANY.to_string()]) else {
        return ExitCode::FAILURE;
    };
    print!("{}", beside_many(&theirs, &ours));
    for count in [COUNT, MANY] {
        let [Some(theirs), Some(ours)] = measure([SEALED, &count.to_string()]) else {
            return ExitCode::FAILURE;
        };
        print!("{}", beside_sealed(count, &theirs, &ours));
    }
    let [Some(theirs), Some(ours)] = measure([RECORDED, &COUNT.to_string()]) else {
        return ExitCode::FAILURE;
    };
    print!("{}", beside_recorded(&theirs, &ours));
    println!(
        "\nEvents, 200 ms apart, are timed from before the RPC call until each agent's RPC stream shows them. CPU time is\n\
         /proc/PID/task/*/schedstat over {IDLE:?}, traffic the loopback counter of the fleet's own network namespace over the\n\
         same time, memory VmRSS and PSS, each as the mean over the agents; an event's CPU time and bytes are what 30 of\n\
         them add to that, RPC and streams included. Agents are starved by SIGSTOP and SIGCONT for {STARVED:?}: each runs\n\
         for {RUNNING:?}, then stands for {STOPPED:?} ms, and so on."
    );
    print!("{}", sockets::table());
    print!("{}", sustained::title(COUNT, length()));
    for rate in RATES {
        let what = [SUSTAINED, &COUNT.to_string(), &rate.to_string(), &length().as_secs().to_string()];
        let Some(figures) = measured(harness::ours(), &what) else { return ExitCode::FAILURE };
        print!("{}", sustained::line(rate, &figures));
    }
    ExitCode::SUCCESS
}

/// Has this program measure `binary` in a network namespace of its own: `what[0]`, the binary, and the rest.
fn measured(binary: &Path, what: &[&str]) -> Option<Figures> {
    let own = env::current_exe().expect("a running program has a path");
    // Root may make a network namespace directly; others need a user namespace around it.
    let works = |kind: &&str| {
        let tried = Command::new("unshare").args([kind, "true"]).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let mut command = match ["-n", "-rn"].into_iter().find(works) {
        Some(kind) => {
            let mut command = Command::new("unshare");
            command.args([kind, "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]).arg(own);
            command
        }
        Option::None => {
            println!("No network namespaces for this user: traffic includes all else on this loopback.");
            Command::new(own)
        }
    };
    command.arg(what[0]).arg(binary).args(&what[1..]);
    let output = command.stderr(Stdio::inherit()).output().expect("this program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let figure = |line: &str| {
        line.split_once(' ').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
    };
    output.status.success().then(|| text.lines().filter_map(figure).collect())
}

/// What a figure of ours has to be.
#[derive(Clone, Copy)]
enum Wanted {
    Goal(table::Goal),
    /// At most Go's figure divided by this.
    Divided(f64),
    /// At most so many times another figure of ours.
    TimesOwn(f64, &'static str),
}
use Wanted::{Divided, Goal, TimesOwn};

fn beside(theirs: &Figures, ours: &Figures) -> String {
    let rows = [
        ("event at half of the agents, median (ms)", "half_ms", Goal(None)),
        ("event at all agents, median (ms)", "all_ms", Divided(10.0)),
        ("event at all agents, worst (ms)", "worst_ms", Goal(None)),
        ("events not everywhere after 10 s, of 30", "incomplete", Goal(AtMost(0.0))),
        ("event until its receipts are here, median (ms)", "receipts_ms", TimesOwn(2.0, "all_ms")),
        ("receipts that did not come, of 30 events", "no_receipt", Goal(AtMost(0.0))),
        ("query until its end, median (ms)", "query_ms", Divided(100.0)),
        ("answers that did not come, of 5 queries", "unanswered", Goal(AtMost(0.0))),
        ("CPU per event and node (µs)", "event_cpu_us", Goal(None)),
        ("bytes per event and node", "event_bytes", Goal(None)),
        ("burst of 2,000 through one connection, delivered (%)", "burst_percent", Goal(AtLeast(100.0))),
        ("time until the burst's last delivery (s)", "burst_s", Goal(None)),
        ("killed agent failed at the first (s)", "noticed_first_s", Goal(None)),
        ("killed agent failed at all (s)", "noticed_all_s", Goal(None)),
        ("living agents told to have failed, starved of CPU", "accused", Goal(AtMost(0.0))),
        ("idle CPU per node (%)", "idle_cpu_percent", Divided(3.0)),
        ("idle traffic per node, all of it (bytes/s)", "idle_bytes", Goal(AtMost(173.0))),
        ("idle UDP datagrams per node (1/s)", "idle_datagrams", Goal(None)),
        ("resident memory, idle (MiB)", "idle_rss_mib", Divided(4.0)),
        ("of it proportional (PSS, MiB)", "idle_pss_mib", Divided(4.0)),
        ("resident memory after the burst (MiB)", "loaded_rss_mib", Goal(None)),
        ("all see all alive after the start, median of 5 (s)", "converged_s", Goal(None)),
        ("binary (MiB)", "binary_mib", Goal(AtMost(4.0))),
    ];
    side_by_side(COUNT, &rows, theirs, ours)
}

fn beside_many(theirs: &Figures, ours: &Figures) -> String {
    let rows = [
        ("event at half of the agents, median (ms)", "half_ms", Goal(None)),
        ("event at all agents, median (ms)", "all_ms", Divided(10.0)),
        ("event at all agents, worst (ms)", "worst_ms", Goal(None)),
        ("events not everywhere after 10 s, of 30", "incomplete", Goal(AtMost(0.0))),
        ("event until its receipts are here, median (ms)", "receipts_ms", TimesOwn(2.0, "all_ms")),
        ("receipts that did not come, of 30 events", "no_receipt", Goal(AtMost(0.0))),
        ("query until its end, median (ms)", "query_ms", Divided(100.0)),
        ("answers that did not come, of 5 queries", "unanswered", Goal(AtMost(0.0))),
        ("all see all alive after the start (s)", "converged_s", Goal(None)),
    ];
    side_by_side(MANY, &rows, theirs, ours)
}

fn beside_sealed(count: usize, theirs: &Figures, ours: &Figures) -> String {
    let rows = [
        ("with a key: event at all agents, median (ms)", "all_ms", TimesOwn(1.15, "open_all_ms")),
        ("without one, just before (ms)", "open_all_ms", Goal(None)),
        ("event at all agents, worst (ms)", "worst_ms", Goal(None)),
        ("events not everywhere after 10 s, of 30", "incomplete", Goal(AtMost(0.0))),
        ("idle traffic per node, all of it (bytes/s)", "idle_bytes", Goal(AtMost(243.0))),
        ("idle UDP datagrams per node (1/s)", "idle_datagrams", Goal(None)),
        ("idle CPU per node (%)", "idle_cpu_percent", Goal(None)),
        ("all see all alive after the start (s)", "converged_s", Goal(None)),
    ];
    side_by_side(count, &rows, theirs, ours)
}

fn beside_recorded(theirs: &Figures, ours: &Figures) -> String {
    let rows = [
        ("with snapshots: event at all agents, median (ms)", "all_ms", TimesOwn(1.5, "plain_all_ms")),
        ("without, just before (ms)", "plain_all_ms", Goal(None)),
        ("CPU per event and node (µs)", "event_cpu_us", Goal(None)),
        ("without (µs)", "plain_event_cpu_us", Goal(None)),
        ("burst of 2,000, delivered (%)", "burst_percent", Goal(AtLeast(100.0))),
        ("time until its last delivery (s)", "burst_s", TimesOwn(1.5, "plain_burst_s")),
        ("without (s)", "plain_burst_s", Goal(None)),
        ("idle CPU per node (%)", "idle_cpu_percent", Goal(None)),
        ("without (%)", "plain_idle_cpu_percent", Goal(None)),
        ("resident memory after the burst (MiB)", "loaded_rss_mib", Goal(None)),
        ("without (MiB)", "plain_loaded_rss_mib", Goal(None)),
    ];
    side_by_side(COUNT, &rows, theirs, ours)
}

fn side_by_side(count: usize, rows: &[(&str, &str, Wanted)], theirs: &Figures, ours: &Figures) -> String {
    let mut text = head(&format!("{count} agents"), 1, &["figure", "Go Serf", "ours", "goal", "met"]);
    let value = |figures: &Figures, key: &str| figures.get(key).copied().unwrap_or(f64::NAN);
    for (label, key, wanted) in rows {
        let (go, own) = (value(theirs, key), value(ours, key));
        let goal = match *wanted {
            Goal(goal) => goal,
            Divided(by) => AtMost(go / by),
            TimesOwn(by, other) => AtMost(value(ours, other) * by),
        };
        let [goal, met] = judged(own, goal);
        text += &row(&[(*label).into(), number(go), number(own), goal, met]);
    }
    text
}

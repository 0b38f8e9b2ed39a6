//! Our agent beside Debian's Go Serf, one fleet after the other on the same machine: `tests/run bench`.
//!
//! Each fleet has a network namespace of its own, where nothing but the agents sends: loopback's byte counter there is the
//! fleet's traffic, TCP and all headers included. This program starts itself once per fleet for that.

mod fleet;
#[path = "../process/harness/mod.rs"]
mod harness;
mod proc;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use fleet::Figures;
use harness::{debian, ours};

/// How this program tells itself to measure one binary.
const MEASURE: &str = "--measure";

fn main() -> ExitCode {
    let count = env::var("AGENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(20);
    let mut args = env::args().skip(1);
    if args.next().as_deref() == Some(MEASURE) {
        let binary = args.next().expect("the binary follows");
        // The agents are started first and stop the program if they cannot: nothing here needs this to succeed.
        let _ = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        for (name, value) in fleet::measure(Path::new(&binary), count) {
            println!("{name} {value}");
        }
        return ExitCode::SUCCESS;
    }

    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{count} agents each on one machine with {cores} cores, LAN profile.\n");
    let figures = [debian(), ours()].map(in_namespace);
    let [Some(theirs), Some(ours)] = figures else { return ExitCode::FAILURE };
    print_table(&theirs, &ours);
    println!(
        "\nEvents, 200 ms apart, are timed from before the RPC call until each agent's RPC stream shows them."
    );
    println!("CPU time is /proc/PID/stat over 20 s, traffic the loopback counter of the fleet's own network");
    println!("namespace over the same time, memory VmRSS and PSS, each as the mean over the agents.");
    ExitCode::SUCCESS
}

fn in_namespace(binary: &Path) -> Option<Figures> {
    let own = env::current_exe().expect("a running program has a path");
    // Root may make a network namespace directly; others need a user namespace around it.
    let kinds = ["-n", "-rn"];
    let works = |kind: &&str| {
        let tried = Command::new("unshare").args([kind, "true"]).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let mut command = if let Some(kind) = kinds.into_iter().find(works) {
        let mut command = Command::new("unshare");
        command.arg(kind).arg(own);
        command
    } else {
        println!(
            "No network namespaces for this user: the traffic below includes all else on this loopback.\n"
        );
        Command::new(own)
    };
    let output =
        command.arg(MEASURE).arg(binary).stderr(Stdio::inherit()).output().expect("this program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let figure = |line: &str| {
        line.split_once(' ').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
    };
    output.status.success().then(|| text.lines().filter_map(figure).collect())
}

/// What a figure of ours has to be.
enum Goal {
    /// Shown for information.
    None,
    /// At most Go's figure divided by this.
    Divided(f64),
    AtMost(f64),
    AtLeast(f64),
}

fn print_table(theirs: &Figures, ours: &Figures) {
    use Goal::{AtLeast, AtMost, Divided, None};
    let rows = [
        ("event at half of the agents, median (ms)", "half_ms", None),
        ("event at all agents, median (ms)", "all_ms", Divided(10.0)),
        ("event at all agents, worst (ms)", "worst_ms", None),
        ("events not everywhere after 10 s, of 30", "incomplete", AtMost(0.0)),
        ("burst of 2,000 through one connection, delivered (%)", "burst_percent", AtLeast(100.0)),
        ("time until the burst's last delivery (s)", "burst_s", None),
        ("idle CPU per node (%)", "idle_cpu_percent", Divided(3.0)),
        ("idle traffic per node, all of it (bytes/s)", "idle_bytes", Divided(2.0)),
        ("idle UDP datagrams per node (1/s)", "idle_datagrams", None),
        ("resident memory, idle (MiB)", "idle_rss_mib", Divided(4.0)),
        ("of it proportional (PSS, MiB)", "idle_pss_mib", Divided(4.0)),
        ("resident memory after the burst (MiB)", "loaded_rss_mib", None),
        ("all see all alive after the start (s)", "converged_s", None),
        ("binary (MiB)", "binary_mib", AtMost(4.0)),
    ];
    println!("| figure | Go Serf | ours | goal | |\n|---|---:|---:|---:|---|");
    for (label, key, goal) in rows {
        let value = |figures: &Figures| figures.get(key).copied().unwrap_or(f64::NAN);
        let (theirs, ours) = (value(theirs), value(ours));
        let (goal, met) = match goal {
            None => (String::from("–"), Option::None),
            Divided(by) => (format!("≤ {}", short(theirs / by)), Some(ours <= theirs / by)),
            AtMost(most) => (format!("≤ {}", short(most)), Some(ours <= most)),
            AtLeast(least) => (format!("≥ {}", short(least)), Some(ours >= least)),
        };
        let verdict = met.map_or("", |met| if met { "met" } else { "NOT MET" });
        println!("| {label} | {} | {} | {goal} | {verdict} |", short(theirs), short(ours));
    }
}

/// Three significant digits or so.
fn short(value: f64) -> String {
    let digits = if value == 0.0 || value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}")
}

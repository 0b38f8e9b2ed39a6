//! Figures of simulated fleets: `tests/run simbench`. No pass or fail; what does not depend on the machine is kept in
//! `figures.md`, so that whoever changes it sees it in the diff.
//!
//! Large fleets are measured by this program started once more for each, for the sake of their memory.

mod attacks;
mod collapse;
mod foca;
mod instructions;
mod lifeguard;
mod machine;
mod queries;
mod rapid;
#[path = "../table.rs"]
mod table;

use std::env;
use std::process::{Child, Command, Stdio};

use fleet_tests::detection::{End, Trial, quantile};
use fleet_tests::measure::{self, Figures, LOSSES};
use serf_nostd::Config;
use table::Goal::{AtLeast, AtMost, None};
use table::{goal, goals, head, judged, number, row};

/// How this program tells itself to measure one fleet of ours, its queries, its storm of joining, the memory of a full-size
/// one, or a fleet of foca's.
const FLEET: &str = "--fleet";
const QUERIES: &str = "--queries";
const FULL_SIZE: &str = "--full-size";
const FOCA: &str = "--foca";
const STORM: &str = "--storm";
/// Parts of the report alone.
const ATTACKS: &str = "--attacks";
const YEARS: &str = "--years";
const LIFEGUARD: &str = "--lifeguard";
const DETECTION: &str = "--detection";
const RAPID: &str = "--rapid";
const COLLAPSE: &str = "--collapse";

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
/// Fleets that join all at once: their news about each other are as many as the square of their number.
const STORMS: [usize; 4] = [10, 100, 1_000, 2_000];
/// Fleets that are asked.
const ASKED: [usize; 2] = [1_000, 10_000];
/// foca's fleets: what it does for a packet grows with its table.
const FOCA_SIZES: [usize; 3] = [10, 100, 1_000];
const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/simbench/figures.md");

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let number = |i: usize| args.get(i).and_then(|text| text.parse().ok()).expect("a number follows");
    match args.first().map(String::as_str) {
        Some(FLEET) => show(&with_memory(measure::at_rest(number(1)))),
        Some(QUERIES) => show(&queries::measure(number(1))),
        Some(STORM) => show(&storm(number(1))),
        Some(FOCA) => show(&foca::measure(number(1))),
        Some(FULL_SIZE) => show(&with_memory(machine::full_size(number(1)))),
        Some(ATTACKS) => println!("{}", attacks::table()),
        Some(LIFEGUARD) => println!("{}", lifeguard::table()),
        Some(COLLAPSE) => println!("{}", collapse::table()),
        Some(RAPID) => println!("{}", rapid::table()),
        Some(DETECTION) => println!("{}", detection()),
        Some(YEARS) => println!("{} {}", machine::idle_years(), machine::wide_years()),
        Some(instructions::RUN) => instructions::run(&args[1], number(2) as u64),
        _ => report(),
    }
}

fn show(figures: &Figures) {
    figures.iter().for_each(|(name, value)| println!("{name} {value}"));
}

fn with_memory(mut figures: Figures) -> Figures {
    figures.insert("resident_mib".into(), machine::resident_mib());
    figures
}

fn storm(nodes: usize) -> Figures {
    let (seconds, bytes) = measure::storm(nodes);
    Figures::from([("seconds".into(), seconds), ("bytes".into(), bytes)])
}

fn report() {
    // Alone on the machine, before anything else runs.
    let speed = machine::speed();
    let years = [machine::idle_years(), machine::wide_years()];
    let children = SIZES.map(|nodes| start(FLEET, nodes));
    let rivals = FOCA_SIZES.map(|nodes| start(FOCA, nodes));
    let storms = STORMS.map(|nodes| start(STORM, nodes));
    let full_size = start(FULL_SIZE, 2_000);
    let instructions = instructions::table();
    let detection = detection();
    let fleets = children.map(finish);
    // Not beside another fleet of 10,000: each takes 8 GiB.
    let asked = ASKED.map(|nodes| start(QUERIES, nodes));
    let rivals = rivals.map(finish);
    let storms = storms.map(finish);
    let full_size = finish(full_size);
    let asked = asked.map(finish);

    let kept = [
        events(&fleets),
        queries(&asked),
        detection,
        lifeguard::table(),
        rapid::table(),
        collapse::table(),
        idle(&fleets),
        joining(&storms),
        attacks::table(),
        instructions,
        rival(&fleets, &rivals),
    ]
    .concat();
    println!("{kept}{}", machine_table(speed, years, &fleets[3], &full_size));
    let text = format!(
        "# Figures of simulated fleets\n\nWritten by `tests/run simbench`; the same seed gives the same figures. 2 ms latency, \
         LAN profile.\n{kept}"
    );
    if std::fs::read_to_string(SNAPSHOT).is_ok_and(|before| before == text) {
        println!("\nAs in {SNAPSHOT}.");
    } else {
        std::fs::write(SNAPSHOT, text).expect("the repository can be written to");
        println!("\nChanged: {SNAPSHOT}.");
    }
}

fn start(mode: &str, nodes: usize) -> Child {
    let own = env::current_exe().expect("a running program has a path");
    Command::new(own)
        .args([mode, &nodes.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts again")
}

fn finish(child: Child) -> Figures {
    let output = child.wait_with_output().expect("a child can be waited for");
    assert!(output.status.success(), "a fleet could not be measured");
    let text = String::from_utf8_lossy(&output.stdout);
    let figure =
        |line: &str| line.split_once(' ').and_then(|(name, value)| Some((name.into(), value.parse().ok()?)));
    text.lines().filter_map(figure).collect()
}

fn events(fleets: &[Figures; 4]) -> String {
    let columns = ["nodes", "loss", "to 50 %", "to 99 %", "to all", "payload copies per node", "missed"];
    let mut text = head("Events one by one: median / 95th percentile in ms", 0, &columns);
    for (nodes, figures) in SIZES.into_iter().zip(fleets) {
        for loss in LOSSES {
            let time = |name: &str| {
                let [median, p95] = ["", "_p95"].map(|end| number(figures[&format!("{name}_{loss}{end}")]));
                format!("{median} / {p95}")
            };
            text += &row(&[
                number(nodes as f64),
                format!("{loss} %"),
                time("t50"),
                time("t99"),
                time("t100"),
                number(figures[&format!("copies_{loss}")]),
                number(figures[&format!("missed_{loss}")]),
            ]);
        }
    }
    let largest = &fleets[3];
    text += &goals("Events among 10,000 nodes");
    text += &goal("to 99 % at 5 % loss, median (ms)", largest["t99_5"], AtMost(80.0));
    text += &goal("to all at 5 % loss, median (ms)", largest["t100_5"], AtMost(500.0));
    text += &goal("to all at 5 % loss, 95th percentile (ms)", largest["t100_5_p95"], AtMost(800.0));
    text += &goal("payload copies per node at 5 % loss", largest["copies_5"], AtMost(3.0));
    text += &goal("missed at 5 % loss", largest["missed_5"], AtMost(0.0));
    text += &goal("missed at 25 % loss", largest["missed_25"], AtMost(0.0));
    text
}

fn queries(fleets: &[Figures; 2]) -> String {
    let columns = [
        "nodes",
        "answers within 2 s",
        "never",
        "the last, median (ms)",
        "the last, worst (ms)",
        "copies of each answer",
        "datagrams per node",
        "lost at full queues",
        "Go's way: answers within 2 s",
        "Go's way: lost at full queues",
    ];
    let title = "Queries to all at 5 % loss, 256 datagrams wait at each node, handled in 20 us";
    let mut text = head(title, 0, &columns);
    for (nodes, figures) in ASKED.into_iter().zip(fleets) {
        let figure = |name: &str| number(figures[name]);
        let share = |name: &str| format!("{} %", precise(figures[name]));
        text += &row(&[
            number(nodes as f64),
            share("in_time"),
            share("missed"),
            figure("last_ms"),
            figure("last_ms_worst"),
            figure("answers"),
            figure("datagrams"),
            figure("overflowed"),
            share("go_in_time"),
            figure("go_overflowed"),
        ]);
    }
    text += &goals("Queries to all at 5 % loss");
    for (nodes, figures) in ASKED.into_iter().zip(fleets) {
        let label = format!("answers of {} nodes within 2 s (%)", number(nodes as f64));
        let [goal, met] = judged(figures["in_time"], AtLeast(99.9));
        text += &row(&[label, precise(figures["in_time"]), goal, met]);
    }
    text
}

/// Where three digits would round what is missing away.
fn precise(percent: f64) -> String {
    format!("{percent:.3}")
}

/// Fleets of 1,000 nodes of which some crash: loss in percent, whether they take part in coordinates, how many crash and how.
const CRASHES: [(u32, bool, usize, End); 8] = [
    (1, false, 10, End::Vanishes),
    (1, true, 10, End::Vanishes),
    (5, false, 10, End::Vanishes),
    (5, true, 10, End::Vanishes),
    (25, false, 10, End::Vanishes),
    (25, true, 10, End::Vanishes),
    (0, true, 60, End::Dies),
    (25, true, 60, End::Dies),
];

fn detection() -> String {
    let columns = [
        "loss",
        "coordinates",
        "crashes",
        "living nodes called failed",
        "noticed by the first (s)",
        "by the last (s)",
        "90 % by the last (s)",
        "bytes/s",
    ];
    let title =
        "1,000 nodes in 240 s, some of which lose power or are killed: false verdicts, medians of true ones";
    let mut text = head(title, 0, &columns);
    let (mut falsely, mut killed) = (0, Vec::new());
    for (percent, placed, crashes, end) in CRASHES {
        let (nodes, seconds, without) = (1_000, 240, Option::None);
        let loss = percent as f64 / 100.0;
        let config = Config::LAN;
        let seen = Trial { seed: 1, nodes, loss, seconds, crashes, end, config, placed, without }.run();
        let seconds = |times, share| quantile(times, share).map_or(f64::NAN, |time| time as f64 / 1e6);
        let times = [(&seen.first, 0.5), (&seen.everywhere, 0.5), (&seen.everywhere, 0.9)];
        let times = times.map(|(times, share)| seconds(times, share));
        let how = if end == End::Vanishes { "lose power" } else { "are killed" };
        let head = [
            format!("{percent} %"),
            if placed { "on" } else { "off" }.into(),
            format!("{crashes} {how}"),
            number(seen.failed as f64),
        ];
        text += &row(&[&head[..], &times.map(number), &[number(seen.bytes)]].concat());
        falsely = falsely.max(seen.failed);
        if end == End::Dies {
            killed.push(times);
        }
    }
    text += &goals("Detection among 1,000 nodes");
    text += &goal("living ones called failed, pairs in 240 s", falsely as f64, AtMost(0.0));
    text += &goal("killed, seen by all, median (s)", killed[0][1], AtMost(1.2));
    text += &goal("killed, seen by all, 90 % (s)", killed[0][2], AtMost(2.5));
    text += &goal("killed at 25 % loss, seen by all, median (s)", killed[1][1], AtMost(1.8));
    text
}

fn idle(fleets: &[Figures; 4]) -> String {
    let columns = [
        "nodes",
        "bytes/s",
        "datagrams/s",
        "instructions/s",
        "a joiner's table complete after (ms)",
        "it sends (bytes)",
    ];
    let mut text = head("Idle, per node with UDP and IP heads; and a node that joins", 0, &columns);
    let instructions = SIZES.map(instructions::idle);
    for (i, nodes) in SIZES.into_iter().enumerate() {
        let [bytes, datagrams, ms, joined] =
            ["idle_bytes", "idle_datagrams", "join_ms", "join_bytes"].map(|name| number(fleets[i][name]));
        text += &row(&[number(nodes as f64), bytes, datagrams, number(instructions[i]), ms, joined]);
    }
    let spread = |values: [f64; 4]| {
        let (least, most) = values.iter().fold((f64::MAX, 0.0f64), |(l, m), v| (l.min(*v), m.max(*v)));
        (most / least - 1.0) * 100.0
    };
    text += &goals("Idle at 10 to 10,000 nodes");
    let bytes = fleets.each_ref().map(|figures| figures["idle_bytes"]);
    text += &goal("bytes: most above least (%)", spread(bytes), AtMost(10.0));
    text += &goal("instructions: most above least (%)", spread(instructions), AtMost(10.0));
    text
}

fn joining(storms: &[Figures; 4]) -> String {
    let columns = ["nodes", "all see all after (s)", "bytes sent by each"];
    let mut text = head("All joining within a second through three seeds", 0, &columns);
    for (nodes, figures) in STORMS.into_iter().zip(storms) {
        text += &row(&[number(nodes as f64), number(figures["seconds"]), number(figures["bytes"])]);
    }
    text += &goals("All joining (published, on real machines: memberlist 95 s, Rapid some 44)");
    text += &goal("2,000 at once, all see all after (s)", storms[3]["seconds"], AtMost(20.0));
    text
}

fn rival(ours: &[Figures; 4], theirs: &[Figures; 3]) -> String {
    let columns =
        ["", "nodes", "loss", "to 50 %", "to 99 %", "to all", "copies per node", "missed", "idle bytes/s"];
    let mut text = head("Events of ours and foca's: medians in ms", 1, &columns);
    for (i, nodes) in FOCA_SIZES.into_iter().enumerate() {
        for loss in foca::LOSSES {
            for (name, figures) in [("ours", &ours[i]), ("foca", &theirs[i])] {
                let figure = |name: &str| number(figures[&format!("{name}_{loss}")]);
                let cells = ["t50", "t99", "t100", "copies", "missed"].map(figure);
                let which = [name.into(), number(nodes as f64), format!("{loss} %")];
                text += &row(&[&which[..], &cells, &[number(figures["idle_bytes"])]].concat());
            }
        }
    }
    let columns = ["loss", "living nodes called dead, pairs of observer and subject"];
    text += &head("foca: false verdicts among 100 nodes in 240 s", 0, &columns);
    for loss in [1, 5, 25] {
        text += &row(&[format!("{loss} %"), number(foca::verdicts(100, loss) as f64)]);
    }
    text
}

fn machine_table(speed: f64, years: [f64; 2], largest: &Figures, full_size: &Figures) -> String {
    let gib = |figures: &Figures| figures["resident_mib"] / 1024.0;
    let mut text = goals("The simulator on this machine");
    text += &goal("1,000 nodes: steps per second and core (millions)", speed / 1e6, AtLeast(1.0));
    text += &goal("1,000 nodes, idle: node-years per day", years[0], AtLeast(600.0));
    text += &goal("the wide world: node-years per day", years[1], None);
    text += &goal("10,000 nodes, small records (GiB)", gib(largest), AtMost(8.0));
    text += &goal("2,000 nodes, full-size records (GiB)", gib(full_size), None);
    text
}

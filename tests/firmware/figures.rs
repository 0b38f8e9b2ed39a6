//! Figures of the firmware: `tests/run figures`. Sizes are the image's as it is shipped; times and loads are QEMU's, on
//! this machine.

#[allow(dead_code, reason = "the tests use the rest")]
mod board;
#[allow(dead_code, reason = "the tests use the rest")]
mod fleet;
#[allow(dead_code, reason = "the tests use the rest")]
mod frame;
#[allow(dead_code, reason = "the tests use the rest")]
mod image;
#[allow(dead_code, reason = "the tests use the rest")]
mod lab;
mod log;
#[allow(dead_code, reason = "the tests use the rest")]
mod report;
#[allow(dead_code, reason = "the tests use the rest")]
mod server;
mod storm;

#[path = "../hub/mod.rs"]
#[allow(dead_code, reason = "every suite uses its own part of it")]
mod hub;

#[path = "../process/harness/mod.rs"]
mod harness;

#[path = "../table.rs"]
mod table;

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fleet::Fleet;
use image::Image;
use lab::Lab;
use selftest::{LEN, Pair};
use serf_nostd::storage;
use storm::Storm;
use table::Goal;

const KIB: f64 = 1024.0;
/// Events each way whose latency is measured.
const EVENTS: usize = 30;
/// How long idleness is watched.
const IDLE: Duration = Duration::from_secs(20);

fn main() {
    print!("{}", table::goals("The firmware"));
    let elf = image::build("qemu-mps2", "qemu-mps2");
    let image = Image::read(&elf);
    let core = Image::read(&image::build("probe", "probe"));
    row("flash, the whole image (KiB)", image.flash as f64 / KIB, Some(92.0));
    row("flash, the core alone (KiB)", core.flash as f64 / KIB, None);
    row("`Storage` for 8 members (KiB)", <storage! { members: 8 }>::SIZE as f64 / KIB, None);
    row("`Storage` for 32 members (KiB)", <storage! { members: 32 }>::SIZE as f64 / KIB, Some(18.0));
    row("`Storage` for 64 members (KiB)", <storage! { members: 64 }>::SIZE as f64 / KIB, None);

    let stack = few_boards();
    row("variables, `Storage` for 32 among them (KiB)", image.ram as f64 / KIB, None);
    row("stack, high-water mark (KiB)", stack as f64 / KIB, None);
    row("variables and stack (KiB)", (image.ram + stack as u64) as f64 / KIB, Some(48.0));
    many_boards();
    sealing(&image);
    storms();
    core_by_room(&elf);
}

/// A key, in base64.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What sealing, and operators beside it, take.
fn sealing(open: &Image) {
    print!("{}", table::goals("Sealing"));
    let [sealed, signed] = ["sealed", "signed"].map(|name| Image::read(&image::build("qemu-mps2", name)));
    row("flash, more than unsealed (KiB)", (sealed.flash - open.flash) as f64 / KIB, Some(8.0));
    row("variables, more than unsealed, for 32 members (bytes)", (sealed.ram - open.ram) as f64, Some(762.0));
    row(
        "flash for operators, more than sealed (KiB)",
        (signed.flash - sealed.flash) as f64 / KIB,
        Some(16.0),
    );
    let lab = Lab::new(9);
    let mut board = lab.board("price", "price", &[]);
    board.set_pace("shift=10,sleep=off");
    board.switch_on();
    board.wait_lines("price: ", 1);
    let lines = board.lines();
    let told = lines.iter().find(|line| line.contains("price: ")).expect("waited for");
    let price = |name: &str| -> f64 {
        let (_, price) = told.split_once(&format!(" {name} ")).expect("it tells them all");
        price.split(' ').next().and_then(|price| price.parse().ok()).expect("a number")
    };
    for (name, what, goal) in [
        ("seal", "seal", 11_000.0),
        ("open", "open", 13_000.0),
        ("forged", "refuse a forgery of", 8_000.0),
        ("replayed", "refuse a repetition of", 1_200.0),
    ] {
        row(&format!("to {what} {LEN} bytes (instructions)"), price(name), Some(goal));
    }
    let here = |_| {
        let (mut pairs, mut nodes) = ([const { Pair::new() }; 2], Default::default());
        let start = Instant::now();
        let prices = selftest::prices(&mut pairs, &mut nodes, || start.elapsed().as_nanos() as u32);
        prices.expect("they meet")
    };
    let least = (0..200).map(here).reduce(|least, prices| least.least(&prices)).expect("there are some");
    row(&format!("on this machine, to seal {LEN} bytes (us)"), f64::from(least.seal()) / 1e3, Some(1.0));
    row(&format!("on this machine, to open {LEN} bytes (us)"), f64::from(least.open()) / 1e3, Some(1.0));
}

/// Forgeries at a board of 62.5 MIPS, while events flow.
fn storms() {
    print!("{}", table::goals("Forged datagrams, at a sealed board of 62.5 MIPS"));
    let mut fleet = Fleet::sealed_slow(3, KEY);
    fleet.wait_agree();
    let storm = Storm::new(&fleet);
    let (mut worst, mut fired) = (0.0_f64, 0);
    storm.rage(&fleet, 2_000, Duration::from_secs(20), |_| {
        let heard = fleet.boards[0].heard("blink").len();
        fired += 1;
        fleet.servers[0].fire("blink", [fired.to_string()], false);
        worst = worst.max(waited(|| fleet.boards[0].heard("blink").len() > heard));
    });
    row(&format!("under 2,000 a second, the latest of {fired} events (ms)"), worst, Some(100.0));
    storm.rage(&fleet, 10_000, Duration::from_secs(20), |_| {});
    let start = Instant::now();
    fleet.wait_agree();
    row("after 10,000 a second, a member again after (s)", start.elapsed().as_secs_f64(), Some(5.0));
    row("starts of the board", fleet.boards[0].count(": boot ") as f64, Some(1.0));
    row("forgeries that it has counted", fleet.boards[0].report().number("refused_forged") as f64, None);
}

/// What each part of the core costs of the image's flash, so that a change shows what it adds.
fn core_by_room(elf: &Path) {
    print!("{}", table::head("The core's code in the image", 1, &["room", "bytes"]));
    let rooms = image::rooms(elf);
    let all = rooms.iter().map(|(_, bytes)| bytes).sum::<u64>();
    for (room, bytes) in rooms {
        print!("{}", table::row(&[format!("`{room}`"), bytes.to_string()]));
    }
    print!("{}", table::row(&["all of the core".into(), all.to_string()]));
}

fn row(name: &str, value: f64, goal: Option<f64>) {
    print!("{}", table::goal(name, value, goal.map_or(Goal::None, Goal::AtMost)));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// How long until `done`, in milliseconds.
fn waited(done: impl Fn() -> bool) -> f64 {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing is lost here");
        sleep(Duration::from_micros(200));
    }
    start.elapsed().as_secs_f64() * 1e3
}

/// Two agents and four boards. Returns the most that a board has used of its stack.
fn few_boards() -> usize {
    let mut fleet = Fleet::start(1, 2, "qemu-mps2", 4);
    fleet.wait_agree();
    let mut joined = Vec::new();
    for board in &mut fleet.boards {
        for _ in 0..5 {
            board.switch_off();
            let before = board.count(" joined");
            board.switch_on();
            board.wait_lines(" joined", before + 1);
            let lines = board.lines();
            let line = lines.iter().rfind(|line| line.contains(" joined")).expect("waited for");
            let seconds = line.split_whitespace().next().and_then(|time| time.parse::<f64>().ok());
            joined.push(1e3 * seconds.expect("a line begins with the board's time"));
        }
    }
    row("from the board's start to joined, median (ms)", median(joined), None);

    fleet.wait_agree();
    let (mut down, mut up) = (Vec::new(), Vec::new());
    for event in 1..=EVENTS {
        let server = &fleet.servers[0];
        let heard = fleet.boards[0].heard("blink").len();
        server.fire("blink", [event.to_string()], false);
        down.push(waited(|| fleet.boards[0].heard("blink").len() > heard));
        let heard = server.heard("button").len();
        fleet.boards[0].press();
        up.push(waited(|| server.heard("button").len() > heard));
        sleep(Duration::from_millis(100));
    }
    row("event, from the agent's answer to the board's log, median (ms)", median(down), None);
    row("event, from the board's button to the agent's handler, median (ms)", median(up), None);

    let before: Duration = fleet.boards.iter().map(|board| board.cpu_time()).sum();
    sleep(IDLE);
    let used = fleet.boards.iter().map(|board| board.cpu_time()).sum::<Duration>() - before;
    row("host's CPU for an idle board (%)", 100.0 * used.as_secs_f64() / IDLE.as_secs_f64() / 4.0, None);
    fleet.boards.iter_mut().map(|board| board.report().stack).max().expect("there are boards")
}

fn many_boards() {
    let mut fleet = Fleet::start(2, 5, "qemu-mps2", 25);
    fleet.wait_agree();
    let before: Duration = fleet.boards.iter().map(|board| board.cpu_time()).sum();
    sleep(IDLE);
    let used = fleet.boards.iter().map(|board| board.cpu_time()).sum::<Duration>() - before;
    row(
        "host's CPU for 25 boards beside 5 agents (% of a core)",
        100.0 * used.as_secs_f64() / IDLE.as_secs_f64(),
        None,
    );
}

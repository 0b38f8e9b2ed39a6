//! Figures of the firmware: `tests/run figures`. Sizes are the image's as it is shipped; times and loads are QEMU's, on
//! this machine.

#[allow(dead_code, reason = "the tests use the rest")]
mod board;
#[allow(dead_code, reason = "the tests use the rest")]
mod fleet;
#[allow(dead_code, reason = "the tests use the rest")]
mod image;
#[allow(dead_code, reason = "the tests use the rest")]
mod lab;
mod log;
#[allow(dead_code, reason = "the tests use the rest")]
mod report;
#[allow(dead_code, reason = "the tests use the rest")]
mod server;

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
use serf_nostd::storage;
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
    core_by_room(&elf);
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

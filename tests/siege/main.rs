//! Storms upon one agent, and what they leave behind: `tests/run siege`.
//!
//! Each storm meets an agent of its own. Shown is what its process holds in memory before, at the peak, and when it is quiet
//! again; and how long another client of its waited for an answer meanwhile, at the longest.

#[path = "../process/harness/mod.rs"]
mod harness;
mod storms;
#[path = "../table.rs"]
mod table;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::Agent;
use harness::memory::Memory;
use harness::rpc::Rpc;
use table::Goal::AtMost;
use table::{head, judged, number, row};

/// What an agent may hold more than before when it is quiet again, in MiB.
const LEFT: f64 = 1.0;

/// How long it may take to be quiet again: the longest patience of the RPC, and of the core with a join, and some.
const QUIET: Duration = Duration::from_secs(40);

fn main() {
    let columns = [
        "storm",
        "before (MiB)",
        "peak (MiB)",
        "after (MiB)",
        "left (MiB)",
        "goal",
        "met",
        "longest answer to others (ms)",
    ];
    let mut text = head("What storms leave behind", 1, &columns);
    for storm in storms::ALL {
        text += &endure(&storm);
    }
    println!("{text}");
}

fn endure(storm: &storms::Storm) -> String {
    let agents = (storm.fleet)();
    let agent = &agents[0];
    // The core's own memory is touched as it is used, and stays.
    let events = (0..5_000_u32).map(|number| (&b"warm up"[..], number.to_string().into_bytes()));
    client(agent, storm.token).burst(events).expect("it answers");
    // The system's resolver is loaded when it is needed first.
    client(agent, storm.token).begin_join(&["nobody.invalid".to_owned()]).expect("it listens");
    thread::sleep(Duration::from_secs(15));
    let memory = Memory::of(agent.pid());
    let before = memory.resident();
    memory.forget_peak();
    let over = AtomicBool::new(false);
    let longest = thread::scope(|scope| {
        let others = scope.spawn(|| longest_answer(client(agent, storm.token), &over));
        (storm.rage)(&agents);
        over.store(true, Ordering::Relaxed);
        others.join().expect("it measures")
    });
    let goal = before + LEFT;
    let peak = memory.peak();
    let quiet = Instant::now() + QUIET;
    while memory.resident() > goal && Instant::now() < quiet {
        thread::sleep(Duration::from_millis(200));
    }
    let after = memory.resident();
    let left = (after - before).max(0.0);
    let [goal, met] = judged(left, AtMost(LEFT));
    let longest = longest.map_or("–".to_owned(), |longest| number(longest.as_secs_f64() * 1e3));
    row(&[storm.name.into(), number(before), number(peak), number(after), number(left), goal, met, longest])
}

/// A client that is let in.
fn client(agent: &Agent, token: &str) -> Rpc {
    let mut client = agent.rpc();
    if !token.is_empty() {
        client.authenticate(token).expect("the token is right");
    }
    client
}

/// Asks for the members again and again; the longest that an answer has taken.
fn longest_answer(mut client: Rpc, over: &AtomicBool) -> Option<Duration> {
    let mut longest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        client.members().ok()?;
        longest = longest.max(asked.elapsed());
        thread::sleep(Duration::from_millis(20));
    }
    Some(longest)
}

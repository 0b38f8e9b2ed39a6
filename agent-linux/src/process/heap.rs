//! Gives memory back to the system.
//!
//! glibc's allocator keeps what is freed below a piece that is still in use: what a storm of joins or of streams that nobody
//! reads has taken would stay with the agent for good. Other allocators give it back by themselves.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use rustix::param::page_size;
use tokio::time::Instant;

use crate::agent::timer::Timer;

/// How often it is looked whether there may be something to give back.
const EVERY: Duration = Duration::from_secs(30);

/// So much above the least that the process has held there may be, in KiB.
const GROWN: u64 = 512;

/// Gives back what is free, as long as the process holds more than it has held before; never ends, unless there is no descriptor left
/// for its alarm.
pub async fn tend() {
    let Ok(mut alarm) = Timer::new() else { return };
    let mut least = u64::MAX;
    loop {
        let mut held = resident();
        if held > least.saturating_add(GROWN) {
            give_back();
            held = resident();
        }
        least = least.min(held);
        alarm.set(Instant::now() + EVERY);
        alarm.fired().await;
    }
}

/// What the process holds in memory, in KiB; 0 where the system does not tell.
fn resident() -> u64 {
    // Numbers of pages: of all that it may use, and of what it holds. It is one line, told in one piece.
    let mut line = [0; 256];
    let read = File::open("/proc/self/statm").and_then(|mut file| file.read(&mut line)).unwrap_or(0);
    let pages = std::str::from_utf8(&line[..read]).ok().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    pages.unwrap_or(0) * (page_size() / 1024) as u64
}

#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
fn give_back() {
    gather_cache();
    // SAFETY: it takes the allocator's own locks, and nothing that is in use moves.
    unsafe { libc::malloc_trim(0) };
}

/// The allocator keeps the last few freed pieces of each small size for each thread, and trimming does not reach them: after a
/// storm they lie about, each on a page that can't be given back. Here others take their place, which lie together as far as
/// they can, as they are taken one after the other.
#[cfg(target_env = "gnu")]
fn gather_cache() {
    let pieces = || {
        let sizes = (24..=1032).step_by(16).flat_map(|size| [size; 7]);
        std::hint::black_box(sizes.map(Vec::<u8>::with_capacity).collect::<Vec<_>>())
    };
    // What is freed first is what is kept.
    let scattered = pieces();
    let gathered = pieces();
    drop(gathered);
    drop(scattered);
}

#[cfg(not(target_env = "gnu"))]
fn give_back() {}

//! Gives memory back to the system.
//!
//! glibc's allocator keeps what is freed below a piece that is still in use: what a storm of joins or of streams that nobody
//! reads has taken would stay with the agent for good. Other allocators give it back by themselves.

use std::time::Duration;

use tokio::time::sleep;

/// How often it is looked whether there may be something to give back.
const EVERY: Duration = Duration::from_secs(10);

/// So much above the least that the process has held there may be, in KiB.
const GROWN: u64 = 512;

/// Gives back what is free, as long as the process holds more than it has held before; never ends.
pub async fn tend() {
    let mut least = u64::MAX;
    loop {
        if resident() > least.saturating_add(GROWN) {
            give_back();
        }
        least = least.min(resident());
        sleep(EVERY).await;
    }
}

/// What the process holds in memory, in KiB; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
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

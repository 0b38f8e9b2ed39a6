//! Real agents on loopback, for the suites that test and measure whole processes.
//!
//! Everything an [`Agent`] starts is ended with it, by process id, also when a test panics. Nothing here asserts how long
//! something takes: [`wait_for`] waits for a condition, and its deadline only turns a hang into a failure.
#![allow(dead_code, unused_imports, reason = "several suites share this module, each uses its own part")]

mod address;
mod agent;
mod binary;
mod cargo;
mod dns;
pub mod http;
pub mod memory;
mod network;
mod process;
mod record;
pub mod rpc;

use std::thread::sleep;
use std::time::{Duration, Instant};

pub use address::Address;
pub use agent::{Agent, Setup, fleet, fleet_of, met};
pub use binary::{debian, ours};
pub use cargo::core_features;
pub use dns::{Dns, Record as DnsRecord};
pub use network::in_a_network;
pub use process::{Output, Process, Scratch, run};
pub use record::{Record, Recorder};

/// Long enough for a loaded machine with two cores; reached only by what would never happen.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Polls until `condition` gives a value; what it gives instead says how far it is.
#[track_caller]
fn poll<T>(what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match condition() {
            Ok(value) => return value,
            Err(state) => assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain for {what}{state}"),
        }
        sleep(Duration::from_millis(20));
    }
}

/// Polls until `condition` gives a value.
///
/// # Panics
/// After [`DEADLINE`], naming `what` was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    poll(what, || condition().ok_or_else(String::new))
}

/// [`wait_for`] without a value.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Polls until nothing is `missing`.
///
/// # Panics
/// After [`DEADLINE`], with what is missing yet.
#[track_caller]
pub fn wait_complete(what: &str, mut missing: impl FnMut() -> Vec<String>) {
    poll(what, || {
        let missing = missing();
        if missing.is_empty() { Ok(()) } else { Err(format!("; missing:\n{}", missing.join("\n"))) }
    });
}

/// Waits until `measure` has given the same value for `quiet`: for "and nothing more comes".
#[track_caller]
pub fn wait_quiet<T: PartialEq>(what: &str, quiet: Duration, mut measure: impl FnMut() -> T) -> T {
    let mut last = measure();
    let mut since = Instant::now();
    wait_for(what, || {
        let now = measure();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        (since.elapsed() >= quiet).then_some(())
    });
    last
}

//! What runs a command.

use std::io;

use rustix::process::{Resource, getrlimit};
use tokio::runtime::Builder;

/// So many file descriptors an agent needs that serves a few clients and runs a script.
const DESCRIPTORS: u64 = 24;

/// Runs this to its end, on one thread.
///
/// # Errors
/// If the system refuses what that needs, or so few descriptors are allowed that something would be sure to fail later.
pub(super) fn run<T>(work: impl Future<Output = T>) -> io::Result<T> {
    if let Some(allowed) = getrlimit(Resource::Nofile).current.filter(|allowed| *allowed < DESCRIPTORS) {
        let text = format!("{allowed} file descriptors are allowed (`ulimit -n`), {DESCRIPTORS} are needed");
        return Err(io::Error::other(text));
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // A name that takes long to look up should not hold up the exit.
    runtime.shutdown_background();
    Ok(result)
}

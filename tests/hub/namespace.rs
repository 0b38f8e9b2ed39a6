//! Network namespaces without names: each lives as long as its value, or a process in it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::panic;
use std::process;
use std::thread;

use super::packet;

/// A network of its own, with nothing but a loopback interface that is down.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// A new one.
    ///
    /// # Errors
    /// Without the right to make one, which root has, and everyone inside of `unshare -Ur`.
    pub fn new() -> io::Result<Namespace> {
        let made = || {
            packet::leave_network()?;
            File::open("/proc/thread-self/ns/net")
        };
        Ok(Namespace { file: in_thread(made)? })
    }

    /// Runs `work` inside: sockets that it opens and processes that it starts belong there for good.
    ///
    /// # Panics
    /// As `work` does.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_thread(|| {
            packet::enter_network(&self.file).expect("who made it may enter it");
            work()
        })
    }

    /// A path by which other programs find it while this process lives.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd())
    }
}

/// The network belongs to the thread, not to the process.
fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|payload| panic::resume_unwind(payload))
}

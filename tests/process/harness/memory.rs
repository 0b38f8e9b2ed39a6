//! What a process holds in memory.

use std::fs;

/// A process's memory, in MiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pid: u32,
}

impl Memory {
    /// That of this process.
    pub fn of(pid: u32) -> Memory {
        Memory { pid }
    }

    /// What it holds now.
    pub fn resident(self) -> f64 {
        self.field("VmRSS:")
    }

    /// The most that it has held since its start, or since that was forgotten.
    pub fn peak(self) -> f64 {
        self.field("VmHWM:")
    }

    /// The peak begins anew.
    pub fn forget_peak(self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5").expect("it is our own process");
    }

    fn field(self, name: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells it");
        let kib: f64 = line.trim_end_matches("kB").trim().parse().expect("a number of KiB");
        kib / 1024.0
    }
}

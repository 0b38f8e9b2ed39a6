//! What Linux counts about processes and about one network namespace.

use std::fs;

/// CPU time of a process so far, in seconds, to the nanosecond: of all threads it has now.
pub fn cpu_seconds(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let times = threads.map(|thread| read(&thread.path().join("schedstat").to_string_lossy()));
    times.filter_map(|times| times.split(' ').next()?.parse::<f64>().ok()).sum::<f64>() / 1e9
}

/// Resident memory in KiB, shared pages counted in full.
pub fn resident(pid: u32) -> f64 {
    field(&read(&format!("/proc/{pid}/status")), "VmRSS:")
}

/// Resident memory in KiB, shared pages divided among those who share them.
pub fn proportional(pid: u32) -> f64 {
    field(&read(&format!("/proc/{pid}/smaps_rollup")), "Pss:")
}

/// Traffic of this network namespace so far.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// All bytes over loopback, TCP and headers included.
    pub bytes: f64,
    /// UDP datagrams sent.
    pub datagrams: f64,
}

impl Traffic {
    /// Reads the counters.
    pub fn now() -> Traffic {
        let snmp = read("/proc/net/snmp");
        let mut udp = snmp.lines().filter_map(|line| line.strip_prefix("Udp:"));
        let (names, values) = (udp.next().unwrap_or_default(), udp.next().unwrap_or_default());
        let mut columns = names.split_whitespace().zip(values.split_whitespace());
        let sent = columns.find(|(name, _)| *name == "OutDatagrams").map(|(_, value)| value);
        Traffic {
            // What is sent over loopback is also received there, and counted once in each direction.
            bytes: field(&read("/proc/net/dev"), "lo:"),
            datagrams: sent.and_then(|value| value.parse().ok()).unwrap_or_default(),
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The number after `key`.
fn field(text: &str, key: &str) -> f64 {
    let mut words = text.split_whitespace().skip_while(|word| *word != key).skip(1);
    words.next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

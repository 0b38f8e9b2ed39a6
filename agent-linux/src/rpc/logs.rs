//! The agent's latest log lines, and whoever watches them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use log::Level;

use crate::agent::lossy_channel;

/// How many lines are kept, and how many may wait for one monitor.
pub const LINES: usize = 512;

/// What the kept lines may take, in bytes; one is always kept.
const KEPT: usize = 64 << 10;

/// What the lines waiting for one monitor may take, in bytes.
const BYTES: usize = 4 << 20;

/// Where the logger puts every line, of every level, and monitors read them. Clones are the same hub.
#[derive(Clone, Debug, Default)]
pub struct LogHub {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    kept: Kept,
    monitors: Vec<(Level, lossy_channel::Sender<Arc<str>>)>,
}

/// The latest lines, the oldest first, in one piece of memory: each in its own would keep a page of what was freed around it.
#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<(Level, usize)>,
    text: VecDeque<u8>,
}

impl Kept {
    fn push(&mut self, level: Level, line: &str) {
        while self.lines.len() == LINES || !self.lines.is_empty() && self.text.len() + line.len() > KEPT {
            let oldest = self.lines.pop_front().map_or(0, |(_, len)| len);
            self.text.drain(..oldest);
        }
        if self.text.capacity() > 2 * KEPT.max(self.text.len()) {
            // It held a line that was longer than all others may be.
            self.text.shrink_to(KEPT);
        }
        self.lines.push_back((level, line.len()));
        self.text.extend(line.as_bytes());
    }

    fn of(&self, level: Level) -> Vec<Arc<str>> {
        let mut text = self.text.iter().copied();
        let mut taken = Vec::new();
        for &(of, len) in &self.lines {
            let line: Vec<u8> = text.by_ref().take(len).collect();
            if of <= level {
                taken.push(String::from_utf8_lossy(&line).into());
            }
        }
        taken
    }
}

impl LogHub {
    /// A hub without lines.
    pub fn new() -> LogHub {
        LogHub::default()
    }

    /// Adds a line (without a line end), forgetting the oldest beyond [`LINES`]. Never waits: a monitor that is behind
    /// misses it.
    pub fn push(&self, level: Level, line: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.monitors.is_empty() {
            let line: Arc<str> = line.into();
            state.monitors.retain(|(wanted, feed)| level > *wanted || feed.push(line.clone(), line.len(), 0));
        }
        state.kept.push(level, line);
    }

    /// The kept lines of `level` and more serious ones, the oldest first, and a queue for those that follow.
    pub fn subscribe(&self, level: Level) -> (Vec<Arc<str>>, lossy_channel::Receiver<Arc<str>>) {
        let (feed, tap) = lossy_channel::channel(LINES, BYTES);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let backlog = state.kept.of(level);
        state.monitors.retain(|(_, feed)| !feed.is_abandoned());
        state.monitors.push((level, feed));
        (backlog, tap)
    }
}

/// Serf's names of the levels: `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERR`, in any case.
pub fn parse_level(text: &str) -> Option<Level> {
    Some(match text.to_ascii_uppercase().as_str() {
        "TRACE" => Level::Trace,
        "DEBUG" => Level::Debug,
        "INFO" => Level::Info,
        "WARN" => Level::Warn,
        "ERR" => Level::Error,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_monitor_gets_the_kept_lines_and_then_the_new_ones_of_its_level() {
        let logs = LogHub::new();
        for n in 0..600 {
            logs.push(if n % 2 == 0 { Level::Info } else { Level::Debug }, &n.to_string());
        }
        let (backlog, tap) = logs.subscribe(Level::Info);
        assert_eq!((backlog.len(), &*backlog[0]), (256, "88"));
        assert_eq!(logs.subscribe(Level::Trace).0.len(), LINES);
        logs.push(Level::Debug, "not wanted");
        logs.push(Level::Error, "wanted");
        assert_eq!(tap.next().await, Some(("wanted".into(), 0)));
        for n in 0..LINES + 7 {
            logs.push(Level::Warn, &n.to_string());
        }
        for n in 0..LINES {
            assert_eq!(tap.next().await, Some((n.to_string().into(), 0)));
        }
        logs.push(Level::Warn, "after");
        assert_eq!(tap.next().await, Some(("after".into(), 7)));
    }

    #[test]
    fn kept_lines_are_bounded_in_bytes_as_well() {
        let logs = LogHub::new();
        logs.push(Level::Info, "first");
        logs.push(Level::Info, &"x".repeat(KEPT - 5));
        assert_eq!(logs.subscribe(Level::Info).0.len(), 2);
        logs.push(Level::Info, "last");
        let kept: Vec<usize> = logs.subscribe(Level::Info).0.iter().map(|line| line.len()).collect();
        assert_eq!(kept, [KEPT - 5, 4]);
        logs.push(Level::Info, &"x".repeat(2 * KEPT));
        assert_eq!(logs.subscribe(Level::Info).0.len(), 1);
    }
}

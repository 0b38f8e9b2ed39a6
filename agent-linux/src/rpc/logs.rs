//! The agent's latest log lines, and whoever watches them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use log::Level;

use crate::agent::queue::{self, Feed, Tap};

/// How many lines are kept, and how many may wait for one monitor.
pub const LINES: usize = 512;

/// What the lines waiting for one monitor may take, in bytes.
const BYTES: usize = 4 << 20;

/// Where the logger puts every line, of every level, and monitors read them. Clones are the same hub.
#[derive(Clone, Debug, Default)]
pub struct LogHub {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    ring: VecDeque<(Level, Arc<str>)>,
    monitors: Vec<(Level, Feed<Arc<str>>)>,
}

impl LogHub {
    /// A hub without lines.
    pub fn new() -> LogHub {
        LogHub::default()
    }

    /// Adds a line (without a line end), forgetting the oldest beyond [`LINES`]. Never waits: a monitor that is behind
    /// misses it.
    pub fn push(&self, level: Level, line: &str) {
        let line: Arc<str> = line.into();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.monitors.retain(|(wanted, feed)| level > *wanted || feed.push(line.clone(), line.len(), 0));
        if state.ring.len() == LINES {
            state.ring.pop_front();
        }
        state.ring.push_back((level, line));
    }

    /// The kept lines of `level` and more serious ones, the oldest first, and a queue for those that follow.
    pub fn subscribe(&self, level: Level) -> (Vec<Arc<str>>, Tap<Arc<str>>) {
        let (feed, tap) = queue::lossy(LINES, BYTES);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let backlog =
            state.ring.iter().filter(|(of, _)| *of <= level).map(|(_, line)| line.clone()).collect();
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
}

//! Intents about members that are not known yet: kept for a while, since news may overtake each other.

use crate::slice::Ring;
use crate::time::{Duration, Instant};

/// How long an early intent is kept (Serf: 5 minutes).
const KEPT: Duration = Duration::from_secs(300);

/// A join or leave intent for somebody unknown. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct EarlyIntent {
    name: u64,
    ltime: u64,
    at: Instant,
    leave: bool,
}

impl EarlyIntent {
    /// A free place.
    pub const EMPTY: EarlyIntent = EarlyIntent { name: 0, ltime: 0, at: Instant::PAST, leave: false };
}

/// The early intents; the oldest goes when there is no room.
pub(crate) struct Early<'a>(Ring<'a, EarlyIntent>);

impl<'a> Early<'a> {
    pub(crate) fn new(cells: &'a mut [EarlyIntent]) -> Self {
        Early(Ring::new(cells))
    }

    pub(crate) fn release(self) -> &'a mut [EarlyIntent] {
        self.0.release()
    }

    /// Keeps an intent. Returns whether it is news, and whether an older one was forgotten for it.
    pub(crate) fn keep(&mut self, name: &str, ltime: u64, leave: bool, now: Instant) -> (bool, bool) {
        let name = crate::hash::bytes(name.as_bytes());
        for _ in 0..self.0.len() {
            let Some(old) = self.0.pop_front() else { break };
            let same = old.name == name;
            if same && old.ltime >= ltime && now.since(old.at) < KEPT {
                let _ = self.0.push_back(old);
                return (false, false);
            }
            if !same && now.since(old.at) < KEPT {
                let _ = self.0.push_back(old);
            }
        }
        let forgotten = self.0.is_full() && self.0.pop_front().is_some();
        let kept = self.0.push_back(EarlyIntent { name, ltime, at: now, leave });
        (kept, forgotten)
    }

    /// The intent that waits for a member of this name: its time, and whether it is to leave.
    pub(crate) fn take(&mut self, name: &str, now: Instant) -> Option<(u64, bool)> {
        let name = crate::hash::bytes(name.as_bytes());
        let mut found = None;
        for _ in 0..self.0.len() {
            let Some(old) = self.0.pop_front() else { break };
            if old.name == name && now.since(old.at) < KEPT {
                found = Some((old.ltime, old.leave));
            } else {
                let _ = self.0.push_back(old);
            }
        }
        found
    }
}

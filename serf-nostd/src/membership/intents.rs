//! Intents about members that are not known yet: kept for a while, since news may overtake each other.

use crate::time::{Duration, Instant};

/// How long an early intent is kept (Serf: 5 minutes).
const KEPT: Duration = Duration::from_secs(300);

/// A join or leave intent for somebody unknown. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct EarlyIntent {
    name: u64,
    at: Instant,
    intent: Intent,
}

/// What a member is to do, and when that was said.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub(crate) struct Intent {
    pub(crate) ltime: u64,
    /// To leave; else to join.
    pub(crate) leave: bool,
    /// To be forgotten once it has left.
    pub(crate) prune: bool,
}

impl EarlyIntent {
    /// A free place.
    pub const EMPTY: EarlyIntent =
        EarlyIntent { name: 0, at: Instant::PAST, intent: Intent { ltime: 0, leave: false, prune: false } };

    fn is_kept(&self, now: Instant) -> bool {
        now.since(self.at) < KEPT
    }
}

/// The early intents; the oldest goes when there is no room.
pub(crate) struct Intents<'a> {
    cells: &'a mut [EarlyIntent],
    len: usize,
}

impl<'a> Intents<'a> {
    pub(crate) fn new(cells: &'a mut [EarlyIntent]) -> Self {
        Intents { cells, len: 0 }
    }

    pub(crate) fn release(self) -> &'a mut [EarlyIntent] {
        self.cells
    }

    fn place(&self, name: u64) -> Option<usize> {
        self.cells[..self.len].iter().position(|kept| kept.name == name)
    }

    /// Keeps an intent. Returns whether it is news, and whether an older one was forgotten for it.
    pub(crate) fn keep(&mut self, name: &str, intent: Intent, now: Instant) -> (bool, bool) {
        let name = crate::hash::bytes(name.as_bytes());
        let known = self.place(name);
        if known.is_some_and(|at| self.cells[at].intent.ltime >= intent.ltime && self.cells[at].is_kept(now))
        {
            return (false, false);
        }
        let at = match known {
            Some(at) => at,
            None if self.len < self.cells.len() => {
                self.cells[self.len] = EarlyIntent::EMPTY;
                self.len += 1;
                self.len - 1
            }
            None => (0..self.len).min_by_key(|at| self.cells[*at].at).unwrap_or(0),
        };
        let before = core::mem::replace(&mut self.cells[at], EarlyIntent { name, at: now, intent });
        (true, before.name != name && before.is_kept(now))
    }

    /// The intent that waits for a member of this name.
    pub(crate) fn take(&mut self, name: &str, now: Instant) -> Option<Intent> {
        let at = self.place(crate::hash::bytes(name.as_bytes()))?;
        let kept = self.cells[at];
        self.len -= 1;
        self.cells[at] = self.cells[self.len];
        kept.is_kept(now).then_some(kept.intent)
    }
}

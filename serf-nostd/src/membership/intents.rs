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

#[cfg(test)]
mod tests {
    use super::*;

    fn leave(ltime: u64) -> Intent {
        Intent { ltime, leave: true, prune: false }
    }

    #[test]
    fn the_latest_of_each_is_kept_for_five_minutes_and_the_oldest_makes_room() {
        let at = |secs: u64| Instant::from_millis(1_000 * secs);
        let mut cells = [EarlyIntent::EMPTY; 2];
        let mut intents = Intents::new(&mut cells);
        assert_eq!(intents.keep("a", leave(5), at(1)), (true, false));
        assert_eq!(intents.keep("a", leave(5), at(2)), (false, false), "no news");
        assert_eq!(intents.keep("a", leave(4), at(2)), (false, false), "older");
        assert_eq!(intents.keep("a", leave(6), at(2)), (true, false));
        assert_eq!(intents.keep("b", leave(1), at(3)), (true, false));
        assert_eq!(intents.keep("c", leave(1), at(4)), (true, true), "the oldest is forgotten for it");
        assert!(intents.take("a", at(5)).is_none());
        assert_eq!(intents.take("b", at(5)).map(|intent| intent.ltime), Some(1));
        assert!(intents.take("b", at(5)).is_none(), "taken once");
        assert!(intents.take("c", at(304)).is_none(), "it has been too long");
        assert_eq!(intents.keep("d", leave(1), at(304)), (true, false));
    }
}

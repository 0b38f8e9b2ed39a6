//! Events that others have and this node lacks: asked for one announcer at a time, the next one when an answer is overdue,
//! with more patience each time.

use crate::time::{Duration, Instant};
use crate::wire::message::{Address, EventId};

/// How often an event is asked for before its next announcement is waited for.
const TRIES: u8 = 8;

/// One event that is being asked for. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
pub struct Pull {
    id: EventId,
    /// Whom to ask, and the token that entitles to.
    from: (Address, u32),
    /// Who else has announced it.
    other: Option<(Address, u32)>,
    /// When to ask (again); in the past: now.
    due: Instant,
    tries: u8,
}

impl Pull {
    /// A free place.
    pub const EMPTY: Pull = Pull {
        id: EventId { ltime: 0, origin: 0 },
        from: (Address::UNSET, 0),
        other: None,
        due: Instant::ZERO,
        tries: 0,
    };
}

/// How long the next answer may take, after so many without one.
fn patience(overdue: Duration, tries: u8) -> Duration {
    overdue.times(1 << tries.min(2))
}

/// Pulls in flight; the newest is refused when there is no room, since its next announcement comes.
pub(crate) struct Pulls<'a> {
    cells: &'a mut [Pull],
    len: usize,
}

impl<'a> Pulls<'a> {
    pub(crate) fn new(cells: &'a mut [Pull]) -> Self {
        Pulls { cells, len: 0 }
    }

    pub(crate) fn release(self) -> &'a mut [Pull] {
        self.cells
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == self.cells.len()
    }

    /// `from` has an event that this node lacks. False if there was no room to note it.
    ///
    /// If another member has been asked for it for `overdue`, the new one is asked at once.
    #[must_use]
    pub(crate) fn want(
        &mut self,
        id: EventId,
        from: (Address, u32),
        now: Instant,
        overdue: Duration,
    ) -> bool {
        if let Some(pull) = self.cells[..self.len].iter_mut().find(|pull| pull.id == id) {
            if pull.from.0 != from.0 {
                pull.other = Some(from);
                if pull.tries > 0 && now + patience(overdue, pull.tries - 1) >= pull.due + overdue {
                    pull.due = now;
                }
            }
            return true;
        }
        if self.is_full() {
            return false;
        }
        self.cells[self.len] = Pull { id, from, other: None, due: now, tries: 0 };
        self.len += 1;
        true
    }

    /// The event has come. Returns whether it was asked for.
    pub(crate) fn done(&mut self, id: EventId) -> bool {
        match self.cells[..self.len].iter().position(|pull| pull.id == id) {
            Some(i) => {
                self.remove(i);
                true
            }
            None => false,
        }
    }

    /// The asked member does not hold it any more. Returns true if nobody else is known to.
    pub(crate) fn missing(&mut self, id: EventId, now: Instant) -> bool {
        let Some(i) = self.cells[..self.len].iter().position(|pull| pull.id == id) else { return false };
        match self.cells[i].other.take() {
            Some(other) => {
                (self.cells[i].from, self.cells[i].due) = (other, now);
                false
            }
            None => {
                self.remove(i);
                true
            }
        }
    }

    fn remove(&mut self, i: usize) {
        self.len -= 1;
        self.cells[i] = self.cells[self.len];
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.cells[..self.len].iter().fold(Instant::FAR, |first, pull| first.min(pull.due))
    }

    /// Whom to ask now, if anybody. Pulls without an answer so far turn to the next announcer, or end.
    pub(crate) fn whom(&mut self, now: Instant) -> Option<(Address, u32)> {
        let mut i = 0;
        while i < self.len {
            let pull = &mut self.cells[i];
            if pull.due > now {
                i += 1;
            } else if pull.tries >= TRIES {
                self.remove(i);
            } else {
                if pull.tries > 0
                    && let Some(other) = pull.other.take()
                {
                    pull.from = other;
                }
                return Some(pull.from);
            }
        }
        None
    }

    /// Goes through what `from` is to be asked for now; `take` returns false when there is no more room.
    pub(crate) fn ask(
        &mut self,
        from: (Address, u32),
        now: Instant,
        overdue: Duration,
        mut take: impl FnMut(EventId) -> bool,
    ) -> u64 {
        let mut asked = 0;
        for pull in &mut self.cells[..self.len] {
            if pull.from == from && pull.due <= now {
                if !take(pull.id) {
                    break;
                }
                pull.due = now + patience(overdue, pull.tries);
                pull.tries += 1;
                asked += 1;
            }
        }
        asked
    }
}

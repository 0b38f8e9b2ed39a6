//! A running comparison: the one who lacks something asks for it, page by page; who answers keeps no state.

use crate::outgoing::RECORDS;
use crate::time::{Duration, Instant};
use crate::wire::message::{Address, EventId};

/// How long an answer may take before it is asked for again.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);
/// How often a page is asked for.
const TRIES: u8 = 4;

/// With one peer; `T` says what of, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session<T> {
    pub(crate) peer: Address,
    /// Of the question that waits for its answer: only that counts.
    pub(crate) nonce: u32,
    pub(crate) step: T,
    pub(crate) due: Instant,
    tries: u8,
}

impl<T> Session<T> {
    pub(crate) fn new(peer: Address, nonce: u32, step: T, now: Instant) -> Self {
        Session { peer, nonce, step, due: now, tries: 0 }
    }

    /// The same, given up if it is not answered at once.
    pub(crate) fn once(self) -> Self {
        Session { tries: TRIES - 1, ..self }
    }

    /// Counts another request; false if it has been asked often enough.
    pub(crate) fn ask(&mut self, now: Instant) -> bool {
        self.tries += 1;
        self.due = now + PATIENCE;
        self.tries <= TRIES
    }

    /// The answer came: on with the next step.
    pub(crate) fn advance(&mut self, step: T, nonce: u32, now: Instant) {
        (self.step, self.nonce, self.due, self.tries) = (step, nonce, now, 0);
    }
}

/// Where a comparison of member tables stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberStep {
    /// Fetch all records from this name hash on.
    Pages { cursor: u32 },
    /// List what differs from this name hash on.
    List { cursor: u32 },
    /// Fetch these records, then list on (0: done).
    Records { wanted: [u32; RECORDS], count: u8, resume: u32 },
}

/// Where a comparison of seen events stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventStep {
    pub(crate) above: EventId,
    pub(crate) cursor: EventId,
    /// What is being pulled comes first.
    pub(crate) waits: bool,
}

/// Where a comparison of last values stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ValueStep {
    pub(crate) cursor: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_asked_for_four_times_then_given_up_and_an_answer_begins_anew() {
        let (peer, now) = (Address::UNSET, Instant::from_millis(1_000));
        let mut session = Session::new(peer, 1, ValueStep { cursor: 0 }, now);
        let asked = |session: &mut Session<ValueStep>| (0..10).filter(|_| session.ask(session.due)).count();
        assert_eq!(asked(&mut session), 4);
        session.advance(ValueStep { cursor: 9 }, 2, now);
        assert_eq!((session.nonce, session.step.cursor, asked(&mut session)), (2, 9, 4));
        assert_eq!(asked(&mut Session::new(peer, 3, ValueStep { cursor: 0 }, now).once()), 1);
    }
}

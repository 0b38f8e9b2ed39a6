//! Lamport clocks: the order of intents and events without a common time.

use crate::time::{Duration, Instant};

/// Highest Lamport time that is accepted; from here up a value is invalid, so that no clock can wrap.
pub const LTIME_LIMIT: u64 = 1 << 62;

/// How far others may move a clock within a second, by their answers to this node's own questions.
///
/// What carries a time further ahead is refused; an honest one passes when its next copy arrives and the clock has come
/// nearer. Two honest clocks that are `d` apart meet within `d / 2^20` seconds, and some probes.
pub const LTIME_JUMP: u64 = 1 << 20;

/// The same for whoever sends unasked: many times what any fleet fires in a second.
pub const LTIME_STEP: u64 = 1 << 16;

/// How long a clock may go so far.
const PACE: Duration = Duration::from_secs(1);

/// A Lamport clock. [`LamportClock::now`] is the time that the next own message is stamped with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LamportClock(u64);

/// A received time was out of reach, or not below [`LTIME_LIMIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooFar;

impl LamportClock {
    /// A clock that stamps its first message with 1.
    pub const fn new() -> LamportClock {
        LamportClock(1)
    }

    /// The time of the next own message.
    pub const fn now(self) -> u64 {
        self.0
    }

    /// Stamps an own message: returns the current time and moves on.
    pub(crate) fn stamp(&mut self) -> u64 {
        let at = self.0;
        self.0 = (self.0 + 1).min(LTIME_LIMIT - 1);
        at
    }

    /// Moves past a received time, to `reach` at most.
    ///
    /// # Errors
    /// [`TooFar`] if `seen` was out of reach; the clock has then moved as far as it may.
    fn witness(&mut self, seen: u64, reach: u64) -> Result<(), TooFar> {
        if seen >= LTIME_LIMIT {
            return Err(TooFar);
        }
        let reach = reach.min(LTIME_LIMIT - 1);
        if seen > reach {
            self.0 = self.0.max(reach);
            return Err(TooFar);
        }
        self.0 = self.0.max(seen + 1).min(LTIME_LIMIT - 1);
        Ok(())
    }

    /// Whether there is no later time to stamp anything with.
    pub(crate) fn is_exhausted(self) -> bool {
        self.0 >= LTIME_LIMIT - 1
    }

    /// Moves to this time at least, to half of the limit at most.
    pub(crate) fn adopt(&mut self, time: u64) {
        self.0 = self.0.max(time.min(LTIME_LIMIT / 2));
    }
}

impl Default for LamportClock {
    fn default() -> Self {
        LamportClock::new()
    }
}

/// Which of a node's clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lamport {
    Member,
    Event,
    Query,
}

/// Whose word moves a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It came unasked: anybody may have sent it.
    Unasked,
    /// It came in an answer to this node's own question.
    Answer,
}

/// A node's three clocks, and how far others have moved them of late: whoever could move them as often as he sends would
/// carry one node's events away from everybody else's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// Of intents.
    pub(crate) member: LamportClock,
    /// Of events.
    pub(crate) event: LamportClock,
    /// Of queries.
    pub(crate) query: LamportClock,
    /// Where the three stood when the running second began.
    began: [u64; 3],
    since: Instant,
}

impl Clocks {
    pub(crate) const fn new(now: Instant) -> Clocks {
        let clock = LamportClock::new();
        Clocks { member: clock, event: clock, query: clock, began: [1; 3], since: now }
    }

    /// What the three show.
    pub(crate) fn all(&self) -> [u64; 3] {
        [self.member.0, self.event.0, self.query.0]
    }

    /// Takes over a whole fleet's clocks, as told by a seed that the user has named; at most a quarter of the limit, so that
    /// its word brings no clock to its end, and makes no floor that the next start would refuse.
    pub(crate) fn adopt(&mut self, fleet: [u64; 3]) {
        let [member, event, query] = fleet.map(|time| time.min(LTIME_LIMIT / 4));
        self.member.adopt(member);
        self.event.adopt(event);
        self.query.adopt(query);
    }

    /// Moves a clock past a received time. `paced`: as slowly as the rules say; else by a jump each time.
    ///
    /// # Errors
    /// [`TooFar`] if that was out of reach; the clock has then moved as far as it may.
    pub(crate) fn witness(
        &mut self,
        which: Lamport,
        now: Instant,
        word: Word,
        seen: u64,
        paced: bool,
    ) -> Result<(), TooFar> {
        if now.since(self.since) >= PACE {
            (self.began, self.since) = (self.all(), now);
        }
        let began = self.began[which as usize];
        let clock = match which {
            Lamport::Member => &mut self.member,
            Lamport::Event => &mut self.event,
            Lamport::Query => &mut self.query,
        };
        let (from, span) = match word {
            _ if !paced => (clock.0, LTIME_JUMP),
            Word::Unasked => (began, LTIME_STEP),
            Word::Answer => (began, LTIME_JUMP),
        };
        // Own events move a clock as well, and those of others one by one.
        clock.witness(seen, from.saturating_add(span).max(clock.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poisoned_clock_moves_by_one_jump_a_second_and_never_wraps() {
        let at = Instant::from_millis;
        let mut clocks = Clocks::new(at(0));
        let mut event = |ms, word, seen| {
            let fits = clocks.witness(Lamport::Event, at(ms), word, seen, true).is_ok();
            (fits, clocks.event.now())
        };
        assert_eq!(event(0, Word::Answer, u64::MAX), (false, 1), "an invalid time moves nothing");
        for _ in 0..100 {
            assert_eq!(event(0, Word::Unasked, LTIME_LIMIT - 1), (false, 1 + LTIME_STEP));
        }
        for _ in 0..100 {
            assert_eq!(event(999, Word::Answer, LTIME_LIMIT - 1), (false, 1 + LTIME_JUMP));
        }
        assert_eq!(
            event(999, Word::Unasked, LTIME_JUMP),
            (true, 1 + LTIME_JUMP),
            "what is behind is no jump"
        );
        assert_eq!(event(1_000, Word::Answer, 1 + LTIME_JUMP), (true, 2 + LTIME_JUMP));
        clocks.adopt([0, u64::MAX, 0]);
        assert_eq!(clocks.event.stamp(), LTIME_LIMIT / 4);
    }
}

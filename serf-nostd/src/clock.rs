//! Lamport clocks: the order of intents and events without a common time.

/// Highest Lamport time that is accepted; from here up a value is invalid, so that no clock can wrap.
pub const LTIME_LIMIT: u64 = 1 << 62;

/// How far one received value may move a clock.
///
/// A larger jump moves the clock by this much only, and what carried it is refused: a forged value costs an attacker
/// 2^42 messages to exhaust the clock, and an honest one passes when its next copy arrives.
pub const LTIME_JUMP: u64 = 1 << 20;

/// A Lamport clock. [`LamportClock::now`] is the time that the next own message is stamped with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LamportClock(u64);

/// A received time was further ahead than [`LTIME_JUMP`], or not below [`LTIME_LIMIT`].
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

    /// Moves past a received time.
    ///
    /// # Errors
    /// [`TooFar`] if `seen` was out of reach; the clock has then moved as far as one message may move it.
    pub(crate) fn witness(&mut self, seen: u64) -> Result<(), TooFar> {
        if seen >= LTIME_LIMIT {
            return Err(TooFar);
        }
        let reach = self.0.saturating_add(LTIME_JUMP).min(LTIME_LIMIT - 1);
        if seen > reach {
            self.0 = reach;
            return Err(TooFar);
        }
        self.0 = self.0.max(seen + 1).min(LTIME_LIMIT - 1);
        Ok(())
    }

    /// Whether there is no later time to stamp anything with.
    pub(crate) fn is_exhausted(self) -> bool {
        self.0 >= LTIME_LIMIT - 1
    }

    /// Takes over a whole fleet's clock, as told by the first join answer; at most half of the limit, so that nobody's
    /// word alone brings a clock to its end.
    pub(crate) fn adopt(&mut self, fleet: u64) {
        self.0 = self.0.max(fleet.min(LTIME_LIMIT / 2));
    }
}

impl Default for LamportClock {
    fn default() -> Self {
        LamportClock::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poisoned_clock_moves_by_one_jump_and_never_wraps() {
        let mut clock = LamportClock::new();
        assert_eq!(clock.witness(u64::MAX), Err(TooFar));
        assert_eq!(clock.now(), 1, "an invalid time moves nothing");
        assert_eq!(clock.witness(LTIME_LIMIT - 1), Err(TooFar));
        assert_eq!(clock.now(), 1 + LTIME_JUMP);
        assert_eq!(clock.witness(1 + LTIME_JUMP), Ok(()));
        assert_eq!(clock.now(), 2 + LTIME_JUMP);
        clock.adopt(u64::MAX);
        assert_eq!(clock.stamp(), LTIME_LIMIT / 2);
    }
}

//! A machine's clock: it may go too fast or too slow, stop, and jump ahead; it never goes back.

/// A rate that makes a clock stand still.
pub const STOPPED: i64 = -1_000_000;

/// What a machine takes for the time. All times are microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The fleet's time at which the rest was set.
    since: u64,
    /// What it showed then.
    shown: u64,
    /// So many parts in a million too fast.
    rate: i64,
}

impl Clock {
    /// A clock that begins now, and goes well.
    pub fn begin(now: u64) -> Clock {
        Clock { since: now, shown: 0, rate: 0 }
    }

    /// What it shows.
    pub fn at(&self, now: u64) -> u64 {
        let passed = now - self.since;
        match self.rate {
            0 => self.shown + passed,
            rate => self.shown + (passed as u128 * (1_000_000 + rate) as u128 / 1_000_000) as u64,
        }
    }

    /// When it will show this; `u64::MAX` for never.
    pub fn when(&self, shown: u64) -> u64 {
        let span = shown.saturating_sub(self.shown);
        match self.rate {
            0 => self.since.saturating_add(span),
            STOPPED => {
                if span == 0 {
                    self.since
                } else {
                    u64::MAX
                }
            }
            // Rounded up: then it shows it for sure.
            rate => {
                let span = (span as u128 * 1_000_000).div_ceil((1_000_000 + rate) as u128);
                self.since.saturating_add(u64::try_from(span).unwrap_or(u64::MAX))
            }
        }
    }

    /// From now on it is so many parts in a million too fast.
    pub fn go(&mut self, now: u64, rate: i64) {
        *self = Clock { since: now, shown: self.at(now), rate };
    }

    /// It jumps ahead.
    pub fn jump(&mut self, now: u64, by: u64) {
        *self = Clock { since: now, shown: self.at(now) + by, rate: self.rate };
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, STOPPED};

    #[test]
    fn a_clock_shows_what_it_was_waited_for_and_never_goes_back() {
        let mut clock = Clock::begin(5);
        let mut last = 0;
        for (now, rate) in [(10, 9_999), (500, -10_000), (700, STOPPED), (900, 0), (1_000, 3)] {
            clock.go(now, rate);
            assert!(clock.at(now) >= last);
            last = clock.at(now);
            for ahead in [0, 1, 7, 1_000_003] {
                let when = clock.when(last + ahead);
                assert!(when == u64::MAX && rate == STOPPED || clock.at(when) >= last + ahead);
            }
            clock.jump(now, 40);
            assert_eq!(clock.at(now), last + 40);
        }
    }
}

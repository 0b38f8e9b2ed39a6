//! Time as the core sees it: handed in by the caller, never read.

use core::ops::{Add, AddAssign};

// Where a u64 takes two registers, saturating arithmetic is long, and stands in a hundred places: there it is called.

/// What the clock's zero is counted from, in microseconds: moments before it have their place, too. Somebody who has just
/// started, with a clock that began with it, is told of members that failed yesterday.
const EPOCH: u64 = 1 << 62;

/// A point on the caller's monotonic clock, in microseconds since any fixed moment, its own start included. 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Instant(u64);

/// A span of time in microseconds. 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Duration(u64);

impl Instant {
    /// The clock's zero.
    pub const ZERO: Instant = Instant(EPOCH);
    /// Long before everything.
    pub(crate) const PAST: Instant = Instant(0);
    /// Later than everything: "no deadline".
    pub const FAR: Instant = Instant(u64::MAX);

    /// `micros` microseconds after the clock's zero.
    pub const fn from_micros(micros: u64) -> Instant {
        Instant(EPOCH.saturating_add(micros))
    }

    /// `millis` milliseconds after the clock's zero; saturates.
    pub const fn from_millis(millis: u64) -> Instant {
        Instant::from_micros(millis.saturating_mul(1_000))
    }

    /// Microseconds since the clock's zero; `u64::MAX` for [`Instant::FAR`].
    pub const fn as_micros(self) -> u64 {
        if self.0 == u64::MAX { u64::MAX } else { self.0.saturating_sub(EPOCH) }
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }

    /// The moment `span` before `self`, be it before the clock's zero.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub const fn minus(self, span: Duration) -> Instant {
        Instant(self.0.saturating_sub(span.0))
    }
}

impl Duration {
    /// No time.
    pub const ZERO: Duration = Duration(0);

    /// `micros` microseconds.
    pub const fn from_micros(micros: u64) -> Duration {
        Duration(micros)
    }

    /// `millis` milliseconds; saturates.
    pub const fn from_millis(millis: u64) -> Duration {
        Duration(millis.saturating_mul(1_000))
    }

    /// `secs` seconds; saturates.
    pub const fn from_secs(secs: u64) -> Duration {
        Duration(secs.saturating_mul(1_000_000))
    }

    /// Microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// `self` taken `n` times; saturates.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub const fn times(self, n: u32) -> Duration {
        Duration(self.0.saturating_mul(n as u64))
    }

    /// `self` times `numerator / denominator`; saturates. `denominator` 0 counts as 1.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub const fn scaled(self, numerator: u32, denominator: u32) -> Duration {
        let denominator = if denominator == 0 { 1 } else { denominator };
        Duration(self.0.saturating_mul(numerator as u64) / denominator as u64)
    }
}

impl Ord for Instant {
    fn cmp(&self, other: &Instant) -> core::cmp::Ordering {
        self.0.cmp(&other.0)
    }
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn min(self, other: Instant) -> Instant {
        if other.0 < self.0 { other } else { self }
    }
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn max(self, other: Instant) -> Instant {
        if other.0 > self.0 { other } else { self }
    }
}

impl PartialOrd for Instant {
    fn partial_cmp(&self, other: &Instant) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn add(self, span: Duration) -> Instant {
        Instant(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Add for Duration {
    type Output = Duration;
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn add(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }
}

//! How long a suspicion runs, and who has confirmed it (Lifeguard, arXiv 1707.00788, section IV-B).

use crate::config::Config;
use crate::time::Duration;

/// One accuser behind the first, of one suspect. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Confirmer {
    suspect: u16,
    accuser: u32,
}

impl Confirmer {
    /// A free place.
    pub const EMPTY: Confirmer = Confirmer { suspect: 0, accuser: 0 };
}

/// Who has accused whom: a small pool, the newest is refused when it is full.
pub(crate) struct Confirmers<'a> {
    cells: &'a mut [Confirmer],
    len: usize,
}

impl<'a> Confirmers<'a> {
    pub(crate) fn new(cells: &'a mut [Confirmer]) -> Self {
        Confirmers { cells, len: 0 }
    }

    pub(crate) fn release(self) -> &'a mut [Confirmer] {
        self.cells
    }

    /// Notes an accuser (hash of its name). `None` if it is known already; `Some(false)` if there is no room.
    pub(crate) fn note(&mut self, suspect: u16, accuser: u32) -> Option<bool> {
        if self.cells[..self.len].iter().any(|c| c.suspect == suspect && c.accuser == accuser) {
            return None;
        }
        if self.len == self.cells.len() {
            return Some(false);
        }
        self.cells[self.len] = Confirmer { suspect, accuser };
        self.len += 1;
        Some(true)
    }

    /// Forgets everything about a suspect.
    pub(crate) fn forget(&mut self, suspect: u16) {
        let mut i = 0;
        while i < self.len {
            if self.cells[i].suspect == suspect {
                self.len -= 1;
                self.cells[i] = self.cells[self.len];
            } else {
                i += 1;
            }
        }
    }
}

/// How many confirmations shorten a suspicion to its minimum, in a fleet of `n`.
pub(crate) fn expected(config: &Config, n: usize) -> u8 {
    let k = config.suspicion_mult.saturating_sub(2);
    if n.saturating_sub(2) < k as usize { 0 } else { k }
}

/// How long somebody who does not answer is probed again before anybody is told, in a fleet of `n`: half of the shortest suspicion, so that the accused have the
/// other half to contradict.
pub(crate) fn before_suspicion(config: &Config, n: usize) -> Duration {
    timeout(config, n, 0, 0).scaled(1, 2)
}

/// How long a suspicion runs in all, after `confirmations` of `k`, in a fleet of `n`.
///
/// `max - log(c + 1) / log(k + 1) * (max - min)`, with min = `suspicion_mult * max(1, log10 n)` probe intervals, or
/// `suspicion_least` if that is longer.
pub(crate) fn timeout(config: &Config, n: usize, confirmations: u8, k: u8) -> Duration {
    let log10 = log2(n.max(1) as u32) as u64 * 30_103 / 100_000; // in 1/65536
    let min = config.probe_interval.times(config.suspicion_mult as u32);
    let min = min.max(min.scaled(log10 as u32, 65_536)).max(config.suspicion_least);
    if k == 0 || confirmations >= k {
        return min;
    }
    let span = min.times(config.suspicion_max_mult.max(1) as u32 - 1);
    let share = span.scaled(log2(confirmations as u32 + 1), log2(k as u32 + 1));
    Duration::from_micros((min + span).as_micros() - share.as_micros())
}

/// Binary logarithm in 1/65536, without floating point: square, halve, collect bits.
fn log2(x: u32) -> u32 {
    let whole = x.max(1).ilog2();
    let mut mantissa = ((x.max(1) as u64) << 31) >> whole; // 1.0 is 1 << 31
    let mut fraction = 0;
    for _ in 0..16 {
        mantissa = (mantissa * mantissa) >> 31;
        fraction <<= 1;
        if mantissa >= 1 << 32 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    whole << 16 | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_those_of_serf() {
        let serf = Config { suspicion_mult: 4, ..Config::LAN };
        let secs = |n, c, k| timeout(&serf, n, c, k).as_micros() / 100_000;
        assert_eq!((secs(10, 2, 2), secs(10, 0, 2)), (40, 240));
        assert_eq!((secs(30, 2, 2), secs(30, 0, 2)), (59, 354));
        assert_eq!((secs(100, 2, 2), secs(100, 0, 2)), (79, 479));
        assert_eq!((secs(1000, 2, 2), secs(1000, 0, 2)), (119, 719));
        // One of two confirmations: max - log 2 / log 3 * (max - min) = 24 - 0.63 * 20.
        assert_eq!(secs(10, 1, 2), 113);
        assert_eq!(secs(3, 0, 0), 40, "nobody to confirm: the minimum at once");
        assert_eq!(expected(&serf, 3), 0);
        assert_eq!(expected(&serf, 4), 2);
    }

    #[test]
    fn ours_are_three_quarters_of_that_and_four_seconds_at_least() {
        let secs = |n, c| timeout(&Config::LAN, n, c, expected(&Config::LAN, n)).as_micros() / 100_000;
        assert_eq!([2, 10, 20, 22, 100, 1_000].map(|n| secs(n, 2)), [40, 40, 40, 40, 59, 89]);
        assert_eq!([10, 1_000].map(|n| secs(n, 0)), [240, 539], "six times that, if nobody confirms it");
    }

    #[test]
    fn logarithms() {
        assert_eq!(log2(8), 3 << 16);
    }
}

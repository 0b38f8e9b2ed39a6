//! The core's own random numbers, from the caller's seed: same seed, same choices.

use crate::hash;

/// SplitMix64 (Steele, Lea, Flood 2014). For choosing peers and sequence numbers, not for keys.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(hash::mix(seed ^ 0x5eed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash::mix(self.0)
    }

    /// A number below `bound` (0 if `bound` is 0). The bias of at most `bound / 2^32` does not matter here.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * bound as u64) >> 32) as u32
    }
}

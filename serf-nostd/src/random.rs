//! The core's own random numbers, from the caller's seed, and whom they choose: same seed, same choices.

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

/// Walks the live members from a random one in random steps: as many distinct ones as are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Targets {
    at: u32,
    stride: u32,
    live: u32,
    wanted: u32,
    left: u32,
}

impl Targets {
    /// `wanted` of `live` members.
    pub(crate) fn draw(random: &mut Random, live: usize, wanted: usize) -> Targets {
        let live = live as u32;
        let at = random.below(live);
        let mut stride = 1 + random.below(live.saturating_sub(1));
        while live > 0 && gcd(stride, live) != 1 {
            stride = stride % live + 1;
        }
        let wanted = (wanted as u32).min(live);
        Targets { at, stride, live, wanted, left: wanted }
    }

    /// The place of the next one among the live members; those may be fewer by now.
    pub(crate) fn next(&mut self, live: usize) -> Option<usize> {
        if self.left == 0 || live == 0 {
            return None;
        }
        self.left -= 1;
        let place = self.at as usize % live;
        self.at = (self.at + self.stride) % self.live.max(1);
        Some(place)
    }

    /// The place of the next one among a few others that are preferred: every second one is of them, if they have not all come;
    /// unless everybody comes.
    pub(crate) fn among(&self, others: usize) -> Option<usize> {
        let come = (self.wanted - self.left) as usize;
        let preferred = self.wanted < self.live && come.is_multiple_of(2) && come / 2 < others;
        preferred.then(|| (self.stride as usize + come / 2) % others)
    }

    /// How many are still to come.
    pub(crate) fn left(&self) -> u32 {
        self.left
    }

    /// Whether the next one is the last.
    pub(crate) fn at_last(&self) -> bool {
        self.left == 1
    }
}

fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_distinct_and_as_many_as_wanted() {
        let mut random = Random::new(7);
        for live in 1..70 {
            for wanted in [1, 2, 3, 32] {
                let mut targets = Targets::draw(&mut random, live, wanted);
                let mut hit = [false; 70];
                let mut count = 0;
                while let Some(place) = targets.next(live) {
                    assert!(!core::mem::replace(&mut hit[place], true));
                    count += 1;
                }
                assert_eq!(count, wanted.min(live));
            }
        }
    }
}

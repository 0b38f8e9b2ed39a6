//! Who hears a round: distinct live members, drawn without memory.

use crate::random::Random;

/// Walks the live members from a random one in random steps: as many distinct ones as are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Targets {
    at: u32,
    stride: u32,
    live: u32,
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
        Targets { at, stride, live, left: (wanted as u32).min(live) }
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

/// What is being sent to several members, one datagram each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub kind: RoundKind,
    pub targets: Targets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoundKind {
    /// The first copies of own events: this many from the head of their list, once the first datagram is written.
    Own(u16),
    /// The first copies of others' events, likewise.
    Forward(u16),
    /// Ids whose time had come at this moment (microseconds), likewise counted.
    Announce { due: crate::time::Instant, count: u16 },
    /// What this node has to say about itself: bits of `say`.
    OwnNews(u8),
    /// News about members.
    Members,
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

//! Which events have been seen: a sorted set of identities over a fixed slice. When it is full the lowest leaves and
//! becomes the floor; at or below the floor nothing is ever delivered again.

use crate::wire::message::EventId;

/// Buckets of id hashes in a digest.
pub(crate) const BUCKETS: usize = 16;

/// What is known about an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Never seen.
    New,
    /// Seen.
    Known,
    /// At or below the floor: nobody can tell any more.
    Below,
}

/// An identity in 12 bytes: of its time only the lower half, as the set spans less than 2^32. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct SeenEvent {
    ltime: u32,
    origin: [u32; 2],
}

impl SeenEvent {
    /// A free place.
    pub const EMPTY: SeenEvent = SeenEvent { ltime: 0, origin: [0; 2] };

    fn new(id: EventId) -> SeenEvent {
        SeenEvent { ltime: id.ltime as u32, origin: [id.origin as u32, (id.origin >> 32) as u32] }
    }

    /// The identity, given a time at or less than 2^32 above its own.
    fn id(self, top: u64) -> EventId {
        let [low, high] = self.origin.map(u64::from);
        EventId { ltime: top - (top as u32).wrapping_sub(self.ltime) as u64, origin: high << 32 | low }
    }
}

/// The set, as a ring so that the lowest leaves in constant time; new ids mostly belong near the top.
pub(crate) struct Seen<'a> {
    cells: &'a mut [SeenEvent],
    head: usize,
    len: usize,
    /// No time in the set is above this one, or 2^32 below.
    top: u64,
    floor: EventId,
    /// Whether the lowest that leaves becomes the floor: always, but in a sabotaged build.
    floored: bool,
    digest: [u32; BUCKETS],
    /// The last digest above somebody else's floor; void once the set has changed.
    above: Option<(EventId, [u32; BUCKETS])>,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(cells: &'a mut [SeenEvent], floor: EventId, floored: bool) -> Self {
        Seen { cells, head: 0, len: 0, top: 0, floor, floored, digest: [0; BUCKETS], above: None }
    }

    pub(crate) fn release(self) -> &'a mut [SeenEvent] {
        self.cells
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn floor(&self) -> EventId {
        self.floor
    }

    fn at(&self, i: usize) -> usize {
        let at = self.head + i;
        if at >= self.cells.len() { at - self.cells.len() } else { at }
    }

    /// The id at place `i`, lowest first.
    pub(crate) fn get(&self, i: usize) -> EventId {
        self.cells[self.at(i)].id(self.top)
    }

    /// How many ids are below `id`.
    pub(crate) fn rank(&self, id: EventId) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = (low + high) / 2;
            if self.get(middle) < id { low = middle + 1 } else { high = middle }
        }
        low
    }

    pub(crate) fn judge(&self, id: EventId) -> Sight {
        if id <= self.floor || (self.len > 0 && self.top.saturating_sub(id.ltime) > u32::MAX.into()) {
            return Sight::Below;
        }
        let rank = self.rank(id);
        if rank < self.len && self.get(rank) == id {
            Sight::Known
        } else if rank == 0 && self.len == self.cells.len() && self.floored {
            Sight::Below
        } else {
            Sight::New
        }
    }

    /// Adds an id that [`Seen::judge`] has called new.
    pub(crate) fn insert(&mut self, id: EventId) {
        self.above = None;
        let too_far = |seen: &Self| id.ltime.saturating_sub(seen.get(0).ltime) > u32::MAX.into();
        while self.len == self.cells.len() || (self.len > 0 && too_far(self)) {
            let lowest = self.pop();
            if self.floored {
                self.floor = self.floor.max(lowest);
            }
        }
        self.top = if self.len > 0 { self.top.max(id.ltime) } else { id.ltime };
        let rank = self.rank(id);
        if rank < self.len / 2 {
            self.head = self.at(self.cells.len() - 1);
            self.len += 1;
            for i in 0..rank {
                let (to, from) = (self.at(i), self.at(i + 1));
                self.cells[to] = self.cells[from];
            }
        } else {
            self.len += 1;
            for i in (rank + 1..self.len).rev() {
                let (to, from) = (self.at(i), self.at(i - 1));
                self.cells[to] = self.cells[from];
            }
        }
        let place = self.at(rank);
        self.cells[place] = SeenEvent::new(id);
        self.toggle(id);
    }

    fn pop(&mut self) -> EventId {
        let lowest = self.get(0);
        self.toggle(lowest);
        self.head = self.at(1);
        self.len -= 1;
        lowest
    }

    fn toggle(&mut self, id: EventId) {
        let hash = id.hash();
        self.digest[bucket(hash)] ^= hash;
    }

    /// Nothing at or below `floor` is delivered from now on.
    pub(crate) fn raise_floor(&mut self, floor: EventId) {
        if floor.ltime == 0 {
            // No event has that time: there is one way only to say "no floor".
            return;
        }
        self.above = None;
        self.floor = self.floor.max(floor);
        while self.len > 0 && self.get(0) <= self.floor {
            self.pop();
        }
    }

    /// Digests of the ids above `floor`, by bucket of their hash.
    pub(crate) fn buckets_above(&mut self, floor: EventId) -> [u32; BUCKETS] {
        if floor <= self.floor || self.len == 0 {
            return self.digest;
        }
        if let Some((known, digest)) = self.above
            && known == floor
        {
            return digest;
        }
        // Whichever side of the floor is shorter is summed up, and the result kept while nothing changes.
        let rank = self.rank(floor) + (self.judge(floor) == Sight::Known) as usize;
        let mut sum = [0; BUCKETS];
        let range = if rank < self.len / 2 { 0..rank } else { rank..self.len };
        for i in range {
            let hash = self.get(i).hash();
            sum[bucket(hash)] ^= hash;
        }
        if rank < self.len / 2 {
            for (part, whole) in sum.iter_mut().zip(self.digest) {
                *part ^= whole;
            }
        }
        self.above = Some((floor, sum));
        sum
    }

    /// One number for all ids above `floor`.
    pub(crate) fn root_above(&mut self, floor: EventId) -> u32 {
        self.buckets_above(floor).iter().fold(0, |root, bucket| root ^ bucket)
    }

    #[cfg(any(test, feature = "sabotage"))]
    pub(crate) fn check(&self) {
        assert!(self.len <= self.cells.len());
        for i in 1..self.len {
            assert!(self.get(i - 1) < self.get(i), "sorted, without duplicates");
        }
    }
}

/// The bucket of an id's hash.
pub(crate) fn bucket(hash: u32) -> usize {
    hash as usize >> (32 - BUCKETS.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn id(ltime: u64, origin: u64) -> EventId {
        EventId { ltime, origin }
    }

    #[test]
    fn full_the_lowest_leaves_and_becomes_the_floor() {
        let mut cells = [SeenEvent::EMPTY; 4];
        let mut seen = Seen::new(&mut cells, EventId::LOWEST, true);
        for ltime in [5, 3, 9, 7] {
            assert_eq!(seen.judge(id(ltime, 1)), Sight::New);
            seen.insert(id(ltime, 1));
        }
        assert_eq!(seen.judge(id(2, 1)), Sight::Below, "full, and lower than all");
        seen.insert(id(8, 1));
        assert_eq!(seen.floor(), id(3, 1));
        assert_eq!(seen.judge(id(3, 1)), Sight::Below);
        assert_eq!(seen.judge(id(4, 1)), Sight::Below);
        assert_eq!(seen.judge(id(5, 1)), Sight::Known);
        assert_eq!(seen.judge(id(6, 1)), Sight::New);
        seen.raise_floor(id(8, 0));
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn times_far_apart_are_told_apart() {
        let mut cells = [SeenEvent::EMPTY; 4];
        let mut seen = Seen::new(&mut cells, EventId::LOWEST, true);
        let far = 1 << 32;
        for ltime in [7, far + 6, far - 1] {
            assert_eq!(seen.judge(id(ltime, u64::MAX)), Sight::New);
            seen.insert(id(ltime, u64::MAX));
            seen.check();
        }
        assert_eq!(seen.judge(id(7, u64::MAX)), Sight::Known);
        assert_eq!(seen.judge(id(6, 1)), Sight::Below, "2^32 below the highest");
        seen.insert(id(far + 7, 1));
        assert_eq!(seen.floor(), id(7, u64::MAX), "what is too far below leaves, as if the set were full");
        assert_eq!(seen.judge(id(far + 6, u64::MAX)), Sight::Known);
        assert_eq!((seen.get(0), seen.len()), (id(far - 1, u64::MAX), 3));
        seen.insert(id(1 << 60, 1));
        assert_eq!((seen.get(0), seen.len()), (id(1 << 60, 1), 1));
    }

    #[test]
    fn agrees_with_a_plain_set_and_never_says_new_twice() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let mut cells = [SeenEvent::EMPTY; 16];
            let mut seen = Seen::new(&mut cells, EventId::LOWEST, true);
            let mut ever = [[false; 4]; 64];
            for step in 0..200 {
                let (ltime, origin) = ((step / 6 + random.below(24)).min(63), random.below(4));
                let candidate = id(ltime as u64, origin as u64 + 1);
                if seen.judge(candidate) == Sight::New {
                    assert!(!ever[ltime as usize][origin as usize], "delivered twice");
                    ever[ltime as usize][origin as usize] = true;
                    seen.insert(candidate);
                    seen.check();
                }
                let floor = id(random.below(64) as u64, 2);
                let expected = (0..seen.len()).map(|i| seen.get(i)).filter(|x| *x > floor);
                let expected = expected.fold(0, |root, x| root ^ x.hash());
                if floor > seen.floor() {
                    assert_eq!(seen.root_above(floor), expected);
                    assert_eq!(seen.root_above(floor), expected, "from the cache");
                }
            }
        }
    }
}

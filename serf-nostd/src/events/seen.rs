//! Which events have been seen: a sorted set of identities over a fixed slice. When it is full the lowest leaves and
//! becomes the floor; at or below the floor nothing is delivered again, but for last values that were asked for (`Events::late_value`).

use core::cmp::Ordering;

use crate::wire::message::EventId;

/// Buckets of id hashes in a digest.
pub(crate) const BUCKETS: usize = 16;
/// Sums over pieces of the set: 64 of them hold a full one, and at both ends there may be a part of one.
const PIECES: usize = 66;

/// What is known about an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
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
        EventId { ltime: top - (top as u32).wrapping_sub(self.ltime) as u64, origin: self.origin() }
    }

    fn origin(&self) -> u64 {
        let [low, high] = self.origin.map(u64::from);
        high << 32 | low
    }
}

/// The set, as a ring so that the lowest leaves in constant time; new ids mostly belong near the top.
///
/// The hashes of each 64th part are summed up, so that those of all ids above another node's floor cost little.
pub(crate) struct Seen<'a> {
    cells: &'a mut [SeenEvent],
    head: usize,
    len: usize,
    /// No time in the set is above this one, or 2^32 below.
    top: u64,
    floor: EventId,
    /// Whether the lowest that leaves becomes the floor: always, but in a sabotaged build.
    floored: bool,
    /// Over all ids.
    root: u32,
    /// A ring as well, of pieces of `1 << shift` ids; the lowest id's place in it is `base`.
    sums: [u32; PIECES],
    base: usize,
    shift: u32,
    /// How many ids have left it at its low end, and their hashes, XORed; `None` until somebody has told what others have
    /// forgotten before this node's time.
    forgotten: Option<(u32, u32)>,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(cells: &'a mut [SeenEvent], floor: EventId, floored: bool) -> Self {
        let shift = cells.len().div_ceil(PIECES - 2).next_power_of_two().trailing_zeros();
        Seen {
            cells,
            head: 0,
            len: 0,
            top: 0,
            floor,
            floored,
            root: 0,
            sums: [0; PIECES],
            base: 0,
            shift,
            forgotten: None,
        }
    }

    pub(crate) fn release(self) -> &'a mut [SeenEvent] {
        self.cells
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn capacity(&self) -> usize {
        self.cells.len()
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

    /// In which piece place `i` is, lowest id first.
    fn piece(&self, i: usize) -> usize {
        let piece = (self.base + i) >> self.shift;
        if piece >= PIECES { piece - PIECES } else { piece }
    }

    /// How many ids are below `id`.
    pub(crate) fn rank(&self, id: EventId) -> usize {
        if id.ltime > self.top {
            return self.len;
        }
        // How far below the top: half the work of putting each time together.
        let Ok(depth) = u32::try_from(self.top - id.ltime) else { return 0 };
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = (low + high) / 2;
            let cell = &self.cells[self.at(middle)];
            let below = match (self.top as u32).wrapping_sub(cell.ltime).cmp(&depth) {
                Ordering::Greater => true,
                Ordering::Equal => cell.origin() < id.origin,
                Ordering::Less => false,
            };
            if below { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Whether an id is above all others, as most new ones are.
    fn is_highest(&self, id: EventId) -> bool {
        self.len == 0 || self.get(self.len - 1) < id
    }

    pub(crate) fn classify(&self, id: EventId) -> Freshness {
        if id <= self.floor || (self.len > 0 && self.top.saturating_sub(id.ltime) > u32::MAX.into()) {
            return Freshness::Below;
        }
        if self.is_highest(id) {
            return Freshness::New;
        }
        let rank = self.rank(id);
        if rank < self.len && self.get(rank) == id {
            Freshness::Known
        } else if rank == 0 && self.len == self.cells.len() && self.floored {
            Freshness::Below
        } else {
            Freshness::New
        }
    }

    /// Adds an id that [`Seen::classify`] has called new.
    pub(crate) fn insert(&mut self, id: EventId) {
        let too_far = |seen: &Self| id.ltime.saturating_sub(seen.get(0).ltime) > u32::MAX.into();
        while self.len == self.cells.len() || (self.len > 0 && too_far(self)) {
            let lowest = self.pop();
            if self.floored {
                self.floor = self.floor.max(lowest);
            }
        }
        self.top = if self.len > 0 { self.top.max(id.ltime) } else { id.ltime };
        let rank = if self.is_highest(id) { self.len } else { self.rank(id) };
        if rank < self.len / 2 {
            self.head = self.at(self.cells.len() - 1);
            self.base = if self.base == 0 { (PIECES << self.shift) - 1 } else { self.base - 1 };
            self.len += 1;
            for i in 0..rank {
                self.carry(i + 1, i);
            }
        } else {
            self.len += 1;
            for i in (rank + 1..self.len).rev() {
                self.carry(i - 1, i);
            }
        }
        let place = self.at(rank);
        self.cells[place] = SeenEvent::new(id);
        self.toggle(rank, id);
    }

    /// Takes an id out as if it had never been seen.
    pub(crate) fn remove(&mut self, id: EventId) {
        let rank = self.rank(id);
        if rank < self.len && self.get(rank) == id {
            self.toggle(rank, id);
            (rank + 1..self.len).for_each(|i| self.carry(i, i - 1));
            self.len -= 1;
        }
    }

    /// Moves the id at one place to the one beside it.
    fn carry(&mut self, from: usize, to: usize) {
        let pieces = (self.piece(from), self.piece(to));
        if pieces.0 != pieces.1 {
            let hash = self.get(from).hash();
            self.sums[pieces.0] ^= hash;
            self.sums[pieces.1] ^= hash;
        }
        let (from, to) = (self.at(from), self.at(to));
        self.cells[to] = self.cells[from];
    }

    fn pop(&mut self) -> EventId {
        let lowest = self.get(0);
        self.toggle(0, lowest);
        self.head = self.at(1);
        self.base = if self.base + 1 == PIECES << self.shift { 0 } else { self.base + 1 };
        self.len -= 1;
        if let Some((count, digest)) = &mut self.forgotten {
            *count = count.wrapping_add(1);
            *digest ^= lowest.hash();
        }
        lowest
    }

    /// What of the ids at or below `at` this node remembers.
    fn remembered(&self, at: EventId) -> (u32, u32) {
        (0..self.above(at)).fold((0, 0), |(count, digest), i| (count + 1, digest ^ self.get(i).hash()))
    }

    /// How many events this node has ever seen at or below `at`, and their hashes, XORed; `None` if it cannot tell.
    pub(crate) fn history(&self, at: EventId) -> Option<(u32, u32)> {
        let forgotten = self.forgotten.filter(|_| at >= self.floor)?;
        let (count, digest) = self.remembered(at);
        Some((forgotten.0.wrapping_add(count), forgotten.1 ^ digest))
    }

    /// Takes over what others have seen at or below `at`: from now on this node goes by it.
    pub(crate) fn set_history(&mut self, at: EventId, (count, digest): (u32, u32)) {
        if at >= self.floor {
            let remembered = self.remembered(at);
            self.forgotten = Some((count.wrapping_sub(remembered.0), digest ^ remembered.1));
        }
    }

    /// This node joins a fleet that has another history.
    pub(crate) fn forget_history(&mut self) {
        self.forgotten = None;
    }

    /// There is nothing that others could have forgotten before this node's time.
    pub(crate) fn begin_history(&mut self) {
        self.forgotten.get_or_insert((0, 0));
    }

    fn toggle(&mut self, place: usize, id: EventId) {
        let hash = id.hash();
        self.root ^= hash;
        self.sums[self.piece(place)] ^= hash;
    }

    /// Nothing at or below `floor` is delivered from now on.
    pub(crate) fn raise_floor(&mut self, floor: EventId) {
        if floor.ltime == 0 {
            // No event has that time: there is one way only to say "no floor".
            return;
        }
        self.floor = self.floor.max(floor);
        while self.len > 0 && self.get(0) <= self.floor {
            self.pop();
        }
    }

    /// The place of the first id above `floor`.
    fn above(&self, floor: EventId) -> usize {
        let rank = self.rank(floor);
        rank + (rank < self.len && self.get(rank) == floor) as usize
    }

    /// Digests of the ids above `floor`, by bucket of their hash. Goes through them all.
    pub(crate) fn buckets_above(&self, floor: EventId) -> [u32; BUCKETS] {
        let mut sum = [0; BUCKETS];
        for i in self.above(floor)..self.len {
            let hash = self.get(i).hash();
            sum[bucket(hash)] ^= hash;
        }
        sum
    }

    /// One number for all ids above `floor`.
    pub(crate) fn root_above(&self, floor: EventId) -> u32 {
        if floor <= self.floor || self.len == 0 {
            return self.root;
        }
        let xor = |sums: &[u32]| sums.iter().fold(0, |sum, part| sum ^ part);
        // What is below: whole pieces, then a part of one, or a whole one without the rest of it.
        let place = self.above(floor);
        let within = (self.base + place) & ((1 << self.shift) - 1);
        let rest = ((1 << self.shift) - within).min(self.len - place);
        let shorter = rest < within;
        let (first, end) = (self.piece(0), self.piece(place) + shorter as usize);
        let whole =
            if first <= end { xor(&self.sums[first..end]) } else { self.root ^ xor(&self.sums[end..first]) };
        let part = if shorter { place..place + rest } else { place.saturating_sub(within)..place };
        part.fold(self.root ^ whole, |sum, i| sum ^ self.get(i).hash())
    }

    #[cfg(any(test, feature = "sabotage"))]
    pub(crate) fn check(&self) {
        assert!(self.len <= self.cells.len());
        for i in 1..self.len {
            assert!(self.get(i - 1) < self.get(i), "sorted, without duplicates");
        }
        let mut sums = [0; PIECES];
        (0..self.len).for_each(|i| sums[self.piece(i)] ^= self.get(i).hash());
        assert_eq!((self.sums, self.root), (sums, sums.iter().fold(0, |root, sum| root ^ sum)));
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
            assert_eq!(seen.classify(id(ltime, 1)), Freshness::New);
            seen.insert(id(ltime, 1));
        }
        assert_eq!(seen.classify(id(2, 1)), Freshness::Below, "full, and lower than all");
        seen.insert(id(8, 1));
        assert_eq!(seen.floor(), id(3, 1));
        assert_eq!(seen.classify(id(3, 1)), Freshness::Below);
        assert_eq!(seen.classify(id(4, 1)), Freshness::Below);
        assert_eq!(seen.classify(id(5, 1)), Freshness::Known);
        assert_eq!(seen.classify(id(6, 1)), Freshness::New);
        seen.raise_floor(id(8, 0));
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn times_far_apart_are_told_apart() {
        let mut cells = [SeenEvent::EMPTY; 4];
        let mut seen = Seen::new(&mut cells, EventId::LOWEST, true);
        let far = 1 << 32;
        for ltime in [7, far + 6, far - 1] {
            assert_eq!(seen.classify(id(ltime, u64::MAX)), Freshness::New);
            seen.insert(id(ltime, u64::MAX));
            seen.check();
        }
        assert_eq!(seen.classify(id(7, u64::MAX)), Freshness::Known);
        assert_eq!(seen.classify(id(6, 1)), Freshness::Below, "2^32 below the highest");
        seen.insert(id(far + 7, 1));
        assert_eq!(seen.floor(), id(7, u64::MAX), "what is too far below leaves, as if the set were full");
        assert_eq!(seen.classify(id(far + 6, u64::MAX)), Freshness::Known);
        assert_eq!((seen.get(0), seen.len()), (id(far - 1, u64::MAX), 3));
        seen.insert(id(1 << 60, 1));
        assert_eq!((seen.get(0), seen.len()), (id(1 << 60, 1), 1));
    }

    #[test]
    fn agrees_with_a_plain_set_and_never_says_new_twice() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            // Pieces of one id, and of two.
            let mut cells = [SeenEvent::EMPTY; 100];
            let capacity = if seed % 2 == 0 { 16 } else { 65 + seed as usize % 36 };
            let mut seen = Seen::new(&mut cells[..capacity], EventId::LOWEST, true);
            let mut ever = [[false; 4]; 64];
            for step in 0..200 {
                let (ltime, origin) = ((step / 6 + random.below(24)).min(63), random.below(4));
                let candidate = id(ltime as u64, origin as u64 + 1);
                if seen.classify(candidate) == Freshness::New {
                    assert!(!ever[ltime as usize][origin as usize], "delivered twice");
                    ever[ltime as usize][origin as usize] = true;
                    seen.insert(candidate);
                    seen.check();
                }
                let floor = id(random.below(64) as u64, 2);
                let above = (0..seen.len()).map(|i| seen.get(i)).filter(|x| *x > floor);
                let expected = above.fold(0, |root, x| root ^ x.hash());
                assert_eq!(seen.root_above(floor), expected);
                assert_eq!(seen.buckets_above(floor).iter().fold(0, |root, bucket| root ^ bucket), expected);
            }
        }
    }
}

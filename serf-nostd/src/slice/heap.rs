//! A binary heap of item ids by deadline; items know their place, so any of them can leave in O(log n).

use crate::time::Instant;

/// An item with a deadline and a place in one heap.
pub(crate) trait Timed {
    fn deadline(&self) -> Instant;
    /// Its place in the heap plus one, or 0 if it is in none. Kept by the heap.
    fn place(&mut self) -> &mut u16;
}

/// Ids of timed items, the earliest first. As many as the slice is long.
pub(crate) struct Heap<'a> {
    ids: &'a mut [u16],
    len: usize,
}

impl<'a> Heap<'a> {
    pub(crate) fn new(ids: &'a mut [u16]) -> Self {
        Heap { ids, len: 0 }
    }

    pub(crate) fn release(self) -> &'a mut [u16] {
        self.ids
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn first(&self) -> Option<u16> {
        self.ids[..self.len].first().copied()
    }

    /// Every id, in no order.
    pub(crate) fn ids(&self) -> &[u16] {
        &self.ids[..self.len]
    }

    pub(crate) fn insert<T: Timed>(&mut self, items: &mut [T], id: u16) {
        self.ids[self.len] = id;
        self.len += 1;
        self.settle(items, self.len - 1);
    }

    pub(crate) fn remove<T: Timed>(&mut self, items: &mut [T], id: u16) {
        let place = core::mem::take(items[id as usize].place()) as usize - 1;
        self.len -= 1;
        if place < self.len {
            self.ids[place] = self.ids[self.len];
            self.settle(items, place);
        }
    }

    /// Puts an item where it belongs after its deadline has changed.
    pub(crate) fn moved<T: Timed>(&mut self, items: &mut [T], id: u16) {
        let place = *items[id as usize].place() as usize - 1;
        self.settle(items, place);
    }

    fn settle<T: Timed>(&mut self, items: &mut [T], mut place: usize) {
        let id = self.ids[place];
        let deadline = items[id as usize].deadline();
        while place > 0 {
            let parent = (place - 1) / 2;
            if items[self.ids[parent] as usize].deadline() <= deadline {
                break;
            }
            self.put(items, place, self.ids[parent]);
            place = parent;
        }
        loop {
            let mut child = 2 * place + 1;
            if child >= self.len {
                break;
            }
            let at = |i: usize| items[self.ids[i] as usize].deadline();
            if child + 1 < self.len && at(child + 1) < at(child) {
                child += 1;
            }
            if at(child) >= deadline {
                break;
            }
            self.put(items, place, self.ids[child]);
            place = child;
        }
        self.put(items, place, id);
    }

    fn put<T: Timed>(&mut self, items: &mut [T], place: usize, id: u16) {
        self.ids[place] = id;
        *items[id as usize].place() = place as u16 + 1;
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::random::Random;

    #[derive(Clone, Copy)]
    struct Item {
        deadline: Instant,
        place: u16,
    }

    impl Timed for Item {
        fn deadline(&self) -> Instant {
            self.deadline
        }
        fn place(&mut self) -> &mut u16 {
            &mut self.place
        }
    }

    #[test]
    fn the_earliest_is_first_whatever_comes_moves_and_leaves() {
        let mut random = Random::new(1);
        let mut items = [Item { deadline: Instant::PAST, place: 0 }; 40];
        let mut ids = [0; 40];
        let mut heap = Heap::new(&mut ids);
        for _ in 0..5_000 {
            let id = random.below(40) as u16;
            let deadline = Instant::from_millis(random.below(50).into());
            let inside = items[id as usize].place != 0;
            match (inside, random.below(2)) {
                (false, _) => {
                    items[id as usize].deadline = deadline;
                    heap.insert(&mut items, id);
                }
                (true, 0) => heap.remove(&mut items, id),
                (true, _) => {
                    items[id as usize].deadline = deadline;
                    heap.moved(&mut items, id);
                }
            }
            let held: Vec<_> = items.iter().filter(|item| item.place != 0).collect();
            assert_eq!(heap.len(), held.len());
            let first = heap.first().map(|id| items[id as usize].deadline);
            assert_eq!(first, held.iter().map(|item| item.deadline).min());
            assert!(heap.ids().iter().enumerate().all(|(at, id)| items[*id as usize].place == at as u16 + 1));
        }
    }
}

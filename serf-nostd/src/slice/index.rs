//! Find an item by hash: an array sorted by hash, with gaps, so that look-up, insertion and removal touch a few cells
//! and a walk from any hash on meets the items in the order of their hashes.

const FREE: u16 = 0;

/// Ids of items by 32-bit hash. The caller tells the hash of an id; equal hashes are told apart by the caller, too.
///
/// A cell holds the id plus one, or 0 if it is free: fresh zeroed memory is an empty index, and stays untouched.
///
/// The slice has three cells for each item it can hold: two thirds are homes (hash scaled to their number), the last
/// third takes what runs over the end. Cells behind a home run on without a gap, sorted by hash.
pub(crate) struct Index<'a> {
    cells: &'a mut [u16],
    homes: usize,
}

impl<'a> Index<'a> {
    pub(crate) fn new(cells: &'a mut [u16]) -> Self {
        // Only what is in use is written: a server's untouched pages cost nothing.
        for cell in cells.iter_mut().filter(|cell| **cell != FREE) {
            *cell = FREE;
        }
        let homes = cells.len() / 3 * 2;
        Index { cells, homes }
    }

    pub(crate) fn release(self) -> &'a mut [u16] {
        self.cells
    }

    fn home(&self, hash: u32) -> usize {
        ((hash as u64 * self.homes as u64) >> 32) as usize
    }

    /// The item with this hash that `is` the one.
    pub(crate) fn find(
        &self,
        hash: u32,
        hash_of: impl Fn(u16) -> u32,
        is: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        for &cell in &self.cells[self.home(hash)..] {
            let id = cell.wrapping_sub(1);
            if cell == FREE || hash_of(id) > hash {
                return None;
            }
            if hash_of(id) == hash && is(id) {
                return Some(id);
            }
        }
        None
    }

    /// Adds an item. The owner never adds more than the index was made for.
    pub(crate) fn insert(&mut self, hash: u32, id: u16, hash_of: impl Fn(u16) -> u32) {
        let mut at = self.home(hash);
        while self.cells[at] != FREE && hash_of(self.cells[at] - 1) <= hash {
            at += 1;
        }
        let mut carried = id + 1;
        while carried != FREE {
            core::mem::swap(&mut self.cells[at], &mut carried);
            at += 1;
        }
    }

    /// Takes an item out, if it is in.
    pub(crate) fn remove(&mut self, hash: u32, id: u16, hash_of: impl Fn(u16) -> u32) {
        let home = self.home(hash);
        let Some(steps) = self.cells[home..].iter().take_while(|c| **c != FREE).position(|c| *c == id + 1)
        else {
            return;
        };
        let mut at = home + steps;
        // What stands behind moves one cell back, up to the first that stands at its home.
        while at + 1 < self.cells.len() {
            let next = self.cells[at + 1];
            if next == FREE || self.home(hash_of(next - 1)) > at {
                break;
            }
            self.cells[at] = next;
            at += 1;
        }
        self.cells[at] = FREE;
    }

    /// Items with at least this hash, in the order of their hashes.
    pub(crate) fn from<'b>(
        &'b self,
        hash: u32,
        hash_of: impl Fn(u16) -> u32 + 'b,
    ) -> impl Iterator<Item = u16> + 'b {
        let used = self.cells[self.home(hash)..].iter().filter(|cell| **cell != FREE);
        used.map(|cell| cell - 1).filter(move |id| hash_of(*id) >= hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn agrees_with_a_plain_list_under_random_use_and_colliding_hashes() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            const N: usize = 40;
            // Few distinct hashes, many of them at the very end, so that runs are long and spill over.
            let hashes: [u32; N] = core::array::from_fn(|_| match random.below(3) {
                0 => u32::MAX - random.below(3),
                1 => random.below(4) << 29,
                _ => random.next() as u32,
            });
            let mut cells = [0u16; 3 * N];
            let mut index = Index::new(&mut cells);
            let mut model = [false; N];
            let hash_of = |id: u16| hashes[id as usize];
            for _ in 0..300 {
                let id = random.below(N as u32) as u16;
                if model[id as usize] {
                    index.remove(hash_of(id), id, hash_of);
                } else {
                    index.insert(hash_of(id), id, hash_of);
                }
                model[id as usize] = !model[id as usize];
                for id in 0..N as u16 {
                    let found = index.find(hash_of(id), hash_of, |x| x == id);
                    assert_eq!(found.is_some(), model[id as usize]);
                }
                let from = random.next() as u32;
                let mut last = from;
                let mut count = 0;
                for id in index.from(from, hash_of) {
                    assert!(hash_of(id) >= last);
                    last = hash_of(id);
                    count += 1;
                }
                let expected = (0..N).filter(|i| model[*i] && hashes[*i] >= from).count();
                assert_eq!(count, expected);
            }
        }
    }
}

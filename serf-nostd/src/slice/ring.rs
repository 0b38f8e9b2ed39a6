//! A first-in-first-out queue over a slice.

/// As many items as the slice is long.
pub(crate) struct Ring<'a, T> {
    cells: &'a mut [T],
    head: usize,
    len: usize,
}

impl<'a, T: Copy> Ring<'a, T> {
    pub(crate) fn new(cells: &'a mut [T]) -> Self {
        Ring { cells, head: 0, len: 0 }
    }

    pub(crate) fn release(self) -> &'a mut [T] {
        self.cells
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == self.cells.len()
    }

    fn at(&self, i: usize) -> usize {
        let at = self.head + i;
        if at >= self.cells.len() { at - self.cells.len() } else { at }
    }

    pub(crate) fn front(&self) -> Option<T> {
        (self.len > 0).then(|| self.cells[self.head])
    }

    /// Returns false, and changes nothing, if there is no room.
    #[must_use]
    pub(crate) fn push_back(&mut self, item: T) -> bool {
        if self.is_full() {
            return false;
        }
        let at = self.at(self.len);
        self.cells[at] = item;
        self.len += 1;
        true
    }

    /// Moves the last one forward, past all that it belongs in front of.
    pub(crate) fn settle_last(&mut self, belongs_before: impl Fn(T, T) -> bool) {
        for i in (1..self.len).rev() {
            let (at, before) = (self.at(i), self.at(i - 1));
            if !belongs_before(self.cells[at], self.cells[before]) {
                break;
            }
            self.cells.swap(at, before);
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let item = self.front()?;
        self.head = self.at(1);
        self.len -= 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_in_first_out_and_full_is_said() {
        let mut cells = [0; 3];
        let mut ring = Ring::new(&mut cells);
        let (mut pushed, mut popped) = (0, 0);
        for round in 0..100 {
            while ring.push_back(pushed) {
                pushed += 1;
            }
            assert_eq!((ring.len(), ring.front()), (3, Some(popped)));
            for _ in 0..1 + round % 3 {
                assert_eq!(ring.pop_front(), Some(popped));
                popped += 1;
            }
        }
        while ring.pop_front().is_some() {}
        assert_eq!((ring.len(), ring.front()), (0, None));
    }

    #[test]
    fn what_comes_late_goes_where_it_belongs() {
        let mut cells = [0; 8];
        let mut ring = Ring::new(&mut cells);
        assert!((0..5).all(|_| ring.push_back(0)) && (0..5).all(|_| ring.pop_front() == Some(0)));
        for item in [3, 7, 1, 5, 5, 2, 9, 4] {
            assert!(ring.push_back(item));
            ring.settle_last(|last, before| last < before);
        }
        let sorted: std::vec::Vec<i32> = core::iter::from_fn(|| ring.pop_front()).collect();
        assert_eq!(sorted, [1, 2, 3, 4, 5, 5, 7, 9]);
    }
}

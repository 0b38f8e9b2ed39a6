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
}

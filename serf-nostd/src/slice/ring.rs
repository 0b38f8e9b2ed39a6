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

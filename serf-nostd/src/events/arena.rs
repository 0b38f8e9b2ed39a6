//! Payload bytes of many lengths in one slice: written one behind the other; when the end is reached, what is still
//! held moves together. Each move frees what it cost, as long as some of the arena is free.

/// Bytes before each piece: its owner and its length.
const HEAD: usize = 4;

pub(crate) struct Arena<'a> {
    bytes: &'a mut [u8],
    end: usize,
    held: usize,
}

impl<'a> Arena<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Arena { bytes, end: 0, held: 0 }
    }

    pub(crate) fn release(self) -> &'a mut [u8] {
        self.bytes
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a piece of `len` bytes fits without giving another up.
    pub(crate) fn fits(&self, len: usize) -> bool {
        self.held + HEAD + len <= self.bytes.len()
    }

    /// What a piece of `len` bytes takes.
    pub(crate) fn cost(len: usize) -> usize {
        HEAD + len
    }

    /// Room for a piece that [`Arena::fits`]; returns where. Pieces may move: `place` says and is told where the piece
    /// of an owner stands.
    pub(crate) fn hold(
        &mut self,
        owner: u16,
        len: usize,
        mut place: impl FnMut(u16, Option<u32>) -> u32,
    ) -> u32 {
        if self.end + HEAD + len > self.bytes.len() {
            self.compact(&mut place);
        }
        let at = self.end;
        self.bytes[at..at + 2].copy_from_slice(&owner.to_le_bytes());
        self.bytes[at + 2..at + 4].copy_from_slice(&(len as u16).to_le_bytes());
        self.end += HEAD + len;
        self.held += HEAD + len;
        at as u32
    }

    /// The piece at `at` is not needed any more. Its owner must from now on be placed elsewhere.
    pub(crate) fn free(&mut self, len: usize) {
        self.held -= HEAD + len;
    }

    pub(crate) fn piece(&self, at: u32, len: usize) -> &[u8] {
        &self.bytes[at as usize + HEAD..at as usize + HEAD + len]
    }

    pub(crate) fn piece_mut(&mut self, at: u32, len: usize) -> &mut [u8] {
        &mut self.bytes[at as usize + HEAD..at as usize + HEAD + len]
    }

    fn compact(&mut self, place: &mut impl FnMut(u16, Option<u32>) -> u32) {
        let (mut from, mut to) = (0, 0);
        while from < self.end {
            let owner = u16::from_le_bytes([self.bytes[from], self.bytes[from + 1]]);
            let len = HEAD + u16::from_le_bytes([self.bytes[from + 2], self.bytes[from + 3]]) as usize;
            if place(owner, None) == from as u32 {
                self.bytes.copy_within(from..from + len, to);
                place(owner, Some(to as u32));
                to += len;
            }
            from += len;
        }
        self.end = to;
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::random::Random;

    #[test]
    fn pieces_keep_their_bytes_wherever_they_move() {
        let mut random = Random::new(5);
        let mut bytes = [0; 300];
        let mut arena = Arena::new(&mut bytes);
        // By owner: where a piece stands, and what is in it.
        let mut held: Vec<Option<(u32, Vec<u8>)>> = vec![None; 12];
        for step in 0..5_000u32 {
            let owner = random.below(12) as usize;
            let len = random.below(40) as usize;
            match held[owner].take() {
                Some((_, piece)) => arena.free(piece.len()),
                None if arena.fits(len) => {
                    let at = arena.hold(owner as u16, len, |owner, moved| match &mut held[owner as usize] {
                        None => u32::MAX,
                        Some((at, _)) => {
                            *at = moved.unwrap_or(*at);
                            *at
                        }
                    });
                    let piece: Vec<u8> = (0..len).map(|i| (step as usize + i) as u8).collect();
                    arena.piece_mut(at, len).copy_from_slice(&piece);
                    held[owner] = Some((at, piece));
                }
                None => {}
            }
            for (at, piece) in held.iter().flatten() {
                assert_eq!(arena.piece(*at, piece.len()), piece);
            }
        }
    }
}

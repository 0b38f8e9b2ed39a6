//! Which session each member seals under, and which of its datagrams have come: 16 bytes per member.
//!
//! A sender counts all its datagrams, whoever they are for, so that what one receiver gets of them has wide gaps. A bitmap fits that
//! badly; three counters do: the greatest that have come. What is below the least of them is refused, whether it is late or replayed:
//! a datagram more that is lost.

use crate::slice::Index;

/// What tells one life of a node from another on the wire.
pub(crate) type SessionId = [u8; 8];

/// So much of it is kept: two of 10,000 members with the same beginning are one in five million fleets, and lose datagrams.
type Beginning = [u8; 6];

fn beginning(session: &SessionId) -> Beginning {
    let [beginning @ .., _, _] = *session;
    beginning
}

/// A member's session and the window of its counters. Opaque outside the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct PeerSession {
    session: Beginning,
    /// The greatest counter that has come, little-endian; 0: no session.
    top: [u8; 6],
    /// How far the second and the third greatest are below it; 0: as if they were it.
    below: [u16; 2],
}

const _: () = assert!(size_of::<PeerSession>() == 16);

impl PeerSession {
    /// No session.
    pub const EMPTY: PeerSession = PeerSession { session: [0; 6], top: [0; 6], below: [0; 2] };

    fn new(session: &SessionId, counter: u64) -> PeerSession {
        let mut window = PeerSession { session: beginning(session), ..PeerSession::EMPTY };
        window.set_top(counter);
        window
    }

    fn top(&self) -> u64 {
        let mut top = [0; 8];
        top[..6].copy_from_slice(&self.top);
        u64::from_le_bytes(top)
    }

    fn set_top(&mut self, counter: u64) {
        self.top.copy_from_slice(&counter.to_le_bytes()[..6]);
    }

    fn is_fresh(&self, counter: u64) -> bool {
        let Some(below) = self.top().checked_sub(counter) else { return true };
        let [second, third] = self.below.map(u64::from);
        below < third && below != second && below != 0
    }

    /// Whether it may be ahead of this counter because of what was overtaken on the way: by fewer than any node sends while an answer is
    /// waited for.
    fn reaches(&self, counter: u64) -> bool {
        self.top().saturating_sub(counter) <= u64::from(u16::MAX)
    }

    /// Whether this one is remembered.
    fn has_come(&self, counter: u64) -> bool {
        let Some(below) = self.top().checked_sub(counter) else { return false };
        below == 0 || self.below.iter().any(|known| u64::from(*known) == below)
    }

    /// A fresh counter has come.
    fn accept(&mut self, counter: u64) {
        let [second, third] = self.below;
        match counter.checked_sub(self.top()) {
            Some(ahead) => {
                let down = |below: u16| (below as u64 + ahead).min(u16::MAX as u64) as u16;
                self.below = [down(0), down(second)];
                self.set_top(counter);
            }
            None => {
                let below = (self.top() - counter) as u16;
                debug_assert!(below < third);
                self.below = if below < second { [below, second] } else { [second, below] };
            }
        }
    }

    /// How the index orders it.
    fn hash(&self) -> u32 {
        u32::from_le_bytes([self.session[0], self.session[1], self.session[2], self.session[3]])
    }
}

/// The windows of all members, by their places in the table.
pub(crate) struct Peers<'a> {
    windows: &'a mut [PeerSession],
    /// Where to find a session; without cells all windows are looked through.
    index: Index<'a>,
    indexed: bool,
}

impl<'a> Peers<'a> {
    pub(crate) fn new(windows: &'a mut [PeerSession], index: &'a mut [u16]) -> Self {
        // Only what is in use is written: a server's untouched pages cost nothing.
        for window in windows.iter_mut().filter(|window| **window != PeerSession::EMPTY) {
            *window = PeerSession::EMPTY;
        }
        let indexed = !index.is_empty();
        Peers { windows, index: Index::new(index), indexed }
    }

    pub(crate) fn release(self) -> (&'a mut [PeerSession], &'a mut [u16]) {
        (self.windows, self.index.release())
    }

    /// Whose session it is.
    pub(super) fn find(&self, session: &SessionId) -> Option<u16> {
        let wanted = beginning(session);
        let windows = &*self.windows;
        let is = |window: &PeerSession| window.session == wanted && window.top != [0; 6];
        if self.indexed {
            let hash = PeerSession { session: wanted, ..PeerSession::EMPTY }.hash();
            self.index.find(hash, |id| windows[id as usize].hash(), |id| is(&windows[id as usize]))
        } else {
            windows.iter().position(is).map(|place| place as u16)
        }
    }

    pub(super) fn has_session(&self, peer: u16) -> bool {
        self.windows[peer as usize] != PeerSession::EMPTY
    }

    /// Whether this counter has come.
    pub(super) fn has_come(&self, peer: u16, counter: u64) -> bool {
        self.windows[peer as usize].has_come(counter)
    }

    /// Whether this counter has not come yet, as far as that is known.
    pub(super) fn is_fresh(&self, peer: u16, counter: u64) -> bool {
        self.windows[peer as usize].is_fresh(counter)
    }

    /// It has come now.
    pub(super) fn accept(&mut self, peer: u16, counter: u64) {
        self.windows[peer as usize].accept(counter);
    }

    /// A member has shown that it seals under this session, with this counter at last. False if that is known. If the window is far ahead
    /// of that, somebody else has moved it, who has the key.
    pub(super) fn bind(&mut self, peer: u16, session: &SessionId, counter: u64) -> bool {
        match self.find(session) {
            Some(known) if known == peer && self.windows[peer as usize].reaches(counter) => return false,
            // Its former place.
            Some(known) => self.forget(known),
            None => {}
        }
        self.forget(peer);
        self.windows[peer as usize] = PeerSession::new(session, counter);
        if self.indexed {
            let windows = &*self.windows;
            self.index.insert(windows[peer as usize].hash(), peer, |id| windows[id as usize].hash());
        }
        true
    }

    /// The place is somebody else's, or nobody's, from now on.
    pub(super) fn forget(&mut self, peer: u16) {
        let windows = &*self.windows;
        if windows[peer as usize] == PeerSession::EMPTY {
            return;
        }
        if self.indexed {
            self.index.remove(windows[peer as usize].hash(), peer, |id| windows[id as usize].hash());
        }
        self.windows[peer as usize] = PeerSession::EMPTY;
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::random::Random;

    #[test]
    fn no_counter_is_accepted_twice_in_any_order() {
        let mut random = Random::new(5);
        for _ in 0..2_000 {
            let mut window = PeerSession::new(&[1; 8], 1_000);
            let (mut came, mut accepted): (Vec<u64>, Vec<u64>) = Default::default();
            let spread = [4, 40, 100_000][random.below(3) as usize];
            for _ in 0..60 {
                let counter = (window.top() + spread as u64 / 2).saturating_sub(random.below(spread) as u64);
                if window.is_fresh(counter) {
                    assert!(!accepted.contains(&counter) && counter > 1_000, "{counter} of {accepted:?}");
                    window.accept(counter);
                    accepted.push(counter);
                }
                came.push(counter);
            }
            let newest = came.iter().max().expect("some came");
            assert!(accepted.contains(newest) || *newest <= 1_000, "what is newer than all is taken");
        }
    }

    #[test]
    fn two_that_overtake_each_other_are_both_taken() {
        let mut window = PeerSession::new(&[1; 8], 10);
        window.accept(300);
        window.accept(500);
        assert!(window.is_fresh(400) && window.is_fresh(501) && !window.is_fresh(500));
        window.accept(400);
        assert!(!window.is_fresh(400) && !window.is_fresh(300) && !window.is_fresh(299));
        assert!(window.is_fresh(450));
        window.accept(1 << 40);
        assert!(window.is_fresh((1 << 40) - 1) && !window.is_fresh((1 << 40) - 70_000), "far behind");
    }

    #[test]
    fn a_session_is_one_member_s_and_a_member_has_one() {
        let mut windows = [PeerSession::EMPTY; 4];
        let mut cells = [0; 12];
        for indexed in [false, true] {
            let mut peers = Peers::new(&mut windows, if indexed { &mut cells[..] } else { &mut [] });
            let session = |i: u8| [i, 0, 0, 0, 0, 0, 9, 9];
            assert_eq!(peers.find(&session(0)), None, "what is empty is no session of zeros");
            assert!(peers.bind(2, &session(1), 5));
            assert!(!peers.bind(2, &session(1), 1), "its window stays");
            assert_eq!((peers.find(&session(1)), peers.is_fresh(2, 4)), (Some(2), false));
            assert!(peers.bind(2, &session(7), 1));
            assert_eq!((peers.find(&session(1)), peers.find(&session(7))), (None, Some(2)));
            assert!(peers.bind(3, &session(7), 1));
            assert_eq!(peers.find(&session(7)), Some(3));
            peers.accept(3, 1 << 40);
            assert!(!peers.bind(3, &session(7), (1 << 40) - 9), "late");
            assert!(peers.bind(3, &session(7), 9), "somebody else has moved it");
            assert!(peers.is_fresh(3, 10));
            peers.forget(3);
            assert_eq!(peers.find(&session(7)), None);
            assert!(peers.windows.iter().all(|window| *window == PeerSession::EMPTY));
        }
    }
}

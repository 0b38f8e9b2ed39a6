//! A server's memory for the gossip core, taken once at the start.

use serf_nostd::Memory;
use zerocopy::FromZeros;

use serf_nostd::storage::cells::{
    Asked, Cold, Confirmer, EarlyIntent, Entry, Hot, KeySlot, Outgoing, Peer, PeerSession, Pull, Relay,
    Running, SeenEvent, StoreSlot, Window,
};

/// Members held where nothing else is said.
pub const DEFAULT_MAX_MEMBERS: usize = 16_384;
/// The most members that may be asked for: what the core can number. Their memory is taken at the start.
pub const MAX_MEMBERS: u64 = 65_534;
/// Changes of members that are remembered, of all together.
const CHANGES: usize = 8_192;
/// Longest name of a member, in bytes.
const NAME: usize = 128;
/// Longest encoded tags of a member, in bytes.
const TAGS: usize = super::tags::TAGS_LIMIT;
/// Events that are told from new ones.
pub(super) const SEEN: usize = 4096;
/// Events held and passed on.
const SLOTS: usize = 4096;
/// Names and payloads of those events, in bytes: each may be as long as Serf allows, with room to spare.
const ARENA: usize = SLOTS * 576;
/// Names of events that can be coalesced at once, and intents for members not known yet.
pub(super) const NAMES: usize = 1024;
/// Queries of this node's that run at once.
pub(super) const QUERIES: usize = 64;
/// Keys in the ring.
const KEYS: usize = 32;
/// Answers owed, queries that it has been asked, probes for others, pulls and accusers.
const SMALL: usize = 256;

/// What [`Memory`] borrows, on the heap. It comes zeroed from the system, which hands out its pages only as they are
/// used: room for many members costs nothing while there are few.
pub struct ServerMemory {
    members: Box<[Hot]>,
    cold: Box<[Cold]>,
    /// All that is counted in numbers of members, slots and windows, in one piece: the allocator hands pages out
    /// untouched only in large pieces.
    numbers: Box<[u16]>,
    names: Box<[u8]>,
    query_marks: Box<[u8]>,
    coordinates: Box<[Peer]>,
    sessions: Box<[PeerSession]>,
    tags: Box<[u8]>,
    fixed: Box<Fixed>,
}

/// What does not depend on the number of members, in one piece likewise.
#[derive(FromZeros)]
struct Fixed {
    seen: [SeenEvent; SEEN],
    slots: [StoreSlot; SLOTS],
    arena: [u8; ARENA],
    windows: [Window; NAMES],
    intents: [EarlyIntent; NAMES],
    outgoing: [Outgoing; SMALL],
    relays: [Relay; SMALL],
    pulls: [Pull; SMALL],
    confirmers: [Confirmer; SMALL],
    queries: [Running; QUERIES],
    asked: [Asked; SMALL],
    journal: [Entry; CHANGES],
    keys: [KeySlot; KEYS],
}

/// The system does not lend so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

fn zeroed<T: FromZeros>(len: usize) -> Result<Box<[T]>, OutOfMemory> {
    <[T]>::new_box_zeroed_with_elems(len).map_err(|_| OutOfMemory)
}

impl ServerMemory {
    /// Memory for so many members, this node included; the core takes 2 to 65,534.
    ///
    /// # Errors
    /// If the system does not lend it.
    pub fn new(max_members: usize) -> Result<ServerMemory, OutOfMemory> {
        Ok(ServerMemory {
            members: zeroed(max_members)?,
            cold: zeroed(max_members)?,
            numbers: zeroed(9 * max_members + 4 * SLOTS + 3 * NAMES)?,
            names: zeroed(NAME * max_members)?,
            query_marks: zeroed(QUERIES * max_members.div_ceil(4))?,
            coordinates: zeroed(max_members)?,
            sessions: zeroed(max_members)?,
            tags: zeroed(TAGS * max_members)?,
            fixed: Fixed::new_box_zeroed().map_err(|_| OutOfMemory)?,
        })
    }

    /// The slices for a node.
    pub fn lend(&mut self) -> Memory<'_> {
        let mut numbers = &mut self.numbers[..];
        let mut take = |len| numbers.split_off_mut(..len).unwrap_or_default();
        let max_members = self.members.len();
        let fixed = &mut *self.fixed;
        Memory {
            members: &mut self.members,
            cold: &mut self.cold,
            names: &mut self.names,
            tags: &mut self.tags,
            member_index: take(3 * max_members),
            probe_order: take(max_members),
            suspects: take(max_members),
            gone: take(max_members),
            seen: &mut fixed.seen,
            slots: &mut fixed.slots,
            slot_index: take(3 * SLOTS),
            arena: &mut fixed.arena,
            waiting: take(SLOTS),
            windows: &mut fixed.windows,
            window_index: take(3 * NAMES),
            intents: &mut fixed.intents,
            outgoing: &mut fixed.outgoing,
            relays: &mut fixed.relays,
            pulls: &mut fixed.pulls,
            confirmers: &mut fixed.confirmers,
            queries: &mut fixed.queries,
            asked: &mut fixed.asked,
            journal: &mut fixed.journal,
            query_marks: &mut self.query_marks,
            coordinates: &mut self.coordinates,
            keys: &mut fixed.keys,
            sessions: &mut self.sessions,
            session_index: take(3 * max_members),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ServerMemory;

    #[test]
    fn the_core_accepts_it_at_both_ends_of_its_range() {
        for members in [2, 65_534] {
            assert_eq!(ServerMemory::new(members).map(|mut memory| memory.lend().check()), Ok(Ok(())));
        }
    }
}

//! A server's memory for the gossip core, taken once at the start.

use serf_nostd::Memory;
use zerocopy::FromZeros;

use serf_nostd::storage::cells::{
    Confirmer, EarlyIntent, EventId, Owed, Pull, Relay, Slot, StoreSlot, Window,
};

/// Longest name of a member, in bytes.
const NAME: usize = 128;
/// Longest encoded tags of a member, in bytes.
const TAGS: usize = 512;
/// Events that are told from new ones.
const SEEN: usize = 4096;
/// Events held and passed on.
const SLOTS: usize = 4096;
/// Names and payloads of those events, in bytes: each may be as long as Serf allows, with room to spare.
const ARENA: usize = SLOTS * 576;
/// Names of events that can be coalesced at once, and intents for members not known yet.
const NAMES: usize = 1024;
/// Answers owed, probes for others, pulls and accusers.
const SMALL: usize = 256;

/// What [`Memory`] borrows, on the heap. It comes zeroed from the system, which hands out its pages only as they are
/// used: room for many members costs nothing while there are few.
pub struct ServerMemory {
    members: Box<[Slot]>,
    names: Box<[u8]>,
    tags: Box<[u8]>,
    member_index: Box<[u16]>,
    probe_order: Box<[u16]>,
    suspects: Box<[u16]>,
    gone: Box<[u16]>,
    seen: Box<[EventId]>,
    slots: Box<[StoreSlot]>,
    slot_index: Box<[u16]>,
    arena: Box<[u8]>,
    waiting: Box<[u16]>,
    windows: Box<[Window]>,
    window_index: Box<[u16]>,
    intents: Box<[EarlyIntent]>,
    owed: Vec<Owed>,
    relays: Vec<Relay>,
    pulls: Vec<Pull>,
    confirmers: Vec<Confirmer>,
}

fn zeroed<T: FromZeros>(len: usize) -> Box<[T]> {
    <[T]>::new_box_zeroed_with_elems(len)
        .expect("the settings bound the lengths, and the system lends pages it has not got")
}

impl ServerMemory {
    /// Memory for so many members, this node included; the core takes 2 to 65,534.
    pub fn new(max_members: usize) -> ServerMemory {
        ServerMemory {
            members: zeroed(max_members),
            names: zeroed(NAME * max_members),
            tags: zeroed(TAGS * max_members),
            member_index: zeroed(3 * max_members),
            probe_order: zeroed(max_members),
            suspects: zeroed(max_members),
            gone: zeroed(max_members),
            seen: zeroed(SEEN),
            slots: zeroed(SLOTS),
            slot_index: zeroed(3 * SLOTS),
            arena: zeroed(ARENA),
            waiting: zeroed(SLOTS),
            windows: zeroed(NAMES),
            window_index: zeroed(3 * NAMES),
            intents: zeroed(NAMES),
            owed: vec![Owed::EMPTY; SMALL],
            relays: vec![Relay::EMPTY; SMALL],
            pulls: vec![Pull::EMPTY; SMALL],
            confirmers: vec![Confirmer::EMPTY; SMALL],
        }
    }

    /// The slices for a node.
    pub fn lend(&mut self) -> Memory<'_> {
        Memory {
            members: &mut self.members,
            names: &mut self.names,
            tags: &mut self.tags,
            member_index: &mut self.member_index,
            probe_order: &mut self.probe_order,
            suspects: &mut self.suspects,
            gone: &mut self.gone,
            seen: &mut self.seen,
            slots: &mut self.slots,
            slot_index: &mut self.slot_index,
            arena: &mut self.arena,
            waiting: &mut self.waiting,
            windows: &mut self.windows,
            window_index: &mut self.window_index,
            intents: &mut self.intents,
            owed: &mut self.owed,
            relays: &mut self.relays,
            pulls: &mut self.pulls,
            confirmers: &mut self.confirmers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ServerMemory;

    #[test]
    fn the_core_accepts_it_at_both_ends_of_its_range() {
        for members in [2, 65_534] {
            assert_eq!(ServerMemory::new(members).lend().check(), Ok(()));
        }
    }
}

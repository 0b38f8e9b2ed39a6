//! A server's memory for the gossip core, taken once at the start.

use serf_nostd::Memory;
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

/// What [`Memory`] borrows, on the heap. Names, tags and payloads come zeroed from the system, which hands out their
/// pages only as they are used.
pub struct ServerMemory {
    members: Vec<Slot>,
    names: Vec<u8>,
    tags: Vec<u8>,
    member_index: Vec<u16>,
    probe_order: Vec<u16>,
    suspects: Vec<u16>,
    gone: Vec<u16>,
    seen: Vec<EventId>,
    slots: Vec<StoreSlot>,
    slot_index: Vec<u16>,
    arena: Vec<u8>,
    waiting: Vec<u16>,
    windows: Vec<Window>,
    window_index: Vec<u16>,
    intents: Vec<EarlyIntent>,
    owed: Vec<Owed>,
    relays: Vec<Relay>,
    pulls: Vec<Pull>,
    confirmers: Vec<Confirmer>,
}

impl ServerMemory {
    /// Memory for so many members, this node included; the core takes 2 to 65,534.
    pub fn new(max_members: usize) -> ServerMemory {
        ServerMemory {
            members: vec![Slot::EMPTY; max_members],
            names: vec![0; NAME * max_members],
            tags: vec![0; TAGS * max_members],
            member_index: vec![0; 3 * max_members],
            probe_order: vec![0; max_members],
            suspects: vec![0; max_members],
            gone: vec![0; max_members],
            seen: vec![EventId::LOWEST; SEEN],
            slots: vec![StoreSlot::EMPTY; SLOTS],
            slot_index: vec![0; 3 * SLOTS],
            arena: vec![0; ARENA],
            waiting: vec![0; SLOTS],
            windows: vec![Window::EMPTY; NAMES],
            window_index: vec![0; 3 * NAMES],
            intents: vec![EarlyIntent::EMPTY; NAMES],
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

//! Every byte the core uses for what can fill up: one value with compile-time capacities, or slices that a server
//! allocates as it likes.

use crate::detect::probe::Relay;
use crate::detect::suspicion::Confirmer;
use crate::event::coalesce::Window;
use crate::event::pull::Pull;
use crate::event::seen::SeenEvent;
use crate::event::store::StoreSlot;
use crate::gossip::owed::Owed;
use crate::member::intents::EarlyIntent;
use crate::member::record::{Case, Slot};

/// The slices that a node works on. [`Storage`] lends them with fixed lengths; a server fills them from its heap.
///
/// The rules for lengths stand at each field; [`Memory::check`] tells whether they are kept.
#[derive(Debug)]
pub struct Memory<'a> {
    /// One place per member, this node included: 2 to 65,534.
    pub members: &'a mut [Slot],
    /// One per member: touched only for those that do not simply live.
    pub cases: &'a mut [Case],
    /// Names, the same number of bytes for each member.
    pub names: &'a mut [u8],
    /// Encoded tags, the same number of bytes for each member.
    pub tags: &'a mut [u8],
    /// Three cells per member.
    pub member_index: &'a mut [u16],
    /// One cell per member.
    pub probe_order: &'a mut [u16],
    /// One cell per member.
    pub suspects: &'a mut [u16],
    /// One cell per member.
    pub gone: &'a mut [u16],
    /// Identities of seen events: M, at least 2.
    pub seen: &'a mut [SeenEvent],
    /// Slots for events that are held and passed on: 4 to 65,534.
    pub slots: &'a mut [StoreSlot],
    /// Three cells per slot.
    pub slot_index: &'a mut [u16],
    /// Names and payloads of the events in the slots; a longer event is refused.
    pub arena: &'a mut [u8],
    /// One cell per slot: events that wait for the application.
    pub waiting: &'a mut [u16],
    /// Names that can be coalesced at once: at least 1.
    pub windows: &'a mut [Window],
    /// Three cells per coalescing name.
    pub window_index: &'a mut [u16],
    /// Intents for members that are not known yet.
    pub intents: &'a mut [EarlyIntent],
    /// Answers owed.
    pub owed: &'a mut [Owed],
    /// Probes on others' behalf.
    pub relays: &'a mut [Relay],
    /// Events being asked for.
    pub pulls: &'a mut [Pull],
    /// Accusers of suspects.
    pub confirmers: &'a mut [Confirmer],
}

impl Memory<'_> {
    /// Whether the slices fit each other.
    ///
    /// # Errors
    /// The name of the first field whose length breaks its rule.
    pub fn check(&self) -> Result<(), &'static str> {
        let (members, slots) = (self.members.len(), self.slots.len());
        let rules = [
            ("members", (2..u16::MAX as usize).contains(&members)),
            ("cases", self.cases.len() == members),
            ("names", self.names.len() >= members && self.names.len().is_multiple_of(members.max(1))),
            ("tags", self.tags.len().is_multiple_of(members.max(1))),
            ("member_index", self.member_index.len() == 3 * members),
            ("probe_order", self.probe_order.len() == members),
            ("suspects", self.suspects.len() == members),
            ("gone", self.gone.len() == members),
            ("seen", self.seen.len() >= 2),
            ("slots", (4..u16::MAX as usize).contains(&slots)),
            ("slot_index", self.slot_index.len() == 3 * slots),
            ("arena", self.arena.len() >= 256 && self.arena.len() <= u32::MAX as usize / 2),
            ("waiting", self.waiting.len() == slots),
            ("windows", (1..u16::MAX as usize).contains(&self.windows.len())),
            ("window_index", self.window_index.len() == 3 * self.windows.len()),
            ("intents", !self.intents.is_empty()),
            ("owed", !self.owed.is_empty()),
            ("relays", !self.relays.is_empty()),
            ("pulls", !self.pulls.is_empty()),
            ("confirmers", !self.confirmers.is_empty()),
        ];
        match rules.iter().find(|(_, kept)| !kept) {
            Some((name, _)) => Err(name),
            None => Ok(()),
        }
    }
}

/// A device's memory for a node, in one value that can live in a `static`.
///
/// - `MEMBERS`: members held, this node included.
/// - `SEEN`: events that are told from new ones (M): bursts up to M are safe, M / 4 new events per second for ever.
/// - `SLOTS`: events held and passed on, with `ARENA` bytes each on average.
/// - `COALESCED`: names that are coalesced at once.
/// - `SMALL`: answers owed, probes for others, pulls, early intents, accusers: this many each.
/// - `NAME`, `TAGS`: longest name and encoded tags of a member that is held in full.
#[derive(Debug)]
pub struct Storage<
    const MEMBERS: usize = 32,
    const SEEN: usize = 256,
    const SLOTS: usize = 16,
    const COALESCED: usize = 8,
    const SMALL: usize = 8,
    const NAME: usize = 32,
    const TAGS: usize = 64,
    const ARENA: usize = 224,
> {
    members: [Slot; MEMBERS],
    cases: [Case; MEMBERS],
    names: [[u8; NAME]; MEMBERS],
    tags: [[u8; TAGS]; MEMBERS],
    member_index: [[u16; 3]; MEMBERS],
    probe_order: [u16; MEMBERS],
    suspects: [u16; MEMBERS],
    gone: [u16; MEMBERS],
    seen: [SeenEvent; SEEN],
    slots: [StoreSlot; SLOTS],
    slot_index: [[u16; 3]; SLOTS],
    arena: [[u8; ARENA]; SLOTS],
    waiting: [u16; SLOTS],
    windows: [Window; COALESCED],
    window_index: [[u16; 3]; COALESCED],
    intents: [EarlyIntent; SMALL],
    owed: [Owed; SMALL],
    relays: [Relay; SMALL],
    pulls: [Pull; SMALL],
    confirmers: [Confirmer; SMALL],
}

impl<
    const MEMBERS: usize,
    const SEEN: usize,
    const SLOTS: usize,
    const COALESCED: usize,
    const SMALL: usize,
    const NAME: usize,
    const TAGS: usize,
    const ARENA: usize,
> Storage<MEMBERS, SEEN, SLOTS, COALESCED, SMALL, NAME, TAGS, ARENA>
{
    /// Empty storage: zeros, so that a `static` costs no flash (.bss).
    pub const fn new() -> Self {
        const {
            assert!(MEMBERS >= 2 && MEMBERS < u16::MAX as usize, "MEMBERS: 2 to 65,534");
            assert!(SLOTS >= 4 && SLOTS < u16::MAX as usize, "SLOTS: 4 to 65,534");
            assert!(SEEN >= 2, "SEEN: at least 2");
            assert!(COALESCED >= 1 && SMALL >= 1, "COALESCED, SMALL: at least 1");
            assert!(NAME >= 1 && NAME <= 128 && TAGS <= 512, "NAME: 1 to 128, TAGS: to 512");
            assert!(SLOTS * ARENA >= 256, "SLOTS * ARENA: at least 256");
        }
        Storage {
            members: [Slot::EMPTY; MEMBERS],
            cases: [Case::EMPTY; MEMBERS],
            names: [[0; NAME]; MEMBERS],
            tags: [[0; TAGS]; MEMBERS],
            member_index: [[0; 3]; MEMBERS],
            probe_order: [0; MEMBERS],
            suspects: [0; MEMBERS],
            gone: [0; MEMBERS],
            seen: [SeenEvent::EMPTY; SEEN],
            slots: [StoreSlot::EMPTY; SLOTS],
            slot_index: [[0; 3]; SLOTS],
            arena: [[0; ARENA]; SLOTS],
            waiting: [0; SLOTS],
            windows: [Window::EMPTY; COALESCED],
            window_index: [[0; 3]; COALESCED],
            intents: [EarlyIntent::EMPTY; SMALL],
            owed: [Owed::EMPTY; SMALL],
            relays: [Relay::EMPTY; SMALL],
            pulls: [Pull::EMPTY; SMALL],
            confirmers: [Confirmer::EMPTY; SMALL],
        }
    }

    /// The slices of this storage.
    pub fn memory(&mut self) -> Memory<'_> {
        Memory {
            members: &mut self.members,
            cases: &mut self.cases,
            names: self.names.as_flattened_mut(),
            tags: self.tags.as_flattened_mut(),
            member_index: self.member_index.as_flattened_mut(),
            probe_order: &mut self.probe_order,
            suspects: &mut self.suspects,
            gone: &mut self.gone,
            seen: &mut self.seen,
            slots: &mut self.slots,
            slot_index: self.slot_index.as_flattened_mut(),
            arena: self.arena.as_flattened_mut(),
            waiting: &mut self.waiting,
            windows: &mut self.windows,
            window_index: self.window_index.as_flattened_mut(),
            intents: &mut self.intents,
            owed: &mut self.owed,
            relays: &mut self.relays,
            pulls: &mut self.pulls,
            confirmers: &mut self.confirmers,
        }
    }
}

impl<
    const MEMBERS: usize,
    const SEEN: usize,
    const SLOTS: usize,
    const COALESCED: usize,
    const SMALL: usize,
    const NAME: usize,
    const TAGS: usize,
    const ARENA: usize,
> Default for Storage<MEMBERS, SEEN, SLOTS, COALESCED, SMALL, NAME, TAGS, ARENA>
{
    fn default() -> Self {
        Self::new()
    }
}

/// What the slices of [`Memory`] are made of: opaque values with an `EMPTY` constant each, which is all zeros.
pub mod cells {
    pub use crate::detect::probe::Relay;
    pub use crate::detect::suspicion::Confirmer;
    pub use crate::event::coalesce::Window;
    pub use crate::event::pull::Pull;
    pub use crate::event::seen::SeenEvent;
    pub use crate::event::store::StoreSlot;
    pub use crate::gossip::owed::Owed;
    pub use crate::member::intents::EarlyIntent;
    pub use crate::member::record::{Case, Slot};
}

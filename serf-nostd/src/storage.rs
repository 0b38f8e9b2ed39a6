//! Every byte the core uses for what can fill up: one value with compile-time capacities, or slices that a server
//! allocates as it likes.

#[cfg(feature = "coordinates")]
use crate::coordinate::Peer;
use crate::events::coalesce::Window;
use crate::events::pull::Pull;
use crate::events::seen::SeenEvent;
use crate::events::store::StoreSlot;
use crate::failure::probe::Relay;
use crate::failure::suspicion::Confirmer;
use crate::membership::intents::EarlyIntent;
#[cfg(feature = "journal")]
use crate::membership::journal::Entry;
use crate::membership::record::{Cold, Hot};
use crate::outgoing::Outgoing;
use crate::queries::{Asked, Running};
use crate::wire::message::{NAME_MAX, TAGS_MAX};
#[cfg(feature = "seal")]
use crate::wire::seal::{KeySlot, PeerSession};

/// Keys that a device can have at once: the fleet's, the next one, and one to spare.
#[cfg(feature = "seal")]
const KEYS: usize = 3;

/// The slices that a node works on. [`Storage`] lends them with fixed lengths; a server fills them from its heap.
///
/// The rules for lengths stand at each field; [`Memory::check`] tells whether they are kept.
#[derive(Debug)]
pub struct Memory<'a> {
    /// One place per member, this node included: 2 to 65,534.
    pub members: &'a mut [Hot],
    /// One per member: touched only for those that do not simply live.
    pub cold: &'a mut [Cold],
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
    /// Answers outgoing.
    pub outgoing: &'a mut [Outgoing],
    /// Probes on others' behalf.
    pub relays: &'a mut [Relay],
    /// Events being asked for.
    pub pulls: &'a mut [Pull],
    /// Accusers of suspects.
    pub confirmers: &'a mut [Confirmer],
    /// Queries of this node's that run at once.
    pub queries: &'a mut [Running],
    /// Queries that this node has been asked, and whose time is not over.
    pub asked: &'a mut [Asked],
    /// Two bits for each member and query of this node's.
    pub query_marks: &'a mut [u8],
    /// Keys that this node can have at once: at least 1.
    #[cfg(feature = "seal")]
    pub keys: &'a mut [KeySlot],
    /// What tells replays from what is new: one per member.
    #[cfg(feature = "seal")]
    pub sessions: &'a mut [PeerSession],
    /// Three cells per member, or none: then all sessions are looked through for one.
    #[cfg(feature = "seal")]
    pub session_index: &'a mut [u16],
    /// Round trips and coordinates of members: one per member, or none if this node takes no part in that.
    #[cfg(feature = "coordinates")]
    pub coordinates: &'a mut [Peer],
    /// The latest changes of members: any number; none keeps nothing.
    #[cfg(feature = "journal")]
    pub journal: &'a mut [Entry],
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
            ("cold", self.cold.len() == members),
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
            ("outgoing", !self.outgoing.is_empty()),
            ("relays", !self.relays.is_empty()),
            ("pulls", !self.pulls.is_empty()),
            ("confirmers", !self.confirmers.is_empty()),
            ("queries", !self.queries.is_empty()),
            ("asked", !self.asked.is_empty()),
            ("query_marks", self.query_marks.len() >= self.queries.len() * members.div_ceil(4)),
            #[cfg(feature = "seal")]
            ("keys", (1..u8::MAX as usize).contains(&self.keys.len())),
            #[cfg(feature = "seal")]
            ("sessions", self.sessions.len() == members),
            #[cfg(feature = "seal")]
            ("session_index", [0, 3 * members].contains(&self.session_index.len())),
            #[cfg(feature = "coordinates")]
            ("coordinates", [0, members].contains(&self.coordinates.len())),
        ];
        match rules.iter().find(|(_, kept)| !kept) {
            Some((name, _)) => Err(name),
            None => Ok(()),
        }
    }
}

/// How much a [`Storage`] has places for. [`storage!`](crate::storage!) names what differs from [`Capacities::DEVICE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacities {
    /// Members held, this node included: 2 to 65,534.
    pub members: usize,
    /// Events that are told from new ones (M), at least 2: bursts up to M are safe, M / 4 new events per second for ever.
    pub seen: usize,
    /// Events held and passed on: 4 to 65,534. 256 bytes in all at least.
    pub slots: usize,
    /// Names that are coalesced at once, at least 1.
    pub coalesced: usize,
    /// Answers outgoing, probes on others' behalf, events asked for, intents about unknown members, accusers: so many of each, at
    /// least 1.
    pub in_flight: usize,
    /// Queries that this node asks at once, and that it may be asked: so many of each, at least 1.
    pub queries: usize,
    /// Longest name of a member that is held, in bytes: 1 to 128.
    pub name_bytes: usize,
    /// Longest encoded tags of a member that are held: up to 512 bytes.
    pub tag_bytes: usize,
    /// What a slot's event takes on average, name and payload together, in bytes; one may take more, if others take less.
    pub slot_bytes: usize,
}

impl Capacities {
    /// A device's: 32 members, 256 events seen, 16 of them held; 17 KiB in all.
    pub const DEVICE: Capacities = Capacities {
        members: 32,
        seen: 256,
        slots: 16,
        coalesced: 8,
        in_flight: 8,
        queries: 4,
        name_bytes: 32,
        tag_bytes: 64,
        slot_bytes: 224,
    };

    /// The same, if they keep their rules.
    ///
    /// # Panics
    /// With the rule that one of them breaks; where [`storage!`](crate::storage!) stands that is an error of the compiler.
    pub const fn checked(self) -> Capacities {
        assert!(self.members >= 2 && self.members < u16::MAX as usize, "members: 2 to 65,534");
        assert!(self.seen >= 2, "seen: at least 2");
        assert!(self.slots >= 4 && self.slots < u16::MAX as usize, "slots: 4 to 65,534");
        assert!(self.coalesced >= 1 && self.coalesced < u16::MAX as usize, "coalesced: 1 to 65,534");
        assert!(self.in_flight >= 1, "in_flight: at least 1");
        assert!(self.queries >= 1, "queries: at least 1");
        assert!(self.name_bytes >= 1 && self.name_bytes <= NAME_MAX, "name_bytes: 1 to 128");
        assert!(self.tag_bytes <= TAGS_MAX, "tag_bytes: up to 512");
        assert!(self.slots * self.slot_bytes >= 256, "slots * slot_bytes: at least 256");
        self
    }
}

/// The type of a [`Storage`] with places for so much; what is not named is as in
/// [`Capacities::DEVICE`](crate::storage::Capacities::DEVICE).
///
/// ```
/// type Memory = serf_nostd::storage! { members: 8, seen: 64, tag_bytes: 32 };
/// static MEMORY: std::sync::Mutex<Memory> = std::sync::Mutex::new(Memory::new());
/// const _: () = assert!(Memory::SIZE < 12 * 1024);
/// ```
///
/// A number that breaks its rule is an error, which names the rule:
///
/// ```compile_fail
/// type Memory = serf_nostd::storage! { slots: 2 };
/// const MEMORY: Memory = Memory::new();
/// ```
#[macro_export]
macro_rules! storage {
    (@of $of:ident $(, $name:ident: $places:expr)*) => {{
        #[allow(unused_mut)]
        let mut capacities = $crate::storage::Capacities::DEVICE;
        $(capacities.$name = $places;)*
        capacities.checked().$of
    }};
    ($($name:ident: $places:expr),* $(,)?) => {
        $crate::Storage<
            { $crate::storage!(@of members $(, $name: $places)*) },
            { $crate::storage!(@of seen $(, $name: $places)*) },
            { $crate::storage!(@of slots $(, $name: $places)*) },
            { $crate::storage!(@of coalesced $(, $name: $places)*) },
            { $crate::storage!(@of in_flight $(, $name: $places)*) },
            { $crate::storage!(@of queries $(, $name: $places)*) },
            { $crate::storage!(@of name_bytes $(, $name: $places)*) },
            { $crate::storage!(@of tag_bytes $(, $name: $places)*) },
            { $crate::storage!(@of slot_bytes $(, $name: $places)*) },
        >
    };
}

/// A device's memory for a node, in one value that can live in a `static`. Its parameters are [`Capacities`], in their order:
/// [`storage!`](crate::storage!) writes them.
#[derive(Debug)]
pub struct Storage<
    const MEMBERS: usize = { Capacities::DEVICE.members },
    const SEEN: usize = { Capacities::DEVICE.seen },
    const SLOTS: usize = { Capacities::DEVICE.slots },
    const COALESCED: usize = { Capacities::DEVICE.coalesced },
    const IN_FLIGHT: usize = { Capacities::DEVICE.in_flight },
    const QUERIES: usize = { Capacities::DEVICE.queries },
    const NAME: usize = { Capacities::DEVICE.name_bytes },
    const TAGS: usize = { Capacities::DEVICE.tag_bytes },
    const SLOT: usize = { Capacities::DEVICE.slot_bytes },
> {
    members: [Hot; MEMBERS],
    cold: [Cold; MEMBERS],
    names: [[u8; NAME]; MEMBERS],
    tags: [[u8; TAGS]; MEMBERS],
    member_index: [[u16; 3]; MEMBERS],
    probe_order: [u16; MEMBERS],
    suspects: [u16; MEMBERS],
    gone: [u16; MEMBERS],
    seen: [SeenEvent; SEEN],
    slots: [StoreSlot; SLOTS],
    slot_index: [[u16; 3]; SLOTS],
    arena: [[u8; SLOT]; SLOTS],
    waiting: [u16; SLOTS],
    windows: [Window; COALESCED],
    window_index: [[u16; 3]; COALESCED],
    intents: [EarlyIntent; IN_FLIGHT],
    outgoing: [Outgoing; IN_FLIGHT],
    relays: [Relay; IN_FLIGHT],
    pulls: [Pull; IN_FLIGHT],
    confirmers: [Confirmer; IN_FLIGHT],
    queries: [Running; QUERIES],
    asked: [Asked; QUERIES],
    query_marks: [[u8; QUERIES]; MEMBERS],
    #[cfg(feature = "seal")]
    keys: [KeySlot; KEYS],
    #[cfg(feature = "seal")]
    sessions: [PeerSession; MEMBERS],
    #[cfg(feature = "coordinates")]
    coordinates: [Peer; MEMBERS],
    #[cfg(feature = "journal")]
    journal: [[Entry; 4]; MEMBERS],
}

impl<
    const MEMBERS: usize,
    const SEEN: usize,
    const SLOTS: usize,
    const COALESCED: usize,
    const IN_FLIGHT: usize,
    const QUERIES: usize,
    const NAME: usize,
    const TAGS: usize,
    const SLOT: usize,
> Storage<MEMBERS, SEEN, SLOTS, COALESCED, IN_FLIGHT, QUERIES, NAME, TAGS, SLOT>
{
    /// What it takes, in bytes.
    pub const SIZE: usize = size_of::<Self>();

    /// Empty storage: zeros, so that a `static` costs no flash (.bss).
    pub const fn new() -> Self {
        const {
            Capacities {
                members: MEMBERS,
                seen: SEEN,
                slots: SLOTS,
                coalesced: COALESCED,
                in_flight: IN_FLIGHT,
                queries: QUERIES,
                name_bytes: NAME,
                tag_bytes: TAGS,
                slot_bytes: SLOT,
            }
            .checked();
        }
        Storage {
            members: [Hot::EMPTY; MEMBERS],
            cold: [Cold::EMPTY; MEMBERS],
            names: [[0; NAME]; MEMBERS],
            tags: [[0; TAGS]; MEMBERS],
            member_index: [[0; 3]; MEMBERS],
            probe_order: [0; MEMBERS],
            suspects: [0; MEMBERS],
            gone: [0; MEMBERS],
            seen: [SeenEvent::EMPTY; SEEN],
            slots: [StoreSlot::EMPTY; SLOTS],
            slot_index: [[0; 3]; SLOTS],
            arena: [[0; SLOT]; SLOTS],
            waiting: [0; SLOTS],
            windows: [Window::EMPTY; COALESCED],
            window_index: [[0; 3]; COALESCED],
            intents: [EarlyIntent::EMPTY; IN_FLIGHT],
            outgoing: [Outgoing::EMPTY; IN_FLIGHT],
            relays: [Relay::EMPTY; IN_FLIGHT],
            pulls: [Pull::EMPTY; IN_FLIGHT],
            confirmers: [Confirmer::EMPTY; IN_FLIGHT],
            queries: [Running::EMPTY; QUERIES],
            asked: [Asked::EMPTY; QUERIES],
            query_marks: [[0; QUERIES]; MEMBERS],
            #[cfg(feature = "seal")]
            keys: [KeySlot::EMPTY; KEYS],
            #[cfg(feature = "seal")]
            sessions: [PeerSession::EMPTY; MEMBERS],
            #[cfg(feature = "coordinates")]
            coordinates: [Peer::EMPTY; MEMBERS],
            #[cfg(feature = "journal")]
            journal: [[Entry::EMPTY; 4]; MEMBERS],
        }
    }

    /// The slices of this storage.
    pub fn memory(&mut self) -> Memory<'_> {
        Memory {
            members: &mut self.members,
            cold: &mut self.cold,
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
            outgoing: &mut self.outgoing,
            relays: &mut self.relays,
            pulls: &mut self.pulls,
            confirmers: &mut self.confirmers,
            queries: &mut self.queries,
            asked: &mut self.asked,
            query_marks: self.query_marks.as_flattened_mut(),
            #[cfg(feature = "seal")]
            keys: &mut self.keys,
            #[cfg(feature = "seal")]
            sessions: &mut self.sessions,
            #[cfg(feature = "seal")]
            session_index: &mut [],
            #[cfg(feature = "coordinates")]
            coordinates: &mut self.coordinates,
            #[cfg(feature = "journal")]
            journal: self.journal.as_flattened_mut(),
        }
    }
}

impl<
    const MEMBERS: usize,
    const SEEN: usize,
    const SLOTS: usize,
    const COALESCED: usize,
    const IN_FLIGHT: usize,
    const QUERIES: usize,
    const NAME: usize,
    const TAGS: usize,
    const SLOT: usize,
> Default for Storage<MEMBERS, SEEN, SLOTS, COALESCED, IN_FLIGHT, QUERIES, NAME, TAGS, SLOT>
{
    fn default() -> Self {
        Self::new()
    }
}

/// What the slices of [`Memory`] are made of: opaque values with an `EMPTY` constant each, which is all zeros.
pub mod cells {
    #[cfg(feature = "coordinates")]
    pub use crate::coordinate::Peer;
    pub use crate::events::coalesce::Window;
    pub use crate::events::pull::Pull;
    pub use crate::events::seen::SeenEvent;
    pub use crate::events::store::StoreSlot;
    pub use crate::failure::probe::Relay;
    pub use crate::failure::suspicion::Confirmer;
    pub use crate::membership::intents::EarlyIntent;
    #[cfg(feature = "journal")]
    pub use crate::membership::journal::Entry;
    pub use crate::membership::record::{Cold, Hot};
    pub use crate::outgoing::Outgoing;
    pub use crate::queries::{Asked, Running};
    #[cfg(feature = "seal")]
    pub use crate::wire::seal::{KeySlot, PeerSession};
}

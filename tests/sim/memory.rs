//! What simulated nodes work on.

use std::cell::RefCell;

use serf_nostd::{Memory, storage};
use zerocopy::{FromZeros, IntoBytes};

use crate::fleet::Fleet;

/// Capacities that a simulated node can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A device's table of 8 members, and 64 events.
    Tiny,
    /// 64 members, 256 events: the usual one.
    Small,
    /// 64 members, 4,096 events: a server.
    Server,
    /// 64 members, and as many events and answers as an agent has places for.
    Agent,
    /// Every other one small, the others servers; not of a single machine.
    Mixed,
    /// One in three tiny, one small, one a server; not of a single machine.
    Boards,
    /// So many members with names no longer than the simulator's and without tags, 512 events.
    Members(u16),
    /// The same, and they know where they are in the space of round trips.
    Placed(u16),
    /// So many members with names and tags as long as Serf allows, 512 events.
    FullMembers(u16),
}

impl Size {
    /// How many members it has places for, itself included.
    pub fn members(self) -> usize {
        match self {
            Size::Tiny | Size::Boards => 8,
            Size::Small | Size::Server | Size::Agent | Size::Mixed => 64,
            Size::Members(count) | Size::Placed(count) | Size::FullMembers(count) => count as usize,
        }
    }
}

type Tiny = storage! { members: 8, seen: 64, coalesced: 4, queries: 2, name_bytes: 16, tag_bytes: 32, slot_bytes: 64 };
type Small = storage! {
    members: 64, slots: 32, in_flight: 16, queries: 2, name_bytes: 16, tag_bytes: 32, slot_bytes: 96
};
type Server = storage! {
    members: 64, seen: 4096, slots: 1024, coalesced: 64, in_flight: 256, queries: 2,
    name_bytes: 16, tag_bytes: 32, slot_bytes: 96
};

thread_local! {
    /// Memory of nodes that have ended, to be used again: a run of many seeds takes no more than its largest fleet.
    static SPARE: RefCell<Vec<(Size, Memory<'static>)>> = const { RefCell::new(Vec::new()) };
}

/// Memory for a node, to be given back with [`put_back`].
pub(crate) fn take(size: Size) -> Memory<'static> {
    let spare = SPARE.with_borrow_mut(|spare| {
        let place = spare.iter().position(|(s, _)| *s == size)?;
        Some(spare.swap_remove(place).1)
    });
    spare.unwrap_or_else(|| match size {
        Size::Tiny | Size::Boards => unplaced(Box::leak(Box::new(Tiny::new())).memory()),
        Size::Small | Size::Mixed => unplaced(Box::leak(Box::new(Small::new())).memory()),
        Size::Server => unplaced(Box::leak(Box::new(Server::new())).memory()),
        Size::Agent => lazy((64, 32, 96), &Events { seen: 4096, slots: 4096, names: 1024, small: 256 }),
        Size::Members(count) => {
            lazy((count as usize, Fleet::name(count as usize - 1).len(), 0), &Events::FEW)
        }
        Size::Placed(count) => Memory { coordinates: zeroed(count as usize), ..take(Size::Members(count)) },
        Size::FullMembers(count) => lazy((count as usize, 128, 512), &Events::FEW),
    })
}

/// Of a node that takes no part in coordinates.
fn unplaced(memory: Memory<'static>) -> Memory<'static> {
    Memory { coordinates: &mut [], ..memory }
}

/// Keeps memory for the next node of this size.
pub(crate) fn put_back(size: Size, memory: Memory<'static>) {
    SPARE.with_borrow_mut(|spare| spare.push((size, memory)));
}

fn zeroed<T: FromZeros>(len: usize) -> &'static mut [T] {
    Box::leak(<[T]>::new_box_zeroed_with_elems(len).expect("the system lends pages it has not got"))
}

/// Capacities for events.
struct Events {
    /// Remembered.
    seen: usize,
    /// Held, with 96 bytes each.
    slots: usize,
    /// Names that are coalesced at once.
    names: usize,
    /// Answers, pulls and what else is under way.
    small: usize,
}

impl Events {
    const FEW: Events = Events { seen: 512, slots: 64, names: 8, small: 64 };
}

/// Memory whose pages come from the system as they are used. `members`: how many, with names and tags how long.
fn lazy((members, name, tags): (usize, usize, usize), events: &Events) -> Memory<'static> {
    let &Events { seen, slots, names, small } = events;
    // In one piece, as the allocator writes zeros into small ones: what most members never need comes last.
    let texts = (members * (name + tags)).div_ceil(2);
    let mut numbers: &mut [u16] = zeroed(texts + 9 * members + 4 * slots + 3 * names);
    let mut take = |len| numbers.split_off_mut(..len).unwrap_or_default();
    let (slot_index, waiting, window_index) = (take(3 * slots), take(slots), take(3 * names));
    let (member_names, member_tags) =
        take(texts).as_mut_bytes()[..members * (name + tags)].split_at_mut(members * name);
    let probe_order = take(members);
    Memory {
        members: zeroed(members),
        cold: zeroed(members),
        names: member_names,
        tags: member_tags,
        probe_order,
        member_index: take(3 * members),
        suspects: take(members),
        gone: take(members),
        seen: zeroed(seen),
        slots: zeroed(slots),
        slot_index,
        arena: zeroed(slots * 96),
        waiting,
        windows: zeroed(names),
        window_index,
        intents: zeroed(small),
        outgoing: zeroed(small),
        relays: zeroed(small),
        pulls: zeroed(small),
        confirmers: zeroed(small),
        queries: zeroed(4),
        asked: zeroed(16),
        query_marks: zeroed(members.div_ceil(4) * 4),
        coordinates: &mut [],
        journal: zeroed(256),
        keys: zeroed(4),
        sessions: zeroed(members),
        session_index: take(3 * members),
    }
}

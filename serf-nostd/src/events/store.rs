//! Slots for what this node holds and passes on: gossip queue and pull store in one.
//!
//! A slot goes through lists: new ones wait to be sent (own and others' apart), then their ids are announced on a
//! doubling schedule, then they are only held, in case somebody asks. When room is needed, of those that may go the
//! most-sent goes; a quarter is kept for last values, as long as anything else may go. Pinned slots never go: own events that
//! did not come back yet, those that the coalescer holds, and those that the application has not taken. Each kind of pin
//! may take a quarter of the slots and of the bytes; own ones three, while nobody is there to send others.
//!
//! Queries travel as events do, and are held as they are encoded; so are answers, which wait for their confirmation.

mod contents;
mod course;

pub use contents::UserEvent;
pub(crate) use contents::{Kind, event_len, key};
pub(crate) use course::{ANNOUNCE_MS, list};

use super::arena::Arena;
use crate::slice::{Index, Link, Linked, List, NIL};
use crate::time::Instant;
use crate::wire::message::EventId;

/// Why a slot must stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    /// An own event that others have not shown to have.
    Own,
    /// Held by the coalescer.
    Coalescer,
    /// Waiting for the application.
    Application,
    /// An answer to a query that its asker has not confirmed.
    Answer,
    /// A query that is being shown to the application, or waits for an event.
    Query,
}

/// How many kinds of pins there are.
const PINS: usize = 5;

/// Somebody has shown to have an own event, other than by never taking it.
const SHOWN: u8 = 0x80;

/// One slot. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct StoreSlot {
    id: EventId,
    /// Arrival; for an own event the first sending.
    at: Instant,
    place: u32,
    link: Link,
    len: u16,
    name_len: u16,
    /// Addresses (hashed) that the id came back from; for [`list::FOREIGN`] the first is the message's kind.
    confirmed_by: [u16; 2],
    /// From how many members an own event came back, and [`SHOWN`]; how often another's origin has had it announced once more.
    confirmations: u8,
    list: u8,
    pins: u8,
    sends: u8,
    coalesce: bool,
    /// It is the last value of its name.
    is_value: bool,
    kind: Kind,
    /// In [`list::AWAIT`] and [`list::TOLD`]: which batch it was sent in.
    batch: u8,
}

impl StoreSlot {
    /// A free place.
    pub const EMPTY: StoreSlot = StoreSlot {
        id: EventId { ltime: 0, origin: 0 },
        at: Instant::PAST,
        place: 0,
        link: Link::LOOSE,
        len: 0,
        name_len: 0,
        confirmed_by: [0; 2],
        confirmations: 0,
        list: list::FREE,
        pins: 0,
        sends: 0,
        coalesce: false,
        is_value: false,
        kind: Kind::Event,
        batch: 0,
    };
}

impl Linked<0> for StoreSlot {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
}

/// How much the slots of one kind of pin take.
#[derive(Clone, Copy, Default)]
struct Pinned {
    slots: usize,
    bytes: usize,
}

pub(crate) struct Store<'a> {
    slots: &'a mut [StoreSlot],
    index: Index<'a>,
    arena: Arena<'a>,
    lists: [List<0>; list::COUNT],
    /// Slots from here on were never used, and are in no list.
    touched: usize,
    pinned: [Pinned; PINS],
    /// Bytes of what is in [`list::TOLD`].
    told_bytes: usize,
}

impl<'a> Store<'a> {
    pub(crate) fn new(slots: &'a mut [StoreSlot], index: &'a mut [u16], arena: &'a mut [u8]) -> Self {
        Store {
            slots,
            index: Index::new(index),
            arena: Arena::new(arena),
            lists: [const { List::new() }; list::COUNT],
            touched: 0,
            pinned: [Pinned::default(); PINS],
            told_bytes: 0,
        }
    }

    pub(crate) fn release(self) -> (&'a mut [StoreSlot], &'a mut [u16], &'a mut [u8]) {
        (self.slots, self.index.release(), self.arena.release())
    }

    #[cfg(any(test, feature = "sabotage"))]
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn find(&self, id: EventId) -> Option<u16> {
        let hash_of = |slot: u16| self.slots[slot as usize].id.hash();
        self.index.find(id.hash(), hash_of, |slot| self.slots[slot as usize].id == id)
    }

    pub(crate) fn id(&self, slot: u16) -> EventId {
        self.slots[slot as usize].id
    }

    /// Whether a pin of this kind would take more than its quarter, with a piece of `len` bytes.
    pub(crate) fn quota_full(&self, pin: Pin, len: usize) -> bool {
        self.quarters_full(pin, 1, len)
    }

    /// The same for so many quarters.
    pub(crate) fn quarters_full(&self, pin: Pin, quarters: usize, len: usize) -> bool {
        let pinned = self.pinned[pin as usize];
        // The first one always fits, however long it is.
        pinned.slots > 0
            && (pinned.slots >= quarters * self.slots.len() / 4
                || pinned.bytes + Arena::cost(len) > quarters * self.arena.capacity() / 4)
    }

    /// How many more pins of this kind there may be, however short.
    pub(crate) fn room(&self, pin: Pin) -> usize {
        (self.slots.len() / 4).saturating_sub(self.pinned[pin as usize].slots)
    }

    pub(crate) fn pinned(&self, pin: Pin) -> usize {
        self.pinned[pin as usize].slots
    }

    /// What a slot's piece takes, in bytes.
    pub(crate) fn len(&self, slot: u16) -> usize {
        self.slots[slot as usize].len as usize
    }

    pub(crate) fn kind(&self, slot: u16) -> Kind {
        self.slots[slot as usize].kind
    }

    /// From now on a slot is found by its identity.
    #[inline(never)]
    fn index(&mut self, slot: u16) {
        let slots = &*self.slots;
        self.index.insert(slots[slot as usize].id.hash(), slot, |slot| slots[slot as usize].id.hash());
    }

    /// The opposite.
    #[inline(never)]
    fn unindex(&mut self, slot: u16) {
        let slots = &*self.slots;
        self.index.remove(slots[slot as usize].id.hash(), slot, |slot| slots[slot as usize].id.hash());
    }

    fn fill(&mut self, slot: u16, len: usize, into: u8, kind: Kind) {
        self.lists[list::FREE as usize].remove(self.slots, slot);
        let slots = &mut *self.slots;
        let place = self.arena.hold(slot, len, |owner, moved| {
            let s = &mut slots[owner as usize];
            match (moved, s.list) {
                (_, list::FREE) => u32::MAX,
                (Some(to), _) => {
                    s.place = to;
                    to
                }
                (None, _) => s.place,
            }
        });
        self.slots[slot as usize] =
            StoreSlot { place, len: len as u16, list: into, kind, ..StoreSlot::EMPTY };
        self.lists[into as usize].push_back(self.slots, slot);
        self.told_bytes += self.told_cost(slot);
    }

    fn make_room(&mut self, len: usize, dropped: &mut u64) -> Option<u16> {
        if Arena::cost(len) > self.arena.capacity() {
            return None;
        }
        loop {
            if self.arena.fits(len) {
                if let Some(slot) = self.lists[list::FREE as usize].head() {
                    return Some(slot);
                }
                if self.touched < self.slots.len() {
                    let slot = self.touched as u16;
                    self.touched += 1;
                    self.slots[slot as usize] = StoreSlot::EMPTY;
                    self.lists[list::FREE as usize].push_back(self.slots, slot);
                    return Some(slot);
                }
            }
            let victim = self.victim()?;
            *dropped += 1;
            self.drop_slot(victim);
        }
    }

    /// The most-sent slot that may go; a last value, unless they take more than their quarter, when there is none.
    fn victim(&mut self) -> Option<u16> {
        let many = self.lists[list::VALUES as usize].len() > self.slots.len() / 4;
        let first = if many { list::VALUES } else { list::HELD };
        let lists =
            [list::HELD, first].into_iter().chain((list::FRESH..list::VALUES).rev()).chain([list::VALUES]);
        for which in lists {
            let mut at = self.lists[which as usize].head();
            while let Some(slot) = at {
                if self.slots[slot as usize].pins == 0 {
                    return Some(slot);
                }
                at = self.lists[which as usize].after(self.slots, slot);
            }
        }
        None
    }

    /// Forgets a slot that is not pinned.
    pub(crate) fn drop_slot(&mut self, slot: u16) {
        let s = self.slots[slot as usize];
        if s.kind.has_identity() {
            self.unindex(slot);
        }
        self.arena.free(s.len as usize);
        self.move_to(slot, list::FREE);
    }

    pub(crate) fn move_to(&mut self, slot: u16, to: u8) {
        let from = self.slots[slot as usize].list;
        self.told_bytes -= self.told_cost(slot);
        self.lists[from as usize].remove(self.slots, slot);
        self.slots[slot as usize].list = to;
        self.lists[to as usize].push_back(self.slots, slot);
        self.told_bytes += self.told_cost(slot);
    }

    /// What a slot counts for among those that wait for their origins' word.
    fn told_cost(&self, slot: u16) -> usize {
        let s = &self.slots[slot as usize];
        if s.list == list::TOLD { Arena::cost(s.len as usize) } else { 0 }
    }

    pub(crate) fn first(&self, which: u8) -> Option<u16> {
        self.lists[which as usize].head()
    }

    pub(crate) fn after(&mut self, which: u8, slot: u16) -> Option<u16> {
        self.lists[which as usize].after(self.slots, slot)
    }

    /// Longest event that the arena can hold at all.
    pub(crate) fn longest(&self) -> usize {
        self.arena.capacity() - Arena::cost(0)
    }

    /// Slots in use.
    pub(crate) fn used(&self) -> usize {
        self.touched - self.lists[list::FREE as usize].len()
    }

    pub(crate) fn pin(&mut self, slot: u16, pin: Pin) {
        if self.is_pinned(slot, pin) {
            return;
        }
        let s = &mut self.slots[slot as usize];
        s.pins |= 1 << pin as u8;
        let pinned = &mut self.pinned[pin as usize];
        pinned.slots += 1;
        pinned.bytes += Arena::cost(s.len as usize);
        if matches!(s.list, list::HELD | list::VALUES) {
            self.move_to(slot, list::PINNED);
        }
    }

    pub(crate) fn is_pinned(&self, slot: u16, pin: Pin) -> bool {
        self.slots[slot as usize].pins & 1 << pin as u8 != 0
    }

    pub(crate) fn unpin(&mut self, slot: u16, pin: Pin) {
        if !self.is_pinned(slot, pin) {
            return;
        }
        let s = &mut self.slots[slot as usize];
        s.pins &= !(1 << pin as u8);
        let pinned = &mut self.pinned[pin as usize];
        pinned.slots -= 1;
        pinned.bytes -= Arena::cost(s.len as usize);
        if s.list == list::PINNED {
            self.rest(slot);
        }
    }

    /// Whether an event, if it is held, is the last value of its name.
    pub(crate) fn keep_value(&mut self, id: EventId, is_value: bool) {
        let Some(slot) = self.find(id) else { return };
        self.slots[slot as usize].is_value = is_value;
        if matches!(self.slots[slot as usize].list, list::HELD | list::VALUES) {
            self.rest(slot);
        }
    }

    /// An own event that has not been sent yet goes by another identity from now on.
    pub(crate) fn rename(&mut self, slot: u16, id: EventId) {
        self.unindex(slot);
        self.slots[slot as usize].id = id;
        self.index(slot);
    }

    #[cfg(any(test, feature = "sabotage"))]
    pub(crate) fn check(&mut self) {
        let told = (0..self.touched as u16).map(|slot| self.told_cost(slot)).sum::<usize>();
        assert_eq!(self.told_bytes, told, "what waits for its origins' word");
        let listed: usize = self.lists.iter().map(|list| list.len()).sum();
        assert_eq!(listed, self.touched, "every slot is in one list");
        for kind in 0..PINS {
            let slots = self.slots[..self.touched].iter().filter(|s| s.pins & 1 << kind != 0);
            let bytes: usize = slots.clone().map(|s| Arena::cost(s.len as usize)).sum();
            assert_eq!(self.pinned[kind].slots, slots.count());
            assert_eq!(self.pinned[kind].bytes, bytes);
        }
        for slot in 0..self.touched as u16 {
            let s = self.slots[slot as usize];
            assert!(match s.list {
                list::HELD => s.pins == 0 && !s.is_value,
                list::VALUES => s.pins == 0 && s.is_value,
                list::PINNED => s.pins != 0,
                _ => true,
            });
            if s.list != list::FREE && s.kind.has_identity() {
                assert_eq!(self.find(s.id), Some(slot));
            }
        }
    }
}

/// No slot.
pub(crate) const NONE: u16 = NIL;

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::kit;
    use crate::random::Random;
    use crate::wire::message;
    use crate::wire::packet::Encoded;

    const SLOTS: usize = 8;

    fn with_store(bytes: usize, run: impl FnOnce(&mut Store<'_>)) {
        let (mut slots, mut index) = ([StoreSlot::EMPTY; SLOTS], [0; 3 * SLOTS]);
        let mut arena = vec![0; bytes];
        run(&mut Store::new(&mut slots, &mut index, &mut arena));
    }

    fn put(store: &mut Store<'_>, ltime: u64, len: usize, into: u8) -> Option<u16> {
        let payload = vec![ltime as u8; len];
        let event =
            message::UserEvent { id: kit::id(ltime, 1), coalesce: false, name: b"n", payload: &payload };
        store.put(&event, &[], Instant::from_millis(ltime), into, &mut 0)
    }

    #[test]
    fn the_most_sent_goes_first_and_last_values_last() {
        with_store(4096, |store| {
            let fresh = put(store, 1, 1, list::FRESH).expect("room");
            let value = put(store, 2, 1, list::HELD).expect("room");
            store.keep_value(kit::id(2, 1), true);
            let announced = put(store, 3, 1, list::FRESH).expect("room");
            store.sent(announced, Instant::from_millis(3));
            let held = put(store, 4, 1, list::HELD).expect("room");
            let mut pinned = vec![];
            for ltime in 5..5 + SLOTS as u64 - 4 {
                let slot = put(store, ltime, 1, list::HELD).expect("room");
                store.pin(slot, Pin::Application);
                pinned.push(slot);
            }
            let gone: Vec<u16> = (100..104)
                .filter_map(|ltime| {
                    let slot = put(store, ltime, 1, list::FRESH)?;
                    store.pin(slot, Pin::Own);
                    Some(slot)
                })
                .collect();
            assert_eq!(gone, [held, announced, fresh, value]);
            assert_eq!(put(store, 200, 1, list::FRESH), None, "what is pinned stays");
            assert!(pinned.iter().all(|slot| store.event(*slot).payload[0] >= 5));
            store.check();
        });
    }

    #[test]
    fn each_kind_of_pin_has_a_quarter_of_the_slots_and_of_the_bytes() {
        with_store(4096, |store| {
            for ltime in 1..=2 {
                assert!(!store.quota_full(Pin::Own, 1));
                let slot = put(store, ltime, 1, list::OWN).expect("room");
                store.pin(slot, Pin::Own);
            }
            assert!(store.quota_full(Pin::Own, 1) && !store.quarters_full(Pin::Own, 3, 1));
            assert!(!store.quota_full(Pin::Coalescer, 1));
        });
        with_store(1024, |store| {
            assert!(!store.quota_full(Pin::Application, 1_000), "the first one always fits");
            let slot = put(store, 1, 200, list::FRESH).expect("room");
            store.pin(slot, Pin::Application);
            assert!(store.quota_full(Pin::Application, 100));
        });
    }

    #[test]
    fn whatever_comes_it_agrees_with_itself() {
        with_store(700, |store| {
            let mut random = Random::new(6);
            let mut ltime = 0;
            for _ in 0..20_000 {
                ltime += 1;
                let slot = store.find(kit::id(1 + random.below(ltime as u32 + 1) as u64, 1));
                match (random.below(8), slot) {
                    (0 | 1, _) => {
                        let into = [list::OWN, list::FRESH, list::HELD][random.below(3) as usize];
                        _ = put(store, ltime, random.below(120) as usize, into);
                    }
                    (2, Some(slot)) if !store.is_pinned(slot, Pin::Own) => store.pin(slot, Pin::Own),
                    (3, Some(slot)) => store.release_own(slot),
                    (4, Some(slot)) => store.keep_value(store.id(slot), random.below(2) == 0),
                    (5, _) => {
                        if let Some(slot) = store.first(list::FRESH) {
                            store.sent(slot, Instant::from_millis(ltime));
                        }
                    }
                    (6, _) => {
                        let due = (list::ANNOUNCE..list::OWN_HELD).find_map(|which| store.first(which));
                        due.into_iter().for_each(|slot| store.announced(slot, 4));
                    }
                    (7, _) => {
                        let body = vec![0; random.below(60) as usize];
                        store.put_foreign(Encoded { kind: 5, body: &body }, &mut 0);
                    }
                    _ => {}
                }
                store.check();
            }
        });
    }

    #[test]
    fn an_own_event_comes_back_from_three_and_none_counts_twice() {
        with_store(1024, |store| {
            let slot = put(store, 1, 1, list::OWN).expect("room");
            assert_eq!([7, 7, 8, 7, 8].map(|from| store.confirm(slot, from, true)), [1, 1, 2, 2, 2]);
            assert_eq!(store.confirm(slot, 9, false), 3);
        });
    }
}

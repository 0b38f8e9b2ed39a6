//! The member table: places, names, an index by name, an order for probing, and digests for comparing.
//!
//! Nothing here scans the table: members are found by index, drawn by place, and timed by heaps.

use super::digest::Digest;
use super::record::{Case, Member, Slot, State, TOLD, flag};
use crate::hash;
use crate::random::Random;
use crate::slice::{Heap, Index, List};
use crate::time::Instant;
use crate::wire::message::{Entry, Items, Record, Settled, TAGS_MAX};

/// This node's own place.
pub(crate) const SELF: u16 = 0;

/// The slices that a table works on.
pub(crate) struct Parts<'a> {
    /// Written before they are read: may hold anything.
    pub slots: &'a mut [Slot],
    /// Likewise.
    pub cases: &'a mut [Case],
    pub names: &'a mut [u8],
    pub tags: &'a mut [u8],
    pub index: &'a mut [u16],
    pub order: &'a mut [u16],
    pub suspects: &'a mut [u16],
    pub gone: &'a mut [u16],
}

pub(crate) struct Table<'a> {
    pub(crate) slots: &'a mut [Slot],
    pub(crate) cases: &'a mut [Case],
    names: &'a mut [u8],
    tags: &'a mut [u8],
    index: Index<'a>,
    /// All members but this node: first the live ones, then the failed and left.
    order: &'a mut [u16],
    live: usize,
    others: usize,
    /// Live members before it have been probed in this round.
    cursor: usize,
    pub(crate) suspects: Heap<'a>,
    /// Failed and left members, by when they fade or are forgotten.
    pub(crate) gone: Heap<'a>,
    /// Places given back; `touched` and above were never used.
    free: List<TOLD>,
    touched: usize,
    digest: Digest,
    /// A newcomer could not be held since the table last had room: it does not hold the whole fleet.
    pub(crate) partial: bool,
    /// Members whose names are too long for a slot. They are part of the digest, and listed, so that tables which hold them
    /// agree with this one.
    unheld: heapless::Vec<NotHeld, UNHELD>,
}

/// A member that is known by its hashes only.
#[derive(Clone, Copy, Debug)]
struct NotHeld {
    entry: Entry,
    /// In so many listings, one after the other, it was not to be found.
    absent: u8,
}

/// After so many it is forgotten: one of them may have been that of a table that does not know it yet.
const ABSENT: u8 = 3;

/// Members with too long names that are told apart; if there are more, the table is partial.
const UNHELD: usize = 8;

/// The table has no place for a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unheld {
    Full,
    NameTooLong,
}

impl<'a> Table<'a> {
    pub(crate) fn new(parts: Parts<'a>) -> Self {
        Table {
            slots: parts.slots,
            cases: parts.cases,
            names: parts.names,
            tags: parts.tags,
            index: Index::new(parts.index),
            order: parts.order,
            live: 0,
            others: 0,
            cursor: 0,
            suspects: Heap::new(parts.suspects),
            gone: Heap::new(parts.gone),
            free: List::new(),
            touched: 0,
            digest: Digest::EMPTY,
            partial: false,
            unheld: heapless::Vec::new(),
        }
    }

    /// Whether a name is too long for a slot.
    pub(crate) fn is_too_long(&self, name: &str) -> bool {
        name.len() > self.name_room() || name.len() > u8::MAX as usize
    }

    /// What another table says about a member whose name is too long for this one.
    pub(crate) fn note_unheld(&mut self, record: &Record<'_>) {
        let alive = &record.alive;
        let mut slot = Slot::named(hash::name(alive.node), 0);
        (slot.boot, slot.incarnation, slot.addr) = (alive.boot, alive.incarnation, alive.addr);
        slot.status_ltime = record.status_ltime;
        slot.state = match record.state {
            Settled::Alive | Settled::Leaving => State::Alive,
            Settled::Failed => State::Failed,
            Settled::Left => State::Left,
        };
        slot.set(flag::LEAVING, record.state == Settled::Leaving);
        match alive.tags {
            Some(tags) => slot.tags_hash = hash::bytes(tags) as u32,
            None => slot.set(flag::TAGS_WANTED, true),
        }
        let entry = Entry { name: slot.hash, version: slot.version() };
        if let Some(known) = self.unheld.iter_mut().find(|known| known.entry.name == entry.name) {
            self.digest.toggle(entry.name, known.entry.version ^ entry.version);
            known.entry = entry;
        } else if self.unheld.push(NotHeld { entry, absent: 0 }).is_ok() {
            self.digest.toggle(entry.name, entry.version);
        } else {
            self.partial = true;
        }
    }

    /// Members that are known by their hashes only.
    pub(crate) fn unheld(&self) -> impl Iterator<Item = Entry> + '_ {
        self.unheld.iter().map(|known| known.entry)
    }

    /// A listing from `from` up to `to` (0: to the end) was read, with these entries.
    pub(crate) fn listed(&mut self, from: u32, to: u32, entries: Items<'_, Entry>) {
        for known in &mut self.unheld {
            let name = known.entry.name;
            if name >= from && (to == 0 || name < to) {
                let absent = entries.clone().all(|entry| entry.name != name);
                known.absent = if absent { known.absent + 1 } else { 0 };
            }
        }
        while let Some(place) = self.unheld.iter().position(|known| known.absent >= ABSENT) {
            let entry = self.unheld.swap_remove(place).entry;
            self.digest.toggle(entry.name, entry.version);
        }
    }

    pub(crate) fn release(self) -> Parts<'a> {
        Parts {
            slots: self.slots,
            cases: self.cases,
            names: self.names,
            tags: self.tags,
            index: self.index.release(),
            order: self.order,
            suspects: self.suspects.release(),
            gone: self.gone.release(),
        }
    }

    fn name_room(&self) -> usize {
        self.names.len() / self.slots.len()
    }

    pub(crate) fn tags_room(&self) -> usize {
        self.tags.len() / self.slots.len()
    }

    /// Members held, this node included.
    pub(crate) fn len(&self) -> usize {
        self.others + 1
    }

    /// Live members but this node.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Live member number `i` of the order.
    pub(crate) fn live_at(&self, i: usize) -> u16 {
        self.order[i]
    }

    /// Failed and left members, in no order: for drawing one to try again.
    pub(crate) fn gone_at(&self, i: usize) -> u16 {
        self.order[self.live + i]
    }

    pub(crate) fn slot(&self, id: u16) -> &Slot {
        &self.slots[id as usize]
    }

    pub(crate) fn slot_mut(&mut self, id: u16) -> &mut Slot {
        &mut self.slots[id as usize]
    }

    pub(crate) fn case(&self, id: u16) -> &Case {
        &self.cases[id as usize]
    }

    pub(crate) fn case_mut(&mut self, id: u16) -> &mut Case {
        &mut self.cases[id as usize]
    }

    pub(crate) fn name(&self, id: u16) -> &str {
        // Names are only ever copied in from `&str`.
        core::str::from_utf8(self.name_bytes(id)).unwrap_or("")
    }

    fn name_bytes(&self, id: u16) -> &[u8] {
        let at = id as usize * self.name_room();
        &self.names[at..at + self.slots[id as usize].name_len as usize]
    }

    /// The member's tags, if they are held.
    pub(crate) fn tags(&self, id: u16) -> Option<&[u8]> {
        let slot = self.slot(id);
        let at = id as usize * self.tags_room();
        slot.has(flag::TAGS_HELD).then(|| &self.tags[at..at + slot.tags_len as usize])
    }

    pub(crate) fn member(&self, id: u16) -> Member<'_> {
        let slot = self.slot(id);
        Member {
            name: self.name(id),
            addr: slot.addr.into(),
            tags: self.tags(id).unwrap_or(&[]),
            status: slot.status(),
            incarnation: slot.incarnation,
            versions: slot.versions,
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<u16> {
        let hash = hash::name(name);
        self.index.find(hash, |id| self.slot(id).hash, |id| self.name_bytes(id) == name.as_bytes())
    }

    /// Members whose name hash is at least `hash`, in the order of their hashes.
    pub(crate) fn hashed_from(&self, hash: u32) -> impl Iterator<Item = u16> + '_ {
        self.index.from(hash, |id| self.slot(id).hash)
    }

    /// Members whose name has just this hash: mostly one at most. Touches no more cells than these.
    pub(crate) fn same_hash(&self, hash: u32) -> impl Iterator<Item = u16> + '_ {
        self.index.equal(hash, |id| self.slot(id).hash)
    }

    /// All members, this node included, in the order of their name hashes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.hashed_from(0)
    }

    /// Whether a newcomer could be held only in the place of somebody.
    pub(crate) fn is_full(&self) -> bool {
        self.free.is_empty() && self.touched == self.slots.len()
    }

    /// The longest failed or left member: who makes room when the table is full.
    pub(crate) fn evictable(&self) -> Option<u16> {
        self.gone.first()
    }

    /// Takes a new name in, in state left, not yet in the order. The first one ever is this node itself.
    pub(crate) fn admit(&mut self, name: &str) -> Result<u16, Unheld> {
        if self.is_too_long(name) {
            return Err(Unheld::NameTooLong);
        }
        let id = match self.free.pop_front(self.slots) {
            Some(id) => id,
            None if self.touched < self.slots.len() => {
                self.touched += 1;
                (self.touched - 1) as u16
            }
            None => return Err(Unheld::Full),
        };
        let hash = hash::name(name);
        self.slots[id as usize] = Slot::named(hash, name.len() as u8);
        if *self.case(id) != Case::EMPTY {
            *self.case_mut(id) = Case::EMPTY;
        }
        let at = id as usize * self.name_room();
        self.names[at..at + name.len()].copy_from_slice(name.as_bytes());
        let slots = &*self.slots;
        self.index.insert(hash, id, |id| slots[id as usize].hash);
        if id != SELF {
            // At the end: not live.
            self.order[self.others] = id;
            self.slots[id as usize].order_place = self.others as u16;
            self.others += 1;
        }
        self.toggle_digest(id);
        Ok(id)
    }

    /// Forgets a member. It must be in no list of the gossip queue or of the events to be told.
    pub(crate) fn erase(&mut self, id: u16) {
        self.toggle_digest(id);
        self.untime(id);
        self.make_gone(id);
        let place = self.slot(id).order_place as usize;
        self.others -= 1;
        let last = self.order[self.others];
        self.order[place] = last;
        self.slots[last as usize].order_place = place as u16;
        let hash = self.slot(id).hash;
        let slots = &*self.slots;
        self.index.remove(hash, id, |id| slots[id as usize].hash);
        self.free.push_back(self.slots, id);
    }

    /// Changes what nodes agree on about a member, and the digest with it.
    pub(crate) fn edit<R>(&mut self, id: u16, change: impl FnOnce(&mut Slot) -> R) -> R {
        self.toggle_digest(id);
        let result = change(&mut self.slots[id as usize]);
        self.toggle_digest(id);
        result
    }

    /// Takes a member's tags over, if they fit. Returns whether they differ from what was known.
    pub(crate) fn set_tags(&mut self, id: u16, tags: Option<&[u8]>) -> bool {
        let room = self.tags_room().min(TAGS_MAX);
        let at = id as usize * self.tags_room();
        self.toggle_digest(id);
        let slot = &mut self.slots[id as usize];
        let before = (slot.tags_len, slot.tags_hash);
        match tags {
            Some(tags) => {
                slot.tags_len = tags.len() as u16;
                slot.tags_hash = hash::bytes(tags) as u32;
                slot.set(flag::TAGS_HELD, tags.len() <= room);
                slot.set(flag::TAGS_WANTED, false);
                if tags.len() <= room {
                    self.tags[at..at + tags.len()].copy_from_slice(tags);
                }
            }
            // The teller could not hold them: what is known stays until somebody tells more.
            None => slot.set(flag::TAGS_WANTED, true),
        }
        let changed = before != (slot.tags_len, slot.tags_hash);
        self.toggle_digest(id);
        changed
    }

    fn toggle_digest(&mut self, id: u16) {
        let slot = self.slot(id);
        if !slot.has(flag::FADED) {
            let (name, version) = (slot.hash, slot.version());
            self.digest.toggle(name, version);
        }
    }

    /// The sum of all that nodes agree on.
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Starts the timer of a suspect, failed or left member.
    pub(crate) fn time(&mut self, id: u16, deadline: Instant) {
        self.untime(id);
        self.case_mut(id).deadline = deadline;
        match self.slot(id).state {
            State::Suspect => self.suspects.insert(self.cases, id),
            State::Failed | State::Left => self.gone.insert(self.cases, id),
            State::Alive => {}
        }
    }

    /// Stops a member's timer; to be called before its state changes.
    pub(crate) fn untime(&mut self, id: u16) {
        if !self.case(id).is_timed() {
            return;
        }
        match self.slot(id).state {
            State::Suspect => self.suspects.remove(self.cases, id),
            _ => self.gone.remove(self.cases, id),
        }
    }

    /// Nobody accuses this member any more.
    pub(crate) fn acquit(&mut self, id: u16) {
        if self.case(id).is_accused() {
            self.case_mut(id).accuse(None);
        }
    }

    /// Moves a member among the live ones, at a random place of those not yet probed in this round.
    pub(crate) fn make_live(&mut self, id: u16, random: &mut Random) {
        let place = self.slot(id).order_place as usize;
        if id == SELF || place < self.live {
            return;
        }
        self.swap(place, self.live);
        self.live += 1;
        let unprobed = (self.live - self.cursor) as u32;
        let chosen = self.cursor + random.below(unprobed) as usize;
        self.swap(chosen, self.live - 1);
    }

    /// Moves a member out of the live ones.
    pub(crate) fn make_gone(&mut self, id: u16) {
        let mut place = self.slot(id).order_place as usize;
        if id == SELF || place >= self.live {
            return;
        }
        if place < self.cursor {
            self.cursor -= 1;
            self.swap(place, self.cursor);
            place = self.cursor;
        }
        self.live -= 1;
        self.swap(place, self.live);
    }

    /// The next member to probe: each live one once in a round, in an order that is shuffled as it goes.
    pub(crate) fn next_probe(&mut self, random: &mut Random) -> Option<u16> {
        if self.live == 0 {
            return None;
        }
        if self.cursor >= self.live {
            self.cursor = 0;
        }
        let chosen = self.cursor + random.below((self.live - self.cursor) as u32) as usize;
        self.swap(self.cursor, chosen);
        self.cursor += 1;
        Some(self.order[self.cursor - 1])
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.order.swap(a, b);
        self.slots[self.order[a] as usize].order_place = a as u16;
        self.slots[self.order[b] as usize].order_place = b as u16;
    }

    /// What everybody could rely on; for tests.
    #[cfg(any(test, feature = "sabotage"))]
    pub(crate) fn check(&self) {
        let mut digest = Digest::EMPTY;
        let mut count = 0;
        for id in self.iter() {
            let slot = self.slot(id);
            count += 1;
            if !slot.has(flag::FADED) {
                digest.toggle(slot.hash, slot.version());
            }
            if id != SELF {
                assert_eq!(self.order[slot.order_place as usize], id);
                assert_eq!(slot.is_live(), (slot.order_place as usize) < self.live, "order and state agree");
                let timed = self.case(id).is_timed();
                assert!(
                    slot.state != State::Alive || !self.case(id).is_accused(),
                    "nobody accuses the living"
                );
                assert_eq!(timed, slot.state != State::Alive, "everybody but the living has a timer");
            }
        }
        assert_eq!(count, self.len());
        self.unheld().for_each(|entry| digest.toggle(entry.name, entry.version));
        assert_eq!(digest, self.digest, "the digest is the sum of the members");
        assert!(self.cursor <= self.live || self.live == 0 || self.cursor <= self.others);
    }
}

/// What a [`Settled`] state says about life.
pub(crate) fn settled_live(state: Settled) -> bool {
    matches!(state, Settled::Alive | Settled::Leaving)
}

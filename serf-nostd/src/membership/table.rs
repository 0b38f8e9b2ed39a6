//! The member table: places, names, an index by name, the ring in which members probe one another, and digests for comparing.
//!
//! Nothing here scans the table: members are found by index, drawn by place, and timed by heaps. Only who comes or goes makes
//! others move, by two bytes each, in the ring.

use core::ops::Range;

use super::digest::Digest;
use super::record::{Cold, Hot, Member, NOTICES, State, flag};
use crate::hash;
use crate::slice::{Heap, Index, List};
use crate::time::Instant;
use crate::wire::message::{Address, Entry, Items, Record, Settled, TAGS_MAX};

/// This node's own place.
pub(crate) const SELF: u16 = 0;

/// The slices that a table works on.
pub(crate) struct Parts<'a> {
    /// Written before they are read: may hold anything.
    pub hot: &'a mut [Hot],
    /// Likewise.
    pub cold: &'a mut [Cold],
    pub names: &'a mut [u8],
    pub tags: &'a mut [u8],
    pub index: &'a mut [u16],
    pub order: &'a mut [u16],
    pub suspects: &'a mut [u16],
    pub gone: &'a mut [u16],
}

pub(crate) struct Table<'a> {
    pub(crate) hot: &'a mut [Hot],
    pub(crate) cold: &'a mut [Cold],
    names: &'a mut [u8],
    tags: &'a mut [u8],
    index: Index<'a>,
    /// All members but this node: first the live ones, then the failed and left; each in the order of their name hashes, in
    /// which all nodes agree.
    order: &'a mut [u16],
    live: usize,
    others: usize,
    /// How often the places of live members have changed.
    pub(crate) changes: u32,
    pub(crate) suspects: Heap<'a>,
    /// Failed and left members, by when they fade or are forgotten.
    pub(crate) gone: Heap<'a>,
    /// Places given back; `touched` and above were never used.
    free: List<NOTICES>,
    touched: usize,
    digest: Digest,
    /// A newcomer could not be held since the table last had room: it does not hold the whole fleet.
    pub(crate) partial: bool,
    /// Members whose names are too long for a record. They are part of the digest, and listed, so that tables which hold them
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
            hot: parts.hot,
            cold: parts.cold,
            names: parts.names,
            tags: parts.tags,
            index: Index::new(parts.index),
            order: parts.order,
            live: 0,
            others: 0,
            changes: 0,
            suspects: Heap::new(parts.suspects),
            gone: Heap::new(parts.gone),
            free: List::new(),
            touched: 0,
            digest: Digest::EMPTY,
            partial: false,
            unheld: heapless::Vec::new(),
        }
    }

    /// Whether a name is too long for a record.
    pub(crate) fn is_too_long(&self, name: &str) -> bool {
        name.len() > self.name_room() || name.len() > u8::MAX as usize
    }

    /// What another table says about a member whose name is too long for this one.
    pub(crate) fn note_unheld(&mut self, record: &Record<'_>) {
        let alive = &record.alive;
        let mut hot = Hot::named(hash::name(alive.node), 0);
        (hot.boot, hot.incarnation, hot.addr) = (alive.boot, alive.incarnation, alive.addr);
        hot.status_ltime = record.status_ltime;
        hot.set_state(match record.state {
            Settled::Alive | Settled::Leaving => State::Alive,
            Settled::Failed => State::Failed,
            Settled::Left => State::Left,
        });
        hot.set(flag::LEAVING, record.state == Settled::Leaving);
        match alive.tags {
            Some(tags) => hot.tags_hash = hash::bytes(tags) as u32,
            None => hot.set(flag::TAGS_WANTED, true),
        }
        let entry = Entry { name: hot.hash, version: hot.version() };
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
            hot: self.hot,
            cold: self.cold,
            names: self.names,
            tags: self.tags,
            index: self.index.release(),
            order: self.order,
            suspects: self.suspects.release(),
            gone: self.gone.release(),
        }
    }

    fn name_room(&self) -> usize {
        self.names.len() / self.hot.len()
    }

    pub(crate) fn tags_room(&self) -> usize {
        self.tags.len() / self.hot.len()
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

    /// The place of the live member at this address: looks at one after the other.
    pub(crate) fn live_from(&self, addr: &Address) -> Option<usize> {
        self.order[..self.live].iter().position(|id| self.hot(*id).addr == *addr)
    }

    /// Failed and left members, in no order: for drawing one to try again.
    pub(crate) fn gone_at(&self, i: usize) -> u16 {
        self.order[self.live + i]
    }

    pub(crate) fn hot(&self, id: u16) -> &Hot {
        &self.hot[id as usize]
    }

    pub(crate) fn hot_mut(&mut self, id: u16) -> &mut Hot {
        &mut self.hot[id as usize]
    }

    pub(crate) fn cold(&self, id: u16) -> &Cold {
        &self.cold[id as usize]
    }

    pub(crate) fn cold_mut(&mut self, id: u16) -> &mut Cold {
        &mut self.cold[id as usize]
    }

    pub(crate) fn name(&self, id: u16) -> &str {
        // Names are only ever copied in from `&str`.
        core::str::from_utf8(self.name_bytes(id)).unwrap_or("")
    }

    fn name_bytes(&self, id: u16) -> &[u8] {
        let at = id as usize * self.name_room();
        &self.names[at..at + self.hot[id as usize].name_len as usize]
    }

    /// The member's tags, if they are held.
    pub(crate) fn tags(&self, id: u16) -> Option<&[u8]> {
        let hot = self.hot(id);
        let at = id as usize * self.tags_room();
        hot.has(flag::TAGS_HELD).then(|| &self.tags[at..at + hot.tags_len as usize])
    }

    pub(crate) fn member(&self, id: u16) -> Member<'_> {
        let hot = self.hot(id);
        Member {
            name: self.name(id),
            addr: hot.addr.into(),
            tags: self.tags(id).unwrap_or(&[]),
            status: hot.status(),
            incarnation: hot.incarnation,
            versions: hot.versions,
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<u16> {
        let hash = hash::name(name);
        self.index.find(hash, |id| self.hot(id).hash, |id| self.name_bytes(id) == name.as_bytes())
    }

    /// Members whose name hash is at least `hash`, in the order of their hashes.
    pub(crate) fn hashed_from(&self, hash: u32) -> impl Iterator<Item = u16> + '_ {
        self.index.from(hash, |id| self.hot(id).hash)
    }

    /// Members whose name has just this hash: mostly one at most. Touches no more cells than these.
    pub(crate) fn same_hash(&self, hash: u32) -> impl Iterator<Item = u16> + '_ {
        self.index.equal(hash, |id| self.hot(id).hash)
    }

    /// All members, this node included, in the order of their name hashes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.hashed_from(0)
    }

    /// Whether a newcomer could be held only in the place of somebody.
    pub(crate) fn is_full(&self) -> bool {
        self.free.is_empty() && self.touched == self.hot.len()
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
        let id = match self.free.pop_front(self.hot) {
            Some(id) => id,
            None if self.touched < self.hot.len() => {
                self.touched += 1;
                (self.touched - 1) as u16
            }
            None => return Err(Unheld::Full),
        };
        let hash = hash::name(name);
        self.hot[id as usize] = Hot::named(hash, name.len() as u8);
        if *self.cold(id) != Cold::EMPTY {
            *self.cold_mut(id) = Cold::EMPTY;
        }
        let at = id as usize * self.name_room();
        self.names[at..at + name.len()].copy_from_slice(name.as_bytes());
        let hot = &*self.hot;
        self.index.insert(hash, id, |id| hot[id as usize].hash);
        if id != SELF {
            // Not among the live ones.
            let place = self.ranked(id, self.live..self.others).unwrap_or_else(|place| place);
            self.put(id, self.others, place);
            self.others += 1;
        }
        self.toggle_digest(id);
        Ok(id)
    }

    /// Forgets a member. It must be in no list of the gossip queue or of the events to be told.
    pub(crate) fn erase(&mut self, id: u16) {
        self.toggle_digest(id);
        self.cancel(id);
        self.make_gone(id);
        if let Ok(place) = self.ranked(id, self.live..self.others) {
            self.others -= 1;
            self.put(id, place, self.others);
        }
        let hash = self.hot(id).hash;
        let hot = &*self.hot;
        self.index.remove(hash, id, |id| hot[id as usize].hash);
        self.free.push_back(self.hot, id);
    }

    /// Changes what nodes agree on about a member, and the digest with it.
    pub(crate) fn edit<R>(&mut self, id: u16, change: impl FnOnce(&mut Hot) -> R) -> R {
        self.toggle_digest(id);
        let result = change(&mut self.hot[id as usize]);
        self.toggle_digest(id);
        result
    }

    /// Takes a member's tags over, if they fit. Returns whether they differ from what was known.
    pub(crate) fn set_tags(&mut self, id: u16, tags: Option<&[u8]>) -> bool {
        let room = self.tags_room().min(TAGS_MAX);
        let at = id as usize * self.tags_room();
        self.toggle_digest(id);
        let hot = &mut self.hot[id as usize];
        let before = (hot.tags_len, hot.tags_hash);
        match tags {
            Some(tags) => {
                hot.tags_len = tags.len() as u16;
                hot.tags_hash = hash::bytes(tags) as u32;
                hot.set(flag::TAGS_HELD, tags.len() <= room);
                hot.set(flag::TAGS_WANTED, false);
                if tags.len() <= room {
                    self.tags[at..at + tags.len()].copy_from_slice(tags);
                }
            }
            // The teller could not hold them: what is known stays until somebody tells more.
            None => hot.set(flag::TAGS_WANTED, true),
        }
        let changed = before != (hot.tags_len, hot.tags_hash);
        self.toggle_digest(id);
        changed
    }

    fn toggle_digest(&mut self, id: u16) {
        let hot = self.hot(id);
        if !hot.has(flag::UNADVERTISED) {
            let (name, version) = (hot.hash, hot.version());
            self.digest.toggle(name, version);
        }
    }

    /// The sum of all that nodes agree on.
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Starts the timer of a suspect, failed or left member.
    pub(crate) fn schedule(&mut self, id: u16, deadline: Instant) {
        self.cancel(id);
        self.cold_mut(id).deadline = deadline;
        match self.hot(id).state() {
            State::Suspect => self.suspects.insert(self.cold, id),
            State::Failed | State::Left => self.gone.insert(self.cold, id),
            State::Alive => {}
        }
    }

    /// Stops a member's timer; to be called before its state changes.
    pub(crate) fn cancel(&mut self, id: u16) {
        if !self.cold(id).is_timed() {
            return;
        }
        match self.hot(id).state() {
            State::Suspect => self.suspects.remove(self.cold, id),
            _ => self.gone.remove(self.cold, id),
        }
    }

    /// Nobody accuses this member any more.
    pub(crate) fn clear_accusers(&mut self, id: u16) {
        if self.cold(id).is_accused() {
            self.cold_mut(id).accuse(None);
        }
    }

    /// Moves a member among the live ones.
    pub(crate) fn make_live(&mut self, id: u16) {
        // This node itself is in neither part.
        if let Ok(from) = self.ranked(id, self.live..self.others) {
            let to = self.ranked(id, 0..self.live).unwrap_or_else(|place| place);
            self.put(id, from, to);
            self.live += 1;
            self.changes = self.changes.wrapping_add(1);
        }
    }

    /// Moves a member out of the live ones.
    pub(crate) fn make_gone(&mut self, id: u16) {
        if let Ok(from) = self.ranked(id, 0..self.live) {
            let to = self.ranked(id, self.live..self.others).unwrap_or_else(|place| place);
            self.put(id, from, to - 1);
            self.live -= 1;
            self.changes = self.changes.wrapping_add(1);
        }
    }

    /// Moves a member from one place of the order to another; those between move up, or down.
    fn put(&mut self, id: u16, from: usize, to: usize) {
        if to <= from {
            self.order.copy_within(to..from, to + 1);
        } else {
            self.order.copy_within(from + 1..to + 1, from);
        }
        self.order[to] = id;
    }

    /// The place of a member in a part of the order, or the place where it belongs there.
    fn ranked(&self, id: u16, part: Range<usize>) -> Result<usize, usize> {
        let rank = |id: u16| (self.hot(id).hash, id);
        let found = self.order[part.clone()].binary_search_by_key(&rank(id), |id| rank(*id));
        found.map(|place| part.start + place).map_err(|place| part.start + place)
    }

    /// The live member that comes so many places behind this node's own next one, in the ring of all members' name hashes. In
    /// a fleet that agrees, each of those who look as far as one another sees another one.
    pub(crate) fn in_ring(&self, places: usize) -> Option<u16> {
        let own = self.ranked(SELF, 0..self.live).unwrap_or_else(|place| place);
        let place = (own + places).checked_rem(self.live)?;
        Some(self.order[place])
    }

    /// What everybody could rely on; for tests.
    #[cfg(any(test, feature = "sabotage"))]
    pub(crate) fn check(&self) {
        let mut digest = Digest::EMPTY;
        let mut count = 0;
        for id in self.iter() {
            let hot = self.hot(id);
            count += 1;
            if !hot.has(flag::UNADVERTISED) {
                digest.toggle(hot.hash, hot.version());
            }
            if id != SELF {
                let part = if hot.is_live() { 0..self.live } else { self.live..self.others };
                assert!(self.ranked(id, part).is_ok(), "order and state agree");
                let timed = self.cold(id).is_timed();
                assert!(
                    hot.state() != State::Alive || !self.cold(id).is_accused(),
                    "nobody accuses the living"
                );
                assert_eq!(timed, hot.state() != State::Alive, "everybody but the living has a timer");
            }
        }
        assert_eq!(count, self.len());
        self.unheld().for_each(|entry| digest.toggle(entry.name, entry.version));
        assert_eq!(digest, self.digest, "the digest is the sum of the members");
    }
}

/// What a [`Settled`] state says about life.
pub(crate) fn settled_live(state: Settled) -> bool {
    matches!(state, Settled::Alive | Settled::Leaving)
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::vec::Vec;

    use super::*;
    use crate::kit;
    use crate::wire::message::Accusation;

    /// All that others rely on is looked at by [`Table::check`].
    #[test]
    fn whoever_comes_goes_and_is_forgotten_the_table_agrees_with_itself() {
        let (mut cx, mut e, _) = kit::node();
        let mut random = crate::random::Random::new(3);
        for step in 0..3_000u32 {
            let (i, members) = (1 + random.below(12) as u8, &mut e.members);
            let name = format!("m{i}");
            match (random.below(3), members.table.find(&name)) {
                (0, _) => _ = members.alive(&mut cx, &kit::alive(&name, i, 5, step), false),
                (1, Some(id)) => {
                    let incarnation = members.table.hot(id).incarnation;
                    let accusation = Accusation { incarnation, boot: 0, node: &name, from: "self" };
                    let _ = members.dead(&mut cx, &accusation);
                }
                (2, Some(id)) => members.forget(id),
                _ => {}
            }
            e.members.table.check();
        }
        assert!(cx.stats.members_unheld > 0 || e.members.table.is_full(), "it was full");
    }

    #[test]
    fn the_ring_leads_to_each_live_member_once_and_from_all_to_all() {
        let (_, mut e, _) = kit::fleet(7);
        let table = &mut e.members.table;
        let round =
            |table: &Table<'_>| (0..table.live()).filter_map(|k| table.in_ring(k)).collect::<Vec<_>>();
        let hashes: Vec<_> = round(table).iter().map(|id| table.hot(*id).hash).collect();
        let own = table.hot(SELF).hash;
        let ahead = hashes.iter().filter(|hash| **hash > own).count();
        assert!(hashes[..ahead].is_sorted() && hashes[ahead..].is_sorted(), "from this node on, and around");
        assert_eq!(hashes.len(), 7);
        let gone = table.find("m3").expect("held");
        table.make_gone(gone);
        assert!(!round(table).contains(&gone) && round(table).len() == 6);
        table.make_live(gone);
        assert_eq!(round(table).len(), 7);
        assert_eq!(kit::node().1.members.table.in_ring(3), None, "there is nobody");
    }

    #[test]
    fn members_are_found_by_name_and_walked_by_hash() {
        let (_, e, _) = kit::fleet(7);
        let table = &e.members.table;
        assert_eq!(table.find("m4").map(|id| table.name(id)), Some("m4"));
        assert_eq!((table.find("m8"), table.find("self")), (None, Some(SELF)));
        let hashes: Vec<_> = table.iter().map(|id| table.hot(id).hash).collect();
        assert!(hashes.is_sorted() && hashes.len() == kit::MEMBERS);
        let (from, whole) = (hashes[3], table.hashed_from(hashes[3]).count());
        assert_eq!((table.same_hash(from).count(), whole), (1, kit::MEMBERS - 3));
    }
}

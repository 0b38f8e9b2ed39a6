//! Events that have come from their origin in a batch: it sees to it itself that all get them, and says when all have
//! ([`super::batch`]). Until it does they wait here. They are announced as others are if it says that somebody lacks them, or if
//! it says nothing for too long; and passed on if so many wait that their room is needed.

use super::Events;
use super::seen::Freshness;
use super::store::list;
use crate::authority::SIGNED;
use crate::config::Config;
use crate::failure::Links;
use crate::hash;
use crate::membership::table::Table;
use crate::time::{Duration, Instant};
use crate::wire::message::{Address, Batch, EventId};

/// To how many members a batch goes at most: for its origin each is a bit.
pub(super) const MEMBERS: usize = u64::BITS as usize;
/// How many events are in one at most: all of their ids fit in a datagram.
pub(super) const LONGEST: u16 = 64;

/// What a datagram says of the batch that it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InBatch {
    number: u32,
    /// What is said when all of it is here.
    pub(crate) answer: u32,
    /// Who its sender is as an origin, if it sees to its own events.
    origin: Option<u64>,
}

/// What is to be said of this node's own batches.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "batches"), allow(dead_code))]
pub(crate) enum BatchDue {
    /// Its ids, to those who have not received it.
    Remind(Batch),
    /// That all have those before this number.
    Complete(u32),
    /// That somebody has not received one although it was told: nothing to anybody.
    Lost,
}

impl InBatch {
    /// In which batch this event waits for its origin's word, if it does.
    pub(crate) fn waits(&self, id: EventId) -> Option<u8> {
        self.origin.filter(|origin| is_from(id, *origin)).map(|_| self.number as u8)
    }
}

impl Events<'_> {
    /// A batch has come from this address.
    pub(crate) fn told(&mut self, table: &Table<'_>, links: Links, from: &Address, batch: &Batch) -> InBatch {
        let Batch { number, answer, behind, members } = *batch;
        let tells_all = (links.live..=MEMBERS).contains(&(members as usize)) && !table.partial;
        let waits = tells_all && links.clean;
        let origin =
            if waits || self.store.first(list::TOLD).is_some() { self.origin_at(table, from) } else { None };
        if let Some(origin) = origin {
            self.end_waits(origin, number.wrapping_sub(behind as u32));
        }
        InBatch { number, answer, origin: origin.filter(|_| waits) }
    }

    /// All members have the batches of whoever is at this address before that of this number: nobody need be told of them.
    pub(crate) fn complete(&mut self, table: &Table<'_>, from: &Address, number: u32) {
        if self.store.first(list::TOLD).is_some()
            && let Some(origin) = self.origin_at(table, from)
        {
            self.end_waits(origin, number);
        }
    }

    /// What the live member at this address fires under, if nobody else does.
    #[cfg(feature = "batches")]
    fn origin_at(&mut self, table: &Table<'_>, from: &Address) -> Option<u64> {
        let place = table.live_from(from)?;
        let (member, root) = (table.live_at(place), table.digest().root());
        let known = self.sole.filter(|sole| (sole.member, sole.table) == (member, root));
        let origin = known.map(|sole| sole.origin).or_else(|| sole_origin(table, place))?;
        self.sole = Some(Sole { member, table: root, origin });
        Some(origin)
    }

    #[cfg(not(feature = "batches"))]
    fn origin_at(&mut self, table: &Table<'_>, from: &Address) -> Option<u64> {
        sole_origin(table, table.live_from(from)?)
    }

    fn end_waits(&mut self, origin: u64, number: u32) {
        let mut at = self.store.first(list::TOLD);
        while let Some(slot) = at {
            at = self.store.after(list::TOLD, slot);
            if is_from(self.store.id(slot), origin) {
                let after = self.store.batch(slot).wrapping_sub(number as u8) as i8 >= 0;
                if after {
                    break;
                }
                self.store.rest(slot);
            }
        }
    }

    /// When the first of those that wait is to be told of after all.
    pub(super) fn told_until(&self, config: &Config) -> Instant {
        match self.store.first(list::TOLD) {
            None => Instant::FAR,
            Some(_) if self.store.many_wait() => Instant::PAST,
            Some(slot) => self.store.since(slot) + patience(config),
        }
    }

    /// Those that have waited too long are announced as if somebody else had told of them. Those that are more than may wait are passed on,
    /// as they may be given up before anybody has asked for them.
    pub(crate) fn tell_overdue(&mut self, config: &Config, now: Instant) {
        while let Some(slot) = self.store.first(list::TOLD) {
            if self.store.many_wait() {
                self.store.move_to(slot, list::FRESH);
            } else if self.store.since(slot) + patience(config) <= now {
                self.store.sent(slot, now);
            } else {
                return;
            }
        }
    }

    /// Its origin says that somebody has not received this event, which is here.
    pub(crate) fn somebody_lacks(&mut self, config: &Config, id: EventId, now: Instant) {
        if let Some(slot) = self.store.find(id) {
            self.store.announce(slot, now.minus(patience(config)));
        }
    }

    /// Whether this node has seen an event.
    pub(crate) fn knows(&self, id: EventId) -> bool {
        self.seen.classify(id) == Freshness::Known
    }
}

/// How long an origin may take to say that all have its events, or that somebody has not: twice as long as it takes.
pub(super) fn patience(config: &Config) -> Duration {
    config.probe_timeout.times(2)
}

/// Whose origin it was found last that no other member has, in which table.
#[cfg(feature = "batches")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Sole {
    member: u16,
    table: u32,
    origin: u64,
}

/// What the live member at this place fires under, if nobody else does: who chooses its boot number can see to that.
fn sole_origin(table: &Table<'_>, place: usize) -> Option<u64> {
    // Nobody has batches for so many.
    if table.live() > 2 * MEMBERS {
        return None;
    }
    let origin = |place: usize| {
        let member = table.live_at(place);
        hash::origin(table.name(member), table.hot(member).boot)
    };
    let own = origin(place);
    let is_twin = |other: usize| other != place && is_same(origin(other), own);
    (!(0..table.live()).any(is_twin)).then_some(own)
}

/// Whether an event is this origin's, signed or not.
fn is_from(id: EventId, origin: u64) -> bool {
    is_same(id.origin, origin)
}

/// Whether these are one origin, but for what tells its signed events and its queries apart.
fn is_same(one: u64, other: u64) -> bool {
    (one ^ other) & !(SIGNED | 1) == 0
}

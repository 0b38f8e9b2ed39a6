//! Fleets, as far as events go: how one begins, and what becomes of two that meet.
//!
//! Of two fleets that meet one yields: each of its nodes enters the other one as soon as it hears of it, and nobody hears of
//! a member before it hears of that member's fleet, as whoever tells of a member tells its own fleet along. So all are in one
//! by the time at which all know all. For a while they stay in their former one as well, until what is under way there
//! has arrived; what either fleet fired before they met stays where it was.

use super::Node;
use crate::clock::{Lamport, Word};
use crate::event::store::list;
use crate::hash;
use crate::rules::Rule;
use crate::time::{Duration, Instant};
use crate::wire::message::{EventId, Fleet, Former, Message};
use crate::wire::packet::Packet;

/// From this age on a fleet has grown up: of two that meet, the one that has not yields to the one that has; else the one with
/// the greater number.
const GROWN: Duration = Duration::from_secs(60);
/// So many probe intervals a node stays in its former fleet as well.
const GRACE: u32 = 5;
/// Bytes that the two messages about a node's fleet may take.
pub(super) const INTRODUCTION: usize = 41;

/// The fleet that a node has just left for another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    pub(super) fleet: u32,
    since: Instant,
    /// What is at or below it is for that fleet alone.
    last: EventId,
    /// What the other fleet had fired by this time, before they met, is not for this node.
    met: u64,
    replay: bool,
    /// Last values that the other fleet had by then are taken over, but not told.
    silent: bool,
    pub(super) until: Instant,
}

/// Which fleet unasked events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Nobody has said so.
    Untold,
    /// Another one.
    Elsewhere,
    /// The one that this node has just entered.
    Entered,
    /// This node's.
    Ours,
}

fn tag(fleet: u32) -> [u8; 2] {
    (fleet as u16).to_le_bytes()
}

impl Node<'_> {
    /// Somebody who is in no fleet wants in, and neither is this node: from now on it is in one of its own. What it has
    /// fired just now goes to whom it meets there, or in the fleet that it enters if nobody comes; what it fired before
    /// that was for itself.
    pub(super) fn found_fleet(&mut self, now: Instant) {
        if self.fleet != 0 {
            return;
        }
        (self.fleet, self.fleet_since) = ((self.random.next() as u32).max(1), now);
        self.founding = self.config.has(Rule::Restamp);
        self.seen.begin_history();
        if !self.config.has(Rule::FirstContact) {
            return;
        }
        let last = self.last_event();
        self.met_at = last;
        self.seen.raise_floor(last);
    }

    /// Of what waits for somebody to tell it to, what has waited for long is for nobody any more.
    fn release_past(&mut self, now: Instant) {
        // In the order in which they were fired.
        while let Some(slot) = self.store.first(list::OWN) {
            if now.since(self.store.since(slot)) <= self.config.join_timeout {
                break;
            }
            self.store.release_own(slot);
            self.stats.own_expired += 1;
        }
    }

    /// It starts no more: others are to know that it is here to stay.
    pub(super) fn started(&mut self) {
        self.starting = None;
        self.fleet_news = self.transmissions() as u8;
    }

    /// The greatest identity that an event known by now may have.
    #[inline(never)]
    fn last_event(&self) -> EventId {
        EventId { ltime: self.clocks.event.now() - 1, origin: u64::MAX }
    }

    /// Whether somebody who is in `fleet`, and has left `former` of late, is or was in one with this node. Only who has been
    /// answered by a member knows its number.
    pub(super) fn is_kin(&self, fleet: u32, former: Option<Former>) -> bool {
        let ours = |id| id != 0 && (id == self.fleet || self.left.is_some_and(|left| left.fleet == id));
        ours(fleet) || former.is_some_and(|former| ours(former.fleet))
    }

    /// Somebody has told which fleet it is in, and maybe which one it has left. Who yields goes there; a node that has met
    /// nobody yields to any.
    pub(super) fn meet_fleet(
        &mut self,
        now: Instant,
        (theirs, former): (Fleet, Option<Former>),
        word: Word,
        replay: bool,
    ) {
        if theirs.id == 0 {
            return self.found_fleet(now);
        }
        if !self.config.has(Rule::FirstContact) {
            self.fleet = theirs.id;
        }
        let own = self.left.map_or(self.fleet, |left| left.fleet);
        // Of those who come from one fleet the first to meet the other says when that was.
        let met = former.filter(|former| former.fleet == own).map(|former| former.met);
        // What is fired here from now on is to be new to them, be they of this fleet: they may have come with a memory.
        let fits = self.witness(now, Lamport::Event, word, theirs.event_clock.saturating_sub(1));
        if theirs.id == self.fleet {
            if self.founding && theirs.age > 0 {
                // Somebody has come to stay, to whom what was fired until now is new.
                self.founding = false;
                self.release_past(now);
                self.restamp(now);
            }
            if let (Some(left), Some(met)) = (&mut self.left, met) {
                left.met = left.met.min(met);
            }
            return;
        }
        if !fits {
            // Their clock is far ahead: met when this one has come up to it.
            return;
        }
        let yields = self.yields_to(now, &theirs);
        if let Some(left) = self.left.take_if(|left| yields && left.fleet == theirs.id) {
            // It has grown up meanwhile. Nothing of it has been missed, unless this node entered the other one so late that
            // nobody lingered there any more.
            (self.fleet, self.fleet_since) = (left.fleet, left.since);
            self.stats.event_gaps += (left.last.ltime > 0) as u64;
            self.fleet_news = self.transmissions() as u8;
        } else if yields {
            let met = met.unwrap_or(theirs.event_clock.saturating_sub(1));
            self.enter_fleet(now, &theirs, met, replay);
        }
    }

    /// Whether this node goes over to that fleet, once it is sure of it.
    pub(super) fn yields_to(&self, now: Instant, theirs: &Fleet) -> bool {
        let grown = now.since(self.fleet_since) >= GROWN;
        let theirs_grown = Duration::from_secs(theirs.age as u64) >= GROWN;
        // Who is starting, or alone, has a fleet that nobody could enter.
        let older = if (theirs.age > 0) == (self.starting.is_some() || self.founding) {
            theirs.age > 0
        } else if grown == theirs_grown {
            theirs.id < self.fleet
        } else {
            theirs_grown
        };
        self.fleet == 0 || theirs.id != self.fleet && older
    }

    fn enter_fleet(&mut self, now: Instant, theirs: &Fleet, met: u64, replay: bool) {
        let alone = core::mem::take(&mut self.founding) || self.fleet == 0;
        // Who comes from a fleet would tell its past on, and be told what it has had.
        let replay = replay && alone;
        // Who is starting, or has met nobody, has nothing under way.
        let lingers = !alone && self.takes_events() && self.config.has(Rule::Grace);
        let (fleet, since) = (if alone { 0 } else { self.fleet }, self.fleet_since);
        let last = self.last_event();
        // A fleet that meets another one so soon has hardly been one: it consists of joiners, but for who lingers elsewhere.
        let settled = self.left.map_or(since, |left| left.since);
        let silent = !replay && (alone || now.since(settled) <= self.config.join_timeout);
        (self.fleet, self.fleet_since) = (theirs.id, now.minus(Duration::from_secs(theirs.age as u64)));
        let until = now + self.config.probe_interval.times(GRACE);
        let left = Left { fleet, since, last, met, replay, silent, until };
        self.left = Some(match self.left {
            Some(Left { fleet, since, until, .. }) => Left { fleet, since, until, ..left },
            None => left,
        });
        if alone || self.cut_off || !self.takes_events() {
            self.restamp(now);
        }
        if !lingers {
            self.leave_former();
        }
        self.heal.value_pace.changed(now);
        self.fleet_news = self.transmissions() as u8;
    }

    /// Which last values are to be told is only clear when the grace is over: until then none are fetched.
    pub(super) fn enters_silently(&self) -> bool {
        self.left.is_some_and(|left| left.silent)
    }

    /// The grace ends if it is over.
    pub(super) fn grace_ends(&mut self, now: Instant) {
        if self.left.is_some_and(|left| left.until <= now) {
            self.leave_former();
        }
    }

    fn leave_former(&mut self) {
        let Some(left) = self.left.take() else { return };
        if left.silent {
            self.met_at = left.last;
        }
        if left.last.ltime > 0 {
            self.seen.forget_history();
            // What was on its way, or had passed this node by, may be below the new floor.
            self.stats.event_gaps += (left.fleet != 0) as u64;
            if left.fleet != 0 {
                self.stats.own_unconfirmed += self.store.quieten(left.last);
            }
        } else {
            // Nothing had ever been fired in either.
            self.seen.begin_history();
        }
        if !left.replay {
            self.seen.raise_floor(left.last);
        }
    }

    /// Own events that were accepted while nobody was there get times at which others take them. Values that have waited
    /// for long keep theirs: others may have fired newer ones.
    fn restamp(&mut self, now: Instant) {
        if !self.config.has(Rule::Restamp) {
            return;
        }
        let mut at = self.store.first(list::OWN);
        while let Some(slot) = at {
            at = self.store.after(list::OWN, slot);
            let event = self.store.event(slot);
            let waited = event.coalesce && now.since(self.store.since(slot)) > self.config.join_timeout;
            // Under two identities somebody would be handed it twice.
            if waited || self.store.was_sent(slot) {
                continue;
            }
            let (name, before) = (event.coalesce.then(|| hash::bytes(event.name)), event.id);
            let id = EventId { ltime: self.clocks.event.stamp(), origin: before.origin };
            self.store.rename(slot, id);
            self.seen.remove(before);
            self.seen.insert(id);
            if let Some(name) = name {
                self.windows.renamed(name, before, id);
            }
        }
    }

    // ---- what it tells, and what it is told ----

    /// Whether an event is for the former fleet alone.
    #[inline(never)]
    pub(super) fn is_for_former(&self, id: EventId) -> bool {
        self.left.is_some_and(|left| id <= left.last)
    }

    /// Before events that nobody has asked for, and their ids: whom they are for.
    #[inline(never)]
    pub(super) fn write_tag(&self, packet: &mut Packet<'_>, for_former: bool) {
        if let Some(left) = self.left {
            let _ = packet.push(&Message::Tag(tag(left.fleet)));
        }
        if !for_former {
            let _ = packet.push(&Message::Tag(tag(self.fleet)));
        }
    }

    /// Where events with this tag come from.
    pub(super) fn source(&self, told: [u8; 2]) -> Source {
        let left = self.left.map(|left| tag(left.fleet));
        if !self.config.has(Rule::FirstContact) || left == Some(told) {
            Source::Ours
        } else if told != tag(self.fleet) {
            Source::Elsewhere
        } else if left.is_some() {
            Source::Entered
        } else {
            Source::Ours
        }
    }

    /// Whether an event from there is for this node: what another fleet had fired before they met is not.
    pub(super) fn is_for_us(&self, id: EventId, source: Source) -> bool {
        match source {
            Source::Elsewhere => false,
            Source::Entered => self.left.is_none_or(|left| id.ltime > left.met),
            Source::Untold | Source::Ours => true,
        }
    }

    /// Which fleet this node is in.
    pub(super) fn write_fleet(&self, packet: &mut Packet<'_>, now: Instant) {
        self.push_fleet(packet, now, self.fleet, self.fleet_since);
        if let Some(left) = self.left {
            let _ = packet.push(&Message::Former(Former { fleet: left.fleet, met: left.met }));
        }
    }

    /// Whose events this node compares: those of its former fleet, as long as it lingers there.
    pub(super) fn compares_in(&self) -> u32 {
        self.left.map_or(self.fleet, |left| left.fleet)
    }

    pub(super) fn write_compared_fleet(&self, packet: &mut Packet<'_>, now: Instant) {
        let since = self.left.map_or(self.fleet_since, |left| left.since);
        self.push_fleet(packet, now, self.compares_in(), since);
    }

    #[inline(never)]
    fn push_fleet(&self, packet: &mut Packet<'_>, now: Instant, id: u32, since: Instant) {
        let age = now.since(since).as_secs().clamp(1, u32::MAX as u64) as u32;
        let age = if self.starting.is_some() || self.founding { 0 } else { age };
        let _ = packet.push(&Message::Fleet(Fleet { id, event_clock: self.clocks.event.now(), age }));
    }

    /// Ends what may tell of members with this node's fleet; [`INTRODUCTION`] was reserved for it.
    pub(super) fn introduce(&mut self, packet: &mut Packet<'_>, now: Instant, limit: usize) {
        packet.unreserve(limit);
        let tells = packet.introduces() || self.fleet_news > 0;
        if self.fleet != 0 && tells && self.config.has(Rule::FleetNews) {
            self.write_fleet(packet, now);
        }
    }
}

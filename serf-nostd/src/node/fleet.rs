//! Fleets, as far as events go: how one begins, and what becomes of two that meet.

use super::Node;
use crate::clock::{Lamport, Word};
use crate::config::Rule;
use crate::event::store::list;
use crate::hash;
use crate::time::{Duration, Instant};
use crate::wire::message::{EventId, Fleet};

/// Fleets whose ages differ by no more than this are of one age.
const ONE_AGE: Duration = Duration::from_secs(5);
/// So many probe intervals a node stays in the fleet that yields: what is under way there arrives, and the clocks of both
/// come together.
const GRACE: u32 = 5;
/// Two that take each other for the younger one, as their ages are told in whole seconds, go by the smaller number after so
/// long; others differ by more.
const STUBBORN: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// A node leaves its fleet for another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Yielding {
    fleet: u32,
    since: Instant,
    /// What is at or below it stays where it was.
    floor: EventId,
    replay: bool,
    pub(super) until: Instant,
}

impl Node<'_> {
    /// Somebody who is in no fleet wants in, and neither is this node: from now on it is in one of its own. What it has
    /// fired just now goes to whom it meets; what it fired before that was for itself.
    pub(super) fn found_fleet(&mut self, now: Instant) {
        if self.fleet != 0 {
            return;
        }
        (self.fleet, self.fleet_since) = ((self.random.next() as u32).max(1), now);
        self.seen.begin_history();
        if !self.config.has(Rule::FirstContact) {
            return;
        }
        let last = EventId { ltime: self.clocks.event.now() - 1, origin: u64::MAX };
        self.met_at = self.met_at.max(last);
        self.seen.raise_floor(last);
        // In the order in which they were fired.
        while let Some(slot) = self.store.first(list::OWN) {
            if now.since(self.store.since(slot)) <= self.config.join_timeout {
                break;
            }
            self.store.release_own(slot);
            self.stats.own_expired += 1;
        }
        self.restamp(now);
    }

    /// Somebody has told which fleet it is in. Of two the younger one yields, or, if they are of one age, the one with the
    /// greater number; a node that has met nobody yields to any. Who yields raises its floor to the clock that both have by
    /// then, at once or after a grace: what either fleet fired before stays where it was. Returns whether it is the same
    /// fleet now.
    pub(super) fn meet_fleet(&mut self, now: Instant, theirs: Fleet, replay: bool) -> bool {
        if theirs.id == 0 {
            self.found_fleet(now);
            return false;
        }
        if theirs.id == self.fleet || !self.config.has(Rule::FirstContact) {
            self.fleet = theirs.id;
            return true;
        }
        let (id, since) =
            self.yielding.map_or((self.fleet, self.fleet_since), |yielding| (yielding.fleet, yielding.since));
        let (age, theirs_age) = (now.since(since), Duration::from_secs(theirs.age as u64));
        let older = |a: Duration, b: Duration| a.as_micros() > b.as_micros() + ONE_AGE.as_micros();
        let yields = older(theirs_age, age) || (!older(age, theirs_age) && theirs.id < id);
        if id != 0 && !yields {
            if self.rival.0 != theirs.id {
                self.rival = (theirs.id, now);
            }
            let alike = age.as_micros().abs_diff(theirs_age.as_micros()) <= STUBBORN.1.as_micros();
            if !alike || theirs.id > id || now.since(self.rival.1) < STUBBORN.0 {
                return false;
            }
        }
        if !self.witness(now, Lamport::Event, Word::Answer, theirs.event_clock.saturating_sub(1)) {
            // Their clock is far ahead: met when this one has come up to it.
            return false;
        }
        let floor = EventId { ltime: self.clocks.event.now() - 1, origin: u64::MAX };
        let grace = self.config.probe_interval.times(GRACE);
        let until = self.yielding.map_or(now + grace, |yielding| yielding.until);
        let yielding = Yielding { fleet: theirs.id, since: now.minus(theirs_age), floor, replay, until };
        // Who is starting, or has met nobody, has nothing under way.
        if self.takes_events() && self.config.has(Rule::Grace) {
            self.yielding = Some(yielding);
            return false;
        }
        self.enter_fleet(now, &yielding);
        true
    }

    /// The grace has ended.
    pub(super) fn yield_due(&mut self, now: Instant) {
        if let Some(yielding) = self.yielding.take_if(|yielding| yielding.until <= now) {
            self.enter_fleet(now, &yielding);
        }
    }

    fn enter_fleet(&mut self, now: Instant, to: &Yielding) {
        let age = now.since(self.fleet_since);
        let first = core::mem::replace(&mut self.fleet, to.fleet) == 0;
        self.fleet_since = to.since;
        self.yielding = None;
        self.seen.forget_history();
        if !to.replay {
            self.seen.raise_floor(to.floor);
            // A fleet that meets another one so soon has hardly been one: it consists of joiners.
            if first || age <= self.config.join_timeout {
                self.met_at = self.met_at.max(to.floor);
            }
        }
        // What was on its way just now may be below the new floor.
        self.stats.event_gaps += !first as u64;
        if first {
            self.restamp(now);
        }
        self.heal.value_pace.changed(now);
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
            if event.coalesce && now.since(self.store.since(slot)) > self.config.join_timeout {
                continue;
            }
            let (name, before) = (event.coalesce.then(|| hash::bytes(event.name)), event.id);
            let id = EventId { ltime: self.clocks.event.stamp(), origin: before.origin };
            self.store.rename(slot, id);
            self.seen.insert(id);
            if let Some(name) = name {
                self.windows.renamed(name, before, id);
            }
        }
    }
}

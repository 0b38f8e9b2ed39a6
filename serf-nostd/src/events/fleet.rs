//! Fleets, as far as events go: how one begins, and what becomes of two that meet.
//!
//! Of two fleets that meet one yields: each of its nodes enters the other one as soon as it hears of it, and nobody hears of
//! a member before it hears of that member's fleet, as whoever tells of a member tells its own fleet along. So all are in one
//! by the time at which all know all. For a while they stay in their former one as well, until what is under way there
//! has arrived; what either fleet fired before they met stays where it was.

use super::store::{Kind, list};
use super::{Belonging, Events};
use crate::clock::{Lamport, Word};
use crate::config::Config;
use crate::context::Cx;
use crate::membership::Membership;
use crate::rules::{Rule, Settings};
use crate::time::{Duration, Instant};
use crate::wire::message::{EventId, Fleet, Former, Message};
use crate::wire::packet::Packet;

/// From this age on a fleet has grown up: of two that meet, the one that has not yields to the one that has; else the one with
/// the greater number.
const GROWN: Duration = Duration::from_secs(60);
/// So many probe intervals a node stays in its former fleet as well.
const GRACE: u32 = 5;
/// Bytes that the two messages about a node's fleet may take.
pub(crate) const INTRODUCTION: usize = 41;

/// Which fleet a node is in.
pub(crate) struct FleetState {
    /// Its number; 0: this node has met nobody, and takes in no events of others.
    pub(crate) id: u32,
    /// Since when there has been that fleet.
    since: Instant,
    /// The one that it has just left: it takes in what comes from there, too.
    left: Option<Left>,
    /// It has founded that fleet, and has heard of nobody yet who is in it.
    pub(crate) founding: bool,
    /// It was in that fleet before a restart, and has met nobody since who is: until then that fleet is none that anybody enters.
    pub(crate) returning: bool,
    /// How many rounds still tell others which fleet it is in.
    pub(crate) news: u8,
    /// Events at or below it are from before this node met its fleet.
    pub(crate) met_at: EventId,
    /// Neither stamping nor delivering before this, or the first join answer.
    pub(crate) starting: Option<Instant>,
}

/// The fleet that a node has just left for another one.
#[derive(Clone, Copy, Debug)]
struct Left {
    fleet: u32,
    since: Instant,
    /// What is at or below it is for that fleet alone.
    last: EventId,
    /// What the other fleet had fired by this time, before they met, is not for this node.
    met: u64,
    replay: bool,
    /// Last values that the other fleet had by then are taken over, but not told.
    silent: bool,
    until: Instant,
}

/// Which fleet unasked events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
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

impl FleetState {
    pub(super) fn new(now: Instant, floor: EventId) -> Self {
        FleetState {
            id: 0,
            since: now,
            left: None,
            founding: false,
            returning: false,
            news: 0,
            met_at: floor,
            starting: None,
        }
    }

    /// The same fleet as before a restart.
    #[cfg(feature = "recall")]
    pub(super) fn again(now: Instant, belonging: &Belonging) -> Self {
        let Belonging { fleet, age, met } = *belonging;
        FleetState { id: fleet, since: now.minus(age), returning: true, ..FleetState::new(now, met) }
    }

    /// Where it would go on after a restart: in the former fleet, as long as it lingers there.
    pub(super) fn belonging(&self, now: Instant) -> Option<Belonging> {
        if self.founding || self.compares_in() == 0 {
            return None;
        }
        let since = self.left.map_or(self.since, |left| left.since);
        Some(Belonging { fleet: self.compares_in(), age: now.since(since), met: self.met_at })
    }

    /// Whether its fleet is one that nobody could enter: it is starting, or alone in it.
    fn is_beginning(&self) -> bool {
        self.is_starting() || self.founding || self.returning
    }

    pub(crate) fn is_starting(&self) -> bool {
        self.starting.is_some()
    }

    // ---- what it tells ----

    /// Before events that nobody has asked for, and their ids: whom they are for.
    #[inline(never)]
    pub(super) fn write_tag(&self, packet: &mut Packet<'_>, for_former: bool) {
        if let Some(left) = self.left {
            let _ = packet.push(&Message::Tag(tag(left.fleet)));
        }
        if !for_former {
            let _ = packet.push(&Message::Tag(tag(self.id)));
        }
    }

    /// The same before an event that was asked for: a copy that comes late, when it is not asked for any more, is no news.
    pub(crate) fn write_tag_of(&self, packet: &mut Packet<'_>, id: EventId) {
        self.write_tag(packet, self.is_for_former(id));
    }

    /// Which fleet this node is in.
    pub(crate) fn write(&self, cx: &Cx<'_>, packet: &mut Packet<'_>) {
        self.push(cx, packet, self.id, self.since);
        if let Some(left) = self.left {
            let _ = packet.push(&Message::Former(Former { fleet: left.fleet, met: left.met }));
        }
    }

    /// Whose events it compares.
    pub(crate) fn write_compared(&self, cx: &Cx<'_>, packet: &mut Packet<'_>) {
        let since = self.left.map_or(self.since, |left| left.since);
        self.push(cx, packet, self.compares_in(), since);
    }

    #[inline(never)]
    fn push(&self, cx: &Cx<'_>, packet: &mut Packet<'_>, id: u32, since: Instant) {
        let age = cx.now.since(since).as_secs().clamp(1, u32::MAX as u64) as u32;
        let age = if self.is_beginning() { 0 } else { age };
        let _ = packet.push(&Message::Fleet(Fleet { id, event_clock: cx.clocks.event.now(), age }));
    }

    /// Ends what may tell of members with this node's fleet; [`INTRODUCTION`] was reserved for it.
    pub(crate) fn introduce(&self, cx: &Cx<'_>, packet: &mut Packet<'_>, limit: usize) {
        packet.unreserve(limit);
        let tells = packet.introduces() || self.news > 0;
        if self.id != 0 && tells && cx.config.has(Rule::FleetNews) {
            self.write(cx, packet);
        }
    }

    // ---- what it is told ----

    /// Whether an event is for the former fleet alone.
    #[inline(never)]
    pub(super) fn is_for_former(&self, id: EventId) -> bool {
        self.left.is_some_and(|left| id <= left.last)
    }

    /// Where events with this tag come from.
    pub(crate) fn source(&self, config: &Settings, told: [u8; 2]) -> Source {
        let left = self.left.map(|left| tag(left.fleet));
        if !config.has(Rule::FirstContact) || left == Some(told) {
            Source::Ours
        } else if told != tag(self.id) {
            Source::Elsewhere
        } else if left.is_some() {
            Source::Entered
        } else {
            Source::Ours
        }
    }

    /// Whether an event from there is for this node: what another fleet had fired before they met is not.
    pub(crate) fn takes(&self, id: EventId, source: Source) -> bool {
        match source {
            Source::Elsewhere => false,
            Source::Entered => self.left.is_none_or(|left| id.ltime > left.met),
            Source::Untold | Source::Ours => true,
        }
    }

    /// Whether somebody who is in `fleet`, and has left `former` of late, is or was in one with this node. Only who has been
    /// answered by a member knows its number.
    pub(crate) fn is_kin(&self, fleet: u32, former: Option<Former>) -> bool {
        let ours = |id| id != 0 && (id == self.id || self.left.is_some_and(|left| left.fleet == id));
        ours(fleet) || former.is_some_and(|former| ours(former.fleet))
    }

    /// Whether this node goes over to that fleet, once it is sure of it.
    pub(crate) fn yields_to(&self, now: Instant, theirs: &Fleet) -> bool {
        let grown = now.since(self.since) >= GROWN && !self.returning;
        let theirs_grown = Duration::from_secs(theirs.age as u64) >= GROWN;
        // Who is starting, or alone, has a fleet that nobody could enter.
        let older = if (theirs.age > 0) == self.is_beginning() {
            theirs.age > 0
        } else if grown == theirs_grown {
            theirs.id < self.id
        } else {
            theirs_grown
        };
        self.id == 0 || theirs.id != self.id && older
    }

    /// Whose events this node compares: those of its former fleet, as long as it lingers there.
    pub(crate) fn compares_in(&self) -> u32 {
        self.left.map_or(self.id, |left| left.fleet)
    }

    /// Which last values are to be told is only clear when the grace is over: until then none are fetched.
    pub(crate) fn enters_silently(&self) -> bool {
        self.left.is_some_and(|left| left.silent)
    }

    /// When something ends by itself: starting, and the grace in a former fleet.
    pub(crate) fn deadline(&self) -> Instant {
        let grace = self.left.map_or(Instant::FAR, |left| left.until);
        grace.min(self.starting.unwrap_or(Instant::FAR))
    }
}

impl Events<'_> {
    /// Whether events of others are taken in, and own ones told: what is new is only known when a fleet has been met.
    pub(crate) fn takes_events(&self, config: &Settings) -> bool {
        let met = self.fleet.id != 0 || !config.has(Rule::FirstContact);
        !self.fleet.is_starting() && !self.fleet.founding && met
    }

    /// Somebody who is in no fleet wants in, and neither is this node: from now on it is in one of its own. What it has
    /// fired just now goes to whom it meets there, or in the fleet that it enters if nobody comes; what it fired before
    /// that was for itself.
    pub(crate) fn found_fleet(&mut self, cx: &mut Cx<'_>) {
        if self.fleet.id != 0 {
            return;
        }
        (self.fleet.id, self.fleet.since) = ((cx.random.next() as u32).max(1), cx.now);
        self.fleet.founding = cx.config.has(Rule::Restamp);
        self.seen.begin_history();
        if !cx.config.has(Rule::FirstContact) {
            return;
        }
        let last = last_event(cx);
        self.fleet.met_at = last;
        self.seen.raise_floor(last);
    }

    /// Of what waits for somebody to tell it to, what has waited for long is for nobody any more.
    fn release_past(&mut self, cx: &mut Cx<'_>) {
        // In the order in which they were fired.
        while let Some(slot) = self.store.first(list::OWN) {
            if cx.now.since(self.store.since(slot)) <= cx.config.join_timeout {
                break;
            }
            self.store.release_own(slot);
            cx.stats.own_expired += 1;
        }
    }

    /// It starts no more: others are to know that it is here to stay.
    pub(crate) fn started(&mut self, config: &Config, members: &Membership<'_>) {
        self.fleet.starting = None;
        self.fleet.news = members.transmissions(config) as u8;
    }

    /// Somebody has told which fleet it is in, and maybe which one it has left. Who yields goes there; a node that has met
    /// nobody yields to any. `replay`: what was fired there before is wanted.
    pub(crate) fn meet_fleet(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        (theirs, former): (Fleet, Option<Former>),
        word: Word,
        replay: bool,
    ) {
        if theirs.id == 0 {
            return self.found_fleet(cx);
        }
        if !cx.config.has(Rule::FirstContact) {
            self.fleet.id = theirs.id;
        }
        let own = self.fleet.compares_in();
        // Of those who come from one fleet the first to meet the other says when that was.
        let last = theirs.event_clock.saturating_sub(1);
        let met = former.filter(|former| former.fleet == own).map(|former| former.met.min(last));
        // What is fired here from now on is to be new to them, be they of this fleet: they may have come with a memory.
        let fits = cx.witness(Lamport::Event, word, theirs.event_clock.saturating_sub(1));
        if theirs.id == self.fleet.id {
            self.fleet.returning = false;
            if self.fleet.founding && theirs.age > 0 {
                // Somebody has come to stay, to whom what was fired until now is new.
                self.fleet.founding = false;
                self.release_past(cx);
                self.restamp(cx);
            }
            if let (Some(left), Some(met)) = (&mut self.fleet.left, met) {
                left.met = left.met.min(met);
            }
            return;
        }
        if !fits {
            // Their clock is far ahead: met when this one has come up to it.
            return;
        }
        let yields = self.fleet.yields_to(cx.now, &theirs);
        if let Some(left) = self.fleet.left.take_if(|left| yields && left.fleet == theirs.id) {
            // It has grown up meanwhile. Nothing of it has been missed, unless this node entered the other one so late that
            // nobody lingered there any more.
            (self.fleet.id, self.fleet.since) = (left.fleet, left.since);
            cx.stats.event_gaps += (left.last.ltime > 0) as u64;
            self.fleet.news = members.transmissions(&cx.config) as u8;
        } else if yields {
            self.enter_fleet(cx, &theirs, met.unwrap_or(last), replay);
            self.fleet.news = members.transmissions(&cx.config) as u8;
        }
    }

    fn enter_fleet(&mut self, cx: &mut Cx<'_>, theirs: &Fleet, met: u64, replay: bool) {
        let founding = core::mem::take(&mut self.fleet.founding);
        let returning = core::mem::take(&mut self.fleet.returning);
        let alone = founding || returning || self.fleet.id == 0;
        // Who comes from a fleet would tell its past on, and be told what it has had.
        let replay = replay && alone;
        // Who is starting, or has met nobody, has nothing under way.
        let lingers = !alone && self.takes_events(&cx.config) && cx.config.has(Rule::Grace);
        let (fleet, since) = (if alone { 0 } else { self.fleet.id }, self.fleet.since);
        let last = last_event(cx);
        // A fleet that meets another one so soon has hardly been one: it consists of joiners, but for who lingers elsewhere.
        let settled = self.fleet.left.map_or(since, |left| left.since);
        let silent = !replay && (alone || cx.now.since(settled) <= cx.config.join_timeout);
        (self.fleet.id, self.fleet.since) = (theirs.id, cx.now.minus(Duration::from_secs(theirs.age as u64)));
        let until = cx.now + cx.config.probe_interval.times(GRACE);
        let left = Left { fleet, since, last, met, replay, silent, until };
        self.fleet.left = Some(match self.fleet.left {
            Some(Left { fleet, since, until, .. }) => Left { fleet, since, until, ..left },
            None => left,
        });
        if alone || self.cut_off || !self.takes_events(&cx.config) {
            self.restamp(cx);
        }
        if !lingers {
            self.leave_former(cx);
        }
        self.value_backoff.changed(cx.now);
    }

    /// The grace in a former fleet ends if it is over.
    pub(crate) fn end_grace(&mut self, cx: &mut Cx<'_>) {
        if self.fleet.left.is_some_and(|left| left.until <= cx.now) {
            self.leave_former(cx);
        }
    }

    fn leave_former(&mut self, cx: &mut Cx<'_>) {
        let Some(left) = self.fleet.left.take() else { return };
        if left.silent {
            self.fleet.met_at = left.last;
        }
        if left.last.ltime > 0 {
            self.seen.forget_history();
            // What was on its way, or had passed this node by, may be below the new floor.
            cx.stats.event_gaps += (left.fleet != 0) as u64;
            if left.fleet != 0 {
                cx.stats.own_unconfirmed += self.store.quieten(left.last);
            }
        } else {
            // Nothing had ever been fired in either.
            self.seen.begin_history();
        }
        if !left.replay {
            self.seen.raise_floor(left.last);
        }
    }

    /// Own events that were accepted while nobody was there get times at which others take them, and so other identities. Values that
    /// have waited longer than a join may take keep theirs: others may have fired newer ones. Queries are given up.
    fn restamp(&mut self, cx: &mut Cx<'_>) {
        if !cx.config.has(Rule::Restamp) {
            return;
        }
        let mut at = self.store.first(list::OWN);
        while let Some(slot) = at {
            at = self.store.after(list::OWN, slot);
            if self.store.kind(slot) == Kind::Query {
                // It has asked those who were there: nobody. Some may have been told that it is here, and bring it back: it stays known.
                self.store.release_own(slot);
                continue;
            }
            let event = self.store.event(slot);
            let waited = event.coalesce && cx.now.since(self.store.since(slot)) > cx.config.join_timeout;
            // Under two identities somebody would be handed it twice.
            // A signed one's time is a part of what was signed.
            if waited || event.id.is_signed() || self.store.was_sent(slot) {
                continue;
            }
            let (key, before) = (event.coalesce.then(|| event.key()), event.id);
            let id = EventId { ltime: cx.clocks.event.stamp(), origin: before.origin };
            self.store.rename(slot, id);
            self.seen.remove(before);
            self.seen.insert(id);
            if let Some(key) = key {
                self.coalescer.renamed(key, before, id);
            }
        }
    }
}

/// The greatest identity that an event known by now may have.
#[inline(never)]
fn last_event(cx: &Cx<'_>) -> EventId {
    EventId { ltime: cx.clocks.event.now() - 1, origin: u64::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit;
    use crate::wire::message::UserEvent;

    /// Since when there has been this node's fleet, in seconds before now.
    fn aged(id: u32, age: u64) -> FleetState {
        let now = Instant::from_millis(1_000_000);
        let since = now.minus(Duration::from_secs(age));
        FleetState { id, since, ..FleetState::new(now, EventId::LOWEST) }
    }

    fn yields(ours: (u32, u64), theirs: (u32, u32)) -> bool {
        let fleet = Fleet { id: theirs.0, event_clock: 1, age: theirs.1 };
        aged(ours.0, ours.1).yields_to(Instant::from_millis(1_000_000), &fleet)
    }

    #[test]
    fn of_two_fleets_just_one_yields() {
        assert!(yields((7, 100), (5, 100)) && !yields((5, 100), (7, 100)), "to the lesser number");
        assert!(yields((5, 10), (7, 100)) && !yields((7, 100), (5, 10)), "the young one to the grown one");
        assert!(yields((7, 10), (5, 10)) && !yields((5, 10), (7, 10)));
        assert!(!yields((7, 100), (7, 100)), "it is the same");
        assert!(yields((0, 0), (9, 1)), "who has met nobody yields to any");
        assert!(!yields((9, 1), (5, 0)), "nobody enters one that is only starting");
        for ours in [(3, 5), (3, 90), (8, 5), (8, 90)] {
            for theirs in [(4, 5), (4, 90), (9, 5), (9, 90)] {
                let back = yields((theirs.0, theirs.1.into()), (ours.0, ours.1 as u32));
                assert_ne!(yields(ours, theirs), back, "{ours:?} and {theirs:?}");
            }
        }
    }

    #[test]
    fn who_enters_a_fleet_takes_its_past_for_told_and_tells_its_own_for_a_while() {
        let (mut cx, mut e, _) = kit::fleet(3);
        let links = e.failure.links(&e.members);
        e.events.found_fleet(&mut cx);
        let ours = e.events.fleet.id;
        e.events.fleet.founding = false;
        cx.now += Duration::from_secs(600);
        let id = kit::id(cx.clocks.event.now(), cx.origin);
        let event = UserEvent { id, coalesce: false, name: b"deploy", payload: b"1" };
        let fired = e.events.fire(&mut cx, links, false, event, &[]).expect("accepted");
        let theirs = Fleet { id: 1, event_clock: 50, age: 900 };
        assert!(ours > 1 && e.events.fleet.yields_to(cx.now, &theirs));
        e.events.meet_fleet(&mut cx, &e.members, (theirs, None), Word::Answer, false);
        assert_eq!((e.events.fleet.id, e.events.fleet.compares_in()), (1, ours));
        let from = |tag: u32| e.events.fleet.source(&cx.config, super::tag(tag));
        assert_eq!([from(1), from(ours), from(77)], [Source::Entered, Source::Ours, Source::Elsewhere]);
        let takes = |ltime, source| e.events.fleet.takes(kit::id(ltime, 9), source);
        assert!(
            !takes(49, Source::Entered) && takes(50, Source::Entered),
            "what they fired before is theirs"
        );
        assert!(e.events.fleet.is_for_former(kit::id(fired, cx.origin)));
        cx.now += cx.config.probe_interval.times(GRACE);
        e.events.end_grace(&mut cx);
        assert_eq!(e.events.fleet.compares_in(), 1);
        assert!(e.events.seen.floor() >= kit::id(49, 0), "the past is below the floor");
    }
}

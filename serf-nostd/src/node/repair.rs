//! Comparing: the steps of `gossip::heal` with the tables that they are about.

use super::Node;
use crate::clock::{Lamport, Word};
use crate::event::pull::{Announcer, asks};
use crate::event::seen::{self, Sight};
use crate::event::store::{Pin, list};
use crate::gossip::heal::{Claim, EventStep, Joining, PATIENCE, Session, Step, ValueStep};
use crate::gossip::owed::RECORDS;
use crate::member::digest::{self, bucket};
use crate::member::machine::{BOOT_JUMP, Effect};
use crate::member::record::{State, flag, say};
use crate::member::table::{SELF, settled_live};
use crate::rules::Rule;
use crate::time::{Duration, Instant};
use crate::wire::message::{
    Address, Entry, EventEntries, EventId, Fleet, History, Items, Message, Page, Record, Summary,
};
use crate::wire::packet::DATAGRAM_MAX;

/// How long a member table must have been at rest before it is compared, in gossip intervals: news that is under way is
/// no difference.
const MEMBERS_QUIET: u32 = 3;
/// The same for events, which travel faster.
const EVENTS_QUIET: Duration = Duration::from_millis(500);

/// How often a failed member is looked for among all who are gone.
const FAILED_DRAWS: u32 = 16;
/// Once in so many times whoever has left may be tried first: others may have said so of it.
const LEFT_TRIES: u32 = 8;

/// What is wanted at a repair step, for the sender to write.
pub(super) enum Ask {
    Join(Joining),
    Members(Session<Step>),
    Events(Session<EventStep>),
    Values(Session<ValueStep>),
    /// Whoever has this member's name is to answer at this address.
    Conflict {
        name: u16,
        to: Address,
        seq: u32,
    },
    /// A failed member is tried again.
    Failed {
        target: u16,
        seq: u32,
    },
}

impl Node<'_> {
    /// This node's side of a comparison, above a peer's floor.
    pub(super) fn summary(&self, above: EventId) -> Summary {
        let floor = self.seen.floor().max(above);
        Summary {
            clock: self.clocks.member.now(),
            event_clock: self.clocks.event.now(),
            query_clock: self.clocks.query.now(),
            members: (!self.members.table.partial).then(|| self.members.table.digest().root()),
            events: self.events_above(floor),
            floor,
        }
    }

    /// Digest of the fleet and the events above a floor: fleets that have not become one differ in any case.
    fn events_above(&self, floor: EventId) -> u32 {
        self.seen.root_above(floor) ^ self.compares_in()
    }

    /// A peer's side has come: if it differs, and things are at rest here, the difference is looked for.
    pub(super) fn compare(&mut self, now: Instant, peer: Address, theirs: &Summary) {
        if self.leave.is_some() {
            return;
        }
        let table = &self.members.table;
        let known = theirs.members.filter(|_| self.starting.is_none() && !table.partial);
        // From those who hold a part only there may be something to learn, until somebody who holds all has been met.
        let part = theirs.members.is_none() && self.heal.parts > 0 && !table.partial;
        let differ = known.is_some_and(|root| root != table.digest().root())
            || part && self.config.has(Rule::PartHealing);
        if differ
            && self.config.has(Rule::MemberHealing)
            && self.heal.members.is_none()
            && self.heal.member_pace.may_begin(now, self.config.gossip_interval.times(MEMBERS_QUIET))
        {
            self.heal.parts = if part { self.heal.parts - 1 } else { 0 };
            self.begin_members(now, peer, Step::List { cursor: 0 });
        }
        // Only above both floors: whose floor is lower sees the difference; the other will in its next answer.
        let comparable = theirs.floor >= self.seen.floor();
        let differ = theirs.events != self.events_above(theirs.floor);
        self.confirm_all(theirs.floor, comparable && !differ, peer);
        if comparable && differ {
            self.begin_events(now, peer, theirs.floor);
        }
    }

    /// Begins a comparison of the events above a floor, if it is time for one.
    fn begin_events(&mut self, now: Instant, peer: Address, above: EventId) {
        if self.config.has(Rule::EventHealing)
            && self.heal.events.is_none()
            && self.heal.event_pace.may_begin(now, EVENTS_QUIET)
        {
            self.heal.event_pace.begun(now);
            self.stats.event_syncs += 1;
            let step = EventStep { above, cursor: above, waits: false };
            let nonce = self.random.next() as u32;
            self.heal.events = Some(Session::new(peer, nonce, step, now));
        }
    }

    /// Somebody asks for a list of what is in these buckets, which are not the same there. Whoever holds a part of the fleet
    /// may never ask him otherwise: it does so instead of answering, once, and the other one asks again. True if it does.
    pub(super) fn asks_back(&mut self, now: Instant, peer: Address, above: EventId, buckets: u16) -> bool {
        let part = self.members.table.partial && self.config.has(Rule::PartHealing);
        if buckets == 0 || !part || !self.takes_events() || self.leave.is_some() || self.heal.events.is_some()
        {
            return false;
        }
        self.begin_events(now, peer, above.max(self.seen.floor()));
        self.heal.events = self.heal.events.map(Session::once);
        self.heal.events.is_some()
    }

    /// What a peer's summary says about own events that wait for their return: if it has seen the `same` above its floor, it
    /// has those; and what is not above its floor, it has or will never take.
    fn confirm_all(&mut self, floor: EventId, same: bool, peer: Address) {
        for which in list::ANNOUNCE..=list::OWN_HELD {
            let mut at = self.store.first(which).filter(|_| self.store.pinned(Pin::Own) > 0);
            while let Some(slot) = at {
                at = self.store.after(which, slot);
                let id = self.store.id(slot);
                let passed = id <= floor;
                if (same || passed) && self.confirm_own(id, peer) {
                    self.stats.own_unconfirmed += passed as u64;
                }
            }
        }
    }

    /// A member says what it goes by: if it is known by something else here, its record is fetched.
    pub(super) fn outdated(&mut self, now: Instant, id: u16, known: [u8; 4]) {
        let slot = self.members.table.slot(id);
        if known != slot.known() {
            self.fetch_record(now, slot.addr, slot.hash);
        }
    }

    /// Asks for one member's record, unless a comparison runs that may bring it. Once: what has led to it will do so again.
    pub(super) fn fetch_record(&mut self, now: Instant, peer: Address, hash: u32) {
        if self.heal.members.is_none() && self.heal.member_pace.may_begin(now, Duration::ZERO) {
            let mut wanted = [0; RECORDS];
            wanted[0] = hash;
            self.ask_for_members(now, peer, Step::Records { wanted, count: 1, resume: 0 });
            self.heal.members = self.heal.members.map(Session::once);
        }
    }

    /// Begins a comparison of all members.
    pub(super) fn begin_members(&mut self, now: Instant, peer: Address, step: Step) {
        self.stats.member_syncs += 1;
        self.ask_for_members(now, peer, step);
    }

    fn ask_for_members(&mut self, now: Instant, peer: Address, step: Step) {
        self.heal.member_pace.begun(now);
        let nonce = self.random.next() as u32;
        self.heal.members = Some(Session::new(peer, nonce, step, now));
    }

    // ---- comparing members ----

    /// Which buckets of member digests differ from a peer's, one bit each.
    pub(super) fn differing_members(&self, theirs: &[u8]) -> u32 {
        let (theirs, _) = theirs.as_chunks::<4>();
        let pairs = self.members.table.digest().buckets().iter().zip(theirs);
        pairs
            .enumerate()
            .fold(0, |bits, (i, (ours, theirs))| bits | ((*ours != u32::from_le_bytes(*theirs)) as u32) << i)
    }

    /// A page that was asked for has been read: on to the next.
    pub(super) fn page_done(&mut self, now: Instant, page: &Page) {
        let Some(session) = &mut self.heal.members else { return };
        let next = match session.step {
            Step::Pages { cursor } if page.next > cursor => Some(Step::Pages { cursor: page.next }),
            Step::List { cursor } if page.next > cursor => Some(Step::List { cursor: page.next }),
            // What did not fit is listed again, and so is what comes behind it; unless nothing of it fits.
            Step::Records { wanted, .. } if page.next > 0 => {
                let cursor = page.next.saturating_add((page.next <= wanted[0]) as u32);
                Some(Step::List { cursor })
            }
            Step::Records { resume, .. } if resume > 0 => Some(Step::List { cursor: resume }),
            _ => None,
        };
        match next {
            Some(step) => session.advance(step, self.random.next() as u32, now),
            None => self.heal.members = None,
        }
    }

    /// A listing: what differs from what is known here is fetched. False if nothing does.
    pub(super) fn entries(&mut self, now: Instant, entries: Items<'_, Entry>, next: u32) -> bool {
        let mut wanted = [0; RECORDS];
        let mut count = 0;
        let mut resume = next;
        for entry in entries {
            let table = &self.members.table;
            let mut same = table.same_hash(entry.name);
            // Who tells of a pruned one was away when it was pruned, and is to hear of it.
            let held = same.any(|id| {
                let slot = table.slot(id);
                slot.version() == entry.version && !slot.is_pruned()
            });
            if held || table.unheld().any(|unheld| unheld == entry) {
                continue;
            }
            if count == RECORDS {
                resume = entry.name;
                break;
            }
            wanted[count] = entry.name;
            count += 1;
        }
        if let Some(Session { step: Step::List { cursor }, .. }) = self.heal.members {
            self.members.table.listed(cursor, resume, entries);
        }
        let Some(session) = self.heal.members.as_mut().filter(|_| count > 0) else { return false };
        let step = Step::Records { wanted, count: count as u8, resume };
        session.advance(step, self.random.next() as u32, now);
        true
    }

    /// What another node's table says, asked for by a comparison or as part of a join answer.
    pub(super) fn record_about(&mut self, now: Instant, from: Address, record: &Record<'_>, joining: bool) {
        // Of the times in it none may lead the clocks astray.
        if record.status_ltime > 0 && !self.witness(now, Lamport::Member, Word::Answer, record.status_ltime) {
            return;
        }
        if self.members.table.find(record.alive.node) == Some(SELF) {
            return self.record_about_self(now, record, joining);
        }
        let own = record.alive.addr == from;
        let effect = self.with_room(now, |members, moment| members.record(moment, record, own));
        // A comparison tells many at once; everybody compares, so nobody needs to be told what was found.
        let quiet = match effect {
            // They are to be told, not we.
            Effect::Say(id, bits) if bits & say::LEAVE != 0 => {
                self.say(id, bits);
                self.prune(now, id);
                true
            }
            // There is no place for it here: others may have one, and may never meet who has told us.
            Effect::Foreign if settled_live(record.state) => {
                self.follow_about(now, effect, &Message::Alive(record.alive));
                true
            }
            Effect::Say(id, _) => {
                self.prune(now, id);
                self.heal.value_pace.changed(now);
                self.heal.member_pace.changed(now);
                self.joined = true;
                self.confirmers.forget(id);
                true
            }
            _ => false,
        };
        if !quiet {
            self.follow(now, effect);
        }
    }

    /// What the fleet knows about this node: it goes on above it.
    fn record_about_self(&mut self, now: Instant, record: &Record<'_>, joining: bool) {
        if self.leave.is_some() || !self.config.has(Rule::JoinAbove) {
            return;
        }
        let slot = self.members.table.slot(SELF);
        let (theirs, ours) = ((record.alive.boot, record.alive.incarnation), (slot.boot, slot.incarnation));
        let (status_ltime, alive) = (slot.status_ltime, settled_live(record.state));
        if !joining && alive && record.alive.boot != slot.boot && record.alive.addr != slot.addr {
            return self.namesake(now, Claim::of(&record.alive));
        }
        let otherwise = theirs == ours && slot.tells_otherwise(&record.alive);
        let said_leaving = record.state != crate::wire::message::Settled::Alive;
        if joining && ours.0 > theirs.0.saturating_add(BOOT_JUMP) {
            // The machine's clock was set since they last heard of it, and they would not follow so far.
            self.live_after(theirs.0);
        } else if theirs > ours
            || (theirs == ours && !alive)
            || otherwise
            || (joining && theirs.1 >= ours.1 && theirs != ours)
        {
            // Asked for with a nonce, so believed further than gossip: however far above it is.
            self.refute(record.alive.incarnation, record.alive.boot);
        }
        if record.status_ltime >= status_ltime && (said_leaving || record.status_ltime > status_ltime) {
            let ltime = self.clocks.member.stamp();
            self.members.table.edit(SELF, |slot| slot.status_ltime = ltime);
            self.say(SELF, say::JOIN);
        }
    }

    // ---- comparing events ----

    /// Which buckets of events above `above` differ from a peer's, one bit each.
    pub(super) fn differing_events(&self, above: EventId, theirs: &[u8]) -> u16 {
        let ours = self.seen.buckets_above(above);
        let (theirs, _) = theirs.as_chunks::<4>();
        ours.iter()
            .zip(theirs)
            .enumerate()
            .fold(0, |bits, (i, (ours, theirs))| bits | ((*ours != u32::from_le_bytes(*theirs)) as u16) << i)
    }

    /// What a peer has seen at or below this node's floor, beside what it has: a difference is counted, once as long as it is
    /// remembered. `joining`: it tells what there was before this node's time.
    pub(super) fn compare_history(&mut self, now: Instant, joining: bool, theirs: &History) {
        let ours = self.seen.history(theirs.at).filter(|_| !joining);
        let Some((count, digest)) = ours else {
            return self.seen.set_history(theirs.at, (theirs.count, theirs.digest));
        };
        // As both see what comes later, it stays the same; what is on its way to either is none.
        let difference = digest ^ theirs.digest;
        let quiet = self.heal.event_pace.is_quiet(now, EVENTS_QUIET);
        let more = theirs.count.wrapping_sub(count) as i32;
        // Where its floor is no hindrance, what others lack they count.
        let lacks = (theirs.at == self.seen.floor() || more > 0) && quiet && self.config.has(Rule::History);
        if difference == 0 || !lacks || self.heal.gaps.contains(&difference) {
            return;
        }
        // Of more than are remembered one more is counted for each event that comes: none at rest.
        let events = self.stats.events_new as u8;
        if self.heal.gaps.is_full() && core::mem::replace(&mut self.heal.gaps_at, events) == events {
            return;
        }
        self.stats.event_gaps += more.clamp(1, self.seen.capacity() as i32) as u64;
        debug!("{} or more events at or below the floor are not the same here and there", more);
        if self.heal.gaps.is_full() {
            self.heal.gaps.remove(0);
        }
        let _ = self.heal.gaps.push(difference);
    }

    /// This node's side of that.
    pub(super) fn history(&self, at: EventId) -> Option<History> {
        let at = at.max(self.seen.floor());
        self.seen.history(at).map(|(count, digest)| History { at, count, digest })
    }

    /// Events that a peer has: those that are missing here are pulled. False if it was not asked for them.
    pub(super) fn event_entries(
        &mut self,
        now: Instant,
        from: Address,
        entries: &EventEntries<'_>,
        fleet: Option<Fleet>,
    ) -> bool {
        let Some(session) = self.heal.events.filter(|session| session.nonce == entries.nonce) else {
            return false;
        };
        self.answered(now);
        if let Some(fleet) = fleet
            && !(fleet.id == self.compares_in() && fleet.id != 0)
        {
            // What either fleet has fired so far stays there; if this one has yielded, they are compared anew.
            self.meet_fleet(now, (fleet, None), Word::Answer, self.config.replay);
            self.heal.events = None;
            return true;
        }
        let announcer = Announcer { addr: from, token: entries.token, asks: asks::PROVEN };
        let mut next = entries.next.filter(|next| *next > session.step.cursor);
        let mut waits = false;
        for id in entries.ids {
            if !self.announced(now, announcer, id) {
                // As many as can be taken in are being pulled: listed again from here when those have come.
                (next, waits) = (Some(id), true);
                break;
            }
        }
        let Some(cursor) = next else {
            self.heal.events = None;
            return true;
        };
        if waits && self.pulls.is_empty() {
            // None can be taken in for now.
            self.heal.events = None;
            self.heal.event_pace.broken_off(now);
            return true;
        }
        let step = EventStep { cursor, waits, ..session.step };
        let nonce = self.random.next() as u32;
        if let Some(session) = &mut self.heal.events {
            session.advance(step, nonce, now);
            if waits {
                session.due = now + PATIENCE;
            }
        }
        true
    }

    // ---- comparing last values ----

    /// Digest of the last values; what has been found to be lost, or can't be held, is counted as had.
    pub(super) fn value_digest(&self) -> Option<u32> {
        self.windows.digest().map(|digest| digest ^ self.heal.lost_values)
    }

    /// A peer's digest of last values has come: if it differs, they are listed.
    pub(super) fn compare_values(&mut self, now: Instant, peer: Address, theirs: u32) {
        let Some(ours) = self.value_digest() else { return };
        if ours != theirs
            && self.takes_events()
            && !self.enters_silently()
            && self.config.coalesce_quantum > Duration::ZERO
            && self.config.has(Rule::ValueHealing)
            && self.heal.values.is_none()
            && self.heal.value_pace.may_begin(now, EVENTS_QUIET)
        {
            self.heal.value_pace.begun(now);
            self.stats.value_syncs += 1;
            let nonce = self.random.next() as u32;
            // What is still lost will be found to be so again.
            self.heal.lost_values = 0;
            self.heal.values = Some(Session::new(peer, nonce, ValueStep { cursor: 0 }, now));
        }
    }

    /// Last values that a peer knows: those that are missing here are pulled.
    pub(super) fn listed_values(&mut self, now: Instant, from: Announcer, ids: Items<'_, EventId>) {
        self.answered(now);
        for id in ids {
            match self.seen.judge(id) {
                _ if self.windows.is_last_value(id) => {}
                // It is superseded here, or lost, or too long: in any case there is nothing to fetch.
                Sight::Known => self.heal.lost_values ^= id.hash(),
                Sight::New => {
                    let _ = self.announced(now, from, id);
                }
                Sight::Below => {
                    let room = self.store.room(Pin::Application);
                    let noted = self.pulls.want(id, from, now, self.pull_overdue(), room);
                    self.stats.pulls_refused += !noted as u64;
                }
            }
        }
    }

    /// A page of last values has been read: on to the next.
    pub(super) fn value_page_done(&mut self, now: Instant, page: &Page) {
        let nonce = self.random.next() as u32;
        let Some(session) = &mut self.heal.values else { return };
        if page.next > session.step.cursor {
            session.advance(ValueStep { cursor: page.next }, nonce, now);
        } else {
            self.heal.values = None;
        }
    }

    /// Everything that was asked for has come: a comparison that waited for it goes on.
    pub(super) fn pulled_all(&mut self, now: Instant) {
        if let Some(session) = self.heal.events.as_mut().filter(|session| session.step.waits) {
            session.due = now;
        }
    }

    /// Digests of this node's events above `above`, as bytes.
    pub(super) fn event_buckets(&self, above: EventId) -> [u8; 4 * seen::BUCKETS] {
        bytes_of(&self.seen.buckets_above(above))
    }

    /// Digests of this node's members, as bytes. Buckets with members that it does not hold are to be listed in any case.
    pub(super) fn member_buckets(&self) -> [u8; 4 * digest::BUCKETS] {
        let mut buckets = *self.members.table.digest().buckets();
        self.members
            .table
            .unheld()
            .for_each(|entry| buckets[bucket(entry.name)] = !buckets[bucket(entry.name)]);
        bytes_of(&buckets)
    }

    // ---- what is due ----

    pub(super) fn repair_deadline(&self) -> Instant {
        let grace = self.left.map_or(Instant::FAR, |left| left.until);
        self.heal.deadline().min(self.starting.unwrap_or(Instant::FAR)).min(grace)
    }

    /// The next request that is due.
    pub(super) fn repair_due(&mut self, now: Instant) -> Option<Ask> {
        self.grace_ends(now);
        if self.starting.is_some_and(|until| until <= now) {
            // Nobody answered: alone, until somebody does.
            self.started();
        }
        self.joins_due(now)
            .or_else(|| self.conflicts_due(now))
            .or_else(|| self.sessions_due(now))
            .or_else(|| self.reconnect_due(now))
    }

    fn sessions_due(&mut self, now: Instant) -> Option<Ask> {
        if let Some(session) = self.heal.members.as_mut().filter(|session| session.due <= now) {
            if session.ask(now) {
                return Some(Ask::Members(*session));
            }
            self.heal.members = None;
            self.heal.member_pace.broken_off(now);
        }
        if self.heal.members.is_none()
            && let Some(peer) = self.heal.met.pop()
        {
            self.begin_members(now, peer, Step::List { cursor: 0 });
            return self.sessions_due(now);
        }
        if let Some(session) = self.heal.events.as_mut().filter(|session| session.due <= now) {
            session.step.waits = false;
            if session.ask(now) {
                return Some(Ask::Events(*session));
            }
            self.heal.events = None;
            self.heal.event_pace.broken_off(now);
        }
        if let Some(session) = self.heal.values.as_mut().filter(|session| session.due <= now) {
            if session.ask(now) {
                return Some(Ask::Values(*session));
            }
            self.heal.values = None;
            self.heal.value_pace.broken_off(now);
        }
        None
    }

    /// Every reconnect interval one failed member, or one seed, is tried again.
    fn reconnect_due(&mut self, now: Instant) -> Option<Ask> {
        if now < self.heal.reconnect {
            return None;
        }
        self.heal.reconnect = now + self.config.reconnect_interval;
        if self.leave.is_some() || !self.config.has(Rule::Reconnect) {
            return None;
        }
        let seeds = self.heal.seeds.len() as u32;
        self.make_room_to_ask();
        if seeds > 0 && !self.heal.joins.is_full() {
            let to = self.heal.seeds[self.random.below(seeds) as usize];
            let nonce = self.random.next() as u32;
            let deadline = now + self.config.join_timeout;
            // Who has been in already misses nothing by this; who has not is a newcomer like any other.
            let replay = self.config.replay;
            let (quiet, named, limit) = (true, true, DATAGRAM_MAX as u16);
            let _ =
                self.heal.joins.push(Joining { to, nonce, replay, quiet, named, limit, due: now, deadline });
        }
        if self.members.table.partial && self.config.has(Rule::PartHealing) {
            self.ask_about_gone(now);
        }
        let Some(target) = self.draw_failed() else { return self.joins_due(now) };
        let seq = self.random.next() as u32;
        self.heal.tried = Some((target, seq));
        info!(
            "serf",
            "attempting reconnect to {} {}",
            self.members.table.name(target),
            core::net::SocketAddr::from(self.members.table.slot(target).addr)
        );
        Some(Ask::Failed { target, seq })
    }

    /// Who compares its table with nobody asks another, or a seed, about one of those who are gone: it may be back, elsewhere.
    fn ask_about_gone(&mut self, now: Instant) {
        let (gone, live) = (self.members.table.gone.len() as u32, self.members.table.live() as u32);
        if gone == 0 || live == 0 {
            return;
        }
        let about = self.members.table.gone_at(self.random.below(gone) as usize);
        let seeds = self.heal.seeds.len() as u32;
        let peer = if seeds > 0 && self.random.below(2) == 0 {
            self.heal.seeds[self.random.below(seeds) as usize]
        } else {
            let place = self.random.below(live) as usize;
            self.members.table.slot(self.members.table.live_at(place)).addr
        };
        self.fetch_record(now, peer, self.members.table.slot(about).hash);
    }

    /// A failed member, looked for among those that have left as well: a few times, so that many of those do not keep the
    /// others from coming back. Where none is found, and now and then where there are some, one that has left.
    fn draw_failed(&mut self) -> Option<u16> {
        let gone = self.members.table.gone.len() as u32;
        let draws = if self.config.has(Rule::FailedFirst) { FAILED_DRAWS } else { 1 };
        let left_first = self.random.below(LEFT_TRIES) == 0;
        let mut left = None;
        for _ in 0..draws.min(gone) {
            let id = self.members.table.gone_at(self.random.below(gone) as usize);
            let slot = self.members.table.slot(id);
            if slot.state == State::Failed {
                return Some(id);
            }
            left = Some(id).filter(|_| !slot.has(flag::FADED)).or(left);
            if left_first && left.is_some() {
                return left;
            }
        }
        left.filter(|_| self.config.has(Rule::LeftToo))
    }
}

fn bytes_of<const N: usize, const B: usize>(digests: &[u32; N]) -> [u8; B] {
    let mut bytes = [0; B];
    for (to, digest) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(digests) {
        *to = digest.to_le_bytes();
    }
    bytes
}

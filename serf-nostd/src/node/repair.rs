//! Joining and comparing: the steps of `gossip::heal` with the tables that they are about.

use super::{Joined, Node};
use crate::config::Rule;
use crate::event::pull::Announcer;
use crate::event::seen;
use crate::gossip::heal::{Conflict, EventStep, Joining, PATIENCE, Session, Step};
use crate::gossip::owed::{Answer, RECORDS};
use crate::member::machine::BOOT_JUMP;
use crate::member::record::{State, flag, say};
use crate::member::table::{SELF, settled_live};
use crate::slice::NIL;
use crate::time::{Duration, Instant};
use crate::wire::message::{
    Address, Entry, EventEntries, EventId, Items, Join, JoinAnswer, Page, Record, Summary,
};

/// How long a member table must have been at rest before it is compared, in gossip intervals: news that is under way is
/// no difference.
const MEMBERS_QUIET: u32 = 3;
/// The same for events, which travel faster.
const EVENTS_QUIET: Duration = Duration::from_millis(500);

/// What is wanted at a repair step, for the sender to write.
pub(super) enum Ask {
    Join(Joining),
    Members(Session<Step>),
    Events(Session<EventStep>),
    Conflict {
        holder: u16,
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
            clock: self.clock.now(),
            event_clock: self.event_clock.now(),
            query_clock: self.query_clock.now(),
            members: (!self.members.table.partial).then(|| self.members.table.root()),
            events: self.seen.root_above(floor),
            floor,
        }
    }

    /// A peer's side has come: if it differs, and things are at rest here, the difference is looked for.
    pub(super) fn compare(&mut self, now: Instant, peer: Address, theirs: &Summary) {
        if self.starting.is_some() || self.leave.is_some() {
            return;
        }
        let table = &self.members.table;
        let differ = theirs.members.is_some_and(|root| !table.partial && root != table.root());
        if differ
            && self.config.has(Rule::MemberHealing)
            && self.heal.members.is_none()
            && self.heal.member_pace.may_begin(now, self.config.gossip_interval.times(MEMBERS_QUIET))
        {
            self.begin_members(now, peer, Step::List { cursor: 0 });
        }
        // Only above both floors: whose floor is lower sees the difference; the other will in its next answer.
        let floor = self.seen.floor();
        let differ = theirs.floor >= floor && theirs.events != self.seen.root_above(theirs.floor);
        if differ
            && self.config.has(Rule::EventHealing)
            && self.heal.events.is_none()
            && self.heal.event_pace.may_begin(now, EVENTS_QUIET)
        {
            self.heal.event_pace.begun(now);
            self.stats.event_syncs += 1;
            let step = EventStep { above: theirs.floor, cursor: theirs.floor, waits: false };
            let nonce = self.random.next() as u32;
            self.heal.events = Some(Session::new(peer, nonce, step, now));
        }
    }

    fn begin_members(&mut self, now: Instant, peer: Address, step: Step) {
        self.heal.member_pace.begun(now);
        self.stats.member_syncs += 1;
        let nonce = self.random.next() as u32;
        self.heal.members = Some(Session::new(peer, nonce, step, now));
    }

    // ---- joining ----

    /// Somebody wants in: what it is to be answered, if anything yet.
    pub(super) fn join_request(&mut self, now: Instant, from: Address, join: &Join<'_>) -> Option<Answer> {
        if self.leave.is_some() {
            return None;
        }
        let joiner = self.members.table.find(join.node);
        if let Some(id) = joiner {
            let slot = self.members.table.slot(id);
            let other = slot.boot != join.boot && slot.addr != join.addr;
            if id == SELF && slot.boot != join.boot {
                // Our own name: nobody needs to be asked whether its holder lives.
                return Some(Answer::NameTaken { nonce: join.nonce });
            }
            if id != SELF && slot.is_live() && other {
                self.dispute(now, id, from, join.nonce);
                return None;
            }
        }
        let (joiner, pages) = (joiner.unwrap_or(NIL), join.pages);
        Some(Answer::Join { nonce: join.nonce, joiner, pages })
    }

    /// A join was answered. `None` if this node had not asked, else whether records are to follow.
    pub(super) fn join_answer(&mut self, now: Instant, from: Address, answer: &JoinAnswer) -> Option<bool> {
        let place = self.heal.joins.iter().position(|join| join.nonce == answer.nonce)?;
        let join = self.heal.joins.swap_remove(place);
        let first = self.starting.is_some() || !self.joined;
        if first {
            self.clock.adopt(answer.clock);
            self.event_clock.adopt(answer.event_clock);
            self.query_clock.adopt(answer.query_clock);
        }
        if first && !join.replay {
            let ltime = answer.event_clock.saturating_sub(1).min(self.event_clock.now() - 1);
            self.seen.raise_floor(EventId { ltime, origin: u64::MAX });
        }
        self.starting = None;
        if join.quiet {
            return Some(false);
        }
        self.joined = true;
        let _ = self.told_joins.push_back(Joined::Yes(join.to));
        let ltime = self.clock.stamp();
        self.members.table.edit(SELF, |slot| slot.status_ltime = ltime);
        self.say(SELF, say::STATE | say::JOIN);
        let empty = self.members.table.len() == 1;
        let step = if empty { Step::Pages { cursor: 0 } } else { Step::List { cursor: 0 } };
        if self.heal.members.is_none() {
            self.begin_members(now, from, step);
        } else {
            // No room: it is a seed too, and tried again as such.
            let _ = self.heal.met.push(from);
        }
        Some(true)
    }

    /// Somebody knows this node, which knows nobody: it came back without a seed. One question, once, no longer than the
    /// ping; the answer proves that somebody is there.
    pub(super) fn meet(&mut self, now: Instant, addr: Address) {
        if self.leave.is_none() && !self.heal.joins.iter().any(|join| join.to == addr) {
            let nonce = self.random.next() as u32;
            let deadline = now + PATIENCE;
            let replay = self.config.replay;
            // No room: it is pinged again.
            let _ =
                self.heal.joins.push(Joining { to: addr, nonce, replay, quiet: true, due: now, deadline });
        }
    }

    pub(super) fn name_taken(&mut self, nonce: u32) {
        let Some(place) = self.heal.joins.iter().position(|join| join.nonce == nonce) else { return };
        let join = self.heal.joins.swap_remove(place);
        if join.quiet {
            return;
        }
        // Only a node that is not in yet steps back: no packet can talk a running one out of its name.
        let told = if self.joined { Joined::No(join.to) } else { Joined::NameTaken(join.to) };
        let _ = self.told_joins.push_back(told);
    }

    // ---- disputes over names ----

    /// Two nodes want one name: its holder is probed directly, twice.
    pub(super) fn dispute(&mut self, now: Instant, holder: u16, newcomer: Address, nonce: u32) {
        if let Some(known) = self.heal.conflicts.iter_mut().find(|conflict| conflict.holder == holder) {
            if nonce != 0 {
                (known.newcomer, known.nonce) = (newcomer, nonce);
            }
            return;
        }
        let conflict = Conflict { holder, seq: 0, newcomer, nonce, tries: 0, due: now };
        // No room: the newcomer asks again.
        let _ = self.heal.conflicts.push(conflict);
    }

    /// An ack that no probe waits for: perhaps the holder of a disputed name answers.
    pub(super) fn conflict_answered(&mut self, seq: u32) {
        let Some(place) = self.heal.conflicts.iter().position(|c| c.tries > 0 && c.seq == seq) else {
            return;
        };
        let conflict = self.heal.conflicts.swap_remove(place);
        self.stats.names_taken += 1;
        if conflict.nonce != 0 {
            self.owe(conflict.newcomer, usize::MAX, Answer::NameTaken { nonce: conflict.nonce });
        }
    }

    // ---- comparing members ----

    /// Which buckets of member digests differ from a peer's, one bit each.
    pub(super) fn differing_members(&self, theirs: &[u8]) -> u32 {
        let (theirs, _) = theirs.as_chunks::<4>();
        let pairs = self.members.table.buckets().iter().zip(theirs);
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
            // What did not fit is listed again, and so is what comes behind it.
            Step::Records { .. } if page.next > 0 => Some(Step::List { cursor: page.next }),
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
            if same.any(|id| table.slot(id).version() == entry.version) {
                continue;
            }
            if count == RECORDS {
                resume = entry.name;
                break;
            }
            wanted[count] = entry.name;
            count += 1;
        }
        let Some(session) = self.heal.members.as_mut().filter(|_| count > 0) else { return false };
        let step = Step::Records { wanted, count: count as u8, resume };
        session.advance(step, self.random.next() as u32, now);
        true
    }

    /// What another node's table says, asked for by a comparison or as part of a join answer.
    pub(super) fn record_about(&mut self, now: Instant, record: &Record<'_>, joining: bool) {
        // Of the times in it none may lead the clocks astray.
        if record.status_ltime > 0 && self.clock.witness(record.status_ltime).is_err() {
            self.stats.clock_refused += 1;
            return;
        }
        if self.members.table.find(record.alive.node) == Some(SELF) {
            return self.record_about_self(record, joining);
        }
        let effect = self.with_room(now, |members, moment| members.record(moment, record));
        // A comparison tells many at once; everybody compares, so nobody needs to be told what was found.
        let quiet = match effect {
            crate::member::machine::Effect::Say(id, _) => {
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
    fn record_about_self(&mut self, record: &Record<'_>, joining: bool) {
        if self.leave.is_some() || !self.config.has(Rule::JoinAbove) {
            return;
        }
        let slot = self.members.table.slot(SELF);
        let (theirs, ours) = ((record.alive.boot, record.alive.incarnation), (slot.boot, slot.incarnation));
        let (status_ltime, alive) = (slot.status_ltime, settled_live(record.state));
        let said_leaving = record.state != crate::wire::message::Settled::Alive;
        if joining && ours.0 > theirs.0.saturating_add(BOOT_JUMP) {
            // The machine's clock was set since they last heard of it, and they would not follow so far.
            self.live_as(theirs.0 + 1, 1);
        } else if theirs > ours
            || (theirs == ours && !alive)
            || (joining && theirs.1 >= ours.1 && theirs != ours)
        {
            // Asked for with a nonce, so believed further than gossip: however far above it is.
            self.refute(record.alive.incarnation, record.alive.boot);
        }
        if record.status_ltime >= status_ltime && (said_leaving || record.status_ltime > status_ltime) {
            let ltime = self.clock.stamp();
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

    /// Events that a peer has: those that are missing here are pulled.
    pub(super) fn event_entries(&mut self, now: Instant, from: Address, entries: &EventEntries<'_>) {
        let Some(session) = self.heal.events.filter(|session| session.nonce == entries.nonce) else {
            return;
        };
        let announcer = Announcer::new(from, entries.token, true);
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
            return;
        };
        if waits && self.pulls.is_empty() {
            // None can be taken in for now.
            self.heal.events = None;
            self.heal.event_pace.broken_off(now);
            return;
        }
        let step = EventStep { cursor, waits, ..session.step };
        let nonce = self.random.next() as u32;
        if let Some(session) = &mut self.heal.events {
            session.advance(step, nonce, now);
            if waits {
                session.due = now + PATIENCE;
            }
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

    /// Digests of this node's members, as bytes.
    pub(super) fn member_buckets(&self) -> [u8; 4 * crate::member::table::BUCKETS] {
        bytes_of(self.members.table.buckets())
    }

    // ---- what is due ----

    pub(super) fn repair_deadline(&self) -> Instant {
        self.heal.deadline().min(self.starting.unwrap_or(Instant::FAR))
    }

    /// The next request that is due.
    pub(super) fn repair_due(&mut self, now: Instant) -> Option<Ask> {
        if self.starting.is_some_and(|until| until <= now) {
            // Nobody answered: a fleet of one, until somebody does.
            self.starting = None;
        }
        self.joins_due(now)
            .or_else(|| self.conflicts_due(now))
            .or_else(|| self.sessions_due(now))
            .or_else(|| self.reconnect_due(now))
    }

    fn joins_due(&mut self, now: Instant) -> Option<Ask> {
        let mut i = 0;
        while i < self.heal.joins.len() {
            let join = &mut self.heal.joins[i];
            if join.deadline <= now {
                let join = self.heal.joins.swap_remove(i);
                if !join.quiet {
                    let _ = self.told_joins.push_back(Joined::No(join.to));
                }
            } else if join.due <= now {
                join.due = now + PATIENCE;
                return Some(Ask::Join(*join));
            } else {
                i += 1;
            }
        }
        None
    }

    fn conflicts_due(&mut self, now: Instant) -> Option<Ask> {
        let seq = self.random.next() as u32;
        let place = self.heal.conflicts.iter().position(|conflict| conflict.due <= now)?;
        let conflict = &mut self.heal.conflicts[place];
        let holder = conflict.holder;
        if conflict.tries < 2 {
            conflict.tries += 1;
            conflict.seq = seq;
            conflict.due = now + self.config.probe_timeout;
            return Some(Ask::Conflict { holder, seq });
        }
        self.heal.conflicts.swap_remove(place);
        if self.members.table.slot(holder).is_live() {
            self.declare_failed(now, holder);
        }
        self.conflicts_due(now)
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
        if seeds > 0 && !self.heal.joins.is_full() {
            let to = self.heal.seeds[self.random.below(seeds) as usize];
            let nonce = self.random.next() as u32;
            let deadline = now + self.config.join_timeout;
            // Who has been in already misses nothing by this; who has not is a newcomer like any other.
            let replay = self.config.replay;
            let _ = self.heal.joins.push(Joining { to, nonce, replay, quiet: true, due: now, deadline });
        }
        let gone = self.members.table.gone.len() as u32;
        let drawn = (gone > 0).then(|| self.members.table.gone_at(self.random.below(gone) as usize));
        let target = drawn.filter(|id| self.members.table.slot(*id).state == State::Failed);
        let seq = self.random.next() as u32;
        target.map(|target| Ask::Failed { target, seq }).or_else(|| self.joins_due(now))
    }

    /// What is held against a member, to be said to itself.
    pub(super) fn held_against(&self, id: u16) -> bool {
        let slot = self.members.table.slot(id);
        slot.state != State::Alive && !slot.has(flag::PRIVATE)
    }
}

fn bytes_of<const N: usize, const B: usize>(digests: &[u32; N]) -> [u8; B] {
    let mut bytes = [0; B];
    for (to, digest) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(digests) {
        *to = digest.to_le_bytes();
    }
    bytes
}

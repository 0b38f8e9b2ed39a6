//! The node: the only door of the core. It hands each input to the engine that judges it, carries what follows from one engine
//! to the others, and asks them one after the other what is to go out. The rules are theirs.

mod api;
mod commands;
mod compose;
mod dispatch;
mod effects;
#[cfg(feature = "seal")]
mod keys;

use crate::clock::LTIME_LIMIT;
use crate::config::Config;
use crate::context::Cx;
#[cfg(feature = "coordinates")]
use crate::coordinate::Coordinate;
use crate::events::store::Kind;
use crate::events::{self, Belonging, Events};
use crate::failure::{self, Failure};
use crate::filter::{Candidate, passes};
use crate::gossip::Gossip;
#[cfg(any(feature = "journal", feature = "seal"))]
use crate::hash;
#[cfg(feature = "journal")]
use crate::membership::journal::Change;
use crate::membership::record::State;
use crate::membership::table::{self, SELF};
use crate::membership::{self, Identity, Leave, Member, Membership};
#[cfg(feature = "seal")]
use crate::queries::keys::Obeyed;
use crate::queries::{self, Queries};
use crate::rules::{Rule, Settings};
use crate::stats::Stats;
use crate::storage::Memory;
use crate::sync::join::JoinResult;
use crate::sync::{AntiEntropy, Engines};
use crate::time::{Duration, Instant};
#[cfg(feature = "timings")]
use crate::timings::Timings;
use crate::wire::message::{Address, EventId, NAME_MAX, TAGS_MAX};
use crate::wire::packet::{DATAGRAM_MAX, OVERHEAD};
#[cfg(feature = "seal")]
use crate::wire::seal;
use crate::wire::seal::Seal;

pub use api::{Event, Gauges, Input, JoinError, LeaveError, Output, Question, SetupError, TagsError};

/// Longest event, name and payload together, that fits a datagram with everything around it.
const EVENT_MAX: usize = DATAGRAM_MAX - OVERHEAD - 40;

/// Shorter buffers than this are left empty: not even what is around messages would fit.
const BUFFER_LEAST: usize = 64;

/// Boot numbers are below this, so that with the instance behind them they are below every limit on the wire.
const BOOT_LIMIT: u64 = 1 << 46;

/// One member of the cluster: this one.
///
/// `handle`, `poll` and the commands do a bounded amount of work each; the crate's documentation says what it grows with.
pub struct Node<'a> {
    cx: Cx<'a>,
    engines: Engines<'a>,
    sync: AntiEntropy,
    gossip: Gossip,
    /// By when the last poll wanted to be called again.
    next_wakeup: Instant,
    /// Another member has told which key is used now, and the application has not been.
    #[cfg(feature = "seal")]
    keys_changed: bool,
}

impl<'a> Node<'a> {
    // ---- its life ----

    /// A node that knows only itself.
    ///
    /// `seed` makes its random choices; give every boot of every node its own.
    ///
    /// # Errors
    /// [`SetupError`] if the memory or the identity breaks a rule.
    pub fn new(
        memory: Memory<'a>,
        config: Config,
        identity: Identity<'_>,
        seed: u64,
        now: Instant,
    ) -> Result<Self, SetupError> {
        Self::build(memory, Settings::new(config), identity, seed, now)
    }

    /// As [`Node::new`], without one of the protocol's rules.
    ///
    /// # Errors
    /// As [`Node::new`].
    #[cfg(feature = "sabotage")]
    pub fn without(
        rule: Option<Rule>,
        memory: Memory<'a>,
        config: Config,
        identity: Identity<'_>,
        seed: u64,
        now: Instant,
    ) -> Result<Self, SetupError> {
        Self::build(memory, Settings::without(config, rule), identity, seed, now)
    }

    fn build(
        memory: Memory<'a>,
        config: Settings,
        identity: Identity<'_>,
        seed: u64,
        now: Instant,
    ) -> Result<Self, SetupError> {
        check(&memory, &config, &identity)?;
        let instance = if config.has(Rule::Instance) { identity.instance } else { 0 };
        let boot = identity.boot << u16::BITS | instance as u64;
        #[cfg(feature = "seal")]
        let seal = {
            let (name, addr) = (hash::bytes(identity.name.as_bytes()), Address::from(identity.addr).hash());
            let life = seal::Life { name, boot: identity.boot, seed, addr };
            let (windows, window_index) = (memory.sessions, memory.session_index);
            let parts = seal::Parts { keys: memory.keys, windows, window_index };
            Seal::new(parts, life, config.has(Rule::Windows))
        };
        #[cfg(not(feature = "seal"))]
        let seal = Seal::new();
        let mut cx = Cx::new(config, memory.outgoing, seal, seed, now);
        cx.begin_life(identity.name, boot);
        let table = table::Parts {
            hot: memory.members,
            cold: memory.cold,
            names: memory.names,
            tags: memory.tags,
            index: memory.member_index,
            order: memory.probe_order,
            suspects: memory.suspects,
            gone: memory.gone,
        };
        let members = membership::Parts {
            table,
            intents: memory.intents,
            #[cfg(feature = "journal")]
            journal: memory.journal,
        };
        let mut members = Membership::new(members, boot);
        members.admit_self(&cx, &identity).map_err(|_| SetupError::Name)?;
        let events = events::Parts {
            seen: memory.seen,
            slots: memory.slots,
            slot_index: memory.slot_index,
            arena: memory.arena,
            waiting: memory.waiting,
            windows: memory.windows,
            window_index: memory.window_index,
            pulls: memory.pulls,
        };
        let failure = failure::Parts {
            relays: memory.relays,
            confirmers: memory.confirmers,
            #[cfg(feature = "coordinates")]
            coordinates: memory.coordinates,
        };
        let failure = Failure::new(failure, now);
        let events = Events::new(events, &cx, seed);
        let sync = AntiEntropy::new(now, cx.config.reconnect_interval);
        let queries =
            queries::Parts { running: memory.queries, asked: memory.asked, marks: memory.query_marks };
        let queries = Queries::new(queries);
        let engines = Engines { members, failure, events, queries };
        Ok(Node {
            cx,
            engines,
            sync,
            gossip: Gossip::new(),
            next_wakeup: Instant::FAR,
            #[cfg(feature = "seal")]
            keys_changed: false,
        })
    }

    /// Ends this node at once, without a word to the others, and gives its memory back.
    pub fn release(self) -> Memory<'a> {
        let members = self.engines.members.release();
        let table = members.table;
        let failure = self.engines.failure.release();
        let events = self.engines.events.release();
        let queries = self.engines.queries.release();
        #[cfg(feature = "seal")]
        let seal = self.cx.wire.seal.release();
        Memory {
            members: table.hot,
            cold: table.cold,
            names: table.names,
            tags: table.tags,
            member_index: table.index,
            probe_order: table.order,
            suspects: table.suspects,
            gone: table.gone,
            seen: events.seen,
            slots: events.slots,
            slot_index: events.slot_index,
            arena: events.arena,
            waiting: events.waiting,
            windows: events.windows,
            window_index: events.window_index,
            intents: members.intents,
            outgoing: self.cx.outgoing.release(),
            #[cfg(feature = "seal")]
            keys: seal.keys,
            #[cfg(feature = "seal")]
            sessions: seal.windows,
            #[cfg(feature = "seal")]
            session_index: seal.window_index,
            relays: failure.relays,
            pulls: events.pulls,
            confirmers: failure.confirmers,
            queries: queries.running,
            asked: queries.asked,
            query_marks: queries.marks,
            #[cfg(feature = "coordinates")]
            coordinates: failure.coordinates,
            #[cfg(feature = "journal")]
            journal: members.journal,
        }
    }

    /// What it is made of, for unit tests.
    #[cfg(test)]
    pub(crate) fn into_parts(self) -> (Cx<'a>, Engines<'a>, AntiEntropy) {
        (self.cx, self.engines, self.sync)
    }

    // ---- what it knows ----

    /// This node as others see it.
    pub fn this(&self) -> Member<'_> {
        self.engines.members.table.member(SELF)
    }

    /// All members that this node holds, itself included; on a device its own view, which may be a part of the fleet.
    pub fn members(&self) -> impl Iterator<Item = Member<'_>> + '_ {
        let table = &self.engines.members.table;
        table.iter().filter(|id| !table.hot(*id).is_pruned()).map(|id| table.member(id))
    }

    /// One member by name.
    pub fn member(&self, name: &str) -> Option<Member<'_>> {
        let table = &self.engines.members.table;
        table.find(name).filter(|id| !table.hot(*id).is_pruned()).map(|id| table.member(id))
    }

    /// Whether an event with these filters ([`crate::UserEvent`]) is for a member; not if this node does not understand them.
    pub fn is_for(&self, filters: &[u8], member: &Member<'_>) -> bool {
        let candidate = Candidate { name: member.name, tags: member.tags };
        passes(filters, candidate, self.cx.config.tag_matcher) == Some(true)
    }

    /// How many members are believed to live, this node included.
    pub fn live(&self) -> usize {
        self.engines.members.table.live() + 1
    }

    /// Where a member is in the space of round trips, this node included: when it last answered this node. `None` if it has not, or
    /// one of both takes no part.
    #[cfg(feature = "coordinates")]
    pub fn coordinate(&self, name: &str) -> Option<&Coordinate> {
        let coordinates = &self.engines.failure.coordinates;
        match self.engines.members.table.find(name)? {
            SELF => coordinates.own(),
            id => coordinates.of(id),
        }
    }

    /// How often this node's own coordinate was lost, and begun again at the origin.
    #[cfg(feature = "coordinates")]
    pub fn coordinate_resets(&self) -> u32 {
        self.engines.failure.coordinates.resets
    }

    /// What has happened to a member of late, the oldest first, as far as this node has learnt it and the ring still holds it.
    /// Nothing is found of whom this node does not hold any more.
    #[cfg(feature = "journal")]
    pub fn changes(&self, name: &str) -> impl Iterator<Item = Change<'_>> + '_ {
        let table = &self.engines.members.table;
        let named = move |hash: u32| {
            let member = table.iter().find(|id| table.hot(*id).hash == hash);
            member.filter(|_| hash != 0).map(|id| table.name(id))
        };
        let entries = self.engines.members.journal.of(hash::name(name));
        entries.map(move |entry| Change {
            at: entry.at,
            what: entry.what,
            by: named(entry.by),
            number: entry.number,
        })
    }

    /// The names of those who still have something to say to a query of this node's: not the last word yet, or no receipt. Only
    /// of members that live; also right after its end, until the next query is asked.
    pub fn awaited(&self, query: EventId) -> impl Iterator<Item = &str> + '_ {
        let Engines { members, queries, .. } = &self.engines;
        queries.awaited(members, query).map(|id| members.table.name(id))
    }

    /// What has been counted.
    pub fn stats(&self) -> &Stats {
        &self.cx.stats
    }

    /// How long things have taken.
    #[cfg(feature = "timings")]
    pub fn timings(&self) -> &Timings {
        &self.cx.timings
    }

    /// How much of what is bounded is in use.
    pub fn gauges(&self) -> Gauges {
        let Engines { members, failure, events, .. } = &self.engines;
        let table = &members.table;
        let gone = table.gone.ids().iter().map(|id| table.hot(*id));
        let pruned = gone.clone().filter(|hot| hot.is_pruned()).count();
        let failed = gone.clone().filter(|hot| hot.state() == State::Failed).count();
        Gauges {
            members: table.len() - pruned,
            failed,
            left: gone.count() - failed - pruned,
            member_time: self.cx.clocks.member.now(),
            event_time: self.cx.clocks.event.now(),
            query_time: self.cx.clocks.query.now(),
            event_floor: events.seen.floor().ltime,
            fleet: if events.fleet.founding { 0 } else { events.fleet.id },
            seen: events.seen.len(),
            slots: events.store.used(),
            own: events.own(),
            coalescing: events.coalescer.held(),
            waiting: events.waiting(),
            gossip: members.updates.len(),
            awareness: failure.detector.awareness(),
        }
    }

    /// Events at or below it are not handed out any more: what is to be kept for [`Node::recall`].
    pub fn event_floor(&self) -> EventId {
        self.engines.events.seen.floor()
    }

    /// Events and queries above the floor that are over for this node: handed out, superseded by later values, for other members, lost.
    /// Likewise; goes through all that it remembers.
    pub fn settled(&self) -> impl Iterator<Item = EventId> + '_ {
        self.engines.events.settled()
    }

    /// In which fleet it is, as far as events go: likewise. `None` until it has met somebody.
    pub fn belonging(&self) -> Option<Belonging> {
        self.engines.events.belonging(self.cx.now)
    }

    /// Whether this node is still waiting for its first join answer: events are neither accepted nor delivered.
    pub fn is_starting(&self) -> bool {
        self.engines.events.fleet.is_starting()
    }

    /// Walks all invariants; panics with what is broken. For simulators.
    #[cfg(any(test, feature = "sabotage"))]
    pub fn check(&mut self) {
        self.engines.members.table.check();
        self.engines.events.check();
    }

    // ---- the drain ----

    /// The next thing to do. To be called again until it says [`Output::Sleep`], with the same `now` or a later one.
    ///
    /// `tx` takes the datagrams: at least [`DATAGRAM_MAX`] bytes, or what does not fit is not sent.
    pub fn poll<'o>(&'o mut self, now: Instant, tx: &'o mut [u8]) -> Output<'o> {
        self.enter(now);
        self.expire();
        if let Some(shown) = self.next_event() {
            return Output::Event(self.show(shown));
        }
        let Engines { members, .. } = &self.engines;
        if tx.len() >= BUFFER_LEAST
            && members.leave != Some(Leave::Done)
            && let Some((to, len)) = self.next_datagram(tx)
        {
            self.cx.stats.datagrams_out += 1;
            self.cx.stats.bytes_out += len as u64;
            return Output::Datagram { to: to.into(), bytes: &tx[..len] };
        }
        // A join that is given up is news of its own.
        if let Some(result) = self.sync.joins.next_result() {
            return Output::Event(self.show(Shown::Joined(result)));
        }
        self.next_wakeup = self.deadline();
        Output::Sleep(self.next_wakeup)
    }

    /// A call from outside begins, at this instant.
    fn enter(&mut self, now: Instant) {
        self.cx.now = now;
        self.finish_reaping();
        // A clock that jumped by more than a probe interval proves that this node was frozen, not the others.
        if now > self.next_wakeup + self.cx.config.probe_interval {
            let gap = now.since(self.next_wakeup);
            self.next_wakeup = now;
            // A machine that was stored and runs again may have sealed with the next counters before.
            self.cx.wire.seal.begin_anew();
            if self.cx.config.has(Rule::Freeze) {
                self.engines.failure.thaw(&mut self.cx, &mut self.engines.members, gap);
            }
        }
    }

    /// What ends by itself.
    fn expire(&mut self) {
        let Engines { members, failure, events, queries } = &mut self.engines;
        failure.expire(&mut self.cx, members);
        members.expire(&mut self.cx);
        queries.expire(&mut self.cx, members, events);
        // While nobody answers, own events wait; and while somebody is asked where the others have gone.
        let alone = failure.is_cut_off(&self.cx, members);
        let finding_back = self.sync.joins.is_finding_back();
        if alone && !finding_back {
            self.sync.joins.way_back = 0;
        }
        let cut_off = alone || events.cut_off && finding_back;
        events.expire(&mut self.cx, cut_off);
    }

    /// When the next poll is due, if nothing comes in.
    fn deadline(&self) -> Instant {
        let Engines { members, failure, events, queries } = &self.engines;
        if members.leave == Some(Leave::Done) {
            return Instant::FAR;
        }
        let cx = &self.cx;
        let notifies = !events.fleet.is_starting();
        let first = members.deadline(cx, notifies).min(failure.deadline(cx, members));
        let first = first.min(events.deadline(cx, failure.links(members)));
        let first = first.min(queries.deadline(members.app_ready && !events.is_held()));
        let first = first.min(self.sync.deadline(&self.engines)).min(self.gossip.deadline(cx, &self.engines));
        // A deadline that has passed is one that waits for room: soon, but not in a spin.
        first.max(cx.now + Duration::from_micros(1))
    }

    // ---- to the application ----

    /// Ends of members first, since their places wait for it; then joins, members, events and queries, ends of queries, and the node's
    /// own leave.
    fn next_event(&mut self) -> Option<Shown> {
        if let Some((id, change)) = self.engines.members.next_reaped(&self.cx) {
            return Some(Shown::Member(id, change));
        }
        self.finish_reaping();
        if let Some(result) = self.sync.joins.next_result() {
            return Some(Shown::Joined(result));
        }
        let Engines { members, events, queries, .. } = &mut self.engines;
        let cx = &mut self.cx;
        if members.app_ready {
            let notice = if events.fleet.is_starting() { None } else { members.next_notice(cx) };
            if let Some((id, change)) = notice {
                return Some(Shown::Member(id, change));
            }
            let holds = events.holds(cx.now, members.table.live() > 0);
            while let Some(slot) = if holds { None } else { events.next_for_app() } {
                let told = match events.store.kind(slot) {
                    Kind::Query => queries.accept(cx, members, events, slot),
                    Kind::Event | Kind::Targeted => events.accept(cx, members, slot),
                    _ => true,
                };
                #[cfg(feature = "seal")]
                let told = told
                    && match queries::keys::obey(cx, members, events, queries, slot) {
                        Obeyed::Changed => return Some(Shown::Keys(Some(events.store.id(slot)))),
                        obeyed => matches!(obeyed, Obeyed::Elsewhere),
                    };
                if told {
                    return Some(Shown::Slot(slot));
                }
            }
            if let Some(id) = queries.next_over(events) {
                return Some(Shown::QueryDone(id));
            }
            #[cfg(feature = "seal")]
            if core::mem::take(&mut self.keys_changed) {
                return Some(Shown::Keys(None));
            }
        }
        if members.advance_leave(cx) {
            if events.end_windows() {
                return self.next_event();
            }
            // That this node has left waits for no window.
            if let Some(change) = members.notices.tell_now(members.table.hot, SELF) {
                return Some(Shown::Member(SELF, change));
            }
            members.leave = Some(Leave::Done);
            return Some(Shown::Left);
        }
        None
    }

    fn show(&self, shown: Shown) -> Event<'_> {
        match shown {
            Shown::Slot(slot) => self.show_slot(slot),
            #[cfg(feature = "seal")]
            Shown::Keys(order) => Event::Keys(order, self.cx.wire.seal.keys()),
            Shown::QueryDone(id) => Event::QueryDone(id),
            Shown::Member(id, change) => Event::Member(change, self.engines.members.table.member(id)),
            Shown::Joined(JoinResult::Yes(addr)) => Event::Joined(addr.into()),
            Shown::Joined(JoinResult::No(addr)) => Event::JoinFailed(addr.into()),
            Shown::Joined(JoinResult::NameTaken(addr)) => Event::NameTaken(addr.into()),
            Shown::Joined(JoinResult::Conflict(addr)) => Event::NameConflict(addr.into()),
            Shown::Left => Event::Left,
        }
    }

    fn show_slot(&self, slot: u16) -> Event<'_> {
        let store = &self.engines.events.store;
        let (id, from, payload) = store.response(slot);
        match store.kind(slot) {
            Kind::Ack => Event::QueryAck(id, from),
            Kind::Response => Event::QueryResponse(id, from, payload),
            _ => match store.query(slot) {
                Some(query) => Event::Query(Question {
                    id,
                    name: query.name,
                    payload: query.payload,
                    source: query.source,
                    timeout: Duration::from_micros(query.timeout_us),
                }),
                None => Event::User(store.event(slot)),
            },
        }
    }

    // ---- to other nodes ----

    /// Answers first, since somebody waits for them; then probes, whose time is measured; then questions, answers to queries, pulls, and
    /// what nobody has asked for.
    fn next_datagram(&mut self, tx: &mut [u8]) -> Option<(Address, usize)> {
        if let Some(sent) = self.next_answer(tx) {
            return Some(sent);
        }
        if let Some((target, seq)) = self.engines.failure.poll(&mut self.cx, &mut self.engines.members) {
            return Some(self.probe(target, seq, tx));
        }
        // What is due may have been others' help.
        if let Some(sent) = self.next_answer(tx) {
            return Some(sent);
        }
        if let Some(ask) = self.sync.due(&mut self.cx, &mut self.engines) {
            return Some(self.ask(&ask, tx));
        }
        let Engines { members, failure, events, queries } = &mut self.engines;
        if let Some(sent) = queries.poll(&mut self.cx, events, tx) {
            return Some(sent);
        }
        let links = failure.links(members);
        let seeds = &self.sync.joins.seeds;
        let pulled = events.poll_pulls(&mut self.cx, members, links, seeds, tx);
        self.carry_pulled();
        if pulled.is_some() {
            return pulled;
        }
        let waits = self.sync.joins.is_finding_back();
        self.gossip.poll(&mut self.cx, &mut self.engines, waits, tx)
    }
}

/// Something shown to the application, without its texts.
enum Shown {
    /// A user event, a query, or an answer to one.
    Slot(u16),
    QueryDone(EventId),
    #[cfg(feature = "seal")]
    Keys(Option<EventId>),
    Member(u16, crate::membership::MemberChange),
    Joined(JoinResult),
    Left,
}

/// What a node is made of keeps the rules of [`SetupError`].
fn check(memory: &Memory<'_>, config: &Config, identity: &Identity<'_>) -> Result<(), SetupError> {
    memory.check().map_err(SetupError::Memory)?;
    let members = memory.members.len();
    if identity.name.is_empty() || identity.name.len() > NAME_MAX.min(memory.names.len() / members) {
        return Err(SetupError::Name);
    }
    if identity.tags.len() > TAGS_MAX.min(memory.tags.len() / members) {
        return Err(SetupError::Tags);
    }
    if config.event_size_limit as usize > EVENT_MAX {
        return Err(SetupError::EventSize);
    }
    let beats = [
        config.probe_interval,
        config.probe_timeout,
        config.gossip_interval,
        config.reconnect_interval,
        config.join_timeout,
    ];
    if beats.contains(&Duration::ZERO) {
        return Err(SetupError::Timing);
    }
    if config.event_floor >= LTIME_LIMIT / 2 {
        return Err(SetupError::Floor);
    }
    if identity.boot >= BOOT_LIMIT {
        return Err(SetupError::Boot);
    }
    Ok(())
}

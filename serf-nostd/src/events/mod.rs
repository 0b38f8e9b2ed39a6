//! User events: an event's life, from whoever fires it to every application.
//!
//! 1. It is fired here ([`Events::fire`]), or comes from another node ([`Events::receive`]): seen for the first time, it is
//!    recorded ([`seen`]), held ([`store`]), and handed to the application, or to its name's window ([`coalesce`]).
//! 2. Eager push: the payload goes to some members at once ([`push`]), each of whom does the same (Plumtree, section 3.3).
//! 3. Lazy push: its id is announced to a few more, in growing intervals ([`push`]); where nothing gets lost its origin sees to
//!    it alone ([`batch`]).
//! 4. Who lacks it asks for it ([`repair`], [`pull`]); what nobody holds any more is lost ([`Events::ask_another`]).
//! 5. Own events are held until they have come back from others ([`own`]).
//! 6. When room is needed the most-sent payload goes; ids are remembered longer, and below the lowest of those nothing is
//!    taken any more: the floor.
//!
//! Which fleet's events those are is told in [`fleet`], what operators have to say to them in [`operated`], and what is known of
//! them again after a restart in [`recall`].

pub(crate) mod arena;
#[cfg_attr(not(feature = "batches"), path = "unbatched.rs")]
mod batch;
pub(crate) mod coalesce;
pub(crate) mod fleet;
mod hold;
mod operated;
mod own;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod rate;
mod recall;
pub(crate) mod relay;
mod repair;
pub(crate) mod seen;
pub(crate) mod store;
mod told;

use core::error::Error;
use core::fmt;

use crate::authority::{Gate, Verdict};
use crate::backoff::Backoff;
use crate::clock::{LTIME_LIMIT, Lamport, Word};
use crate::context::Cx;
use crate::failure::Links;
use crate::filter::passes;
use crate::membership::Membership;
use crate::membership::table::SELF;
use crate::outgoing::Answer;
use crate::random::Random;
use crate::rules::{Rule, Settings};
use crate::slice::Ring;

use crate::time::{Duration, Instant};
use crate::wire::go;
use crate::wire::message::UserEvent as Told;
use crate::wire::message::{Address, EventId, Message, Query, Receipt};
use crate::wire::native;
use crate::wire::packet::Encoded;

use batch::Batches;
use coalesce::Coalescer;
use fleet::{FleetState, Source};
use hold::Hold;
use pull::Pulls;
use rate::Rate;
pub use recall::Belonging;
#[cfg(feature = "recall")]
pub use recall::Past;
use relay::RelayFilter;
use seen::{Freshness, Seen};
pub use store::UserEvent;
use store::{Pin, Store, list};
pub(crate) use told::{BatchDue, InBatch};

/// How long an own event is held for its return.
const OWN_PATIENCE: Duration = Duration::from_secs(30);

/// Why an event was not accepted. Nothing of it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EventError {
    /// Name and payload together are longer than this many bytes, which is less by what its target and signature take.
    TooLong(u16),
    /// Encoded (as Go Serf encodes it) it is longer than this many bytes.
    TooLongEncoded(u16),
    /// As many own events as may be are still on their way, or the fleet can take no more for now: try again each time
    /// that [`crate::Node::poll`] asks to be called.
    Full,
    /// The first join has not been answered yet: try again.
    Starting,
    /// The event clock has come to its end: forged times have used up 2^62. Only a new fleet helps.
    ClockExhausted,
    /// Only an operator may fire it, or ask it: [`crate::Node::signed_event`], [`crate::Ask::signed`].
    Unsigned,
    /// No operator whose patterns cover its name has signed just this, or too long ago.
    Forged,
    /// What was reserved for it is over, or used up: reserve again, and sign that.
    Outdated,
    /// Its target takes more than 512 bytes, or names a member with an empty name.
    Target,
    /// The node is leaving or has left.
    Left,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventError::TooLong(limit) => write!(f, "name and payload are longer than {limit} bytes"),
            EventError::TooLongEncoded(limit) => write!(f, "encoded it is longer than {limit} bytes"),
            EventError::Full => f.write_str("too many events are on their way: try again later"),
            EventError::Starting => f.write_str("the first join has not been answered yet: try again later"),
            EventError::ClockExhausted => {
                f.write_str("the event clock has come to its end: only a new fleet helps")
            }
            EventError::Unsigned => f.write_str("only an operator may do this: sign it"),
            EventError::Forged => {
                f.write_str("no operator who may do this has signed just this within a day; what no pattern covers needs no signature")
            }
            EventError::Outdated => f.write_str("what was reserved for it is over: reserve and sign again"),
            EventError::Target => f.write_str("the filters are longer than 512 bytes, or have an empty name"),
            EventError::Left => f.write_str("the node is leaving or has left"),
        }
    }
}

impl Error for EventError {}

/// Where an event has come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From {
    pub(crate) addr: Address,
    /// Of which fleet it is.
    pub(crate) source: Source,
    /// Whether it came in answer to a question.
    pub(crate) word: Word,
    /// The batch in which its origin sees to it that all others get it ([`batch`]), by its last byte.
    pub(crate) batch: Option<u8>,
}

/// What travels as events do.
#[derive(Clone, Copy)]
pub(crate) enum Carried<'m> {
    /// For whom these filters let through.
    Event(Told<'m>, &'m [u8]),
    Query(Query<'m>),
}

impl Carried<'_> {
    pub(crate) fn id(&self) -> EventId {
        match self {
            Carried::Event(event, _) => event.id,
            Carried::Query(query) => query.event_id(),
        }
    }

    /// What it takes in the store, in bytes.
    fn len(&self) -> usize {
        match self {
            Carried::Event(event, filters) => store::event_len(event, filters),
            Carried::Query(query) => native::encoded_len(&Message::Query(*query)),
        }
    }

    /// What of that is for whom it is, and by whom it is signed.
    fn around(&self) -> usize {
        match self {
            Carried::Event(event, _) => self.len() - event.name.len() - event.payload.len(),
            Carried::Query(_) => 0,
        }
    }

    /// The longest that this node takes: by its settings, and by its memory.
    fn limit(&self, config: &Settings, store: &Store<'_>) -> u16 {
        let configured = match self {
            Carried::Event(..) => config.event_size_limit,
            Carried::Query(_) => config.query_size_limit,
        };
        configured.min(store.longest().min(u16::MAX as usize) as u16)
    }
}

pub(crate) struct Events<'a> {
    pub(crate) seen: Seen<'a>,
    pub(crate) store: Store<'a>,
    pub(crate) coalescer: Coalescer<'a>,
    /// What is to be handed to the application: slots of the store.
    waiting: Ring<'a, u16>,
    pub(crate) pulls: Pulls<'a>,
    rate: Rate,
    batches: Batches,
    relayed: RelayFilter,
    #[cfg(feature = "batches")]
    sole: Option<told::Sole>,
    /// Which fleet's events this node takes in.
    pub(crate) fleet: FleetState,
    /// When seen events last changed, and when they may be compared with others'; likewise last values.
    pub(crate) backoff: Backoff,
    pub(crate) value_backoff: Backoff,
    /// Hashes of last values that others know and nobody holds, XORed: there is no point in comparing them again.
    pub(crate) lost_values: u32,
    /// Nobody answers, or nobody is there: own events wait, and are sent again afterwards.
    pub(crate) cut_off: bool,
    /// It has begun with a memory, and may lack what others have seen since: what they have forgotten is none of its gaps yet.
    pub(crate) catching_up: bool,
    /// Meanwhile nothing is handed out.
    hold: Hold,
    /// The last event that was asked for has come, or has been given up.
    pub(crate) all_pulled: bool,
    /// Signatures that are checked of what was asked for, and of what comes unasked.
    gates: [Gate; 2],
    /// Who has forged a signature, and until when nothing more of it is checked.
    forger: Address,
    forgiven: Instant,
    /// When this node has begun.
    since: Instant,
    /// From when on a refused event is told of again.
    warn_at: Instant,
    /// Makes tokens that nobody can guess.
    secret: u64,
}

/// The slices that events work on.
pub(crate) struct Parts<'a> {
    pub(crate) seen: &'a mut [seen::SeenEvent],
    pub(crate) slots: &'a mut [store::StoreSlot],
    pub(crate) slot_index: &'a mut [u16],
    pub(crate) arena: &'a mut [u8],
    pub(crate) waiting: &'a mut [u16],
    pub(crate) windows: &'a mut [coalesce::Window],
    pub(crate) window_index: &'a mut [u16],
    pub(crate) pulls: &'a mut [pull::Pull],
}

impl<'a> Events<'a> {
    pub(crate) fn new(parts: Parts<'a>, cx: &Cx<'_>, seed: u64) -> Self {
        let floor = match cx.config.event_floor {
            0 => EventId::LOWEST,
            ltime => EventId { ltime, origin: u64::MAX },
        };
        let capacity = parts.seen.len();
        Events {
            seen: Seen::new(parts.seen, floor, cx.config.has(Rule::Floor)),
            store: Store::new(parts.slots, parts.slot_index, parts.arena),
            coalescer: Coalescer::new(parts.windows, parts.window_index),
            waiting: Ring::new(parts.waiting),
            pulls: Pulls::new(parts.pulls),
            rate: Rate::new(capacity, cx.now),
            batches: Batches::new(Random::new(seed).next() as u32),
            relayed: RelayFilter::new(cx.now),
            fleet: FleetState::new(cx.now, floor),
            backoff: Backoff::new(),
            value_backoff: Backoff::new(),
            lost_values: 0,
            cut_off: true,
            #[cfg(feature = "batches")]
            sole: None,
            catching_up: false,
            hold: Hold::Off,
            all_pulled: false,
            gates: [Gate::new(cx.now); 2],
            forger: Address::UNSET,
            forgiven: Instant::PAST,
            since: cx.now,
            warn_at: cx.now,
            secret: Random::new(!seed).next(),
        }
    }

    pub(crate) fn release(self) -> Parts<'a> {
        let (slots, slot_index, arena) = self.store.release();
        let (windows, window_index) = self.coalescer.release();
        Parts {
            seen: self.seen.release(),
            slots,
            slot_index,
            arena,
            waiting: self.waiting.release(),
            windows,
            window_index,
            pulls: self.pulls.release(),
        }
    }

    // ---- 1. fired, or received ----

    /// Fires an event; see [`crate::Node::user_event`].
    pub(crate) fn fire(
        &mut self,
        cx: &mut Cx<'_>,
        links: Links,
        cut_off: bool,
        event: Told<'_>,
        filters: &[u8],
    ) -> Result<u64, EventError> {
        let len = go::user_event_len(event.id.ltime, event.name, event.payload);
        let event = Carried::Event(event, filters);
        self.authorize(cx, &event)?;
        let limit = event.limit(&cx.config, &self.store);
        if event.len() <= limit as usize && len > limit as usize {
            return Err(EventError::TooLongEncoded(limit));
        }
        self.launch(cx, links, cut_off, event)
    }

    pub(crate) fn may_fire(&self, cx: &Cx<'_>) -> Result<(), EventError> {
        match () {
            () if self.fleet.is_starting() => Err(EventError::Starting),
            () if cx.clocks.event.is_exhausted() => Err(EventError::ClockExhausted),
            () => Ok(()),
        }
    }

    /// Asks a query, whose time is the event clock's.
    pub(crate) fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        links: Links,
        cut_off: bool,
        query: Query<'_>,
    ) -> Result<u64, EventError> {
        let query = Carried::Query(query);
        self.authorize(cx, &query)?;
        self.launch(cx, links, cut_off, query)
    }

    /// Takes this node's own in, if there is room for it in every respect.
    fn launch(
        &mut self,
        cx: &mut Cx<'_>,
        links: Links,
        cut_off: bool,
        own: Carried<'_>,
    ) -> Result<u64, EventError> {
        self.may_fire(cx)?;
        let (id, len, limit) = (own.id(), own.len(), own.limit(&cx.config, &self.store));
        if len > limit as usize {
            return Err(EventError::TooLong(limit.saturating_sub(own.around() as u16)));
        }
        let quarters = if cut_off { 3 } else { 1 };
        let room = !self.store.quota_full(Pin::Application, len)
            && (!self.store.quarters_full(Pin::Own, quarters, len) || self.expire_own(cx, links));
        let beat = if cx.config.has(Rule::RoundTrip) { links.round_trip } else { Duration::ZERO };
        // Last, as it counts what it lets pass.
        if !room
            || (cx.config.has(Rule::SourceRate) && !self.rate.fire(cx.now, links.live + 1, beat, links.lossy))
        {
            cx.stats.events_full += 1;
            return Err(EventError::Full);
        }
        let Some(slot) = self.keep(cx, &own, list::OWN) else {
            cx.stats.events_full += 1;
            return Err(EventError::Full);
        };
        cx.clocks.event.stamp();
        cx.stats.events_fired += matches!(own, Carried::Event(..)) as u64;
        self.store.pin(slot, Pin::Own);
        self.record(cx, id);
        self.hand_over(cx, slot);
        if !cx.config.has(Rule::OriginHold) {
            self.store.release_own(slot);
        }
        Ok(id.ltime)
    }

    /// With nobody there to hear, the oldest own event makes room for a new one.
    fn expire_own(&mut self, cx: &mut Cx<'_>, links: Links) -> bool {
        if links.live > 0 {
            return false;
        }
        let oldest = self.store.first(list::OWN_HELD).or_else(|| self.store.first(list::OWN));
        let Some(slot) = oldest.filter(|slot| cx.now > self.store.since(*slot)) else { return false };
        self.store.release_own(slot);
        cx.stats.own_expired += 1;
        true
    }

    /// An event has come, or a query. Returns what its sender is to be answered.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Cx<'_>,
        links: Links,
        carried: Carried<'_>,
        from: From,
    ) -> Option<Answer> {
        let id = carried.id();
        let freshness = self.seen.classify(id);
        let verdict = self.admit(cx, &carried, freshness, &from);
        // Nobody ends the search for a signed event with a forgery, or takes its place.
        match verdict {
            Verdict::Later => {
                cx.stats.events_unchecked += 1;
                return None;
            }
            Verdict::Unreadable => {
                cx.stats.events_unchecked += 1;
                self.pulls.refused(id, from.addr);
                return None;
            }
            Verdict::Forged => {
                self.refuse_forgery(cx, id, from.addr);
                return None;
            }
            Verdict::Allowed | Verdict::Unsigned => {}
        }
        let carried = self.timed(cx, carried, &from);
        let asked_for = self.pulls.done(id);
        self.all_pulled |= asked_for && self.pulls.is_empty();
        // Another fleet's counts from when this node has entered it, and its own events have got their times there.
        let pulled = asked_for && from.source != Source::Elsewhere;
        match freshness {
            Freshness::Known if !cx.config.has(Rule::Dedupe) => {}
            Freshness::Known => {
                cx.stats.events_duplicate += 1;
                self.came_back(cx, links, id, from.addr);
                if let (Some(batch), Some(slot)) = (from.batch, self.store.find(id)) {
                    self.store.leave_to_origin(slot, batch);
                }
                return None;
            }
            Freshness::Below => {
                self.came_back(cx, links, id, from.addr);
                if let Carried::Event(event, filters) = &carried
                    && event.coalesce
                    && pulled
                {
                    match verdict {
                        Verdict::Unsigned => self.lost_values ^= id.hash(),
                        _ => self.late_value(cx, event, filters),
                    }
                    return None;
                }
                cx.stats.too_old += 1;
                return Some(Answer::TooOld { id });
            }
            Freshness::New => {}
        }
        if !self.takes_events(&cx.config) || !(pulled || self.fleet.takes(id, from.source)) {
            // What counts as new is only known when a fleet has been met; healing offers it again.
            return None;
        }
        if verdict == Verdict::Unsigned {
            self.refuse(cx, id);
            // Seen all the same, or it would be offered for ever.
            if self.rate.take(cx.now, pulled) && cx.witness(Lamport::Event, from.word, id.ltime) {
                self.record(cx, id);
            }
            return None;
        }
        if !cx.witness(Lamport::Event, from.word, id.ltime) {
            if cx.config.has(Rule::Clamp) || id.ltime >= LTIME_LIMIT {
                return None;
            }
            cx.clocks.event.adopt(id.ltime + 1);
        }
        let len = carried.len();
        let too_long = len > carried.limit(&cx.config, &self.store) as usize;
        let held = self.store.find(id);
        if !too_long && cx.config.has(Rule::AppQuota) && self.store.quota_full(Pin::Application, len) {
            cx.stats.app_full += 1;
            if held.is_none() && !pulled {
                self.keep(cx, &carried, list::FRESH);
            }
            return None;
        }
        if !self.rate.take(cx.now, pulled) {
            cx.stats.shed += 1;
            return None;
        }
        if too_long {
            // Seen all the same, or it would be offered for ever.
            cx.stats.events_too_long += 1;
            self.record(cx, id);
            return None;
        }
        let into = match () {
            // What was asked for has been announced around: only its id is passed on.
            () if pulled => list::ANNOUNCE,
            () if from.batch.is_some() => list::TOLD,
            () => list::FRESH,
        };
        let Some(slot) = held.or_else(|| self.keep(cx, &carried, into)) else {
            cx.stats.app_full += 1;
            return None;
        };
        if let Some(batch) = from.batch {
            self.store.set_batch(slot, batch);
        }
        self.record(cx, id);
        self.hand_over(cx, slot);
        None
    }

    /// The last value of a name, fetched although it is at or below the floor.
    fn late_value(&mut self, cx: &mut Cx<'_>, event: &Told<'_>, filters: &[u8]) {
        let carried = Carried::Event(*event, filters);
        let len = carried.len();
        if len > carried.limit(&cx.config, &self.store) as usize {
            cx.stats.events_too_long += 1;
            self.lost_values ^= event.id.hash();
            return;
        }
        if !self.coalescer.remembers(store::key(event.id, event.name, filters)) {
            // It may be an older one than what was handed out of a name that was forgotten meanwhile.
            cx.stats.too_old += 1;
            return;
        }
        if self.store.quota_full(Pin::Application, len) {
            cx.stats.app_full += 1;
            return;
        }
        match self.store.find(event.id).or_else(|| self.keep(cx, &carried, list::HELD)) {
            Some(slot) => self.hand_over(cx, slot),
            None => cx.stats.app_full += 1,
        }
    }

    fn keep(&mut self, cx: &mut Cx<'_>, carried: &Carried<'_>, into: u8) -> Option<u16> {
        let mut dropped = 0;
        let slot = match carried {
            Carried::Event(event, filters) => self.store.put(event, filters, cx.now, into, &mut dropped),
            Carried::Query(query) => {
                let message = Message::Query(*query);
                self.store.put_query(query.event_id(), &message, cx.now, into, &mut dropped)
            }
        };
        cx.stats.store_dropped += dropped;
        slot
    }

    /// Marks an event as seen.
    fn record(&mut self, cx: &mut Cx<'_>, id: EventId) {
        self.seen.insert(id);
        self.backoff.changed(cx.now);
        cx.stats.events_new += 1;
    }

    /// An event takes its place among those handed to the application, or in its window.
    fn hand_over(&mut self, cx: &mut Cx<'_>, slot: u16) {
        let event = self.store.event(slot);
        if !event.coalesce || cx.config.coalesce_quantum == Duration::ZERO {
            return self.deliver(slot);
        }
        let (name, id) = (event.key(), event.id);
        let len = self.store.len(slot);
        while self.store.quota_full(Pin::Coalescer, len) {
            let Some(held) = self.coalescer.oldest() else { break };
            cx.stats.coalesce_early += 1;
            self.store.unpin(held, Pin::Coalescer);
            if cx.config.has(Rule::CoalesceEarly) {
                self.deliver(held);
            }
        }
        // What was fired before this node met its fleet is the last value of its name then, but not told.
        let own = [cx.origin, cx.signed_origin()].contains(&id.origin);
        let before = id <= self.fleet.met_at && !own;
        let silent = before && self.coalescer.is_silent(name);
        let placed = self.coalescer.offer(name, id, slot, silent, cx.now, &cx.config, &mut cx.stats);
        if let Some(early) = placed.deliver {
            self.store.unpin(early, Pin::Coalescer);
            self.deliver(early);
        }
        if let Some(old) = placed.superseded {
            self.store.unpin(old, Pin::Coalescer);
        }
        if let Some(value) = placed.replaced {
            self.store.keep_value(value, false);
        }
        if placed.newest {
            self.store.keep_value(id, true);
            self.value_backoff.changed(cx.now);
        }
        if placed.held {
            self.store.pin(slot, Pin::Coalescer);
        }
    }

    pub(crate) fn deliver(&mut self, slot: u16) {
        // As many places as there are slots, and each slot waits once.
        if self.waiting.push_back(slot) {
            self.store.pin(slot, Pin::Application);
        }
        if self.held() != Hold::Off {
            let store = &self.store;
            self.waiting.settle_last(|last, before| store.id(last) < store.id(before));
        }
    }

    /// The next event for the application: its slot, which holds it until the next call.
    pub(crate) fn next_for_app(&mut self) -> Option<u16> {
        let slot = self.waiting.pop_front()?;
        self.store.unpin(slot, Pin::Application);
        Some(slot)
    }

    /// An event has come to the application's turn. Whether it is for this node.
    pub(crate) fn accept(&self, cx: &mut Cx<'_>, members: &Membership<'_>, slot: u16) -> bool {
        let filters = self.store.event(slot).filters;
        let passed = passes(filters, members.candidate(SELF), cx.config.tag_matcher);
        match passed {
            Some(true) => cx.stats.events_delivered += 1,
            Some(false) => cx.stats.events_elsewhere += 1,
            None => cx.stats.unfiltered += 1,
        }
        passed == Some(true)
    }

    /// Whether the application has been handed this event, or a later one with which it was coalesced. Of what is not held any more
    /// that is not known: it may have been lost as well.
    pub(crate) fn is_handed_out(&self, receipt: &Receipt) -> bool {
        let waits = |slot: u16| self.store.is_pinned(slot, Pin::Application);
        let last = if receipt.key == 0 { None } else { self.coalescer.last_of(receipt.key) };
        match last {
            Some((last, told)) => told && last >= receipt.event && !self.store.find(last).is_some_and(waits),
            None => {
                let seen = self.seen.classify(receipt.event) == Freshness::Known;
                seen && self.store.find(receipt.event).is_some_and(|slot| !waits(slot))
            }
        }
    }

    /// Own events that others have not shown to have.
    pub(crate) fn own(&self) -> usize {
        self.store.pinned(Pin::Own)
    }

    /// Events that wait for the application.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    // ---- messages about members that are not held ----

    /// Passes a message about somebody unknown on as it came, once.
    pub(crate) fn relay(&mut self, cx: &mut Cx<'_>, message: &Message<'_>) {
        let mut body = [0; Encoded::LONGEST];
        let Some(message) = Encoded::new(message, &mut body) else { return };
        if !self.relayed.is_news(message.hash(), cx.now) {
            return;
        }
        let mut dropped = 0;
        cx.stats.foreign_forwarded += self.store.put_foreign(message, &mut dropped) as u64;
        cx.stats.store_dropped += dropped;
    }

    // ---- time ----

    /// When something ends by itself, or is to be sent.
    pub(crate) fn deadline(&self, cx: &Cx<'_>, links: Links) -> Instant {
        let own = self.store.first(list::OWN_HELD).filter(|_| !self.cut_off);
        let own = own.map_or(Instant::FAR, |slot| self.store.since(slot) + OWN_PATIENCE);
        let announced = self.announce_at().min(self.told_until(&cx.config)).min(self.batches.deadline());
        let announced = if links.live > 0 { announced } else { Instant::FAR };
        let first = self.coalescer.deadline(&cx.config).min(self.pulls.deadline());
        first.min(self.rate.deadline(cx.now)).min(own).min(announced).min(self.hold_deadline())
    }

    /// What ends by itself: windows, and the patience for own events. While nobody answers those wait (`cut_off`); then they
    /// are sent again.
    pub(crate) fn expire(&mut self, cx: &mut Cx<'_>, cut_off: bool) {
        let again = cx.config.has(Rule::SendAgain);
        if core::mem::replace(&mut self.cut_off, cut_off) && !cut_off && again {
            self.store.send_again();
        }
        while let Some(slot) = self.store.first(list::OWN_HELD) {
            if self.store.since(slot) + OWN_PATIENCE > cx.now || (cut_off && again) {
                break;
            }
            self.store.release_own(slot);
            cx.stats.own_unconfirmed += 1;
        }
        while let Some(slot) = self.coalescer.due(cx.now, &cx.config) {
            self.window_ended(slot);
        }
    }

    fn window_ended(&mut self, slot: u16) {
        self.store.unpin(slot, Pin::Coalescer);
        self.deliver(slot);
    }

    #[cfg(any(test, feature = "sabotage"))]
    pub(crate) fn check(&mut self) {
        self.seen.check();
        self.store.check();
        assert!(self.coalescer.held() <= self.store.pinned(Pin::Coalescer));
        assert!(self.waiting.len() == self.store.pinned(Pin::Application));
        // A quarter by the quota, and what the coalescer's quarter has become since.
        assert!(self.waiting.len() <= 1 + self.store.capacity() / 2, "too much waits for the application");
    }
}

/// Whether an origin like this node sends an event to everybody itself.
pub(crate) fn reaches_all(config: &Settings, links: Links) -> bool {
    links.live <= config.origin_fanout as usize
}

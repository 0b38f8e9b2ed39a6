//! What the application can order: events, queries and answers, joining, leaving, tags, whether it is ready.

use core::net::SocketAddr;

use super::{EVENT_MAX, JoinError, LeaveError, Node, TagsError};
#[cfg(feature = "authority")]
use crate::authority::Authority;
use crate::authority::{Reserved, Signature, Stated, Statement};
use crate::events::EventError;
#[cfg(feature = "recall")]
use crate::events::Past;
use crate::filter::{self, Target};
use crate::queries::{self, Ask, Fired, QueryError};
use crate::time::{Duration, Instant};
use crate::wire::message::{EventId, LeaveIntent, Message, UserEvent};

impl Node<'_> {
    /// Fires a user event and returns its Lamport time. It is handed to this node's application at once (or coalesced),
    /// sent by the next polls, and held until others have shown that they have it. If this node ends before those polls, or
    /// before any of their datagrams has come, the event ends with it; afterwards the others spread it without it.
    ///
    /// # Errors
    /// [`EventError`]; see there what to do.
    pub fn user_event(
        &mut self,
        now: Instant,
        name: &[u8],
        payload: &[u8],
        coalesce: bool,
    ) -> Result<u64, EventError> {
        self.targeted_event(now, &Target::default(), name, payload, coalesce)
    }

    /// The same for some members: each looks at its own name and tags when the event's turn comes. The others, this node among
    /// them, pass it on. Events are coalesced with those of the same name and target.
    ///
    /// # Errors
    /// [`EventError`]; [`EventError::Target`] only from here.
    pub fn targeted_event(
        &mut self,
        now: Instant,
        target: &Target<'_>,
        name: &[u8],
        payload: &[u8],
        coalesce: bool,
    ) -> Result<u64, EventError> {
        let filters = filter::encode(target.nodes, target.tags).ok_or(EventError::Target)?;
        let id = EventId { ltime: self.cx.clocks.event.now(), origin: self.cx.origin };
        self.fire(now, UserEvent { id, coalesce, name, payload }, &filters)
    }

    /// Knows these operators from now on. What was taken in before stays; what is known of the time does, too ([`Authority::since`]).
    #[cfg(feature = "authority")]
    pub fn set_authority(&mut self, authority: Authority) {
        let authority = authority.at_the_time_of(&self.cx.config.authority);
        self.cx.config.set_authority(authority);
    }

    /// Changes how long events, queries and answers may be ([`crate::Config::event_size_limit`], `query_size_limit`, `response_size_limit`), from now on;
    /// events no longer than 1,327 bytes.
    pub fn set_size_limits(&mut self, [event, query, response]: [u16; 3]) {
        self.cx.config.set_size_limits([event.min(EVENT_MAX as u16), query, response]);
    }

    /// Tells what time it is (Unix, in seconds): once if that is sure, else now and then, as clocks are set ([`Authority::since`]).
    #[cfg(feature = "authority")]
    pub fn set_time(&mut self, now: Instant, unix: u64) {
        let authority = self.cx.config.authority.since(unix.saturating_sub(now.as_micros() / 1_000_000));
        self.cx.config.set_authority(authority);
    }

    /// Keeps an identity for an event that an operator is to sign ([`crate::Statement`]). If it is not fired nothing comes of it. It is over when
    /// 32 others have been fired since, when others are met, or with this node; who joins meanwhile is not told of it: so it is to be fired soon.
    ///
    /// # Errors
    /// [`EventError::Starting`], [`EventError::ClockExhausted`], [`EventError::Left`].
    pub fn reserve_event(&mut self, now: Instant) -> Result<Reserved, EventError> {
        self.enter(now);
        if self.engines.members.is_leaving() {
            return Err(EventError::Left);
        }
        self.engines.events.reserve(&mut self.cx)
    }

    /// Likewise for a query that an operator is to sign, which is asked with [`Ask::signed`]. Its answers come to the address that this node has
    /// now, and are waited for so long, to a tenth of a second; `None`: as long as Serf does.
    ///
    /// # Errors
    /// As [`Node::reserve_event`].
    pub fn reserve_query(&mut self, now: Instant, timeout: Option<Duration>) -> Result<Reserved, EventError> {
        self.enter(now);
        let (cx, e) = (&mut self.cx, &self.engines);
        if e.members.is_leaving() {
            return Err(EventError::Left);
        }
        let links = e.failure.links(&e.members);
        let timeout = timeout.unwrap_or_else(|| queries::default_timeout(&cx.config, links));
        queries::reserve(cx, &e.members, &e.events, timeout)
    }

    /// Fires the event that an operator has signed, as [`Node::targeted_event`] does. What is no event is refused.
    ///
    /// # Errors
    /// [`EventError`]; [`EventError::Forged`] and [`EventError::Outdated`] only from here.
    pub fn signed_event(
        &mut self,
        now: Instant,
        statement: &Statement<'_>,
        signature: &Signature,
    ) -> Result<u64, EventError> {
        let Statement { reserved, stated, name, filters, payload, .. } = *statement;
        let Stated::Event { coalesce } = stated else { return Err(EventError::Forged) };
        if !reserved.id.is_signed() {
            return Err(EventError::Outdated);
        }
        let filters = signature.in_front_of(filters).ok_or(EventError::Target)?;
        self.fire(now, UserEvent { id: reserved.id, coalesce, name, payload }, &filters)
    }

    fn fire(&mut self, now: Instant, event: UserEvent<'_>, filters: &[u8]) -> Result<u64, EventError> {
        self.enter(now);
        let (cx, e) = (&mut self.cx, &mut self.engines);
        if e.members.is_leaving() {
            return Err(EventError::Left);
        }
        let cut_off = e.failure.is_cut_off(cx, &e.members);
        let links = e.failure.links(&e.members);
        e.events.fire(cx, links, cut_off, event, filters)
    }

    /// Asks the fleet. [`super::Event::QueryAck`], [`super::Event::QueryResponse`] and at last [`super::Event::QueryDone`] follow,
    /// with the identity that is returned. This node is asked as well, if the filters let it through; who joins later is not.
    ///
    /// # Errors
    /// [`QueryError`]; nothing was begun.
    pub fn query(&mut self, now: Instant, ask: &Ask<'_>) -> Result<EventId, QueryError> {
        self.enter(now);
        let (cx, e) = (&mut self.cx, &mut self.engines);
        if e.members.is_leaving() {
            return Err(QueryError::Event(EventError::Left));
        }
        let cut_off = e.failure.is_cut_off(cx, &e.members);
        let links = e.failure.links(&e.members);
        e.queries.ask(cx, &e.members, &mut e.events, links, cut_off, ask)
    }

    /// Asks for receipts of an event that this node has just fired, for so long. Each member that it is for, this node included,
    /// gives one when it has handed the event to its application, or a later one with which it was coalesced:
    /// [`super::Event::QueryAck`]. With the last one, or after the time, comes [`super::Event::QueryDone`]; [`Node::awaited`]
    /// names who has given none. As a query it takes a place of the memory's `queries`.
    ///
    /// # Errors
    /// [`QueryError`]; the event is on its way all the same. After [`EventError::Full`] it may be tried again.
    pub fn receipts(
        &mut self,
        now: Instant,
        fired: &Fired<'_>,
        timeout: Duration,
    ) -> Result<EventId, QueryError> {
        self.enter(now);
        let (cx, e) = (&mut self.cx, &mut self.engines);
        let cut_off = e.failure.is_cut_off(cx, &e.members);
        let links = e.failure.links(&e.members);
        e.queries.ask_receipts(cx, &e.members, &mut e.events, links, cut_off, fired, timeout)
    }

    /// Ends a query of this node's: nothing more is told of it. What others still answer is confirmed, and dropped.
    pub fn cancel_query(&mut self, query: EventId) {
        self.engines.queries.cancel(query);
    }

    /// Answers a query that [`super::Event::Query`] has told of: once, and in its time.
    ///
    /// # Errors
    /// [`QueryError`]; after [`QueryError::Full`] and [`QueryError::TooLong`] it may be tried again.
    pub fn respond(&mut self, now: Instant, query: EventId, payload: &[u8]) -> Result<(), QueryError> {
        self.answer(now, query, Some(payload))
    }

    /// Says that there is no answer to a query, so that nobody waits for one.
    ///
    /// # Errors
    /// As [`Node::respond`].
    pub fn decline(&mut self, now: Instant, query: EventId) -> Result<(), QueryError> {
        self.answer(now, query, None)
    }

    fn answer(&mut self, now: Instant, query: EventId, payload: Option<&[u8]>) -> Result<(), QueryError> {
        self.enter(now);
        let (cx, e) = (&mut self.cx, &mut self.engines);
        e.queries.respond(cx, &e.members, &mut e.events, query, payload)
    }

    /// Says whether the application takes events now. While it does not, [`Node::poll`] keeps them: user events up to a
    /// quarter of the slots (beyond that new ones are left unrecorded, to be had from others later), of each member the
    /// last state, and no member is forgotten.
    pub fn set_app_ready(&mut self, ready: bool) {
        self.engines.members.app_ready = ready;
    }

    /// Goes on where a former life of this node has ended, as if it had been cut off meanwhile: what was handed out then is not handed
    /// out again, what it has missed is fetched from members of the same fleet that hold it still. To be called before
    /// [`Node::start`] and all else. Whoever finds its members in another fleet by then takes up with what is fired from now on.
    ///
    /// Until it has caught up with somebody it counts no gaps; a fleet that goes on as a whole in this way counts none at all
    /// ([`crate::Stats::event_gaps`]) until somebody comes who has none of it.
    ///
    /// Goes through the events once for each of them, if they are not sorted.
    #[cfg(feature = "recall")]
    pub fn recall(&mut self, now: Instant, past: &Past<'_>) {
        self.enter(now);
        self.engines.events.recall(&mut self.cx, past);
    }

    /// Starts as a member of an existing fleet: joins through `seeds` (8 at most are used), and neither accepts nor
    /// delivers events before the first answer, or until the join timeout has passed and it starts alone. The seeds are
    /// tried again for ever, so that a fleet that was cut in two finds together.
    pub fn start(&mut self, now: Instant, seeds: &[SocketAddr]) {
        if !seeds.is_empty() && !self.engines.members.is_leaving() {
            self.cx.now = now;
            let seeds = seeds.iter().map(|seed| (*seed).into());
            self.sync.start(&mut self.cx, &mut self.engines, seeds);
        }
    }

    /// Joins a fleet through one of its members. [`super::Event::Joined`] or [`super::Event::JoinFailed`] follows.
    /// `replay`: events from before the join are wanted; a node that is in a fleet with others already gets none. The address is
    /// remembered as a seed.
    ///
    /// # Errors
    /// [`JoinError`]; nothing was begun.
    pub fn join(&mut self, now: Instant, addr: SocketAddr, replay: bool) -> Result<(), JoinError> {
        if self.engines.members.is_leaving() {
            return Err(JoinError::Left);
        }
        self.cx.now = now;
        let begun = self.sync.join(&mut self.cx, &mut self.engines, addr.into(), replay);
        if begun { Ok(()) } else { Err(JoinError::Busy) }
    }

    /// Gives up what [`Node::join`] has begun with this address and nobody has answered: nothing follows. It stays a seed.
    pub fn cancel_join(&mut self, addr: SocketAddr) {
        self.sync.joins.cancel(addr.into());
    }

    /// Has the next polls hand out all that waits for later values: for a node that is about to end. Leaving ends with this.
    pub fn end_windows(&mut self, now: Instant) {
        self.cx.now = now;
        self.engines.events.end_windows();
    }

    /// Leaves the fleet in good order. [`super::Event::Left`] follows when the word has spread; then the node can be
    /// released.
    ///
    /// # Errors
    /// [`LeaveError`] if it is leaving already.
    pub fn leave(&mut self, now: Instant) -> Result<(), LeaveError> {
        self.cx.now = now;
        self.finish_reaping();
        let begun = self.engines.members.begin_leave(&mut self.cx);
        if begun { Ok(()) } else { Err(LeaveError::AlreadyLeaving) }
    }

    /// Declares a failed member as left, or (if it lives after all) asks it to say so. Unknown names are no error.
    /// `prune`: its record is erased everywhere.
    pub fn force_leave(&mut self, now: Instant, name: &str, prune: bool) {
        self.cx.now = now;
        self.finish_reaping();
        let ltime = self.cx.clocks.member.stamp();
        let intent = LeaveIntent { ltime, node: name, prune };
        let effect = self.engines.members.leave_intent(&mut self.cx, &intent);
        // Others may know whom this node does not.
        self.apply(effect, &Message::LeaveIntent(intent));
    }

    /// Tells the others that they reach this node at another address from now on, as its machine has moved. It stays the same member, in the
    /// same life: who has believed it to be elsewhere asks there, and then here. Queries that wait are answered at the old address.
    ///
    /// An address without a host or a port is passed over.
    pub fn set_address(&mut self, now: Instant, addr: SocketAddr) {
        self.cx.now = now;
        self.engines.members.set_address(&self.cx, addr.into());
    }

    /// Replaces this node's tags (encoded, as in [`crate::Identity`]) and spreads them.
    ///
    /// # Errors
    /// [`TagsError`]; the old ones stay.
    pub fn set_tags(&mut self, now: Instant, tags: &[u8]) -> Result<(), TagsError> {
        self.cx.now = now;
        let set = self.engines.members.set_tags(&self.cx, tags);
        if set { Ok(()) } else { Err(TagsError::TooLong) }
    }
}

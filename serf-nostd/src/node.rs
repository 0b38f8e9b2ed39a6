//! The node: the only door of the core. It hands each input to the room that judges it, and carries what follows from
//! one room to the others; it knows no rule of its own.

mod dispute;
mod events;
mod fleet;
mod join;
mod orders;
mod receive;
mod repair;
mod send;
mod suspect;
mod write;

use core::error::Error;
use core::fmt;
use core::net::SocketAddr;

use crate::clock::{Clocks, LTIME_LIMIT, Lamport, Word};
use crate::config::Config;
use crate::detect::probe::Detector;
use crate::detect::suspicion::{self, Confirmers};
use crate::event::coalesce::Coalescer;
use crate::event::pull::Pulls;
use crate::event::rate::Rate;
use crate::event::seen::Seen;
use crate::event::store::{Pin, Store, UserEvent};
use crate::gossip::heal::{Heal, JOINS};
use crate::gossip::owed::{Answer, Owed};
use crate::gossip::passed::Passed;
use crate::gossip::queue::Queue;
use crate::gossip::round::Round;
use crate::hash;
use crate::member::intents::Early;
use crate::member::machine::{Effect, Members, Moment};
use crate::member::record::{State, Told, say};
use crate::member::table::{Parts, SELF, Table};
use crate::member::told::Telling;
use crate::member::{Member, MemberChange};
use crate::random::Random;
use crate::rules::{Rule, Settings};
use crate::slice::Ring;
use crate::stats::Stats;
use crate::storage::Memory;
use crate::time::{Duration, Instant};
use crate::wire::message::{Address, EventId, NAME_MAX, TAGS_MAX, Versions};

use fleet::Left;
pub use orders::{EventError, JoinError, LeaveError, TagsError};

/// Who a node is.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Identity<'i> {
    /// Unique in the cluster; 1 to 128 bytes, and no longer than the storage's names.
    pub name: &'i str,
    /// Where others reach it.
    pub addr: SocketAddr,
    /// Which life of this node: greater than that of every earlier one (a counter in flash, or the wall clock in
    /// milliseconds). Below 2^46.
    pub boot: u64,
    /// Tells two machines apart that have one name and one boot number (a cloned disk or flash): random, or at least
    /// different for each machine (of its address or serial number).
    pub instance: u16,
    /// Encoded tags: 0xff, then a MessagePack map of strings, or empty. At most 512 bytes.
    pub tags: &'i [u8],
    /// Versions it speaks.
    pub versions: Versions,
}

impl Identity<'_> {
    /// The versions of Serf 0.8 to 0.10: memberlist 1..5 speaking 2, Serf 2..5 speaking 5.
    pub const VERSIONS: Versions = [1, 5, 2, 2, 5, 5];
}

/// Something that comes in.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input<'i> {
    /// A UDP datagram.
    Datagram {
        /// Where it came from.
        from: SocketAddr,
        /// Its payload.
        bytes: &'i [u8],
    },
}

/// Something to do.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Output<'o> {
    /// Send this datagram. If it can't be sent, drop it: the protocol's own retries cover it.
    Datagram {
        /// Where to.
        to: SocketAddr,
        /// Its payload, in the buffer given to [`Node::poll`].
        bytes: &'o [u8],
    },
    /// Something that the application wants to know.
    Event(Event<'o>),
    /// Nothing to do before this instant, unless something comes in.
    Sleep(Instant),
}

/// News for the application.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event<'o> {
    /// A user event: at most once per event and boot.
    User(UserEvent<'o>),
    /// A member changed. Changes of one window come one after the other.
    Member(MemberChange, Member<'o>),
    /// A join was answered.
    Joined(SocketAddr),
    /// A join was not answered in time.
    JoinFailed(SocketAddr),
    /// The first join was refused: another node that answers has this name. The node should be shut down.
    NameTaken(SocketAddr),
    /// Another node, at this address, goes by this node's name, and both live: two fleets have met, or a machine was
    /// cloned. The others go by whoever booted first. Told once a minute at most; one of the two should be renamed.
    NameConflict(SocketAddr),
    /// [`Node::leave`] is complete.
    Left,
}

/// Why a node can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SetupError {
    /// This field of [`Memory`] has a length that breaks its rule.
    Memory(&'static str),
    /// The name is empty, longer than 128 bytes, or longer than the storage's names.
    Name,
    /// The tags are longer than 512 bytes, or than the storage's tags.
    Tags,
    /// The boot number is not below 2^46.
    Boot,
    /// The limit for events is beyond what fits a datagram: 1,350 bytes.
    EventSize,
    /// One of the intervals and timeouts of a second's work (probe, gossip, reconnect) is zero.
    Timing,
    /// The floor is not below 2^61: what stands there was never written.
    Floor,
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupError::Memory(field) => {
                write!(f, "the memory for {field} has a length that breaks its rule")
            }
            SetupError::Name => {
                f.write_str("the name is empty, longer than 128 bytes, or than the storage's")
            }
            SetupError::Tags => f.write_str("the tags are longer than 512 bytes, or than the storage's"),
            SetupError::Boot => f.write_str("the boot number is not below 2^46"),
            SetupError::EventSize => f.write_str("the limit for events is above 1,350 bytes"),
            SetupError::Timing => f.write_str("an interval or timeout is zero"),
            SetupError::Floor => f.write_str("the event floor is not below 2^61"),
        }
    }
}

impl Error for SetupError {}

/// How much of what is bounded is in use: for `serf info`, and for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Levels {
    /// Members held, this node included.
    pub members: usize,
    /// Of them failed.
    pub failed: usize,
    /// Of them left.
    pub left: usize,
    /// Lamport time of the next intent.
    pub member_time: u64,
    /// Lamport time of the next event.
    pub event_time: u64,
    /// Lamport time of the next query.
    pub query_time: u64,
    /// Events at or below this Lamport time are not delivered any more.
    pub event_floor: u64,
    /// Which fleet this node is in, as far as events go; 0 until it has met somebody.
    pub fleet: u32,
    /// Identities of events remembered.
    pub seen: usize,
    /// Slots in use for events and foreign messages.
    pub slots: usize,
    /// Own events that others have not shown to have.
    pub own: usize,
    /// Events held by the coalescer.
    pub coalescing: usize,
    /// Events that wait for the application.
    pub waiting: usize,
    /// News about members still to be sent.
    pub gossip: usize,
    /// Lifeguard's health score, 0 is well.
    pub awareness: u8,
}

/// Longest event, name and payload together, that fits a datagram with everything around it.
const EVENT_MAX: usize = 1_350;

/// Leaving, step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// The intent is spreading.
    Intent(Instant),
    /// The word that we have left is spreading.
    Left(Instant),
    /// Time for the others to pass it on.
    Linger(Instant),
    /// Done, and told.
    Done,
}

/// What became of a join, to be told.
#[derive(Clone, Copy, Debug)]
enum Joined {
    Yes(Address),
    No(Address),
    NameTaken(Address),
    Conflict(Address),
}

/// Boot numbers are below this, so that with the instance behind them they are below every limit on the wire.
const BOOT_LIMIT: u64 = 1 << 46;

/// One member of the cluster: this one.
///
/// `handle`, `poll` and the orders do a bounded amount of work each: proportional to the datagram and to small fixed
/// capacities, never to the number of members, but for three rare moments (own address of a peer unknown to the table
/// aside): a clock that jumped, and the end of an isolation, touch each suspect or private verdict once.
pub struct Node<'a> {
    config: Settings,
    members: Members<'a>,
    confirmers: Confirmers<'a>,
    detector: Detector<'a>,
    seen: Seen<'a>,
    store: Store<'a>,
    windows: Coalescer<'a>,
    waiting: Ring<'a, u16>,
    pulls: Pulls<'a>,
    owed: Ring<'a, Owed>,
    queue: Queue,
    heal: Heal,
    round: Option<Round>,
    /// Own news (bits of `say`) that goes to many members at once, besides the usual gossip: who joins, leaves or
    /// contradicts wants to be heard before timers run out.
    shout: u8,
    /// Not before this: whoever provokes it must not draw a flood.
    next_shout: Instant,
    told_joins: heapless::Deque<Joined, JOINS>,
    clocks: Clocks,
    random: Random,
    secret: u64,
    stats: Stats,
    boot: u64,
    origin: u64,
    cluster: Option<u32>,
    /// Neither stamping nor delivering before this, or the first join answer.
    starting: Option<Instant>,
    joined: bool,
    /// The fleet of events that this node is in; 0: it has met nobody, and takes in no events of others.
    fleet: u32,
    /// Since when there has been that fleet.
    fleet_since: Instant,
    /// The one that it has just left: it takes in what comes from there, too.
    left: Option<Left>,
    /// It has founded that fleet, and has heard of nobody yet who is in it.
    founding: bool,
    /// How many rounds still tell others which fleet it is in.
    fleet_news: u8,
    /// Events at or below it are from before this node met its fleet.
    met_at: EventId,
    /// Nobody answers, or nobody is there.
    cut_off: bool,
    /// The question by which a node that somebody hears again asks where the others have gone: the first one only, as anybody
    /// can make it ask. 0: it has not asked.
    way_back: u32,
    /// A name conflict is not told again before this.
    next_conflict: Instant,
    leave: Option<Leave>,
    /// Whether the application takes events.
    taking: bool,
    /// When somebody was last heard.
    last_heard: Instant,
    /// When somebody last answered a question of this node's.
    last_answer: Instant,
    /// By when the last poll wanted to be called again.
    promised: Instant,
    /// Whose end is being told, and whether it has been: then it is erased.
    erasing: Option<(u16, bool)>,
    foreign: Passed,
    rate: Rate,
}

impl<'a> Node<'a> {
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
        memory.check().map_err(SetupError::Memory)?;
        let members = memory.members.len();
        if identity.name.is_empty() || identity.name.len() > NAME_MAX.min(memory.names.len() / members) {
            return Err(SetupError::Name);
        }
        if identity.tags.len() > TAGS_MAX.min(memory.tags.len() / members) {
            return Err(SetupError::Tags);
        }
        let table = Table::new(Parts {
            slots: memory.members,
            cases: memory.cases,
            names: memory.names,
            tags: memory.tags,
            index: memory.member_index,
            order: memory.probe_order,
            suspects: memory.suspects,
            gone: memory.gone,
        });
        let floor = match config.event_floor {
            0 => EventId::LOWEST,
            ltime => EventId { ltime, origin: u64::MAX },
        };
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
        let instance = if config.has(Rule::Instance) { identity.instance } else { 0 };
        let boot = identity.boot << u16::BITS | instance as u64;
        let capacity = memory.seen.len();
        let cluster = config.cluster.map(|name| hash::bytes(name.as_bytes()) as u32);
        let mut clocks = Clocks::new(now);
        clocks.event.adopt(config.event_floor.saturating_add(1));
        let heal = Heal::new(now, config.reconnect_interval);
        let mut node = Node {
            members: Members { table, early: Early::new(memory.intents), telling: Telling::new() },
            confirmers: Confirmers::new(memory.confirmers),
            detector: Detector::new(memory.relays, now),
            seen: Seen::new(memory.seen, floor, config.has(Rule::Floor)),
            store: Store::new(memory.slots, memory.slot_index, memory.arena),
            windows: Coalescer::new(memory.windows, memory.window_index),
            waiting: Ring::new(memory.waiting),
            pulls: Pulls::new(memory.pulls),
            owed: Ring::new(memory.owed),
            queue: Queue::new(),
            heal,
            round: None,
            shout: 0,
            next_shout: Instant::PAST,
            told_joins: heapless::Deque::new(),
            clocks,
            secret: Random::new(!seed).next(),
            random: Random::new(seed),
            stats: Stats::default(),
            boot,
            origin: origin(&config, identity.name, boot),
            cluster,
            starting: None,
            joined: false,
            fleet: 0,
            fleet_since: now,
            left: None,
            founding: false,
            fleet_news: 0,
            met_at: floor,
            cut_off: true,
            way_back: 0,
            next_conflict: Instant::PAST,
            leave: None,
            taking: true,
            last_heard: now,
            last_answer: now,
            promised: Instant::FAR,
            erasing: None,
            foreign: Passed::new(now),
            rate: Rate::new(capacity, now),
            config,
        };
        let table = &mut node.members.table;
        table.admit(identity.name).map_err(|_| SetupError::Name)?;
        table.edit(SELF, |slot| {
            slot.state = State::Alive;
            slot.boot = boot;
            slot.incarnation = 1;
            slot.addr = identity.addr.into();
            slot.versions = identity.versions;
        });
        table.set_tags(SELF, Some(identity.tags));
        node.members.telling.note(node.members.table.slots, SELF, now);
        Ok(node)
    }

    /// Ends this node at once, without a word to the others, and gives its memory back.
    pub fn release(self) -> Memory<'a> {
        let parts = self.members.table.release();
        let (slots, slot_index, arena) = self.store.release();
        let (windows, window_index) = self.windows.release();
        Memory {
            members: parts.slots,
            cases: parts.cases,
            names: parts.names,
            tags: parts.tags,
            member_index: parts.index,
            probe_order: parts.order,
            suspects: parts.suspects,
            gone: parts.gone,
            seen: self.seen.release(),
            slots,
            slot_index,
            arena,
            waiting: self.waiting.release(),
            windows,
            window_index,
            intents: self.members.early.release(),
            owed: self.owed.release(),
            relays: self.detector.release(),
            pulls: self.pulls.release(),
            confirmers: self.confirmers.release(),
        }
    }

    /// This node as others see it.
    pub fn this(&self) -> Member<'_> {
        self.members.table.member(SELF)
    }

    /// All members that this node holds, itself included; on a device its own view, which may be a part of the fleet.
    pub fn members(&self) -> impl Iterator<Item = Member<'_>> + '_ {
        let table = &self.members.table;
        table.iter().filter(|id| !table.slot(*id).is_pruned()).map(|id| table.member(id))
    }

    /// One member by name.
    pub fn member(&self, name: &str) -> Option<Member<'_>> {
        let table = &self.members.table;
        table.find(name).filter(|id| !table.slot(*id).is_pruned()).map(|id| table.member(id))
    }

    /// How many members are believed to live, this node included.
    pub fn live(&self) -> usize {
        self.members.table.live() + 1
    }

    /// What has been counted.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How much of what is bounded is in use.
    pub fn levels(&self) -> Levels {
        let table = &self.members.table;
        let gone = table.gone.ids().iter().map(|id| table.slot(*id));
        let pruned = gone.clone().filter(|slot| slot.is_pruned()).count();
        let failed = gone.clone().filter(|slot| slot.state == State::Failed).count();
        Levels {
            members: table.len() - pruned,
            failed,
            left: gone.count() - failed - pruned,
            member_time: self.clocks.member.now(),
            event_time: self.clocks.event.now(),
            query_time: self.clocks.query.now(),
            event_floor: self.seen.floor().ltime,
            fleet: if self.founding { 0 } else { self.fleet },
            seen: self.seen.len(),
            slots: self.store.used(),
            own: self.store.pinned(Pin::Own),
            coalescing: self.windows.held(),
            waiting: self.waiting.len(),
            gossip: self.queue.len(),
            awareness: self.detector.awareness(),
        }
    }

    /// Whether this node is still waiting for its first join answer: events are neither accepted nor delivered.
    pub fn is_starting(&self) -> bool {
        self.starting.is_some()
    }

    /// Says whether the application takes events now. While it does not, [`Node::poll`] keeps them: user events up to a
    /// quarter of the slots (beyond that new ones are left unrecorded, to be had from others later), of each member the
    /// last state, and no member is forgotten.
    pub fn take_events(&mut self, taking: bool) {
        self.taking = taking;
    }

    /// Walks all invariants; panics with what is broken. For simulators.
    #[cfg(any(test, feature = "sabotage"))]
    pub fn check(&mut self) {
        self.members.table.check();
        self.seen.check();
        self.store.check();
        assert!(self.windows.held() <= self.store.pinned(Pin::Coalescer));
        assert!(self.waiting.len() == self.store.pinned(Pin::Application));
        // A quarter by the quota, and what the coalescer's quarter has become since.
        assert!(self.waiting.len() <= 1 + self.store.capacity() / 2, "too much waits for the application");
    }

    /// Forgets the member whose end has been shown.
    fn finish_erasing(&mut self, now: Instant) {
        if let Some((id, true)) = self.erasing {
            self.erasing = None;
            let end = self.members.table.case(id).since + self.config.tombstone_timeout;
            let pruned = self.members.table.slot(id).is_pruned();
            if pruned && end > now && self.config.has(Rule::Tombstone) {
                // Hidden, and remembered as long as those who were away may bring it back.
                self.members.table.slot_mut(id).told = Told::Nothing;
                self.members.table.time(id, end);
                return;
            }
            self.forget(id);
            // There is room: whoever could not be held may be met again by comparing.
            self.members.table.partial = false;
        }
    }

    fn forget(&mut self, id: u16) {
        self.queue.drop(self.members.table.cases, id);
        self.members.telling.drop(self.members.table.slots, id);
        self.confirmers.forget(id);
        self.detector.forget(id);
        self.heal.conflicts.retain(|conflict| conflict.holder != id);
        self.heal.tried.take_if(|(tried, _)| *tried == id);
        for place in 0..self.members.table.suspects.len() {
            let suspect = self.members.table.suspects.ids()[place];
            let case = self.members.table.case_mut(suspect);
            if case.accuser() == Some(id) {
                case.set_accuser(Some(SELF));
            }
        }
        self.members.table.erase(id);
    }

    fn moment(&mut self, now: Instant) -> (&mut Members<'a>, Moment<'_>) {
        let moment = Moment { now, config: &self.config, stats: &mut self.stats, random: &mut self.random };
        (&mut self.members, moment)
    }

    /// Moves a clock past a received time; false if that is out of reach, and what carried it refused.
    fn witness(&mut self, now: Instant, which: Lamport, word: Word, seen: u64) -> bool {
        let paced = self.config.has(Rule::ClockPace);
        let fits = self.clocks.witness(which, now, word, seen, paced).is_ok();
        self.stats.clock_refused += !fits as u64;
        fits
    }

    /// Moves the clocks of intents, events and queries past a peer's, as far as they may go.
    fn witness_all(&mut self, now: Instant, word: Word, theirs: [u64; 3]) {
        let own = self.clocks.all();
        for (which, clock) in [Lamport::Member, Lamport::Event, Lamport::Query].into_iter().enumerate() {
            // A clock tells the time of its next message: what was seen is one less.
            if theirs[which] > own[which] {
                self.witness(now, clock, word, theirs[which] - 1);
            }
        }
    }

    /// Carries what follows from news about members to the other rooms.
    fn follow(&mut self, now: Instant, effect: Effect) {
        match effect {
            Effect::Nothing | Effect::Foreign => {}
            Effect::Erase(id) => {
                // Its end is told first; the newcomer is held when it is met again.
                if self.erasing.is_none() {
                    self.stats.members_evicted += 1;
                    self.erasing = Some((id, false));
                }
            }
            Effect::Say(id, bits) => {
                if id != SELF {
                    self.joined = true;
                    if bits & say::STATE != 0 && self.members.table.slot(id).is_live() {
                        // Somebody came, or came back: perhaps with other last values.
                        self.heal.value_pace.changed(now);
                    }
                    if !self.members.table.slot(id).is_live() || bits & say::STATE != 0 {
                        self.confirmers.forget(id);
                    }
                }
                self.heal.member_pace.changed(now);
                self.say(id, bits);
                self.prune(now, id);
            }
            Effect::Suspected(id) => {
                let doubted = self.detector.end_doubt(id);
                self.start_suspicion(now, doubted.unwrap_or(now), id, true);
                if doubted.is_some() {
                    self.accuse_too(now, id);
                }
            }
            Effect::Confirmed(_) => {}
            Effect::Refute { incarnation, boot } => self.refute(incarnation, boot),
            Effect::Contradict(ltime) => {
                // The clock is past it: it was witnessed before the intent was looked at.
                debug_assert!(self.clocks.member.now() > ltime);
                let ltime = self.clocks.member.stamp();
                self.members.table.edit(SELF, |slot| slot.status_ltime = ltime);
                self.stats.refuted += 1;
                self.say(SELF, say::JOIN);
            }
            Effect::Conflict(holder, claim) => self.dispute(now, holder, claim, None),
            Effect::Namesake(claim) => self.namesake(now, claim),
            Effect::Doubted(id) => {
                // As in Serf, another node's "failed" is a suspicion here; it is told to the suspect itself at once.
                if self.members.table.slot(id).state == State::Alive {
                    self.members.table.edit(id, |slot| slot.state = State::Suspect);
                    self.members.table.case_mut(id).accuse(Some(SELF));
                    self.start_suspicion(now, now, id, true);
                }
                let seq = self.random.next() as u32;
                self.owe_member(id, Answer::Ping { seq, target: id });
            }
        }
    }

    /// As `judge` says; if a newcomer wants the place of somebody of whose end the application need not be told, that one
    /// goes at once.
    fn with_room(
        &mut self,
        now: Instant,
        judge: impl Fn(&mut Members<'a>, &mut Moment<'_>) -> Effect,
    ) -> Effect {
        let (members, mut moment) = self.moment(now);
        let effect = judge(members, &mut moment);
        let Effect::Erase(id) = effect else { return effect };
        self.members.table.partial = true;
        if !self.taking {
            // Nobody can be told of an end.
            self.stats.members_unheld += 1;
            return Effect::Foreign;
        }
        let slot = self.members.table.slot(id);
        if slot.told == Told::Joined
            || slot.is_to_be_told()
            || self.erasing.is_some_and(|(erased, _)| erased == id)
        {
            return effect;
        }
        self.stats.members_evicted += 1;
        self.forget(id);
        let (members, mut moment) = self.moment(now);
        judge(members, &mut moment)
    }

    /// Queues news about a member, unless it is a verdict of a node that hears nobody.
    fn say(&mut self, id: u16, bits: u8) {
        self.queue.say(self.members.table.cases, id, bits);
        if id == SELF {
            self.shout |= bits;
        }
    }

    fn owe(&mut self, to: Address, limit: usize, what: Answer) {
        if !self.owed.push_back(Owed { to, limit: limit.min(u16::MAX as usize) as u16, what }) {
            self.stats.answers_refused += 1;
        }
    }

    /// Something owed to a member at its own address.
    fn owe_member(&mut self, id: u16, what: Answer) {
        self.owe(self.members.table.slot(id).addr, usize::MAX, what);
    }

    /// What entitles somebody at this address to payloads: only who gets our datagrams there knows it.
    fn token(&self, to: Address) -> u32 {
        (hash::mix(hash::mix(to.hash() as u64 ^ self.secret) ^ self.secret.rotate_left(32)) >> 32) as u32
    }

    /// Takes an event's place among those handed to the application, or in its window.
    fn hand_over(&mut self, now: Instant, slot: u16) {
        let event = self.store.event(slot);
        if !event.coalesce || self.config.coalesce_quantum == Duration::ZERO {
            return self.deliver(slot);
        }
        let (name, id) = (hash::bytes(event.name), event.id);
        let len = event.name.len() + event.payload.len();
        while self.store.quota_full(Pin::Coalescer, len) {
            let Some(held) = self.windows.oldest() else { break };
            self.stats.coalesce_early += 1;
            self.store.unpin(held, Pin::Coalescer);
            if self.config.has(Rule::CoalesceEarly) {
                self.deliver(held);
            }
        }
        let silent = self.is_from_before(id) && self.windows.is_silent(name);
        let outcome = self.windows.offer(name, id, slot, silent, now, &self.config, &mut self.stats);
        if let Some(early) = outcome.deliver {
            self.store.unpin(early, Pin::Coalescer);
            self.deliver(early);
        }
        if let Some(old) = outcome.superseded {
            self.store.unpin(old, Pin::Coalescer);
        }
        if let Some(value) = outcome.replaced {
            self.store.keep_value(value, false);
        }
        if outcome.newest {
            self.store.keep_value(id, true);
            self.heal.value_pace.changed(now);
        }
        if outcome.held {
            self.store.pin(slot, Pin::Coalescer);
        }
    }

    /// Whether an event was fired before this node met its fleet: its name's last value is taken over then, but not told.
    fn is_from_before(&self, id: EventId) -> bool {
        id <= self.met_at && id.origin != self.origin
    }

    fn deliver(&mut self, slot: u16) {
        // As many places as there are slots, and each slot waits once.
        if self.waiting.push_back(slot) {
            self.store.pin(slot, Pin::Application);
        }
    }

    /// Marks an event as seen.
    fn record(&mut self, now: Instant, id: EventId) {
        self.seen.insert(id);
        self.heal.event_pace.changed(now);
        self.stats.events_new += 1;
    }

    /// How often news is sent.
    fn transmissions(&self) -> usize {
        let n = self.members.table.len();
        (self.config.retransmit_mult as usize * suspicion::log10_ceil(n) as usize).clamp(1, u8::MAX as usize)
    }
}

/// Who fires, in the events of one life.
fn origin(config: &Settings, name: &str, boot: u64) -> u64 {
    let boot = if config.has(Rule::OriginBoot) { boot } else { 0 };
    hash::mix(hash::bytes(name.as_bytes()) ^ hash::mix(boot))
}

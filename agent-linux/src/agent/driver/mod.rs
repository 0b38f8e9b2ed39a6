//! The run loop around the gossip core: what comes in is handed to the node, what the node wants done is done.
//!
//! - `address`: where others reach this agent.
//! - `commands`: events, leaving, tags: what the agent's users ask for, and what waits for its answer.
//! - `joins`: joins under way.
//! - `queries`: asked here, and answered here.
//! - `keys`: what the fleet seals with.
//! - `receipts`: of events of this agent's users.
//! - `once`: events whose handlers run once in the fleet.
//! - `news`: what the node tells, for handlers and streams.
//! - `figures`: all that is counted and bounded.
//! - `report`: `serf info`.
//! - `record`: what the snapshot is told.
//! - `warnings`: what the log tells of what is refused and lost.

mod address;
mod commands;
mod figures;
mod joins;
mod keys;
mod news;
mod once;
mod queries;
mod receipts;
mod record;
mod report;
mod warnings;

use std::collections::{HashSet, VecDeque};
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serf_nostd::wire::packet::cluster_name;
use serf_nostd::{DATAGRAM_MAX, Event as CoreEvent, Input, Instant, Node, Output, Reject};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant as Wall;

pub(super) use self::address::Advertised;
use self::commands::Pending;
use self::joins::Joins;
use self::keys::Keys;
use self::once::Turns;
use self::queries::Queries;
use self::receipts::Awaited;
use self::warnings::Warnings;
use super::error::Refusal;
use super::farewell::Farewell;
use super::handle::Request;
use super::handler::Handlers;
use super::hub::Hub;
use super::model::{Member, MemberEventKind};
use super::once::{NAME as ONCE, Word};
use super::operators;
use super::query::Reply;
use super::snapshot::{Handed, Recorder, Standing};
use super::socket::{Incoming, Socket};
use super::timer::Timer;

/// Datagrams, and requests, taken in before the next look at everything else.
const BATCH: usize = 64;

/// More than any datagram of either wire; a longer one is cut off and refused.
const RECEIVE: usize = 2048;

/// How often the node is told what time it is: a clock may be set, long after the start.
const TIME_TOLD: Duration = Duration::from_secs(10);

/// Why a node has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has left the cluster, as it was told to.
    Left,
    /// Another node that answers has its name; so said the member at this address.
    NameTaken(SocketAddr),
    /// Nobody holds a [`super::handle::Handle`] any more.
    Abandoned,
}

/// What the socket refused.
#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    unsent: u64,
    send_errors: u64,
    receive_errors: u64,
}

/// Changes of members that handlers and streams were told of.
#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    joins: u64,
    leaves: u64,
    failures: u64,
    updates: u64,
}

/// What a driver works with.
pub(super) struct Parts<'n> {
    pub node: Node<'n>,
    pub clock: Clock,
    pub socket: Arc<Socket>,
    pub farewell: Farewell,
    pub advertised: Advertised,
    pub requests: mpsc::Receiver<Request>,
    pub hub: Hub,
    pub handlers: Handlers,
    /// Whether the first join that is asked for must be answered before anything is stamped or delivered.
    pub awaiting_first_join: bool,
    /// What the cluster is called, if anything.
    pub cluster: Option<&'static str>,
    /// Whether it ends when another node has its name.
    pub yields_name: bool,
    /// Where tags that are set at run time are kept.
    pub tags_file: Option<PathBuf>,
    /// Where keys are kept that are changed at run time.
    pub keyring_file: Option<PathBuf>,
    /// Writes the snapshot, if there is one, and then hands out what it was told.
    pub recorder: Option<Recorder>,
}

pub(super) struct Driver<'n> {
    node: Node<'n>,
    clock: Clock,
    socket: Arc<Socket>,
    farewell: Farewell,
    advertised: Advertised,
    requests: mpsc::Receiver<Request>,
    hub: Hub,
    handlers: Handlers,
    awaiting_first_join: bool,
    cluster: Option<&'static str>,
    yields_name: bool,
    tags_file: Option<PathBuf>,
    recorder: Option<Recorder>,
    /// What the snapshot was told last of clocks, floor and fleet, and when.
    stood: Option<(Standing, Wall)>,
    /// How many events there had been when it was told which of them are over.
    recorded: u64,
    tx: Box<[u8; DATAGRAM_MAX]>,
    traffic: Traffic,
    changes: Changes,
    /// Events and queries that the fleet had no room for, as long as they could wait.
    refused: u64,
    warnings: Warnings,
    /// Member changes of one kind that the node told one after the other.
    group: Option<(MemberEventKind, Vec<Member>)>,
    /// Whom the log has told to have failed, and of whom nothing else was told since.
    failed: HashSet<String>,
    pending: VecDeque<Pending>,
    queries: Queries,
    receipts: Vec<Awaited>,
    turns: Turns,
    keys: Keys,
    joins: Joins,
    leaving: Vec<oneshot::Sender<Result<(), Refusal>>>,
    /// How many members lived when the farewell was prepared.
    prepared_for: usize,
    /// When the node was told what time it is.
    told_time: Option<Wall>,
    end: Option<End>,
}

impl<'n> Driver<'n> {
    pub(super) fn new(parts: Parts<'n>) -> Driver<'n> {
        let Parts {
            node,
            clock,
            socket,
            farewell,
            advertised,
            requests,
            hub,
            handlers,
            awaiting_first_join,
            cluster,
            yields_name,
            tags_file,
            keyring_file,
            recorder,
        } = parts;
        Driver {
            node,
            clock,
            socket,
            farewell,
            advertised,
            requests,
            hub,
            handlers,
            awaiting_first_join,
            cluster,
            yields_name,
            tags_file,
            recorder,
            stood: None,
            recorded: 0,
            tx: Box::new([0; DATAGRAM_MAX]),
            traffic: Traffic::default(),
            changes: Changes::default(),
            refused: 0,
            warnings: Warnings::default(),
            group: None,
            failed: HashSet::new(),
            pending: VecDeque::new(),
            queries: Queries::new(),
            receipts: Vec::new(),
            turns: Turns::new(),
            keys: Keys::new(keyring_file),
            joins: Joins::new(),
            leaving: Vec::new(),
            prepared_for: 0,
            told_time: None,
            end: None,
        }
    }

    /// Runs the node until it ends. Whoever still waits for an answer learns that from its dropped reply.
    pub(super) async fn run(mut self) -> End {
        let mut rx = [0; RECEIVE];
        let Ok(mut timer) = Timer::new() else {
            log::error!(target: "agent", "There are no file descriptors left to begin with");
            return End::Abandoned;
        };
        // There was more in the socket than it takes at once: it is others' turn.
        let mut sated = false;
        loop {
            let wake = self.settle();
            if let Some(end) = self.end {
                self.farewell.forget();
                self.hand_out_all().await;
                return end;
            }
            timer.set(wake);
            tokio::select! {
                biased;
                received = self.socket.receive(&mut rx), if !sated => sated = self.receive(Some(received), &mut rx),
                // A process that had no CPU time for a while finds answers that came in time: they count first.
                () = timer.fired() => sated = self.receive(None, &mut rx),
                Some(answer) = self.queries.answered() => self.answer(answer),
                Some(kept) = self.keys.kept() => self.tell_kept(kept),
                Some((event, ran)) = self.turns.ended() => self.turn_ended(event, ran),
                Some(resolved) = self.joins.looked_up() => self.begin_join(resolved),
                () = record::relief(self.recorder.as_ref()) => {}
                request = self.requests.recv() => {
                    sated = false;
                    self.take(request);
                }
                () = ready(()), if sated => sated = false,
            }
        }
    }

    /// Takes in `first` and what else has come by now; whether there may be more.
    fn receive(&mut self, mut first: Option<io::Result<Incoming>>, rx: &mut [u8]) -> bool {
        let now = self.clock.now();
        for _ in 0..BATCH {
            match first.take().unwrap_or_else(|| self.socket.try_receive(rx)) {
                Ok(Incoming::Refusal(len, to)) => {
                    // Nothing is ever wrong with it.
                    let _ = self.node.handle(now, Input::Unreachable { to, quoted: &rx[..len] });
                }
                Ok(Incoming::Datagram(len, from)) => {
                    if let Err(reject) =
                        self.node.handle(now, Input::Datagram { from, bytes: &mut rx[..len] })
                    {
                        let theirs = cluster_name(&rx[..len]).filter(|_| reject == Reject::OtherCluster);
                        match theirs {
                            Some(theirs) => self.other_cluster(from, theirs),
                            None => self.warnings.refused(reject, from),
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => self.traffic.receive_errors += 1,
            }
        }
        true
    }

    /// Takes this request and what else is there: many events in a row then share datagrams.
    fn take(&mut self, first: Option<Request>) {
        let Some(first) = first else {
            self.end = Some(End::Abandoned);
            return;
        };
        self.handle_request(first);
        for _ in 1..BATCH {
            let Ok(request) = self.requests.try_recv() else { return };
            self.handle_request(request);
        }
    }

    /// What is said if the process ends at once.
    fn prepare_farewell(&mut self) {
        self.prepared_for = self.node.live();
        let (len, to) = self.node.last_words(&mut self.tx[..]);
        self.farewell.prepare(&self.socket, &self.tx[..len], to.into_iter().flatten());
    }

    /// Does all there is to do now; by when to come back.
    fn settle(&mut self) -> Wall {
        if self.told_time.is_none_or(|told| told.elapsed() >= TIME_TOLD) {
            self.told_time = Some(Wall::now());
            self.node.set_time(self.clock.now(), operators::now().into());
        }
        if self.prepared_for != self.node.live() {
            self.prepare_farewell();
        }
        if self.joins.deadline().is_some_and(|due| due <= Wall::now()) {
            self.advance_joins();
        }
        self.retry_answers();
        self.retry_kept();
        let mut until = self.drain();
        // What members tell one another comes before what users fire.
        if self.look_at_turns() {
            until = self.drain();
        }
        let mut accepted = true;
        while accepted && !self.pending.is_empty() {
            accepted = self.retry_pending();
            // What is accepted wants to be sent and delivered; what has to wait may want to be tried sooner.
            until = self.drain();
        }
        let patience = self.pending.front().map(|pending| pending.deadline);
        let until = self.clock.wall(until);
        [patience, self.turns.deadline(), self.joins.deadline()].into_iter().flatten().fold(until, Wall::min)
    }

    /// Does what the node wants done; until when that was all.
    fn drain(&mut self) -> Instant {
        if self.awaiting_first_join {
            return Instant::FAR;
        }
        let now = self.clock.now();
        if let Some(recorder) = &self.recorder {
            self.node.set_app_ready(!recorder.is_behind());
        }
        loop {
            self.note_standing();
            match self.node.poll(now, &mut self.tx[..]) {
                Output::Datagram { to, bytes } => match self.socket.send(bytes, to) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.traffic.unsent += 1,
                    Err(_) => self.traffic.send_errors += 1,
                },
                Output::Event(CoreEvent::Member(change, member)) => {
                    let (kind, member) = (news::kind(change), news::member(&member));
                    self.tell_member(kind, member);
                }
                Output::Event(CoreEvent::User(event)) if event.name == ONCE => {
                    if let Some(word) = Word::decode(event.payload) {
                        self.turns.once.heard(word, Wall::now());
                    }
                }
                Output::Event(CoreEvent::User(event)) => {
                    let (id, filters) = (event.id, event.filters.to_vec());
                    let handed = Handed { id, key: event.coalesce.then(|| event.key()) };
                    let event = news::user(&event);
                    self.tell_members();
                    let event = self.tell(event, Some(handed));
                    self.take_turn(id, filters, event);
                }
                Output::Event(CoreEvent::Query(asked)) => {
                    let question = queries::question(&self.queries, &asked);
                    self.asked(question);
                }
                Output::Event(CoreEvent::QueryAck(id, from)) => {
                    let from = from.to_owned();
                    self.acknowledged(id, from);
                }
                Output::Event(CoreEvent::QueryResponse(id, from, payload)) => {
                    let (from, mut payload) = (from.to_owned(), payload.to_vec());
                    if !self.key_answered(id, &from, &mut payload) {
                        self.queries.tell(id, Reply::Response { from, payload });
                    }
                }
                Output::Event(CoreEvent::QueryDone(id)) => {
                    self.queries.done(id);
                    self.receipts_done(id);
                    self.order_done(id);
                }
                Output::Event(CoreEvent::Keys(order, keys)) => {
                    let keys = keys.cloned().collect();
                    if let (Some(recorder), Some(order)) = (&self.recorder, order) {
                        recorder.handed(order);
                    }
                    self.keys_changed(order, keys);
                }
                Output::Event(CoreEvent::Joined(addr)) => self.joined(addr, true),
                Output::Event(CoreEvent::JoinFailed(addr)) => self.joined(addr, false),
                Output::Event(CoreEvent::NameTaken(addr)) if self.yields_name => {
                    self.end = Some(End::NameTaken(addr));
                }
                Output::Event(CoreEvent::NameTaken(addr) | CoreEvent::NameConflict(addr)) => {
                    let name = self.node.this().name;
                    let text = format!(
                        "Name conflict for '{name}': {addr} has this name as well; rename one of the two"
                    );
                    log::warn!(target: "serf", "{text}");
                }
                Output::Event(CoreEvent::Left) => self.left(),
                Output::Event(unknown) => log::debug!(target: "serf", "No use for {unknown:?}"),
                Output::Sleep(until) => {
                    self.tell_members();
                    self.warnings.counted(&self.node);
                    self.advertised.look(&self.node);
                    return until;
                }
            }
        }
    }
}

/// The core's clock: microseconds since the agent's start, of a clock that never goes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    zero: Wall,
}

/// The longest sleep: what is "never" to the core has to be a time to the timer.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

impl Clock {
    pub(super) fn start() -> Clock {
        Clock { zero: Wall::now() }
    }

    pub(super) fn now(&self) -> Instant {
        // 2^64 microseconds are half a million years.
        Instant::from_micros(self.zero.elapsed().as_micros() as u64)
    }

    fn wall(&self, until: Instant) -> Wall {
        let limit = Wall::now() + LONG;
        self.zero.checked_add(Duration::from_micros(until.as_micros())).map_or(limit, |wall| wall.min(limit))
    }
}

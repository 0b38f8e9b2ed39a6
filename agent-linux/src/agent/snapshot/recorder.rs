//! The thread that writes a snapshot, and hands out what stands in it: off the way of gossip, in the order in which things come.

use std::io::{PipeWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serf_nostd::Belonging;
use serf_nostd::wire::message::EventId;
use tokio::sync::{Notify, oneshot};

use super::file::{Head, SnapshotFile, State};
use super::ledger::Ledger;
use super::line::{Fleet, Handed, Line, Text};
use super::{LEASE, Snapshot, unix, written};
use crate::agent::error::words;
use crate::agent::handler::Handlers;
use crate::agent::hub::Hub;
use crate::agent::log::Pace;
use crate::agent::model::{Event, Member, MemberEventKind};

/// From so many events on that wait for the disk the core is to keep those that come.
const BEHIND: usize = 4096;

/// Written at once, at most.
const BATCH: usize = 256;

/// A file that is longer than this, and than twice what it was, is replaced by the fewest lines that say the same.
const SHORT: u64 = 256 << 10;

/// How often what could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How often the log tells that it cannot be.
const COMPLAINT: Duration = Duration::from_secs(30);

/// Lamport clocks, floor and fleet as they are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent) struct Standing {
    /// Times of the next intent, event and query.
    pub(in crate::agent) clocks: [u64; 3],
    pub(in crate::agent) floor: EventId,
    pub(in crate::agent) belonging: Option<Belonging>,
}

/// What has become of the snapshot since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::agent) struct Counters {
    /// The file, in bytes.
    pub(in crate::agent) bytes: u64,
    /// How often it was replaced.
    pub(in crate::agent) compactions: u64,
    /// How often something could not be written.
    pub(in crate::agent) errors: u64,
    /// Events that wait to be written.
    pub(in crate::agent) waiting: usize,
}

/// What holds a script back until it stands in the snapshot as begun: its standard input, and what it is to read there.
#[derive(Debug)]
pub(in crate::agent) struct Gate {
    pub(in crate::agent) stdin: PipeWriter,
    pub(in crate::agent) input: Vec<u8>,
    /// Told when it is open; dropped if it never will be.
    pub(in crate::agent) opened: oneshot::Sender<()>,
}

#[derive(Debug)]
enum Entry {
    /// With a ticket for its scripts, if it is to be recorded.
    Tell(Arc<Event>, Option<(Handed, Ticket)>),
    /// It was handed out otherwise.
    Handed(EventId),
    /// All that are over.
    Settled(Vec<EventId>),
    /// Scripts that a former life has left.
    Resume(Arc<Event>, Ticket),
    /// This script has begun.
    Begun(EventId, u64, Option<Gate>),
    /// All have.
    Ran(EventId),
    Standing(Standing),
    Leave,
    Flush(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// The door to the thread. Clones are the same.
#[derive(Clone, Debug)]
pub(in crate::agent) struct Recorder {
    entries: Sender<Entry>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    /// Told when few wait again.
    relief: Notify,
    bytes: AtomicU64,
    compactions: AtomicU64,
    errors: AtomicU64,
}

/// For the scripts of one event.
#[derive(Clone, Debug)]
pub(in crate::agent) struct Ticket {
    recorder: Recorder,
    id: EventId,
    /// Those that have begun in a former life.
    pub(in crate::agent) begun: Arc<[u64]>,
}

impl Ticket {
    /// This script begins: opens its gate when that stands in the snapshot, else never.
    pub(in crate::agent) fn begin(&self, script: u64, gate: Option<Gate>) {
        self.recorder.send(Entry::Begun(self.id, script, gate));
    }

    /// All have begun, or there are none.
    pub(in crate::agent) fn ran(&self) {
        self.recorder.send(Entry::Ran(self.id));
    }
}

impl Recorder {
    /// Starts the thread; must be called within a tokio runtime, which runs the scripts.
    pub(in crate::agent) fn start(snapshot: Snapshot, own: String, hub: Hub, handlers: Handlers) -> Recorder {
        let (sender, entries) = channel();
        let shared = Arc::new(Shared::default());
        let recorder = Recorder { entries: sender, shared: shared.clone() };
        let Snapshot { file, ledger, behind } = snapshot;
        shared.bytes.store(file.len(), Ordering::Relaxed);
        let compacted = file.len();
        let writer = Writer {
            behind,
            tried: Instant::now(),
            pace: Pace::default(),
            compacted,
            file,
            ledger,
            own,
            hub,
            handlers,
            shared,
            text: Vec::new(),
        };
        let runtime = tokio::runtime::Handle::current();
        thread::spawn(move || {
            let _runtime = runtime.enter();
            writer.work(&entries);
        });
        recorder
    }

    fn send(&self, entry: Entry) {
        // It has been closed: then nothing is handed out, and nothing begins any more.
        let _ = self.entries.send(entry);
    }

    /// Hands an event out to streams and scripts, when it stands in the snapshot.
    pub(in crate::agent) fn tell(&self, event: Arc<Event>, handed: Option<Handed>) {
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let handed = handed.map(|handed| (handed, self.ticket(handed.id, Vec::new())));
        self.send(Entry::Tell(event, handed));
    }

    fn ticket(&self, id: EventId, begun: Vec<u64>) -> Ticket {
        Ticket { recorder: self.clone(), id, begun: begun.into() }
    }

    /// It is handed out otherwise.
    pub(in crate::agent) fn handed(&self, id: EventId) {
        self.send(Entry::Handed(id));
    }

    /// Runs the scripts of an event that a former life has handed out, but for those that had begun.
    pub(in crate::agent) fn resume(&self, id: EventId, event: Arc<Event>, begun: Vec<u64>) {
        self.send(Entry::Resume(event, self.ticket(id, begun)));
    }

    /// These are over, handed out or not: none of them is to be fetched again.
    pub(in crate::agent) fn settled(&self, events: Vec<EventId>) {
        self.send(Entry::Settled(events));
    }

    pub(in crate::agent) fn stand(&self, standing: Standing) {
        self.send(Entry::Standing(standing));
    }

    /// The agent leaves its fleet.
    pub(in crate::agent) fn leave(&self) {
        self.send(Entry::Leave);
    }

    /// Whether so many events wait to be written that more are to wait in the core.
    pub(in crate::agent) fn is_behind(&self) -> bool {
        self.shared.waiting.load(Ordering::Relaxed) >= BEHIND
    }

    /// Waits until it is not any more. Cancel safe.
    pub(in crate::agent) async fn relief(&self) {
        self.shared.relief.notified().await;
    }

    /// Waits until all that was told is handed out.
    pub(in crate::agent) async fn flush(&self) {
        let (done, handed_out) = oneshot::channel();
        self.send(Entry::Flush(done));
        let _ = handed_out.await;
    }

    /// Waits until all that was told is on the disk. Nothing is handed out from then on.
    pub(in crate::agent) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.send(Entry::Close(done));
        let _ = closed.await;
    }

    pub(in crate::agent) fn counters(&self) -> Counters {
        let Shared { waiting, bytes, compactions, errors, .. } = &*self.shared;
        Counters {
            bytes: bytes.load(Ordering::Relaxed),
            compactions: compactions.load(Ordering::Relaxed),
            errors: errors.load(Ordering::Relaxed),
            waiting: waiting.load(Ordering::Relaxed),
        }
    }
}

/// What the thread owns.
struct Writer {
    file: SnapshotFile,
    ledger: Ledger,
    /// This node's name: it is no member to come back to.
    own: String,
    hub: Hub,
    handlers: Handlers,
    shared: Arc<Shared>,
    /// Lines of what is in hand.
    text: Vec<u8>,
    /// What the file was as it was replaced last, in bytes.
    compacted: u64,
    /// Some of what was handed out could not be written.
    behind: bool,
    /// When that was tried last.
    tried: Instant,
    pace: Pace,
}

impl Writer {
    fn work(mut self, entries: &Receiver<Entry>) {
        loop {
            let patience = if self.behind { AGAIN } else { Duration::from_secs(3600) };
            let first = match entries.recv_timeout(patience) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                // Nobody is there any more to tell anything.
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            };
            let mut batch: Vec<Entry> = first.into_iter().collect();
            batch.extend(entries.try_iter().take(BATCH - 1));
            if let Some(close) = batch.iter().position(|entry| matches!(entry, Entry::Close(_))) {
                // What comes behind it does not happen, and so is not written.
                batch.truncate(close + 1);
            }
            self.write(&batch);
            for entry in batch {
                if let Entry::Close(done) = entry {
                    self.end();
                    // Others may have the file from now on.
                    drop(self);
                    let _ = done.send(());
                    return;
                }
                self.act(entry);
            }
            self.tend();
        }
    }

    /// What stands in the file before it happens.
    fn write(&mut self, batch: &[Entry]) {
        let latest = self.ledger.latest();
        let mut handed = false;
        for entry in batch {
            match entry {
                Entry::Tell(event, known) => {
                    handed |= known.is_some();
                    self.note(event, known.as_ref().map(|(handed, _)| *handed));
                }
                Entry::Handed(id) => {
                    handed = true;
                    self.line(Line::Event(Handed { id: *id, key: None }));
                }
                Entry::Settled(events) => {
                    for id in events {
                        if *id > self.ledger.floor && !self.ledger.events.contains(id) {
                            handed = true;
                            self.line(Line::Event(Handed { id: *id, key: None }));
                        }
                    }
                }
                Entry::Begun(id, script, _) => self.line(Line::Begun(*id, *script)),
                Entry::Ran(id) => self.line(Line::Ran(*id)),
                Entry::Standing(standing) => self.stand(standing),
                Entry::Leave => self.line(Line::Leave),
                Entry::Resume(..) | Entry::Flush(_) | Entry::Close(_) => {}
            }
        }
        if handed {
            let time = self.ledger.latest();
            self.line(Line::EventClock(time));
            if time > latest && time > self.file.head().lease {
                self.lease();
            }
        }
        let text = std::mem::take(&mut self.text);
        if !text.is_empty()
            && !self.behind
            && let Err(error) = self.file.append(&text)
        {
            self.failed(&error);
        }
        self.text = text;
        self.text.clear();
    }

    fn line(&mut self, line: Line) {
        // Writing to memory does not fail.
        let _ = write!(self.text, "{line}");
        self.ledger.apply(line);
    }

    fn note(&mut self, event: &Event, handed: Option<Handed>) {
        match (event, handed) {
            (Event::Member { kind, members }, _) => {
                members.iter().for_each(|member| self.member(*kind, member));
            }
            (Event::User { name, payload, .. }, Some(handed)) if self.handlers.want(event) => {
                self.line(Line::Due(handed, Text { name: name.clone(), payload: payload.clone() }));
            }
            (_, Some(handed)) => self.line(Line::Event(handed)),
            _ => {}
        }
    }

    /// A name with a line's end has no place in Serf's format.
    fn member(&mut self, kind: MemberEventKind, member: &Member) {
        let name = member.name.clone();
        if name == self.own || name.contains(['\n', '\r']) || self.ledger.left {
            return;
        }
        self.line(match kind {
            MemberEventKind::Join | MemberEventKind::Update => {
                Line::Alive(name, (member.addr, member.port).into())
            }
            MemberEventKind::Leave | MemberEventKind::Failed | MemberEventKind::Reap => Line::NotAlive(name),
        });
    }

    fn stand(&mut self, standing: &Standing) {
        let [member, _, query] = standing.clocks.map(|next| next.saturating_sub(1));
        let fleet = standing.belonging.map_or(Fleet::default(), |belonging| {
            let Belonging { fleet, age, met } = belonging;
            Fleet { number: fleet, born: unix().saturating_sub(age.as_secs()), met }
        });
        let known = &self.ledger.fleet;
        // Its age is in whole seconds, and clocks are set.
        if (fleet.number, fleet.met) != (known.number, known.met) {
            self.line(Line::Fleet(fleet));
        }
        if standing.floor > self.ledger.floor {
            self.line(Line::Floor(standing.floor));
        }
        let [known_member, _, known_query] = self.ledger.clocks;
        if member > known_member {
            self.line(Line::Clock(member));
        }
        if query > known_query {
            self.line(Line::QueryClock(query));
        }
    }

    /// What stands in the file happens.
    fn act(&mut self, entry: Entry) {
        match entry {
            Entry::Tell(event, handed) => {
                self.hub.publish(event.clone());
                self.offer(event, handed.map(|(_, ticket)| ticket));
                if self.shared.waiting.fetch_sub(1, Ordering::Relaxed) == BEHIND / 2 {
                    self.shared.relief.notify_one();
                }
            }
            Entry::Resume(event, ticket) => self.offer(event, Some(ticket)),
            Entry::Begun(_, _, Some(Gate { mut stdin, input, opened })) => {
                // A script need not read what it is given.
                let _ = stdin.write_all(&input);
                let _ = opened.send(());
            }
            Entry::Flush(done) => drop(done.send(())),
            Entry::Handed(_)
            | Entry::Settled(_)
            | Entry::Begun(..)
            | Entry::Ran(_)
            | Entry::Standing(_)
            | Entry::Leave
            | Entry::Close(_) => {}
        }
    }

    fn offer(&self, event: Arc<Event>, ticket: Option<Ticket>) {
        let Some(ticket) = ticket.filter(|ticket| self.ledger.due.contains_key(&ticket.id)) else {
            return self.handlers.offer(event);
        };
        if !self.handlers.offer_recorded(event, ticket.clone()) {
            ticket.ran();
        }
    }

    /// What is better done between two batches.
    fn tend(&mut self) {
        let is_due = match self.behind {
            true => self.tried.elapsed() >= AGAIN,
            false => self.file.len() > SHORT.max(2 * self.compacted),
        };
        if is_due {
            self.compact();
            if self.behind {
                self.mark();
            }
        } else if !self.behind && self.file.head().lease < self.ledger.latest() + LEASE / 2 {
            self.lease();
        }
        self.shared.bytes.store(self.file.len(), Ordering::Relaxed);
    }

    /// More events may be handed out.
    fn lease(&mut self) {
        let head = Head { lease: self.ledger.latest() + LEASE, ..self.file.head().clone() };
        if let Err(error) = self.file.set_head(head) {
            self.failed(&error);
        }
    }

    /// The fewest lines that say the same take the place of all that there are.
    fn compact(&mut self) {
        self.tried = Instant::now();
        let lease = self.ledger.latest() + LEASE;
        let head = Head { lease, state: State::Open, ..self.file.head().clone() };
        match self.file.replace(head, &written(self.ledger.lines())) {
            Ok(()) => {
                self.shared.compactions.fetch_add(1, Ordering::Relaxed);
                if std::mem::take(&mut self.behind) {
                    log::warn!(target: "serf", "serf: snapshot: all of it is written again");
                }
            }
            // It may grow as long as there is room, and be tried when it is twice as long.
            Err(error) if !self.behind => self.complain(&error),
            Err(error) => self.failed(&error),
        }
        self.compacted = self.file.len();
    }

    /// Something could not be written: the first line says so, if that can.
    fn failed(&mut self, error: &std::io::Error) {
        self.tried = Instant::now();
        self.complain(error);
        self.behind = true;
        self.mark();
    }

    /// The first line says that some is missing. If that cannot be written either, it is tried again.
    fn mark(&mut self) {
        if self.file.head().state != State::Behind {
            let head = Head { state: State::Behind, ..self.file.head().clone() };
            let _ = self.file.set_head(head);
        }
    }

    fn complain(&mut self, error: &std::io::Error) {
        self.shared.errors.fetch_add(1, Ordering::Relaxed);
        if self.pace.is_time(COMPLAINT) {
            let why = words(error);
            log::error!(
                target: "serf",
                "serf: Failed to update snapshot: {why}; it is tried again, and events go on: if the agent is killed \
                 before it is written, up to {LEASE} of those that follow will not be handed out"
            );
        }
    }

    fn end(&mut self) {
        if self.behind {
            self.compact();
        }
        // The first line comes last: it says that all else is there.
        let synced = self.file.sync().is_ok();
        let state = if self.behind || !synced { State::Behind } else { State::Closed };
        if let Err(error) = self.file.set_head(Head { state, ..self.file.head().clone() }) {
            self.failed(&error);
        }
    }
}

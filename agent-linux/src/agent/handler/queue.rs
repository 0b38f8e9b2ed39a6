//! The queue of events in front of the scripts.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serf_nostd::Histogram;
use serf_nostd::wire::message::EventId;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::invoke::{self, Identity, Outcome};
use super::spec::Spec;
use crate::agent::hub::size_of;
use crate::agent::log::Pace;
use crate::agent::model::Event;
use crate::agent::snapshot::Ticket;

/// How much may wait and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events that may wait for one handler; those beyond are lost for it, counted, and told of in the log.
    pub waiting: usize,
    /// What these may take together, in bytes.
    pub bytes: usize,
    /// Scripts that may run at once, from 1 up.
    pub concurrency: usize,
    /// How long a script may run before it and its process group are killed.
    pub timeout: Option<Duration>,
}

impl Default for Limits {
    /// 65,536 waiting events of 32 MiB together, one script at a time, no time limit.
    fn default() -> Limits {
        Limits { waiting: 65_536, bytes: 32 << 20, concurrency: 1, timeout: None }
    }
}

/// A handler for which a multiple of so many events waits is told of in the log.
const BEHIND: usize = 4096;

/// How often the log tells of what a handler loses.
const COMPLAINT: Duration = Duration::from_secs(10);

/// What happened to scripts since the start, and how things stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Scripts started, or tried to.
    pub run: u64,
    /// Of these: could not be started, ended with another code than 0, or by a signal of others.
    pub failed: u64,
    /// Of these: killed for running longer than allowed.
    pub timed_out: u64,
    /// Runs that never came to be, as their handler was too far behind.
    pub lost: u64,
    /// Runs still to come: each waiting event counts once for each handler that wants it.
    pub waiting: u64,
    /// Scripts running now.
    pub running: u64,
}

/// How long scripts take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Events, from when they came until a script began with them: once for each script.
    pub waited: Histogram,
    /// Scripts, from their start to their end.
    pub ran: Histogram,
}

/// What [`Handlers::drain`] had to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Runs that did not begin.
    pub waiting: u64,
    /// Scripts still running; they go on without the agent.
    pub running: u64,
}

/// The handlers of an agent. Scripts run in the order in which events are offered, for one event in the order of
/// the configuration, one after the other. With a concurrency above 1, only events of one user-event name keep
/// their order among themselves, and so do queries of one name, and all member events. A handler that is too far behind
/// loses the newest, counted.
///
/// Must be used within a tokio runtime. Clones share everything.
#[derive(Clone)]
pub struct Handlers {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Limits,
    state: Mutex<State>,
    /// Told of every start and end of a script, and of every change of the handlers.
    changed: Notify,
}

#[derive(Default)]
struct State {
    handlers: Vec<Arc<Handler>>,
    own: Identity,
    /// The jobs that wait, by what they must keep their order with. A lane exists while it has a job waiting or
    /// running, so there are never more than jobs.
    lanes: HashMap<Lane, VecDeque<Job>>,
    /// Lanes with a job waiting and none running, each once.
    ready: VecDeque<Lane>,
    /// Jobs under way.
    busy: usize,
    /// How long a script may run that begins now.
    timeout: Option<Duration>,
    /// Set when draining was given up: nothing begins any more.
    closed: bool,
    counters: Counters,
    timings: Timings,
}

struct Handler {
    spec: Spec,
    /// What the snapshot knows it by: the same for the same filter and script.
    number: u64,
    /// Changed under the lock of the state only.
    queue: Mutex<Queue>,
}

/// What waits for one handler.
#[derive(Default)]
struct Queue {
    events: usize,
    bytes: usize,
    /// Lost since the log told of it last.
    lost: u64,
    pace: Pace,
}

impl Queue {
    /// One more; how many there are.
    fn hold(&mut self, size: usize) -> usize {
        self.events += 1;
        self.bytes += size;
        self.events
    }
}

impl Handler {
    fn new(spec: Spec) -> Handler {
        let number = spec.number();
        Handler { spec, number, queue: Mutex::default() }
    }

    /// Whether it is for such an event; `once`: and runs once.
    fn wants(&self, event: &Event, once: bool) -> bool {
        self.spec.once == once && self.spec.filter.matches(event)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for an event of so many bytes; false if there is none, and it is lost for this handler.
    fn take_place(&self, size: usize, limits: &Limits) -> bool {
        let queue = &mut *self.queue();
        let script = &self.spec.script;
        if queue.events >= limits.waiting || queue.events > 0 && queue.bytes + size > limits.bytes {
            queue.lost += 1;
            if queue.pace.is_time(COMPLAINT) {
                log::warn!(
                    target: "agent",
                    "Script '{script}' is too far behind: {} events wait for it, {} were lost for it",
                    queue.events,
                    std::mem::take(&mut queue.lost)
                );
            }
            return false;
        }
        let events = queue.hold(size);
        if events.is_multiple_of(BEHIND) {
            log::warn!(target: "agent", "Script '{script}' is behind: {events} events wait for it");
        }
        true
    }

    /// Takes a place for an event that is there already.
    fn hold(&self, size: usize) {
        self.queue().hold(size);
    }

    fn give_back(&self, size: usize) {
        let queue = &mut *self.queue();
        queue.events -= 1;
        queue.bytes -= size;
        if queue.events == 0 && queue.lost > 0 {
            let (script, lost) = (&self.spec.script, std::mem::take(&mut queue.lost));
            log::warn!(target: "agent", "Script '{script}' has caught up; {lost} more events were lost for it");
        }
    }
}

/// One event, and the handlers to run for it one after the other.
struct Job {
    event: Arc<Event>,
    size: usize,
    handlers: Vec<Arc<Handler>>,
    purpose: Purpose,
    since: Instant,
}

/// On whose behalf the handlers of an event run.
enum Purpose {
    /// Every member runs them.
    Each,
    /// They run once in the fleet.
    Once(Once),
    /// Every member runs them, and this one's snapshot knows which have begun.
    Recorded(Ticket),
}

impl Purpose {
    fn is_once(&self) -> bool {
        matches!(self, Purpose::Once(_))
    }

    /// Whether this handler has begun before.
    fn has_begun(&self, handler: &Handler) -> bool {
        matches!(self, Purpose::Recorded(ticket) if ticket.begun.contains(&handler.number))
    }
}

/// An event whose handlers run once in the fleet, here: who wants to know when they are done.
struct Once {
    id: EventId,
    done: mpsc::UnboundedSender<(EventId, bool)>,
}

/// Events of one lane are handled one after the other.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Lane {
    Everything,
    Members,
    User(Vec<u8>),
    Query(String),
}

impl Lane {
    fn of(event: &Event, limits: &Limits) -> Lane {
        match event {
            _ if limits.concurrency <= 1 => Lane::Everything,
            Event::Member { .. } => Lane::Members,
            Event::User { name, .. } => Lane::User(name.clone()),
            Event::Query(question) => Lane::Query(question.name.clone()),
        }
    }
}

impl Handlers {
    /// Handlers for `specs` on the node `own`.
    pub fn new(specs: Vec<Spec>, own: Identity, limits: Limits) -> Handlers {
        let state = State { own, timeout: limits.timeout, ..State::default() };
        let shared = Shared { limits, state: Mutex::new(state), changed: Notify::new() };
        let handlers = Handlers { shared: Arc::new(shared) };
        handlers.set_specs(specs);
        handlers
    }

    /// Replaces the handlers, also for the events that wait; a script that runs goes on.
    pub fn set_specs(&self, specs: Vec<Spec>) {
        let mut state = self.shared.state();
        let state = &mut *state;
        let mut known = std::mem::take(&mut state.handlers);
        let handlers = specs.into_iter().map(|spec| {
            // A handler that stays knows what it has lost, and was told of.
            match known.iter().position(|handler| handler.spec == spec) {
                Some(at) => known.swap_remove(at),
                None => Arc::new(Handler::new(spec)),
            }
        });
        state.handlers = handlers.collect();
        for job in state.lanes.values_mut().flatten() {
            job.handlers.iter().for_each(|handler| handler.give_back(job.size));
            state.counters.waiting -= job.handlers.len() as u64;
            let once = job.purpose.is_once();
            let wanting = state.handlers.iter().filter(|handler| handler.wants(&job.event, once));
            job.handlers = wanting.filter(|handler| !job.purpose.has_begun(handler)).cloned().collect();
            job.handlers.iter().for_each(|handler| handler.hold(job.size));
            state.counters.waiting += job.handlers.len() as u64;
        }
    }

    /// Changes how long scripts may run, from the next start of one on.
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        self.shared.state().timeout = timeout;
    }

    /// Changes what scripts are told about this node, from the next start of a script on.
    pub fn set_identity(&self, own: Identity) {
        self.shared.state().own = own;
    }

    /// Puts `event` into the queue of every handler that wants it and has room, but for those that run once. Never waits.
    pub fn offer(&self, event: Arc<Event>) {
        self.put(event, Purpose::Each);
    }

    /// The same, with what each of them tells the snapshot. Whether there is room for any.
    pub(in crate::agent) fn offer_recorded(&self, event: Arc<Event>, ticket: Ticket) -> bool {
        self.put(event, Purpose::Recorded(ticket))
    }

    /// Whether there is a handler for such an event, other than those that run once.
    pub(in crate::agent) fn want(&self, event: &Event) -> bool {
        self.shared.state().handlers.iter().any(|handler| handler.wants(event, false))
    }

    /// The same for the handlers that run once: it is this agent's turn. Whether there is room for any; then `done` is told when all
    /// have ended, or that they were taken away before they ran.
    pub(in crate::agent) fn offer_once(
        &self,
        event: Arc<Event>,
        id: EventId,
        done: mpsc::UnboundedSender<(EventId, bool)>,
    ) -> bool {
        self.put(event, Purpose::Once(Once { id, done }))
    }

    /// Whether there is a handler that runs once for such an event.
    pub(in crate::agent) fn run_once(&self, event: &Event) -> bool {
        self.shared.state().handlers.iter().any(|handler| handler.wants(event, true))
    }

    fn put(&self, event: Arc<Event>, purpose: Purpose) -> bool {
        let limits = &self.shared.limits;
        let mut state = self.shared.state();
        let state = &mut *state;
        if state.closed {
            return false;
        }
        let size = size_of(&event);
        let wanting = state.handlers.iter().filter(|handler| handler.wants(&event, purpose.is_once()));
        let (handlers, full): (Vec<_>, Vec<_>) = wanting
            .filter(|handler| !purpose.has_begun(handler))
            .cloned()
            .partition(|handler| handler.take_place(size, limits));
        state.counters.lost += full.len() as u64;
        if handlers.is_empty() {
            return false;
        }
        state.counters.waiting += handlers.len() as u64;
        let lane = Lane::of(&event, limits);
        let job = Job { event, size, handlers, purpose, since: Instant::now() };
        match state.lanes.get_mut(&lane) {
            Some(jobs) => jobs.push_back(job),
            None => {
                state.lanes.insert(lane.clone(), VecDeque::from([job]));
                state.ready.push_back(lane);
            }
        }
        self.shared.start(state);
        true
    }

    /// Takes the handlers that run once for an event out of the queue, if they have not begun. Nothing is told of them any more.
    pub(in crate::agent) fn withdraw(&self, id: EventId) -> bool {
        let mut state = self.shared.state();
        let State { lanes, ready, counters, .. } = &mut *state;
        let is_it = |job: &Job| matches!(&job.purpose, Purpose::Once(once) if once.id == id);
        let place = lanes.iter().find_map(|(lane, jobs)| Some((lane.clone(), jobs.iter().position(is_it)?)));
        let Some((lane, place)) = place else { return false };
        let Some(job) = lanes.get_mut(&lane).and_then(|jobs| jobs.remove(place)) else { return false };
        job.handlers.iter().for_each(|handler| handler.give_back(job.size));
        counters.waiting -= job.handlers.len() as u64;
        // One with a job running is looked at when that ends.
        if lanes[&lane].is_empty() && ready.contains(&lane) {
            ready.retain(|other| *other != lane);
            lanes.remove(&lane);
        }
        drop(state);
        self.shared.changed.notify_waiters();
        true
    }

    /// Waits until every waiting event is handled and no script runs, but not longer than `deadline`: then what
    /// waits is given up, and nothing begins any more. For the end of the agent: nothing should be offered any more.
    ///
    /// # Errors
    /// [`Unfinished`] tells what was given up.
    pub async fn drain(&self, deadline: Instant) -> Result<(), Unfinished> {
        let idle = self.shared.wait_until(|state| state.lanes.is_empty());
        if tokio::time::timeout_at(deadline, idle).await.is_ok() {
            return Ok(());
        }
        let mut state = self.shared.state();
        state.closed = true;
        while let Some(lane) = state.ready.pop_front() {
            state.lanes.remove(&lane);
        }
        // What is left has a job running; that removes its lane when it ends.
        state.lanes.values_mut().for_each(VecDeque::clear);
        let waiting = std::mem::take(&mut state.counters.waiting);
        Err(Unfinished { waiting, running: state.counters.running })
    }

    /// The counters, for `serf info`.
    pub fn counters(&self) -> Counters {
        self.shared.state().counters
    }

    /// How long they have taken.
    pub fn timings(&self) -> Timings {
        self.shared.state().timings
    }

    /// The handlers now in force, in order.
    pub fn specs(&self) -> Vec<Spec> {
        self.shared.state().handlers.iter().map(|handler| handler.spec.clone()).collect()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding the lock, so a poisoned one is a consistent one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts as many waiting jobs as may run now.
    fn start(self: &Arc<Self>, state: &mut State) {
        while state.busy < self.limits.concurrency.max(1) {
            let Some(lane) = state.ready.pop_front() else { return };
            let Some(job) = state.lanes.get_mut(&lane).and_then(VecDeque::pop_front) else { continue };
            job.handlers.iter().for_each(|handler| handler.give_back(job.size));
            state.busy += 1;
            tokio::spawn(self.clone().work(lane, job));
        }
    }

    async fn work(self: Arc<Self>, lane: Lane, job: Job) {
        let mut ran = !job.handlers.is_empty();
        for handler in &job.handlers {
            let Some((environment, timeout)) = self.begin(&job) else {
                ran = false;
                break;
            };
            let script = &handler.spec.script;
            let recorded = match &job.purpose {
                Purpose::Recorded(ticket) => Some((ticket, handler.number)),
                Purpose::Each | Purpose::Once(_) => None,
            };
            let began = Instant::now();
            let outcome = invoke::run(script, &job.event, environment, timeout, recorded).await;
            self.end(outcome, began.elapsed());
        }
        match job.purpose {
            // The agent may have ended.
            Purpose::Once(Once { id, done }) => drop(done.send((id, ran))),
            // All have begun, or were taken away; unless nothing begins any more.
            Purpose::Recorded(ticket) if ran || job.handlers.is_empty() => ticket.ran(),
            Purpose::Recorded(_) | Purpose::Each => {}
        }
        let mut state = self.state();
        state.busy -= 1;
        match state.lanes.get(&lane) {
            Some(jobs) if !jobs.is_empty() => state.ready.push_back(lane),
            _ => drop(state.lanes.remove(&lane)),
        }
        self.start(&mut state);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Counts a start; `None` if nothing may begin any more.
    fn begin(&self, job: &Job) -> Option<(invoke::Environment, Option<Duration>)> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.counters.waiting -= 1;
        state.counters.run += 1;
        state.counters.running += 1;
        state.timings.waited.note(job.since.elapsed().as_micros() as u64);
        let environment = invoke::environment(&job.event, &state.own);
        let timeout = state.timeout;
        drop(state);
        self.changed.notify_waiters();
        Some((environment, timeout))
    }

    fn end(&self, outcome: Outcome, took: Duration) {
        let State { counters, timings, .. } = &mut *self.state();
        counters.running -= 1;
        timings.ran.note(took.as_micros() as u64);
        match outcome {
            Outcome::Succeeded => {}
            Outcome::Failed => counters.failed += 1,
            Outcome::TimedOut => counters.timed_out += 1,
        }
    }

    async fn wait_until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Listen first and look second, or a change in between would be missed.
            changed.as_mut().enable();
            if holds(&self.state()) {
                return;
            }
            changed.await;
        }
    }
}

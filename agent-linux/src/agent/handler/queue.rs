//! The queue of events in front of the scripts.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::invoke::{self, Identity, Outcome};
use super::spec::Spec;
use crate::agent::model::Event;

/// How much may wait and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events that may wait for one handler.
    pub waiting: usize,
    /// Scripts that may run at once, from 1 up.
    pub concurrency: usize,
    /// How long a script may run before it and its process group are killed.
    pub timeout: Option<Duration>,
}

impl Default for Limits {
    /// 4,096 waiting events, one script at a time, no time limit.
    fn default() -> Limits {
        Limits { waiting: 4096, concurrency: 1, timeout: None }
    }
}

/// A handler that wants the event has no room for it; [`Handlers::room`] tells when it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What happened to scripts since the start, and how things stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Scripts started, or tried to.
    pub run: u64,
    /// Of these: could not be started, ended with another code than 0, or by a signal of others.
    pub failed: u64,
    /// Of these: killed for running longer than allowed.
    pub timed_out: u64,
    /// Runs still to come: each waiting event counts once for each handler that wants it.
    pub waiting: u64,
    /// Scripts running now.
    pub running: u64,
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
/// their order among themselves, and so do all member events. Nothing is dropped: a full queue refuses.
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
    /// Who had no room for the last event that was refused.
    refused: Vec<Arc<Handler>>,
    /// Set when draining was given up: nothing begins any more.
    closed: bool,
    counters: Counters,
}

struct Handler {
    spec: Spec,
    /// Events that wait for it; changed under the lock only.
    waiting: AtomicUsize,
}

impl Handler {
    fn is_full(&self, limits: &Limits) -> bool {
        self.waiting.load(Ordering::Relaxed) >= limits.waiting
    }
}

/// One event, and the handlers to run for it one after the other.
struct Job {
    event: Arc<Event>,
    handlers: Vec<Arc<Handler>>,
}

/// Events of one lane are handled one after the other.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Lane {
    Everything,
    Members,
    User(Vec<u8>),
}

impl Lane {
    fn of(event: &Event, limits: &Limits) -> Lane {
        match event {
            _ if limits.concurrency <= 1 => Lane::Everything,
            Event::Member { .. } => Lane::Members,
            Event::User { name, .. } => Lane::User(name.clone()),
        }
    }
}

impl Handlers {
    /// Handlers for `specs` on the node `own`.
    pub fn new(specs: Vec<Spec>, own: Identity, limits: Limits) -> Handlers {
        let state = State { own, ..State::default() };
        let shared = Shared { limits, state: Mutex::new(state), changed: Notify::new() };
        let handlers = Handlers { shared: Arc::new(shared) };
        handlers.set_specs(specs);
        handlers
    }

    /// Replaces the handlers from the next event on; what waits runs as it was configured when it was offered.
    pub fn set_specs(&self, specs: Vec<Spec>) {
        let mut state = self.shared.state();
        let mut known = std::mem::take(&mut state.handlers);
        let handlers = specs.into_iter().map(|spec| {
            // A handler that stays keeps its count of waiting events, and so its bound.
            match known.iter().position(|handler| handler.spec == spec) {
                Some(at) => known.swap_remove(at),
                None => Arc::new(Handler { spec, waiting: AtomicUsize::new(0) }),
            }
        });
        state.handlers = handlers.collect();
        state.refused.clear();
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// Changes what scripts are told about this node, from the next start of a script on.
    pub fn set_identity(&self, own: Identity) {
        self.shared.state().own = own;
    }

    /// Puts `event` into the queue of every handler that wants it, or of none. Never waits; amounts to nothing if
    /// no handler wants the event.
    ///
    /// # Errors
    /// [`Full`] if one of them has no room, or after [`Handlers::drain`] has given up.
    pub fn offer(&self, event: Arc<Event>) -> Result<(), Full> {
        let limits = &self.shared.limits;
        let mut state = self.shared.state();
        let state = &mut *state;
        let wanting = state.handlers.iter().filter(|handler| handler.spec.filter.matches(&event));
        let handlers: Vec<_> = wanting.cloned().collect();
        if handlers.is_empty() {
            return Ok(());
        }
        let full: Vec<_> = handlers.iter().filter(|handler| handler.is_full(limits)).cloned().collect();
        if state.closed || !full.is_empty() {
            state.refused = full;
            return Err(Full);
        }
        for handler in &handlers {
            handler.waiting.fetch_add(1, Ordering::Relaxed);
        }
        state.counters.waiting += handlers.len() as u64;
        let lane = Lane::of(&event, limits);
        let job = Job { event, handlers };
        match state.lanes.get_mut(&lane) {
            Some(jobs) => jobs.push_back(job),
            None => {
                state.lanes.insert(lane.clone(), VecDeque::from([job]));
                state.ready.push_back(lane);
            }
        }
        self.shared.start(state);
        Ok(())
    }

    /// Waits until the handlers that refused the last event have room; at once if none did, never again once
    /// [`Handlers::drain`] has given up. Another offer may still be refused, if more was offered meanwhile. May be
    /// dropped while waiting.
    pub async fn room(&self) {
        let has_room = |state: &State| {
            !state.closed && !state.refused.iter().any(|handler| handler.is_full(&self.shared.limits))
        };
        self.shared.wait_until(has_room).await;
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
            state.busy += 1;
            tokio::spawn(self.clone().work(lane, job));
        }
    }

    async fn work(self: Arc<Self>, lane: Lane, job: Job) {
        for handler in &job.handlers {
            let Some(environment) = self.begin(handler, &job.event) else { break };
            let script = &handler.spec.script;
            let outcome = invoke::run(script, &job.event, environment, self.limits.timeout).await;
            self.end(outcome);
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
    fn begin(&self, handler: &Handler, event: &Event) -> Option<invoke::Environment> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        handler.waiting.fetch_sub(1, Ordering::Relaxed);
        state.counters.waiting -= 1;
        state.counters.run += 1;
        state.counters.running += 1;
        let environment = invoke::environment(event, &state.own);
        drop(state);
        self.changed.notify_waiters();
        Some(environment)
    }

    fn end(&self, outcome: Outcome) {
        let counters = &mut self.state().counters;
        counters.running -= 1;
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

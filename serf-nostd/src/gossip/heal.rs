//! Repair: joining, and comparing with others what is known. The one who lacks something asks for it, page by page; who
//! answers keeps no state.

use crate::time::{Duration, Instant};
use crate::wire::message::{Address, Alive, EventId};

use super::owed::RECORDS;

/// How long an answer may take before it is asked for again.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);
/// How often a page is asked for.
const TRIES: u8 = 4;
/// Rest after a comparison that found nothing new: doubled each time, up to the second figure.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(64));
/// Joins that can run at once.
pub(crate) const JOINS: usize = 8;
/// Seeds that are remembered, to be tried again.
pub(crate) const SEEDS: usize = 8;
/// So many members with a part of the fleet are asked what they hold.
const PARTS: u8 = 8;
/// So many differences below the floor are remembered as counted.
const GAPS: usize = 8;
/// Names that can be in dispute at once.
pub(crate) const CONFLICTS: usize = 4;

/// A join that is waiting for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joining {
    pub to: Address,
    pub nonce: u32,
    pub replay: bool,
    /// Nobody waits for the outcome: a seed tried again, or somebody who knows this node.
    pub quiet: bool,
    /// The user has named it: its word on the fleet's clocks is believed.
    pub named: bool,
    /// Longest question: to somebody who may not be there, no longer than what came from its address.
    pub limit: u16,
    pub due: Instant,
    pub deadline: Instant,
}

/// How often the holder of a disputed name is probed, each time with others' help, before it is taken for silent: as often
/// as whoever is suspected, or more.
pub(crate) const DISPUTE_ROUNDS: u8 = 8;

/// Who wants a name that another holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub addr: Address,
    pub boot: u64,
}

impl Claim {
    /// Of whoever is told of.
    pub(crate) fn of(alive: &Alive<'_>) -> Claim {
        Claim { addr: alive.addr, boot: alive.boot }
    }
}

/// A name that two nodes want. Its holder is probed. So is the other one, if the holder answers and it booted earlier, or if
/// the holder does not and it is far ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conflict {
    pub holder: u16,
    pub claim: Claim,
    /// Of the newcomer's join, if it has asked to join with that name.
    pub nonce: Option<u32>,
    /// Of the probes of the holder, then of the claimant.
    pub seq: u32,
    pub tries: u8,
    pub due: Instant,
    /// What is known of the holder by now does not decide: it is the claimant who has to answer.
    pub asks_claimant: bool,
}

/// Where a comparison of member tables stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Fetch all records from this name hash on.
    Pages { cursor: u32 },
    /// List what differs from this name hash on.
    List { cursor: u32 },
    /// Fetch these records, then list on (0: done).
    Records { wanted: [u32; RECORDS], count: u8, resume: u32 },
}

/// A running comparison with one peer; `T` says what of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session<T> {
    pub peer: Address,
    pub nonce: u32,
    pub step: T,
    pub due: Instant,
    tries: u8,
}

impl<T> Session<T> {
    pub(crate) fn new(peer: Address, nonce: u32, step: T, now: Instant) -> Self {
        Session { peer, nonce, step, due: now, tries: 0 }
    }

    /// The same, given up if it is not answered at once.
    pub(crate) fn once(self) -> Self {
        Session { tries: TRIES - 1, ..self }
    }

    /// Counts another request; false if it has been asked often enough.
    pub(crate) fn ask(&mut self, now: Instant) -> bool {
        self.tries += 1;
        self.due = now + PATIENCE;
        self.tries <= TRIES
    }

    /// The answer came: on with the next step.
    pub(crate) fn advance(&mut self, step: T, nonce: u32, now: Instant) {
        (self.step, self.nonce, self.due, self.tries) = (step, nonce, now, 0);
    }
}

/// Where a comparison of last values stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ValueStep {
    pub cursor: u32,
}

/// Where a comparison of seen events stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventStep {
    pub above: EventId,
    pub cursor: EventId,
    /// What is being pulled comes first.
    pub waits: bool,
}

/// When comparisons of one kind may begin: not while things are moving, and less often while nothing comes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// What this node knows last changed then.
    changed: Instant,
    /// No comparison before this.
    next: Instant,
    rest: Duration,
}

impl Pace {
    pub(crate) const fn new() -> Self {
        Pace { changed: Instant::PAST, next: Instant::PAST, rest: REST.0 }
    }

    /// Something new is known.
    pub(crate) fn changed(&mut self, now: Instant) {
        self.changed = now;
        self.rest = REST.0;
        self.next = self.next.min(now + REST.0);
    }

    /// Whether the last change was no longer ago than `span`.
    pub(crate) fn moved_within(&self, now: Instant, span: Duration) -> bool {
        now.since(self.changed) <= span
    }

    /// Whether the last change was longer ago than `span`.
    pub(crate) fn is_quiet(&self, now: Instant, span: Duration) -> bool {
        now.since(self.changed) >= span
    }

    /// Whether a comparison may begin: `quiet` after the last change, or if the last one was a while ago.
    pub(crate) fn may_begin(&self, now: Instant, quiet: Duration) -> bool {
        now >= self.next && (self.is_quiet(now, quiet) || now.since(self.next) >= REST.0.times(3))
    }

    /// A comparison was not answered to its end: it has not shown that there is nothing new.
    pub(crate) fn broken_off(&mut self, now: Instant) {
        self.rest = REST.0;
        self.next = now + REST.0;
    }

    /// A comparison begins.
    pub(crate) fn begun(&mut self, now: Instant) {
        self.next = now + self.rest;
        self.rest = self.rest.times(2).min(REST.1);
    }
}

pub(crate) struct Heal {
    pub joins: heapless::Vec<Joining, JOINS>,
    pub seeds: heapless::Vec<Address, SEEDS>,
    pub conflicts: heapless::Vec<Conflict, CONFLICTS>,
    /// Who answered a join while another comparison was running: they may belong to another fleet, so their tables are
    /// next.
    pub met: heapless::Vec<Address, JOINS>,
    /// Clocks far ahead that a seed has told to a node that knows nobody yet: it is asked once more.
    pub claimed: Option<[u64; 3]>,
    /// So many more of those whose tables are parts of the fleet are listed, while nobody with a whole one has been.
    pub parts: u8,
    pub members: Option<Session<Step>>,
    pub events: Option<Session<EventStep>>,
    pub values: Option<Session<ValueStep>>,
    pub member_pace: Pace,
    pub event_pace: Pace,
    pub value_pace: Pace,
    /// What others have seen below this node's floor and it has not, or the other way round, has been counted: hashes of the
    /// events, XORed for each of them.
    pub gaps: heapless::Vec<u32, GAPS>,
    /// How many events there had been, modulo 256, when one more than fit in there was counted last.
    pub gaps_at: u8,
    /// Hashes of last values that others know and nobody holds, XORed: there is no point in comparing them again.
    pub lost_values: u32,
    /// The failed member that was tried last, and under which number.
    pub tried: Option<(u16, u32)>,
    /// When a failed member or seed is tried again.
    pub reconnect: Instant,
}

impl Heal {
    pub(crate) fn new(now: Instant, reconnect: Duration) -> Self {
        Heal {
            joins: heapless::Vec::new(),
            seeds: heapless::Vec::new(),
            conflicts: heapless::Vec::new(),
            met: heapless::Vec::new(),
            claimed: None,
            parts: PARTS,
            members: None,
            events: None,
            values: None,
            member_pace: Pace::new(),
            event_pace: Pace::new(),
            value_pace: Pace::new(),
            gaps: heapless::Vec::new(),
            gaps_at: 0,
            lost_values: 0,
            tried: None,
            reconnect: now + reconnect,
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        let joins = self.joins.iter().map(|join| join.due.min(join.deadline));
        let conflicts = self.conflicts.iter().map(|conflict| conflict.due);
        let first = joins.chain(conflicts).fold(self.reconnect, Instant::min);
        let members = self.members.as_ref().map_or(Instant::FAR, |session| session.due);
        let events = self.events.as_ref().map_or(Instant::FAR, |session| session.due);
        let values = self.values.as_ref().map_or(Instant::FAR, |session| session.due);
        first.min(members).min(events).min(values)
    }
}

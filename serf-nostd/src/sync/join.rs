//! Joining: who is asked, how long an answer is waited for, what it brings, and who is let in.
//!
//! A join is a question to one address. The answer tells the fleet's clocks and what it knows of the joiner; the comparison of
//! members that follows brings the rest. Questions that nobody waits for (`quiet`) find back to whom contact was lost: seeds
//! that are tried again, and whoever knows a node that knows nobody.

use super::session::{MemberStep, PATIENCE};
use super::{AntiEntropy, Engines, summary};
use crate::clock::{LTIME_JUMP, Word};
use crate::context::Cx;
use crate::membership::messages::Claim;
use crate::membership::record::update;
use crate::membership::table::SELF;
use crate::outgoing::Answer;
use crate::rules::Rule;
use crate::slice::NIL;
use crate::time::{Duration, Instant};
use crate::wire::message::{Address, EventId, Fleet, Join, JoinAnswer, Message};
use crate::wire::packet::{DATAGRAM_MAX, Packet};

/// Joins that can run at once.
pub(crate) const JOINS: usize = 8;
/// Seeds that are remembered, to be tried again.
const SEEDS: usize = 8;

/// How long a starting node whose seeds are starting as well waits for one who is not.
const BEGINNERS: Duration = Duration::from_secs(2);

/// The shortest question to whom this node has heard of, in bytes, without its name and what stands around: the head of a message, and a
/// join from an IPv6 address.
const QUESTION_LEAST: usize = 3 + 5 + 1 + 20 + 10 + 1;

/// What became of a join, to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum JoinResult {
    Yes(Address),
    No(Address),
    NameTaken(Address),
    Conflict(Address),
}

/// A join that is waiting for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joining {
    pub(crate) to: Address,
    nonce: u32,
    replay: bool,
    /// Nobody waits for the outcome: a seed tried again, or somebody who knows this node.
    quiet: bool,
    /// The user has named it: its word on the fleet's clocks is believed.
    named: bool,
    /// Longest question: to somebody who may not be there, no longer than what came from its address.
    pub(crate) limit: u16,
    due: Instant,
    deadline: Instant,
}

impl Joining {
    pub(super) fn write(&self, cx: &Cx<'_>, e: &Engines<'_>, packet: &mut Packet<'_>) {
        let table = &e.members.table;
        let hot = table.hot(SELF);
        let message = Message::Join(Join {
            nonce: self.nonce,
            node: table.name(SELF),
            addr: hot.addr,
            boot: hot.boot,
            pages: !self.quiet,
        });
        let _ = packet.push(&message);
        if let Some(name) = cx.config.cluster {
            let _ = packet.push(&Message::Cluster(name));
        }
        if e.events.fleet.id != 0 {
            // It is no newcomer that asks: whoever is alone comes to its fleet.
            e.events.fleet.write(cx, packet);
        }
        if self.quiet {
            let _ = packet.push(&Message::Summary(summary(cx, e, EventId::LOWEST)));
        } else {
            packet.pad();
        }
    }
}

pub(crate) struct Joins {
    running: heapless::Vec<Joining, JOINS>,
    pub(crate) seeds: heapless::Vec<Address, SEEDS>,
    /// Clocks far ahead that a seed has told to a node that knows nobody yet: it is asked once more.
    claimed: Option<[u64; 3]>,
    results: heapless::Deque<JoinResult, JOINS>,
    /// This node has met others.
    pub(crate) joined: bool,
    /// The question by which a node that somebody hears again asks where the others have gone: the first one only, as anybody
    /// can make it ask. 0: it has not asked.
    pub(crate) way_back: u32,
}

impl Joins {
    pub(super) const fn new() -> Self {
        Joins {
            running: heapless::Vec::new(),
            seeds: heapless::Vec::new(),
            claimed: None,
            results: heapless::Deque::new(),
            joined: false,
            way_back: 0,
        }
    }

    // ---- what the application orders, and is told ----

    /// Asks this address. False if too many joins are running.
    fn begin(&mut self, cx: &mut Cx<'_>, own: Address, to: Address, replay: bool) -> bool {
        if to == own {
            return self.results.push_back(JoinResult::Yes(to)).is_ok();
        }
        let nonce = cx.random.next() as u32;
        let deadline = cx.now + cx.config.join_timeout;
        let (quiet, named, limit) = (false, true, DATAGRAM_MAX as u16);
        let joining = Joining { to, nonce, replay, quiet, named, limit, due: cx.now, deadline };
        if self.running.is_full()
            && let Some(quiet) = self.running.iter().position(|join| join.quiet)
        {
            // Nobody waits for that one, and it is tried again.
            self.running.swap_remove(quiet);
        }
        if self.running.push(joining).is_err() {
            return false;
        }
        if !self.seeds.contains(&to) {
            if self.seeds.is_full() {
                self.seeds.remove(0);
            }
            let _ = self.seeds.push(to);
        }
        true
    }

    /// Gives up what has been begun with this address and nobody has answered: nothing follows. It stays a seed.
    pub(crate) fn cancel(&mut self, to: Address) {
        self.running.retain(|join| join.quiet || join.to != to);
    }

    pub(super) fn tell(&mut self, result: JoinResult) {
        let _ = self.results.push_back(result);
    }

    pub(crate) fn next_result(&mut self) -> Option<JoinResult> {
        self.results.pop_front()
    }

    // ---- what is due ----

    pub(super) fn deadline(&self) -> Instant {
        self.running.iter().fold(Instant::FAR, |first, join| first.min(join.due).min(join.deadline))
    }

    /// The next join that is asked for (again); those that nobody has answered are given up.
    pub(super) fn due(&mut self, cx: &Cx<'_>) -> Option<super::Ask> {
        let mut i = 0;
        while i < self.running.len() {
            let join = &mut self.running[i];
            if join.deadline <= cx.now {
                let join = self.running.swap_remove(i);
                if !join.quiet {
                    self.tell(JoinResult::No(join.to));
                }
            } else if join.due <= cx.now {
                // Nobody waits for a seed that is tried again, and it may be gone for good.
                join.due = match (join.quiet, join.named) {
                    (false, _) => cx.now + PATIENCE,
                    (true, true) => cx.now + cx.config.join_timeout.scaled(1, 3),
                    (true, false) => Instant::FAR,
                };
                return Some(super::Ask::Join(*join));
            } else {
                i += 1;
            }
        }
        None
    }

    // ---- finding back ----

    /// One of the seeds is asked again, whoever it is by now.
    pub(super) fn try_seed(&mut self, cx: &mut Cx<'_>) {
        self.make_room();
        if self.running.is_full() {
            return;
        }
        let Some(to) = self.draw_seed(cx, 1) else { return };
        let nonce = cx.random.next() as u32;
        let deadline = cx.now + cx.config.join_timeout;
        // Who has been in already misses nothing by this; who has not is a newcomer like any other.
        let replay = cx.config.replay;
        let (quiet, named, limit) = (true, true, DATAGRAM_MAX as u16);
        let joining = Joining { to, nonce, replay, quiet, named, limit, due: cx.now, deadline };
        let _ = self.running.push(joining);
    }

    /// One of the seeds, if there are any: once in so many times.
    pub(super) fn draw_seed(&self, cx: &mut Cx<'_>, once_in: u32) -> Option<Address> {
        let seeds = self.seeds.len() as u32;
        let drawn = seeds > 0 && (once_in == 1 || cx.random.below(once_in) == 0);
        drawn.then(|| self.seeds[cx.random.below(seeds) as usize])
    }

    /// Anybody can make a node ask: the oldest of such questions gives way to a newer one, and to seeds.
    fn make_room(&mut self) {
        if self.running.is_full() {
            let provoked = self.running.iter().enumerate().filter(|(_, join)| join.quiet && !join.named);
            if let Some((oldest, _)) = provoked.min_by_key(|(_, join)| join.deadline) {
                self.running.swap_remove(oldest);
            }
        }
    }

    /// Whether a node that was cut off asks somebody who may tell it where the others have gone: what it has fired meanwhile
    /// waits for the answer.
    pub(crate) fn is_finding_back(&self) -> bool {
        self.way_back != 0 && self.running.iter().any(|join| join.nonce == self.way_back)
    }

    #[cfg(test)]
    pub(super) fn running_nonce(&self) -> Option<u32> {
        self.running.first().map(|join| join.nonce)
    }

    fn take(&mut self, nonce: u32) -> Option<Joining> {
        let place = self.running.iter().position(|join| join.nonce == nonce)?;
        Some(self.running.swap_remove(place))
    }

    /// Another node that answers has the name that this one wanted to join with.
    pub(crate) fn name_taken(&mut self, nonce: u32) {
        let Some(join) = self.take(nonce).filter(|join| !join.quiet) else { return };
        // Only a node that is not in yet steps back: no packet can talk a running one out of its name.
        let result = if self.joined { JoinResult::No(join.to) } else { JoinResult::NameTaken(join.to) };
        self.tell(result);
    }
}

impl AntiEntropy {
    /// Starts as a member of an existing fleet; see [`crate::Node::start`].
    pub(crate) fn start(
        &mut self,
        cx: &mut Cx<'_>,
        e: &mut Engines<'_>,
        seeds: impl Iterator<Item = Address>,
    ) {
        e.events.fleet.starting = Some(cx.now + cx.config.join_timeout);
        for seed in seeds.take(JOINS) {
            let _ = self.join(cx, e, seed, cx.config.replay);
        }
        if self.joins.running.is_empty() {
            // Its own address only: there is nobody to wait for.
            e.events.fleet.starting = None;
        }
    }

    /// Joins through this address; see [`crate::Node::join`]. False if too many joins are running.
    pub(crate) fn join(&mut self, cx: &mut Cx<'_>, e: &mut Engines<'_>, to: Address, replay: bool) -> bool {
        let own = e.members.table.hot(SELF).addr;
        if replay && !self.joins.joined {
            e.events.hold();
        }
        self.joins.begin(cx, own, to, replay)
    }

    /// Somebody wants in: what it is to be answered, if anything yet.
    pub(crate) fn join_request(
        &mut self,
        cx: &mut Cx<'_>,
        e: &mut Engines<'_>,
        from: Address,
        join: &Join<'_>,
    ) -> Option<Answer> {
        if e.members.is_leaving() {
            return None;
        }
        let joiner = e.members.table.find(join.node);
        if let Some(id) = joiner {
            let hot = e.members.table.hot(id);
            let other = hot.boot != join.boot && hot.addr != join.addr;
            if id == SELF && hot.boot == join.boot {
                // A seed is an alias of this node's own address.
                self.met_oneself(cx, e, join.nonce);
                return None;
            }
            if id == SELF {
                // Our own name: nobody needs to be asked whether its holder lives.
                return Some(Answer::NameTaken { nonce: join.nonce });
            }
            if hot.is_live() && other {
                let claim = Claim { addr: from, boot: join.boot, incarnation: 0 };
                e.failure.dispute(cx, &e.members, id, claim, Some(join.nonce));
                return None;
            }
        }
        let (joiner, pages, elsewhere) = (joiner.unwrap_or(NIL), join.pages, join.addr != from);
        Some(Answer::Join { nonce: join.nonce, joiner, pages, elsewhere })
    }

    /// This node has asked itself: that is no seed.
    fn met_oneself(&mut self, cx: &Cx<'_>, e: &mut Engines<'_>, nonce: u32) {
        let Some(join) = self.joins.take(nonce) else { return };
        self.joins.seeds.retain(|seed| *seed != join.to);
        if !join.quiet {
            // As for its own address: it is in the fleet that it is in.
            self.joins.tell(JoinResult::Yes(join.to));
        }
        if self.joins.running.is_empty() {
            e.events.started(&cx.config, &e.members);
        }
    }

    /// A join was answered. `None` if this node had not asked, else whether records are to follow.
    pub(crate) fn join_answer(
        &mut self,
        cx: &mut Cx<'_>,
        e: &mut Engines<'_>,
        from: Address,
        answer: &JoinAnswer,
        fleet: Option<Fleet>,
    ) -> Option<bool> {
        // Who was asked for what it says comes from where it has said it.
        let leaving = e.members.is_leaving();
        let asked =
            |join: &Joining| join.nonce == answer.nonce && (join.named || join.to == from) && !leaving;
        let place = self.joins.running.iter().position(asked)?;
        let join = self.joins.running.swap_remove(place);
        e.failure.answered(cx, &mut e.members);
        let first = e.events.fleet.is_starting() || !self.joins.joined;
        let named = join.named || !cx.config.has(Rule::NamedSeeds);
        let clocks = [answer.clock, answer.event_clock, answer.query_clock];
        if first && named {
            let far = clocks.iter().zip(cx.clocks.all()).any(|(theirs, own)| *theirs > own + LTIME_JUMP);
            let claimed = self.joins.claimed.take();
            if far && claimed.is_none() && cx.config.has(Rule::ToldTwice) {
                // Further than others could lead it otherwise: no single datagram does.
                self.joins.claimed = Some(clocks);
                let nonce = cx.random.next() as u32;
                let deadline = join.deadline.max(cx.now + PATIENCE);
                let _ = self.joins.running.push(Joining { nonce, due: cx.now, deadline, ..join });
                return None;
            }
            let claimed = claimed.unwrap_or(clocks);
            cx.clocks.adopt(core::array::from_fn(|i| clocks[i].min(claimed[i])));
        } else {
            cx.witness_all(Word::Answer, clocks);
        }
        // Age 0: it is starting as well, and may soon know more.
        let beginner = fleet.is_none_or(|fleet| fleet.id == 0 || fleet.age == 0);
        if let Some(fleet) = fleet.filter(|fleet| fleet.id != 0) {
            e.events.meet_fleet(cx, &e.members, (fleet, None), Word::Answer, join.replay);
        }
        let waits = beginner && self.joins.running.iter().any(|join| !join.quiet);
        if let Some(until) = e.events.fleet.starting {
            e.events.fleet.starting = Some(until.min(cx.now + BEGINNERS));
            if !waits {
                e.events.started(&cx.config, &e.members);
            }
        }
        if join.quiet {
            return Some(false);
        }
        self.joins.joined = true;
        self.joins.tell(JoinResult::Yes(join.to));
        let ltime = cx.clocks.member.stamp();
        e.members.table.edit(SELF, |hot| hot.status_ltime = ltime);
        e.members.queue_update(SELF, update::STATE | update::JOIN);
        let alone = e.members.table.len() == 1;
        let step = if alone { MemberStep::Pages { cursor: 0 } } else { MemberStep::List { cursor: 0 } };
        if self.members.is_none() {
            self.begin_members(cx, e, from, step);
        } else {
            // No room: it is a seed too, and tried again as such.
            let _ = self.met.push(from);
        }
        Some(true)
    }

    /// Somebody knows this node, which knows nobody: it came back without a seed. One question, once, instead of the answer
    /// that is due, and no longer than that may be; the answer proves that somebody is there. False if one is under way.
    pub(crate) fn meet(&mut self, cx: &mut Cx<'_>, e: &Engines<'_>, addr: Address, limit: usize) -> bool {
        let fits = limit >= cx.wire.overhead() + QUESTION_LEAST + e.members.table.name(SELF).len();
        if !fits || e.members.is_leaving() {
            return false;
        }
        let joins = &mut self.joins;
        let asked = joins.running.iter().find(|join| join.to == addr).map(|join| join.nonce);
        let nonce = asked.unwrap_or_else(|| cx.random.next() as u32);
        if e.events.cut_off && joins.way_back == 0 {
            joins.way_back = nonce;
        }
        if asked.is_some() {
            return false;
        }
        joins.make_room();
        let deadline = cx.now + PATIENCE.max(cx.config.probe_timeout.times(2));
        let (replay, limit) = (cx.config.replay, limit.min(u16::MAX as usize) as u16);
        let (quiet, named) = (true, false);
        let join = Joining { to: addr, nonce, replay, quiet, named, limit, due: cx.now, deadline };
        joins.running.push(join).is_ok()
    }
}

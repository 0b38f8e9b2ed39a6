//! Joining: who is let in, what an answer brings, and how long one is waited for.

use super::repair::Ask;
use super::{Joined, Node};
use crate::clock::{LTIME_JUMP, Word};
use crate::gossip::heal::{Claim, Joining, PATIENCE, Step};
use crate::gossip::owed::Answer;
use crate::member::record::say;
use crate::member::table::SELF;
use crate::rules::Rule;
use crate::slice::NIL;
use crate::time::{Duration, Instant};
use crate::wire::message::{Address, Fleet, Join, JoinAnswer};

/// How long a starting node whose seeds are starting as well waits for one who is not.
const BEGINNERS: Duration = Duration::from_secs(2);

/// The shortest question to whom this node has heard of, in bytes, without its name: what stands before a message, and a join
/// from an IPv6 address.
const QUESTION_LEAST: usize = 10 + 3 + 5 + 1 + 20 + 10 + 1;

impl Node<'_> {
    /// Somebody wants in: what it is to be answered, if anything yet.
    pub(super) fn join_request(&mut self, now: Instant, from: Address, join: &Join<'_>) -> Option<Answer> {
        if self.leave.is_some() {
            return None;
        }
        let joiner = self.members.table.find(join.node);
        if let Some(id) = joiner {
            let slot = self.members.table.slot(id);
            let other = slot.boot != join.boot && slot.addr != join.addr;
            if id == SELF && slot.boot == join.boot {
                // A seed is an alias of this node's own address.
                self.met_oneself(join.nonce);
                return None;
            }
            if id == SELF {
                // Our own name: nobody needs to be asked whether its holder lives.
                return Some(Answer::NameTaken { nonce: join.nonce });
            }
            if slot.is_live() && other {
                let claim = Claim { addr: from, boot: join.boot };
                self.dispute(now, id, claim, Some(join.nonce));
                return None;
            }
        }
        let (joiner, pages) = (joiner.unwrap_or(NIL), join.pages);
        Some(Answer::Join { nonce: join.nonce, joiner, pages })
    }

    /// This node has asked itself: that is no seed.
    fn met_oneself(&mut self, nonce: u32) {
        let Some(place) = self.heal.joins.iter().position(|join| join.nonce == nonce) else { return };
        let join = self.heal.joins.swap_remove(place);
        self.heal.seeds.retain(|seed| *seed != join.to);
        if !join.quiet {
            // As for its own address: it is in the fleet that it is in.
            let _ = self.told_joins.push_back(Joined::Yes(join.to));
        }
        if self.heal.joins.is_empty() {
            self.started();
        }
    }

    /// A join was answered. `None` if this node had not asked, else whether records are to follow.
    pub(super) fn join_answer(
        &mut self,
        now: Instant,
        from: Address,
        answer: &JoinAnswer,
        fleet: Option<Fleet>,
    ) -> Option<bool> {
        // Who was asked for what it says comes from where it has said it.
        let asked = |join: &Joining| {
            join.nonce == answer.nonce && (join.named || join.to == from) && self.leave.is_none()
        };
        let place = self.heal.joins.iter().position(asked)?;
        let join = self.heal.joins.swap_remove(place);
        self.answered(now);
        let first = self.starting.is_some() || !self.joined;
        let named = join.named || !self.config.has(Rule::NamedSeeds);
        let clocks = [answer.clock, answer.event_clock, answer.query_clock];
        if first && named {
            let far = clocks.iter().zip(self.clocks.all()).any(|(theirs, own)| *theirs > own + LTIME_JUMP);
            let claimed = self.heal.claimed.take();
            if far && claimed.is_none() && self.config.has(Rule::ToldTwice) {
                // Further than others could lead it otherwise: no single datagram does.
                self.heal.claimed = Some(clocks);
                let nonce = self.random.next() as u32;
                let deadline = join.deadline.max(now + PATIENCE);
                let _ = self.heal.joins.push(Joining { nonce, due: now, deadline, ..join });
                return None;
            }
            let claimed = claimed.unwrap_or(clocks);
            self.clocks.adopt(core::array::from_fn(|i| clocks[i].min(claimed[i])));
        } else {
            self.witness_all(now, Word::Answer, clocks);
        }
        // Age 0: it is starting as well, and may soon know more.
        let beginner = fleet.is_none_or(|fleet| fleet.id == 0 || fleet.age == 0);
        if let Some(fleet) = fleet.filter(|fleet| fleet.id != 0) {
            self.meet_fleet(now, (fleet, None), Word::Answer, join.replay);
        }
        let waits = beginner && self.heal.joins.iter().any(|join| !join.quiet);
        if let Some(until) = self.starting {
            self.starting = Some(until.min(now + BEGINNERS));
            if !waits {
                self.started();
            }
        }
        if join.quiet {
            return Some(false);
        }
        self.joined = true;
        let _ = self.told_joins.push_back(Joined::Yes(join.to));
        let ltime = self.clocks.member.stamp();
        self.members.table.edit(SELF, |slot| slot.status_ltime = ltime);
        self.say(SELF, say::STATE | say::JOIN);
        let empty = self.members.table.len() == 1;
        let step = if empty { Step::Pages { cursor: 0 } } else { Step::List { cursor: 0 } };
        if self.heal.members.is_none() {
            self.begin_members(now, from, step);
        } else {
            // No room: it is a seed too, and tried again as such.
            let _ = self.heal.met.push(from);
        }
        Some(true)
    }

    /// Somebody knows this node, which knows nobody: it came back without a seed. One question, once, instead of the answer
    /// that is due, and no longer than that may be; the answer proves that somebody is there. False if one is under way.
    pub(super) fn meet(&mut self, now: Instant, addr: Address, limit: usize) -> bool {
        let fits = limit >= QUESTION_LEAST + self.members.table.name(SELF).len();
        if !fits || self.leave.is_some() {
            return false;
        }
        let asked = self.heal.joins.iter().find(|join| join.to == addr).map(|join| join.nonce);
        let nonce = asked.unwrap_or_else(|| self.random.next() as u32);
        if self.cut_off && self.way_back == 0 {
            self.way_back = nonce;
        }
        if asked.is_some() {
            return false;
        }
        self.make_room_to_ask();
        let deadline = now + PATIENCE.max(self.config.probe_timeout.times(2));
        let (replay, limit) = (self.config.replay, limit.min(u16::MAX as usize) as u16);
        let (quiet, named) = (true, false);
        let join = Joining { to: addr, nonce, replay, quiet, named, limit, due: now, deadline };
        self.heal.joins.push(join).is_ok()
    }

    /// Anybody can make a node ask: the oldest of such questions gives way to a newer one, and to seeds.
    pub(super) fn make_room_to_ask(&mut self) {
        if self.heal.joins.is_full() {
            let provoked = self.heal.joins.iter().enumerate().filter(|(_, join)| join.quiet && !join.named);
            if let Some((oldest, _)) = provoked.min_by_key(|(_, join)| join.deadline) {
                self.heal.joins.swap_remove(oldest);
            }
        }
    }

    pub(super) fn name_taken(&mut self, nonce: u32) {
        let Some(place) = self.heal.joins.iter().position(|join| join.nonce == nonce) else { return };
        let join = self.heal.joins.swap_remove(place);
        if join.quiet {
            return;
        }
        // Only a node that is not in yet steps back: no packet can talk a running one out of its name.
        let told = if self.joined { Joined::No(join.to) } else { Joined::NameTaken(join.to) };
        let _ = self.told_joins.push_back(told);
    }

    /// The next join that is asked for (again), or given up.
    pub(super) fn joins_due(&mut self, now: Instant) -> Option<Ask> {
        let mut i = 0;
        while i < self.heal.joins.len() {
            let join = &mut self.heal.joins[i];
            if join.deadline <= now {
                let join = self.heal.joins.swap_remove(i);
                if !join.quiet {
                    let _ = self.told_joins.push_back(Joined::No(join.to));
                }
            } else if join.due <= now {
                // Nobody waits for a seed that is tried again, and it may be gone for good.
                join.due = match (join.quiet, join.named) {
                    (false, _) => now + PATIENCE,
                    (true, true) => now + self.config.join_timeout.scaled(1, 3),
                    (true, false) => Instant::FAR,
                };
                return Some(Ask::Join(*join));
            } else {
                i += 1;
            }
        }
        None
    }
}

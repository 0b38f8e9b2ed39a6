//! One name for two nodes: who is asked, who keeps it, and who is told.
//!
//! Its holder is probed. So is the other one, if the holder answers and it booted earlier, or if the holder does not and it is
//! far ahead. If both go by one boot number it may be one node, which has moved: whoever answers is asked where it is, and
//! what it says of itself counts.

use super::Failure;
use crate::context::Cx;
use crate::membership::Membership;
use crate::membership::messages::{Claim, out_of_reach};
use crate::membership::record::{flag, update};
use crate::membership::table::SELF;
use crate::outgoing::Answer;
use crate::rules::Rule;
use crate::time::{Duration, Instant};
use crate::wire::message::Address;

/// How long a name conflict is not told again.
const TOLD_AGAIN: Duration = Duration::from_secs(60);
/// Names that can be in dispute at once.
const CONFLICTS: usize = 4;
/// How often the holder of a disputed name is probed, each time with others' help, before it is taken for silent: as often
/// as whoever is suspected, or more.
const ROUNDS: u8 = 8;

/// A name that two nodes want.
#[derive(Clone, Copy, Debug)]
struct Conflict {
    holder: u16,
    claim: Claim,
    /// Of the newcomer's join, if it has asked to join with that name.
    nonce: Option<u32>,
    /// Of the probes of the holder, then of the claimant.
    seq: u32,
    tries: u8,
    due: Instant,
    /// What is known of the holder by now does not decide: it is the claimant who has to answer.
    asks_claimant: bool,
}

/// Somebody is to be asked whether it has a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    /// Whose name.
    pub(crate) name: u16,
    pub(crate) to: Address,
    pub(crate) seq: u32,
}

/// What an answer has decided, for others to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Another node, at this address, goes by this node's name.
    Namesake(Address),
    /// Which life the name is in tells the table of whoever is there.
    Compare(Address),
}

pub(crate) struct Disputes {
    conflicts: heapless::Vec<Conflict, CONFLICTS>,
    /// That somebody has this node's own name is not told again before this.
    tell_after: Instant,
}

impl Disputes {
    pub(super) const fn new() -> Self {
        Disputes { conflicts: heapless::Vec::new(), tell_after: Instant::PAST }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.conflicts.iter().map(|conflict| conflict.due).fold(Instant::FAR, Instant::min)
    }

    /// Whether a member is being asked whether it has its name, or who else says so.
    pub(super) fn is_open(&self, id: u16) -> bool {
        self.conflicts.iter().any(|conflict| conflict.holder == id)
    }

    pub(super) fn forget(&mut self, id: u16) {
        self.conflicts.retain(|conflict| conflict.holder != id);
    }

    /// Nothing that was not answered until now counts.
    pub(super) fn restart(&mut self, now: Instant) {
        for conflict in &mut self.conflicts {
            (conflict.tries, conflict.due) = (0, now);
        }
    }
}

impl Failure<'_> {
    /// Somebody else goes by this node's name, or it is a former life of this node: whether it answers will tell.
    pub(crate) fn namesake(&mut self, cx: &mut Cx<'_>, members: &Membership<'_>, claim: Claim) {
        if cx.now >= self.disputes.tell_after && !members.is_leaving() {
            self.dispute(cx, members, SELF, claim, None);
        }
    }

    /// Two nodes want one name: its holder is probed. `nonce`: of the claimant's join, if it has asked to join.
    pub(crate) fn dispute(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        holder: u16,
        claim: Claim,
        nonce: Option<u32>,
    ) {
        let conflicts = &mut self.disputes.conflicts;
        if let Some(known) = conflicts.iter_mut().find(|conflict| conflict.holder == holder) {
            if nonce.is_some() && !known.asks_claimant {
                (known.claim, known.nonce) = (claim, nonce);
            }
            return;
        }
        let seq = cx.random.next() as u32;
        let known = members.table.hot(holder);
        // Whoever is gone need not be asked, nor is a member waited for at an address where it has never answered.
        let unseen = is_same_life(cx, members, holder, claim) && !known.has(flag::VERIFIED);
        let asks_claimant = holder == SELF || claim.addr == known.addr || !known.is_live() || unseen;
        // No room: the newcomer asks again.
        let _ = conflicts.push(Conflict { holder, claim, nonce, seq, tries: 0, due: cx.now, asks_claimant });
    }

    /// An ack that no probe waits for: perhaps one of those who want a disputed name answers.
    pub(crate) fn dispute_answered(
        &mut self,
        cx: &mut Cx<'_>,
        members: &mut Membership<'_>,
        from: Address,
        seq: u32,
    ) -> Option<Verdict> {
        let place = self.disputes.conflicts.iter().position(|c| c.tries > 0 && c.seq == seq)?;
        self.answered(cx, members);
        let seq = cx.random.next() as u32;
        let conflict = &mut self.disputes.conflicts[place];
        let Conflict { holder, claim, nonce, asks_claimant, .. } = *conflict;
        if asks_claimant {
            self.disputes.conflicts.swap_remove(place);
            if from != claim.addr {
                return None;
            }
            if holder == SELF {
                self.disputes.tell_after = cx.now + TOLD_AGAIN;
                cx.stats.name_conflicts += 1;
                return Some(Verdict::Namesake(from));
            }
            if is_far(members, holder, claim) || from == members.table.hot(holder).addr {
                // Its own table tells which boot is its own.
                return Some(Verdict::Compare(from));
            }
            hand_name_over(cx, members, holder, claim);
            // It has just answered: what was held against it is over.
            self.member_answered(cx, members, holder);
            members.queue_update(holder, update::STATE);
            return None;
        }
        if is_same_life(cx, members, holder, claim) && nonce.is_none() {
            if from == claim.addr {
                // It, or a helper whom somebody lies about: it is asked there.
                (conflict.seq, conflict.tries, conflict.due, conflict.asks_claimant) = (seq, 0, cx.now, true);
                return None;
            }
            self.disputes.conflicts.swap_remove(place);
            // It says itself where it is, or that somebody lies.
            return Some(Verdict::Compare(members.table.hot(holder).addr));
        }
        cx.stats.names_taken += 1;
        let elder = claim.boot < members.table.hot(holder).boot;
        if elder && nonce.is_none() && cx.config.has(Rule::Elder) {
            (conflict.seq, conflict.tries, conflict.due, conflict.asks_claimant) = (seq, 0, cx.now, true);
        } else {
            self.disputes.conflicts.swap_remove(place);
        }
        if let Some(nonce) = nonce {
            cx.enqueue(claim.addr, usize::MAX, Answer::NameTaken { nonce });
        }
        None
    }

    /// The next one to be asked; disputes that nobody has answered are decided.
    pub(crate) fn dispute_due(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>) -> Option<Question> {
        let place = self.disputes.conflicts.iter().position(|conflict| conflict.due <= cx.now)?;
        let conflict = &mut self.disputes.conflicts[place];
        let Conflict { holder, claim, seq, asks_claimant, .. } = *conflict;
        let moved = is_same_life(cx, members, holder, claim);
        let rounds = match (asks_claimant, cx.config.has(Rule::Dispute)) {
            // Anybody may have said that somebody is there.
            (true, _) => 1,
            (false, true) => ROUNDS,
            (false, false) => 2,
        };
        if conflict.tries < rounds {
            conflict.tries += 1;
            // Who has moved is to be found before it is taken for failed: answers to each of these count until the end.
            let hurries = moved && !asks_claimant && conflict.tries < rounds;
            conflict.due = cx.now + cx.config.probe_timeout.scaled(1, if hurries { 4 } else { 1 });
            if asks_claimant {
                return Some(Question { name: holder, to: claim.addr, seq });
            }
            if cx.config.has(Rule::Dispute) {
                self.ask_others(cx, members, holder, seq);
            }
            return Some(Question { name: holder, to: members.table.hot(holder).addr, seq });
        }
        // Who goes by a boot number that nobody would believe has to answer as well, and who may be the holder itself.
        if asks_claimant || !moved && !is_far(members, holder, claim) {
            self.disputes.conflicts.swap_remove(place);
        } else {
            (conflict.tries, conflict.due, conflict.asks_claimant) = (0, cx.now, true);
        }
        if !asks_claimant && !moved && members.table.hot(holder).is_live() {
            self.declare_failed(cx, members, holder);
        }
        self.dispute_due(cx, members)
    }
}

/// Whether the claimant goes by the holder's own boot number: it may be the holder, at another address.
fn is_same_life(cx: &Cx<'_>, members: &Membership<'_>, holder: u16, claim: Claim) -> bool {
    claim.boot == members.table.hot(holder).boot && cx.config.has(Rule::Moves)
}

/// Whether nobody's word but the claimant's own is enough.
fn is_far(members: &Membership<'_>, holder: u16, claim: Claim) -> bool {
    out_of_reach((claim.boot, claim.incarnation), members.table.hot(holder).life())
}

/// The name is the claimant's own: both live and it booted first, or it is the holder, which has moved. What else there is to know of
/// it, comparing brings.
fn hand_name_over(cx: &Cx<'_>, members: &mut Membership<'_>, holder: u16, claim: Claim) {
    members.table.edit(holder, |hot| {
        let moved = hot.boot == claim.boot;
        let incarnation = if moved { claim.incarnation } else { 0 };
        (hot.boot, hot.incarnation, hot.addr) = (claim.boot, incarnation, claim.addr);
        hot.set(flag::VERIFIED, false);
        // Its tags may have changed meanwhile.
        hot.set(flag::TAGS_WANTED, moved);
    });
    members.note_update(cx, holder);
    members.backoff.changed(cx.now);
}

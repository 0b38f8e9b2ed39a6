//! One name for two nodes: who is asked, who keeps it, and who is told.

use super::repair::Ask;
use super::{Joined, Node};
use crate::gossip::heal::{Claim, Conflict, DISPUTE_ROUNDS};
use crate::gossip::owed::Answer;
use crate::member::machine::BOOT_JUMP;
use crate::member::record::flag;
use crate::member::table::SELF;
use crate::rules::Rule;
use crate::time::{Duration, Instant};
use crate::wire::message::Address;

/// How long a name conflict is not told again.
const CONFLICT_TOLD: Duration = Duration::from_secs(60);

impl Node<'_> {
    /// Somebody else goes by this node's name, or it is a former life of this node: whether it answers will tell.
    pub(super) fn namesake(&mut self, now: Instant, claim: Claim) {
        if now >= self.next_conflict && self.leave.is_none() {
            self.dispute(now, SELF, claim, None);
        }
    }

    /// Two nodes want one name: its holder is probed.
    pub(super) fn dispute(&mut self, now: Instant, holder: u16, claim: Claim, nonce: Option<u32>) {
        if let Some(known) = self.heal.conflicts.iter_mut().find(|conflict| conflict.holder == holder) {
            if nonce.is_some() && !known.asks_claimant {
                (known.claim, known.nonce) = (claim, nonce);
            }
            return;
        }
        let seq = self.random.next() as u32;
        let known = self.members.table.slot(holder);
        // Whoever is gone need not be asked.
        let asks_claimant = holder == SELF || claim.addr == known.addr || !known.is_live();
        let conflict = Conflict { holder, claim, nonce, seq, tries: 0, due: now, asks_claimant };
        // No room: the newcomer asks again.
        let _ = self.heal.conflicts.push(conflict);
    }

    /// An ack that no probe waits for: perhaps one of those who want a disputed name answers.
    pub(super) fn conflict_answered(&mut self, now: Instant, from: Address, seq: u32) {
        let Some(place) = self.heal.conflicts.iter().position(|c| c.tries > 0 && c.seq == seq) else {
            return;
        };
        self.answered(now);
        let seq = self.random.next() as u32;
        let conflict = &mut self.heal.conflicts[place];
        let Conflict { holder, claim, nonce, asks_claimant, .. } = *conflict;
        if asks_claimant {
            self.heal.conflicts.swap_remove(place);
            if from != claim.addr {
                return;
            }
            if holder == SELF {
                self.next_conflict = now + CONFLICT_TOLD;
                self.stats.name_conflicts += 1;
                let _ = self.told_joins.push_back(Joined::Conflict(from));
            } else if self.is_far(holder, claim) || from == self.members.table.slot(holder).addr {
                // Its own table tells which boot is its own.
                let _ = self.heal.met.push(from);
            } else {
                self.hand_name_over(now, holder, claim);
            }
            return;
        }
        self.stats.names_taken += 1;
        let elder = claim.boot < self.members.table.slot(holder).boot;
        if elder && nonce.is_none() && self.config.has(Rule::Elder) {
            (conflict.seq, conflict.tries, conflict.due, conflict.asks_claimant) = (seq, 0, now, true);
        } else {
            self.heal.conflicts.swap_remove(place);
        }
        if let Some(nonce) = nonce {
            self.owe(claim.addr, usize::MAX, Answer::NameTaken { nonce });
        }
    }

    /// Whether nobody's word but the claimant's own is enough.
    fn is_far(&self, holder: u16, claim: Claim) -> bool {
        claim.boot > self.members.table.slot(holder).boot.saturating_add(BOOT_JUMP)
    }

    /// Both live, and the claimant booted first: the name is its own. What else there is to know of it, comparing brings.
    fn hand_name_over(&mut self, now: Instant, holder: u16, claim: Claim) {
        self.members.table.edit(holder, |slot| {
            (slot.boot, slot.incarnation, slot.addr) = (claim.boot, 0, claim.addr);
            slot.set(flag::VERIFIED, false);
        });
        self.heal.member_pace.changed(now);
    }

    pub(super) fn conflicts_due(&mut self, now: Instant) -> Option<Ask> {
        let place = self.heal.conflicts.iter().position(|conflict| conflict.due <= now)?;
        let conflict = &mut self.heal.conflicts[place];
        let Conflict { holder, claim, seq, asks_claimant, .. } = *conflict;
        let rounds = match (asks_claimant, self.config.has(Rule::Dispute)) {
            // Anybody may have said that somebody is there.
            (true, _) => 1,
            (false, true) => DISPUTE_ROUNDS,
            (false, false) => 2,
        };
        if conflict.tries < rounds {
            conflict.tries += 1;
            conflict.due = now + self.config.probe_timeout;
            if asks_claimant {
                return Some(Ask::Conflict { name: holder, to: claim.addr, seq });
            }
            if self.config.has(Rule::Dispute) {
                self.ask_others(holder, seq);
            }
            let to = self.members.table.slot(holder).addr;
            return Some(Ask::Conflict { name: holder, to, seq });
        }
        // Who goes by a boot number that nobody would believe has to answer as well.
        if asks_claimant || !self.is_far(holder, claim) {
            self.heal.conflicts.swap_remove(place);
        } else {
            let conflict = &mut self.heal.conflicts[place];
            (conflict.tries, conflict.due, conflict.asks_claimant) = (0, now, true);
        }
        if !asks_claimant && self.members.table.slot(holder).is_live() {
            self.declare_failed(now, holder);
        }
        self.conflicts_due(now)
    }
}

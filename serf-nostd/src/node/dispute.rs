//! One name for two nodes: who is asked, who keeps it, and who is told.

use super::repair::Ask;
use super::{Joined, Node};
use crate::config::Rule;
use crate::gossip::heal::{Claim, Conflict, DISPUTE_ROUNDS};
use crate::gossip::owed::Answer;
use crate::member::record::flag;
use crate::time::{Duration, Instant};
use crate::wire::message::Address;

/// How long a name conflict is not told again.
const CONFLICT_TOLD: Duration = Duration::from_secs(60);

impl Node<'_> {
    /// Somebody else goes by this node's name.
    pub(super) fn namesake(&mut self, now: Instant, addr: Address) {
        if now >= self.next_conflict && self.leave.is_none() {
            self.next_conflict = now + CONFLICT_TOLD;
            self.stats.name_conflicts += 1;
            let _ = self.told_joins.push_back(Joined::Conflict(addr));
        }
    }

    /// Two nodes want one name: its holder is probed.
    pub(super) fn dispute(&mut self, now: Instant, holder: u16, claim: Claim, nonce: Option<u32>) {
        if let Some(known) = self.heal.conflicts.iter_mut().find(|conflict| conflict.holder == holder) {
            if nonce.is_some() && !known.holder_lives {
                (known.claim, known.nonce) = (claim, nonce);
            }
            return;
        }
        let seq = self.random.next() as u32;
        let conflict = Conflict { holder, claim, nonce, seq, tries: 0, due: now, holder_lives: false };
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
        let Conflict { holder, claim, nonce, holder_lives, .. } = *conflict;
        if holder_lives {
            self.heal.conflicts.swap_remove(place);
            if from == claim.addr {
                self.hand_name_over(now, holder, claim);
            }
            return;
        }
        self.stats.names_taken += 1;
        let elder = claim.boot < self.members.table.slot(holder).boot;
        if elder && nonce.is_none() && self.config.has(Rule::Elder) {
            (conflict.seq, conflict.tries, conflict.due, conflict.holder_lives) = (seq, 0, now, true);
        } else {
            self.heal.conflicts.swap_remove(place);
        }
        if let Some(nonce) = nonce {
            self.owe(claim.addr, usize::MAX, Answer::NameTaken { nonce });
        }
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
        let Conflict { holder, claim, seq, holder_lives, .. } = *conflict;
        let rounds = if self.config.has(Rule::Dispute) { DISPUTE_ROUNDS } else { 2 };
        if conflict.tries < rounds {
            conflict.tries += 1;
            conflict.due = now + self.config.probe_timeout;
            if holder_lives {
                return Some(Ask::Conflict { name: holder, to: claim.addr, seq });
            }
            if self.config.has(Rule::Dispute) {
                self.ask_others(holder, seq);
            }
            let to = self.members.table.slot(holder).addr;
            return Some(Ask::Conflict { name: holder, to, seq });
        }
        self.heal.conflicts.swap_remove(place);
        if !holder_lives && self.members.table.slot(holder).is_live() {
            self.declare_failed(now, holder);
        }
        self.conflicts_due(now)
    }
}

//! A member that lies: well-formed messages with forged fields, in its own name and in those of others, and old datagrams
//! once more.

use serf_nostd::LTIME_JUMP;

use crate::wire::{self, body, kind};

use super::{FORGED, Run};

/// How many overheard datagrams it keeps.
const KEPT: usize = 256;
/// The name of the events that it makes up.
const NAME: &[u8] = b"forged";

/// The liar and what it has overheard: who sent what to whom.
pub(super) struct Forger {
    machine: usize,
    kept: Vec<(usize, usize, Vec<u8>)>,
    overheard: u64,
}

impl Run<'_> {
    /// Somebody becomes a liar.
    pub(super) fn begin_forging(&mut self) {
        // Without the key all that it says is refused.
        if self.plan.faults.forger > 0.0 && !self.plan.sealed {
            let machine = self.luck.range(1..self.plan.nodes as u64) as usize;
            self.forger = Some(Forger { machine, kept: Vec::new(), overheard: 0 });
            self.fleet.recording = Some(Vec::new());
            self.note(format!("machine {machine} begins to lie"));
        }
    }

    /// It lies no more.
    pub(super) fn end_forging(&mut self) {
        if let Some(forger) = self.forger.take() {
            self.fleet.recording = None;
            self.note(format!("machine {} lies no more", forger.machine));
        }
    }

    /// Up to six lies.
    pub(super) fn forge(&mut self) {
        let Some(mut forger) = self.forger.take() else { return };
        self.ears.judge.forger(self.fleet.now());
        for heard in self.fleet.recording.replace(Vec::new()).unwrap_or_default() {
            // Each has the same chance to be kept, however long ago it was.
            forger.overheard += 1;
            if forger.kept.len() < KEPT {
                forger.kept.push(heard);
            } else if let place @ 0..KEPT = self.luck.below(forger.overheard) as usize {
                forger.kept[place] = heard;
            }
        }
        for _ in 0..self.luck.below(2 + (5.0 * self.plan.faults.forger) as u64) {
            self.lie(&forger);
        }
        self.forger = Some(forger);
    }

    fn lie(&mut self, forger: &Forger) {
        let nodes = self.plan.nodes as u64;
        let (to, about) = (self.luck.below(nodes) as usize, self.luck.below(nodes) as usize);
        if !forger.kept.is_empty() && self.luck.chance(0.2) {
            let (from, to, bytes) = forger.kept[self.luck.below(forger.kept.len() as u64) as usize].clone();
            let from = self.fleet.address(from);
            self.fleet.inject_from(from, to, bytes);
            self.happened.replayed += 1;
            return;
        }
        let Some(node) = self.fleet.node(to) else { return };
        let levels = node.gauges();
        let name = self.fleet.machines[about].name().to_string();
        let known = node.member(&name).map_or(1, |member| member.incarnation);
        let incarnation = known.saturating_add(self.luck.below(4) as u32);
        // As others see it: with 16 bits of instance behind it.
        let boot = self.fleet.machines[about].boot_number() << 16;
        let boot =
            boot + self.luck.below(1 << 16) + [0, 1 << 16, 1 << 36, 1 << 56][self.luck.below(4) as usize];
        // Within reach, at its edge, or beyond.
        let ahead = [1, 40, LTIME_JUMP - 1, LTIME_JUMP, 1 << 61][self.luck.below(5) as usize];
        let liar = self.fleet.machines[forger.machine].name();
        let asked = forger.kept.iter().rev().find(|(from, ..)| *from == to);
        let asked =
            asked.and_then(|(_, _, bytes)| wire::read(bytes).into_iter().find(|(k, _)| *k == kind::JOIN));
        let (member_time, event_time) = (levels.member_time + ahead, levels.event_time + ahead);
        let of = if self.luck.chance(0.5) { 0 } else { boot };
        let message = match self.luck.below(8) {
            0 => wire::alive(&name, about as u32, incarnation, boot),
            1 => wire::accusation_of(kind::SUSPECT, &name, (incarnation, of), liar),
            2 => wire::accusation_of(kind::DEAD, &name, (incarnation, of), liar),
            3 => wire::intent(kind::JOIN_INTENT, member_time, &name),
            4 => wire::intent(kind::LEAVE_INTENT, member_time, &name),
            5 => wire::event(event_time, self.luck.bits(), NAME, FORGED, self.luck.chance(0.5)),
            6 => wire::summary(event_time),
            _ => {
                let nonce = asked.map_or(self.luck.bits() as u32 as u64, |(_, body)| wire::number(&body));
                body(kind::JOIN_ANSWER).int(nonce).int(member_time).int(event_time).int(event_time).end()
            }
        };
        let from = if self.luck.chance(0.3) { about } else { forger.machine };
        let from = self.fleet.address(from);
        self.fleet.inject_from(from, to, wire::datagram(&[message]));
        self.happened.forged += 1;
    }
}

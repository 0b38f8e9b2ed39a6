//! Who is believed to have failed: from a probe that nobody answered to the verdict, what this node says against its own,
//! and when its own senses are not to be trusted.

use super::{Node, origin};
use crate::clock::LTIME_LIMIT;
use crate::detect::suspicion;
use crate::member::record::{State, flag, say};
use crate::member::table::SELF;
use crate::rules::Rule;
use crate::time::{Duration, Instant};

/// Furthest that a contradiction raises the incarnation; beyond it a new life is begun instead.
const REFUTE_STEP: u32 = 1 << 10;

/// So many members without an answer, one after the other, are no longer their own fault.
const ASKED: usize = 30;

impl Node<'_> {
    /// A target has not answered its probe: doubted here, unless others accuse it already.
    pub(super) fn unanswered(&mut self, now: Instant, target: u16, seq: u32) {
        self.stats.probes_failed += 1;
        if self.members.table.slot(target).state == State::Alive {
            let span = suspicion::doubt(&self.config, self.live());
            if self.detector.doubt(now, &self.config, (target, seq), span) {
                self.stats.doubts += 1;
                return;
            }
            self.stats.doubts_refused += 1;
        }
        self.silent(now, target, now);
    }

    /// A target has answered nobody: from now on it is suspect, here and for those who hear it.
    pub(super) fn silent(&mut self, now: Instant, target: u16, since: Instant) {
        let table = &mut self.members.table;
        match table.slot(target).state {
            State::Alive => {
                info!("memberlist", "Suspect {} has failed, no acks received", table.name(target));
                table.edit(target, |slot| slot.state = State::Suspect);
                table.case_mut(target).accuse(Some(SELF));
                self.start_suspicion(now, since, target, true);
            }
            State::Suspect => self.accuse_too(now, target),
            State::Failed | State::Left => {}
        }
    }

    pub(super) fn start_suspicion(&mut self, now: Instant, since: Instant, id: u16, tell: bool) {
        let n = self.members.table.live() + 1;
        let k = suspicion::expected(&self.config, n);
        let deadline = since + suspicion::timeout(&self.config, n, 0, k);
        self.confirmers.forget(id);
        if let Some(accuser) = self.members.table.case(id).accuser() {
            let accuser = self.members.table.slot(accuser).hash;
            let noted = self.confirmers.note(id, accuser);
            self.stats.confirmers_refused += (noted == Some(false)) as u64;
        }
        self.members.table.case_mut(id).since = since;
        self.members.table.time(id, deadline);
        self.stats.suspicions += 1;
        if tell && !self.blames_itself(now, since) {
            self.say(id, say::STATE);
        }
    }

    /// This node confirms a suspicion.
    pub(super) fn accuse_too(&mut self, now: Instant, id: u16) {
        if !self.blames_itself(now, self.members.table.case(id).since) {
            let own = self.members.table.slot(SELF).hash;
            self.confirm_suspicion(now, id, Some(SELF), own);
        }
    }

    /// Another accuser of a suspect: fewer and fewer are needed.
    pub(super) fn confirm_suspicion(
        &mut self,
        now: Instant,
        id: u16,
        accuser: Option<u16>,
        accuser_name: u32,
    ) {
        let n = self.members.table.live() + 1;
        let k = suspicion::expected(&self.config, n);
        if self.members.table.case(id).confirmations >= k {
            return;
        }
        match self.confirmers.note(id, accuser_name) {
            None => return,
            Some(noted) => self.stats.confirmers_refused += !noted as u64,
        }
        let case = self.members.table.case_mut(id);
        let before = suspicion::timeout(&self.config, n, case.confirmations, k);
        case.confirmations += 1;
        case.set_accuser(accuser);
        let after = suspicion::timeout(&self.config, n, case.confirmations, k);
        let began = case.deadline.minus(before);
        case.deadline = (began + after).max(now);
        self.members.table.suspects.moved(self.members.table.cases, id);
        self.say(id, say::STATE);
    }

    pub(super) fn declare_failed(&mut self, now: Instant, id: u16) {
        info!(
            "memberlist",
            "Marking {} as failed, suspect timeout reached ({} peer confirmations)",
            self.members.table.name(id),
            self.members.table.case(id).confirmations
        );
        let private = self.blames_itself(now, self.members.table.case(id).since);
        let (members, mut moment) = self.moment(now);
        let end = members.end_of(&moment, id);
        if private && end == State::Failed {
            members.bury_privately(&mut moment, id);
        } else {
            members.bury(&mut moment, id, end, Duration::ZERO);
            self.members.table.case_mut(id).accuse(Some(SELF));
            self.heal.member_pace.changed(now);
            self.say(id, say::STATE);
            self.prune(now, id);
        }
        self.confirmers.forget(id);
    }

    /// Contradicts what was said against this node, above it.
    pub(super) fn refute(&mut self, incarnation: u32, boot: u64) {
        if !self.config.has(Rule::Refute) {
            return;
        }
        let own = self.members.table.slot(SELF).incarnation;
        let far = incarnation > own.saturating_add(REFUTE_STEP) || own == u32::MAX;
        self.stats.refuted += 1;
        self.detector.worsen(&self.config, 1);
        if boot > self.boot || far {
            // An earlier life had a clock that ran ahead of ours; or somebody pushes our incarnation to where others
            // would not follow. A new life starts below all of that.
            self.live_after(boot.max(self.boot));
        } else {
            self.live_as(self.boot, own.max(incarnation) + 1);
        }
    }

    /// Begins another life, after this one: under the next boot number that ends in this machine's instance, so that two
    /// machines of one name that are both driven there do not meet.
    pub(super) fn live_after(&mut self, boot: u64) {
        let instance = self.boot & u16::MAX as u64;
        let same = boot & !(u16::MAX as u64) | instance;
        let next = if same > boot { same } else { same.saturating_add(1 << u16::BITS) };
        self.live_as(next.min(LTIME_LIMIT - 1), 1);
    }

    /// Goes by this boot and incarnation from now on, and tells everybody.
    pub(super) fn live_as(&mut self, boot: u64, incarnation: u32) {
        self.boot = boot;
        self.origin = origin(&self.config, self.members.table.name(SELF), boot);
        self.members.table.edit(SELF, |slot| (slot.boot, slot.incarnation) = (boot, incarnation));
        self.say(SELF, say::STATE);
    }

    /// Somebody is heard.
    pub(super) fn heard(&mut self, now: Instant) {
        self.connected(now, |node| node.last_heard = now);
    }

    /// Somebody has answered this node: it is heard, too.
    pub(super) fn answered(&mut self, now: Instant) {
        self.connected(now, |node| node.last_answer = now);
    }

    /// Notes a sign of life from others, with which an isolation may end.
    fn connected(&mut self, now: Instant, note: impl FnOnce(&mut Self)) {
        let isolated = self.isolated_since(now);
        note(self);
        if let Some(since) = isolated
            && !self.isolated(now)
        {
            self.end_isolation(now, since);
        }
    }

    /// Whether this node's own link is the likelier culprit.
    pub(super) fn isolated(&self, now: Instant) -> bool {
        self.isolated_since(now).is_some()
    }

    /// Since when nobody has been heard, or nobody has answered, if that is so long ago (or so many were asked meanwhile) that
    /// this node's own link is the likelier culprit.
    fn isolated_since(&self, now: Instant) -> Option<Instant> {
        if !self.config.has(Rule::Isolation) {
            return None;
        }
        let heard = self.config.probe_interval.times(2) + self.config.probe_timeout;
        // A round of probes: if anybody is there, one of them is answered.
        let asked = self.members.table.live().min(ASKED) as u32 * (self.detector.awareness() as u32 + 1);
        let answered = heard + self.config.probe_interval.times(asked);
        let silent = (now.since(self.last_heard) > heard).then_some(self.last_heard);
        let unanswered = (now.since(self.last_answer) > answered).then_some(self.last_answer);
        silent.into_iter().chain(unanswered).min()
    }

    /// Whether what a node has held against another one since then may be the fault of its own link: others have not been
    /// heard after that.
    fn blames_itself(&self, now: Instant, since: Instant) -> bool {
        self.isolated_since(now).is_some_and(|isolated| since >= isolated)
    }

    /// Whether nobody is there, or nobody answers.
    pub(super) fn is_cut_off(&self, now: Instant) -> bool {
        self.members.table.live() == 0 || self.isolated(now)
    }

    /// Whether a node that was cut off asks somebody who may tell it where the others have gone: what it has fired meanwhile
    /// waits for the answer.
    pub(super) fn is_finding_back(&self) -> bool {
        self.way_back != 0 && self.heal.joins.iter().any(|join| join.nonce == self.way_back)
    }

    /// Somebody answers again. What this node has come to hold against others since then speaks against its own link: its
    /// verdicts and its own suspicions fall, and who is in doubt is probed once more.
    fn end_isolation(&mut self, now: Instant, since: Instant) {
        let own_link = self.config.has(Rule::OwnLink);
        if own_link {
            self.detector.ask_again();
        }
        // Whoever leaves a heap moves others to its place or to places before it: that place is looked at again.
        let own = |node: &Self, id: u16| {
            let slot = node.members.table.slot(id);
            let case = node.members.table.case(id);
            let alone = case.confirmations == 0 && case.since >= since;
            match slot.state {
                State::Suspect => own_link && alone && case.accuser() == Some(SELF),
                _ => slot.has(flag::PRIVATE),
            }
        };
        for suspects in [true, false] {
            let heap = |node: &Self, i: usize| {
                let table = &node.members.table;
                if suspects { &table.suspects } else { &table.gone }.ids().get(i).copied()
            };
            let table = &self.members.table;
            let mut i = if suspects { table.suspects.len() } else { table.gone.len() };
            while i > 0 {
                i -= 1;
                while let Some(id) = heap(self, i).filter(|id| own(self, *id)) {
                    self.member_answered(now, id);
                }
            }
        }
    }

    /// A clock that jumped by more than a probe interval proves that this node was frozen, not the others.
    pub(super) fn wake(&mut self, now: Instant) {
        let slack = self.config.probe_interval;
        if now <= self.promised + slack {
            return;
        }
        let gap = now.since(self.promised);
        self.promised = now;
        if !self.config.has(Rule::Freeze) {
            return;
        }
        self.stats.freezes += 1;
        self.detector.restart(now, gap);
        for conflict in &mut self.heal.conflicts {
            (conflict.tries, conflict.due) = (0, now);
        }
        // All by the same span: the order of the heap stays.
        let more = if self.config.has(Rule::Thaw) { 0 } else { self.config.suspicion_mult as u32 };
        let span = gap + self.config.probe_interval.times(more);
        for place in 0..self.members.table.suspects.len() {
            let id = self.members.table.suspects.ids()[place];
            self.members.table.case_mut(id).deadline += span;
        }
        (self.last_heard, self.last_answer) = (now, now);
    }
}

//! Who still answers: SWIM's probing with Lifeguard's additions, from a probe that nobody answered to the verdict, what this
//! node says against its own, and when its own senses are not to be trusted.
//!
//! A failing member, in the order of these functions: its probe goes unanswered ([`Failure::unanswered`]), it is probed again
//! before anybody is told ([`probe`]), it is suspect ([`Failure::silent`]), others confirm that
//! ([`Failure::confirm_suspicion`]), and when nobody contradicts in time it has failed ([`Failure::declare_failed`]).

pub(crate) mod dispute;
#[cfg(feature = "inquest")]
pub(crate) mod inquest;
#[cfg(not(feature = "inquest"))]
#[path = "uninquired.rs"]
pub(crate) mod inquest;
pub(crate) mod probe;
mod search;
pub(crate) mod suspicion;

use crate::config::Config;
use crate::context::Cx;
#[cfg(feature = "coordinates")]
use crate::coordinate::{Coordinates, Peer};
use crate::hash;
use crate::membership::Membership;
use crate::membership::journal::{By, What};
use crate::membership::record::{State, flag, update};
use crate::membership::table::SELF;
use crate::membership::transitions::Next;
use crate::outgoing::Answer;
use crate::random::Targets;
use crate::rules::Rule;
use crate::slice::NIL;
use crate::time::{Duration, Instant};
use crate::wire::packet::DATAGRAM_MAX;

use dispute::Disputes;
use inquest::Inquests;
use probe::{Detector, Due, Relay, Turn};
use suspicion::{Confirmer, Confirmers};

/// Furthest that a contradiction raises the incarnation; beyond it a new life is begun instead.
const REFUTE_STEP: u32 = 1 << 10;

/// So many members without an answer, one after the other, are no longer their own fault.
const ASKED: usize = 30;

/// Own probe loss, in 1/64, above which links are lossy: 10 %.
const LOSSY: u32 = 6;

/// How a fleet is to be reached, as its events need to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    /// Live members but this one.
    pub(crate) live: usize,
    /// How long they take to answer.
    pub(crate) round_trip: Duration,
    /// Whether packets get lost.
    pub(crate) lossy: bool,
    /// Whether none has been lost for long.
    pub(crate) clean: bool,
    /// When somebody last answered.
    pub(crate) answered: Instant,
}

pub(crate) struct Failure<'a> {
    pub(crate) detector: Detector<'a>,
    confirmers: Confirmers<'a>,
    pub(crate) disputes: Disputes,
    pub(crate) inquests: Inquests,
    #[cfg(feature = "coordinates")]
    pub(crate) coordinates: Coordinates<'a>,
    /// When somebody was last heard.
    last_heard: Instant,
    /// When somebody last answered a question of this node's.
    last_answer: Instant,
}

/// The slices that failure detection works on.
pub(crate) struct Parts<'a> {
    pub(crate) relays: &'a mut [Relay],
    pub(crate) confirmers: &'a mut [Confirmer],
    #[cfg(feature = "coordinates")]
    pub(crate) coordinates: &'a mut [Peer],
}

impl<'a> Failure<'a> {
    pub(crate) fn new(parts: Parts<'a>, now: Instant) -> Self {
        Failure {
            detector: Detector::new(parts.relays, now),
            confirmers: Confirmers::new(parts.confirmers),
            disputes: Disputes::new(),
            inquests: Inquests::new(),
            #[cfg(feature = "coordinates")]
            coordinates: Coordinates::new(parts.coordinates),
            last_heard: now,
            last_answer: now,
        }
    }

    pub(crate) fn release(self) -> Parts<'a> {
        Parts {
            relays: self.detector.release(),
            confirmers: self.confirmers.release(),
            #[cfg(feature = "coordinates")]
            coordinates: self.coordinates.release(),
        }
    }

    pub(crate) fn links(&self, members: &Membership<'_>) -> Links {
        let (live, round_trip) = (members.table.live(), self.detector.round_trip());
        let (lossy, clean) = (self.is_lossy(), self.detector.is_clean());
        Links { live, round_trip, lossy, clean, answered: self.last_answer }
    }

    /// Whether many own probes get lost.
    fn is_lossy(&self) -> bool {
        self.detector.loss() > LOSSY
    }

    /// A batch of events has not been received by all, however often they were told: a probe to those might be lost as well.
    pub(crate) fn batch_lost(&mut self) {
        self.detector.lost();
    }

    // ---- what is due ----

    pub(crate) fn deadline(&self, cx: &Cx<'_>, members: &Membership<'_>) -> Instant {
        let suspect = members.table.suspects.first();
        let suspect = suspect.map_or(Instant::FAR, |id| members.table.cold(id).deadline);
        let detector = self.detector.deadline(&cx.config, members.table.live() > 0);
        detector.min(self.search_at(cx, members)).min(self.inquests.deadline(&cx.config)).min(suspect)
    }

    /// Suspicions that have run out.
    pub(crate) fn expire(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>) {
        while let Some(id) = members.table.suspects.first() {
            if members.table.cold(id).deadline > cx.now {
                break;
            }
            let since = members.table.cold(id).since;
            if self.disputes.is_open(id) && cx.now < since + longest_suspicion(cx, members) {
                // It may have moved: where it is said to be it is asked first.
                members.table.schedule(id, cx.now + cx.config.probe_timeout);
                continue;
            }
            self.declare_failed(cx, members, id);
        }
    }

    /// The next member to be probed, and under which number; what else is due is begun.
    pub(crate) fn poll(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>) -> Option<(u16, u32)> {
        if let Some(probe) = self.inquire(cx, members) {
            return Some(probe);
        }
        let anybody = members.table.live() > 0;
        if self.search_at(cx, members) <= cx.now {
            self.search(cx);
        }
        while let Some(due) = self.detector.due(cx.now, &cx.config, anybody) {
            match due {
                Due::Next => {
                    let target = self.next_target(cx, members);
                    let Some(target) = target.filter(|id| !self.detector.is_probing(*id)) else {
                        self.detector.skip(cx.now, &cx.config);
                        continue;
                    };
                    let seq = cx.random.next() as u32;
                    let timeout = self.probe_timeout(&cx.config, target);
                    self.detector.begin(cx.now, &cx.config, (target, seq), timeout);
                    return Some((target, seq));
                }
                Due::AskOthers { target: NIL, .. } | Due::Unanswered { target: NIL, .. } => {}
                Due::AskOthers { target, seq } => {
                    // How long it took so far is no measure any more: it is waited for as long as usual, until that is known.
                    #[cfg(feature = "coordinates")]
                    self.coordinates.forget_times(target);
                    self.ask_others(cx, members, target, seq);
                }
                Due::Unanswered { target, seq, since, alone } => {
                    cx.stats.probes_failed += 1;
                    if self.detector.search.unanswered(target, alone) {
                        self.search(cx);
                    }
                    if self.is_proof(cx, members, since, alone) {
                        self.unanswered(cx, members, target, seq);
                    }
                }
                Due::Again { target, seq } => {
                    members.note(cx, target, What::ProbedAgain, By::Nobody, 0);
                    self.ask_others(cx, members, target, seq);
                    return Some((target, seq));
                }
                Due::Silent { target, since } => self.silent(cx, members, target, since),
                Due::Nack { to, seq } => cx.enqueue(to, DATAGRAM_MAX, Answer::Nack { seq }),
            }
        }
        None
    }

    fn next_target(&self, cx: &mut Cx<'_>, members: &Membership<'_>) -> Option<u16> {
        let live = members.table.live();
        match self.detector.turn() {
            Turn::InRing(places) => members.table.in_ring(places),
            #[cfg(feature = "inquest")]
            Turn::Hinted(id) if members.table.hot(id).is_live() => Some(id),
            _ => (live > 0).then(|| members.table.live_at(cx.random.below(live as u32) as usize)),
        }
    }

    /// How long a member is waited for before others are asked to probe it: three times as long as it took at most of late and a
    /// tenth of the usual time, where that is known, and never longer than usual. In a search, where all are judged together, as usual.
    #[cfg(feature = "coordinates")]
    fn probe_timeout(&self, config: &Config, target: u16) -> Duration {
        let usual = config.probe_timeout;
        let known = self.coordinates.longest(target).filter(|_| !self.detector.search.is_on());
        known.map_or(usual, |longest| usual.min(longest.times(3) + usual.scaled(1, 10)))
    }

    #[cfg(not(feature = "coordinates"))]
    fn probe_timeout(&self, config: &Config, _: u16) -> Duration {
        config.probe_timeout
    }

    /// A member has answered a direct probe in this time, and perhaps told where it is.
    #[cfg(feature = "coordinates")]
    pub(crate) fn measured(&mut self, cx: &mut Cx<'_>, id: u16, took: Duration, payload: &[u8]) {
        self.coordinates.measured(&mut cx.random, id, took, payload);
    }

    #[cfg(not(feature = "coordinates"))]
    pub(crate) fn measured(&mut self, _: &mut Cx<'_>, _: u16, _: Duration, _: &[u8]) {}

    /// Asks a few others to probe a target that has not answered (SWIM, section 3.1).
    fn ask_others(&mut self, cx: &mut Cx<'_>, members: &Membership<'_>, target: u16, seq: u32) {
        self.ask(cx, members, (target, seq), cx.config.indirect_checks);
    }

    fn ask(&mut self, cx: &mut Cx<'_>, members: &Membership<'_>, (target, seq): (u16, u32), helpers: u8) {
        let mut targets = Targets::draw(&mut cx.random, members.table.live(), helpers as usize + 1);
        let mut asked = 0;
        while let Some(helper) = self.next_drawn(members, &mut targets) {
            if helper != target && asked < helpers {
                asked += 1;
                self.detector.asked_helper(seq);
                let to = members.table.hot(helper).addr;
                cx.enqueue(to, usize::MAX, Answer::IndirectPing { seq, target });
            }
        }
    }

    /// When a search begins, if nobody is heard until then.
    fn search_at(&self, cx: &Cx<'_>, members: &Membership<'_>) -> Instant {
        let may = members.table.live() > 0 && cx.config.has(Rule::Search) && !self.detector.search.is_on();
        if may { self.alone_at(&cx.config) } else { Instant::FAR }
    }

    /// Nobody is heard, or nobody answers.
    fn search(&mut self, cx: &mut Cx<'_>) {
        if cx.config.has(Rule::Search) && self.detector.search(cx.now) {
            cx.stats.searches += 1;
            info!("memberlist", "Nobody answers: looking for who is left");
        }
    }

    /// The next of the members that are drawn: first those that a search has found.
    pub(crate) fn next_drawn(&self, members: &Membership<'_>, targets: &mut Targets) -> Option<u16> {
        let (table, found) = (&members.table, self.detector.search.found());
        let found = targets.among(found.len()).map(|place| found[place]);
        let drawn = table.live_at(targets.next(table.live())?);
        Some(found.filter(|id| table.hot(*id).is_live()).unwrap_or(drawn))
    }

    /// A member has asked, from its own address.
    pub(crate) fn found(&mut self, id: u16) {
        self.detector.search.finds(id);
    }

    // ---- from a probe without an answer to the verdict ----

    /// Whether a probe that has begun then, and was not answered, says something about its target. `alone`: none of those who were asked to help
    /// has said that it got no answer either.
    fn is_proof(&self, cx: &Cx<'_>, members: &Membership<'_>, since: Instant, alone: bool) -> bool {
        let search = &self.detector.search;
        let heard = search.hears_answers() && !alone;
        let proven = !search.is_on() || heard || !cx.config.has(Rule::BothHalves);
        let long_since = |isolated| since >= isolated + longest_suspicion(cx, members);
        proven || self.isolated_since(cx, members).is_some_and(long_since)
    }

    /// A target has not answered its probe: it is probed again before anybody is told, unless others accuse it already.
    fn unanswered(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>, target: u16, seq: u32) {
        if members.table.hot(target).is_live() {
            members.note(cx, target, What::Unanswered, By::Nobody, 0);
        }
        if members.table.hot(target).state() == State::Alive {
            let span = suspicion::before_suspicion(&cx.config, members.table.live() + 1);
            if self.detector.pre_suspect(cx.now, &cx.config, (target, seq), span) {
                cx.stats.pre_suspicions += 1;
                return;
            }
            cx.stats.pre_suspicions_refused += 1;
        }
        self.silent(cx, members, target, cx.now);
    }

    /// A target has answered nobody since then: from now on it is suspect, here and for those who hear it.
    fn silent(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>, target: u16, since: Instant) {
        match members.silent(target) {
            Next::Becomes(_) => {
                let name = members.table.name(target);
                info!("memberlist", "Suspect {} has failed, no acks received", name);
                members.note(cx, target, What::Suspected, By::Member(SELF), 0);
                self.start_suspicion(cx, members, target, since);
            }
            Next::Confirmed => self.confirm_too(cx, members, target),
            Next::Stays | Next::Ends => {}
        }
    }

    /// A suspicion runs, as it has since then; others are told, unless it may be this node's own fault.
    fn start_suspicion(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>, id: u16, since: Instant) {
        let deadline = since + longest_suspicion(cx, members);
        self.confirmers.forget(id);
        if let Some(accuser) = members.table.cold(id).accuser() {
            let accuser = members.table.hot(accuser).hash;
            let noted = self.confirmers.note(id, accuser);
            cx.stats.confirmers_refused += (noted == Some(false)) as u64;
        }
        members.table.cold_mut(id).since = since;
        members.table.schedule(id, deadline);
        cx.stats.suspicions += 1;
        if !self.blames_itself(cx, members, since) {
            members.queue_update(id, update::STATE);
        }
    }

    /// Another one has made a member suspect. If it was in doubt here, its time has been running since then.
    pub(crate) fn suspected(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>, id: u16) {
        let doubted = self.detector.end_pre_suspicion(id);
        self.start_suspicion(cx, members, id, doubted.unwrap_or(cx.now));
        if doubted.is_some() {
            self.confirm_too(cx, members, id);
        }
    }

    /// Another table holds a live member for failed: a suspicion begins, if none runs, and the suspect is told at once.
    pub(crate) fn contested(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>, id: u16, begins: bool) {
        if begins {
            self.start_suspicion(cx, members, id, cx.now);
        }
        let seq = cx.random.next() as u32;
        cx.enqueue(members.table.hot(id).addr, usize::MAX, Answer::Ping { seq, target: id });
    }

    /// A suspect is accused once more, by a member of this name.
    pub(crate) fn confirmed(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>, id: u16, by: &str) {
        let accuser = members.table.find(by);
        self.confirm_suspicion(cx, members, id, accuser, hash::name(by));
    }

    /// This node confirms a suspicion.
    fn confirm_too(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>, id: u16) {
        if !self.blames_itself(cx, members, members.table.cold(id).since) {
            let own = members.table.hot(SELF).hash;
            self.confirm_suspicion(cx, members, id, Some(SELF), own);
        }
    }

    /// Another accuser of a suspect (by its name's hash, and its place if it is held): the more there are, the sooner it has
    /// failed (Lifeguard, section IV-B).
    fn confirm_suspicion(
        &mut self,
        cx: &mut Cx<'_>,
        members: &mut Membership<'_>,
        id: u16,
        accuser: Option<u16>,
        accuser_name: u32,
    ) {
        let n = members.table.live() + 1;
        let k = suspicion::expected(&cx.config, n);
        if members.table.cold(id).confirmations >= k {
            return;
        }
        match self.confirmers.note(id, accuser_name) {
            None => return,
            Some(noted) => cx.stats.confirmers_refused += !noted as u64,
        }
        let cold = members.table.cold_mut(id);
        let before = suspicion::timeout(&cx.config, n, cold.confirmations, k);
        cold.confirmations += 1;
        let so_many = cold.confirmations as u32;
        cold.set_accuser(accuser);
        let after = suspicion::timeout(&cx.config, n, cold.confirmations, k);
        let began = cold.deadline.minus(before);
        cold.deadline = (began + after).max(cx.now);
        members.table.suspects.moved(members.table.cold, id);
        members.queue_update(id, update::STATE);
        members.note(cx, id, What::Accused, By::Hash(accuser_name), so_many);
    }

    /// Nobody has contradicted: the verdict. Of one that may be this node's own fault nobody is told.
    fn declare_failed(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>, id: u16) {
        let confirmations = members.table.cold(id).confirmations;
        info!(
            "memberlist",
            "Marking {} as failed, suspect timeout reached ({} peer confirmations)",
            members.table.name(id),
            confirmations
        );
        let local = self.blames_itself(cx, members, members.table.cold(id).since);
        let what = if local { What::DeclaredFailedAlone } else { What::DeclaredFailed };
        members.note(cx, id, what, By::Nobody, confirmations as u32);
        self.conclude(cx, members, id, local);
    }

    /// A member has failed. `local`: maybe it is this node's own fault.
    fn conclude(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>, id: u16, local: bool) {
        if members.timed_out(cx, id, local) {
            members.backoff.changed(cx.now);
            members.queue_verdict(id, cx.now);
            members.prune(cx, id);
        }
        self.confirmers.forget(id);
    }

    /// What has spoken against a member counts no more.
    pub(crate) fn clear_doubts(&mut self, id: u16) {
        self.confirmers.forget(id);
        self.inquests.forget(id);
        self.detector.end_pre_suspicion(id);
    }

    /// A member is forgotten altogether.
    pub(crate) fn forget(&mut self, id: u16) {
        self.confirmers.forget(id);
        self.detector.forget(id);
        self.disputes.forget(id);
        self.inquests.forget(id);
        #[cfg(feature = "coordinates")]
        self.coordinates.forget(id);
    }

    // ---- what is said against this node ----

    /// Contradicts what was said against this node, above it (SWIM, section 4.2).
    pub(crate) fn refute(
        &mut self,
        cx: &mut Cx<'_>,
        members: &mut Membership<'_>,
        incarnation: u32,
        boot: u64,
    ) {
        if !cx.config.has(Rule::Refute) {
            return;
        }
        let own = members.table.hot(SELF).incarnation;
        let far = incarnation > own.saturating_add(REFUTE_STEP) || own == u32::MAX;
        cx.stats.refuted += 1;
        self.detector.worsen(&cx.config, 1);
        if boot > members.boot || far {
            // An earlier life had a clock that ran ahead of ours; or somebody pushes our incarnation to where others
            // would not follow. A new life starts below all of that.
            members.live_after(cx, boot.max(members.boot));
        } else {
            members.live_as(cx, members.boot, own.max(incarnation) + 1);
        }
    }

    // ---- whether this node's own link is at fault ----

    /// Somebody is heard.
    pub(crate) fn heard(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>) {
        self.connected(cx, members, |failure, now| failure.last_heard = now);
    }

    /// Somebody has answered this node: it is heard, too.
    pub(crate) fn answered(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>) {
        self.detector.search.hears_answer(cx.now);
        self.connected(cx, members, |failure, now| failure.last_answer = now);
    }

    /// Notes a sign of life from others, with which an isolation may end.
    fn connected(
        &mut self,
        cx: &mut Cx<'_>,
        members: &mut Membership<'_>,
        note: impl FnOnce(&mut Self, Instant),
    ) {
        let isolated = self.isolated_since(cx, members);
        note(self, cx.now);
        if let Some(since) = isolated
            && self.isolated_since(cx, members).is_none()
        {
            self.end_isolation(cx, members, since);
        }
    }

    /// When this node has heard nobody for so long that it is alone, if it hears nobody until then.
    fn alone_at(&self, config: &Config) -> Instant {
        self.last_heard + config.probe_interval.times(2) + config.probe_timeout
    }

    /// Since when nobody has been heard, or nobody has answered, if that is so long ago (or so many were asked meanwhile) that
    /// this node's own link is the likelier culprit.
    fn isolated_since(&self, cx: &Cx<'_>, members: &Membership<'_>) -> Option<Instant> {
        if !cx.config.has(Rule::Isolation) {
            return None;
        }
        let alone_at = self.alone_at(&cx.config);
        // A round of probes: if anybody is there, one of them is answered.
        let asked = members.table.live().min(ASKED) as u32 * (self.detector.awareness() as u32 + 1);
        let answered = alone_at.since(self.last_heard) + cx.config.probe_interval.times(asked);
        let silent = (cx.now > alone_at).then_some(self.last_heard);
        let unanswered = (cx.now.since(self.last_answer) > answered).then_some(self.last_answer);
        silent.into_iter().chain(unanswered).min()
    }

    /// Whether what a node has held against another one since then may be the fault of its own link: others have not been
    /// heard after that.
    fn blames_itself(&self, cx: &Cx<'_>, members: &Membership<'_>, since: Instant) -> bool {
        self.isolated_since(cx, members).is_some_and(|isolated| since >= isolated)
    }

    /// Whether nobody is there, or nobody answers.
    pub(crate) fn is_cut_off(&self, cx: &Cx<'_>, members: &Membership<'_>) -> bool {
        members.table.live() == 0 || self.isolated_since(cx, members).is_some()
    }

    /// Somebody answers again. What this node has come to hold against others since then speaks against its own link: its
    /// verdicts and its own suspicions fall, and who is in doubt is probed once more.
    fn end_isolation(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>, since: Instant) {
        let own_link = cx.config.has(Rule::OwnLink);
        if own_link {
            self.detector.ask_again();
        }
        // Whoever leaves a heap moves others to its place or to places before it: that place is looked at again.
        let own = |members: &Membership<'_>, id: u16| {
            let (hot, cold) = (members.table.hot(id), members.table.cold(id));
            let alone = cold.confirmations == 0 && cold.since >= since;
            match hot.state() {
                State::Suspect => own_link && alone && cold.accuser() == Some(SELF),
                _ => hot.has(flag::LOCAL_ONLY),
            }
        };
        for suspects in [true, false] {
            let heap = |members: &Membership<'_>, i: usize| {
                let table = &members.table;
                if suspects { &table.suspects } else { &table.gone }.ids().get(i).copied()
            };
            let mut i = if suspects { members.table.suspects.len() } else { members.table.gone.len() };
            while i > 0 {
                i -= 1;
                while let Some(id) = heap(members, i).filter(|id| own(members, *id)) {
                    self.member_answered(cx, members, id);
                }
            }
        }
    }

    /// A member has answered in person.
    pub(crate) fn member_answered(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>, id: u16) {
        self.lives(cx, id);
        if members.answered(cx, id) {
            self.confirmers.forget(id);
            members.updates.drop(members.table.cold, id);
        }
    }

    /// The clock has jumped by `gap`, which proves that this node was frozen, not the others.
    pub(crate) fn thaw(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>, gap: Duration) {
        cx.stats.freezes += 1;
        self.detector.restart(cx.now, gap);
        self.disputes.restart(cx.now);
        self.inquests.restart();
        // All by the same span: the order of the heap stays.
        let more = if cx.config.has(Rule::Thaw) { 0 } else { cx.config.suspicion_mult as u32 };
        let span = gap + cx.config.probe_interval.times(more);
        for place in 0..members.table.suspects.len() {
            let id = members.table.suspects.ids()[place];
            members.table.cold_mut(id).deadline += span;
        }
        (self.last_heard, self.last_answer) = (cx.now, cx.now);
    }
}

/// How long a suspicion takes that nobody confirms.
fn longest_suspicion(cx: &Cx<'_>, members: &Membership<'_>) -> Duration {
    let n = members.table.live() + 1;
    suspicion::timeout(&cx.config, n, 0, suspicion::expected(&cx.config, n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit;
    use crate::membership::messages::{Claim, Effect};
    use crate::sync::Engines;
    use crate::wire::message::Accusation;
    use dispute::Verdict;

    fn accuse(cx: &mut Cx<'_>, e: &mut Engines<'_>, from: &str) {
        let accusation = Accusation { incarnation: 5, boot: 5, node: "m1", from };
        match e.members.suspect(cx, &accusation) {
            Effect::Suspected(id) => e.failure.suspected(cx, &mut e.members, id),
            Effect::Confirmed(id) => e.failure.confirmed(cx, &mut e.members, id, from),
            other => unreachable!("{other:?}"),
        }
    }

    /// How long a suspicion of `m1` runs that these members share, in a fleet of eight.
    fn lasts(accusers: &[&str]) -> Duration {
        let (mut cx, mut e, _) = kit::fleet(7);
        let began = cx.now;
        accusers.iter().for_each(|from| accuse(&mut cx, &mut e, from));
        let ends = e.failure.deadline(&cx, &e.members);
        let ends = ends.max(e.members.table.cold(e.members.table.find("m1").expect("held")).deadline);
        cx.now = ends;
        e.failure.heard(&mut cx, &mut e.members);
        e.failure.expire(&mut cx, &mut e.members);
        let state = e.members.table.hot(e.members.table.find("m1").expect("held")).state();
        assert_eq!(state, State::Failed);
        ends.since(began)
    }

    #[test]
    fn the_more_accuse_the_shorter_and_nobody_counts_twice() {
        let alone = lasts(&["m2"]);
        assert_eq!(lasts(&["m2", "m2", "m2"]), alone);
        assert!(lasts(&["m2", "m3"]) < alone);
        assert_eq!(
            lasts(&["m2", "m3", "m4"]),
            Duration::from_secs(4),
            "the minimum: 4 x log10(8) < 4 intervals"
        );
        assert_eq!(lasts(&["m2", "m3", "m4", "m5"]), Duration::from_secs(4));
        assert_eq!(alone, Duration::from_secs(24), "six times that");
    }

    #[test]
    fn a_verdict_of_a_node_that_heard_nobody_is_its_own_and_falls_with_the_first_answer() {
        let (mut cx, mut e, _) = kit::fleet(3);
        let id = e.members.table.find("m1").expect("held");
        e.members.updates.drop(e.members.table.cold, id);
        let since = cx.now;
        e.failure.silent(&mut cx, &mut e.members, id, since);
        cx.now += Duration::from_secs(60);
        e.failure.expire(&mut cx, &mut e.members);
        let hot = e.members.table.hot(id);
        assert!(hot.state() == State::Failed && hot.has(flag::LOCAL_ONLY));
        assert_eq!(cx.stats.local_verdicts, 1);
        e.failure.answered(&mut cx, &mut e.members);
        e.failure.heard(&mut cx, &mut e.members);
        assert_eq!(e.members.table.hot(id).state(), State::Alive);
        e.members.table.check();
    }

    #[test]
    fn a_frozen_node_blames_its_clock() {
        let (mut cx, mut e, _) = kit::fleet(3);
        accuse(&mut cx, &mut e, "m2");
        let before = e.failure.deadline(&cx, &e.members);
        let gap = Duration::from_secs(3_600);
        cx.now += gap;
        e.failure.thaw(&mut cx, &mut e.members, gap);
        let id = e.members.table.find("m1").expect("held");
        assert!(e.members.table.cold(id).deadline >= before + gap);
        e.failure.expire(&mut cx, &mut e.members);
        assert_eq!(e.members.table.hot(id).state(), State::Suspect);
    }

    #[test]
    fn a_name_is_its_holder_s_while_that_answers() {
        let (mut cx, mut e, _) = kit::fleet(3);
        let holder = e.members.table.find("m1").expect("held");
        let claim = Claim { addr: kit::addr(9), boot: 9, incarnation: 1 };
        e.failure.dispute(&mut cx, &e.members, holder, claim, Some(1));
        let question = e.failure.dispute_due(&mut cx, &mut e.members).expect("the holder is asked");
        assert_eq!((question.name, question.to), (holder, kit::addr(1)));
        assert_eq!(e.failure.dispute_answered(&mut cx, &mut e.members, kit::addr(1), question.seq), None);
        assert_eq!((cx.stats.names_taken, e.failure.disputes.deadline()), (1, Instant::FAR));
        assert!(e.members.table.hot(holder).is_live());

        e.failure.dispute(&mut cx, &e.members, holder, claim, Some(2));
        while e.failure.dispute_due(&mut cx, &mut e.members).is_some() {
            cx.now = e.failure.disputes.deadline();
        }
        assert!(!e.members.table.hot(holder).is_live(), "it has not answered");

        e.failure.namesake(&mut cx, &e.members, claim);
        let question = e.failure.dispute_due(&mut cx, &mut e.members).expect("the other one is asked");
        let verdict = e.failure.dispute_answered(&mut cx, &mut e.members, kit::addr(9), question.seq);
        assert_eq!(verdict, Some(Verdict::Namesake(kit::addr(9))));
    }
}

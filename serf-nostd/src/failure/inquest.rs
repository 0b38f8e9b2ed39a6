//! Who is said to be gone by its own host: where a process has ended, its system refuses what is sent to it ("port
//! unreachable"), within one round trip.
//!
//! One refusal proves little. It can be forged, a firewall can send it, and a process that restarts is refused for a moment as
//! well. So it begins an inquest: the member is probed at once, by this node and by more and more others, until a while has
//! passed. It is gone if this node was refused to the end, others were too, and nobody got an answer. A single answer, to
//! whomever, ends the inquest. Meanwhile probes and suspicions go on as ever, and find whose host says nothing.
//!
//! Only a refusal that quotes a datagram of this node's begins one. Whatever else speaks for a death (its own last words, refusals
//! that quote nothing known) has this node probe the member next, and draws no datagram of its own.

use super::Failure;
use super::probe::Refused;
use super::suspicion;
use crate::config::Config;
use crate::context::Cx;
use crate::membership::Membership;
use crate::membership::journal::{By, What};
use crate::membership::table::SELF;
use crate::outgoing::Answer;
use crate::rules::Rule;
use crate::time::{Duration, Instant};
use crate::wire::message::Address;
use crate::wire::packet::{DATAGRAM_MAX, mark};

/// Inquests at once. Beyond them suspicions have to do.
const INQUESTS: usize = 4;
/// Others that must have been refused as well, where there are as many; and where datagrams get lost, as whoever gets an answer may not come
/// through to say so.
const WITNESSES: usize = 2;
const LOSSY_WITNESSES: usize = 4;
/// Members that no inquest is begun about for a while.
const RESTS: usize = 64;
/// Own datagrams that a refusal may quote: each comes within a round trip, in which a node that passes events on may send a thousand.
const QUOTED: usize = 1_024;
/// Members that have refused this node of late.
const REFUSED: usize = 8;
/// Who helps with an inquest begins none of its own for so many graces, and what it was refused itself counts as long.
const HELPED: u32 = 2;
/// Who was said to be gone, and has answered, is left alone for so many probe intervals: something on the way refuses. Each further time
/// for twice as long, up to so many doublings; each inquest into the same is one more chance to be wrong.
const VOUCHED: u32 = 10;
const DOUBLINGS: u8 = 5;
/// Of refusals that quote nothing known so many are looked into per second: anybody can send them.
const HINTS: u32 = 20;

/// What is done at a time since the inquest began, which is in sixteenths of the grace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Probe it.
    Probe,
    /// Have so many times the usual helpers probe it.
    Ask(u8),
    /// Decide.
    Decide,
}

/// Hosts limit what they refuse (Linux: six times at once for each peer, then once a second; fifty at once in all), so there are few
/// probes. Most helpers are asked at last, when a process that restarts is back; what follows the first verdict is for what got
/// lost, or was not said for that limit.
const STEPS: [(u8, Act); 17] = [
    (0, Act::Probe),
    (4, Act::Ask(1)),
    (8, Act::Ask(2)),
    (12, Act::Ask(8)),
    (13, Act::Probe),
    (14, Act::Probe),
    (15, Act::Probe),
    (16, Act::Decide),
    (20, Act::Probe),
    (20, Act::Ask(1)),
    (22, Act::Probe),
    (24, Act::Decide),
    (36, Act::Probe),
    (36, Act::Ask(1)),
    (40, Act::Decide),
    (52, Act::Probe),
    (56, Act::Decide),
];
/// When it is decided for the first time.
const FIRST_DECISION: u8 = 16;
/// Since then this node must have been refused: who is back by then was not.
const LATE: u32 = 13;

#[derive(Debug)]
struct Inquest {
    target: u16,
    began: Instant,
    /// Steps taken.
    step: u8,
    /// Numbers of the probes of the first step, this node's own and those that others are asked for; each further step has the next.
    /// Who is asked cannot forge a refusal of what this node sends itself.
    own: u32,
    asked: u32,
    /// Something that was sent late enough before the next verdict was refused.
    refused: bool,
    /// Others that were.
    witnesses: heapless::Vec<Address, LOSSY_WITNESSES>,
}

impl Inquest {
    fn due(&self, grace: Duration) -> Instant {
        let at = STEPS.get(self.step as usize).map_or(0, |(at, _)| *at);
        self.began + grace.scaled(at as u32, 16)
    }

    /// Whether a number is that of a step that was taken, of those that begin with this one.
    fn has_step(&self, first: u32, seq: u32) -> bool {
        seq.wrapping_sub(first) < self.step as u32
    }
}

/// What an inquest wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Probe this target, under this number.
    Probe { target: u16, seq: u32 },
    /// Have so many others probe it.
    Ask { target: u16, seq: u32, helpers: u8 },
    /// Whether it is gone: as far as is known since then, and so many others say. `again`: not for the first time.
    Decide { target: u16, since: Instant, witnesses: u8, refused: bool, again: bool },
}

/// A datagram that was sent to a member: by what a refusal quotes of it.
#[derive(Clone, Copy, Debug)]
struct Sent {
    mark: u32,
    /// Of the probe that it holds; 0 for others.
    seq: u32,
    target: u16,
    at: Instant,
}

/// A member about whom no inquest is begun until then.
#[derive(Clone, Copy, Debug)]
struct Rest {
    target: u16,
    until: Instant,
    /// How often it was said to be gone, and has answered; forgotten when it was not for as long as it was left alone.
    vouched: u8,
}

pub(crate) struct Inquests {
    open: heapless::Vec<Inquest, INQUESTS>,
    rests: heapless::Vec<Rest, RESTS>,
    /// Whose host has refused something of this node's, and when.
    refused: heapless::HistoryBuf<(u16, Instant), REFUSED>,
    sent: heapless::HistoryBuf<Sent, QUOTED>,
    next_hint: Instant,
}

impl Inquests {
    pub(crate) const fn new() -> Self {
        Inquests {
            open: heapless::Vec::new(),
            rests: heapless::Vec::new(),
            refused: heapless::HistoryBuf::new(),
            sent: heapless::HistoryBuf::new(),
            next_hint: Instant::PAST,
        }
    }

    /// Whether nothing but probes is to be sent to a member: its host limits its refusals.
    pub(crate) fn is_open(&self, target: u16) -> bool {
        self.open.iter().any(|inquest| inquest.target == target)
    }

    /// How many are under way.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    // ---- what is sent, and refused ----

    /// A datagram with this mark was written for a member; `seq`: of the probe in it, or 0.
    pub(crate) fn sent(&mut self, at: Instant, mark: u32, seq: u32, target: u16) {
        self.sent.write(Sent { mark, seq, target, at });
    }

    /// The datagram that a refusal quotes, of those for members who are `there`: the probe in it, whom it was for, and when it was sent.
    /// Several may be told the same.
    pub(crate) fn quoted(&self, mark: u32, there: impl Fn(u16) -> bool) -> Option<(u32, u16, Instant)> {
        let sent = self.sent.iter().find(|sent| sent.mark == mark && there(sent.target))?;
        Some((sent.seq, sent.target, sent.at))
    }

    /// Whether a refusal that quotes nothing known is to be looked into now.
    pub(crate) fn takes_hint(&mut self, now: Instant) -> bool {
        let takes = now >= self.next_hint;
        if takes {
            self.next_hint = now + Duration::from_millis(1_000 / HINTS as u64);
        }
        takes
    }

    /// A member's host has refused what this node sent it at this time. Whether that belongs to an inquest.
    pub(crate) fn refused(&mut self, now: Instant, config: &Config, target: u16, sent: Instant) -> bool {
        self.refused.write((target, now));
        let Some(inquest) = self.open.iter_mut().find(|inquest| inquest.target == target) else {
            return false;
        };
        inquest.refused |= sent >= inquest.began + config.refused_grace.scaled(LATE, 16);
        true
    }

    /// Whether a member's host has refused something of this node's of late: then it need not do so again for who asks.
    pub(crate) fn was_refused(&self, now: Instant, config: &Config, target: u16) -> bool {
        let span = config.refused_grace.times(HELPED);
        self.refused.iter().any(|(id, at)| *id == target && now.since(*at) < span)
    }

    /// The member that somebody was asked to probe under this number.
    pub(crate) fn asked(&self, seq: u32) -> Option<u16> {
        self.open.iter().find(|inquest| inquest.has_step(inquest.asked, seq)).map(|inquest| inquest.target)
    }

    /// Somebody who was asked about a member has been refused as well.
    pub(crate) fn witnessed(&mut self, target: u16, who: Address) {
        let open = self.open.iter_mut().find(|inquest| inquest.target == target);
        if let Some(inquest) = open.filter(|inquest| !inquest.witnesses.contains(&who)) {
            // As many as are needed fit.
            let _ = inquest.witnesses.push(who);
        }
    }

    /// Somebody has answered under this number: whom, if it is one of an inquest's.
    pub(crate) fn answered(&self, seq: u32) -> Option<u16> {
        let is_of =
            |inquest: &&Inquest| inquest.has_step(inquest.own, seq) || inquest.has_step(inquest.asked, seq);
        self.open.iter().find(is_of).map(|inquest| inquest.target)
    }

    // ---- its course ----

    /// A member's host has refused something. `seqs`: random. False if there is no room, or an inquest already, here or with this
    /// node's help, or none is due so soon; or if no more can be kept in mind: it is this node's own link that refuses.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        config: &Config,
        target: u16,
        [own, asked]: [u32; 2],
    ) -> bool {
        self.rests.retain(|rest| now < rest.until + left_alone(config, rest.vouched));
        let rests = self.resting(target).map_or(self.rests.is_full(), |rest| now < rest.until);
        let witnesses = heapless::Vec::new();
        let inquest = Inquest { target, began: now, step: 0, own, asked, refused: false, witnesses };
        !rests && !self.is_open(target) && self.open.push(inquest).is_ok()
    }

    pub(crate) fn deadline(&self, config: &Config) -> Instant {
        self.open.iter().map(|inquest| inquest.due(config.refused_grace)).fold(Instant::FAR, Instant::min)
    }

    pub(crate) fn due(&mut self, now: Instant, config: &Config) -> Option<Step> {
        while let Some(place) = self.open.iter().position(|open| open.due(config.refused_grace) <= now) {
            let inquest = &mut self.open[place];
            let Some((at, act)) = STEPS.get(inquest.step as usize) else {
                self.open.swap_remove(place);
                continue;
            };
            // Rounds keep their distance, however late the first of them is.
            inquest.began += now.since(inquest.due(config.refused_grace));
            let (target, step) = (inquest.target, inquest.step as u32);
            inquest.step += 1;
            return Some(match act {
                Act::Probe => Step::Probe { target, seq: inquest.own.wrapping_add(step) },
                Act::Ask(times) => Step::Ask {
                    target,
                    seq: inquest.asked.wrapping_add(step),
                    helpers: config.indirect_checks.saturating_mul(*times),
                },
                Act::Decide => Step::Decide {
                    target,
                    since: inquest.began,
                    witnesses: inquest.witnesses.len() as u8,
                    refused: core::mem::take(&mut inquest.refused),
                    again: *at > FIRST_DECISION,
                },
            });
        }
        None
    }

    // ---- its end ----

    /// The member lives: what refuses is on the way to it, or it has just restarted.
    pub(crate) fn vouched(&mut self, now: Instant, config: &Config, target: u16) {
        if self.is_open(target) {
            self.open.retain(|inquest| inquest.target != target);
            let vouched = self.resting(target).map_or(0, |rest| rest.vouched);
            self.rest(target, now + left_alone(config, vouched), (vouched + 1).min(DOUBLINGS));
        }
    }

    /// This node was refused when it helped with another's inquest.
    pub(crate) fn helped(&mut self, now: Instant, config: &Config, target: u16) {
        let vouched = self.resting(target).map_or(0, |rest| rest.vouched);
        self.rest(target, now + config.refused_grace.times(HELPED), vouched);
    }

    fn resting(&self, target: u16) -> Option<&Rest> {
        self.rests.iter().find(|rest| rest.target == target)
    }

    /// No inquest is begun about a member until then, or longer.
    fn rest(&mut self, target: u16, until: Instant, vouched: u8) {
        let mut rest = Rest { target, until, vouched };
        if let Some(place) = self.rests.iter().position(|rest| rest.target == target) {
            let known = self.rests.remove(place);
            rest.until = until.max(known.until);
        }
        // If there is no room none is begun either.
        let _ = self.rests.push(rest);
    }

    /// What was known of a member is over: it is gone, or lives anew.
    pub(crate) fn forget(&mut self, target: u16) {
        self.open.retain(|inquest| inquest.target != target);
        self.rests.retain(|rest| rest.target != target);
    }

    /// The clock has jumped: what was not answered meanwhile says nothing.
    pub(crate) fn restart(&mut self) {
        self.open.clear();
        self.refused.clear();
    }

    /// How many others must have been refused, of so many who could be, over links that may be `lossy`.
    pub(crate) fn needed(others: usize, lossy: bool) -> u8 {
        others.min(if lossy { LOSSY_WITNESSES } else { WITNESSES }) as u8
    }
}

/// How long a member is left alone that was said to be gone so many times before, and has answered each time.
fn left_alone(config: &Config, vouched: u8) -> Duration {
    config.probe_interval.times(VOUCHED << vouched)
}

impl Failure<'_> {
    /// The next step of an inquest that is due: whom to probe, and under which number.
    pub(super) fn inquire(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>) -> Option<(u16, u32)> {
        while let Some(step) = self.inquests.due(cx.now, &cx.config) {
            let (Step::Probe { target, .. } | Step::Ask { target, .. } | Step::Decide { target, .. }) = step;
            if !members.table.hot(target).is_live() {
                self.inquests.forget(target);
                continue;
            }
            match step {
                Step::Probe { target, seq } => return Some((target, seq)),
                Step::Ask { target, seq, helpers } => self.ask(cx, members, (target, seq), helpers),
                // Who may have moved is asked where it is said to be.
                Step::Decide { refused: false, .. } => {}
                Step::Decide { target, .. } if self.disputes.is_open(target) => {}
                Step::Decide { target, since, witnesses, again, .. } => {
                    if witnesses >= self.needed(cx, members, again) {
                        self.found_gone(cx, members, target, since, witnesses);
                    }
                }
            }
        }
        None
    }

    /// How many others must have been refused: of those who could be, who are not accused themselves, and one at least. Who says nothing
    /// when it is asked again may be dead as well: then half of them will do. Who has long heard nobody has nobody to ask, and keeps to
    /// itself what it finds.
    fn needed(&self, cx: &Cx<'_>, members: &Membership<'_>, again: bool) -> u8 {
        if again && self.is_alone(cx, members) {
            return 0;
        }
        let others = members.table.live() - 1;
        let accused = self.inquests.open() - 1 + members.table.suspects.len();
        let able = others.saturating_sub(accused).max(1).min(others);
        let able = if again { able.div_ceil(2) } else { able };
        if cx.config.has(Rule::Witnesses) { Inquests::needed(able, self.is_lossy()) } else { 0 }
    }

    /// Whether nobody has been heard for as long as a suspicion runs at least, once that can be told.
    fn is_alone(&self, cx: &Cx<'_>, members: &Membership<'_>) -> bool {
        let least = suspicion::timeout(&cx.config, members.table.live() + 1, 0, 0);
        cx.config.has(Rule::Isolation) && cx.now > self.alone_at(&cx.config).max(self.last_heard + least)
    }

    fn found_gone(
        &mut self,
        cx: &mut Cx<'_>,
        members: &mut Membership<'_>,
        id: u16,
        since: Instant,
        witnesses: u8,
    ) {
        info!(
            "memberlist",
            "Marking {} as failed, its host refuses datagrams for it ({} peers were refused as well)",
            members.table.name(id),
            witnesses
        );
        self.inquests.forget(id);
        self.detector.end_pre_suspicion(id);
        cx.stats.inquests_gone += 1;
        members.note(cx, id, What::FoundGone, By::Nobody, witnesses as u32);
        let local = self.blames_itself(cx, members, since);
        self.conclude(cx, members, id, local);
    }

    /// The host of an address has refused a datagram of this node's, whose first bytes it quotes.
    pub(crate) fn refused(
        &mut self,
        cx: &mut Cx<'_>,
        members: &mut Membership<'_>,
        by: Address,
        quoted: &[u8],
    ) {
        cx.stats.refusals += 1;
        if cx.config.refused_grace == Duration::ZERO {
            return;
        }
        let there = |id: u16| members.table.hot(id).addr == by;
        let Some((seq, target, sent)) = self.inquests.quoted(mark(quoted), there) else {
            // Whose address it is has to be searched.
            if self.inquests.takes_hint(cx.now)
                && let Some(id) = live_at(members, by)
            {
                self.detector.hint(id);
            }
            return;
        };
        let open = self.inquests.refused(cx.now, &cx.config, target, sent);
        match self.detector.refused(seq) {
            Refused::Relayed { to, seq } => {
                if live_at(members, to).is_some() {
                    self.inquests.helped(cx.now, &cx.config, target);
                }
                cx.enqueue(to, DATAGRAM_MAX, Answer::Nack { seq });
                cx.enqueue(to, DATAGRAM_MAX, Answer::Refused { seq });
            }
            Refused::Own | Refused::Nobody if !open => self.begin_inquest(cx, members, target),
            Refused::Own | Refused::Nobody => {}
        }
    }

    fn begin_inquest(&mut self, cx: &mut Cx<'_>, members: &mut Membership<'_>, id: u16) {
        if members.table.hot(id).is_live() && !self.disputes.is_open(id) {
            let seqs = [(); 2].map(|()| cx.random.next() as u32);
            if self.inquests.begin(cx.now, &cx.config, id, seqs) {
                cx.stats.inquests += 1;
                members.note(cx, id, What::Refused, By::Nobody, 0);
            }
        }
    }

    /// Whether a member that somebody asks about has refused this node just now.
    pub(crate) fn was_refused(&self, cx: &Cx<'_>, id: u16) -> bool {
        self.inquests.was_refused(cx.now, &cx.config, id)
    }

    /// Who was asked under this number says that it was refused as well: if it is a member, that counts.
    pub(crate) fn witnessed(&mut self, members: &Membership<'_>, seq: u32, from: Address) {
        if let Some(target) = self.inquests.asked(seq)
            && live_at(members, from).is_some_and(|id| id != target)
        {
            self.inquests.witnessed(target, from);
        }
    }

    /// A member is heard: there is nothing to inquire into.
    pub(crate) fn lives(&mut self, cx: &Cx<'_>, id: u16) {
        self.inquests.vouched(cx.now, &cx.config, id);
    }

    /// Somebody has answered under this number: whether it was asked for by an inquest.
    pub(crate) fn inquest_answered(
        &mut self,
        cx: &mut Cx<'_>,
        members: &mut Membership<'_>,
        seq: u32,
    ) -> bool {
        let answered = self.inquests.answered(seq);
        if let Some(id) = answered {
            self.answered(cx, members);
            self.member_answered(cx, members, id);
        }
        answered.is_some()
    }

    /// Whether nothing but probes is to be sent to a member: its host is being asked, and limits what it refuses.
    pub(crate) fn is_accused(&self, id: u16) -> bool {
        self.inquests.is_open(id)
    }

    /// A datagram was written for a member, with a probe of this number in it, or 0: if its host refuses it, that is known by what
    /// it quotes.
    pub(crate) fn sent(&mut self, cx: &Cx<'_>, datagram: &[u8], seq: u32, id: u16) {
        self.inquests.sent(cx.now, mark(datagram), seq, id);
    }

    /// A member, whose name and address these are, says that its process ends.
    pub(crate) fn says_gone(&mut self, cx: &mut Cx<'_>, members: &Membership<'_>, name: &str, from: Address) {
        let here = |id: &u16| *id != SELF && members.table.hot(*id).addr == from;
        if let Some(id) = members.table.find(name).filter(here) {
            cx.stats.last_words += 1;
            if cx.config.refused_grace > Duration::ZERO {
                self.detector.hint(id);
            }
        }
    }
}

/// The live member at this address, which has to be searched.
fn live_at(members: &Membership<'_>, addr: Address) -> Option<u16> {
    let mut live = (0..members.table.live()).map(|place| members.table.live_at(place));
    live.find(|id| members.table.hot(*id).addr == addr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::addr;

    const LAN: Config = Config::LAN;
    const OWN: u32 = 100;
    const ASKED: u32 = 200;

    fn begun() -> (Inquests, Instant) {
        let (mut inquests, now) = (Inquests::new(), Instant::from_millis(10_000));
        assert!(inquests.begin(now, &LAN, 3, [OWN, ASKED]));
        (inquests, now)
    }

    /// Runs to the end of an inquest into member 3: how many were asked, and after how long each verdict would have been that it is gone,
    /// if `own` says which of the own probes were refused, by their place.
    fn run(own: impl Fn(u32) -> bool) -> (u32, std::vec::Vec<Duration>) {
        let (mut inquests, began) = begun();
        let (mut helped, mut gone) = (0, std::vec![]);
        while inquests.is_open(3) {
            let now = inquests.deadline(&LAN);
            match inquests.due(now, &LAN) {
                Some(Step::Probe { target: 3, seq }) => {
                    assert_eq!((inquests.answered(seq), inquests.asked(seq)), (Some(3), None));
                    if own(seq - OWN) {
                        assert!(inquests.refused(now, &LAN, 3, now));
                    }
                }
                Some(Step::Ask { target: 3, seq, helpers }) => {
                    assert_eq!((inquests.answered(seq), inquests.asked(seq)), (Some(3), Some(3)));
                    helped += helpers as u32;
                    inquests.witnessed(3, addr(seq as u8));
                }
                Some(Step::Decide { target: 3, since, witnesses, refused, again }) => {
                    assert_eq!((since, again), (began, now > began + LAN.refused_grace));
                    assert_eq!(witnesses, 3 + again as u8);
                    if refused {
                        gone.push(now.since(began));
                    }
                }
                other => assert_eq!(other, None),
            }
        }
        (helped, gone)
    }

    #[test]
    fn who_is_refused_to_the_end_is_gone_after_the_grace() {
        let (helped, gone) = run(|_| true);
        assert_eq!((helped, gone[0]), (39, LAN.refused_grace), "3, 6, 24 and then some are asked");
        assert_eq!(run(|place| place < 4).1, [], "it may be back");
        assert_eq!(
            run(|place| place > 6).1[0],
            LAN.refused_grace.scaled(24, 16),
            "what got lost comes later"
        );
        assert_eq!(run(|_| false).1, []);
    }

    #[test]
    fn nobody_is_two_witnesses() {
        let (mut inquests, _) = begun();
        [addr(9), addr(9), addr(8)].into_iter().for_each(|who| inquests.witnessed(3, who));
        inquests.witnessed(4, addr(7));
        assert_eq!(inquests.open[0].witnesses, [addr(9), addr(8)]);
        let needed = |lossy| [0, 1, 2, 9].map(|others| Inquests::needed(others, lossy));
        assert_eq!([needed(false), needed(true)], [[0, 1, 2, 2], [0, 1, 2, 4]]);
    }

    #[test]
    fn an_answer_to_anybody_ends_it_and_no_other_begins_for_a_while() {
        for seq in [OWN, ASKED + 1] {
            let (mut inquests, now) = begun();
            assert!(inquests.answered(seq).is_none(), "that was not asked yet");
            let asks = now + LAN.refused_grace.scaled(4, 16);
            let _ = (inquests.due(now, &LAN), inquests.due(asks, &LAN));
            assert_eq!(inquests.answered(seq), Some(3));
            inquests.vouched(now, &LAN, 3);
            inquests.helped(now, &LAN, 3);
            let soon = now + LAN.probe_interval.times(VOUCHED);
            assert!(!inquests.begin(soon.minus(Duration::from_micros(1)), &LAN, 3, [1, 2]));
            assert!(inquests.begin(soon, &LAN, 3, [1, 2]));
        }
    }

    #[test]
    fn who_helps_leaves_it_to_whom_it_helps_and_all_is_bounded() {
        let (mut inquests, now) = (Inquests::new(), Instant::from_millis(10_000));
        inquests.helped(now, &LAN, 3);
        assert!(!inquests.begin(now, &LAN, 3, [1, 2]));
        let begun = (10..30).filter(|id| inquests.begin(now, &LAN, *id, [1, 2])).count();
        assert_eq!((begun, inquests.open()), (INQUESTS, INQUESTS));
        (10..90).for_each(|id| inquests.helped(now, &LAN, id));
        inquests.open.clear();
        assert!(!inquests.begin(now, &LAN, 99, [1, 2]), "no room to keep it in mind");
        assert!(inquests.takes_hint(now) && !inquests.takes_hint(now));
        assert!(inquests.takes_hint(now + Duration::from_millis(50)));
    }

    #[test]
    fn a_refusal_is_known_by_what_it_quotes_of_a_late_datagram_and_remembered_for_who_asks() {
        let (mut inquests, now) = (Inquests::new(), Instant::from_millis(10_000));
        let last = QUOTED as u32 + 10;
        (0..=last).for_each(|i| inquests.sent(now, 1_000 + i, i, 7));
        assert_eq!(inquests.quoted(1_000 + last, |_| true), Some((last, 7, now)));
        assert_eq!([1_000, 5].map(|mark| inquests.quoted(mark, |_| true)), [None, None]);
        assert!(!inquests.refused(now, &LAN, 7, now) && inquests.was_refused(now, &LAN, 7));
        let later = now + LAN.refused_grace.times(HELPED);
        assert!(!inquests.was_refused(later, &LAN, 7) && !inquests.was_refused(now, &LAN, 8));
    }
}

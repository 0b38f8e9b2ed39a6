//! Who is said to be gone by its own host: where a process has ended, its system refuses what is sent to it ("port
//! unreachable"), within one round trip.
//!
//! One refusal proves little. It can be forged, a firewall can send it, and a process that restarts is refused for a moment as
//! well. So it begins an inquest: the member is probed at once, by this node and by more and more others, until a while has
//! passed. It is gone if this node was refused to the end, others were too, and nobody got an answer. A single answer, to
//! whomever, ends the inquest. Meanwhile probes and suspicions go on as ever, and find whose host says nothing.

use crate::config::Config;
use crate::time::{Duration, Instant};
use crate::wire::message::Address;

/// Inquests at once. Beyond them suspicions have to do.
const INQUESTS: usize = 4;
/// Others that must have been refused as well, where there are as many.
const WITNESSES: usize = 2;
/// Members that no inquest is begun about for a while.
const RESTS: usize = 8;
/// Own probes that a refusal may quote: each comes within a round trip.
const QUOTED: usize = 32;
/// Who helps with an inquest begins none of its own for so many graces.
const HELPED: u32 = 2;
/// Who was said to be gone, and has answered, is left alone for so many probe intervals: something on the way refuses.
const VOUCHED: u32 = 10;
/// Of refusals that quote none of its probes this node looks into so many per second: anybody can send them.
const HINTS: u32 = 20;

/// What is done at a time since the inquest began, which is in eighths of the grace.
#[derive(Clone, Copy)]
enum Act {
    /// Probe it, and have so many times the usual helpers do so as well.
    Probe(u8),
    /// Decide.
    Decide,
}

/// Hosts limit what they refuse (Linux: six times at once for each peer, then once a second; fifty at once in all), so there are few
/// rounds. Most helpers are asked at last, when a process that restarts is back; the rounds behind the first verdict are for
/// what got lost.
const STEPS: [(u8, Act); 11] = [
    (0, Act::Probe(1)),
    (4, Act::Probe(2)),
    (6, Act::Probe(8)),
    (7, Act::Probe(0)),
    (8, Act::Decide),
    (10, Act::Probe(1)),
    (12, Act::Decide),
    (18, Act::Probe(1)),
    (20, Act::Decide),
    (26, Act::Probe(1)),
    (28, Act::Decide),
];
/// A refusal of this round or a later one is late enough for the first verdict.
const LATE: u8 = 2;

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
    /// A probe of this node's own was refused: only then are others asked.
    proven: bool,
    /// So was one of the last ones before the next verdict.
    refused: bool,
    /// Others who were, by their addresses.
    witnesses: heapless::Vec<Address, WITNESSES>,
    needed: u8,
}

impl Inquest {
    fn due(&self, grace: Duration) -> Instant {
        let at = STEPS.get(self.step as usize).map_or(0, |(at, _)| *at);
        self.began + grace.scaled(at as u32, 8)
    }

    /// The step whose probe, this node's own or another's, has this number.
    fn step_of(&self, first: u32, seq: u32) -> Option<u8> {
        let step = seq.wrapping_sub(first);
        (step < self.step as u32).then_some(step as u8)
    }
}

/// What an inquest wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Probe this target under the first number, and have so many others probe it under the second.
    Probe { target: u16, own: u32, asked: u32, helpers: u8 },
    /// It is gone, as far as is known since then; so many others say so, too.
    Gone { target: u16, since: Instant, witnesses: u8 },
}

/// A probe that was sent: by what a refusal quotes of its datagram.
#[derive(Clone, Copy, Debug)]
struct Sent {
    mark: u32,
    seq: u32,
    target: u16,
}

pub(crate) struct Inquests {
    open: heapless::Vec<Inquest, INQUESTS>,
    /// About whom none is begun, and until when.
    rests: heapless::Vec<(u16, Instant), RESTS>,
    sent: heapless::HistoryBuf<Sent, QUOTED>,
    next_hint: Instant,
}

impl Inquests {
    pub(crate) const fn new() -> Self {
        Inquests {
            open: heapless::Vec::new(),
            rests: heapless::Vec::new(),
            sent: heapless::HistoryBuf::new(),
            next_hint: Instant::PAST,
        }
    }

    /// Whether nothing but probes is to be sent to a member: its host limits its refusals.
    pub(crate) fn is_open(&self, target: u16) -> bool {
        self.open.iter().any(|inquest| inquest.target == target)
    }

    // ---- what is sent, and refused ----

    /// A probe of a member was written, in a datagram with this mark.
    pub(crate) fn sent(&mut self, mark: u32, seq: u32, target: u16) {
        self.sent.write(Sent { mark, seq, target });
    }

    /// The probe that a refusal quotes: its number, and whom it was for.
    pub(crate) fn quoted(&self, mark: u32) -> Option<(u32, u16)> {
        let sent = self.sent.iter().find(|sent| sent.mark == mark)?;
        Some((sent.seq, sent.target))
    }

    /// Whether a refusal that proves nothing is to be looked into now.
    pub(crate) fn takes_hint(&mut self, now: Instant) -> bool {
        let takes = now >= self.next_hint;
        if takes {
            self.next_hint = now + Duration::from_millis(1_000 / HINTS as u64);
        }
        takes
    }

    /// This node's own probe was refused. False if it was none of an inquest's.
    pub(crate) fn refused(&mut self, now: Instant, seq: u32) -> bool {
        let step = |inquest: &Inquest| inquest.step_of(inquest.own, seq);
        let Some(inquest) = self.open.iter_mut().find(|inquest| step(inquest).is_some()) else {
            return false;
        };
        let late = step(inquest) >= Some(LATE);
        if !inquest.proven {
            // So far it was a rumour.
            inquest.own = inquest.own.wrapping_add(STEPS.len() as u32);
            (inquest.proven, inquest.began, inquest.step) = (true, now, 0);
        } else {
            inquest.refused |= late;
        }
        true
    }

    /// Somebody who was asked has been refused as well.
    pub(crate) fn witnessed(&mut self, seq: u32, who: Address) {
        let asked = |inquest: &&mut Inquest| inquest.step_of(inquest.asked, seq).is_some();
        if let Some(inquest) = self.open.iter_mut().find(asked)
            && !inquest.witnesses.contains(&who)
        {
            // As many as are needed fit.
            let _ = inquest.witnesses.push(who);
        }
    }

    /// Somebody has answered under this number: whom, if it is one of an inquest's.
    pub(crate) fn answered(&self, seq: u32) -> Option<u16> {
        let is_of = |inquest: &&Inquest| {
            inquest.step_of(inquest.own, seq).is_some() || inquest.step_of(inquest.asked, seq).is_some()
        };
        self.open.iter().find(is_of).map(|inquest| inquest.target)
    }

    // ---- its course ----

    /// A refusal has come. `proven`: of a probe of this node's. `others`: who could be witnesses. `seqs`: random. False if there
    /// is no room, or an inquest already, here or with this node's help, or none is due so soon.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        target: u16,
        others: usize,
        proven: bool,
        [own, asked]: [u32; 2],
    ) -> bool {
        self.rests.retain(|(_, until)| now < *until);
        let rests = self.rests.iter().any(|(id, _)| *id == target);
        let inquest = Inquest {
            target,
            began: now,
            step: 0,
            own,
            asked,
            proven,
            refused: false,
            witnesses: heapless::Vec::new(),
            needed: others.min(WITNESSES) as u8,
        };
        !rests && !self.is_open(target) && self.open.push(inquest).is_ok()
    }

    pub(crate) fn deadline(&self, config: &Config) -> Instant {
        self.open.iter().map(|inquest| inquest.due(config.refused_grace)).fold(Instant::FAR, Instant::min)
    }

    pub(crate) fn due(&mut self, now: Instant, config: &Config) -> Option<Step> {
        while let Some(place) = self.open.iter().position(|open| open.due(config.refused_grace) <= now) {
            let inquest = &mut self.open[place];
            let Some((_, act)) = STEPS.get(inquest.step as usize) else {
                self.open.swap_remove(place);
                continue;
            };
            // Rounds keep their distance, however late the first of them is.
            inquest.began += now.since(inquest.due(config.refused_grace));
            let step = inquest.step as u32;
            inquest.step += 1;
            match act {
                Act::Probe(times) => {
                    let times = if inquest.proven { *times } else { 0 };
                    return Some(Step::Probe {
                        target: inquest.target,
                        own: inquest.own.wrapping_add(step),
                        asked: inquest.asked.wrapping_add(step),
                        helpers: config.indirect_checks.saturating_mul(times),
                    });
                }
                Act::Decide => {
                    let Inquest { target, began, needed, .. } = *inquest;
                    let witnesses = inquest.witnesses.len() as u8;
                    if core::mem::take(&mut inquest.refused) && witnesses >= needed {
                        self.open.swap_remove(place);
                        return Some(Step::Gone { target, since: began, witnesses });
                    }
                }
            }
        }
        None
    }

    // ---- its end ----

    /// The member lives: what refuses is on the way to it, or it has just restarted.
    pub(crate) fn vouched(&mut self, now: Instant, config: &Config, target: u16) {
        if self.is_open(target) {
            self.forget(target);
            self.rest(target, now + config.probe_interval.times(VOUCHED));
        }
    }

    /// This node was refused when it helped with another's inquest.
    pub(crate) fn helped(&mut self, now: Instant, config: &Config, target: u16) {
        self.rest(target, now + config.refused_grace.times(HELPED));
    }

    /// No inquest is begun about a member until then.
    fn rest(&mut self, target: u16, until: Instant) {
        self.rests.retain(|(id, _)| *id != target);
        if self.rests.is_full() {
            self.rests.remove(0);
        }
        let _ = self.rests.push((target, until));
    }

    pub(crate) fn forget(&mut self, target: u16) {
        self.open.retain(|inquest| inquest.target != target);
        self.rests.retain(|(id, _)| *id != target);
    }

    /// The clock has jumped: what was not answered meanwhile says nothing.
    pub(crate) fn restart(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::addr;

    const LAN: Config = Config::LAN;
    const OWN: u32 = 100;
    const ASKED: u32 = 200;

    fn begun(needed: usize, proven: bool) -> (Inquests, Instant) {
        let (mut inquests, now) = (Inquests::new(), Instant::from_millis(10_000));
        assert!(inquests.begin(now, 3, needed, proven, [OWN, ASKED]));
        (inquests, now)
    }

    /// Runs to the end of an inquest into member 3: how many were asked, and after how long it was gone, if it was. Each own probe is
    /// given to `own`, which says whether it is refused; `witness` is refused whenever somebody is asked.
    fn run(
        inquests: &mut Inquests,
        began: Instant,
        witness: impl Fn(u32) -> Option<Address>,
        mut own: impl FnMut(u32) -> bool,
    ) -> (u32, Option<Duration>) {
        let mut helped = 0;
        while inquests.is_open(3) {
            let now = inquests.deadline(&LAN);
            match inquests.due(now, &LAN) {
                Some(Step::Probe { target: 3, own: seq, asked, helpers }) => {
                    helped += helpers as u32;
                    if own(seq) {
                        assert!(inquests.refused(now, seq));
                    }
                    if helpers > 0 {
                        witness(asked).into_iter().for_each(|who| inquests.witnessed(asked, who));
                    }
                }
                Some(Step::Gone { target: 3, .. }) => return (helped, Some(now.since(began))),
                other => assert_eq!(other, None),
            }
        }
        (helped, None)
    }

    #[test]
    fn who_is_refused_to_this_node_and_to_two_others_is_gone_after_the_grace() {
        let (mut inquests, now) = begun(5, true);
        let gone = run(&mut inquests, now, |asked| Some(addr(asked as u8)), |_| true);
        assert_eq!(gone, (33, Some(LAN.refused_grace)), "three, six and 24 are asked");
        let (mut inquests, now) = begun(0, true);
        let gone = run(&mut inquests, now, |_| None, |_| true);
        assert_eq!(gone.1, Some(LAN.refused_grace), "of two nodes there are no others");
    }

    #[test]
    fn one_witness_or_a_refusal_that_is_not_the_last_is_not_enough() {
        let (mut inquests, now) = begun(5, true);
        assert_eq!(
            run(&mut inquests, now, |_| Some(addr(9)), |_| true).1,
            None,
            "one that says it each time"
        );
        let (mut inquests, now) = begun(5, true);
        let early = |seq| seq < OWN + LATE as u32;
        assert_eq!(run(&mut inquests, now, |asked| Some(addr(asked as u8)), early).1, None, "it may be back");
        let (mut inquests, now) = begun(5, true);
        let lost = |seq| seq > OWN + 4;
        let gone = run(&mut inquests, now, |asked| Some(addr(asked as u8)), lost).1;
        assert_eq!(gone, Some(LAN.refused_grace.scaled(12, 8)), "what was lost comes later");
    }

    #[test]
    fn a_rumour_troubles_nobody_before_this_node_is_refused_itself() {
        let (mut inquests, now) = begun(5, false);
        assert_eq!(run(&mut inquests, now, |_| None, |_| false), (0, None));
        let (mut inquests, now) = begun(5, false);
        let gone = run(&mut inquests, now, |asked| Some(addr(asked as u8)), |_| true);
        assert_eq!(gone, (33, Some(LAN.refused_grace)), "then its time begins");
    }

    #[test]
    fn an_answer_to_anybody_ends_it_and_no_other_begins_for_a_while() {
        for seq in [OWN, ASKED] {
            let (mut inquests, now) = begun(5, true);
            assert!(inquests.answered(seq).is_none(), "that was not asked yet");
            let _ = inquests.due(now, &LAN);
            assert_eq!(inquests.answered(seq), Some(3));
            inquests.vouched(now, &LAN, 3);
            let soon = now + LAN.probe_interval.times(VOUCHED);
            assert!(!inquests.begin(soon.minus(Duration::from_micros(1)), 3, 5, true, [1, 2]));
            assert!(inquests.begin(soon, 3, 5, true, [1, 2]));
        }
    }

    #[test]
    fn who_helps_leaves_it_to_whom_it_helps_and_all_is_bounded() {
        let (mut inquests, now) = (Inquests::new(), Instant::from_millis(10_000));
        inquests.helped(now, &LAN, 3);
        assert!(!inquests.begin(now, 3, 5, true, [1, 2]));
        let begun = (10..30).filter(|id| inquests.begin(now, *id, 5, true, [1, 2])).count();
        assert_eq!(begun, INQUESTS);
        (10..30).for_each(|id| inquests.helped(now, &LAN, id));
        assert!(inquests.takes_hint(now) && !inquests.takes_hint(now));
        assert!(inquests.takes_hint(now + Duration::from_millis(50)));
    }

    #[test]
    fn a_refusal_is_known_by_what_it_quotes_of_a_late_probe() {
        let mut inquests = Inquests::new();
        (0..100).for_each(|i| inquests.sent(1_000 + i, i, 7));
        assert_eq!(
            (inquests.quoted(1_099), inquests.quoted(1_000), inquests.quoted(5)),
            (Some((99, 7)), None, None)
        );
    }
}

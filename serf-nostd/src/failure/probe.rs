//! Probes, with indirect help; doubts about who did not answer; and the help given to others.
//!
//! Whom a node probes follows from the number of its protocol period (SWIM, section 3): in period `k` the member that comes `k`
//! places behind its own next one, in the ring of all members. All nodes count alike, as each probe tells its number and whoever
//! is behind counts on from there. So each member is probed by one other in every period, and by each of them once in as many
//! periods as there are members. Only in a search ([`search`](super::search)) there are more of them at a time.

use super::search::{Search, WIDEST};
use crate::config::Config;
use crate::rules::{Rule, Settings};
use crate::slice::NIL;
use crate::time::{Duration, Instant};
use crate::wire::message::Address;

/// Probing somebody for somebody else. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Relay {
    seq: u32,
    asker_seq: u32,
    asker: Address,
    nack: bool,
    deadline: Instant,
}

impl Relay {
    /// A free place.
    pub const EMPTY: Relay =
        Relay { seq: 0, asker_seq: 0, asker: Address::UNSET, nack: false, deadline: Instant::PAST };
}

/// A running probe.
#[derive(Clone, Copy, Debug)]
struct Probe {
    target: u16,
    seq: u32,
    began: Instant,
    timeout: Instant,
    end: Instant,
    asked: bool,
    /// It is the one of its period whose turn it was: what becomes of it tells how links are.
    in_turn: bool,
    nacks_expected: u8,
    nacks: u8,
}

/// Members that can be in doubt at once.
const PRE_SUSPICIONS: usize = 8;

/// What became of the last probes' direct phases.
#[derive(Clone, Copy, Debug, Default)]
struct Outcomes {
    /// Of the last 64, one bit each, 1 for a loss.
    losses: u64,
    /// How many there have been, up to [`SOME`].
    count: u8,
}

/// So many say something about links.
const SOME: u8 = 16;

impl Outcomes {
    fn note(&mut self, lost: bool) {
        self.losses = self.losses << 1 | lost as u64;
        self.count = (self.count + 1).min(SOME);
    }
}

/// Somebody has not answered a probe, and nobody has been told.
///
/// Datagrams get lost. Told at once, each unlucky probe becomes a rumour that the whole fleet carries, and a contradiction
/// after it: at 25 % loss more of them than gossip can. So the first half of the shortest suspicion is the prober's own: the
/// member is probed again after each probe timeout, directly and with help at once. Any answer ends the doubt; another's
/// accusation, or the end of the last round, makes it a suspicion, which has been running since the doubt began.
#[derive(Clone, Copy, Debug)]
struct PreSuspicion {
    since: Instant,
    /// That of the probe: its late answer counts as well.
    seq: u32,
    target: u16,
    done: u8,
    rounds: u8,
}

impl PreSuspicion {
    fn due(&self, config: &Config) -> Instant {
        self.since + config.probe_timeout.times(self.done as u32)
    }
}

/// What the detector wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The time for the next probe has come.
    Next,
    /// Ask others to probe this target, under this sequence number.
    AskOthers { target: u16, seq: u32 },
    /// Probe this doubtful target once more, and ask others to, under the sequence number of its probe.
    Again { target: u16, seq: u32 },
    /// This target has not answered its probe, directly or through others, since then. `alone`: nor have those said anything.
    Unanswered { target: u16, seq: u32, since: Instant, alone: bool },
    /// Nor has it in all its further rounds since then.
    Silent { target: u16, since: Instant },
    /// Tell an asker that the target did not answer in time.
    Nack { to: Address, seq: u32 },
}

/// Whose answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The probed member, to us.
    Target {
        id: u16,
        /// After how long, unless it was perhaps through others.
        took: Option<Duration>,
        /// It was in doubt.
        doubted: bool,
    },
    /// Somebody that we probed for an asker.
    Relayed { to: Address, seq: u32 },
    /// Nobody that is waited for.
    Nobody,
}

/// Whose probe was refused by its host.
#[cfg(feature = "inquest")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// One that this node sent for itself.
    Own,
    /// One that it sent for an asker.
    Relayed { to: Address, seq: u32 },
    /// None that is waited for.
    Nobody,
}

/// Whom to probe next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Who comes so many places behind, in the ring.
    InRing(usize),
    /// Anybody: another node has just told by its number whom this one would probe, and it may lie; or many are probed.
    Drawn,
    /// Somebody who is said to be gone.
    #[cfg(feature = "inquest")]
    Hinted(u16),
}

pub(crate) struct Detector<'a> {
    running: heapless::Vec<Probe, WIDEST>,
    /// When the next period begins, and how many are still to be probed in this one.
    next: Instant,
    more: usize,
    pub(super) search: Search,
    /// The number of the protocol period in which the last probe was sent, and how many it lasts: more than one if this node is not
    /// well.
    period: u16,
    lasts: u16,
    /// It has been told by another node since.
    told: bool,
    /// Who is said to be gone, and whether the last probe was for such a one: no two in a row, since anybody may say so.
    #[cfg(feature = "inquest")]
    hinted: Option<u16>,
    #[cfg(feature = "inquest")]
    was_hinted: bool,
    pre_suspicions: heapless::Vec<PreSuspicion, PRE_SUSPICIONS>,
    relays: &'a mut [Relay],
    relaying: usize,
    /// Lifeguard's awareness: how much this node doubts its own health. 0 is well.
    awareness: u8,
    outcomes: Outcomes,
    /// How long members took to answer of late: the longest time, which fades by an eighth with each answer.
    round_trip: Duration,
}

impl<'a> Detector<'a> {
    pub(crate) fn new(relays: &'a mut [Relay], now: Instant) -> Self {
        Detector {
            running: heapless::Vec::new(),
            next: now,
            more: 0,
            search: Search::new(),
            period: 0,
            lasts: 1,
            told: false,
            #[cfg(feature = "inquest")]
            hinted: None,
            #[cfg(feature = "inquest")]
            was_hinted: false,
            pre_suspicions: heapless::Vec::new(),
            relays,
            relaying: 0,
            awareness: 0,
            outcomes: Outcomes::default(),
            round_trip: Duration::ZERO,
        }
    }

    pub(crate) fn release(self) -> &'a mut [Relay] {
        self.relays
    }

    /// Lifeguard's health score: 0 is well.
    pub(crate) fn awareness(&self) -> u8 {
        self.awareness
    }

    pub(crate) fn worsen(&mut self, config: &Config, by: u8) {
        self.awareness = self.awareness.saturating_add(by).min(config.awareness_max.saturating_sub(1));
    }

    /// Share of direct probes lost of late, in 1/64.
    pub(crate) fn loss(&self) -> u32 {
        self.outcomes.losses.count_ones()
    }

    /// Whether none of them was, and there have been some.
    pub(crate) fn is_clean(&self) -> bool {
        self.outcomes.losses == 0 && self.outcomes.count == SOME
    }

    /// Something has been lost that was no probe.
    pub(super) fn lost(&mut self) {
        self.outcomes.note(true);
    }

    /// How long members take to answer.
    pub(crate) fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// The number of this protocol period.
    pub(crate) fn period(&self) -> u16 {
        self.period
    }

    /// A member is in this period: who is behind catches up.
    pub(crate) fn hear_period(&mut self, theirs: u16) {
        let behind = theirs.wrapping_sub(self.period.wrapping_add(self.lasts));
        if (1..=i16::MAX as u16).contains(&behind) {
            self.period = self.period.wrapping_add(behind);
            self.told = true;
        }
    }

    /// Whom the next probe is for.
    pub(crate) fn turn(&self) -> Turn {
        #[cfg(feature = "inquest")]
        if let Some(id) = self.hinted.filter(|_| !self.was_hinted && self.more == 0) {
            return Turn::Hinted(id);
        }
        let next = self.period.wrapping_add(self.lasts);
        if self.told || self.more > 0 { Turn::Drawn } else { Turn::InRing(next as usize) }
    }

    /// The next period begins.
    fn advance(&mut self, lasts: u16) {
        self.period = self.period.wrapping_add(self.lasts);
        (self.lasts, self.told) = (lasts, false);
        #[cfg(feature = "inquest")]
        {
            self.was_hinted = !self.was_hinted && self.hinted.take().is_some();
        }
    }

    /// A member is said to be gone: it is probed next, instead of who would be.
    #[cfg(feature = "inquest")]
    pub(crate) fn hint(&mut self, id: u16) {
        self.hinted.get_or_insert(id);
    }

    pub(crate) fn deadline(&self, config: &Config, anybody: bool) -> Instant {
        let running = self.running.iter().map(|probe| if probe.asked { probe.end } else { probe.timeout });
        let pre_suspicions = self.pre_suspicions.iter().map(|held| held.due(config));
        let relays = self.relays[..self.relaying].iter().map(|relay| relay.deadline);
        pre_suspicions.chain(relays).chain(running).fold(self.next_probe(anybody), Instant::min)
    }

    /// When the next probe is due, if there is `anybody`.
    fn next_probe(&self, anybody: bool) -> Instant {
        match self.more {
            _ if !anybody => Instant::FAR,
            0 if self.running.is_empty() => self.next,
            0 => Instant::FAR,
            _ => Instant::PAST,
        }
    }

    /// The next thing that is due, if any.
    pub(crate) fn due(&mut self, now: Instant, config: &Config, anybody: bool) -> Option<Due> {
        if let Some(i) = self.relays[..self.relaying].iter().position(|relay| relay.deadline <= now) {
            let relay = self.relays[i];
            if relay.nack {
                // The ack may still come: it is passed on for another timeout.
                self.relays[i].nack = false;
                self.relays[i].deadline = now + config.probe_timeout;
                return Some(Due::Nack { to: relay.asker, seq: relay.asker_seq });
            }
            self.relaying -= 1;
            self.relays[i] = self.relays[self.relaying];
            return self.due(now, config, anybody);
        }
        if let Some(i) = self.pre_suspicions.iter().position(|held| held.due(config) <= now) {
            let held = &mut self.pre_suspicions[i];
            let PreSuspicion { since, seq, target, done, rounds } = *held;
            if done == rounds {
                self.pre_suspicions.swap_remove(i);
                return Some(Due::Silent { target, since });
            }
            held.done += 1;
            return Some(Due::Again { target, seq });
        }
        if let Some(probe) = self.running.iter_mut().find(|probe| !probe.asked && probe.timeout <= now) {
            probe.asked = true;
            let (target, seq, in_turn) = (probe.target, probe.seq, probe.in_turn);
            if in_turn {
                self.outcomes.note(true);
            }
            return Some(Due::AskOthers { target, seq });
        }
        if let Some(i) = self.running.iter().position(|probe| probe.asked && probe.end <= now) {
            let Probe { target, seq, began, nacks, nacks_expected, .. } = self.running.swap_remove(i);
            if !self.search.is_on() {
                // Helpers that answer nothing at all say something about this node.
                let blame = if nacks_expected > 0 { nacks_expected.saturating_sub(nacks) } else { 1 };
                self.worsen(config, blame);
            }
            return Some(Due::Unanswered { target, seq, since: began, alone: nacks == 0 });
        }
        (self.next_probe(anybody) <= now).then_some(Due::Next)
    }

    /// Nobody is heard, or nobody answers: from now on many are probed in each period. False if they are already.
    pub(super) fn search(&mut self, now: Instant) -> bool {
        let begins = self.search.begin();
        if begins && self.running.is_empty() {
            self.next = now;
        }
        begins
    }

    /// A probe has been sent; after `timeout` others are to be asked for help.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        config: &Config,
        (target, seq): (u16, u32),
        timeout: Duration,
    ) {
        let in_turn = self.more == 0;
        if in_turn {
            self.begin_period(now, config);
        }
        self.more -= 1;
        let scale = self.scale();
        // As in Lifeguard the interval stretches with awareness; so does the wait for the direct answer. Others have as long to help
        // as they always have.
        let timeout = (now + timeout.times(scale)).min(self.next);
        let end = (timeout + help_time(config).times(scale)).min(self.next);
        let began = now;
        let probe =
            Probe { target, seq, began, timeout, end, asked: false, in_turn, nacks_expected: 0, nacks: 0 };
        let _ = self.running.push(probe);
        self.search.begun();
    }

    /// How much slower a node that is not well does all that; in a search it is no slower.
    fn scale(&self) -> u32 {
        if self.search.is_on() { 1 } else { self.awareness as u32 + 1 }
    }

    fn begin_period(&mut self, now: Instant, config: &Config) {
        self.more = self.search.next_period(now + config.probe_interval.scaled(1, 2));
        self.advance(self.scale() as u16);
        self.next = now + config.probe_interval.times(self.scale());
    }

    /// There is nobody to probe.
    pub(crate) fn skip(&mut self, now: Instant, config: &Config) {
        if self.more == 0 {
            self.begin_period(now, config);
        }
        self.more -= 1;
    }

    /// Whether a probe of this member is running.
    pub(super) fn is_probing(&self, id: u16) -> bool {
        self.running.iter().any(|probe| probe.target == id)
    }

    /// One more helper has been asked for the probe with this number.
    pub(crate) fn asked_helper(&mut self, seq: u32) {
        if let Some(probe) = self.running.iter_mut().find(|probe| probe.seq == seq) {
            probe.nacks_expected += 1;
        }
    }

    /// Takes an unanswered target into doubt for `span`. False if too many are: it counts as silent at once.
    #[must_use]
    pub(crate) fn pre_suspect(
        &mut self,
        now: Instant,
        config: &Settings,
        (target, seq): (u16, u32),
        span: Duration,
    ) -> bool {
        let rounds = span.as_micros() / config.probe_timeout.as_micros().max(1);
        let held =
            PreSuspicion { since: now, seq, target, done: 0, rounds: rounds.min(u8::MAX as u64) as u8 };
        config.has(Rule::PreSuspicion)
            && (self.pre_suspicions.iter().any(|held| held.target == target)
                || self.pre_suspicions.push(held).is_ok())
    }

    /// A member is accused by others: whether it was in doubt here, and since when.
    pub(crate) fn end_pre_suspicion(&mut self, target: u16) -> Option<Instant> {
        let place = self.pre_suspicions.iter().position(|held| held.target == target)?;
        Some(self.pre_suspicions.swap_remove(place).since)
    }

    /// Takes out what runs for an asker under this sequence number.
    fn end_relay(&mut self, seq: u32) -> Option<Relay> {
        let i = self.relays[..self.relaying].iter().position(|relay| relay.seq == seq)?;
        let relay = self.relays[i];
        self.relaying -= 1;
        self.relays[i] = self.relays[self.relaying];
        Some(relay)
    }

    pub(crate) fn acked(&mut self, now: Instant, seq: u32) -> Answered {
        let probed = self.running.iter().position(|probe| probe.seq == seq);
        let probed = probed.map(|i| self.running.swap_remove(i));
        let mut direct = None;
        if let Some(probe) = probed {
            if !probe.asked {
                let took = now.since(probe.began);
                if probe.in_turn {
                    self.outcomes.note(false);
                }
                self.round_trip = took.max(self.round_trip.scaled(7, 8));
                direct = Some(took);
            }
            self.awareness = self.awareness.saturating_sub(1);
            self.search.answered(probe.target);
        }
        let pre_suspected = self.pre_suspicions.iter().find(|held| held.seq == seq);
        if let Some(target) = probed.map(|probe| probe.target).or(pre_suspected.map(|held| held.target)) {
            let doubted = self.end_pre_suspicion(target).is_some();
            return Answered::Target { id: target, took: direct, doubted };
        }
        match self.end_relay(seq) {
            Some(relay) => Answered::Relayed { to: relay.asker, seq: relay.asker_seq },
            None => Answered::Nobody,
        }
    }

    /// The host of a probe's target has said that nobody listens there.
    #[cfg(feature = "inquest")]
    pub(crate) fn refused(&mut self, seq: u32) -> Refused {
        let own = self.running.iter().any(|probe| probe.seq == seq);
        if own || self.pre_suspicions.iter().any(|held| held.seq == seq) {
            return Refused::Own;
        }
        match self.end_relay(seq) {
            Some(relay) => Refused::Relayed { to: relay.asker, seq: relay.asker_seq },
            None => Refused::Nobody,
        }
    }

    /// A helper has answered that the target does not. Returns whether it was asked.
    pub(crate) fn nacked(&mut self, seq: u32) -> bool {
        if let Some(probe) = self.running.iter_mut().find(|probe| probe.seq == seq) {
            probe.nacks = probe.nacks.saturating_add(1).min(probe.nacks_expected);
            return true;
        }
        self.pre_suspicions.iter().any(|held| held.seq == seq)
    }

    /// Probing for somebody else begins; false if too many such probes are running.
    #[must_use]
    pub(crate) fn relay(
        &mut self,
        now: Instant,
        config: &Config,
        seq: u32,
        asker: (Address, u32),
        nack: bool,
    ) -> bool {
        if self.relaying == self.relays.len() {
            return false;
        }
        // A nack must reach the asker before its probe ends, or the asker blames itself for the target's silence.
        let deadline = now + help_time(config).scaled(4, 5);
        self.relays[self.relaying] = Relay { seq, asker_seq: asker.1, asker: asker.0, nack, deadline };
        self.relaying += 1;
        true
    }

    /// The clock jumped by `gap`: the running probe proves nothing, and doubts wait as long as if it had not.
    pub(crate) fn restart(&mut self, now: Instant, gap: Duration) {
        self.running.clear();
        (self.next, self.more) = (now, 0);
        for held in &mut self.pre_suspicions {
            held.since += gap;
        }
        self.relaying = 0;
    }

    /// Nothing may have come through until now: nobody in doubt becomes suspect without another round.
    pub(crate) fn ask_again(&mut self) {
        for held in &mut self.pre_suspicions {
            held.done = held.done.min(held.rounds.saturating_sub(1));
        }
    }

    /// A member is no longer there to be probed.
    pub(crate) fn forget(&mut self, id: u16) {
        for probe in self.running.iter_mut().filter(|probe| probe.target == id) {
            probe.target = NIL;
        }
        self.search.forget(id);
        self.end_pre_suspicion(id);
        #[cfg(feature = "inquest")]
        {
            self.hinted = self.hinted.filter(|hinted| *hinted != id);
        }
    }
}

/// How long an asker waits for what others can do for its probe.
fn help_time(config: &Config) -> Duration {
    Duration::from_micros(config.probe_interval.as_micros().saturating_sub(config.probe_timeout.as_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_detector(run: impl FnOnce(&mut Detector<'_>, &Settings, Instant)) {
        let mut relays = [Relay::EMPTY; 2];
        let now = Instant::from_millis(10_000);
        run(&mut Detector::new(&mut relays, now), &Settings::new(Config::LAN), now);
    }

    #[test]
    fn a_probe_goes_direct_then_through_others_then_is_unanswered() {
        with_detector(|detector, config, now| {
            assert_eq!(detector.due(now, config, true), Some(Due::Next));
            detector.begin(now, config, (3, 77), config.probe_timeout);
            assert_eq!(detector.due(now, config, true), None);
            let asks = detector.deadline(config, true);
            assert_eq!(asks, now + config.probe_timeout);
            assert_eq!(detector.due(asks, config, true), Some(Due::AskOthers { target: 3, seq: 77 }));
            (0..2).for_each(|_| detector.asked_helper(77));
            assert!(detector.nacked(77) && !detector.nacked(78));
            let ends = detector.deadline(config, true);
            assert_eq!(ends, now + config.probe_interval);
            assert_eq!(
                detector.due(ends, config, true),
                Some(Due::Unanswered { target: 3, seq: 77, since: now, alone: false })
            );
            assert_eq!((detector.awareness(), detector.loss()), (1, 1), "one of two helpers said nothing");
        });
    }

    #[test]
    fn any_answer_ends_a_probe_and_what_followed_from_it() {
        with_detector(|detector, config, now| {
            detector.begin(now, config, (3, 77), config.probe_timeout);
            let later = now + Duration::from_millis(20);
            let took = Some(Duration::from_millis(20));
            assert_eq!(detector.acked(later, 77), Answered::Target { id: 3, took, doubted: false });
            assert_eq!((detector.round_trip(), detector.loss()), (Duration::from_millis(20), 0));
            assert_eq!(detector.acked(later, 77), Answered::Nobody, "once");
            assert!(detector.pre_suspect(later, config, (4, 78), Duration::from_secs(2)));
            assert_eq!(
                detector.acked(later, 78),
                Answered::Target { id: 4, took: None, doubted: true },
                "a late one"
            );
            assert_eq!(detector.end_pre_suspicion(4), None);
        });
    }

    #[test]
    fn who_does_not_answer_is_probed_each_timeout_before_anybody_is_told() {
        with_detector(|detector, config, now| {
            assert!(detector.pre_suspect(now, config, (4, 78), Duration::from_secs(2)));
            let mut asked = 0;
            let silent = loop {
                match detector.due(detector.deadline(config, false), config, false) {
                    Some(Due::Again { target: 4, seq: 78 }) => asked += 1,
                    Some(other) => break other,
                    None => unreachable!("something is due at its deadline"),
                }
            };
            assert_eq!((asked, silent), (4, Due::Silent { target: 4, since: now }));
            let all = (0..20).filter(|i| detector.pre_suspect(now, config, (*i, 1), Duration::from_secs(2)));
            assert_eq!(all.count(), PRE_SUSPICIONS, "so many at once");
        });
    }

    #[test]
    fn a_probe_for_another_is_answered_in_its_name_or_nacked_in_time() {
        with_detector(|detector, config, now| {
            let asker = |i| (crate::kit::addr(i), 5);
            assert!(detector.relay(now, config, 90, asker(1), true));
            assert!(detector.relay(now, config, 91, asker(2), false));
            assert!(!detector.relay(now, config, 92, asker(3), true), "no room");
            assert_eq!(detector.acked(now, 91), Answered::Relayed { to: crate::kit::addr(2), seq: 5 });
            let nacks = detector.deadline(config, false);
            assert!(
                nacks < (now + config.probe_interval).minus(config.probe_timeout),
                "before the asker's probe ends"
            );
            assert_eq!(
                detector.due(nacks, config, false),
                Some(Due::Nack { to: crate::kit::addr(1), seq: 5 })
            );
            assert_eq!(detector.acked(nacks, 90), Answered::Relayed { to: crate::kit::addr(1), seq: 5 });
        });
    }

    #[test]
    fn who_is_behind_counts_on_from_others_and_draws_its_next_one() {
        with_detector(|detector, config, now| {
            detector.begin(now, config, (3, 77), config.probe_timeout);
            assert_eq!((detector.period(), detector.turn()), (1, Turn::InRing(2)));
            [0, 1, 2].into_iter().for_each(|theirs| detector.hear_period(theirs));
            assert_eq!(detector.turn(), Turn::InRing(2), "its own next one comes in its time");
            detector.hear_period(9);
            assert_eq!(detector.turn(), Turn::Drawn);
            detector.begin(now, config, (4, 78), config.probe_timeout);
            assert_eq!((detector.period(), detector.turn()), (9, Turn::InRing(10)));
            detector.hear_period(10 + 0x8000);
            assert_eq!(detector.turn(), Turn::InRing(10), "that is behind");
            detector.worsen(config, 2);
            detector.begin(now, config, (4, 78), config.probe_timeout);
            assert_eq!((detector.period(), detector.turn()), (10, Turn::InRing(13)), "it takes three");
        });
    }

    #[test]
    fn a_node_that_is_not_well_probes_more_slowly() {
        with_detector(|detector, config, now| {
            detector.worsen(config, 100);
            assert_eq!(detector.awareness(), config.awareness_max - 1);
            detector.begin(now, config, (3, 77), config.probe_timeout);
            assert_eq!(detector.deadline(config, true), now + config.probe_timeout.times(8));
        });
    }
}

//! How well crashes are told from lost datagrams: a fleet under steady loss, some of whose machines lose power.

use serf_nostd::rules::Rule;
use serf_nostd::{Config, MemberChange, Status};

use crate::chaos::SECOND;
use crate::fleet::{Fleet, Seen, Size};
use crate::rng::Rng;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Decides everything else.
    pub seed: u64,
    /// How many machines.
    pub nodes: usize,
    /// Share of datagrams lost.
    pub loss: f64,
    /// How many seconds. Crashes begin in the middle.
    pub seconds: u64,
    /// How many machines crash, one each second or so: fewer than a third of `seconds`, and than half of `nodes`.
    pub crashes: usize,
    /// How they do.
    pub end: End,
    /// Timing of the nodes.
    pub config: Config,
    /// Whether they take part in coordinates, and wait for answers no longer than their round trips tell.
    pub placed: bool,
    /// A rule that they do not keep.
    pub without: Option<Rule>,
}

/// How a member ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its machine loses power.
    Vanishes,
    /// Its program is killed; its system refuses what is sent to it.
    Dies,
    /// Likewise, and it says so before.
    Terminated,
}

/// What came of it. Times are microseconds from the crash, in ascending order.
#[derive(Clone, Debug)]
pub struct Detection {
    /// Suspicions per node and minute, before the first crash: all of them false, and every node that hears a rumour
    /// counts it.
    pub suspicions: f64,
    /// How often some node called a living one failed.
    pub failed: usize,
    /// When the first node noticed, for each crash that anybody noticed.
    pub first: Vec<u64>,
    /// When the last node noticed, for each crash that all noticed.
    pub everywhere: Vec<u64>,
    /// Bytes per node and second before the first crash, UDP and IP heads included.
    pub bytes: f64,
    /// Datagrams per node and second before the first crash.
    pub datagrams: f64,
}

/// The time within which this share of an ascending list lies; `None` if the list is empty.
pub fn quantile(sorted: &[u64], share: f64) -> Option<u64> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

impl Trial {
    /// Runs it: a minute at rest, half of the time with loss alone, the other half with crashes.
    pub fn run(&self) -> Detection {
        // Changes of members are told as they happen: one that is taken back within a window would not be seen.
        let config = Config { coalesce_members: false, ..self.config.clone() };
        let count = self.nodes as u16;
        let size = if self.placed { Size::Placed(count) } else { Size::Members(count) };
        let mut fleet = Fleet::new(self.seed, self.nodes, size, config);
        fleet.without = self.without;
        fleet.assemble(&mut |_, _, _, _| {});
        fleet.run(60 * SECOND, &mut |_, _, _, _| {});
        fleet.network.loss = self.loss;

        let half = self.seconds * SECOND / 2;
        let mut verdicts = Verdicts::new(self.nodes);
        let before = Sent::by(&fleet);
        fleet.run(half, &mut |_, _, at, seen| verdicts.saw(at, &seen));
        let after = Sent::by(&fleet);
        let (began, mut rng) = (fleet.now(), Rng::new(self.seed));
        for crash in 0..self.crashes {
            // Spread over the fleet, but for the machine that was everybody's seed.
            let i = 1 + crash * (self.nodes - 1) / self.crashes;
            verdicts.crashed[i] = Some(fleet.now());
            match self.end {
                End::Vanishes => fleet.crash(i),
                End::Dies => fleet.kill(i),
                End::Terminated => fleet.terminate(i),
            }
            // At any moment between two probes.
            let span = rng.range(SECOND / 2..3 * SECOND / 2);
            fleet.run(span, &mut |_, _, at, seen| verdicts.saw(at, &seen));
        }
        fleet.run(half.saturating_sub(fleet.now() - began), &mut |_, _, at, seen| verdicts.saw(at, &seen));

        let on: Vec<usize> = (0..self.nodes).filter(|i| fleet.is_on(*i)).collect();
        let by_all = |subject: usize| on.iter().all(|i| fleet.status(*i, subject) == Some(Status::Failed));
        let mut first: Vec<u64> =
            verdicts.true_ones().filter_map(|(_, times)| times.first().copied()).collect();
        let mut everywhere: Vec<u64> = verdicts
            .true_ones()
            .filter(|(subject, _)| by_all(*subject))
            .filter_map(|(_, times)| times.last().copied())
            .collect();
        first.sort_unstable();
        everywhere.sort_unstable();
        let rate = |count: fn(&Sent) -> u64| {
            (count(&after) - count(&before)) as f64 / (half as f64 / SECOND as f64) / self.nodes as f64
        };
        Detection {
            suspicions: rate(|sent| sent.suspicions) * 60.0,
            failed: verdicts.false_ones,
            first,
            everywhere,
            bytes: rate(|sent| sent.bytes),
            datagrams: rate(|sent| sent.datagrams),
        }
    }
}

/// Who was called failed.
struct Verdicts {
    /// When each machine crashed.
    crashed: Vec<Option<u64>>,
    /// How long after that others called it failed, one by one.
    times: Vec<Vec<u64>>,
    false_ones: usize,
}

impl Verdicts {
    fn new(nodes: usize) -> Verdicts {
        Verdicts { crashed: vec![None; nodes], times: vec![Vec::new(); nodes], false_ones: 0 }
    }

    fn saw(&mut self, at: u64, seen: &Seen) {
        let Seen::Member { change: MemberChange::Failed, at: subject, .. } = seen else { return };
        match self.crashed[*subject] {
            Some(when) => self.times[*subject].push(at - when),
            None => self.false_ones += 1,
        }
    }

    fn true_ones(&self) -> impl Iterator<Item = (usize, &[u64])> {
        let crashed = |i: &usize| self.crashed[*i].is_some();
        (0..self.crashed.len()).filter(crashed).map(|i| (i, self.times[i].as_slice()))
    }
}

/// What a fleet has sent, and whom it has suspected, so far.
struct Sent {
    bytes: u64,
    datagrams: u64,
    suspicions: u64,
}

impl Sent {
    fn by(fleet: &Fleet) -> Sent {
        let (bytes, datagrams) = fleet.sent();
        Sent { bytes, datagrams, suspicions: fleet.total(|stats| stats.suspicions) }
    }
}

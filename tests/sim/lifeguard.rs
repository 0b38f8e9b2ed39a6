//! Lifeguard's experiments (Dadgar, Phillips, Currey, 2018) with our nodes: members that are slow, not dead.
//!
//! Some of 128 are blocked at the same moments, again and again: whatever they send or are sent goes through only when a block ends. Their
//! clocks and timers go on meanwhile, which is harder than to be stopped.

use serf_nostd::rules::Rule;
use serf_nostd::{Config, MemberChange};

use crate::chaos::SECOND;
use crate::fleet::{Fleet, Seen, Size};
use crate::rng::Rng;

/// How many agents.
pub const AGENTS: usize = 128;
/// How many of them are blocked.
pub const BLOCKED: [usize; 9] = [1, 4, 8, 12, 16, 20, 24, 28, 32];
/// For how long, in milliseconds.
pub const BLOCKS: [u64; 6] = [128, 512, 2_048, 8_192, 16_384, 32_768];
/// How long they run in between, likewise.
pub const INTERVALS: [u64; 8] = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384];

const QUIET: u64 = 15 * SECOND;
const LENGTH: u64 = 120 * SECOND;
const MS: u64 = 1_000;

/// Who was called failed, of those that were not blocked: how often by anybody, and how often by one who was not blocked either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct False {
    /// False positives.
    pub all: u64,
    /// Of them those told by healthy members.
    pub healthy: u64,
}

impl False {
    /// Both.
    pub fn add(&mut self, other: False) {
        self.all += other.all;
        self.healthy += other.healthy;
    }
}

fn assembled(seed: u64, without: Option<Rule>) -> Fleet {
    // Changes are told as they happen: one that is taken back within a window would not be seen.
    let config = Config { coalesce_members: false, ..Config::LAN };
    let mut fleet = Fleet::new(seed, AGENTS, Size::Members(AGENTS as u16), config);
    fleet.without = without;
    fleet.acquaint(&mut |_, _, _, _| {});
    fleet.run(QUIET, &mut |_, _, _, _| {});
    fleet
}

/// So many, drawn by a seed.
fn drawn(seed: u64, count: usize) -> Vec<bool> {
    let (mut rng, mut chosen) = (Rng::new(seed), vec![false; AGENTS]);
    while chosen.iter().filter(|chosen| **chosen).count() < count {
        chosen[rng.below(AGENTS as u64) as usize] = true;
    }
    chosen
}

/// The Interval experiment: `blocked` agents are blocked for `block` ms, run for `interval` ms, and so on for two minutes at least, to the end
/// of a block. All may lack a rule.
pub fn interval(seed: u64, blocked: usize, block: u64, interval: u64, without: Option<Rule>) -> False {
    let (mut fleet, chosen) = (assembled(seed, without), drawn(seed, blocked));
    let mut told = False::default();
    let mut watch = |i: usize, _: u64, _: u64, seen: Seen| {
        if let Seen::Member { change: MemberChange::Failed, at, .. } = seen
            && chosen.get(at) == Some(&false)
        {
            told.all += 1;
            told.healthy += !chosen[i] as u64;
        }
    };
    let began = fleet.now();
    loop {
        let until = fleet.now() + block * MS;
        (0..AGENTS).filter(|i| chosen[*i]).for_each(|i| fleet.network.block(i, until));
        fleet.run(block * MS, &mut watch);
        if fleet.now() >= began + LENGTH {
            break;
        }
        fleet.run(interval * MS, &mut watch);
    }
    // What was decided in the last block is told.
    fleet.run(SECOND, &mut watch);
    told
}

/// The Threshold experiment: `blocked` agents are blocked once, for `block` ms: after how many microseconds each of them was first called
/// failed by somebody else, and by all who were not blocked, if that was before the block's end.
pub fn threshold(seed: u64, blocked: usize, block: u64) -> Vec<(u64, Option<u64>)> {
    let (mut fleet, chosen) = (assembled(seed, None), drawn(seed, blocked));
    // At any moment between two probes.
    fleet.run(Rng::new(seed).below(SECOND), &mut |_, _, _, _| {});
    let began = fleet.now();
    let mut times: Vec<Vec<u64>> = vec![Vec::new(); AGENTS];
    (0..AGENTS).filter(|i| chosen[*i]).for_each(|i| fleet.network.block(i, began + block * MS));
    fleet.run(block * MS, &mut |i, _, at, seen| {
        if let Seen::Member { change: MemberChange::Failed, at: subject, .. } = seen
            && !chosen[i]
            && chosen.get(subject) == Some(&true)
        {
            times[subject].push(at - began);
        }
    });
    let healthy = AGENTS - blocked;
    let found = times.into_iter().filter(|times| !times.is_empty());
    found.map(|times| (times[0], (times.len() >= healthy).then(|| times[healthy - 1]))).collect()
}

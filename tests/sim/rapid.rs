//! Rapid's two adversities (Suresh et al., USENIX ATC 2018) with our nodes: one of a hundred members is neither well nor dead.

use serf_nostd::{Config, MemberChange, Status};

use crate::chaos::SECOND;
use crate::fleet::{Fleet, Seen, Size};
use crate::network::muted;

/// What is wrong with the faulty ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adversity {
    /// All that is sent to them is lost for 20 s, comes for 20 s, and so on.
    FlipFlop,
    /// Of what they send four of five datagrams are lost.
    Losing,
}

/// How long nothing, and how long everything comes.
const TURN: u64 = 20 * SECOND;
/// Long enough for every verdict afterwards.
const AFTER: u64 = 60 * SECOND;

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Faulty ones.
    pub faulty: usize,
    /// How often a healthy one was told to have failed: by healthy ones, and by faulty ones.
    pub healthy_failed: [u64; 2],
    /// How often a faulty one was told to have failed, by healthy ones, for each pair of both.
    pub verdicts: f64,
    /// Faulty ones of whom all healthy ones thought the same, when it had lasted so long.
    pub resolved: usize,
    /// Whether all see all alive, a minute after it was over.
    pub heals: bool,
}

/// One of a hundred of `nodes` is faulty for some turns of 20 s; then all are well again.
pub fn adversity(seed: u64, nodes: usize, adversity: Adversity, turns: usize) -> Outcome {
    let config = Config { coalesce_members: false, ..Config::LAN };
    let mut fleet = Fleet::new(seed, nodes, Size::Members(nodes as u16), config);
    fleet.acquaint(&mut |_, _, _, _| {});
    fleet.run(TURN, &mut |_, _, _, _| {});
    let is_faulty = |i: usize| i % 100 == 50;
    let faulty: Vec<usize> = (0..nodes).filter(|i| is_faulty(*i)).collect();
    let mut outcome = Outcome { faulty: faulty.len(), ..Outcome::default() };
    let (mut verdicts, healthy) = (0_u64, nodes - faulty.len());
    let mut watch = |i: usize, _: u64, _: u64, seen: Seen| {
        let Seen::Member { change: MemberChange::Failed, at, .. } = seen else { return };
        match (is_faulty(i), is_faulty(at)) {
            (by, false) => outcome.healthy_failed[by as usize] += 1,
            (false, true) => verdicts += 1,
            (true, true) => {}
        }
    };
    for turn in 0..turns {
        for i in &faulty {
            match adversity {
                Adversity::FlipFlop => {
                    fleet.network.muted[*i] = if turn % 2 == 0 { muted::HEARING } else { 0 }
                }
                Adversity::Losing => fleet.network.losing[*i] = 0.8,
            }
        }
        fleet.run(TURN, &mut watch);
    }
    outcome.verdicts = verdicts as f64 / (healthy * faulty.len()) as f64;
    outcome.resolved = (faulty.iter())
        .filter(|subject| {
            let viewers = (0..nodes).filter(|i| !is_faulty(*i));
            let failed = viewers.filter(|i| fleet.status(*i, **subject) == Some(Status::Failed)).count();
            failed == 0 || failed == healthy
        })
        .count();
    fleet.network.heal();
    fleet.run(AFTER, &mut |_, _, _, _| {});
    outcome.heals = fleet.agreed();
    outcome
}

//! Most of a fleet dies at once, as in HyParView's experiment (Leitão, Pereira, Rodrigues, DSN 2007): what events reach then, and when the dead
//! are known to be.

use serf_nostd::rules::Rule;
use serf_nostd::{Config, MemberChange};

use crate::chaos::SECOND;
use crate::fleet::{Fleet, Seen, Size};

/// Seconds after the deaths at which events are fired.
pub const FIRED: [u64; 4] = [0, 1, 10, 60];
/// The longest that is waited for everything.
const PATIENCE: u64 = 600;

/// What became of it. Times are seconds.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Who has lived on.
    pub survivors: usize,
    /// Of each event: how many of them had it a second later, and how long it took until all had it.
    pub events: Vec<(usize, Option<f64>)>,
    /// Until all dead have failed for all survivors.
    pub buried: Option<f64>,
    /// How often a survivor was told to have failed.
    pub wrong: u64,
}

/// Of `nodes` this share (in percent) loses power at the same moment. All may lack a rule.
pub fn collapse(seed: u64, nodes: usize, percent: usize, without: Option<Rule>) -> Outcome {
    let mut fleet = Fleet::new(seed, nodes, Size::Members(nodes as u16), Config::LAN);
    fleet.without = without;
    fleet.acquaint(&mut |_, _, _, _| {});
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    let survives = |i: usize| i * 37 % 100 >= percent;
    let survivors: Vec<usize> = (0..nodes).filter(|i| survives(*i)).collect();
    (0..nodes).filter(|i| !survives(*i)).for_each(|i| fleet.crash(i));
    let (began, mut heard) = (fleet.now(), vec![Vec::new(); FIRED.len()]);
    let mut outcome = Outcome { survivors: survivors.len(), ..Outcome::default() };
    for second in 0..PATIENCE {
        if let Some(event) = FIRED.iter().position(|fired| *fired == second) {
            let origin = survivors[event * 7 % survivors.len()];
            let fire = |node: &mut serf_nostd::Node<'_>, now| {
                node.user_event(now, b"e", &[event as u8], false).expect("there is room");
            };
            fleet.with(origin, &mut |_, _, _, _| {}, fire);
        }
        fleet.run(SECOND, &mut |_, _, at, seen| match seen {
            Seen::User { payload, .. } => heard[payload[0] as usize].push(at - began),
            Seen::Member { change: MemberChange::Failed, at, .. } if survives(at) => outcome.wrong += 1,
            _ => {}
        });
        let live = |i: &usize| fleet.node(*i).map_or(0, |node| node.live());
        if outcome.buried.is_none() && survivors.iter().all(|i| live(i) <= survivors.len()) {
            outcome.buried = Some((fleet.now() - began) as f64 / 1e6);
        }
        // Its origin's own application was handed it while it was fired.
        let all = heard.iter().all(|times| times.len() + 1 >= survivors.len());
        if outcome.buried.is_some() && all {
            break;
        }
    }
    for (fired, times) in FIRED.iter().zip(&mut heard) {
        times.sort_unstable();
        let at = fired * SECOND;
        let soon = times.iter().filter(|time| **time <= at + SECOND).count() + 1;
        let last = times.get(survivors.len().saturating_sub(2)).map(|time| (time - at) as f64 / 1e6);
        outcome.events.push((soon, last));
    }
    outcome
}

//! A run that goes wrong, made as small as possible: what is left of it is what matters.

use crate::chaos::{Failure, Plan, Profile, run};
use crate::fleet::Size;

/// Runs that one shrinking may take.
const RUNS: u32 = 400;
/// How often a smaller plan is tried, each time with other luck.
const TRIES: u64 = 4;

/// A plan that still goes wrong and is smaller, as far as 400 runs go: with fewer machines, faults, names and events,
/// weaker and shorter.
pub fn shrink(mut failure: Failure) -> Failure {
    let mut runs = 0;
    'smaller: loop {
        for plan in smaller(&failure.plan) {
            for luck in 0..TRIES {
                runs += 1;
                if runs > RUNS {
                    return failure;
                }
                // Any plan's own seed comes first: the same luck is the likeliest to fail again.
                let seed = plan.seed.wrapping_add(luck << 32);
                if let Err(found) = run(&Plan { seed, ..plan.clone() }) {
                    failure = *found;
                    continue 'smaller;
                }
            }
        }
        return failure;
    }
}

/// Plans that are smaller in one way, the boldest first.
fn smaller(plan: &Plan) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut offer = |change: &dyn Fn(&mut Plan)| {
        let mut other = plan.clone();
        change(&mut other);
        if other != *plan {
            plans.push(other);
        }
    };
    let faults = plan.faults.clone().each_mut().len();
    for fault in 0..faults {
        offer(&|plan| *plan.faults.each_mut()[fault] = 0.0);
    }
    // Three machines are the fewest of which two can agree about the third.
    for (part, of) in [(1, 2), (3, 4)] {
        offer(&|plan| plan.nodes = (plan.nodes * part / of).max(3));
        offer(&|plan| plan.seconds = (plan.seconds * part as u64 / of as u64).max(1));
    }
    offer(&|plan| plan.nodes = (plan.nodes - 1).max(3));
    offer(&|plan| plan.size = Size::Server);
    offer(&|plan| (plan.profile, plan.latency) = (Profile::Lan, 0));
    offer(&|plan| plan.latency /= 2);
    offer(&|plan| plan.coalesced = 0.0);
    offer(&|plan| plan.names = 1);
    offer(&|plan| plan.queries = 0.0);
    offer(&|plan| plan.queries /= 2.0);
    offer(&|plan| plan.rate = (plan.rate / 2.0).max(0.25));
    for fault in 0..faults {
        offer(&|plan| {
            let strength = plan.faults.each_mut().into_iter().nth(fault);
            strength.into_iter().filter(|strength| **strength > 0.05).for_each(|strength| *strength /= 2.0);
        });
    }
    plans
}

//! Which seeds of the wide world catch a rule that is left out, if any do: so the world is seen to draw what the rules are for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serf_nostd::config::Rule;
use sim::chaos::{Plan, run};

/// Of a profile so many seeds are tried at most.
const SEEDS: u64 = 60;

/// How the absence of a rule is noticed.
enum Caught {
    /// By the judge, in fleets that have these kinds of faults and shapes.
    By(&'static [&'static str]),
    /// By a scenario of its own only: what the rule is for the world draws too rarely, or it costs what the judge does not weigh.
    Scenario,
}

/// Of each rule. A new one has to say so here.
fn caught(rule: Rule) -> Caught {
    use Caught::{By, Scenario};
    match rule {
        Rule::Floor => By(&["boards", "drivers"]),
        Rule::OriginBoot => By(&["seeds", "reboots"]),
        Rule::OriginHold => By(&["partitions", "boots"]),
        Rule::MemberRounds => By(&["small"]),
        Rule::Refute => By(&["freezes"]),
        Rule::AppQuota => By(&["deaf", "small"]),
        Rule::CoalesceOrder => By(&["drivers"]),
        Rule::CoalesceMemory => By(&["nats", "small"]),
        Rule::CoalesceEarly => By(&["boards", "freezes"]),
        Rule::EvictGone => By(&["boards"]),
        Rule::Dedupe => By(&["one_way"]),
        Rule::Pull => By(&["one_way"]),
        Rule::EventHealing => By(&["muted", "freezes"]),
        Rule::MemberHealing => By(&["seeds"]),
        Rule::Reconnect => By(&["seeds", "leaves"]),
        Rule::JoinAbove => By(&["reboots", "boots"]),
        Rule::FirstContact => By(&["reboots", "moves"]),
        Rule::History => By(&["boards", "loss", "freezes"]),
        Rule::ValueHealing => By(&["merges", "nats"]),
        Rule::Lost => By(&["small", "joins", "freezes"]),
        Rule::Instance => By(&["twins"]),
        Rule::OwnWord => By(&["forger", "merges"]),
        Rule::Elder => By(&["twins", "seeds"]),
        Rule::Clamp
        | Rule::SourceRate
        | Rule::PullRoom
        | Rule::Freeze
        | Rule::Isolation
        | Rule::Doubt
        | Rule::ClockPace
        | Rule::Grace
        | Rule::FleetNews
        | Rule::NamedSeeds
        | Rule::ToldTwice
        | Rule::Restamp
        | Rule::SendAgain
        | Rule::RoundTrip
        | Rule::PartHealing
        | Rule::Unheld
        | Rule::Dispute
        | Rule::LeaverLeft
        | Rule::Tombstone
        | Rule::OwnLink
        | Rule::Thaw
        | Rule::FailedFirst
        | Rule::LeftToo
        | Rule::GoneElsewhere
        | Rule::ComeDown => Scenario,
    }
}

/// The first seed of these at which the judge finds something wrong without the rule.
fn first(rule: Rule, kinds: &[&str]) -> Option<(u64, String)> {
    let (next, found) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        while !found.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                break;
            }
            let plan = Plan::of_kinds(seed, kinds);
            if let Err(failure) = run(&plan.clone().without(rule))
                && run(&plan).is_ok()
            {
                found.store(true, Ordering::Relaxed);
                return Some((seed, failure.text));
            }
        }
        None
    };
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let found =
            workers.into_iter().filter_map(|worker| worker.join().expect("a run's panic is its failure"));
        found.min()
    })
}

#[test]
fn each_rule_is_caught_by_its_profile_of_seeds() {
    let mut missed = Vec::new();
    for rule in Rule::ALL {
        match caught(rule) {
            Caught::Scenario => println!("{rule:?}: by its scenario"),
            Caught::By(kinds) => match first(rule, kinds) {
                Some((seed, text)) => {
                    println!(
                        "{rule:?}: seed {seed} of {}: {}",
                        kinds.join(", "),
                        text.lines().next().unwrap_or("")
                    );
                }
                None => missed.push(format!("{rule:?}: none of {SEEDS} seeds of {}", kinds.join(", "))),
            },
        }
    }
    assert!(missed.is_empty(), "nobody notices that these are missing:\n{}", missed.join("\n"));
}

//! Which seeds of the wide world catch a rule that is left out, if any do: so the world is seen to draw what the rules are for.

use std::ops::ControlFlow;

use fleet_tests::chaos::{Plan, run};
use fleet_tests::cores::each_seed;
use serf_nostd::rules::Rule;

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
        Rule::OriginHold => By(&["loss", "partitions", "reboots"]),
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
        Rule::OwnWord => By(&["boots", "merges"]),
        Rule::Elder => By(&["twins", "seeds"]),
        Rule::Clamp
        | Rule::SourceRate
        | Rule::PullRoom
        | Rule::Reminders
        | Rule::Freeze
        | Rule::Isolation
        | Rule::PreSuspicion
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
        | Rule::ComeDown
        | Rule::Strangers
        | Rule::Moves
        | Rule::Windows
        | Rule::Search
        | Rule::BothHalves
        | Rule::Periods
        | Rule::Witnesses
        | Rule::Freshness => Scenario,
    }
}

/// The first seed of these at which the judge finds something wrong without the rule.
fn first(rule: Rule, kinds: &[&str]) -> Option<(u64, String)> {
    let found = each_seed(0..SEEDS, |seed, found: &mut Option<(u64, String)>| {
        let plan = Plan::of_kinds(seed, kinds);
        match run(&plan.clone().without(rule)) {
            Err(failure) if run(&plan).is_ok() => {
                *found = Some((seed, failure.text));
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    });
    found.into_iter().flatten().min()
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

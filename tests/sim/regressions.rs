//! What random faults have found, each by the smallest plan that showed it.

use sim::chaos::{Faults, Plan, run};
use sim::fleet::Size;

/// # Panics
/// If a promise is broken under this plan.
#[track_caller]
fn holds(plan: &Plan) {
    assert_eq!(run(plan).map(|_| ()).map_err(|failure| failure.text), Ok(()));
}

/// A machine that boots behind a cut starts with its side's clock as its floor. What the other side fires meanwhile may be
/// below it: the machine was not connected to that, and nobody may count it as lost.
#[test]
fn a_newcomer_behind_a_cut_misses_what_is_below_its_sides_clock() {
    let faults = Faults { partitions: 0.205, reboots: 0.9, deaf: 0.0475, ..Faults::default() };
    holds(&Plan {
        seed: 4_294_967_338,
        nodes: 26,
        size: Size::Server,
        seconds: 47,
        names: 1,
        rate: 2.0,
        coalesced: 0.0,
        faults,
        ..Plan::calm(0)
    });
}

/// A machine that boots behind a cut, all alone, meets the fleet when that heals: it is there for what is fired from then on,
/// and brings along what it has fired itself.
#[test]
fn a_newcomer_that_starts_alone_is_there_when_it_meets_the_others() {
    let faults = Faults { partitions: 0.036_25, reboots: 0.19, garbage: 0.44, ..Faults::default() };
    holds(&Plan {
        seed: 12_884_906_659,
        nodes: 5,
        size: Size::Server,
        seconds: 38,
        names: 1,
        rate: 8.0,
        coalesced: 0.5,
        faults,
        ..Plan::calm(0)
    });
}

/// A small machine has missed hundreds of events, and takes in what its rate allows. What it wants to fire meanwhile it may.
#[test]
fn who_catches_up_is_not_refused() {
    let faults = Faults {
        loss: 0.17,
        reorder: 0.455,
        freezes: 0.485,
        deaf: 0.7,
        garbage: 0.48,
        floods: 0.045,
        ..Faults::default()
    };
    holds(&Plan {
        seed: 4_294_976_859,
        nodes: 6,
        size: Size::Mixed,
        seconds: 52,
        names: 1,
        rate: 8.0,
        coalesced: 0.5,
        faults,
        ..Plan::calm(0)
    });
}

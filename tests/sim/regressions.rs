//! What random faults have found, each by the smallest plan that showed it.

use sim::chaos::{Faults, Plan, run};
use sim::fleet::Size;

/// A machine that boots behind a cut starts with its side's clock as its floor. What the other side fires meanwhile may be
/// below it: the machine was not connected to that, and nobody may count it as lost.
#[test]
fn a_newcomer_behind_a_cut_misses_what_is_below_its_sides_clock() {
    let faults = Faults { partitions: 0.205, reboots: 0.9, deaf: 0.0475, ..Faults::default() };
    let plan = Plan {
        seed: 4_294_967_338,
        nodes: 26,
        size: Size::Server,
        seconds: 47,
        names: 1,
        rate: 2.0,
        coalesced: 0.0,
        faults,
        without: None,
    };
    assert_eq!(run(&plan).map(|_| ()).map_err(|failure| failure.text), Ok(()));
}

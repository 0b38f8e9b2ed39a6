//! What of the figures is promised: nothing is missed, and idling costs the same in any fleet. The rest of them is
//! `tests/run simbench`'s.

use sim::measure::{LOSSES, at_rest};

#[test]
fn a_thousand_nodes_miss_no_event_at_any_loss_and_idle_like_ten() {
    let (small, large) = (at_rest(10), at_rest(1_000));
    for loss in LOSSES {
        assert_eq!(large[&format!("missed_{loss}")], 0.0, "at {loss} % loss");
    }
    let ratio = large["idle_bytes"] / small["idle_bytes"];
    assert!((0.9..=1.1).contains(&ratio), "idle bytes differ by more than a tenth: {ratio:.2}");
}

//! Nineteen of twenty nodes die at once.

use fleet_tests::collapse::{FIRED, collapse};

use crate::table::Goal::{AtMost, None};
use crate::table::{goal, goals};

const NODES: [usize; 2] = [1_000, 10_000];
const PERCENT: usize = 95;
/// Seconds until all survivors have an event.
const REACHED: f64 = 60.0;
/// Seconds until they know all dead.
const BURIED: f64 = 120.0;

/// What events reach, and when the dead are known to be.
pub fn table() -> String {
    let mut text = goals(&format!("{PERCENT} % of all nodes lose power at once"));
    for nodes in NODES {
        let outcome = collapse(1, nodes, PERCENT, Option::None);
        for (fired, (soon, all)) in FIRED.iter().zip(&outcome.events) {
            let share = *soon as f64 / outcome.survivors as f64 * 100.0;
            let label = format!("{nodes} nodes, an event {fired} s later");
            text += &goal(&format!("{label}: at survivors within a second (%)"), share, None);
            text +=
                &goal(&format!("{label}: at all survivors (s)"), all.unwrap_or(f64::NAN), AtMost(REACHED));
        }
        let buried = outcome.buried.unwrap_or(f64::NAN);
        text += &goal(
            &format!("{nodes} nodes: all dead have failed for all survivors (s)"),
            buried,
            AtMost(BURIED),
        );
        let wrong = outcome.wrong as f64;
        text += &goal(&format!("{nodes} nodes: survivors told to have failed"), wrong, AtMost(0.0));
    }
    text + "\nHyParView's authors, 10,000 nodes whose connections break at once: some 90 % of the survivors are reached.\n"
}

//! Rapid's two adversities, at their size.

use fleet_tests::rapid::{Adversity, adversity};

use crate::table::Goal::{AtLeast, AtMost, None};
use crate::table::{goal, goals};

const NODES: usize = 1_000;
/// Turns of 20 s.
const TURNS: usize = 9;

/// Both.
pub fn table() -> String {
    let mut text =
        goals(&format!("Rapid's adversities: {NODES} nodes, one of a hundred is faulty for three minutes"));
    let cases = [
        (Adversity::FlipFlop, "deaf for 20 s of 40"),
        (Adversity::Losing, "four of five of their datagrams lost"),
    ];
    for (what, label) in cases {
        let outcome = adversity(1, NODES, what, TURNS);
        let [by_healthy, by_faulty] = outcome.healthy_failed.map(|count| count as f64);
        text +=
            &goal(&format!("{label}: healthy ones told to have failed"), by_healthy + by_faulty, AtMost(0.0));
        text += &goal(
            &format!("{label}: verdicts about a faulty one at each healthy one"),
            outcome.verdicts,
            None,
        );
        let resolved = outcome.resolved as f64 / outcome.faulty as f64 * 100.0;
        text += &goal(
            &format!("{label}: faulty ones of whom all healthy ones think the same at the end (%)"),
            resolved,
            AtLeast(100.0),
        );
        text += &goal(
            &format!("{label}: all agree a minute after it (1: yes)"),
            f64::from(outcome.heals),
            AtLeast(1.0),
        );
    }
    text + "\nRapid's authors saw memberlist never remove all of the faulty ones, and views differ. Theirs are real machines, these are simulated.\n"
}

//! What the judge reads of a node that only the core can tell: each in one function.

use serf_nostd::{Node, Stats};

// core: becomes `node.levels().fleet` as soon as nodes tell it.
/// Which fleet a node is in: 0 while it has met nobody since it booted. `before`: what this said last in the same boot.
pub(super) fn fleet(node: &Node<'_>, before: u32) -> u32 {
    (before != 0 || node.live() > 1) as u32
}

// core: becomes `stats.event_gaps` as soon as nodes count it.
/// Comparisons which showed that events at or below a node's floor differ from a peer's.
fn event_gaps(_: &Stats) -> u64 {
    0
}

/// How often a node has counted that an event is lost to it: refused, or skipped by a floor, or held by nobody.
pub(super) fn losses(stats: &Stats) -> u64 {
    event_gaps(stats) + stats.too_old + stats.pull_miss + stats.events_too_long + stats.shed + stats.app_full
}

/// How often a node has counted that an event of its own may have come to nobody.
pub(super) fn own_losses(stats: &Stats) -> u64 {
    stats.own_expired + stats.own_unconfirmed
}

//! Which of a node's counters say what, to the judge.

use serf_nostd::Stats;

/// How often a node has counted that an event is lost to it: refused, or skipped by a floor, or held by nobody.
pub(super) fn losses(stats: &Stats) -> u64 {
    stats.event_gaps + stats.too_old + stats.pull_miss + stats.events_too_long + stats.shed + stats.app_full
}

/// How often a node has counted that an event of its own may have come to nobody.
pub(super) fn own_losses(stats: &Stats) -> u64 {
    stats.own_expired + stats.own_unconfirmed
}

//! Real agents as their users see them: handlers, command line, signals, exit codes.
//!
//! `SERF_BIN=/usr/bin/serf cargo test -p fleet-tests --test process` shows what Go's Serf makes of the same tests; some
//! describe what it is known to get wrong (one value per name after a tie, bursts) and fail there.

mod bursts;
mod clocks;
mod coalescing;
mod crashes;
mod disk;
mod docs;
mod door;
mod events;
mod harness;
mod joining;
mod lifecycle;
mod limits;
mod logs;
mod network;
mod once;
mod overload;
mod prometheus;
mod queries;
mod sealed;
mod seeds;
mod seen;
mod shipped;
mod siege;
mod signed;
mod snapshot;
mod startup;
mod statsd;
mod systemd;
mod tags;

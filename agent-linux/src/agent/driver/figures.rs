//! The one table of what `serf info` shows in numbers and `/metrics` tells. The core's counters are told of where it has them.

use serf_nostd::Stats;

use super::Driver;
use crate::agent::figures::{Figure, Figures, Kind, Timing};
use crate::agent::log::lines_lost;
use crate::agent::snapshot::Recorder;

/// Sections with their rows: `key as metric: kind = value`, the comment above being what it means.
macro_rules! table {
    ($($section:ident { $(#[doc = $meaning:literal] $key:ident $(as $metric:ident)?: $kind:ident = $value:expr;)* })*) => {
        vec![$($(Figure {
            section: stringify!($section),
            key: stringify!($key),
            metric: table!(name $key $($metric)?),
            kind: Kind::$kind,
            meaning: $meaning.trim(),
            value: $value as u64,
        },)*)*]
    };
    (name $key:ident) => { stringify!($key) };
    (name $key:ident $metric:ident) => { stringify!($metric) };
}

impl Driver<'_> {
    /// All numbers.
    pub(super) fn figures(&self) -> Figures {
        let (core, scripts) = (self.node.timings(), self.handlers.timings());
        let timing = |metric, meaning, taken| Timing { metric, meaning, taken };
        Figures {
            node: self.node.this().name.to_owned(),
            leaving: !self.leaving.is_empty(),
            numbers: self.numbers(),
            timings: vec![
                timing("probe_round_trip", "From a probe to its direct answer.", core.round_trips),
                timing(
                    "event_spread",
                    "From when an event or query of this agent's was sent until it had come back from three others, \
                     or from all if there are fewer.",
                    core.spread,
                ),
                timing(
                    "handler_wait",
                    "Events in the queue, until a handler began with them.",
                    scripts.waited,
                ),
                timing("handler_run", "Handlers, from their start to their end.", scripts.ran),
            ],
        }
    }

    pub(super) fn numbers(&self) -> Vec<Figure> {
        let (gauges, scripts) = (self.node.gauges(), self.handlers.counters());
        let snapshot = self.recorder.as_ref().map(Recorder::counters).unwrap_or_default();
        let (once, traffic, changes) = (&self.turns.once, &self.traffic, &self.changes);
        let mut numbers = table! {
            serf {
                /// Members known, this agent included.
                members: Gauge = gauges.members;
                /// Members that have failed.
                failed as members_failed: Gauge = gauges.failed;
                /// Members that have left.
                left as members_left: Gauge = gauges.left;
                /// How much this agent doubts its own health (Lifeguard): 0 is well.
                health_score: Gauge = gauges.awareness;
                /// Lamport time of the next intent.
                member_time: Gauge = gauges.member_time;
                /// Lamport time of the next event.
                event_time: Gauge = gauges.event_time;
                /// One more than the Lamport time of the last query.
                query_time: Gauge = gauges.query_time;
                /// Own events that others have not shown to have.
                event_queue: Gauge = gauges.own;
                /// News about members still to be sent.
                intent_queue: Gauge = gauges.gossip;
                /// Whether datagrams are sealed.
                encrypted: Switch = self.node.keys().next().is_some();
                /// Times that this agent's coordinate began anew.
                coordinate_resets: Counter = self.node.coordinate_resets();
            }
            levels {
                /// Events held back for later ones of their name.
                coalescing: Gauge = gauges.coalescing;
                /// Events at or below this Lamport time are not delivered any more.
                event_floor: Gauge = gauges.event_floor;
                /// Identities of events remembered.
                events_seen: Gauge = gauges.seen;
                /// Events that wait for the agent to take them.
                events_waiting: Gauge = gauges.waiting;
                /// Events whose handlers run once in the fleet, and of which nobody has told that they are done.
                once_waiting: Gauge = once.len();
                /// Events and queries of this agent's users that wait for room.
                requests_waiting: Gauge = self.pending.len();
                /// The snapshot, in bytes.
                snapshot_bytes: Gauge = snapshot.bytes;
                /// Events that wait to stand in the snapshot.
                snapshot_waiting: Gauge = snapshot.waiting;
                /// Places in use for events, and for messages about members that are not held.
                slots: Gauge = gauges.slots;
            }
            handlers {
                /// Handlers started, or tried to.
                run as handlers_run: Counter = scripts.run;
                /// Handlers that did not start, or ended with another code than 0 or by a signal.
                failed as handlers_failed: Counter = scripts.failed;
                /// Handlers killed for running longer than allowed.
                timed_out as handlers_timed_out: Counter = scripts.timed_out;
                /// Events lost for a handler that was too far behind.
                lost as handlers_lost: Counter = scripts.lost;
                /// Runs of handlers still to come.
                waiting as handlers_waiting: Gauge = scripts.waiting;
                /// Handlers running now.
                running as handlers_running: Gauge = scripts.running;
            }
            counters {
                /// Members that have come, or come back.
                member_joins: Counter = changes.joins;
                /// Members that have left.
                member_leaves: Counter = changes.leaves;
                /// Members that were declared failed.
                member_failures: Counter = changes.failures;
                /// Members that have changed their tags.
                member_updates: Counter = changes.updates;
                /// Events and queries of this agent's users that were refused, as there was no room for them for 5 s.
                events_refused: Counter = self.refused;
                /// Datagrams for which the socket had no room.
                datagrams_unsent: Counter = traffic.unsent;
                /// Datagrams that the system refused to send.
                send_errors: Counter = traffic.send_errors;
                /// Errors of the system where datagrams are received.
                receive_errors: Counter = traffic.receive_errors;
                /// Handlers that run once, taken over from a member that had failed.
                once_taken_over: Counter = once.taken_over;
                /// Events whose handlers run once, forgotten as more came.
                once_forgotten: Counter = once.forgotten;
                /// Times that the snapshot was replaced by the fewest lines that say the same.
                snapshot_compactions: Counter = snapshot.compactions;
                /// Times that the snapshot could not be written.
                snapshot_errors: Counter = snapshot.errors;
                /// Lines of the log that could not be written.
                log_lines_lost: Counter = lines_lost();
            }
        };
        let mut meanings = Stats::MEANINGS.iter();
        self.node.stats().each(|name, value| {
            let meaning = meanings.next().map_or("", |meaning| meaning.trim());
            let (section, kind) = ("counters", Kind::Counter);
            numbers.push(Figure { section, key: name, metric: name, kind, meaning, value });
        });
        numbers
    }
}

//! `serf info`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::{Driver, news};
use crate::agent::model::{Change, Why};
use crate::agent::tags;

type Section = BTreeMap<String, String>;

impl Driver<'_> {
    /// Serf's sections with Serf's keys, and behind them everything that is counted or bounded here.
    pub(super) fn report(&self) -> BTreeMap<String, Section> {
        let (gauges, counters) = (self.node.gauges(), self.handlers.counters());
        let serf = section([
            ("coordinate_resets", self.node.coordinate_resets().to_string()),
            ("encrypted", self.node.keys().next().is_some().to_string()),
            ("event_queue", gauges.own.to_string()),
            ("event_time", gauges.event_time.to_string()),
            ("failed", gauges.failed.to_string()),
            ("health_score", gauges.awareness.to_string()),
            ("intent_queue", gauges.gossip.to_string()),
            ("left", gauges.left.to_string()),
            ("member_time", gauges.member_time.to_string()),
            ("members", gauges.members.to_string()),
            ("query_queue", 0.to_string()),
            ("query_time", gauges.query_time.to_string()),
        ]);
        let mut levels = section([
            ("coalescing", gauges.coalescing.to_string()),
            ("event_floor", gauges.event_floor.to_string()),
            ("events_seen", gauges.seen.to_string()),
            ("events_waiting", gauges.waiting.to_string()),
            ("once_waiting", self.turns.once.len().to_string()),
            ("requests_waiting", self.pending.len().to_string()),
            ("slots", gauges.slots.to_string()),
        ]);
        let handlers = section([
            ("failed", counters.failed.to_string()),
            ("lost", counters.lost.to_string()),
            ("run", counters.run.to_string()),
            ("running", counters.running.to_string()),
            ("timed_out", counters.timed_out.to_string()),
            ("waiting", counters.waiting.to_string()),
        ]);
        let mut counted = section([
            ("datagrams_unsent", self.traffic.unsent.to_string()),
            ("send_errors", self.traffic.send_errors.to_string()),
            ("receive_errors", self.traffic.receive_errors.to_string()),
            ("once_taken_over", self.turns.once.taken_over.to_string()),
            ("once_forgotten", self.turns.once.forgotten.to_string()),
            ("log_lines_lost", crate::agent::log::lines_lost().to_string()),
        ]);
        if let Some(recorder) = &self.recorder {
            let counters = recorder.counters();
            levels.extend(section([
                ("snapshot_bytes", counters.bytes.to_string()),
                ("snapshot_waiting", counters.waiting.to_string()),
            ]));
            counted.extend(section([
                ("snapshot_compactions", counters.compactions.to_string()),
                ("snapshot_errors", counters.errors.to_string()),
            ]));
        }
        self.node.stats().each(|name, count| drop(counted.insert(name.to_owned(), count.to_string())));
        let this = self.node.this();
        BTreeMap::from([
            ("agent".to_owned(), section([("name", this.name.to_owned())])),
            ("counters".to_owned(), counted),
            ("event_handlers".to_owned(), self.handlers_by_filter()),
            ("handlers".to_owned(), handlers),
            ("levels".to_owned(), levels),
            ("runtime".to_owned(), runtime()),
            ("serf".to_owned(), serf),
            ("tags".to_owned(), tags::decode(this.tags)),
        ])
    }

    /// How a member came to its state.
    pub(super) fn why(&self, node: &str) -> Option<Why> {
        let member = news::member(&self.node.member(node)?);
        let (now, wall) = (self.clock.now(), SystemTime::now());
        let changes = self.node.changes(node).map(|change| {
            let ago = Duration::from_micros(now.as_micros().saturating_sub(change.at.as_micros()));
            Change {
                at: wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH),
                what: change.what,
                by: change.by.map(str::to_owned),
                number: change.number,
            }
        });
        Some(Why { status: member.status, changes: changes.collect() })
    }

    fn handlers_by_filter(&self) -> Section {
        let mut handlers = Section::new();
        for spec in self.handlers.specs() {
            for (kind, name) in spec.filter.labels() {
                let once = if spec.once { "once:" } else { "" };
                handlers.insert(format!("{once}{kind}:{name}"), spec.script.clone());
            }
        }
        handlers
    }
}

fn section<const N: usize>(pairs: [(&str, String); N]) -> Section {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// As far as it makes sense without Go; processors have its names.
fn runtime() -> Section {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    section([
        ("arch", arch.to_owned()),
        ("cpu_count", processors.to_string()),
        ("os", std::env::consts::OS.to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ])
}

//! `serf info`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::{Driver, news};
use crate::agent::model::{Change, Stats, Why};
use crate::agent::tags;

type Section = BTreeMap<String, String>;

impl Driver<'_> {
    /// Serf's sections with Serf's keys, and behind them everything that is counted or bounded here.
    pub(super) fn report(&self) -> Stats {
        let this = self.node.this();
        let mut report = BTreeMap::from([
            ("agent".to_owned(), section([("name", this.name.to_owned())])),
            ("event_handlers".to_owned(), self.handlers_by_filter()),
            ("runtime".to_owned(), runtime()),
            // What Go's agent has queues of.
            ("serf".to_owned(), section([("query_queue", 0.to_string())])),
            ("tags".to_owned(), tags::decode(this.tags)),
        ]);
        for figure in self.numbers() {
            let section = report.entry(figure.section.to_owned()).or_default();
            section.insert(figure.key.to_owned(), figure.shown());
        }
        report
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

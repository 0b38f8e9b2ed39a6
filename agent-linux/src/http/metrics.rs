//! All numbers in the formats of Prometheus: OpenMetrics 1.0, and the text format 0.0.4 that came before it.

use std::fmt::Write;

use serf_nostd::Histogram;

use crate::agent::figures::{Figures, Kind};

/// What a scraper can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// 0.0.4.
    Text,
}

impl Format {
    /// The better one of those that the values of `Accept` name.
    pub fn accepted<'a>(accept: impl IntoIterator<Item = &'a [u8]>) -> Format {
        let names = |value: &[u8]| {
            String::from_utf8_lossy(value).to_ascii_lowercase().contains("application/openmetrics-text")
        };
        if accept.into_iter().any(names) { Format::OpenMetrics } else { Format::Text }
    }

    /// Its name in `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// All numbers of an agent. There is one label, the name of the node, at one metric.
pub fn text(figures: &Figures, format: Format) -> String {
    let open = format == Format::OpenMetrics;
    let mut out = String::with_capacity(32 << 10);
    head(
        &mut out,
        if open { "serf_agent" } else { "serf_agent_info" },
        if open { "info" } else { "gauge" },
        "This agent.",
    );
    let (node, version) = (escaped(&figures.node), env!("CARGO_PKG_VERSION"));
    line(&mut out, format_args!("serf_agent_info{{node=\"{node}\",version=\"{version}\"}} 1"));
    for figure in &figures.numbers {
        let name = format!("serf_{}", figure.metric);
        match figure.kind {
            Kind::Counter => {
                let sample = format!("{name}_total");
                head(&mut out, if open { &name } else { &sample }, "counter", figure.meaning);
                line(&mut out, format_args!("{sample} {}", figure.value));
            }
            Kind::Gauge | Kind::Switch => {
                head(&mut out, &name, "gauge", figure.meaning);
                line(&mut out, format_args!("{name} {}", figure.value));
            }
        }
    }
    for timing in &figures.timings {
        let name = format!("serf_{}_seconds", timing.metric);
        head(&mut out, &name, "histogram", timing.meaning);
        if open {
            line(&mut out, format_args!("# UNIT {name} seconds"));
        }
        histogram(&mut out, &name, &timing.taken);
    }
    if open {
        out += "# EOF\n";
    }
    out
}

fn head(out: &mut String, name: &str, kind: &str, meaning: &str) {
    line(out, format_args!("# HELP {name} {}", escaped(meaning)));
    line(out, format_args!("# TYPE {name} {kind}"));
}

fn histogram(out: &mut String, name: &str, taken: &Histogram) {
    for (bound, count) in taken.up_to() {
        line(out, format_args!("{name}_bucket{{le=\"{:?}\"}} {count}", seconds(bound)));
    }
    line(out, format_args!("{name}_bucket{{le=\"+Inf\"}} {}", taken.count()));
    line(out, format_args!("{name}_sum {:?}", seconds(taken.sum())));
    line(out, format_args!("{name}_count {}", taken.count()));
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = writeln!(out, "{text}");
}

/// A name or a text, between quotes and on its line.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::figures::{Figure, Timing};

    fn figures() -> Figures {
        let mut taken = Histogram::default();
        [90, 2_000_000, 200_000_000].into_iter().for_each(|micros| taken.note(micros));
        let figure =
            |metric, kind, value| Figure { section: "s", key: "k", metric, kind, meaning: "So many.", value };
        Figures {
            node: "a\"\\\n".to_owned(),
            leaving: false,
            numbers: vec![figure("events_new", Kind::Counter, 7), figure("members", Kind::Gauge, 3)],
            timings: vec![Timing { metric: "trip", meaning: "So long.", taken }],
        }
    }

    /// The parts in which the formats differ, and what they have in common.
    #[test]
    fn each_format_is_written_as_it_is_specified() {
        let open = text(&figures(), Format::OpenMetrics);
        let begins = "# HELP serf_agent This agent.\n# TYPE serf_agent info\nserf_agent_info{node=\"a\\\"\\\\\\n\",version=\"";
        assert!(open.starts_with(begins), "{open}");
        assert!(open.contains(
            "# HELP serf_events_new So many.\n# TYPE serf_events_new counter\nserf_events_new_total 7\n"
        ));
        assert!(
            open.contains("# TYPE serf_trip_seconds histogram\n# UNIT serf_trip_seconds seconds\n"),
            "{open}"
        );
        let ends = "serf_trip_seconds_bucket{le=\"+Inf\"} 3\nserf_trip_seconds_sum 202.00009\n\
                    serf_trip_seconds_count 3\n# EOF\n";
        assert!(open.ends_with(ends), "{open}");

        let old = text(&figures(), Format::Text);
        assert!(
            old.starts_with("# HELP serf_agent_info This agent.\n# TYPE serf_agent_info gauge\n"),
            "{old}"
        );
        assert!(old.contains("# TYPE serf_events_new_total counter\nserf_events_new_total 7\n"), "{old}");
        assert!(old.contains("# TYPE serf_members gauge\nserf_members 3\n"), "{old}");
        assert!(
            old.contains("serf_trip_seconds_bucket{le=\"1.0\"} 1\nserf_trip_seconds_bucket{le=\"2.5\"} 2\n"),
            "{old}"
        );
        assert!(!old.contains("UNIT") && !old.contains("EOF"), "{old}");
    }

    #[test]
    fn openmetrics_is_for_who_can_read_it() {
        let prometheus =
            b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert_eq!(Format::accepted([&prometheus[..]]), Format::OpenMetrics);
        for accept in [&b"*/*"[..], b"text/plain", b"\xff"] {
            assert_eq!(Format::accepted([accept]), Format::Text);
        }
        assert_eq!(Format::accepted([]), Format::Text);
    }
}

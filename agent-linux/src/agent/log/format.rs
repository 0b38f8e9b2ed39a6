//! What a line of the log looks like: Serf's, an object of JSON, or an entry of the journal.

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{Local, SecondsFormat};
use log::Level;
use serde::Serialize;

use super::journal;

/// Of a longer text the log shows the beginning, in bytes: a request can name a thousand things that go wrong. A script's
/// output fits.
const LONGEST: usize = 16 << 10;

/// In front of every line on the terminal.
const MARGIN: &str = "    ";

/// How lines are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// `    YYYY/MM/DD HH:MM:SS [LEVEL] component: text`, in local time.
    Text,
    /// An object on each line: `time` (RFC 3339), `level`, `target`, `node`, `message`.
    Json {
        /// This node's name.
        node: String,
    },
    /// Fields for systemd's journal: those of every program, `SERF_COMPONENT` and `SERF_NODE`.
    Journald {
        /// This node's name.
        node: String,
    },
}

#[derive(Serialize)]
struct Entry<'a> {
    time: String,
    level: &'static str,
    target: &'a str,
    node: &'a str,
    message: &'a str,
}

impl Format {
    /// As `-log-format` has it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Json { .. } => "json",
            Format::Journald { .. } => "journald",
        }
    }

    /// One line with its end, or one entry.
    pub fn written(&self, level: Level, component: &str, text: &str) -> Vec<u8> {
        match self {
            Format::Text => line(level, component, text).into_bytes(),
            Format::Journald { node } => journal::entry(level, component, node, text),
            Format::Json { node } => {
                let entry = Entry {
                    time: Local::now().to_rfc3339_opts(SecondsFormat::Micros, false),
                    level: level_name(level),
                    target: component,
                    node,
                    message: &whole(text),
                };
                let line = serde_json::to_string(&entry).expect("texts are always encodable");
                (line + "\n").into_bytes()
            }
        }
    }
}

pub(super) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Trace => "TRACE",
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERR",
    }
}

/// How grave it is, in syslog's numbers.
pub(super) fn severity(level: Level) -> usize {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// A line as Serf writes it, with its end.
pub(super) fn line(level: Level, component: &str, text: &str) -> String {
    let mut line = String::with_capacity(48 + text.len().min(LONGEST));
    let text = whole(text);
    // What is said of members, whose names may hold anything, stays on its line; others' lists have several.
    let shown =
        if ["serf", "memberlist"].contains(&component) { in_one_line(&text) } else { printable(&text) };
    line.push_str(MARGIN);
    with_second(|now| line.push_str(now));
    for part in [" [", level_name(level), "] ", component, ": ", &shown, "\n"] {
        line.push_str(part);
    }
    line
}

/// The same as monitors get it: without what is in front of it on the terminal, and its end.
pub(super) fn told(line: &str) -> &str {
    &line[MARGIN.len()..line.len() - 1]
}

/// This second in local time: thousands of lines in it have the same text.
fn with_second<R>(use_it: impl FnOnce(&str) -> R) -> R {
    thread_local! {
        static SECOND: RefCell<(u64, String)> = RefCell::default();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now || text.is_empty() {
            (*second, *text) = (now, Local::now().format("%Y/%m/%d %H:%M:%S").to_string());
        }
        use_it(text)
    })
}

/// A text without its line's end; of one that is too long the beginning, and how long it was.
pub(super) fn whole(text: &str) -> Cow<'_, str> {
    let cut = (0..=text.len().min(LONGEST)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    if text.len() > LONGEST {
        return format!("{} ... ({} bytes in all)", &text[..cut], text.len()).into();
    }
    text.strip_suffix('\n').unwrap_or(text).into()
}

/// Names, payloads and script output come from anyone: what would steer a terminal is written out instead. Tabs
/// and line ends stay, as Serf shows them.
pub fn printable(text: &str) -> Cow<'_, str> {
    written_out(text, |c| c.is_control() && c != '\n' && c != '\t')
}

/// The same for what has to stay in its column and on its line.
pub fn in_one_line(text: &str) -> Cow<'_, str> {
    written_out(text, char::is_control)
}

/// The text, with these characters as Rust writes them.
fn written_out(text: &str, these: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&these) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if these(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters() {
        let shown = line(Level::Info, "agent", &"é".repeat(LONGEST));
        let shown = told(&shown);
        let end = format!("{} ... ({} bytes in all)", "é".repeat(LONGEST / 2), 2 * LONGEST);
        assert!(shown.ends_with(&end), "{shown}");
    }

    #[test]
    fn the_name_of_a_member_stays_on_its_line() {
        let shown = line(Level::Info, "serf", "EventMemberJoin: x\n    2026/11/27 00:00:00 [ERR] agent: no");
        let shown = told(&shown);
        assert!(!shown.contains('\n'), "{shown}");
        assert!(shown.contains("x\\n"), "{shown}");
    }

    #[test]
    fn an_object_of_json_has_the_text_as_it_is() {
        let json = Format::Json { node: "n\"1".to_owned() };
        let written = |level, text: &str| String::from_utf8(json.written(level, "agent", text)).unwrap();
        let (written, long) =
            (written(Level::Error, "a\u{1b}b\nc\n"), written(Level::Info, &"x".repeat(2 * LONGEST)));
        assert!(written.ends_with('\n') && !written.trim_end().contains('\n'), "{written}");
        let read: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(
            (&read["level"], &read["target"], &read["node"]),
            (&"ERR".into(), &"agent".into(), &"n\"1".into())
        );
        assert_eq!(read["message"], "a\u{1b}b\nc");
        chrono::DateTime::parse_from_rfc3339(read["time"].as_str().unwrap()).unwrap();
        assert!(long.len() < LONGEST + 300 && long.contains("bytes in all"), "{}", long.len());
    }
}

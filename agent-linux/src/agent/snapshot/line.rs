//! The lines of a snapshot. Serf's own are read and written as Serf does; what it has none for stands in comments, which it passes over,
//! each with a checksum at its end.

use std::fmt;
use std::net::SocketAddr;
use std::str::{FromStr, Split};

use serf_nostd::LTIME_LIMIT;
use serf_nostd::wire::message::EventId;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// `alive: NAME IP:PORT`
    Alive(String, SocketAddr),
    /// `not-alive: NAME`
    NotAlive(String),
    /// `clock: N`: Lamport time of the last intent.
    Clock(u64),
    /// `event-clock: N`: of the last event that was handed out.
    EventClock(u64),
    /// `query-clock: N`: of the last query.
    QueryClock(u64),
    /// `leave`
    Leave,
    /// `#event TIME ORIGIN [KEY]`
    Event(Handed),
    /// `#due TIME ORIGIN KEY "NAME" "PAYLOAD"`, with `-` for no key: it is handed out, and its scripts are still to be run.
    Due(Handed, Text),
    /// `#begun TIME ORIGIN SCRIPT`: this script has begun for it.
    Begun(EventId, u64),
    /// `#ran TIME ORIGIN`: all its scripts have, or are none of this agent's any more.
    Ran(EventId),
    /// `#floor TIME ORIGIN`
    Floor(EventId),
    /// `#fleet NUMBER BORN TIME ORIGIN`; all 0 if it is in none.
    Fleet(Fleet),
    /// A comment, or what Serf passes over as well.
    Other,
}

/// What was handed out; an event that may be coalesced with its [`serf_nostd::UserEvent::key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent) struct Handed {
    /// Lamport time and origin.
    pub(in crate::agent) id: EventId,
    /// Whose last value it is.
    pub(in crate::agent) key: Option<u64>,
}

/// What a script is told of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) name: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

/// In which fleet an agent is, as far as events go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fleet {
    /// 0: in none.
    pub(super) number: u32,
    /// Since when there has been that fleet: Unix, in seconds.
    pub(super) born: u64,
    pub(super) met: EventId,
}

/// A line that nobody has written so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = match self {
            Line::Alive(name, addr) => return writeln!(f, "alive: {name} {addr}"),
            Line::NotAlive(name) => return writeln!(f, "not-alive: {name}"),
            Line::Clock(time) => return writeln!(f, "clock: {time}"),
            Line::EventClock(time) => return writeln!(f, "event-clock: {time}"),
            Line::QueryClock(time) => return writeln!(f, "query-clock: {time}"),
            Line::Leave => return writeln!(f, "leave"),
            Line::Other => return Ok(()),
            Line::Event(Handed { id, key: None }) => format!("#event {}", shown(*id)),
            Line::Event(Handed { id, key: Some(key) }) => format!("#event {} {key:016x}", shown(*id)),
            Line::Due(Handed { id, key }, Text { name, payload }) => {
                let key = key.map_or("-".to_owned(), |key| format!("{key:016x}"));
                let (name, payload) = (name.escape_ascii(), payload.escape_ascii());
                format!("#due {} {key} \"{name}\" \"{payload}\"", shown(*id))
            }
            Line::Begun(id, script) => format!("#begun {} {script:016x}", shown(*id)),
            Line::Ran(id) => format!("#ran {}", shown(*id)),
            Line::Floor(id) => format!("#floor {}", shown(*id)),
            Line::Fleet(Fleet { number, born, met }) => format!("#fleet {number} {born} {}", shown(*met)),
        };
        writeln!(f, "{}", checked(&own))
    }
}

impl FromStr for Line {
    type Err = Unreadable;

    fn from_str(line: &str) -> Result<Line, Unreadable> {
        if line == "leave" {
            return Ok(Line::Leave);
        }
        if let Some(comment) = line.strip_prefix('#') {
            let kind = comment.split(' ').next().unwrap_or_default();
            return match kind {
                "event" | "due" | "begun" | "ran" | "floor" | "fleet" => own(kind, line).ok_or(Unreadable),
                // The first line, and remarks.
                "" | "serf-nostd" => Ok(Line::Other),
                _ => Err(Unreadable),
            };
        }
        let (kind, rest) = line.split_once(": ").ok_or(Unreadable)?;
        let number = || time(rest).ok_or(Unreadable);
        Ok(match kind {
            "alive" => {
                let (name, addr) = rest.rsplit_once(' ').ok_or(Unreadable)?;
                Line::Alive(name.to_owned(), addr.parse().map_err(|_| Unreadable)?)
            }
            "not-alive" => Line::NotAlive(rest.to_owned()),
            "clock" => Line::Clock(number()?),
            "event-clock" => Line::EventClock(number()?),
            "query-clock" => Line::QueryClock(number()?),
            "coordinate" => Line::Other,
            _ => return Err(Unreadable),
        })
    }
}

fn shown(id: EventId) -> String {
    format!("{} {:016x}", id.ltime, id.origin)
}

/// One of our own.
fn own(kind: &str, line: &str) -> Option<Line> {
    let line = verified(line)?;
    let mut words = line.split(' ');
    words.next();
    let read = match kind {
        "event" => {
            let id = event_id(&mut words)?;
            let key = words.next().map(hex).map_or(Some(None), |key| key.map(Some))?;
            Line::Event(Handed { id, key })
        }
        "due" => {
            let id = event_id(&mut words)?;
            let key = match words.next()? {
                "-" => None,
                key => Some(hex(key)?),
            };
            let (_, texts) = line.split_once(" \"")?;
            let (name, payload) = texts.strip_suffix('"')?.split_once("\" \"")?;
            return Some(Line::Due(
                Handed { id, key },
                Text { name: unescaped(name)?, payload: unescaped(payload)? },
            ));
        }
        "begun" => {
            let id = event_id(&mut words)?;
            Line::Begun(id, hex(words.next()?)?)
        }
        "ran" => Line::Ran(event_id(&mut words)?),
        "floor" => Line::Floor(event_id(&mut words)?),
        _ => {
            let (number, born) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Line::Fleet(Fleet { number, born, met: event_id(&mut words)? })
        }
    };
    words.next().is_none().then_some(read)
}

fn event_id(words: &mut Split<'_, char>) -> Option<EventId> {
    Some(EventId { ltime: time(words.next()?)?, origin: hex(words.next()?)? })
}

/// A Lamport time; those from a quarter of the limit on nobody has written.
fn time(text: &str) -> Option<u64> {
    text.parse().ok().filter(|time| *time < LTIME_LIMIT / 4)
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// The opposite of [`slice::escape_ascii`].
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match (byte, byte == b'\\') {
            (byte, false) => byte,
            (_, true) => match rest.next()? {
                b't' => b'\t',
                b'r' => b'\r',
                b'n' => b'\n',
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                itself => itself,
            },
        });
    }
    Some(bytes)
}

/// With its checksum.
pub(super) fn checked(line: &str) -> String {
    format!("{line} ={:04x}", checksum(line))
}

/// Without its checksum, if that is right.
pub(super) fn verified(line: &str) -> Option<&str> {
    let (text, sum) = line.rsplit_once(" =")?;
    (sum.len() == 4 && hex(sum) == Some(checksum(text).into())).then_some(text)
}

/// CRC-16/CCITT.
fn checksum(text: &str) -> u16 {
    text.bytes().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ltime: u64) -> EventId {
        EventId { ltime, origin: 0x1234_5678_9abc_def0 }
    }

    fn lines() -> Vec<Line> {
        let text = Text { name: b"de \"ploy\\".to_vec(), payload: (0..=255).collect() };
        vec![
            Line::Alive("a node".to_owned(), "10.0.0.1:7946".parse().unwrap()),
            Line::Alive("six".to_owned(), "[fe80::1]:7946".parse().unwrap()),
            Line::NotAlive("a node".to_owned()),
            Line::Clock(7),
            Line::EventClock(LTIME_LIMIT / 4 - 1),
            Line::QueryClock(0),
            Line::Leave,
            Line::Event(Handed { id: id(5), key: None }),
            Line::Event(Handed { id: id(5), key: Some(0) }),
            Line::Due(Handed { id: id(5), key: Some(u64::MAX) }, text),
            Line::Due(Handed { id: id(6), key: None }, Text { name: vec![], payload: vec![] }),
            Line::Begun(id(6), 0xabc),
            Line::Ran(id(6)),
            Line::Floor(EventId { ltime: 3, origin: u64::MAX }),
            Line::Fleet(Fleet { number: 77, born: 1_700_000_000, met: id(2) }),
        ]
    }

    #[test]
    fn lines_come_back_as_they_were_written_one_on_a_line() {
        for line in lines() {
            let text = line.to_string();
            let text = text.strip_suffix('\n').unwrap();
            assert!(!text.contains('\n') && text.is_ascii(), "{text}");
            assert_eq!(text.parse(), Ok(line), "{text}");
        }
    }

    #[test]
    fn a_changed_character_in_a_line_of_ours_is_found() {
        for line in lines().into_iter().filter(|line| line.to_string().starts_with('#')) {
            let text = line.to_string();
            let text = text.trim_end();
            for at in 1..text.len() {
                let mut changed = text.as_bytes().to_vec();
                changed[at] ^= 1;
                let Ok(changed) = String::from_utf8(changed) else { continue };
                assert_eq!(changed.parse::<Line>(), Err(Unreadable), "{changed}");
                if at > 1 {
                    assert_eq!(text[..at].parse::<Line>(), Err(Unreadable), "{}", &text[..at]);
                }
            }
        }
    }

    #[test]
    fn what_serf_passes_over_is_passed_over_and_all_else_is_unreadable() {
        for other in ["# a comment", "#", "coordinate: {\"Vec\":[]}"] {
            assert_eq!(other.parse(), Ok(Line::Other), "{other}");
        }
        for bad in [
            "",
            "alive: x",
            "alive: x 10.0.0.1",
            "clock: -1",
            "clock: x",
            "clock: 18446744073709551615",
            "bogus",
            "clock:5",
            "\0\0",
        ] {
            assert_eq!(bad.parse::<Line>(), Err(Unreadable), "{bad}");
        }
    }
}

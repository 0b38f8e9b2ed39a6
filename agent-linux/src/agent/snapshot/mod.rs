//! What an agent keeps over its own end: the members to come back to, its Lamport clocks, what it has handed out, and what its scripts are
//! still to be run for. A text file in Serf's format, which Serf's agent reads as well.
//!
//! - An event stands in the file before it is handed out: after a `kill -9` none is handed out twice. What was not handed out yet is fetched
//!   again from other members.
//! - A script stands in it as begun before it runs, and is released by the same thread right after that: none runs twice, and what had not
//!   begun is run by the next life.
//! - The end of the machine takes what is not on its disk. So the first line says up to which Lamport time events may have been handed out
//!   (the lease, ahead of what was, and on the disk before any event beyond it is handed out): after such an end nothing up to there is.
//! - On a full disk all goes on; the first line says that some of it is missing, and the next life goes by the lease as well.

mod file;
mod ledger;
mod line;
mod recorder;
#[cfg(test)]
mod tests;

use std::fs::{self, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serf_nostd::Belonging;
use serf_nostd::wire::message::EventId;

use self::file::{First, Head, SnapshotFile, State, boot};
use self::ledger::Ledger;
pub(super) use self::line::Handed;
use self::line::{Fleet, Line};
pub(super) use self::recorder::{Gate, Recorder, Standing, Ticket};
use super::error::words;
use super::kept_file;
use super::model::Event;

/// So many events may be handed out on a lease: after a power cut so many may be missed.
const LEASE: u64 = 1024;

/// What was kept of the former life.
#[derive(Debug, Default)]
pub(super) struct Recalled {
    pub(super) past: Past,
    /// Who was alive.
    pub(super) members: Vec<(String, SocketAddr)>,
    /// Events whose scripts had not all begun, and those that had.
    pub(super) due: Vec<(EventId, Event, Vec<u64>)>,
    /// What the log is told.
    pub(super) notes: Vec<String>,
}

/// What of it the core knows again.
#[derive(Debug, Default)]
pub(super) struct Past {
    clocks: [u64; 3],
    belonging: Option<Belonging>,
    floor: EventId,
    events: Vec<EventId>,
    values: Vec<(u64, EventId)>,
}

impl Past {
    pub(super) fn lend(&self) -> serf_nostd::Past<'_> {
        let Past { clocks, belonging, floor, events, values } = self;
        serf_nostd::Past { clocks: *clocks, belonging: *belonging, floor: *floor, events, values }
    }
}

/// A snapshot that has been read, and will be written to.
#[derive(Debug)]
pub(super) struct Snapshot {
    file: SnapshotFile,
    ledger: Ledger,
    /// The file does not say so yet.
    behind: bool,
}

impl Snapshot {
    /// Opens a snapshot, or begins one, of the agent of this name. `rejoin`: those are to be joined again that were left.
    ///
    /// # Errors
    /// What the system says; that another agent has it, or that it is none.
    pub(super) fn open(path: &Path, own: &str, rejoin: bool) -> io::Result<(Snapshot, Recalled)> {
        let (mut file, first, text) = SnapshotFile::open(path)?;
        // What stands behind the last line's end was not written to its end.
        let whole = &text[..file.len() as usize];
        let is_cut = whole.len() < text.len();
        let Read { mut ledger, bad, .. } = readable(&text, whole, rejoin)?;
        let mut notes = Vec::new();
        if let Some(number) = bad.first() {
            let count = bad.len();
            notes.push(format!(
                "Snapshot: {count} lines cannot be read and are passed over, line {number} first"
            ));
        }
        // Serf's agent writes itself down as well.
        ledger.members.remove(own);
        if std::mem::take(&mut ledger.left) {
            ledger.fleet = Fleet::default();
            if rejoin {
                notes.push("Ignoring previous leave in snapshot".to_owned());
            }
        }
        let boot = boot();
        if let Some(lease) = lease(&first, &ledger, [!bad.is_empty(), is_cut], &boot) {
            let from = ledger.latest() + 1;
            ledger.raise_floor(EventId { ltime: lease, origin: u64::MAX });
            notes.push(format!(
                "Snapshot: not all of it was written: events of Lamport times {from} to {lease} may have been handed \
                 out, and are not any more"
            ));
            let due = std::mem::take(&mut ledger.due).len();
            if due > 0 {
                notes.push(format!("Snapshot: scripts for {due} events may have run, and are not any more"));
            }
        }
        let head = Head { boot, lease: ledger.latest() + LEASE, state: State::Open };
        let mut behind = false;
        if let Err(error) = file.replace(head.clone(), &written(ledger.lines())) {
            let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&error.kind());
            if !full {
                return Err(error);
            }
            notes.push(format!("Failed to update snapshot: {}; it is tried again", words(&error)));
            // A file of Serf's, or a new one, has no such line, which will come with the rest.
            let _ = file.set_head(Head { state: State::Behind, ..head });
            behind = true;
        }
        let recalled = recalled(&ledger, notes);
        Ok((Snapshot { file, ledger, behind }, recalled))
    }
}

/// Up to which Lamport time events may have been handed out though no line says so; `None` if all that were stand there.
fn lease(first: &First, ledger: &Ledger, [is_damaged, is_cut]: [bool; 2], boot: &str) -> Option<u64> {
    let latest = ledger.latest();
    match first {
        First::Ours(head) => {
            let is_whole = match head.state {
                // The process has ended, perhaps in the midst of a line, and the system has kept what it wrote.
                State::Open => !boot.is_empty() && head.boot == boot,
                State::Behind => false,
                State::Closed => !is_cut,
            };
            (is_damaged || !is_whole).then(|| head.lease.max(latest))
        }
        First::Damaged => Some(latest + LEASE),
        First::Foreign => is_damaged.then_some(latest + LEASE),
    }
}

/// Says what is wrong with a snapshot, or with the folder where it is to be, without a change of either.
///
/// # Errors
/// As when it is opened.
pub(super) fn check(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_folder = fs::metadata(kept_file::folder(path))?.is_dir();
            return if is_folder { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) };
        }
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(file::irregular());
    }
    let text = file::text(&mut file)?;
    readable(&text, &text, false).map(drop)
}

/// What stands in `whole` lines of a text.
fn readable(text: &[u8], whole: &[u8], rejoin: bool) -> io::Result<Read> {
    let read = read(whole, rejoin);
    if read.lines == 0 && !text.is_empty() {
        return Err(io::Error::other(
            "it is no snapshot: no line of it can be read; name another file, or move it away",
        ));
    }
    Ok(read)
}

/// What stands in a snapshot.
struct Read {
    ledger: Ledger,
    /// Numbers of lines that cannot be read.
    bad: Vec<usize>,
    /// How many can.
    lines: usize,
}

fn read(text: &[u8], rejoin: bool) -> Read {
    let mut read = Read { ledger: Ledger::default(), bad: Vec::new(), lines: 0 };
    let mut together = Vec::new();
    let lines = text.split(|byte| *byte == b'\n').enumerate();
    for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
        let line = std::str::from_utf8(line).ok().and_then(|line| line.parse::<Line>().ok());
        let Some(line) = line else {
            read.bad.push(number + 1);
            continue;
        };
        read.lines += 1;
        match line {
            // Handed out together, once all of them stood there: the clock's line ends them.
            Line::Event(_) | Line::Due(..) => together.push(line),
            Line::Begun(id, _) if !read.ledger.due.contains_key(&id) => together.push(line),
            Line::EventClock(_) => {
                together.drain(..).for_each(|line| read.ledger.apply(line));
                read.ledger.apply(line);
            }
            Line::Leave if !rejoin => {
                read.ledger.apply(line);
                read.ledger.members.clear();
            }
            line => read.ledger.apply(line),
        }
    }
    read
}

/// Lines as they stand in the file.
fn written(lines: impl Iterator<Item = Line>) -> Vec<u8> {
    use std::io::Write;
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    lines.for_each(|line| drop(write!(bytes, "{line}")));
    bytes
}

fn recalled(ledger: &Ledger, notes: Vec<String>) -> Recalled {
    let [member, event, query] = ledger.clocks;
    let fleet = &ledger.fleet;
    let age = Duration::from_secs(unix().saturating_sub(fleet.born));
    let belonging = (fleet.number != 0).then(|| Belonging {
        fleet: fleet.number,
        age: serf_nostd::Duration::from_secs(age.as_secs()),
        met: fleet.met,
    });
    let due = ledger.due.iter().map(|(id, due)| {
        let (name, payload) = (due.text.name.clone(), due.text.payload.clone());
        let event = Event::User { ltime: id.ltime, name, payload, coalesce: due.key.is_some() };
        (*id, event, due.begun.iter().copied().collect())
    });
    let past = Past {
        clocks: [member + 1, event + 1, query + 1],
        belonging,
        floor: ledger.floor,
        events: ledger.events.iter().copied().collect(),
        values: ledger.values.iter().map(|(key, id)| (*key, *id)).collect(),
    };
    Recalled {
        past,
        members: ledger.members.iter().map(|(name, addr)| (name.clone(), *addr)).collect(),
        due: due.collect(),
        notes,
    }
}

/// Seconds.
fn unix() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

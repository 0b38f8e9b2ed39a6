//! The file of a snapshot: appended to, replaced as a whole, and with a first line that is changed in place.
//!
//! That line says under which boot of the machine the file was written, up to which Lamport time events may have been handed out though
//! no line says so (the lease), and whether all that was to be written is. It is as long as it was, and so needs no room on a full disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::line::{checked, verified};
use crate::agent::kept_file;

/// What the first line begins with.
const HEAD: &str = "#serf-nostd snapshot 1";

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 30;

/// How a file was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is written to: all that was handed out before the end of the process stands in it, if not before the end of the machine.
    Open,
    /// Some of it could not be written.
    Behind,
    /// The agent has ended, and all is on the disk.
    Closed,
}

impl State {
    /// As long as the others.
    fn as_str(self) -> &'static str {
        match self {
            State::Open => "open  ",
            State::Behind => "behind",
            State::Closed => "closed",
        }
    }
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Which boot of the machine it is: 36 characters; nothing if that cannot be told.
    pub(super) boot: String,
    /// Events up to this Lamport time may have been handed out.
    pub(super) lease: u64,
    pub(super) state: State,
}

impl Head {
    fn line(&self) -> String {
        let Head { boot, lease, state } = self;
        checked(&format!("{HEAD} boot={boot:-<36} lease={lease:020} {}", state.as_str())) + "\n"
    }

    fn read(line: &str) -> Option<Head> {
        let rest = verified(line)?.strip_prefix(HEAD)?.strip_prefix(" boot=")?;
        let (boot, rest) = rest.split_once(" lease=")?;
        let (lease, state) = rest.split_once(' ')?;
        let states = [State::Open, State::Behind, State::Closed];
        let state = states.into_iter().find(|known| known.as_str() == state)?;
        let boot = if boot.starts_with('-') { "" } else { boot };
        Some(Head { boot: boot.to_owned(), lease: lease.parse().ok()?, state })
    }
}

/// What the first line of a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum First {
    Ours(Head),
    /// It was ours, and cannot be read.
    Damaged,
    /// Serf's; or there is none.
    Foreign,
}

impl First {
    fn of(text: &[u8]) -> First {
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let head = std::str::from_utf8(line).ok().and_then(Head::read);
        let was_ours = || line.starts_with(b"#serf-nostd");
        head.map_or_else(|| if was_ours() { First::Damaged } else { First::Foreign }, First::Ours)
    }
}

/// Which boot of the machine this is.
pub(super) fn boot() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().chars().take(36).collect()
}

#[derive(Debug)]
pub(super) struct SnapshotFile {
    path: PathBuf,
    file: File,
    /// Where the last whole line ends.
    end: u64,
    head: Head,
    /// Whether the first line of the file is ours, and so can be changed in place.
    has_head: bool,
}

impl SnapshotFile {
    /// Opens it, or makes a new one, for this process alone. Returns what its first line is, and all that stands in it.
    ///
    /// # Errors
    /// What the system says; that it is another agent's.
    pub(super) fn open(path: &Path) -> io::Result<(SnapshotFile, First, Vec<u8>)> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut file = open_locked(&path)?;
        let text = text(&mut file)?;
        let first = First::of(&text);
        let has_head = matches!(first, First::Ours(_));
        let head = Head { boot: String::new(), lease: 0, state: State::Open };
        // What stands behind the last line's end was not written to its end.
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place as u64 + 1);
        Ok((SnapshotFile { path, file, end, head, has_head }, first, text))
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// In bytes.
    pub(super) fn len(&self) -> u64 {
        self.end
    }

    /// Adds whole lines: all of them, or none.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let added = self.file.write_all_at(lines, self.end);
        match added {
            Ok(()) => self.end += lines.len() as u64,
            // What there is of it ends in the midst of a line, and is written over by what comes next.
            Err(_) => drop(self.file.set_len(self.end)),
        }
        added
    }

    /// All of it is on the disk when this returns.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Changes the first line, in place; on the disk before this returns.
    pub(super) fn set_head(&mut self, head: Head) -> io::Result<()> {
        if !self.has_head {
            return Err(io::Error::other("there is no room for its first line yet"));
        }
        self.file.write_all_at(head.line().as_bytes(), 0)?;
        self.head = head;
        self.file.sync_data()
    }

    /// Puts these lines, and a first one, in the place of all that there is: as a whole or not at all, and on the disk.
    pub(super) fn replace(&mut self, head: Head, lines: &[u8]) -> io::Result<()> {
        let beside = kept_file::beside(&self.path);
        let replaced = self.write_beside(&beside, &head, lines).and_then(|file| {
            fs::rename(&beside, &self.path)?;
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            // It is in its place, whatever becomes of this.
            let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
            Ok(file)
        });
        match replaced {
            Ok(file) => {
                self.end = file.metadata()?.len();
                (self.file, self.head, self.has_head) = (file, head, true);
                Ok(())
            }
            Err(error) => {
                // The first error tells what is wrong.
                let _ = fs::remove_file(&beside);
                Err(error)
            }
        }
    }

    fn write_beside(&self, beside: &Path, head: &Head, lines: &[u8]) -> io::Result<File> {
        let before = self.file.metadata()?;
        let there = fs::metadata(&self.path)?;
        if (there.dev(), there.ino()) != (before.dev(), before.ino()) {
            return Err(io::Error::other("another file has been put in its place"));
        }
        // What events carry may be secret. Whose file it was, it stays.
        let mut file = kept_file::create(beside)?;
        if file.metadata()?.uid() != before.uid() {
            fchown(&file, Some(before.uid()), Some(before.gid()))?;
        }
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(head.line().as_bytes())?;
        file.write_all(lines)?;
        file.sync_all()?;
        Ok(file)
    }
}

pub(super) fn irregular() -> io::Error {
    io::Error::other("it is no regular file")
}

/// All that stands in it.
pub(super) fn text(file: &mut File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("it is longer than {LONGEST} bytes")));
    }
    Ok(text)
}

/// Nobody else has it, and it is the one that stands there.
fn open_locked(path: &Path) -> io::Result<File> {
    loop {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(irregular());
        }
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => {
                io::Error::new(io::ErrorKind::ResourceBusy, "another agent uses it")
            }
            other => other.into(),
        })?;
        let there = fs::metadata(path)?;
        if (there.dev(), there.ino()) == (file.metadata()?.dev(), file.metadata()?.ino()) {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_always_as_long_and_comes_back() {
        let heads = [("", 0, State::Open), ("0b5a0a86-0000-4000-8000-00000000000f", u64::MAX, State::Behind)];
        let heads = heads.map(|(boot, lease, state)| Head { boot: boot.to_owned(), lease, state });
        let lines = heads.clone().map(|head| head.line());
        assert_eq!(lines[0].len(), lines[1].len());
        for (head, line) in heads.into_iter().zip(&lines) {
            assert_eq!(First::of(line.as_bytes()), First::Ours(head), "{line}");
            assert_eq!(First::of(line.replace("lease=", "lease=1").as_bytes()), First::Damaged);
        }
        assert_eq!(First::of(b"alive: a 10.0.0.1:1\n"), First::Foreign);
        assert_eq!(First::of(b""), First::Foreign);
    }
}

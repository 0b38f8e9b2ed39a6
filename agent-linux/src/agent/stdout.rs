//! Standard output as the agent uses it: whoever reads it too slowly, or not at all, holds nothing up.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};

/// What the kernel takes at once of a pipe or socket that it calls writable.
const AT_ONCE: usize = 4096;

/// Standard output without a buffer and without waiting: an error of kind [`io::ErrorKind::WouldBlock`] says that it
/// has no room now. It is asked before each write instead of being set to non-blocking, as others write to it as well.
pub struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(mut terminal) = terminal() {
            return terminal.write(bytes);
        }
        let out = io::stdout();
        let mut room = [PollFd::new(&out, PollFlags::OUT)];
        if !is_file() && poll(&mut room, Some(&Timespec::default()))? == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(rustix::io::write(&out, &bytes[..bytes.len().min(AT_ONCE)])?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The terminal that is standard output, if it is one. A terminal says that it has room when it has less than a line takes:
/// it is opened once more, which can be done without waiting for everybody else.
fn terminal() -> Option<&'static File> {
    static TERMINAL: OnceLock<Option<File>> = OnceLock::new();
    let open = || {
        let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits();
        OpenOptions::new().write(true).custom_flags(flags.cast_signed()).open("/proc/self/fd/1").ok()
    };
    TERMINAL.get_or_init(|| io::stdout().is_terminal().then(open).flatten()).as_ref()
}

/// Whether standard output is a file, which has always room, as far as can be asked.
fn is_file() -> bool {
    static FILE: OnceLock<bool> = OnceLock::new();
    let is_file = || fstat(io::stdout()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file());
    *FILE.get_or_init(is_file)
}

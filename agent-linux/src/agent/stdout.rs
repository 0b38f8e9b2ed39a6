//! Standard output as the agent uses it: whoever reads it too slowly, or not at all, holds nothing up.

use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What the kernel takes at once of a pipe or socket that it calls writable.
const AT_ONCE: usize = 4096;

/// Standard output without a buffer and without waiting: an error of kind [`io::ErrorKind::WouldBlock`] says that it
/// has no room now. It is asked before each write instead of being set to non-blocking, as others write to it as well.
pub struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let out = io::stdout();
        let mut room = [PollFd::new(&out, PollFlags::OUT)];
        if poll(&mut room, Some(&Timespec::default()))? == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(rustix::io::write(&out, &bytes[..bytes.len().min(AT_ONCE)])?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

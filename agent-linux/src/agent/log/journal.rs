//! systemd's journal, in its own protocol: fields instead of a line.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;

use log::Level;
use rustix::fs::fstat;

use super::format::{severity, whole};

/// Where it listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Takes entries, each in one write. Never waits: an entry for which there is no room now is lost.
pub(super) struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    pub(super) fn new() -> io::Result<Journal> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Journal { socket })
    }
}

impl Write for Journal {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        // Not connected, as it may be started anew.
        self.socket.send_to(entry, SOCKET)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether standard output goes there: who has started this process says which stream does.
pub fn is_stdout() -> bool {
    let (Ok(told), Ok(stdout)) = (std::env::var("JOURNAL_STREAM"), fstat(io::stdout())) else { return false };
    told == format!("{}:{}", stdout.st_dev, stdout.st_ino)
}

/// An entry, for whose fields `serf` is the program.
pub(super) fn entry(level: Level, component: &str, node: &str, text: &str) -> Vec<u8> {
    let mut entry = Vec::new();
    field(&mut entry, "MESSAGE", &whole(text));
    field(&mut entry, "PRIORITY", &severity(level).to_string());
    field(&mut entry, "SYSLOG_IDENTIFIER", "serf");
    field(&mut entry, "SERF_COMPONENT", component);
    field(&mut entry, "SERF_NODE", node);
    entry
}

/// With its length in front of a value: it may have several lines.
fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend(name.as_bytes());
    entry.push(b'\n');
    entry.extend((value.len() as u64).to_le_bytes());
    entry.extend(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_what_looks_like_a_field() {
        let entry = entry(Level::Warn, "agent", "n1", "a\nPRIORITY=0\n");
        let expected = b"MESSAGE\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\nPRIORITY\n\x01\0\0\0\0\0\0\x004\n";
        assert_eq!(entry[..expected.len()], expected[..]);
    }
}

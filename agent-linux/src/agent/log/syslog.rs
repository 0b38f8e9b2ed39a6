//! The system's log, as glibc writes to it (RFC 3164 without a host name).

use std::io;
use std::os::unix::net::UnixDatagram;

use chrono::Local;
use log::Level;

use super::format::{level_name, printable, severity, whole};

/// Where it listens.
const SOCKET: &str = "/dev/log";

/// The names of facilities; the place of each is its number.
const FACILITIES: [&str; 24] = [
    "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP",
    "NTP", "AUDIT", "ALERT", "CLOCK", "LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4", "LOCAL5", "LOCAL6",
    "LOCAL7",
];

/// What kind of program says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(usize);

impl Facility {
    /// That of this name, in any case.
    ///
    /// # Errors
    /// There is none; the text says which there are.
    pub fn named(name: &str) -> Result<Facility, String> {
        let place = FACILITIES.iter().position(|known| known.eq_ignore_ascii_case(name));
        place.map(Facility).ok_or_else(|| {
            format!("Invalid syslog facility: {name}. Valid facilities are: [{}]", FACILITIES.join(" "))
        })
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        FACILITIES[self.0]
    }
}

/// Takes lines. Never waits: a line for which there is no room now is lost.
pub struct Syslog {
    socket: UnixDatagram,
    facility: Facility,
}

impl Syslog {
    /// If somebody listens.
    ///
    /// # Errors
    /// Nobody does.
    pub fn new(facility: Facility) -> io::Result<Syslog> {
        UnixDatagram::unbound()?.connect(SOCKET)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Syslog { socket, facility })
    }

    pub(super) fn write(&self, level: Level, component: &str, text: &str) -> io::Result<()> {
        let priority = self.facility.0 * 8 + severity(level);
        let (now, process) = (Local::now().format("%b %e %H:%M:%S"), std::process::id());
        let (level, text) = (level_name(level), whole(text));
        let line = format!("<{priority}>{now} serf[{process}]: [{level}] {component}: {}", printable(&text));
        // Not connected, as it may be started anew.
        self.socket.send_to(line.as_bytes(), SOCKET).map(drop)
    }
}

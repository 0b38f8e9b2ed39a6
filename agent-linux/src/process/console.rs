//! What the agent says on its terminal beside the log: announcements and the banner, as Serf words them.

use std::fmt::Display;
use std::io::Write;
use std::sync::OnceLock;

use log::Level;

use crate::agent::log::Format;
use crate::agent::stdout::Stdout;

/// In which format the log is, once it is there.
static FORMAT: OnceLock<Format> = OnceLock::new();

/// From now on announcements are lines of the log's format, if that is none for people.
pub fn speak(format: Format) {
    // There is one log in a process.
    let _ = FORMAT.set(format);
}

/// Prints `==> text`. A closed terminal is no reason to stop, and a full one no reason to wait.
pub fn say(text: impl Display) {
    write(&format!("==> {text}\n"));
}

/// What the banner tells of a running agent.
#[derive(Clone, Debug)]
pub struct Banner<'a> {
    /// The node's name.
    pub node: &'a str,
    /// The bound address, as `ip:port` with the port that was asked for.
    pub bind: &'a str,
    /// The RPC listener's address.
    pub rpc: &'a str,
    /// The HTTP listener's address, if there is one.
    pub http: Option<&'a str>,
    /// What is told to the others instead of the bound address, if something is.
    pub advertise: Option<&'a str>,
    /// Whether gossip is sealed.
    pub encrypted: bool,
    /// Whether members and events survive a restart.
    pub snapshot: bool,
    /// Name of the timing profile.
    pub profile: &'static str,
    /// Whether gossip is compressed.
    pub compression: bool,
}

impl Banner<'_> {
    /// The first line, before gossip starts.
    pub fn starting() {
        say("Starting Serf agent...");
    }

    /// Gossip runs, and the RPC has its listener.
    pub fn starting_rpc() {
        say("Starting Serf agent RPC...");
    }

    /// Everything runs: the settings, one a line.
    pub fn running(&self) {
        write(&format!("==> Serf agent running!\n{}", self.lines()));
    }

    /// Before `-join`.
    pub fn joining(replay: bool) {
        say(format_args!("Joining cluster...(replay: {replay})"));
    }

    /// After `-join`; the log follows.
    pub fn joined(nodes: usize) {
        write(&format!("    Join completed. Synced with {nodes} initial agents\n"));
    }

    /// The last line before the log opens.
    pub fn log_follows() {
        write("\n==> Log data will now stream in as it occurs:\n\n");
    }

    fn lines(&self) -> String {
        let aligned = |label: &str, value: &dyn Display| format!("{label:>31}: {value}\n");
        let mut lines = aligned("Node name", &format_args!("'{}'", self.node));
        lines += &aligned("Bind addr", &format_args!("'{}'", self.bind));
        if let Some(advertise) = self.advertise {
            // The one line that Serf does not align.
            lines += &format!("    Advertise addr: '{advertise}'\n");
        }
        lines += &aligned("RPC addr", &format_args!("'{}'", self.rpc));
        if let Some(http) = self.http {
            lines += &aligned("HTTP addr", &format_args!("'{http}'"));
        }
        lines += &aligned("Encrypted", &self.encrypted);
        lines += &aligned("Snapshot", &self.snapshot);
        lines += &aligned("Profile", &self.profile);
        lines += &aligned("Message Compression Enabled", &self.compression);
        lines
    }
}

fn write(text: &str) {
    let _ = match FORMAT.get() {
        Some(format @ Format::Json { .. }) => {
            let text = text.trim().trim_start_matches("==> ");
            Stdout.write_all(&format.written(Level::Info, "agent", text))
        }
        _ => Stdout.write_all(text.as_bytes()),
    };
}

#[cfg(test)]
mod tests {
    use super::Banner;

    #[test]
    fn the_banner_is_serfs() {
        let banner = Banner {
            node: "n1",
            bind: "127.0.0.1:21001",
            rpc: "127.0.0.1:22001",
            http: None,
            advertise: Some("10.0.0.1:7946"),
            encrypted: false,
            snapshot: false,
            profile: "lan",
            compression: true,
        };
        let lines = "                      Node name: 'n1'
                      Bind addr: '127.0.0.1:21001'
    Advertise addr: '10.0.0.1:7946'
                       RPC addr: '127.0.0.1:22001'
                      Encrypted: false
                       Snapshot: false
                        Profile: lan
    Message Compression Enabled: true
";
        assert_eq!(banner.lines(), lines);
    }
}

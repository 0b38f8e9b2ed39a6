//! Numbers pushed to statsd, or to statsite, under Serf's names.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::agent::address::Endpoint;
use crate::agent::error::words;
use crate::agent::figures::Figures;
use crate::agent::handle::Handle;
use crate::agent::log::Pace;

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// How long one push may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest datagram, in bytes.
const DATAGRAM: usize = 1400;

/// How often the log tells that nobody takes what is pushed.
const COMPLAINT: Duration = Duration::from_secs(60);

/// What each of [`NAMES`] is to whoever collects them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// How much more there is.
    Counter,
    /// How things stand on this host.
    Gauge,
    /// One of many measurements.
    Sample,
}

/// What Serf has too: its name, ours among metrics, and its kind there. Serf's names that hold names of events or scripts are left
/// out: there is no end to them.
const NAMES: [(&str, &str, Kind); 12] = [
    ("serf.events", "events_delivered", Kind::Counter),
    ("serf.queries", "queries_received", Kind::Counter),
    ("serf.member.join", "member_joins", Kind::Counter),
    ("serf.member.update", "member_updates", Kind::Counter),
    ("serf.member.left", "member_leaves", Kind::Counter),
    ("serf.member.failed", "member_failures", Kind::Counter),
    ("memberlist.udp.sent", "bytes_out", Kind::Counter),
    ("memberlist.udp.received", "bytes_in", Kind::Counter),
    ("memberlist.health.score", "health_score", Kind::Gauge),
    ("serf.queue.Intent", "intent_queue", Kind::Sample),
    ("serf.queue.Event", "event_queue", Kind::Sample),
    ("serf.queue.Query", "requests_waiting", Kind::Sample),
];

/// Who collects them.
pub struct Sink {
    address: SocketAddr,
    way: Way,
}

enum Way {
    /// Datagrams, of which nobody says whether they have come.
    Statsd(UdpSocket),
    /// A connection, made anew when it has ended.
    Statsite(Option<TcpStream>),
}

impl Sink {
    /// statsd at `host:port`.
    ///
    /// # Errors
    /// The text says what is wrong with the address.
    pub async fn statsd(address: &str) -> Result<Sink, String> {
        let address = Endpoint::resolve_listener(address).await.map_err(|error| error.to_string())?;
        let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(own).await.map_err(|error| words(&error))?;
        Ok(Sink { address, way: Way::Statsd(socket) })
    }

    /// statsite at `host:port`. It need not be there yet.
    ///
    /// # Errors
    /// The text says what is wrong with the address.
    pub async fn statsite(address: &str) -> Result<Sink, String> {
        let address = Endpoint::resolve_listener(address).await.map_err(|error| error.to_string())?;
        Ok(Sink { address, way: Way::Statsite(None) })
    }

    /// Pushes each second, until the agent has ended. Counts that were not taken are in the next ones.
    pub async fn push(mut self, handle: Handle) {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let mut told = [0; NAMES.len()];
        let mut pace = Pace::default();
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Ok(figures) = handle.figures().await else { return };
            let now = NAMES.map(|(_, metric, _)| figures.number(metric));
            match self.send(&lines(&figures, &told, &host)).await {
                Ok(()) => told = now,
                Err(why) if pace.is_time(COMPLAINT) => {
                    log::warn!(target: "agent", "Metrics are not taken at {}: {why}", self.address);
                }
                Err(_) => {}
            }
        }
    }

    async fn send(&mut self, lines: &[String]) -> Result<(), String> {
        let sent = timeout(PATIENCE, self.try_send(lines)).await;
        let sent =
            sent.map_err(|_| "no answer".to_owned()).and_then(|sent| sent.map_err(|error| words(&error)));
        if let (Err(_), Way::Statsite(kept)) = (&sent, &mut self.way) {
            *kept = None;
        }
        sent
    }

    async fn try_send(&mut self, lines: &[String]) -> io::Result<()> {
        match &mut self.way {
            Way::Statsd(socket) => {
                for datagram in packed(lines) {
                    socket.send_to(datagram.as_bytes(), self.address).await?;
                }
                Ok(())
            }
            Way::Statsite(kept) => {
                let stream = match kept {
                    Some(stream) => stream,
                    None => kept.insert(TcpStream::connect(self.address).await?),
                };
                stream.write_all(lines.concat().as_bytes()).await
            }
        }
    }
}

/// A line for each of [`NAMES`]; of what counts only if there is more than was `told`.
fn lines(figures: &Figures, told: &[u64], host: &str) -> Vec<String> {
    let line = |((name, metric, kind), told): (&(&str, &str, Kind), &u64)| {
        let now = figures.number(metric);
        match kind {
            Kind::Counter if now == *told => None,
            Kind::Counter => Some(format!("serf-agent.{name}:{:.6}|c\n", (now - told) as f64)),
            Kind::Gauge => Some(format!("serf-agent.{}.{name}:{:.6}|g\n", plain(host), now as f64)),
            Kind::Sample => Some(format!("serf-agent.{name}:{:.6}|ms\n", now as f64)),
        }
    };
    NAMES.iter().zip(told).filter_map(line).collect()
}

/// Without what separates the parts of a line.
fn plain(name: &str) -> String {
    name.replace([':', ' ', '|', '\n'], "_")
}

/// The lines, as many to a datagram as fit.
fn packed(lines: &[String]) -> Vec<String> {
    let mut datagrams: Vec<String> = Vec::new();
    for line in lines {
        match datagrams.last_mut().filter(|last| last.len() + line.len() <= DATAGRAM) {
            Some(last) => *last += line,
            None => datagrams.push(line.clone()),
        }
    }
    datagrams
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_filled_and_no_line_is_broken() {
        let lines: Vec<String> = (0..100).map(|n| format!("{n}{}\n", "x".repeat(50))).collect();
        let datagrams = packed(&lines);
        assert!(datagrams.iter().all(|datagram| datagram.len() <= DATAGRAM && datagram.ends_with('\n')));
        assert_eq!((datagrams.len(), datagrams.concat()), (4, lines.concat()));
    }
}

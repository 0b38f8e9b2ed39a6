//! Where the others reach this agent, and that this may change while it runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serf_nostd::Node;
use tokio::sync::watch;
use tokio::time::Instant as Wall;

use super::Driver;
use crate::agent::moves::Move;

/// That others see this agent elsewhere is told after so long: if it has moved they know soon.
const RIDDLE: Duration = Duration::from_secs(10);

/// What is advertised, for whoever wants to know.
pub(crate) struct Advertised {
    told: watch::Sender<SocketAddr>,
    /// Whether it is a riddle to nobody that others see this agent elsewhere: so it was set, or it goes there.
    is_explained: bool,
    /// How often others had, and until when that may be as they do not know yet where it is.
    seen: (u64, Option<Wall>),
}

impl Advertised {
    pub(crate) fn new(told: watch::Sender<SocketAddr>, is_explained: bool) -> Advertised {
        Advertised { told, is_explained, seen: (0, None) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        *self.told.borrow()
    }

    /// The log tells when it has changed, and once of others who see this agent elsewhere.
    pub(super) fn look(&mut self, node: &Node<'_>) {
        let (before, now) = (self.address(), node.this().addr);
        let elsewhere = node.stats().seen_elsewhere;
        if now != before {
            log::info!(target: "serf", "Others reach this agent at {now} from now on, no longer at {before}");
            self.told.send_replace(now);
            self.seen = (elsewhere, None);
        }
        if self.is_explained || elsewhere == self.seen.0 {
            return;
        }
        let until = *self.seen.1.get_or_insert_with(|| Wall::now() + RIDDLE);
        if Wall::now() < until {
            self.seen.0 = elsewhere;
        } else {
            self.is_explained = true;
            log::warn!(
                target: "serf",
                "Others see this agent's datagrams come from elsewhere than {now}, which it advertises. If that is a \
                 router's doing start it with -advertise-observed, or with -advertise and a port that is forwarded"
            );
        }
    }
}

impl Driver<'_> {
    pub(super) fn moved(&mut self, Move { advertised, socket }: Move) {
        if let Some(socket) = socket {
            log::info!(target: "serf", "Listening at {} from now on", socket.bound());
            self.socket = Arc::new(socket);
            self.prepare_farewell();
        }
        if let Some(advertised) = advertised {
            self.node.set_address(self.clock.now(), advertised);
        }
    }
}

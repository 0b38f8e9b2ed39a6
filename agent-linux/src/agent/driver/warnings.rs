//! What the log tells of what is refused and lost: of each kind at most so often, whatever comes.

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};
use std::net::SocketAddr;
use std::time::Duration;

use serf_nostd::{Node, Reject, Stats};

use crate::agent::log::Pace;

/// How often of refused datagrams, of each kind.
const REFUSED_EVERY: Duration = Duration::from_secs(1);

/// So many peers are told of by name whose seals are wrong; each once.
const PEERS: usize = 1_024;

/// How often of what is counted and means that something is missing here.
const COUNTED_EVERY: Duration = Duration::from_secs(60);

/// What is counted, and what it means.
type Meaning = (fn(&Stats) -> u64, &'static str);

const COUNTED: [Meaning; 5] = [
    (
        |stats| stats.members_unheld,
        "The table of members is full: newcomers are not held. Start the agent with a greater -max-members",
    ),
    (
        |stats| stats.strangers,
        "Newcomers were refused of whom only somebody outside of this cluster has told. Whoever is to be a member joins \
         through one",
    ),
    (|stats| stats.pull_miss, "Events were lost: nobody who was asked holds their payload any more"),
    (|stats| stats.event_gaps, "Events may have been missed: others have seen more than this agent"),
    (|stats| stats.own_unconfirmed + stats.own_expired, "Own events may not have reached the others"),
];

#[derive(Debug, Default)]
pub(super) struct Warnings {
    /// Each kind that there has been.
    refused: Vec<(Reject, Pace)>,
    /// Who was told of, and why: what is wrong with seals stays wrong until somebody changes a configuration.
    peers: HashSet<(Discriminant<Reject>, SocketAddr)>,
    counted: [Counted; COUNTED.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    told: u64,
    pace: Pace,
}

impl Warnings {
    pub(super) fn refused(&mut self, reject: Reject, from: SocketAddr) {
        let peer = (discriminant(&reject), from);
        let once = is_of_seals(reject);
        if once && (self.peers.contains(&peer) || self.peers.len() == PEERS) {
            return;
        }
        let known = self.refused.iter().position(|(known, _)| *known == reject);
        let place = known.unwrap_or_else(|| {
            self.refused.push((reject, Pace::default()));
            self.refused.len() - 1
        });
        if self.refused[place].1.is_time(REFUSED_EVERY) {
            // A few are late in any network.
            let level = if reject == Reject::Replayed { log::Level::Info } else { log::Level::Warn };
            let more = if once { "; further ones are counted" } else { "" };
            log::log!(target: "memberlist", level, "Refused a datagram from {from}: {reject}{more}");
            if once {
                self.peers.insert(peer);
            }
        }
    }

    /// Somebody of a cluster of another name was here, or this agent there; each is told of once.
    pub(super) fn other_cluster(&mut self, from: SocketAddr, text: &str) {
        if self.peers.len() < PEERS && self.peers.insert((discriminant(&Reject::OtherCluster), from)) {
            log::error!(target: "memberlist", "Refused {from}: {text}");
        }
    }

    /// Tells of what the node has counted since it was told of last.
    pub(super) fn counted(&mut self, node: &Node<'_>) {
        for ((count, text), counted) in COUNTED.iter().zip(&mut self.counted) {
            let count = count(node.stats());
            if count > counted.told && counted.pace.is_time(COUNTED_EVERY) {
                log::warn!(target: "serf", "{text} ({} more)", count - counted.told);
                counted.told = count;
            }
        }
    }
}

fn is_of_seals(reject: Reject) -> bool {
    use Reject::{Cloned, Forged, Replayed, Sealed, UnknownKey, Unsealed};
    matches!(reject, Unsealed | Sealed | UnknownKey | Forged | Replayed | Cloned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_seals_are_told_of_once_for_each_peer() {
        let mut warnings = Warnings::default();
        let peer = |port| SocketAddr::from(([10, 0, 0, 1], port));
        for _ in 0..100 {
            warnings.refused(Reject::UnknownKey, peer(1));
            warnings.refused(Reject::Unsealed, peer(1));
        }
        assert_eq!(warnings.peers.len(), 2);
        for port in 1..5_000 {
            warnings.peers.insert((discriminant(&Reject::Forged), peer(port)));
            warnings.refused(Reject::Forged, peer(port));
            if warnings.peers.len() == PEERS {
                break;
            }
        }
        warnings.refused(Reject::Cloned, peer(9));
        assert_eq!(warnings.peers.len(), PEERS, "whoever invents addresses fills no memory");
    }
}

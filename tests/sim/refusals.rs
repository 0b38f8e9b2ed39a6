//! What hosts say of datagrams that nobody takes ("port unreachable"), with the limits that Linux has.

use std::collections::BTreeMap;

/// What is quoted of a datagram at most: over IPv4.
pub const QUOTED: usize = 520;
/// To each peer so many at once, then one in each span of microseconds.
const PEER: Limit = Limit { burst: 6, every: 1_000_000 };
/// And to all together.
const HOST: Limit = Limit { burst: 50, every: 1_000 };

#[derive(Clone, Copy)]
struct Limit {
    burst: u64,
    every: u64,
}

/// Time that has been saved up, and since when.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    saved: u64,
    at: u64,
}

impl Limit {
    /// Takes one out of a bucket, if there is one.
    fn take(self, bucket: &mut Option<Bucket>, now: u64) -> bool {
        let full = self.burst * self.every;
        let Bucket { saved, at } = bucket.unwrap_or(Bucket { saved: full, at: now });
        let saved = (saved + now.saturating_sub(at)).min(full);
        let takes = saved >= self.every;
        *bucket = Some(Bucket { saved: saved - if takes { self.every } else { 0 }, at: now });
        takes
    }
}

/// What hosts have refused of late, and which links do so all the time.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    hosts: BTreeMap<usize, Option<Bucket>>,
    peers: BTreeMap<(usize, usize), Option<Bucket>>,
    /// Directed links whose datagrams are refused, in the name of the host at their end: by a firewall there.
    pub rejecting: Vec<(u16, u16)>,
    /// How many were sent.
    pub sent: u64,
    /// How many were not, as there had been too many.
    pub withheld: u64,
}

impl Refusals {
    /// Whether a link refuses all that is sent along it.
    pub fn rejects(&self, from: usize, to: usize) -> bool {
        self.rejecting.contains(&(from as u16, to as u16))
    }

    /// Whether a host says now that it has refused a datagram of this peer's.
    pub fn may_say(&mut self, now: u64, host: usize, peer: usize) -> bool {
        let says = HOST.take(self.hosts.entry(host).or_default(), now)
            && PEER.take(self.peers.entry((host, peer)).or_default(), now);
        *(if says { &mut self.sent } else { &mut self.withheld }) += 1;
        says
    }
}

#[cfg(test)]
mod tests {
    use super::Refusals;

    #[test]
    fn six_at_once_to_each_peer_then_one_a_second_and_fifty_to_all() {
        let mut refusals = Refusals::default();
        assert_eq!((0..10).filter(|_| refusals.may_say(5, 1, 2)).count(), 6);
        assert_eq!((0..10).filter(|i| refusals.may_say(5 + i * 500_000, 1, 2)).count(), 4);
        let mut refusals = Refusals::default();
        assert_eq!((0..100).filter(|peer| refusals.may_say(5, 1, *peer)).count(), 50);
        assert_eq!((refusals.sent, refusals.withheld), (50, 50));
    }
}

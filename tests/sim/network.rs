//! What happens to a datagram on its way.

use crate::refusals::Refusals;
use crate::rng::{Rng, hash};

/// Links that differ: each direction of each pair has a latency of its own. A function of seed and link, so that the
/// largest fleet needs no memory for it.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    /// Decides which link is how long.
    pub seed: u64,
    /// The usual latency, microseconds; a link has half of it to one and a half.
    pub base: u64,
    /// Datagrams take up to this share longer.
    pub jitter: f64,
}

impl Links {
    /// The shortest time under way, and how much longer it may take.
    fn latency(&self, from: usize, to: usize) -> (u64, u64) {
        let latency = self.base / 2 + link(self.seed, from, to) % (self.base + 1);
        (latency, (latency as f64 * self.jitter) as u64)
    }
}

/// Latencies of a map: each machine has a place on a square, and a link into the network of its own; a share of the pairs is
/// further apart than that, so that the way through a third machine is shorter. Functions of seed and machine, likewise.
#[derive(Clone, Copy, Debug)]
pub struct Map {
    /// Decides where machines are, and which pairs are further apart.
    pub seed: u64,
    /// What it takes from one side of the square to the other, one way, in microseconds.
    pub side: u64,
    /// The longest link of a machine into the network, likewise.
    pub access: u64,
    /// Share of the pairs that are up to twice as far from each other as the map says.
    pub detours: f64,
}

impl Map {
    /// How long a datagram is under way between two machines, either way, in microseconds.
    pub fn latency(&self, from: usize, to: usize) -> u64 {
        let share = |bits: u64| (bits >> 40) as f64 / (1_u64 << 24) as f64;
        let place = |i: usize| [1, 2].map(|axis| share(link(self.seed ^ axis, i, i)) * self.side as f64);
        let ([ax, ay], [bx, by]) = (place(from), place(to));
        let access = |i: usize| share(link(self.seed ^ 3, i, i)) * self.access as f64;
        let straight = (ax - bx).hypot(ay - by) + access(from) + access(to);
        let pair = link(self.seed ^ 4, from.min(to), from.max(to));
        let detour = share(pair) < self.detours;
        let factor = if detour { 1.0 + share(hash(pair)) } else { 1.0 };
        (straight * factor) as u64
    }
}

/// Datagrams that a machine may not get rid of, or not get: bits of [`Network::muted`].
pub mod muted {
    /// All that it sends is lost.
    pub const SENDING: u8 = 1;
    /// All that is sent to it is lost.
    pub const HEARING: u8 = 2;
}

/// Shortest and longest limit of a link that loses long datagrams (bytes with heads: 576 is what IPv4 asks of everybody).
const MTU: std::ops::Range<u64> = 576..1_400;
/// Bytes of the heads of IP and UDP.
const HEADS: usize = 28;
/// When a datagram comes that nobody expects any more.
pub const ECHO: std::ops::Range<u64> = 60_000_000..240_000_000;

/// Faults of the network, all of them adjustable while it runs. Times are microseconds.
#[derive(Clone, Debug)]
pub struct Network {
    /// Shortest time under way.
    pub latency: u64,
    /// Up to this much longer.
    pub jitter: u64,
    /// Instead of these two: links that differ.
    pub links: Option<Links>,
    /// Instead of these three: a map.
    pub map: Option<Map>,
    /// Share of datagrams lost, each by itself.
    pub loss: f64,
    /// Share of the time in which a link loses everything, in bursts.
    pub burst_loss: f64,
    /// Shortest burst; their lengths are distributed geometrically (Gilbert 1960).
    pub burst: u64,
    /// Share of datagrams that come twice.
    pub duplicate: f64,
    /// Share of datagrams that come once more after minutes.
    pub echo: f64,
    /// Share of datagrams that take up to `reorder_by` longer.
    pub reorder: f64,
    /// How much longer reordered ones take.
    pub reorder_by: u64,
    /// Share of links that lose long datagrams.
    pub narrow: f64,
    /// Which side of a partition each node is on.
    pub side: Vec<u8>,
    /// Whose datagrams are lost one way: bits of [`muted`].
    pub muted: Vec<u8>,
    /// Share of what a machine sends that is lost.
    pub losing: Vec<f64>,
    /// Until when what a machine sends, and what is sent to it, waits.
    blocked: Vec<u64>,
    /// Directed links that are cut.
    pub one_way: Vec<(u16, u16)>,
    /// Which of the next datagrams are lost: one bit each, the lowest for the next one.
    pub doomed: u64,
    /// What hosts refuse, and firewalls in their names.
    pub refusals: Refusals,
    /// Datagrams lost so far, by whatever fault.
    pub lost: u64,
    /// Of them, too long for their link.
    pub too_long: u64,
    /// Datagrams that are to come once more after minutes.
    pub echoes: u64,
    seed: u64,
    rng: Rng,
}

impl Network {
    /// A healthy network of `nodes` with 2 ms latency.
    pub fn new(seed: u64, nodes: usize) -> Network {
        Network {
            latency: 2_000,
            jitter: 200,
            links: None,
            map: None,
            loss: 0.0,
            burst_loss: 0.0,
            burst: 50_000,
            duplicate: 0.0,
            echo: 0.0,
            reorder: 0.0,
            reorder_by: 2_000_000,
            narrow: 0.0,
            side: vec![0; nodes],
            muted: vec![0; nodes],
            losing: vec![0.0; nodes],
            blocked: vec![0; nodes],
            one_way: Vec::new(),
            doomed: 0,
            refusals: Refusals::default(),
            lost: 0,
            too_long: 0,
            echoes: 0,
            seed,
            rng: Rng::new(seed ^ 0x6e65_7477),
        }
    }

    /// No faults from now on. What is under way stays so.
    pub fn heal(&mut self) {
        let nodes = self.side.len();
        *self = Network {
            loss: 0.0,
            burst_loss: 0.0,
            duplicate: 0.0,
            echo: 0.0,
            reorder: 0.0,
            narrow: 0.0,
            side: vec![0; nodes],
            muted: vec![0; nodes],
            losing: vec![0.0; nodes],
            one_way: Vec::new(),
            doomed: 0,
            ..self.clone()
        };
        self.refusals.rejecting.clear();
    }

    /// Whether anything may get lost.
    pub fn loses(&self) -> bool {
        self.loss > 0.0
            || self.burst_loss > 0.0
            || self.narrow > 0.0
            || !self.one_way.is_empty()
            || self.doomed != 0
            || !self.refusals.rejecting.is_empty()
            || self.muted.iter().any(|muted| *muted != 0)
            || self.losing.iter().any(|share| *share > 0.0)
            || self.side.iter().any(|side| *side != self.side[0])
    }

    /// What a machine sends, and what is sent to it, waits until then. Its node goes on.
    pub fn block(&mut self, i: usize, until: u64) {
        self.blocked[i] = until;
    }

    /// Until when a machine is blocked, if it is.
    pub fn blocked(&self, i: usize, now: u64) -> Option<u64> {
        Some(self.blocked[i]).filter(|until| *until > now)
    }

    /// When copies of a datagram sent at `now` arrive: none, one or two times.
    pub fn carry(&mut self, now: u64, from: usize, to: usize) -> [Option<u64>; 2] {
        let doomed = self.doomed & 1 != 0;
        self.doomed >>= 1;
        let cut = doomed
            || self.side[from] != self.side[to]
            || self.muted[from] & muted::SENDING != 0
            || self.muted[to] & muted::HEARING != 0
            || self.one_way.contains(&(from as u16, to as u16))
            || self.rng.chance(self.loss)
            || self.losing[from] > 0.0 && self.rng.chance(self.losing[from])
            || self.in_burst(now, from, to);
        if cut {
            self.lost += 1;
            return [None, None];
        }
        let (latency, jitter) = match (self.map, self.links) {
            (Some(map), _) => (map.latency(from, to), self.jitter),
            (None, Some(links)) => links.latency(from, to),
            (None, None) => (self.latency, self.jitter),
        };
        let mut at = now.max(self.blocked[from]) + latency + self.rng.below(jitter + 1);
        if self.rng.chance(self.reorder) {
            at += self.rng.below(self.reorder_by);
        }
        if self.rng.chance(self.echo) {
            self.echoes += 1;
            return [Some(at), Some(at + self.rng.range(ECHO))];
        }
        let twin = self.rng.chance(self.duplicate).then(|| at + self.rng.below(self.reorder_by));
        [Some(at), twin]
    }

    /// Whether a datagram of this length passes the link; if not, it is lost.
    pub fn fits(&mut self, from: usize, to: usize, len: usize) -> bool {
        if self.narrow == 0.0 {
            return true;
        }
        let link = link(self.seed ^ 0x6d7475, from, to);
        let narrow = (link >> 40) as f64 / (1_u64 << 24) as f64;
        let fits =
            narrow >= self.narrow || len + HEADS <= (MTU.start + link % (MTU.end - MTU.start)) as usize;
        self.lost += !fits as u64;
        self.too_long += !fits as u64;
        fits
    }

    /// Whether this link is in one of its bad moments: a function of link and time, so that bursts need no state.
    fn in_burst(&self, now: u64, from: usize, to: usize) -> bool {
        self.burst_loss > 0.0 && {
            let moment = (now / self.burst) ^ (from as u64) << 40 ^ (to as u64) << 20;
            Rng::new(moment ^ 0xb0_0b5).chance(self.burst_loss)
        }
    }
}

/// 64 bits that belong to one direction of one link.
fn link(seed: u64, from: usize, to: usize) -> u64 {
    hash(seed ^ hash((from as u64) << 32 | to as u64))
}

#[cfg(test)]
mod tests {
    use super::{Links, Network};

    #[test]
    fn links_differ_and_stay_as_they_are() {
        let links = Links { seed: 7, base: 10_000, jitter: 0.5 };
        let all: Vec<u64> = (0..100).map(|to| links.latency(200, to).0).collect();
        assert!(all.iter().all(|latency| (5_000..=15_000).contains(latency)));
        assert!(all.iter().min() < Some(&6_000) && all.iter().max() > Some(&14_000));
        assert_ne!(links.latency(1, 2), links.latency(2, 1));
        assert_eq!(links.latency(1, 2), links.latency(1, 2));
    }

    #[test]
    fn a_narrow_link_loses_what_is_long() {
        let mut network = Network::new(1, 2);
        network.narrow = 1.0;
        assert!(network.fits(0, 1, 500) && !network.fits(0, 1, 1_400));
        network.heal();
        assert!(network.fits(0, 1, 1_400) && network.too_long == 1);
    }
}

//! What happens to a datagram on its way.

use crate::rng::Rng;

/// Faults of the network, all of them adjustable while it runs. Times are microseconds.
#[derive(Clone, Debug)]
pub struct Network {
    /// Shortest time under way.
    pub latency: u64,
    /// Up to this much longer.
    pub jitter: u64,
    /// Share of datagrams lost, each by itself.
    pub loss: f64,
    /// Share of the time in which a link loses everything, in bursts.
    pub burst_loss: f64,
    /// Shortest burst; their lengths are distributed geometrically (Gilbert 1960).
    pub burst: u64,
    /// Share of datagrams that come twice.
    pub duplicate: f64,
    /// Share of datagrams that take up to `reorder_by` longer.
    pub reorder: f64,
    /// How much longer reordered ones take.
    pub reorder_by: u64,
    /// Which side of a partition each node is on.
    pub side: Vec<u8>,
    /// Directed links that are cut.
    pub one_way: Vec<(u16, u16)>,
    /// Datagrams lost so far, by whatever fault.
    pub lost: u64,
    rng: Rng,
}

impl Network {
    /// A healthy network of `nodes` with 2 ms latency.
    pub fn new(seed: u64, nodes: usize) -> Network {
        Network {
            latency: 2_000,
            jitter: 200,
            loss: 0.0,
            burst_loss: 0.0,
            burst: 50_000,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: 2_000_000,
            side: vec![0; nodes],
            one_way: Vec::new(),
            lost: 0,
            rng: Rng::new(seed ^ 0x6e65_7477),
        }
    }

    /// No faults from now on.
    pub fn heal(&mut self) {
        let side = vec![0; self.side.len()];
        *self = Network {
            loss: 0.0,
            burst_loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            side,
            one_way: Vec::new(),
            ..self.clone()
        };
    }

    /// When copies of a datagram sent at `now` arrive: none, one or two times.
    pub fn carry(&mut self, now: u64, from: usize, to: usize) -> [Option<u64>; 2] {
        let cut = self.side[from] != self.side[to]
            || self.one_way.contains(&(from as u16, to as u16))
            || self.rng.chance(self.loss)
            || self.in_burst(now, from, to);
        if cut {
            self.lost += 1;
            return [None, None];
        }
        let mut at = now + self.latency + self.rng.below(self.jitter + 1);
        if self.rng.chance(self.reorder) {
            at += self.rng.below(self.reorder_by);
        }
        let twin = self.rng.chance(self.duplicate).then(|| at + self.rng.below(self.reorder_by));
        [Some(at), twin]
    }

    /// Whether this link is in one of its bad moments: a function of link and time, so that bursts need no state.
    fn in_burst(&self, now: u64, from: usize, to: usize) -> bool {
        self.burst_loss > 0.0 && {
            let moment = (now / self.burst) ^ (from as u64) << 40 ^ (to as u64) << 20;
            Rng::new(moment ^ 0xb0_0b5).chance(self.burst_loss)
        }
    }
}

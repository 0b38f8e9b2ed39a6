//! Network coordinates: places in a space in which distances are round trips, so that two members' round trip can be told
//! though nobody has measured it.
//!
//! Vivaldi (Dabek, Cox, Kaashoek, Morris: "Vivaldi: A Decentralized Network Coordinate System", 2004) with what Serf adds to it:
//! a height for the link into the network, an adjustment and a median filter (Ledlie, Gardner, Seltzer: "Network Coordinates in
//! the Wild", 2007), and a gravity that keeps a fleet around the origin. Each answer to a direct probe carries the place of whoever
//! answers; the prober moves by a part of what its own place gets wrong. All distances are in seconds, as f32.

use libm::sqrtf;

use crate::random::Random;
use crate::time::Duration;

/// Dimensions of the space.
pub const DIMENSIONS: usize = 8;
/// Where a new node's error begins, and where it stays below.
const ERROR_MAX: f32 = 1.5;
/// How much one measurement says about the error, and how far it moves a node: the paper's c_e and c_c.
const CE: f32 = 0.25;
const CC: f32 = 0.25;
/// Measurements that the adjustment is made of.
const WINDOW: usize = 20;
const HEIGHT_MIN: f32 = 10e-6;
/// The gravity is 1 at this distance, if that were seconds: weak where fleets are.
const GRAVITY_RHO: f32 = 150.0;
/// Below this a distance is none.
const ZERO: f32 = 1e-6;
/// By how many round trips an estimate may be too long, to count.
const FAR: f32 = 4.0;
/// A longer round trip is none.
const RTT_MAX: Duration = Duration::from_secs(10);
/// Of how many measurements of a peer the median counts.
const SAMPLES: usize = 3;

/// A place in the space.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Coordinate {
    /// In each dimension, in seconds.
    pub vec: [f32; DIMENSIONS],
    /// The link into the network, in seconds: it is part of each distance.
    pub height: f32,
    /// What measurements say that the space cannot show, in seconds; of either sign.
    pub adjustment: f32,
    /// How far off distances from here are believed to be: 0 to 1.5, a share of them.
    pub error: f32,
}

impl Coordinate {
    /// Where every node begins.
    pub const ORIGIN: Coordinate =
        Coordinate { vec: [0.0; DIMENSIONS], height: HEIGHT_MIN, adjustment: 0.0, error: ERROR_MAX };

    /// Bytes of one on the wire.
    pub(crate) const PACKED: usize = 2 + 2 * (DIMENSIONS + 2);

    /// The estimated round trip, in seconds.
    pub fn distance(&self, other: &Coordinate) -> f32 {
        let raw = self.raw_distance(other);
        let adjusted = raw + self.adjustment + other.adjustment;
        if adjusted > 0.0 { adjusted } else { raw }
    }

    /// Without adjustments.
    fn raw_distance(&self, other: &Coordinate) -> f32 {
        self.direction_from(other).1 + self.height + other.height
    }

    /// From the other one to here: the way, not of any certain length, and how long it is.
    fn direction_from(&self, other: &Coordinate) -> ([f32; DIMENSIONS], f32) {
        let way = core::array::from_fn(|i| self.vec[i] - other.vec[i]);
        (way, magnitude(&way))
    }

    /// Moves away from the other one by so much; a negative force pulls.
    fn push(&mut self, random: &mut Random, force: f32, other: &Coordinate) {
        let (mut way, mut length) = self.direction_from(other);
        let apart = length > ZERO;
        if !apart {
            // Two at one place have to part in some direction.
            way = core::array::from_fn(|_| random.below(1 << 16) as f32 - 32_767.5);
            length = magnitude(&way);
        }
        for (here, way) in self.vec.iter_mut().zip(way) {
            *here += way / length * force;
        }
        if apart {
            self.height = ((self.height + other.height) * force / length + self.height).max(HEIGHT_MIN);
        }
    }

    fn is_valid(&self) -> bool {
        self.vec.iter().chain([&self.height, &self.adjustment, &self.error]).all(|field| field.is_finite())
    }

    /// As it travels: an exponent, the error in 255ths of its greatest value, then dimensions, height and adjustment as i16,
    /// little-endian, in units of 2^-exponent seconds.
    pub(crate) fn pack(&self) -> [u8; Self::PACKED] {
        let fields = || self.vec.iter().chain([&self.height, &self.adjustment]);
        let greatest = fields().fold(0.0, |greatest: f32, field| greatest.max(field.abs()));
        let mut exponent = 0;
        while exponent < 30 && greatest * unit(exponent + 1) < i16::MAX as f32 {
            exponent += 1;
        }
        let mut bytes = [0; Self::PACKED];
        bytes[0] = exponent;
        bytes[1] = (self.error * 255.0 / ERROR_MAX) as u8;
        for (place, field) in bytes[2..].chunks_mut(2).zip(fields()) {
            let rounded = field * unit(exponent) + if *field < 0.0 { -0.5 } else { 0.5 };
            place.copy_from_slice(&(rounded as i16).to_le_bytes());
        }
        bytes
    }

    /// The opposite; `None` if that is none. What it holds is finite, whatever the bytes are.
    pub(crate) fn unpack(bytes: &[u8]) -> Option<Coordinate> {
        let (&[exponent, error], rest) = bytes.split_first_chunk()?;
        let (fields, []) = rest.as_chunks::<2>() else { return None };
        if fields.len() != DIMENSIONS + 2 || exponent > 30 {
            return None;
        }
        let field = |i: usize| i16::from_le_bytes(fields[i]) as f32 / unit(exponent);
        Some(Coordinate {
            vec: core::array::from_fn(field),
            height: field(DIMENSIONS).max(HEIGHT_MIN),
            adjustment: field(DIMENSIONS + 1),
            error: error as f32 * ERROR_MAX / 255.0,
        })
    }
}

/// How many units a second has.
fn unit(exponent: u8) -> f32 {
    (1_u32 << exponent) as f32
}

fn magnitude(way: &[f32; DIMENSIONS]) -> f32 {
    sqrtf(way.iter().map(|part| part * part).sum())
}

/// What is known of one member. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Peer {
    coordinate: Coordinate,
    /// Its last round trips, in microseconds; the latest at `samples % SAMPLES`.
    round_trips: [u32; SAMPLES],
    samples: u8,
    /// It has told where it is.
    is_placed: bool,
}

impl Peer {
    /// A free place.
    pub const EMPTY: Peer = Peer {
        coordinate: Coordinate { vec: [0.0; DIMENSIONS], height: 0.0, adjustment: 0.0, error: 0.0 },
        round_trips: [0; SAMPLES],
        samples: 0,
        is_placed: false,
    };
}

/// This node's place, and those of the members that have told theirs.
pub(crate) struct Coordinates<'a> {
    own: Coordinate,
    /// What the space got wrong of late.
    window: [f32; WINDOW],
    at: u8,
    /// One per member; none: this node takes no part.
    peers: &'a mut [Peer],
    /// How often the own place was lost, and begun again at the origin.
    pub(crate) resets: u32,
}

impl<'a> Coordinates<'a> {
    pub(crate) fn new(peers: &'a mut [Peer]) -> Self {
        // What was never used stays untouched: a server's memory is lent as it is used.
        let used = peers.iter_mut().filter(|peer| peer.samples > 0 || peer.is_placed);
        used.for_each(|peer| *peer = Peer::EMPTY);
        Coordinates { own: Coordinate::ORIGIN, window: [0.0; WINDOW], at: 0, peers, resets: 0 }
    }

    pub(crate) fn release(self) -> &'a mut [Peer] {
        self.peers
    }

    /// This node's own; `None` if it takes no part.
    pub(crate) fn own(&self) -> Option<&Coordinate> {
        (!self.peers.is_empty()).then_some(&self.own)
    }

    /// Where a member was when it was last measured.
    pub(crate) fn of(&self, member: u16) -> Option<&Coordinate> {
        self.peers.get(member as usize).filter(|peer| peer.is_placed).map(|peer| &peer.coordinate)
    }

    /// The longest of a member's last round trips, once there are enough.
    pub(crate) fn longest(&self, member: u16) -> Option<Duration> {
        let peer = self.peers.get(member as usize).filter(|peer| peer.samples as usize >= SAMPLES)?;
        peer.round_trips.iter().max().map(|longest| Duration::from_micros(*longest as u64))
    }

    /// How long a member took to answer tells nothing any more.
    pub(crate) fn forget_times(&mut self, member: u16) {
        if let Some(peer) = self.peers.get_mut(member as usize) {
            peer.samples = 0;
        }
    }

    pub(crate) fn forget(&mut self, member: u16) {
        if let Some(peer) = self.peers.get_mut(member as usize) {
            *peer = Peer::EMPTY;
        }
    }

    /// A member has answered a direct probe after this time, and told where it is, if it takes part.
    pub(crate) fn measured(&mut self, random: &mut Random, member: u16, took: Duration, packed: &[u8]) {
        let Some(peer) = self.peers.get_mut(member as usize).filter(|_| took <= RTT_MAX) else { return };
        peer.round_trips[peer.samples as usize % SAMPLES] = took.as_micros() as u32;
        // Counted on within what the remainder goes round in.
        peer.samples =
            if peer.samples as usize == 2 * SAMPLES - 1 { SAMPLES as u8 } else { peer.samples + 1 };
        let Some(theirs) = Coordinate::unpack(packed) else { return };
        (peer.coordinate, peer.is_placed) = (theirs, true);
        let mut known = peer.round_trips;
        let known = &mut known[..(peer.samples as usize).min(SAMPLES)];
        known.sort_unstable();
        let rtt = known[known.len() / 2] as f32 / 1e6;
        self.learn(random, &theirs, rtt.max(ZERO));
        if !self.own.is_valid() {
            (self.own, self.window) = (Coordinate::ORIGIN, [0.0; WINDOW]);
            self.resets += 1;
        }
    }

    fn learn(&mut self, random: &mut Random, theirs: &Coordinate, rtt: f32) {
        let own = &mut self.own;
        let distance = own.distance(theirs);
        // Whoever says that it is far away, though it answers soon, moves this node by no more than some of these times.
        let off = (rtt - distance).max(-FAR * rtt);
        let wrong = off.abs() / rtt;
        let weight = own.error / (own.error + theirs.error).max(ZERO);
        own.error = (CE * weight * wrong + own.error * (1.0 - CE * weight)).min(ERROR_MAX);
        own.push(random, CC * weight * off, theirs);

        self.window[self.at as usize] = (rtt - own.raw_distance(theirs)).max(-FAR * rtt);
        self.at = (self.at + 1) % WINDOW as u8;
        own.adjustment = self.window.iter().sum::<f32>() / (2 * WINDOW) as f32;

        let origin = Coordinate { error: 0.0, ..Coordinate::ORIGIN };
        let away = own.distance(&origin) / GRAVITY_RHO;
        own.push(random, -away * away, &origin);
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// Nodes that measure one another, a random one each in each of 1,000 cycles, by these round trips: mean and greatest relative
    /// error of all distances, the median of so many runs each.
    fn simulate(nodes: usize, truth: impl Fn(usize, usize) -> f32) -> (f32, f32) {
        let (mut means, mut greatest): (Vec<_>, Vec<_>) =
            (0..RUNS as u64).map(|seed| simulate_once(seed, nodes, &truth)).unzip();
        means.sort_by(f32::total_cmp);
        greatest.sort_by(f32::total_cmp);
        (means[RUNS / 2], greatest[RUNS / 2])
    }

    const RUNS: usize = 11;

    fn simulate_once(seed: u64, nodes: usize, truth: &impl Fn(usize, usize) -> f32) -> (f32, f32) {
        let mut memory = vec![vec![Peer::EMPTY; nodes]; nodes];
        let mut fleet: Vec<_> = memory.iter_mut().map(|peers| Coordinates::new(peers)).collect();
        let mut random = Random::new(seed);
        for _ in 0..1_000 {
            for i in 0..nodes {
                let j = random.below(nodes as u32) as usize;
                if i != j {
                    let packed = fleet[j].own.pack();
                    let took = Duration::from_micros((truth(i, j) * 1e6).round() as u64);
                    fleet[i].measured(&mut random, j as u16, took, &packed);
                }
            }
        }
        let (mut sum, mut greatest, mut count) = (0.0, 0.0_f32, 0);
        for i in 0..nodes {
            for j in i + 1..nodes {
                let wrong = (fleet[i].own.distance(&fleet[j].own) - truth(i, j)).abs() / truth(i, j);
                (sum, greatest, count) = (sum + wrong, greatest.max(wrong), count + 1);
            }
        }
        (sum / count as f32, greatest)
    }

    /// Go Serf's tests of its own, with the bounds that they hold one run each to.
    #[test]
    fn on_a_line_on_a_grid_and_in_two_halves_distances_are_as_true_as_go_s() {
        let apart = |i: usize, j: usize| i.abs_diff(j) as f32;
        let line = simulate(10, |i, j| 0.010 * apart(i, j));
        assert!(line.0 <= 0.0031 && line.1 <= 0.0130, "{line:?}");
        let place = |i: usize| ((i % 5) as f32, (i / 5) as f32);
        let grid = simulate(25, |i, j| {
            let ((a, b), (c, d)) = (place(i), place(j));
            0.010 * sqrtf((a - c) * (a - c) + (b - d) * (b - d))
        });
        assert!(grid.0 <= 0.0016 && grid.1 <= 0.0230, "{grid:?}");
        let split = simulate(25, |i, j| if (i < 12) == (j < 12) { 0.001 } else { 0.011 });
        assert!(split.0 <= 0.000_060 && split.1 <= 0.000_48, "{split:?}");
    }

    #[test]
    fn what_is_packed_comes_back_and_anything_else_is_refused_or_finite() {
        let mut random = Random::new(7);
        for scale in [1e-7, 1e-4, 0.01, 1.0, 30.0] {
            let mut field = || (random.below(2_000) as f32 / 1_000.0 - 1.0) * scale;
            let place = Coordinate {
                vec: core::array::from_fn(|_| field()),
                height: field().abs().max(HEIGHT_MIN),
                adjustment: field(),
                error: 0.3,
            };
            let back = Coordinate::unpack(&place.pack()).expect("one");
            let off = |a: f32, b: f32| (a - b).abs() <= 1e-4 * scale + 1e-9;
            assert!(place.vec.iter().zip(back.vec).all(|(a, b)| off(*a, b)), "{place:?} {back:?}");
            assert!(off(place.adjustment, back.adjustment) && (back.error - 0.3).abs() < 0.01);
        }
        for _ in 0..10_000 {
            let bytes: [u8; Coordinate::PACKED] = core::array::from_fn(|_| random.below(256) as u8);
            assert_eq!(Coordinate::unpack(&bytes).is_some(), bytes[0] <= 30);
            assert!(Coordinate::unpack(&bytes).is_none_or(|place| place.is_valid()));
        }
        assert!(Coordinate::unpack(&[0; 21]).is_none() && Coordinate::unpack(&[0; 24]).is_none());
    }

    #[test]
    fn a_liar_moves_nobody_out_of_the_space() {
        let mut peers = [Peer::EMPTY; 2];
        let mut node = Coordinates::new(&mut peers);
        let mut random = Random::new(3);
        for round in 0..10_000_u64 {
            let bytes: [u8; Coordinate::PACKED] = core::array::from_fn(|_| random.below(256) as u8);
            node.measured(&mut random, 1, Duration::from_micros(round % 11_000_000), &bytes);
            assert!(node.own.is_valid());
        }
    }

    /// Without a bound the median error of honest pairs was 36 to 58,000.
    #[test]
    fn one_liar_among_twenty_takes_half_of_what_the_others_know_and_no_more() {
        const NODES: usize = 20;
        for lie in [10.0, 1_000.0, 32_000.0] {
            let mut memory = vec![vec![Peer::EMPTY; NODES + 1]; NODES];
            let mut fleet: Vec<_> = memory.iter_mut().map(|peers| Coordinates::new(peers)).collect();
            let mut random = Random::new(5);
            let liar = Coordinate { vec: [lie; DIMENSIONS], error: 0.0, ..Coordinate::ORIGIN }.pack();
            for _ in 0..2_000 {
                for i in 0..NODES {
                    let j = (i + 1 + random.below(NODES as u32) as usize) % (NODES + 1);
                    let packed = if j == NODES { liar } else { fleet[j].own.pack() };
                    fleet[i].measured(&mut random, j as u16, Duration::from_millis(10), &packed);
                }
            }
            let pairs = (0..NODES).flat_map(|i| (i + 1..NODES).map(move |j| (i, j)));
            let wrong = |(i, j): (usize, usize)| (fleet[i].own.distance(&fleet[j].own) - 0.010).abs() / 0.010;
            let mut errors: Vec<f32> = pairs.map(wrong).collect();
            errors.sort_by(f32::total_cmp);
            assert!(errors[errors.len() / 2] < 0.5, "{lie}: {}", errors[errors.len() / 2]);
        }
    }

    #[test]
    fn one_slow_answer_of_three_moves_nothing_and_the_longest_is_known() {
        let mut peers = [Peer::EMPTY; 1];
        let mut node = Coordinates::new(&mut peers);
        let mut random = Random::new(3);
        let there = Coordinate::ORIGIN.pack();
        let mut measure = |node: &mut Coordinates<'_>, ms| {
            node.measured(&mut random, 0, Duration::from_millis(ms), &there);
        };
        (0..200).for_each(|_| measure(&mut node, 10));
        let before = node.own;
        measure(&mut node, 900);
        assert!((node.own.distance(&before)).abs() < 0.002, "{:?}", node.own);
        assert_eq!(node.longest(0), Some(Duration::from_millis(900)));
        (0..3).for_each(|_| measure(&mut node, 10));
        assert_eq!(node.longest(0), Some(Duration::from_millis(10)));
        node.forget(0);
        assert!(node.longest(0).is_none() && node.of(0).is_none());
    }
}

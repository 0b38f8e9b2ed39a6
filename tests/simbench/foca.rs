//! foca (crates.io) on the same simulated network, with its own settings for a LAN: a second rival, for what it can do.
//! Its users gossip when foca's timers say so; an origin gossips once more, at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::rc::Rc;

use fleet_tests::measure::{Figures, quantile};
use fleet_tests::network::Network;
use fleet_tests::wire::{addr, machine};
use foca::{
    AccumulatingRuntime, BroadcastHandler, Config, Foca, Identity, Invalidates, Member, OwnedNotification,
    PostcardCodec, Timer,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

const SECOND: u64 = 1_000_000;
/// Losses at which events are fired, in percent.
pub const LOSSES: [u32; 2] = [0, 5];

/// A node: its address, and how often it has come back from the dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Id(SocketAddr, u16);

impl Id {
    fn of(i: usize) -> Id {
        Id(addr(i as u32), 0)
    }
}

impl Identity for Id {
    type Addr = SocketAddr;

    fn renew(&self) -> Option<Id> {
        Some(Id(self.0, self.1 + 1))
    }

    fn addr(&self) -> SocketAddr {
        self.0
    }

    fn win_addr_conflict(&self, other: &Id) -> bool {
        self.1 > other.1
    }
}

/// An event by its number.
struct Key(u64);

impl Invalidates for Key {
    fn invalidates(&self, other: &Key) -> bool {
        self.0 == other.0
    }
}

/// What has come in at all nodes: new events of late, and copies of events in all.
#[derive(Default)]
struct Heard {
    fresh: usize,
    copies: u64,
}

/// Events that a node has seen.
struct Events {
    seen: HashSet<u64>,
    heard: Rc<RefCell<Heard>>,
}

impl BroadcastHandler<Id> for Events {
    type Key = Key;
    type Error = Infallible;

    fn receive_item(&mut self, data: &[u8], sender: Option<&Id>) -> Result<Option<Key>, Infallible> {
        let number = data.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let new = self.seen.insert(number);
        if sender.is_some() {
            let mut heard = self.heard.borrow_mut();
            heard.copies += 1;
            heard.fresh += new as usize;
        }
        Ok(new.then_some(Key(number)))
    }
}

type Node = Foca<Id, PostcardCodec, SmallRng, Events>;

/// A node that knows so many others, and what it wants done for it.
fn node(i: usize, count: usize, heard: &Rc<RefCell<Heard>>) -> (Node, AccumulatingRuntime<Id>) {
    let config = Config::new_lan(NonZeroU32::new(count as u32).expect("somebody"));
    let events = Events { seen: HashSet::new(), heard: heard.clone() };
    let rng = SmallRng::seed_from_u64(i as u64);
    let mut node = Foca::with_custom_broadcast(Id::of(i), config, rng, PostcardCodec, events);
    let mut wants = AccumulatingRuntime::new();
    let others = (0..count).filter(|other| *other != i).map(|other| Member::alive(Id::of(other)));
    node.apply_many(others, false, &mut wants).expect("others are no harm");
    (node, wants)
}

enum What {
    Timer(usize, Timer<Id>),
    Packet(usize, Vec<u8>),
}

/// A fleet under virtual time, in microseconds.
struct World {
    nodes: Vec<Node>,
    network: Network,
    queue: BTreeMap<(u64, u64), What>,
    order: u64,
    now: u64,
    heard: Rc<RefCell<Heard>>,
    /// When new events came.
    times: Vec<u64>,
    /// Verdicts on others.
    downs: u64,
    sent: (u64, u64),
}

impl World {
    /// Everybody knows everybody, and begins at a time of its own within a second.
    fn new(count: usize) -> World {
        let heard = Rc::default();
        let mut world = World {
            nodes: Vec::new(),
            network: Network::new(1, count),
            queue: BTreeMap::new(),
            order: 0,
            now: 0,
            heard,
            times: Vec::new(),
            downs: 0,
            sent: (0, 0),
        };
        for i in 0..count {
            let (node, mut wants) = node(i, count, &world.heard);
            world.nodes.push(node);
            world.now = SECOND * i as u64 / count as u64;
            world.settle(i, &mut wants);
        }
        world.downs = 0;
        world
    }

    fn push(&mut self, at: u64, what: What) {
        self.order += 1;
        self.queue.insert((at, self.order), what);
    }

    /// Does what a node wants done.
    fn settle(&mut self, i: usize, wants: &mut AccumulatingRuntime<Id>) {
        while let Some((after, timer)) = wants.to_schedule() {
            self.push(self.now + after.as_micros() as u64, What::Timer(i, timer));
        }
        while let Some((to, bytes)) = wants.to_send() {
            self.sent.0 += bytes.len() as u64 + 28;
            self.sent.1 += 1;
            let to = machine(to.0);
            for at in self.network.carry(self.now, i, to).into_iter().flatten() {
                self.push(at, What::Packet(to, bytes.to_vec()));
            }
        }
        while let Some(told) = wants.to_notify() {
            self.downs += matches!(told, OwnedNotification::MemberDown(_)) as u64;
        }
        let fresh = std::mem::take(&mut self.heard.borrow_mut().fresh);
        self.times.extend(std::iter::repeat_n(self.now, fresh));
    }

    fn run(&mut self, span: u64) {
        let end = self.now + span;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), what) = entry.remove_entry();
            self.now = self.now.max(at);
            let mut wants = AccumulatingRuntime::new();
            // What is refused is about somebody who is down by now.
            let (i, _) = match what {
                What::Timer(i, timer) => (i, self.nodes[i].handle_timer(timer, &mut wants)),
                What::Packet(i, bytes) => (i, self.nodes[i].handle_data(&bytes, &mut wants)),
            };
            self.settle(i, &mut wants);
        }
        self.now = end;
    }

    /// Fires an event, and waits until everybody has it. Returns how long each has waited, in ms.
    fn fire(&mut self, i: usize, number: u64) -> Vec<f64> {
        let began = self.now;
        self.times.clear();
        let mut data = number.to_le_bytes().to_vec();
        data.extend(b"deploy");
        self.nodes[i].add_broadcast(&data).expect("it is short");
        let mut wants = AccumulatingRuntime::new();
        self.nodes[i].gossip(&mut wants).expect("others are there");
        self.settle(i, &mut wants);
        while self.now < began + 3 * SECOND
            || (self.times.len() + 1 < self.nodes.len() && self.now < began + 60 * SECOND)
        {
            self.run(SECOND);
        }
        self.times.iter().map(|at| (at - began) as f64 / 1000.0).collect()
    }
}

/// All figures of a fleet of so many nodes: idle for a minute; events at each loss; verdicts within four minutes.
pub fn measure(nodes: usize) -> Figures {
    let mut figures = Figures::new();
    let mut world = World::new(nodes);
    world.run(20 * SECOND);
    world.sent = (0, 0);
    world.run(60 * SECOND);
    figures.insert("idle_bytes".into(), world.sent.0 as f64 / 60.0 / nodes as f64);
    figures.insert("idle_datagrams".into(), world.sent.1 as f64 / 60.0 / nodes as f64);
    let events = 20;
    for percent in LOSSES {
        world.network.loss = percent as f64 / 100.0;
        world.heard.take();
        let mut times: [Vec<f64>; 3] = Default::default();
        let mut missed = 0;
        for event in 0..events {
            let mut waited = world.fire(event * 37 % nodes, percent as u64 * 100 + event as u64);
            missed += nodes - 1 - waited.len();
            for (times, share) in times.iter_mut().zip([0.5, 0.99, 1.0]) {
                times.push(quantile(&mut waited, share));
            }
        }
        for (name, mut times) in ["t50", "t99", "t100"].into_iter().zip(times) {
            figures.insert(format!("{name}_{percent}"), quantile(&mut times, 0.5));
        }
        let copies = world.heard.borrow().copies as f64 / (events * nodes) as f64;
        figures.insert(format!("copies_{percent}"), copies);
        figures.insert(format!("missed_{percent}"), missed as f64);
    }
    figures
}

/// Verdicts "down" on nodes that live, as pairs of observer and subject within four minutes, at this loss.
pub fn verdicts(nodes: usize, percent: usize) -> u64 {
    let mut world = World::new(nodes);
    world.network.loss = percent as f64 / 100.0;
    world.run(240 * SECOND);
    world.downs
}

/// Hands one datagram in; the answer comes with it. Callgrind finds it by its name.
#[inline(never)]
fn handle(node: &mut Node, bytes: &[u8], wants: &mut AccumulatingRuntime<Id>) {
    let _ = std::hint::black_box(node.handle_data(bytes, wants));
}

/// The program that callgrind runs: one node that knows so many members, and pings of some of them.
pub fn pings(packets: u64, members: usize) {
    let heard = Rc::default();
    let (mut pinged, _) = node(0, members, &heard);
    for i in 0..packets as usize {
        let (mut pinger, mut wants) = node(1 + i * 37 % (members - 1), 1, &heard);
        let mut timer = None;
        while let Some((_, wanted)) = wants.to_schedule() {
            timer = timer.or(matches!(wanted, Timer::ProbeRandomMember(_)).then_some(wanted));
        }
        pinger.handle_timer(timer.expect("it knows one to probe"), &mut wants).expect("its own timer");
        let (_, ping) = wants.to_send().expect("a ping");
        handle(&mut pinged, &ping, &mut AccumulatingRuntime::new());
    }
}

/// What [`handle`] is called for callgrind.
pub const HANDLE: &str = concat!(module_path!(), "::handle");

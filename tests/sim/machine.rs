//! A simulated machine: its node, its hardware, and what survives a reboot.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use serf_nostd::wire::message::EventId;
use serf_nostd::{Belonging, Config, Event, Instant, Key, Node, Past};

use crate::clock::Clock;
use crate::memory::Size;
use crate::questions::Questions;

/// The port of every node.
pub const PORT: u16 = 7946;
/// Datagrams that wait for a machine which is stopped, where nothing else is said.
const BACKLOG: usize = 256;

/// The program around a node: how well it does its part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Driver {
    /// It drains its node up to so much later than something came in or was due: microseconds.
    pub late: u64,
    /// Share of the node's datagrams that it fails to send.
    pub loses: f64,
}

/// A router between a machine and all others. It lets in what answers something, at the port that it chose for it.
#[derive(Clone, Copy, Debug)]
pub struct Nat {
    /// Under this port the others see the machine.
    pub port: u16,
    /// It forgets that after so long without a datagram from inside: microseconds.
    pub patience: u64,
    /// When it forgets it; 0: it has.
    pub until: u64,
    /// How often it has forgotten a port.
    pub forgotten: u64,
    /// It says so of what it has no port for, where others say nothing.
    pub refuses: bool,
}

impl Nat {
    /// A router that keeps the machine's own port the first time.
    pub fn new(patience: u64) -> Nat {
        Nat { port: PORT, patience, until: 0, forgotten: 0, refuses: false }
    }

    /// The port that a datagram from inside goes out by.
    pub(crate) fn outward(&mut self, now: u64) -> u16 {
        if self.until > 0 && now >= self.until {
            self.port = self.port.wrapping_add(1).max(1_024);
            self.forgotten += 1;
        }
        self.until = now + self.patience;
        self.port
    }

    /// Whether a datagram to this port comes in.
    pub(crate) fn inward(&self, now: u64, port: u16) -> bool {
        port == self.port && now < self.until
    }
}

/// What a machine's program keeps over its end.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    pub(crate) clocks: [u64; 3],
    pub(crate) belonging: Option<Belonging>,
    pub(crate) floor: EventId,
    /// What its application was handed.
    pub(crate) events: Vec<EventId>,
    /// The last values among it.
    pub(crate) values: BTreeMap<u64, EventId>,
}

impl Kept {
    /// Before the application is handed something.
    pub(crate) fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::User(event) => {
                self.events.push(event.id);
                if event.coalesce {
                    self.values.insert(event.key(), event.id);
                }
            }
            Event::Query(question) => self.events.push(question.id),
            _ => {}
        }
    }

    /// The machine ends.
    pub(crate) fn end(&mut self, node: &Node<'_>) {
        let gauges = node.gauges();
        self.clocks = [gauges.member_time, gauges.event_time, gauges.query_time];
        (self.belonging, self.floor) = (node.belonging(), node.event_floor());
        self.events.extend(node.settled());
    }

    /// Tells a node of the next boot.
    pub(crate) fn recall(&self, node: &mut Node<'_>, now: Instant) {
        let values: Vec<(u64, EventId)> = self.values.iter().map(|(key, id)| (*key, *id)).collect();
        let Kept { clocks, belonging, floor, .. } = *self;
        node.recall(now, &Past { clocks, belonging, floor, events: &self.events, values: &values });
    }
}

/// A simulated machine.
pub struct Machine {
    pub(crate) node: Option<Node<'static>>,
    /// While its program is off its system goes on, and refuses what is sent to it.
    pub(crate) refuses: bool,
    /// Its capacities.
    pub size: Size,
    /// What its node was last started with.
    pub profile: Config,
    /// When its loop wakes up next; `u64::MAX` when it is off or frozen.
    pub(crate) wake: u64,
    /// What its clock shows when its node wants to be called.
    pub(crate) deadline: u64,
    pub(crate) clock: Clock,
    pub(crate) frozen_until: u64,
    /// Datagrams that wait: while it is frozen, or for their turn.
    pub(crate) inbox: VecDeque<(SocketAddr, Vec<u8>)>,
    /// When it is done with the first of them; `u64::MAX` if it works on none.
    pub(crate) served: u64,
    /// Microseconds that it takes for each datagram that comes in; with 0 none of them waits.
    pub service: u64,
    /// How many can wait; what finds them all taken is lost.
    pub places: usize,
    /// Datagrams lost in that way.
    pub overflowed: u64,
    /// How well its program does its part.
    pub driver: Driver,
    /// How often it was late.
    pub late: u64,
    /// Datagrams that it failed to send.
    pub unsent: u64,
    /// It forgets its boot number with everything else: each boot is its first.
    pub forgetful: bool,
    /// Its instance number, instead of a random one at each boot.
    pub instance: Option<u16>,
    /// How often it has booted; its node's boot number, if nothing else is said.
    pub boots: u64,
    /// Its boot numbers are so much ahead.
    pub boots_ahead: u64,
    /// Keys that it has kept, the primary one first; none: those of its fleet's.
    pub keys: Vec<Key>,
    /// The event clock when it last ran: what a device would keep in flash.
    pub floor: u64,
    /// What a server would keep in its snapshot.
    pub(crate) kept: Kept,
    /// Which fleets its node has come into since it was switched on, and when.
    pub fleets: Vec<(u64, u32)>,
    /// When it came to know of somebody who lives, after it had known of nobody, and in which fleet it was then.
    pub companies: Vec<(u64, u32)>,
    /// The queries of its node's, since it was switched on.
    pub questions: Questions,
    /// Its application takes no events for now.
    pub deaf: bool,
    pub(crate) name: String,
    pub(crate) home: SocketAddr,
    /// The router in front of it, if there is one.
    pub nat: Option<Nat>,
    /// Its tags, encoded.
    pub tags: Vec<u8>,
    /// Bytes and datagrams it has sent.
    pub sent: (u64, u64),
}

impl Machine {
    /// One that has never been on.
    pub(crate) fn new(name: String, home: SocketAddr, size: Size, profile: Config) -> Machine {
        Machine {
            node: None,
            refuses: false,
            size,
            profile,
            wake: u64::MAX,
            deadline: u64::MAX,
            clock: Clock::begin(0),
            frozen_until: 0,
            inbox: VecDeque::new(),
            served: u64::MAX,
            service: 0,
            places: BACKLOG,
            overflowed: 0,
            driver: Driver::default(),
            late: 0,
            unsent: 0,
            forgetful: false,
            instance: None,
            boots: 0,
            boots_ahead: 0,
            keys: Vec::new(),
            floor: 0,
            kept: Kept::default(),
            fleets: Vec::new(),
            companies: Vec::new(),
            questions: Questions::default(),
            deaf: false,
            name,
            home,
            nat: None,
            tags: Vec::new(),
            sent: (0, 0),
        }
    }

    /// Whether its program is off, and its system refuses what is sent to it.
    pub fn refuses(&self) -> bool {
        self.refuses && self.node.is_none()
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where others reach it; what its node says of itself.
    pub fn address(&self) -> SocketAddr {
        self.home
    }

    /// The number of its present boot, as its node tells it.
    pub fn boot_number(&self) -> u64 {
        if self.forgetful { 1 } else { self.boots + self.boots_ahead }
    }
}

//! One node driven by hand, over a wire written by hand.

use std::net::SocketAddr;

pub use fleet_tests::wire::*;
use serf_nostd::{
    Config, DATAGRAM_MAX, Event, Identity, Input, Instant, MemberChange, Memory, Node, Output, Status,
    storage,
};

pub const SECOND: u64 = 1_000_000;

// ---- one node, driven by hand ----

type Tiniest = storage! {
    members: 2, seen: 2, slots: 4, coalesced: 1, in_flight: 1,
    name_bytes: 8, tag_bytes: 4, slot_bytes: 64
};
type Tiny = storage! {
    members: 3, seen: 4, slots: 4, coalesced: 2, in_flight: 2,
    name_bytes: 8, tag_bytes: 8, slot_bytes: 64
};
type Small = storage! { members: 8, seen: 64, coalesced: 4, name_bytes: 16, tag_bytes: 32, slot_bytes: 64 };
/// A device's, for 8 coalesced names.
type Board = storage! { members: 8, seen: 64, name_bytes: 16, tag_bytes: 32 };
type Server = storage! {
    members: 16, seen: 1024, slots: 256, coalesced: 16, in_flight: 256,
    name_bytes: 128, tag_bytes: 512, slot_bytes: 512
};

pub fn tiniest() -> Memory<'static> {
    Box::leak(Box::new(Tiniest::new())).memory()
}

pub fn tiny() -> Memory<'static> {
    Box::leak(Box::new(Tiny::new())).memory()
}

pub fn small() -> Memory<'static> {
    Box::leak(Box::new(Small::new())).memory()
}

pub fn board() -> Memory<'static> {
    Box::leak(Box::new(Board::new())).memory()
}

pub fn server() -> Memory<'static> {
    Box::leak(Box::new(Server::new())).memory()
}

/// What a node's application was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    User(u64, Vec<u8>),
    Member(MemberChange, String),
    Joined,
    JoinFailed,
    NameTaken,
    NameConflict,
    Left,
}

/// A node at address 1, its clock, and everything that came out of it.
pub struct Driven {
    pub node: Node<'static>,
    pub now: u64,
    pub wake: u64,
    pub sent: Vec<(SocketAddr, Vec<u8>)>,
    pub told: Vec<Told>,
}

impl Driven {
    pub fn new(memory: Memory<'static>, config: Config) -> Driven {
        Driven::named(memory, config, "me", 1)
    }

    pub fn named(memory: Memory<'static>, config: Config, name: &str, place: u32) -> Driven {
        let identity = Identity {
            name,
            addr: addr(place),
            boot: 1,
            instance: 0,
            tags: &[],
            versions: Identity::VERSIONS,
        };
        let now = 1_000 * SECOND;
        let node = Node::new(memory, config, identity, place as u64, Instant::from_micros(now));
        let node = node.expect("the sizes fit");
        Driven { node, now, wake: 0, sent: Vec::new(), told: Vec::new() }
    }

    /// As [`Driven::new`], in a fleet: somebody has asked it for a way in, and was not heard of again.
    pub fn met(memory: Memory<'static>, config: Config) -> Driven {
        let mut node = Driven::new(memory, config);
        node.is_asked_in();
        node
    }

    /// Somebody asks it for a way in, and has come into its fleet.
    pub fn is_asked_in(&mut self) {
        let join = body(kind::JOIN).int(1).text("guest").addr(99).int(1).raw(&[1]).end();
        self.feed(99, &datagram(&[join]));
        if let Some(mut fleet) = self.said(kind::FLEET) {
            // Its age: that of one whose members have come to stay.
            *fleet.last_mut().expect("a fleet has an age") = 1;
            self.feed(99, &datagram(&[body(kind::FLEET).raw(&fleet).end()]));
        }
        self.sent.clear();
    }

    pub fn at(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    /// Polls until the node sleeps, and walks its invariants.
    pub fn drain(&mut self) {
        let mut tx = [0; DATAGRAM_MAX];
        self.drain_into(&mut tx);
    }

    pub fn drain_into(&mut self, tx: &mut [u8]) {
        let now = self.at();
        for _ in 0..10_000 {
            match self.node.poll(now, tx) {
                Output::Datagram { to, bytes } => {
                    assert!(bytes.len() <= DATAGRAM_MAX);
                    self.sent.push((to, bytes.to_vec()));
                }
                Output::Event(event) => self.told.push(match event {
                    Event::User(event) => Told::User(event.id.ltime, event.payload.to_vec()),
                    Event::Member(change, member) => Told::Member(change, member.name.to_string()),
                    Event::Joined(_) => Told::Joined,
                    Event::JoinFailed(_) => Told::JoinFailed,
                    Event::NameTaken(_) => Told::NameTaken,
                    Event::NameConflict(_) => Told::NameConflict,
                    Event::Left => Told::Left,
                    unknown => panic!("no test knows {unknown:?}"),
                }),
                Output::Sleep(until) => {
                    assert!(until > now || now == Instant::FAR, "a deadline in the past is a spin");
                    self.wake = until.as_micros();
                    self.node.check();
                    return;
                }
            }
        }
        panic!("the node never sleeps");
    }

    pub fn feed(&mut self, from: u32, datagram: &[u8]) {
        let _ =
            self.node.handle(self.at(), Input::Datagram { from: addr(from), bytes: &mut datagram.to_vec() });
        self.drain();
    }

    /// Somebody in its fleet tells it of members; if it is in none yet, it founds one.
    pub fn hears(&mut self, from: u32, messages: &[Vec<u8>]) {
        if self.node.gauges().fleet == 0 {
            self.is_asked_in();
        }
        let told = fleet(self.node.gauges().fleet);
        self.feed(from, &datagram(&[messages, &[told]].concat()));
    }

    /// Lets time pass; whoever is probed at one of `answering` answers at once.
    pub fn run(&mut self, span: u64, answering: &[u32]) {
        let end = self.now + span;
        loop {
            let sent = if answering.is_empty() { Vec::new() } else { std::mem::take(&mut self.sent) };
            let acks: Vec<(u32, Vec<u8>)> = sent
                .into_iter()
                .flat_map(|(to, bytes)| {
                    let place = answering.iter().copied().find(|place| addr(*place) == to);
                    let pings = read(&bytes).into_iter().filter(|(kind, _)| *kind == kind::PING);
                    pings.filter_map(|(_, body)| Some((place?, ack(number(&body))))).collect::<Vec<_>>()
                })
                .collect();
            for (from, ack) in acks {
                self.feed(from, &datagram(&[ack]));
            }
            if !self.sent.is_empty() && !answering.is_empty() {
                continue;
            }
            if self.wake > end {
                break;
            }
            self.now = self.wake.max(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub fn status(&self, name: &str) -> Option<Status> {
        self.node.member(name).map(|member| member.status)
    }

    /// The body of the last message of this kind that was sent.
    pub fn said(&self, kind: u8) -> Option<Vec<u8>> {
        let mut messages = self.sent.iter().flat_map(|(_, bytes)| read(bytes));
        messages.rfind(|(k, _)| *k == kind).map(|(_, body)| body)
    }
}

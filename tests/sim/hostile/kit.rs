//! One node driven by hand, and the wire written by hand.

use std::net::SocketAddr;

use serf_nostd::{
    Config, DATAGRAM_MAX, Event, Identity, Input, Instant, MemberChange, Memory, Node, Output, Status,
    Storage,
};

pub const SECOND: u64 = 1_000_000;

// ---- one node, driven by hand ----

type Tiniest = Storage<2, 2, 4, 1, 1, 8, 4, 64>;
type Tiny = Storage<3, 4, 4, 2, 2, 8, 8, 64>;
type Small = Storage<8, 64, 16, 4, 8, 16, 32, 64>;
type Server = Storage<16, 1024, 256, 16, 256, 128, 512, 512>;

pub fn tiniest() -> Memory<'static> {
    Box::leak(Box::new(Tiniest::new())).memory()
}

pub fn tiny() -> Memory<'static> {
    Box::leak(Box::new(Tiny::new())).memory()
}

pub fn small() -> Memory<'static> {
    Box::leak(Box::new(Small::new())).memory()
}

pub fn server() -> Memory<'static> {
    Box::leak(Box::new(Server::new())).memory()
}

pub fn addr(i: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, i], 7946))
}

/// What a node's application was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    User(u64, Vec<u8>),
    Member(MemberChange, String),
    Joined,
    JoinFailed,
    NameTaken,
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

    pub fn named(memory: Memory<'static>, config: Config, name: &str, place: u8) -> Driven {
        let identity = Identity { name, addr: addr(place), boot: 1, tags: &[], versions: Identity::VERSIONS };
        let now = 1_000 * SECOND;
        let node = Node::new(memory, config, identity, place as u64, Instant::from_micros(now));
        let node = node.expect("the sizes fit");
        Driven { node, now, wake: 0, sent: Vec::new(), told: Vec::new() }
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
                    Event::Left => Told::Left,
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

    pub fn feed(&mut self, from: u8, datagram: &[u8]) {
        let _ = self.node.handle(self.at(), Input::Datagram { from: addr(from), bytes: datagram });
        self.drain();
    }

    /// Lets time pass; whoever is probed at one of `answering` answers at once.
    pub fn run(&mut self, span: u64, answering: &[u8]) {
        let end = self.now + span;
        loop {
            let sent = if answering.is_empty() { Vec::new() } else { std::mem::take(&mut self.sent) };
            let acks: Vec<(u8, Vec<u8>)> = sent
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

// ---- the wire, written by hand ----

pub mod kind {
    pub const PING: u8 = 1;
    pub const INDIRECT_PING: u8 = 2;
    pub const ACK: u8 = 3;
    pub const NACK: u8 = 4;
    pub const ALIVE: u8 = 5;
    pub const SUSPECT: u8 = 6;
    pub const DEAD: u8 = 7;
    pub const JOIN_INTENT: u8 = 8;
    pub const LEAVE_INTENT: u8 = 9;
    pub const USER_EVENT: u8 = 10;
    pub const SUMMARY: u8 = 20;
    pub const IDS: u8 = 21;
    pub const PULL: u8 = 22;
    pub const TOO_OLD: u8 = 23;
    pub const MISSING: u8 = 24;
    pub const JOIN: u8 = 30;
    pub const JOIN_ANSWER: u8 = 31;
    pub const NAME_TAKEN: u8 = 32;
    pub const PAGE_REQUEST: u8 = 33;
    pub const PAGE: u8 = 34;
    pub const RECORD: u8 = 35;
    pub const DIGEST_REQUEST: u8 = 36;
    pub const ENTRIES: u8 = 37;
    pub const RECORDS_REQUEST: u8 = 38;
    pub const EVENT_DIGEST_REQUEST: u8 = 39;
    pub const EVENT_ENTRIES: u8 = 40;
    pub const PADDING: u8 = 41;
    /// Every kind that a node of this version sends.
    pub const ALL: [u8; 27] = [
        PING,
        INDIRECT_PING,
        ACK,
        NACK,
        ALIVE,
        SUSPECT,
        DEAD,
        JOIN_INTENT,
        LEAVE_INTENT,
        USER_EVENT,
        SUMMARY,
        IDS,
        PULL,
        TOO_OLD,
        MISSING,
        JOIN,
        JOIN_ANSWER,
        NAME_TAKEN,
        PAGE_REQUEST,
        PAGE,
        RECORD,
        DIGEST_REQUEST,
        ENTRIES,
        RECORDS_REQUEST,
        EVENT_DIGEST_REQUEST,
        EVENT_ENTRIES,
        PADDING,
    ];
}

/// A message being written.
pub struct Body(u8, Vec<u8>);

pub fn body(kind: u8) -> Body {
    Body(kind, Vec::new())
}

impl Body {
    pub fn int(mut self, mut value: u64) -> Body {
        while value >= 0x80 {
            self.1.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.1.push(value as u8);
        self
    }

    pub fn raw(mut self, bytes: &[u8]) -> Body {
        self.1.extend_from_slice(bytes);
        self
    }

    pub fn bytes(self, bytes: &[u8]) -> Body {
        self.int(bytes.len() as u64).raw(bytes)
    }

    pub fn text(self, text: &str) -> Body {
        self.bytes(text.as_bytes())
    }

    pub fn addr(self, place: u8) -> Body {
        self.bytes(&[10, 0, 0, place]).int(7946)
    }

    pub fn id(self, ltime: u64, origin: u64) -> Body {
        self.int(ltime).raw(&origin.to_le_bytes())
    }

    pub fn alive(self, node: &str, place: u8, incarnation: u32, boot: u64) -> Body {
        let body = self.text(node).addr(place).int(incarnation as u64).int(boot);
        body.raw(&[1, 0]).raw(&Identity::VERSIONS)
    }

    pub fn end(self) -> Vec<u8> {
        let mut message = vec![self.0];
        message.extend_from_slice(&(self.1.len() as u16).to_le_bytes());
        message.extend(self.1);
        message
    }
}

pub fn alive(node: &str, place: u8, incarnation: u32, boot: u64) -> Vec<u8> {
    body(kind::ALIVE).alive(node, place, incarnation, boot).end()
}

/// `state`: 0 alive, 1 leaving, 2 failed, 3 left.
pub fn record(node: &str, place: u8, incarnation: u32, boot: u64, state: u64, status_ltime: u64) -> Vec<u8> {
    body(kind::RECORD).alive(node, place, incarnation, boot).int(state).int(status_ltime).int(0).end()
}

pub fn accusation(kind: u8, node: &str, incarnation: u32, from: &str) -> Vec<u8> {
    body(kind).int(incarnation as u64).text(node).text(from).end()
}

pub fn intent(kind: u8, ltime: u64, node: &str) -> Vec<u8> {
    let body = body(kind).int(ltime).text(node);
    if kind == kind::LEAVE_INTENT { body.raw(&[0]).end() } else { body.end() }
}

pub fn ack(seq: u64) -> Vec<u8> {
    body(kind::ACK).int(seq).bytes(&[]).end()
}

pub fn event(ltime: u64, origin: u64, name: &[u8], payload: &[u8], coalesce: bool) -> Vec<u8> {
    body(kind::USER_EVENT).id(ltime, origin).raw(&[coalesce as u8]).bytes(name).bytes(payload).end()
}

/// A summary whose digests are those of nobody.
pub fn summary(clock: u64) -> Vec<u8> {
    body(kind::SUMMARY).int(clock).int(1).int(1).raw(&[1]).int(0xdead).int(0xbeef).int(0).raw(&[0]).end()
}

pub fn datagram(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut datagram = vec![b'S', 0xCF, 1, 0];
    datagram.extend(messages.concat());
    datagram
}

/// Fills a datagram up, as requests must be.
pub fn padded(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = datagram(messages);
    let room = DATAGRAM_MAX - bytes.len() - 3;
    bytes.push(kind::PADDING);
    bytes.extend_from_slice(&(room as u16).to_le_bytes());
    bytes.resize(DATAGRAM_MAX, 0);
    bytes
}

/// Kind and body of each message of a datagram.
pub fn read(datagram: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut rest = &datagram[4..];
    let mut messages = Vec::new();
    while let Some((&[kind, low, high], behind)) = rest.split_first_chunk::<3>() {
        let (body, behind) = behind.split_at(u16::from_le_bytes([low, high]) as usize);
        messages.push((kind, body.to_vec()));
        rest = behind;
    }
    messages
}

/// Takes a number off the front.
pub fn take(body: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = body[0];
        *body = &body[1..];
        value |= ((byte & 0x7f) as u64) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// The number at the front.
pub fn number(mut body: &[u8]) -> u64 {
    take(&mut body)
}

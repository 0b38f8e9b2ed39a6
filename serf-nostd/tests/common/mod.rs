//! A few nodes and a perfect network between them; and datagrams made by hand.

use std::net::SocketAddr;

use serde::Serialize;
use serf_nostd::wire::message::{Ack, Address, Alive, EventId, Fleet, Join, UserEvent};
use serf_nostd::{Config, Duration, Event, Identity, Input, Instant, Memory, Node, Output};

/// What is left behind by polling a node until it sleeps.
#[derive(Default)]
pub struct Drained {
    /// Datagrams: where to, bytes.
    pub sent: Vec<(SocketAddr, Vec<u8>)>,
    /// Payloads of user events.
    pub events: Vec<Vec<u8>>,
    /// Other events, in words.
    pub told: Vec<String>,
    /// When it wants to be woken.
    pub until: Instant,
}

/// The address of node number `i`.
pub fn address(i: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, i], 7946))
}

/// A node called `n<i>` at `address(i)`.
pub fn node(memory: Memory<'_>, config: Config, i: u8) -> Node<'_> {
    let name = format!("n{i}");
    let identity = Identity {
        name: &name,
        addr: address(i),
        boot: 1,
        instance: 0,
        tags: &[],
        versions: Identity::VERSIONS,
    };
    Node::new(memory, config, identity, i as u64, Instant::ZERO).expect("the test's sizes fit")
}

/// A node as [`node`] makes it, in a fleet: somebody has asked it for a way in, has told that it is in the fleet of the answer
/// (whose first message tells of it), and was not heard of again.
pub fn met(memory: Memory<'_>, config: Config, i: u8) -> Node<'_> {
    let mut node = node(memory, config, i);
    let join = Join { nonce: 1, node: "n", addr: Address::from(address(99)), boot: 1, pages: true };
    // Padded, as an answer is no longer than what it answers.
    let question = messages(&[(30, &encoded(&join)), (41, &[0; 100])]);
    let answer = hand(&mut node, Instant::ZERO, 99, &question).sent.remove(0).1;
    let end = HEAD + 3 + answer[HEAD + 1] as usize;
    let mut fleet = answer[HEAD + 3..end].to_vec();
    // The fleet's age: that of one whose members have come to stay.
    *fleet.last_mut().expect("a fleet has an age") = 1;
    hand(&mut node, Instant::ZERO, 99, &messages(&[(25, &fleet)]));
    node
}

/// Polls until the node sleeps.
pub fn drain(node: &mut Node<'_>, now: Instant) -> Drained {
    let mut tx = [0; 1400];
    let mut drained = Drained::default();
    for _ in 0..100_000 {
        match node.poll(now, &mut tx) {
            Output::Datagram { to, bytes } => drained.sent.push((to, bytes.to_vec())),
            Output::Event(Event::User(event)) => drained.events.push(event.payload.to_vec()),
            Output::Event(event) => drained.told.push(format!("{event:?}")),
            Output::Sleep(until) => {
                assert!(until > now, "it never sleeps into the past");
                drained.until = until;
                return drained;
            }
        }
    }
    panic!("it never sleeps");
}

/// Runs the nodes with a network that delivers at once, except what `lose` (from, to) says is lost. Returns the payloads
/// that each node's application got.
pub fn run(
    nodes: &mut [&mut Node<'_>],
    now: &mut Instant,
    span: Duration,
    lose: impl Fn(SocketAddr, SocketAddr) -> bool,
) -> Vec<Vec<Vec<u8>>> {
    let end = *now + span;
    let mut heard = vec![Vec::new(); nodes.len()];
    let mut flying: Vec<(SocketAddr, SocketAddr, Vec<u8>)> = Vec::new();
    loop {
        let mut next = end;
        for (i, node) in nodes.iter_mut().enumerate() {
            let here = node.this().addr;
            for (from, _, mut bytes) in flying.extract_if(.., |(_, to, _)| *to == here) {
                let _ = node.handle(*now, Input::Datagram { from, bytes: &mut bytes });
            }
            let drained = drain(node, *now);
            heard[i].extend(drained.events);
            flying.extend(
                drained.sent.into_iter().filter(|(to, _)| !lose(here, *to)).map(|(to, b)| (here, to, b)),
            );
            next = next.min(drained.until);
        }
        let known: Vec<SocketAddr> = nodes.iter().map(|node| node.this().addr).collect();
        flying.retain(|(_, to, _)| known.contains(to));
        if flying.is_empty() {
            *now = next;
            if *now >= end {
                return heard;
            }
        }
    }
}

/// Nothing is lost.
pub fn nothing(_: SocketAddr, _: SocketAddr) -> bool {
    false
}

/// What stands before the messages of a datagram: the wire, version and flags, checksum.
pub const HEAD: usize = 6;

/// A datagram with one message.
pub fn datagram(kind: u8, body: &impl Serialize) -> Vec<u8> {
    messages(&[(kind, &encoded(body))])
}

fn encoded(body: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(body).expect("it fits a Vec")
}

/// A datagram with these messages, each a kind and a body.
pub fn messages(messages: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![b'S', 2 << 4, 0, 0, 0, 0];
    for (kind, body) in messages {
        bytes.push(*kind);
        bytes.extend((body.len() as u16).to_le_bytes());
        bytes.extend(*body);
    }
    let mut checked = bytes[HEAD..].to_vec();
    checked.resize(checked.len() / 8 * 8 + 8, 0);
    let start = (bytes.len() as u64) << 8 | bytes[1] as u64;
    let hash = checked.as_chunks().0.iter().fold(start, |hash, word| {
        let mixed = hash ^ u64::from_le_bytes(*word);
        (mixed ^ mixed >> 32).wrapping_mul(0xff51_afd7_ed55_8ccd)
    });
    bytes[2..HEAD].copy_from_slice(&((hash >> 32) as u32).to_le_bytes());
    bytes
}

/// Hands a datagram from `n<i>` to a node and returns what it does.
pub fn hand(node: &mut Node<'_>, now: Instant, i: u8, bytes: &[u8]) -> Drained {
    let _ = node.handle(now, Input::Datagram { from: address(i), bytes: &mut bytes.to_vec() });
    drain(node, now)
}

/// `n<i>`, which is in its fleet, tells a node that it lives.
pub fn lives(node: &mut Node<'_>, now: Instant, i: u8, incarnation: u32, tags: &[u8]) -> Drained {
    lives_as(&format!("n{i}"), node, now, i, incarnation, tags)
}

/// The same of one with another name.
pub fn lives_as(
    name: &str,
    node: &mut Node<'_>,
    now: Instant,
    i: u8,
    incarnation: u32,
    tags: &[u8],
) -> Drained {
    let alive = Alive {
        node: name,
        addr: Address::from(address(i)),
        incarnation,
        boot: 1,
        tags: Some(tags),
        versions: Identity::VERSIONS,
    };
    tells(node, now, i, 5, &alive)
}

/// Somebody in its fleet tells a node this.
pub fn tells(node: &mut Node<'_>, now: Instant, i: u8, kind: u8, body: &impl Serialize) -> Drained {
    let fleet = Fleet { id: node.gauges().fleet, event_clock: 1, age: 1 };
    hand(node, now, i, &messages(&[(kind, &encoded(body)), (25, &encoded(&fleet))]))
}

/// The answer to the ping in a datagram, if there is one.
pub fn ack(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = &bytes[HEAD..];
    while let Some((&[kind, low, high], behind)) = rest.split_first_chunk::<3>() {
        let (body, behind) = behind.split_at(u16::from_le_bytes([low, high]) as usize);
        if kind == 1 {
            let (seq, _) = postcard::take_from_bytes(body).ok()?;
            return Some(datagram(3, &Ack { seq, payload: &[] }));
        }
        rest = behind;
    }
    None
}

/// An event that is not to be coalesced, of some foreign origin.
pub fn event(ltime: u64, origin: u64, payload: &[u8]) -> Vec<u8> {
    datagram(10, &UserEvent { id: EventId { ltime, origin }, coalesce: false, name: b"e", payload })
}

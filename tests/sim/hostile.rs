//! Hostile input and awkward moments: what a careful attacker, a tiny memory or an unlucky driver could do to one node.
//!
//! Datagrams are written here by hand, independently of the core's own encoder.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use serf_nostd::{
    Config, DATAGRAM_MAX, Duration, Event, Identity, Input, Instant, LTIME_LIMIT, MemberChange, Memory, Node,
    Output, Status, Storage,
};
use sim::fleet::{Fleet, Seen, Size};
use sim::rng::Rng;

const SECOND: u64 = 1_000_000;

// ---- one node, driven by hand ----

type Tiniest = Storage<2, 2, 4, 1, 1, 8, 4, 64>;
type Tiny = Storage<3, 4, 4, 2, 2, 8, 8, 64>;
type Small = Storage<8, 64, 16, 4, 8, 16, 32, 64>;
type Server = Storage<16, 1024, 256, 16, 256, 128, 512, 512>;

fn tiniest() -> Memory<'static> {
    Box::leak(Box::new(Tiniest::new())).memory()
}

fn tiny() -> Memory<'static> {
    Box::leak(Box::new(Tiny::new())).memory()
}

fn small() -> Memory<'static> {
    Box::leak(Box::new(Small::new())).memory()
}

fn server() -> Memory<'static> {
    Box::leak(Box::new(Server::new())).memory()
}

fn addr(i: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, i], 7946))
}

/// What a node's application was told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    User(u64, Vec<u8>),
    Member(MemberChange, String),
    Joined,
    JoinFailed,
    NameTaken,
    Left,
}

/// A node at address 1, its clock, and everything that came out of it.
struct Driven {
    node: Node<'static>,
    now: u64,
    wake: u64,
    sent: Vec<(SocketAddr, Vec<u8>)>,
    told: Vec<Told>,
}

impl Driven {
    fn new(memory: Memory<'static>, config: Config) -> Driven {
        Driven::named(memory, config, "me", 1)
    }

    fn named(memory: Memory<'static>, config: Config, name: &str, place: u8) -> Driven {
        let identity = Identity { name, addr: addr(place), boot: 1, tags: &[], versions: Identity::VERSIONS };
        let now = 1_000 * SECOND;
        let node = Node::new(memory, config, identity, place as u64, Instant::from_micros(now));
        let node = node.expect("the sizes fit");
        Driven { node, now, wake: 0, sent: Vec::new(), told: Vec::new() }
    }

    fn at(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    /// Polls until the node sleeps, and walks its invariants.
    fn drain(&mut self) {
        let mut tx = [0; DATAGRAM_MAX];
        self.drain_into(&mut tx);
    }

    fn drain_into(&mut self, tx: &mut [u8]) {
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

    fn feed(&mut self, from: u8, datagram: &[u8]) {
        let _ = self.node.handle(self.at(), Input::Datagram { from: addr(from), bytes: datagram });
        self.drain();
    }

    /// Lets time pass; whoever is probed at one of `answering` answers at once.
    fn run(&mut self, span: u64, answering: &[u8]) {
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

    fn status(&self, name: &str) -> Option<Status> {
        self.node.member(name).map(|member| member.status)
    }

    /// The body of the last message of this kind that was sent.
    fn said(&self, kind: u8) -> Option<Vec<u8>> {
        let mut messages = self.sent.iter().flat_map(|(_, bytes)| read(bytes));
        messages.rfind(|(k, _)| *k == kind).map(|(_, body)| body)
    }
}

// ---- the wire, written by hand ----

mod kind {
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
struct Body(u8, Vec<u8>);

fn body(kind: u8) -> Body {
    Body(kind, Vec::new())
}

impl Body {
    fn int(mut self, mut value: u64) -> Body {
        while value >= 0x80 {
            self.1.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.1.push(value as u8);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Body {
        self.1.extend_from_slice(bytes);
        self
    }

    fn bytes(self, bytes: &[u8]) -> Body {
        self.int(bytes.len() as u64).raw(bytes)
    }

    fn text(self, text: &str) -> Body {
        self.bytes(text.as_bytes())
    }

    fn addr(self, place: u8) -> Body {
        self.bytes(&[10, 0, 0, place]).int(7946)
    }

    fn id(self, ltime: u64, origin: u64) -> Body {
        self.int(ltime).raw(&origin.to_le_bytes())
    }

    fn alive(self, node: &str, place: u8, incarnation: u32, boot: u64) -> Body {
        let body = self.text(node).addr(place).int(incarnation as u64).int(boot);
        body.raw(&[1, 0]).raw(&Identity::VERSIONS)
    }

    fn end(self) -> Vec<u8> {
        let mut message = vec![self.0];
        message.extend_from_slice(&(self.1.len() as u16).to_le_bytes());
        message.extend(self.1);
        message
    }
}

fn alive(node: &str, place: u8, incarnation: u32, boot: u64) -> Vec<u8> {
    body(kind::ALIVE).alive(node, place, incarnation, boot).end()
}

/// `state`: 0 alive, 1 leaving, 2 failed, 3 left.
fn record(node: &str, place: u8, incarnation: u32, boot: u64, state: u64, status_ltime: u64) -> Vec<u8> {
    body(kind::RECORD).alive(node, place, incarnation, boot).int(state).int(status_ltime).int(0).end()
}

fn accusation(kind: u8, node: &str, incarnation: u32, from: &str) -> Vec<u8> {
    body(kind).int(incarnation as u64).text(node).text(from).end()
}

fn intent(kind: u8, ltime: u64, node: &str) -> Vec<u8> {
    let body = body(kind).int(ltime).text(node);
    if kind == kind::LEAVE_INTENT { body.raw(&[0]).end() } else { body.end() }
}

fn ack(seq: u64) -> Vec<u8> {
    body(kind::ACK).int(seq).bytes(&[]).end()
}

fn event(ltime: u64, origin: u64, name: &[u8], payload: &[u8], coalesce: bool) -> Vec<u8> {
    body(kind::USER_EVENT).id(ltime, origin).raw(&[coalesce as u8]).bytes(name).bytes(payload).end()
}

/// A summary whose digests are those of nobody.
fn summary(clock: u64) -> Vec<u8> {
    body(kind::SUMMARY).int(clock).int(1).int(1).raw(&[1]).int(0xdead).int(0xbeef).id(0, 0).end()
}

fn datagram(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut datagram = vec![b'S', 0xCF, 1, 0];
    datagram.extend(messages.concat());
    datagram
}

/// Fills a datagram up, as requests must be.
fn padded(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = datagram(messages);
    let room = DATAGRAM_MAX - bytes.len() - 3;
    bytes.push(kind::PADDING);
    bytes.extend_from_slice(&(room as u16).to_le_bytes());
    bytes.resize(DATAGRAM_MAX, 0);
    bytes
}

/// Kind and body of each message of a datagram.
fn read(datagram: &[u8]) -> Vec<(u8, Vec<u8>)> {
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
fn take(body: &mut &[u8]) -> u64 {
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
fn number(mut body: &[u8]) -> u64 {
    take(&mut body)
}

// ---- bounds: amplification, work, memory ----

/// Bytes that one datagram from a stranger draws to an address that never answered.
fn drawn(node: &mut Driven, request: &[u8]) -> usize {
    node.run(30 * SECOND, &[]);
    node.sent.clear();
    node.feed(99, request);
    node.run(10 * SECOND, &[]);
    let sent = std::mem::take(&mut node.sent);
    sent.iter().filter(|(to, _)| *to == addr(99)).map(|(_, bytes)| bytes.len()).sum()
}

fn well_stocked() -> Driven {
    let mut node = Driven::new(server(), Config::LAN);
    for place in 2..14 {
        node.feed(place, &datagram(&[alive(&format!("member-{place}"), place, 1, 1)]));
    }
    for ltime in 1..60 {
        node.feed(2, &datagram(&[event(ltime, 7, b"e", &[b'x'; 400], false)]));
    }
    node
}

#[test]
fn many_page_requests_in_one_datagram_draw_no_more_than_one() {
    let request: Vec<_> = (0..100).map(|nonce| body(kind::PAGE_REQUEST).int(nonce).int(0).end()).collect();
    let request = padded(&request);
    let answer = drawn(&mut well_stocked(), &request);
    assert!(answer <= request.len(), "{} bytes draw {answer}", request.len());
}

#[test]
fn many_pings_in_one_datagram_draw_no_more_than_they_are() {
    let ping = |seq| body(kind::PING).int(seq).text("me").text("stranger").raw(&[0]).end();
    let request = padded(&(0..50).map(ping).collect::<Vec<_>>());
    let answer = drawn(&mut well_stocked(), &request);
    assert!(answer <= request.len(), "{} bytes draw {answer}", request.len());
}

#[test]
fn a_pull_of_many_events_draws_no_more_than_it_is() {
    let pull = (1..60).fold(body(kind::PULL).int(1), |list, ltime| list.id(ltime, 7)).end();
    let request = datagram(&[pull]);
    let answer = drawn(&mut well_stocked(), &request);
    assert!(answer <= request.len(), "{} bytes draw {answer}", request.len());
}

#[test]
fn a_strangers_summary_draws_no_more_than_it_is() {
    let request = datagram(&[summary(1)]);
    let answer = drawn(&mut well_stocked(), &request);
    assert!(answer <= request.len(), "{} bytes draw {answer}", request.len());
}

#[test]
fn a_strangers_announcement_draws_no_more_than_twice_its_size() {
    let request = datagram(&[body(kind::IDS).id(1_000, 9).end()]);
    let answer = drawn(&mut well_stocked(), &request);
    assert!(answer <= 2 * request.len(), "{} bytes draw {answer}", request.len());
}

#[test]
fn news_about_members_that_nobody_can_hold_dies_down() {
    let mut fleet = Fleet::new(5, 40, Size::Tiny, Config::LAN);
    for i in 0..40 {
        fleet.boot(i, &[0], false, &mut |_, _, _, _| {});
    }
    // Each node joins with two pieces of news, which each other one may pass on once.
    let enough = 2 * 40 * 39;
    for tenth in 0..300 {
        fleet.run(SECOND / 10, &mut |_, _, _, _| {});
        let forwarded = fleet.total(|stats| stats.foreign_forwarded);
        assert!(forwarded <= enough, "{forwarded} messages were passed on in {} ms", 100 * (tenth + 1));
    }
}

#[test]
fn a_table_that_cannot_hold_the_fleet_does_not_compare_for_ever() {
    // Eight places for eight live members; a ninth is remembered by the others as failed.
    let mut fleet = Fleet::new(3, 9, Size::Small, Config::LAN);
    fleet.resize(8, Size::Tiny);
    for i in 0..8 {
        fleet.boot(i, &[0], false, &mut |_, _, _, _| {});
    }
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    fleet.crash(7);
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    fleet.boot(8, &[0], false, &mut |_, _, _, _| {});
    fleet.run(600 * SECOND, &mut |_, _, _, _| {});
    let before = fleet.total(|stats| stats.member_syncs);
    fleet.run(600 * SECOND, &mut |_, _, _, _| {});
    assert_eq!(fleet.total(|stats| stats.member_syncs) - before, 0, "nothing changed in ten minutes");
}

#[test]
fn a_full_table_that_refused_a_failed_member_knows_that_it_is_partial() {
    let mut node = Driven::new(tiny(), Config::LAN);
    node.feed(2, &datagram(&[alive("a", 2, 1, 1), alive("b", 3, 1, 1)]));
    node.run(5 * SECOND, &[2, 3]);
    node.feed(2, &datagram(&[summary(1)]));
    let nonce = node.said(kind::DIGEST_REQUEST).map(|body| number(&body)).expect("it asks what differs");
    let page = body(kind::PAGE).raw(&(nonce as u32).to_le_bytes()).raw(&[0; 4]).end();
    node.feed(2, &datagram(&[page, record("c", 4, 1, 1, 2, 3)]));
    assert_eq!(node.status("c"), None);
    node.sent.clear();
    node.feed(2, &datagram(&[body(kind::PING).int(1).text("me").text("a").raw(&[0]).end()]));
    let summary = node.said(kind::SUMMARY).expect("an ack carries a summary");
    let mut rest = &summary[..];
    for _ in 0..3 {
        take(&mut rest);
    }
    assert_eq!(rest[0], 0, "a table that lacks a member tells no digest of all members");
}

// ---- forged words about members ----

/// Two nodes that know each other: one is going to be slandered, the other to believe it.
fn victim_and_witness() -> (Driven, Driven) {
    let mut victim = Driven::named(small(), Config::LAN, "victim", 1);
    let mut witness = Driven::named(small(), Config::LAN, "witness", 2);
    victim.feed(2, &datagram(&[alive("witness", 2, 1, 1)]));
    witness.feed(1, &datagram(&[alive("victim", 1, 1, 1)]));
    (victim, witness)
}

/// Lets two nodes talk.
fn converse(a: &mut Driven, b: &mut Driven, span: u64) {
    let end = a.now.max(b.now) + span;
    loop {
        let now = a.wake.min(b.wake).max(a.now).max(b.now);
        for _ in 0..100 {
            let from_a: Vec<_> =
                std::mem::take(&mut a.sent).into_iter().filter(|(to, _)| *to == addr(2)).collect();
            let from_b: Vec<_> =
                std::mem::take(&mut b.sent).into_iter().filter(|(to, _)| *to == addr(1)).collect();
            if from_a.is_empty() && from_b.is_empty() {
                break;
            }
            from_a.iter().for_each(|(_, bytes)| b.feed(1, bytes));
            from_b.iter().for_each(|(_, bytes)| a.feed(2, bytes));
        }
        if now > end {
            return;
        }
        (a.now, b.now) = (now, now);
        a.drain();
        b.drain();
    }
}

#[test]
fn an_accusation_in_steps_does_not_evict_for_good() {
    let (mut victim, mut witness) = victim_and_witness();
    converse(&mut victim, &mut witness, 5 * SECOND);
    let step = 1 << 20;
    let forged = [
        accusation(kind::SUSPECT, "victim", step, "x"),
        accusation(kind::SUSPECT, "victim", 2 * step, "x"),
        accusation(kind::DEAD, "victim", 3 * step, "x"),
    ];
    witness.feed(99, &datagram(&forged));
    assert_eq!(witness.status("victim"), Some(Status::Failed));
    converse(&mut victim, &mut witness, 300 * SECOND);
    assert_eq!(witness.status("victim"), Some(Status::Alive), "five minutes are enough to be heard");
}

#[test]
fn a_node_that_refuted_far_above_is_still_heard_by_bystanders() {
    let (mut victim, mut witness) = victim_and_witness();
    converse(&mut victim, &mut witness, 5 * SECOND);
    let forged = [1, 2, 3].map(|step| accusation(kind::SUSPECT, "victim", step << 20, "x"));
    witness.feed(99, &datagram(&forged));
    victim.feed(99, &datagram(&forged));
    converse(&mut victim, &mut witness, 60 * SECOND);
    // Somebody who has heard nothing of all this, but of an honest loss of contact.
    let mut bystander = Driven::named(small(), Config::LAN, "witness", 2);
    bystander.now = witness.now;
    bystander.feed(1, &datagram(&[alive("victim", 1, 1, 1)]));
    bystander.feed(3, &datagram(&[accusation(kind::DEAD, "victim", 1, "c")]));
    converse(&mut victim, &mut bystander, 300 * SECOND);
    assert_eq!(bystander.status("victim"), Some(Status::Alive), "five minutes are enough to be heard");
}

#[test]
fn an_accusation_at_the_greatest_incarnation_does_not_evict_for_good() {
    let (mut victim, mut witness) = victim_and_witness();
    converse(&mut victim, &mut witness, 5 * SECOND);
    for step in 1..=4_096u64 {
        let incarnation = (step << 20).min(u32::MAX as u64) as u32;
        let forged = datagram(&[accusation(kind::SUSPECT, "victim", incarnation, "x")]);
        for node in [&mut victim, &mut witness] {
            let _ = node.node.handle(node.at(), Input::Datagram { from: addr(99), bytes: &forged });
        }
    }
    witness.feed(99, &datagram(&[accusation(kind::DEAD, "victim", u32::MAX, "x")]));
    victim.drain();
    assert_eq!(witness.status("victim"), Some(Status::Failed));
    converse(&mut victim, &mut witness, 300 * SECOND);
    assert_eq!(witness.status("victim"), Some(Status::Alive), "five minutes are enough to be heard");
}

#[test]
fn a_forged_boot_does_not_make_a_node_unheard() {
    let (mut victim, mut witness) = victim_and_witness();
    converse(&mut victim, &mut witness, 5 * SECOND);
    victim.feed(99, &datagram(&[alive("victim", 1, u32::MAX, u64::MAX)]));
    converse(&mut victim, &mut witness, 5 * SECOND);
    witness.feed(99, &datagram(&[accusation(kind::DEAD, "victim", 1, "x")]));
    converse(&mut victim, &mut witness, 300 * SECOND);
    assert_eq!(witness.status("victim"), Some(Status::Alive), "five minutes are enough to be heard");
}

#[test]
fn tags_can_still_be_changed_at_the_greatest_incarnation() {
    let (mut victim, mut witness) = victim_and_witness();
    converse(&mut victim, &mut witness, 5 * SECOND);
    for step in 1..=4_096u64 {
        let incarnation = (step << 20).min(u32::MAX as u64) as u32;
        let forged = datagram(&[accusation(kind::SUSPECT, "victim", incarnation, "x")]);
        let _ = victim.node.handle(victim.at(), Input::Datagram { from: addr(99), bytes: &forged });
        let _ = witness.node.handle(witness.at(), Input::Datagram { from: addr(99), bytes: &forged });
    }
    converse(&mut victim, &mut witness, 60 * SECOND);
    victim.node.set_tags(victim.at(), &[0xff, 0x80]).expect("short tags");
    victim.drain();
    converse(&mut victim, &mut witness, 60 * SECOND);
    let tags = witness.node.member("victim").map(|member| member.tags.to_vec());
    assert_eq!(tags, Some(vec![0xff, 0x80]));
}

/// Has a stranger asked for records, and answers.
fn told_by_a_stranger(node: &mut Driven, records: &[Vec<u8>]) -> bool {
    node.run(30 * SECOND, &[2]);
    node.sent.clear();
    node.feed(99, &datagram(&[summary(1)]));
    let Some(request) = node.said(kind::DIGEST_REQUEST) else { return false };
    let page = body(kind::PAGE).raw(&(number(&request) as u32).to_le_bytes()).raw(&[0; 4]).end();
    node.feed(99, &datagram(&[vec![page], records.to_vec()].concat()));
    true
}

#[test]
fn a_record_cannot_poison_the_time_of_a_members_intents() {
    let mut node = Driven::new(small(), Config::LAN);
    node.feed(2, &datagram(&[alive("a", 2, 1, 1)]));
    told_by_a_stranger(&mut node, &[record("a", 2, 1, 1, 0, LTIME_LIMIT - 1)]);
    node.feed(2, &datagram(&[accusation(kind::DEAD, "a", 1, "x")]));
    assert_eq!(node.status("a"), Some(Status::Failed));
    node.node.force_leave(node.at(), "a", false);
    node.drain();
    assert_eq!(node.status("a"), Some(Status::Left), "force-leave still works");
}

#[test]
fn a_record_cannot_poison_the_own_clock() {
    let mut node = Driven::new(small(), Config::LAN);
    node.feed(2, &datagram(&[alive("a", 2, 1, 1)]));
    let before = node.node.levels().member_time;
    told_by_a_stranger(&mut node, &[record("me", 1, 1, 1, 0, LTIME_LIMIT - 2)]);
    let moved = node.node.levels().member_time - before;
    assert!(moved <= 4 * serf_nostd::LTIME_JUMP, "one datagram moved the clock by {moved}");
}

#[test]
fn a_leaving_node_refutes_nothing_about_itself() {
    let mut node = Driven::new(small(), Config::LAN);
    node.feed(2, &datagram(&[alive("a", 2, 1, 1)]));
    node.node.leave(node.at()).expect("it runs");
    let before = node.node.this().incarnation;
    node.feed(2, &datagram(&[alive("me", 1, 5, 1), accusation(kind::SUSPECT, "me", 9, "a")]));
    assert_eq!(node.node.this().incarnation, before);
}

#[test]
fn an_older_life_does_not_take_the_place_of_a_failed_newer_one() {
    let mut node = Driven::new(small(), Config::LAN);
    node.feed(2, &datagram(&[alive("a", 3, 1, 2)]));
    node.feed(2, &datagram(&[accusation(kind::DEAD, "a", 1, "x")]));
    node.feed(2, &datagram(&[alive("a", 2, 1, 1)]));
    assert_eq!(node.status("a"), Some(Status::Failed));
}

// ---- members: losing, pruning, disputing ----

#[test]
fn pruning_a_failed_member_reaches_the_whole_fleet() {
    let mut fleet = Fleet::new(4, 6, Size::Small, Config::LAN);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.crash(5);
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    fleet.with(0, &mut |_, _, _, _| {}, |node, now| node.force_leave(now, "node-5", true));
    fleet.run(120 * SECOND, &mut |_, _, _, _| {});
    let held: Vec<_> = (0..5).map(|i| fleet.status(i, 5)).collect();
    assert_eq!(held, [None; 5]);
}

#[test]
fn a_refuted_prune_is_forgotten() {
    let mut node = Driven::new(small(), Config::LAN);
    node.feed(2, &datagram(&[alive("a", 2, 1, 1)]));
    node.node.force_leave(node.at(), "a", true);
    node.feed(2, &datagram(&[intent(kind::JOIN_INTENT, 9, "a")]));
    node.feed(2, &datagram(&[accusation(kind::DEAD, "a", 1, "x")]));
    node.feed(2, &datagram(&[intent(kind::LEAVE_INTENT, 3, "a")]));
    node.run(SECOND, &[]);
    assert_eq!(node.status("a"), Some(Status::Failed), "an old word to leave erases nobody");
}

#[test]
fn an_evicted_members_end_is_told() {
    let mut node = Driven::new(tiny(), Config::LAN);
    node.feed(2, &datagram(&[alive("a", 2, 1, 1), alive("b", 3, 1, 1)]));
    node.run(5 * SECOND, &[2, 3]);
    node.feed(2, &datagram(&[accusation(kind::DEAD, "a", 1, "b"), alive("c", 4, 1, 1)]));
    node.run(5 * SECOND, &[3, 4]);
    let ends = [MemberChange::Failed, MemberChange::Leave, MemberChange::Reap];
    let told = |change: &MemberChange| node.told.contains(&Told::Member(*change, "a".to_string()));
    assert!(ends.iter().any(told), "a came and is gone, and the application was told {:?}", node.told);
}

#[test]
fn a_reap_is_told_even_while_a_join_is() {
    let mut node = Driven::new(small(), Config::LAN);
    node.feed(2, &datagram(&[alive("a", 2, 1, 1)]));
    node.run(5 * SECOND, &[2]);
    node.feed(3, &datagram(&[accusation(kind::DEAD, "a", 1, "x")]));
    node.node.force_leave(node.at(), "a", true);
    node.node.join(node.at(), addr(1), false).expect("joining oneself succeeds at once");
    node.drain();
    node.run(5 * SECOND, &[]);
    assert_eq!(node.status("a"), None);
    assert!(node.told.contains(&Told::Member(MemberChange::Reap, "a".to_string())), "{:?}", node.told);
}

#[test]
fn a_node_that_was_frozen_during_a_dispute_accuses_nobody() {
    let mut node = Driven::new(small(), Config::LAN);
    node.feed(2, &datagram(&[alive("a", 2, 1, 1)]));
    node.run(5 * SECOND, &[2]);
    node.feed(3, &datagram(&[alive("a", 3, 1, 2)]));
    node.run(600_000, &[]);
    node.now += 60 * SECOND;
    node.drain();
    assert_eq!(
        node.status("a"),
        Some(Status::Alive),
        "the clock jumped: the node was frozen, not the holder"
    );
}

#[test]
fn a_members_tags_are_not_lost_by_a_teller_who_cannot_hold_them() {
    let mut node = Driven::new(server(), Config::LAN);
    let tags = [0xff, 0x81, 0xa1, b'k', 0xa1, b'v'];
    let told = |incarnation, tags: Option<&[u8]>| {
        let body = body(kind::ALIVE).text("a").addr(2).int(incarnation).int(1);
        let body = match tags {
            Some(tags) => body.raw(&[1]).bytes(tags),
            None => body.raw(&[0]),
        };
        datagram(&[body.raw(&Identity::VERSIONS).end()])
    };
    node.feed(2, &told(1, Some(&tags)));
    node.run(5 * SECOND, &[2]);
    node.told.clear();
    node.feed(3, &told(2, None));
    node.run(2 * SECOND, &[]);
    assert_eq!(node.told, [], "a refutation is no update");
}

// ---- joining ----

#[test]
fn gossip_before_the_join_answer_does_not_bring_old_events() {
    let mut node = Driven::new(small(), Config::LAN);
    node.node.start(node.at(), &[addr(2)]);
    node.drain();
    let nonce = node.said(kind::JOIN).map(|body| number(&body)).expect("it joins");
    node.feed(3, &datagram(&[alive("old-friend", 3, 1, 1)]));
    node.feed(2, &datagram(&[body(kind::JOIN_ANSWER).int(nonce).int(100).int(100).int(1).end()]));
    node.feed(2, &datagram(&[event(50, 7, b"old", b"1", false)]));
    assert!(!node.told.contains(&Told::User(50, b"1".to_vec())), "an event from before the join");
}

#[test]
fn a_failed_join_is_told_in_time() {
    let mut node = Driven::new(small(), Config::LAN);
    node.run(2 * SECOND, &[]);
    node.node.join(node.at(), addr(2), false).expect("there is room");
    node.drain();
    node.run(11 * SECOND, &[]);
    assert!(node.told.contains(&Told::JoinFailed), "{:?}", node.told);
}

#[test]
fn a_node_that_is_its_only_seed_does_not_wait() {
    let mut node = Driven::new(small(), Config::LAN);
    node.node.start(node.at(), &[addr(1)]);
    node.drain();
    assert!(!node.node.is_starting());
}

#[test]
fn a_seed_that_is_tried_again_in_silence_fails_in_silence() {
    let mut node = Driven::new(small(), Config::LAN);
    node.feed(2, &datagram(&[alive("a", 2, 1, 1)]));
    node.node.join(node.at(), addr(2), false).expect("there is room");
    node.drain();
    let nonce = node.said(kind::JOIN).map(|body| number(&body)).expect("it joins");
    node.feed(2, &datagram(&[body(kind::JOIN_ANSWER).int(nonce).int(1).int(1).int(1).end()]));
    node.told.clear();
    node.sent.clear();
    node.run(31 * SECOND, &[]);
    let again = node.said(kind::JOIN).map(|body| number(&body)).expect("the seed is tried again");
    node.feed(2, &datagram(&[body(kind::NAME_TAKEN).int(again).end()]));
    assert!(!node.told.contains(&Told::JoinFailed), "nobody asked for this join");
}

// ---- events ----

#[test]
fn pages_of_event_ids_leave_none_out() {
    let mut node = Driven::new(server(), Config::LAN);
    node.feed(2, &datagram(&[alive("a", 2, 1, 1)]));
    for ltime in 1..=600 {
        node.feed(2, &datagram(&[event(1_000 + ltime, 7, b"e", b"", false)]));
        node.now += 10_000;
    }
    assert_eq!(node.node.levels().seen, 600);
    let mut listed = BTreeSet::new();
    let mut cursor = (0, 0);
    for nonce in 0..100 {
        node.sent.clear();
        let request = body(kind::EVENT_DIGEST_REQUEST).int(0x8000_0000 + nonce).id(0, 0);
        let request = request.bytes(&[0x55; 64]).id(cursor.0, cursor.1).end();
        node.feed(2, &padded(&[request]));
        let answer = node.said(kind::EVENT_ENTRIES).expect("it answers");
        let mut rest = &answer[..];
        take(&mut rest);
        let more = rest[0] == 1;
        rest = &rest[1..];
        let id = |rest: &mut &[u8]| {
            let ltime = take(rest);
            let (origin, behind) = rest.split_first_chunk::<8>().expect("an id");
            *rest = behind;
            (ltime, u64::from_le_bytes(*origin))
        };
        let next = more.then(|| id(&mut rest));
        while !rest.is_empty() {
            listed.insert(id(&mut rest));
        }
        match next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    assert_eq!(listed.len(), 600);
}

#[test]
fn an_event_that_fits_no_datagram_is_refused_and_blocks_nobody() {
    let mut node = Driven::new(server(), Config { event_size_limit: 9_216, ..Config::LAN });
    node.feed(2, &datagram(&[alive("a", 2, 1, 1)]));
    let _ = node.node.user_event(node.at(), b"big", &[0; 2_000], false);
    node.node.user_event(node.at(), b"small", b"", false).expect("there is room");
    node.sent.clear();
    node.drain();
    node.run(SECOND, &[2]);
    assert!(node.node.stats().payloads_sent > 0, "the small one goes out");
}

#[test]
fn events_stay_apart_when_the_clock_has_come_to_its_end() {
    let mut node = Driven::new(small(), Config::LAN);
    node.node.join(node.at(), addr(2), false).expect("there is room");
    node.drain();
    let nonce = node.said(kind::JOIN).map(|body| number(&body)).expect("it joins");
    let answer = body(kind::JOIN_ANSWER).int(nonce).int(u64::MAX).int(u64::MAX).int(u64::MAX);
    node.feed(2, &datagram(&[answer.end()]));
    let first = node.node.user_event(node.at(), b"e", b"1", false);
    node.drain();
    let second = node.node.user_event(node.at(), b"e", b"2", false);
    node.drain();
    assert!(first != second || first.is_err(), "two events with one identity: {first:?}");
}

#[test]
fn an_event_too_long_for_this_node_is_not_asked_for_for_ever() {
    let mut node = Driven::new(small(), Config { event_size_limit: 20, ..Config::LAN });
    node.feed(2, &datagram(&[alive("a", 2, 1, 1)]));
    for _ in 0..5 {
        node.feed(2, &datagram(&[event(5, 7, b"e", &[0; 100], false)]));
        node.now += 20_000;
    }
    node.sent.clear();
    node.feed(2, &datagram(&[body(kind::IDS).id(5, 7).end()]));
    assert_eq!(node.said(kind::PULL), None, "it is known, and known to be too long");
}

#[test]
fn a_member_that_was_never_probed_can_pull() {
    let mut node = Driven::new(server(), Config::LAN);
    node.feed(2, &datagram(&[alive("a", 2, 1, 1), event(5, 7, b"deploy", &[b'x'; 100], false)]));
    node.sent.clear();
    // What a node of this version sends when it has heard of the event: its own pull, byte by byte.
    let mut lacking = Driven::named(server(), Config::LAN, "a", 2);
    lacking.feed(1, &datagram(&[body(kind::IDS).id(5, 7).end()]));
    let (_, pull) = lacking.sent.pop().expect("it asks");
    assert_eq!(read(&pull)[0].0, kind::PULL);
    node.sent.clear();
    node.feed(2, &pull);
    assert!(
        node.said(kind::USER_EVENT).is_some(),
        "its members get what they lack from their first second on"
    );
}

#[test]
fn a_fleet_that_has_just_met_pulls_what_it_lacks_as_well_as_an_old_one() {
    let mut fleet = Fleet::new(0, 400, Size::Thousand, Config::LAN);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.network.loss = 0.3;
    let mut heard = 0;
    let mut watch = |_: usize, _: u64, _: u64, seen| heard += matches!(seen, Seen::User { .. }) as u32;
    fleet.with(1, &mut watch, |node, now| node.user_event(now, b"deploy", &[b'x'; 40], false));
    fleet.run(30 * SECOND, &mut watch);
    assert_eq!(heard, 400);
}

// ---- anything at all ----

/// Datagrams of a small fleet that goes through everything: each kind of message is among them.
fn captured() -> Vec<Vec<u8>> {
    let mut nodes: Vec<Driven> = (1..=5)
        .map(|place| {
            Driven::named(small(), Config::LAN, ["a", "b", "c", "d", "e"][place as usize - 1], place)
        })
        .collect();
    let mut rng = Rng::new(77);
    let mut all = Vec::new();
    let mut off = BTreeSet::new();
    for node in &mut nodes[1..] {
        let at = node.at();
        node.node.start(at, &[addr(1)]);
    }
    for step in 0..1_200u64 {
        let at = nodes[0].at();
        match step {
            200 => nodes[1].node.force_leave(at, "nobody", true),
            400 => drop(off.insert(3)),
            700 => drop(off.remove(&3)),
            900 => drop(nodes[4].node.leave(at)),
            _ => {}
        }
        if step % 20 == 5 && step > 100 {
            let _ = nodes[0].node.user_event(at, b"name", &step.to_le_bytes(), step % 3 == 0);
        }
        let mut flying = VecDeque::new();
        for (i, node) in nodes.iter_mut().enumerate() {
            node.now += 100_000;
            node.drain();
            flying.extend(std::mem::take(&mut node.sent).into_iter().map(|(to, bytes)| (i, to, bytes)));
        }
        while let Some((from, to, bytes)) = flying.pop_front() {
            all.push(bytes.clone());
            let Some(to) = (0..5).find(|i| addr(*i as u8 + 1) == to) else { continue };
            if rng.chance(0.2) || off.contains(&to) || off.contains(&from) {
                continue;
            }
            nodes[to].feed(from as u8 + 1, &bytes);
            let sent = std::mem::take(&mut nodes[to].sent);
            flying.extend(sent.into_iter().map(|(next, bytes)| (to, next, bytes)));
        }
    }
    // What only a dispute or a floor brings.
    all.push(datagram(&[body(kind::NAME_TAKEN).int(7).end()]));
    all.push(datagram(&[body(kind::TOO_OLD).id(7, 1).end()]));
    all.push(datagram(&[body(kind::MISSING).id(7, 1).end()]));
    all.push(padded(&[body(kind::RECORDS_REQUEST).int(7).int(8).int(9).end()]));
    all.push(padded(&[body(kind::PAGE_REQUEST).int(7).int(8).end()]));
    let kinds: BTreeSet<u8> = all.iter().flat_map(|bytes| read(bytes)).map(|(kind, _)| kind).collect();
    assert_eq!(kinds, BTreeSet::from(kind::ALL));
    // One of each shape is enough.
    let mut shapes = BTreeSet::new();
    all.retain(|bytes| shapes.insert(read(bytes).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>()));
    all
}

#[test]
fn no_truncated_or_corrupted_datagram_breaks_an_invariant() {
    let captured = captured();
    let mut rng = Rng::new(1);
    for memory in [tiniest as fn() -> Memory<'static>, tiny, small] {
        let mut node = Driven::new(memory(), Config::LAN);
        node.feed(2, &datagram(&[alive("a", 2, 1, 1)]));
        for bytes in &captured {
            for len in 0..bytes.len() {
                if len % 7 == 0 || len < 64 {
                    node.feed(2, &bytes[..len]);
                    node.sent.clear();
                }
            }
        }
        for _ in 0..20_000 {
            let mut bytes = captured[rng.below(captured.len() as u64) as usize].clone();
            for _ in 0..1 + rng.below(4) {
                let at = 4 + rng.below(bytes.len() as u64 - 4) as usize;
                match rng.below(4) {
                    0 => bytes[at] = rng.bits() as u8,
                    1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.below(5) as usize],
                    2 => bytes[at] ^= 1 << rng.below(8),
                    _ => bytes.truncate(at.max(5)),
                }
            }
            node.feed(1 + rng.below(6) as u8, &bytes);
            node.sent.clear();
            node.told.clear();
            if rng.chance(0.05) {
                node.now += rng.below(3 * SECOND);
            }
        }
    }
}

#[test]
fn wrong_heads_and_lengths_are_refused_and_counted() {
    let mut node = Driven::new(small(), Config::LAN);
    let good = datagram(&[alive("a", 2, 1, 1)]);
    let mut refuse = |bytes: &[u8]| {
        let before =
            node.node.stats().refused + node.node.stats().refused_wire + node.node.stats().refused_cluster;
        let result = node.node.handle(node.at(), Input::Datagram { from: addr(9), bytes });
        let stats = node.node.stats();
        assert!(result.is_err());
        assert_eq!(stats.refused + stats.refused_wire + stats.refused_cluster, before + 1);
    };
    refuse(&[]);
    refuse(b"S");
    refuse(b"S\xCF\x01");
    refuse(&[0; 1_401]);
    for (at, byte) in
        [(0, b'T'), (0, 8), (1, 0), (2, 0), (2, 2), (3, 1), (3, 2), (3, 0xff), (5, 0xff), (6, 0xff)]
    {
        let mut bytes = good.clone();
        bytes[at] = byte;
        refuse(&bytes);
    }
    // Lengths inside of bodies: a name and tags that claim to be longer than everything.
    for length in [0u64, 129, 1_000, u32::MAX as u64, u64::MAX] {
        let name = body(kind::ALIVE).int(length).raw(b"a").addr(2).int(1).int(1).raw(&[0]).raw(&[0; 6]).end();
        refuse(&datagram(&[name]));
        let tags =
            body(kind::ALIVE).text("a").addr(2).int(1).int(1).raw(&[1]).int(length.max(7)).raw(&[0; 6]).end();
        refuse(&datagram(&[tags]));
    }
    for place in [0, 3, 5, 17] {
        let body =
            body(kind::ALIVE).text("a").bytes(&[1; 17][..place]).int(1).int(1).int(1).raw(&[0]).raw(&[0; 6]);
        refuse(&datagram(&[body.end()]));
    }
    assert_eq!(node.node.members().count(), 1);
}

/// A message of any kind about few names, with numbers that are small or at an edge.
fn anything(rng: &mut Rng) -> Vec<u8> {
    const NAMES: [&str; 7] = ["me", "a", "b", "c", "d", "e", "too-long-for-a-slot"];
    fn edge(rng: &mut Rng) -> u64 {
        let edges = [0, 1, 1 << 20, (1 << 20) + 5, u32::MAX as u64, LTIME_LIMIT - 1, LTIME_LIMIT, u64::MAX];
        if rng.chance(0.1) { edges[rng.below(8) as usize] } else { rng.below(12) }
    }
    fn edge32(rng: &mut Rng) -> u32 {
        edge(rng).min(u32::MAX as u64) as u32
    }
    let name = NAMES[rng.below(7) as usize];
    let other = NAMES[rng.below(7) as usize];
    let place = 1 + rng.below(7) as u8;
    let ids = |kind: u8, rng: &mut Rng| {
        (0..rng.below(5)).fold(body(kind), |list, _| list.id(edge(rng), rng.below(3))).end()
    };
    match rng.below(18) {
        0 => body(kind::PING).int(rng.below(9)).text(name).text(other).raw(&[0]).end(),
        1 => {
            let body = body(kind::INDIRECT_PING).int(rng.below(9)).text(name).addr(place);
            body.raw(&[rng.below(2) as u8]).text(other).raw(&[0]).end()
        }
        2 | 3 => alive(name, place, edge32(rng), edge(rng)),
        4 => accusation(kind::SUSPECT, name, edge32(rng), other),
        5 => accusation(kind::DEAD, name, edge32(rng), other),
        6 => intent(kind::JOIN_INTENT, edge(rng), name),
        7 => body(kind::LEAVE_INTENT).int(edge(rng)).text(name).raw(&[rng.below(2) as u8]).end(),
        8 | 9 => {
            let payload = vec![b'p'; rng.below(120) as usize];
            event(edge(rng), rng.below(3), &[b'0' + rng.below(4) as u8], &payload, rng.chance(0.5))
        }
        10 => {
            let body = body(kind::SUMMARY).int(edge(rng)).int(edge(rng)).int(edge(rng));
            body.raw(&[1]).int(rng.below(3)).int(rng.below(3)).id(edge(rng), rng.below(3)).end()
        }
        11 => ids(kind::IDS, rng),
        12 => ids([kind::TOO_OLD, kind::MISSING][rng.below(2) as usize], rng),
        13 => (0..rng.below(5)).fold(body(kind::PULL).int(1), |list, _| list.id(edge(rng), 1)).end(),
        14 => {
            let body = body(kind::JOIN).int(edge32(rng) as u64).text(name).addr(place);
            body.int(edge(rng)).raw(&[rng.below(2) as u8]).end()
        }
        15 => body(kind::PAGE_REQUEST).int(1).int(edge32(rng) as u64).end(),
        16 => body(kind::DIGEST_REQUEST)
            .int(1)
            .int(edge32(rng) as u64)
            .bytes(&vec![5; rng.below(200) as usize])
            .end(),
        _ => {
            let body = body(kind::EVENT_DIGEST_REQUEST).int(1).id(edge(rng), 1);
            body.bytes(&vec![5; rng.below(90) as usize]).id(edge(rng), 1).end()
        }
    }
}

/// Answers what the node has asked, with its own nonces: the answers of a liar.
fn lies(node: &mut Driven, rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut lies = Vec::new();
    for (_, bytes) in std::mem::take(&mut node.sent) {
        for (kind, asked) in read(&bytes) {
            let nonce = asked.first().map_or(0, |_| if kind == kind::PADDING { 0 } else { number(&asked) });
            let page = body(kind::PAGE).raw(&(nonce as u32).to_le_bytes());
            let page = page.raw(&(rng.bits() as u32 & (rng.bits() as u32)).to_le_bytes()).end();
            match kind {
                kind::PING | kind::INDIRECT_PING => lies.push(ack(nonce)),
                kind::JOIN if rng.chance(0.2) => lies.push(body(kind::NAME_TAKEN).int(nonce).end()),
                kind::JOIN => lies.push(body(kind::JOIN_ANSWER).int(nonce).int(5).int(5).int(5).end()),
                kind::DIGEST_REQUEST => {
                    let entry = |list: Body, _| list.int(rng.below(1 << 32)).int(7);
                    lies.push([page, (0..20).fold(body(kind::ENTRIES), entry).end()].concat());
                }
                kind::RECORDS_REQUEST | kind::PAGE_REQUEST => {
                    let name = ["me", "a", "b", "f"][rng.below(4) as usize];
                    let record =
                        record(name, 3, rng.below(9) as u32, rng.below(3), rng.below(4), rng.below(99));
                    lies.push([page, record].concat());
                }
                kind::EVENT_DIGEST_REQUEST => {
                    let list = body(kind::EVENT_ENTRIES).int(nonce).raw(&[1]).id(rng.below(9), 1);
                    lies.push(list.id(rng.below(9), 1).id(rng.below(9), 2).end());
                }
                _ => {}
            }
        }
    }
    lies
}

#[test]
fn no_sequence_of_orders_and_messages_breaks_an_invariant() {
    for seed in 0..120 {
        let mut rng = Rng::new(seed);
        let memory = [tiniest, tiny, small][seed as usize % 3]();
        let quick = Config {
            reconnect_interval: Duration::from_secs(2),
            reconnect_timeout: Duration::from_secs(20),
            tombstone_timeout: Duration::from_secs(10),
            ..Config::LAN
        };
        let mut node = Driven::new(memory, if seed % 2 == 0 { Config::LAN } else { quick });
        let mut delivered = BTreeSet::new();
        for _ in 0..1_200 {
            let at = node.at();
            match rng.below(24) {
                0 => drop(node.node.user_event(
                    at,
                    b"own",
                    &[1; 60][..rng.below(60) as usize],
                    rng.chance(0.5),
                )),
                1 => {
                    node.node.force_leave(at, ["me", "a", "b", "zz"][rng.below(4) as usize], rng.chance(0.5))
                }
                2 => drop(node.node.set_tags(at, &[0xff, 0x80, 1, 2, 3][..rng.below(6) as usize])),
                3 => drop(node.node.join(at, addr(1 + rng.below(6) as u8), rng.chance(0.5))),
                4 if rng.chance(0.1) => node.node.start(at, &[addr(2)]),
                5 if rng.chance(0.01) => drop(node.node.leave(at)),
                6 => node.node.take_events(rng.chance(0.5)),
                7 if rng.chance(0.1) => node.now += rng.below(100 * SECOND),
                8 if rng.chance(0.1) => node.now -= rng.below(SECOND),
                9 => node.now = node.wake.clamp(node.now, node.now + 5 * SECOND),
                10 => {
                    for lie in lies(&mut node, &mut rng) {
                        node.feed(1 + rng.below(6) as u8, &datagram(&[lie]));
                    }
                }
                11 => {
                    let mut tx = vec![0; 64 + rng.below(300) as usize];
                    node.drain_into(&mut tx);
                }
                _ => {
                    let messages: Vec<_> = (0..1 + rng.below(4)).map(|_| anything(&mut rng)).collect();
                    let from = 1 + rng.below(7) as u8;
                    let _ = node
                        .node
                        .handle(at, Input::Datagram { from: addr(from), bytes: &datagram(&messages) });
                }
            }
            if rng.chance(0.8) {
                node.drain();
            }
            if node.sent.len() > 50 {
                node.sent.clear();
            }
            for told in node.told.drain(..) {
                if let Told::User(ltime, payload) = told
                    && payload.first() == Some(&b'p')
                {
                    // Origins are three: one time can be told three times, by payload they are not told apart.
                    delivered.insert((ltime, payload.len()));
                }
            }
        }
        assert!(node.node.stats().events_delivered >= delivered.len() as u64);
    }
}

#[test]
fn a_jump_of_the_clock_in_either_direction_is_survived() {
    for jump in [0, SECOND, 3_600 * SECOND, u64::MAX / 4] {
        let mut node = Driven::new(small(), Config::LAN);
        node.node.start(node.at(), &[addr(2)]);
        node.feed(2, &datagram(&[alive("a", 2, 1, 1), event(3, 3, b"e", b"p", true)]));
        let before = node.now;
        node.now += jump;
        node.drain();
        node.feed(2, &datagram(&[accusation(kind::SUSPECT, "a", 1, "x"), event(4, 3, b"e", b"p", true)]));
        node.now = before;
        node.drain();
        node.now = 0;
        node.feed(2, &datagram(&[alive("b", 3, 1, 1)]));
        node.run(30 * SECOND, &[2, 3]);
        assert_eq!(node.status("b"), Some(Status::Alive));
    }
}

//! Instructions that one packet costs, counted by callgrind: a program of its own for each kind of packet and size of
//! table, in which only [`handle`] is counted, or [`handle`] and [`answer`].

use std::net::SocketAddr;
use std::process::Command;

use crate::foca;
use crate::table::{head, number, row};
use fleet_tests::acquaint::pages;
use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::wire::{ack, addr, alive, body, datagram, event, kind, read, summary, summary_above, take};
use serf_nostd::{Config, DATAGRAM_MAX, Duration, Input, Instant, Node, Output};

/// Packets of one kind in one run.
const PACKETS: u64 = 1_000;
/// Seconds before that, until its own news is old.
const QUIET: u64 = 60;
/// What the functions are called for callgrind.
const HANDLE: &str = concat!(module_path!(), "::handle");
const STEP: &str = concat!(module_path!(), "::step");
/// The kind of packet that goes to foca.
const FOCA: &str = "foca";
/// How this program is told to be the one that callgrind runs.
pub const RUN: &str = "--packets";
/// Sizes of the member tables.
const MEMBERS: [usize; 2] = [16, 10_000];
/// Messages in the longer datagram of [`Packet::Many`].
const MANY: u64 = 11;

/// The kind that is none: idling.
const IDLE: &str = "idle";
/// Seconds until a node has told all that it knows of a fleet that it has just met.
const IDLE_QUIET: u64 = 600;
/// Time to a member and back.
const LATENCY: Duration = Duration::from_millis(4);

/// What is handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packet {
    /// A member's ping, with its summary; answered by an ack.
    Ping,
    /// As [`Packet::Ping`], after events, from members that compare them above a floor of their own each.
    Floor,
    /// The answer to a probe, with the answerer's summary.
    Ack,
    /// An event that is new, and passed on.
    Event,
    /// One message about a member, nothing new.
    One,
    /// As [`Packet::One`] with more messages.
    Many,
}

impl Packet {
    const ALL: [Packet; 6] =
        [Packet::Ping, Packet::Floor, Packet::Ack, Packet::Event, Packet::One, Packet::Many];

    /// As it is called on the command line, and in the table.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Packet::Ping => ("ping", "a ping"),
            Packet::Floor => ("floor", "a ping with a floor of its own, 512 events seen"),
            Packet::Ack => ("ack", "an ack"),
            Packet::Event => ("event", "an event that is new"),
            Packet::One => ("one", "one message about a member"),
            Packet::Many => ("many", "each further message"),
        }
    }

    fn bytes(self, i: u64, members: u64, seq: u64) -> Vec<u8> {
        let about = |k: u64| {
            let place = 1 + (i * MANY + k) * 37 % (members - 1);
            alive(&Fleet::name(place as usize), place as u32, 1, 1)
        };
        match self {
            Packet::Ping | Packet::Floor => {
                let source = Fleet::name(from(i, members) as usize);
                let ping = body(kind::PING).int(i + 1).text(&Fleet::name(0)).text(&source).raw(&[0]).end();
                let floor = if self == Packet::Floor { 1 + i * 37 % (10 * QUIET) } else { 0 };
                datagram(&[summary_above(1, floor), ping])
            }
            Packet::Ack => datagram(&[ack(seq), summary(1)]),
            Packet::Event => datagram(&[event(i + 2, 7, b"deploy", b"1234567890", false)]),
            Packet::One => datagram(&[about(0)]),
            Packet::Many => datagram(&(0..MANY).map(about).collect::<Vec<_>>()),
        }
    }
}

/// Which member the packet comes from.
fn from(i: u64, members: u64) -> u32 {
    (1 + i * 37 % (members - 1)) as u32
}

/// Hands one datagram in. Callgrind finds it by its name.
#[inline(never)]
fn handle(node: &mut Node, now: Instant, from: SocketAddr, bytes: &mut [u8]) {
    let _ = std::hint::black_box(node.handle(now, Input::Datagram { from, bytes }));
}

/// One step of draining the node. Callgrind finds it by its name.
#[inline(never)]
fn step<'o>(node: &'o mut Node, now: Instant, tx: &'o mut [u8]) -> Output<'o> {
    node.poll(now, tx)
}

/// Drains the node, and returns the pings that it has sent, and when it wants to be woken.
fn drain(node: &mut Node, now: Instant, tx: &mut [u8], counted: bool) -> (Vec<(SocketAddr, u64)>, Instant) {
    let mut pings = Vec::new();
    loop {
        match if counted { step(node, now, tx) } else { node.poll(now, tx) } {
            Output::Datagram { to, bytes } => pings.extend(ping_seq(bytes).map(|seq| (to, seq))),
            Output::Event(_) => {}
            Output::Sleep(until) => return (pings, until),
        }
    }
}

/// The program that callgrind runs: one node that knows so many members is woken when it wants to, and whoever it
/// probes answers. Each second a packet of this kind comes in (of none: a ping), and that and what follows at once is
/// counted (of none: all).
pub fn run(name: &str, members: u64) {
    if name == FOCA {
        return foca::pings(PACKETS, members as usize);
    }
    let packet = Packet::ALL.into_iter().find(|packet| packet.names().0 == name);
    assert!(packet.is_some() || name == IDLE, "no kind of packet: {name}");
    let (each_second, quiet) =
        (packet.unwrap_or(Packet::Ping), if packet.is_some() { QUIET } else { IDLE_QUIET });
    let mut fleet = Fleet::new(1, members as usize, Size::Members(members as u16), Config::LAN);
    fleet.introduce(0, &pages(members as usize), &mut |_, _, _, _| {});
    fleet.with(0, &mut |_, _, _, _| {}, |node, mut now| {
        let mut tx = [0; DATAGRAM_MAX];
        let mut counted = 0;
        for i in 0.. {
            let end = now + Duration::from_secs(1);
            let mut arriving = Vec::new();
            match each_second {
                // Whoever is probed sends those.
                Packet::Ack => {}
                _ => arriving.push((each_second, addr(from(i, members)), each_second.bytes(i, members, 0))),
            }
            if packet == Some(Packet::Floor) && i < quiet {
                for k in 0..10 {
                    let mut event = datagram(&[event(10 * i + k + 1, 7, b"deploy", b"1", false)]);
                    let _ = node.handle(now, Input::Datagram { from: addr(1), bytes: &mut event });
                }
            }
            counted += (packet.is_none() && i >= quiet) as u64;
            while now < end {
                // What is due by itself is not the packet's.
                let idle = packet.is_none() && i >= quiet;
                let mut probed = if idle { Vec::new() } else { drain(node, now, &mut tx, false).0 };
                let mut counts = idle;
                for (kind, from, mut bytes) in arriving.drain(..) {
                    if idle || packet == Some(kind) && i >= quiet {
                        counted += packet.is_some() as u64;
                        counts = true;
                        handle(node, now, from, &mut bytes);
                    } else {
                        let _ = node.handle(now, Input::Datagram { from, bytes: &mut bytes });
                    }
                }
                let (more, until) = drain(node, now, &mut tx, counts);
                probed.extend(more);
                let acks =
                    probed.into_iter().map(|(to, seq)| (Packet::Ack, to, Packet::Ack.bytes(i, members, seq)));
                arriving.extend(acks);
                now = if arriving.is_empty() { until.min(end) } else { now + LATENCY };
            }
            if counted >= PACKETS {
                break;
            }
        }
    });
}

/// The number of the ping in a datagram, if there is one.
fn ping_seq(bytes: &[u8]) -> Option<u64> {
    let (_, body) = read(bytes).into_iter().find(|(kind, _)| *kind == kind::PING)?;
    Some(take(&mut &body[..]))
}

/// Instructions per packet in these functions of this program.
fn count(packet: &str, members: usize, functions: &[&str]) -> f64 {
    let own = std::env::current_exe().expect("a running program has a path");
    let mut callgrind = Command::new("valgrind");
    callgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"]);
    callgrind.args(functions.iter().map(|function| format!("--toggle-collect={function}"))).arg(own);
    let output = callgrind.args([RUN, packet, &members.to_string()]).output();
    let text = String::from_utf8_lossy(&output.expect("tests/run has fetched valgrind").stderr).into_owned();
    let collected = text.lines().find_map(|line| line.split_once("Collected : "));
    let collected = collected.and_then(|(_, count)| count.trim().parse::<f64>().ok());
    collected.unwrap_or_else(|| panic!("{text}")) / PACKETS as f64
}

/// What a second of idling costs a node that knows so many.
pub fn idle(members: usize) -> f64 {
    count(IDLE, members, &[STEP, HANDLE])
}

/// What each kind of packet costs, with small and with large tables.
pub fn table() -> String {
    let columns =
        ["packet", "16 members", "10,000 members", "goal", "met", "answering, passing on", "10,000 members"];
    let mut text = head("Instructions per packet handled (callgrind)", 1, &columns);
    let mut one = [0.0; 2];
    for packet in Packet::ALL {
        let (name, label) = packet.names();
        let mut handled = MEMBERS.map(|members| count(name, members, &[HANDLE]));
        let mut answered = MEMBERS.map(|members| number(count(name, members, &[STEP])));
        let goal = if packet == Packet::Many { 1_000.0 } else { 2_000.0 };
        match packet {
            Packet::One => one = handled,
            Packet::Many => {
                handled = std::array::from_fn(|i| (handled[i] - one[i]) / (MANY - 1) as f64);
                answered = [String::new(), String::new()];
            }
            _ => {}
        }
        let met = if handled.iter().all(|count| *count <= goal) { "met" } else { "NOT MET" };
        let cells =
            [label.into(), number(handled[0]), number(handled[1]), format!("≤ {}", number(goal)), met.into()];
        text += &row(&[&cells[..], &answered].concat());
    }
    let [small, large] = MEMBERS.map(|members| number(count(FOCA, members, &[foca::HANDLE])));
    let dash = || String::from("–");
    text += &row(&["foca: a ping, answered".into(), small, large, dash(), String::new(), dash(), dash()]);
    text
}

//! Whatever comes over the wire: boards refuse it, count it, and go on.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use fleet_tests::rng::Rng;
use fleet_tests::wire::{HEAD, checked};

use crate::board::{self, Board};
use crate::fleet::Fleet;
use crate::frame::{self, End};
use crate::harness::wait_until;
use crate::members::numbered;

const PORT: u16 = 7946;
/// An address that is nobody's.
const STRANGER: End = End { mac: [2, 0, 0, 0, 0, 0x66], ip: Ipv4Addr::new(10, 77, 0, 66), port: PORT };

fn end(board: &Board) -> End {
    End { mac: board.mac(), ip: board.ip(), port: PORT }
}

/// Hands frames to every board, no faster than their controllers' queues take them.
fn inject(fleet: &Fleet, frames: impl Fn(End) -> Vec<Vec<u8>>) {
    for board in &fleet.boards {
        for few in frames(end(board)).chunks(8) {
            few.iter().for_each(|frame| fleet.lab.hub.inject(board.port(), frame));
            sleep(Duration::from_millis(1));
        }
    }
}

/// Sends a datagram to every board until it has been counted there.
#[track_caller]
fn wait_counted(fleet: &mut Fleet, counter: &str, payload: &[u8]) {
    for board in &mut fleet.boards {
        let frame = frame::udp(STRANGER, end(board), payload);
        let before = board.report().number(counter);
        let first = &payload[..payload.len().min(16)];
        wait_until(&format!("{counter} for {} bytes, {first:02x?}", payload.len()), || {
            fleet.lab.hub.inject(board.port(), &frame);
            board.report().number(counter) > before
        });
    }
}

/// No board has started again, and everybody hears everybody.
#[track_caller]
fn check_unharmed(fleet: &mut Fleet, event: &str) {
    fleet.wait_agree();
    fleet.servers[0].fire(event, ["still here"], false);
    fleet.wait_heard(event, &["still here"]);
    for board in &mut fleet.boards {
        assert_eq!(board.count(": boot "), 1, "{} has started again", board.name());
        assert_eq!(board.ended(), None);
        assert!(board.report().stack < board::STACK * 3 / 4, "no input comes near the end of its stack");
    }
}

#[test]
fn frames_of_garbage_and_nonsense_of_arp_and_ip_are_shrugged_off() {
    let mut fleet = Fleet::start(21, 2, "qemu-mps2", 2);
    fleet.wait_agree();

    let counted = |fleet: &mut Fleet| -> Vec<(u64, u64)> {
        let reports = fleet.boards.iter_mut().map(Board::report);
        reports.map(|report| (report.number("frames"), report.number("datagrams_in"))).collect()
    };
    let before = counted(&mut fleet);
    inject(&fleet, |to| (0..2_000).map(|seed| noise(&mut Rng::new(seed), to)).collect());
    check_unharmed(&mut fleet, "after-noise");
    // The difference of the two counters is what the network stack has refused.
    for (before, after) in before.into_iter().zip(counted(&mut fleet)) {
        let (frames, datagrams) = (after.0 - before.0, after.1 - before.1);
        assert!(frames > 1_000 + datagrams, "{frames} frames have come, {datagrams} datagrams in them");
    }
    inject(&fleet, arp_nonsense);
    check_unharmed(&mut fleet, "after-arp");
    inject(&fleet, ip_nonsense);
    check_unharmed(&mut fleet, "after-ip");
}

#[test]
fn hostile_datagrams_are_refused_and_counted() {
    let mut fleet = Fleet::start(22, 2, "qemu-mps2", 2);
    fleet.lab.hub.record();
    fleet.wait_agree();
    fleet.servers[1].fire("blink", numbered("recorded ", 20), false);
    fleet.servers[0].fire("led", ["on"], true);
    fleet.wait_heard("led", &["on"]);
    let mut lengths = BTreeSet::new();
    let recorded: Vec<_> = fleet.lab.hub.recorded();
    let datagrams: Vec<_> = recorded
        .iter()
        .filter_map(|frame| frame::udp_payload(frame, PORT))
        .filter(|payload| lengths.insert(payload.len()))
        .collect();
    assert!(datagrams.len() >= 10 && datagrams.iter().all(|bytes| bytes.starts_with(&HEAD[..2])));

    // Each reason to refuse has its counter.
    wait_counted(&mut fleet, "refused", b"not gossip");
    wait_counted(&mut fleet, "refused", &[&HEAD[..], &[0; 1_450]].concat());
    wait_counted(&mut fleet, "refused", &checked([&HEAD[..], b"\x01\xff\xffcut off"].concat()));
    wait_counted(&mut fleet, "refused", &[&HEAD[..], b"damaged"].concat());
    wait_counted(&mut fleet, "refused_wire", &[4, 0, 0]);
    wait_counted(&mut fleet, "refused_wire", &[b'S', 0xCF, 1, 0, 4, 1, 0, 2]);
    wait_counted(&mut fleet, "refused_cluster", &checked(vec![b'S', 0x21, 0, 0, 0, 0, 1, 2, 3, 4]));
    wait_counted(&mut fleet, "unknown_messages", &checked([&HEAD[..], &[250, 0, 0]].concat()));
    check_unharmed(&mut fleet, "after-refused");

    // What members really say, cut off and corrupted, and as if it came from one of them.
    let server = End { ip: fleet.servers[0].host.ip, ..STRANGER };
    inject(&fleet, |to| {
        let mut rng = Rng::new(23);
        let mut frames = Vec::new();
        for bytes in &datagrams {
            for _ in 0..10 {
                let cut = bytes[..rng.below(bytes.len() as u64) as usize].to_vec();
                // With the right checksum, or it would not be read at all.
                frames.push(frame::udp(server, to, &checked(cut)));
                frames.push(frame::udp(server, to, &checked(corrupted(&mut rng, bytes))));
            }
            frames.push(frame::udp(server, to, &garbage(&mut rng)));
        }
        frames
    });
    check_unharmed(&mut fleet, "after-corrupted");
}

#[test]
fn a_flood_ends_and_is_forgotten() {
    let mut fleet = Fleet::start(24, 2, "qemu-mps2", 2);
    fleet.wait_agree();
    let mut rng = Rng::new(25);
    for _ in 0..20_000 {
        for board in &fleet.boards {
            fleet.lab.hub.inject(board.port(), &flood(&mut rng, end(board)));
        }
    }
    for board in &mut fleet.boards {
        assert!(board.report().number("refused") > 0, "some of it has come through to {}", board.name());
    }
    check_unharmed(&mut fleet, "after-flood");
    fleet.boards[1].press();
    fleet.wait_heard("button", &["b2"]);
}

/// What is quick to send and has to be looked at.
fn flood(rng: &mut Rng, to: End) -> Vec<u8> {
    let bits = rng.bits();
    match bits % 4 {
        0 => frame::udp(STRANGER, to, &garbage(rng)),
        1 => frame::udp(End { port: (bits >> 32) as u16, ..STRANGER }, to, &[0; 1_000]),
        // An echo request, which IP has to answer.
        2 => frame::ipv4(STRANGER, to, 1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]),
        _ => {
            let [host, ..] = bits.to_be_bytes();
            frame::arp(1, End { ip: Ipv4Addr::new(10, 77, 1, host), ..STRANGER }, to)
        }
    }
}

/// Random bytes behind a header that is random, or right so far.
fn noise(rng: &mut Rng, to: End) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..rng.range(1..1_519)).map(|_| rng.bits() as u8).collect();
    if rng.chance(0.7) && frame.len() >= 14 {
        frame[..6].copy_from_slice(&if rng.chance(0.5) { to.mac } else { [0xff; 6] });
        let kinds = [0x0800, 0x0806, 0x86dd, 0x8100, frame.len() as u16];
        let kind: u16 = kinds[rng.below(5) as usize];
        frame[12..14].copy_from_slice(&kind.to_be_bytes());
    }
    if rng.chance(0.5) && frame.len() >= 34 {
        frame[14] = 0x45;
        frame[30..34].copy_from_slice(&to.ip.octets());
    }
    frame
}

fn arp_nonsense(to: End) -> Vec<Vec<u8>> {
    let anybody = End { ip: Ipv4Addr::UNSPECIFIED, ..STRANGER };
    let everybody = End { mac: [0xff; 6], ip: Ipv4Addr::BROADCAST, ..STRANGER };
    let itself = End { mac: STRANGER.mac, ..to };
    let server = End { ip: Ipv4Addr::new(10, 77, 0, 1), ..STRANGER };
    let mut frames = Vec::new();
    for operation in [0, 1, 2, 3, 0xffff] {
        for from in [anybody, everybody, itself, server, to] {
            for target in [to, anybody, everybody, itself] {
                let frame = frame::arp(operation, from, target);
                frames.extend([14, 20, 30, 41].map(|length| frame[..length].to_vec()));
                frames.push(frame);
            }
        }
    }
    // Sizes of addresses that are none.
    let mut sizes = frame::arp(1, STRANGER, to);
    sizes[18..20].copy_from_slice(&[255, 255]);
    frames.push(sizes);
    // More neighbours than there is room for.
    frames.extend((1..=200).map(|host| {
        let from = End { ip: Ipv4Addr::new(10, 77, 0, host), mac: [2, 1, 1, 1, 1, host], ..STRANGER };
        frame::arp(1, from, to)
    }));
    frames
}

fn ip_nonsense(to: End) -> Vec<Vec<u8>> {
    let right = frame::udp(STRANGER, to, &[&HEAD[..], &[0; 60]].concat());
    let mut frames: Vec<_> = (0..right.len()).map(|length| right[..length.max(1)].to_vec()).collect();
    // Each byte of both headers, at its extremes.
    for place in 14..42 {
        for value in [0, 1, 0x4f, 0x7f, 0x80, 0xff] {
            let mut frame = right.clone();
            frame[place] = value;
            frames.push(frame);
        }
    }
    for ip in
        [to.ip, Ipv4Addr::BROADCAST, Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST, Ipv4Addr::new(224, 0, 0, 1)]
    {
        let from = End { ip, ..STRANGER };
        frames.push(frame::udp(from, to, &HEAD));
        frames.push(frame::udp(STRANGER, End { ip, ..to }, &HEAD));
        frames.extend((0..=255).map(|protocol| frame::ipv4(from, to, protocol, &[0xff; 40])));
    }
    frames
}

/// A datagram with a few other bytes.
fn corrupted(rng: &mut Rng, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.range(1..6) {
        let place = rng.below(bytes.len() as u64) as usize;
        bytes[place] = rng.bits() as u8;
    }
    bytes
}

/// A right header, and anything behind it.
fn garbage(rng: &mut Rng) -> Vec<u8> {
    let length = rng.below(1_300) as usize;
    checked(HEAD.into_iter().chain((0..length).map(|_| rng.bits() as u8)).collect())
}

//! Sealed datagrams, from end to end.

use std::vec::Vec;

use super::super::message::{Message, Nack};
use super::super::packet::tests::messages;
use super::super::packet::{DATAGRAM_MAX, Wire};
use super::*;
use crate::kit::addr;

const LIFE: Life = Life { name: 1, boot: 2, seed: 3, addr: 4 };

fn key(i: u8) -> Key {
    Key::new(core::array::from_fn(|at| at as u8 + i))
}

/// A node of this seed with this key, on memory that is never given back.
fn wire(seed: u64, keys: &[u8], cluster: Option<&str>) -> Wire<'static> {
    let keys_here = std::vec![KeySlot::EMPTY; 4].leak();
    let windows = std::vec![PeerSession::EMPTY; 4].leak();
    let parts = Parts { keys: keys_here, windows, window_index: &mut [] };
    let mut wire = Wire::new(cluster, Seal::new(parts, Life { seed, ..LIFE }, true));
    keys.iter().for_each(|i| assert!(wire.install(&key(*i)).is_ok()));
    wire
}

fn sealed(from: &mut Wire<'_>, message: &Message<'_>) -> Vec<u8> {
    let mut buf = [0; DATAGRAM_MAX];
    let mut packet = from.packet(&mut buf, DATAGRAM_MAX);
    assert!(packet.push(message));
    let len = packet.finish(from);
    buf[..len].to_vec()
}

fn said(from: &mut Wire<'_>, seq: u32) -> Vec<u8> {
    sealed(from, &Message::Nack(Nack { seq }))
}

/// What opening it comes to; a datagram of [`said`], its number.
fn opened(by: &mut Wire<'_>, datagram: &[u8]) -> Result<u32, Reject> {
    let mut datagram = datagram.to_vec();
    let mut opened = by.open(&mut datagram)?;
    match opened.messages.next() {
        Some(Ok(Message::Nack(nack))) => Ok(nack.seq),
        _ => Ok(0),
    }
}

/// Whether it is opened as what a member has sealed whose session is known.
fn is_proven(by: &mut Wire<'_>, datagram: &[u8]) -> bool {
    let mut datagram = datagram.to_vec();
    by.open(&mut datagram).is_ok_and(|opened| opened.sender.is_some_and(|sender| sender.peer.is_some()))
}

/// The member of this number has answered with this datagram.
fn proven(by: &mut Wire<'_>, member: u16, datagram: &[u8]) {
    let mut datagram = datagram.to_vec();
    let sender = by.open(&mut datagram).expect("sealed with the key").sender.expect("sealed");
    assert!(by.seal.bind(member, &addr(1), &sender));
}

/// The example of docs/protocol.md. A difference here is a break with every sealed node out there, not a fixture to be renewed.
#[test]
fn the_bytes_are_those_of_every_released_version() {
    let hex: std::string::String =
        said(&mut wire(3, &[0], Some("fleet")), 7).iter().map(|byte| std::format!("{byte:02x}")).collect();
    let released = include_str!("../../../tests/wire/sealed-v2.txt").lines().last();
    assert_eq!(released, Some(&*std::format!("sealed {hex}")));
}

#[test]
fn every_kind_comes_back_and_costs_27_bytes_more() {
    let (mut here, mut there) = (wire(1, &[0], None), wire(2, &[0], None));
    let mut plain = wire(3, &[], None);
    messages(|name, message| {
        let mut datagram = sealed(&mut here, message);
        assert_eq!(datagram.len(), sealed(&mut plain, message).len() + 27, "{name}");
        let mut opened = there.open(&mut datagram).expect("the same key");
        assert_eq!(opened.messages.next(), Some(Ok(*message)), "{name}");
        assert!(opened.messages.next().is_none());
    });
}

#[test]
fn whatever_is_changed_or_cut_is_refused() {
    let (mut here, mut there) = (wire(1, &[0], Some("a")), wire(2, &[0], Some("a")));
    messages(|name, message| {
        let datagram = sealed(&mut here, message);
        for bit in 0..8 * datagram.len() {
            let mut changed = datagram.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(opened(&mut there, &changed).is_err(), "{name}, bit {bit}");
        }
        for len in 0..datagram.len() {
            assert!(opened(&mut there, &datagram[..len]).is_err(), "{name} cut to {len} bytes");
        }
        let mut longer = datagram.clone();
        longer.push(0);
        assert!(opened(&mut there, &longer).is_err());
        assert!(opened(&mut there, &datagram).is_ok(), "{name} as it is");
    });
}

#[test]
fn who_has_another_key_another_name_or_none_reads_nothing() {
    let mut here = wire(1, &[0], Some("a"));
    let datagram = said(&mut here, 7);
    assert_eq!(opened(&mut wire(2, &[], None), &datagram), Err(Reject::Sealed));
    assert_eq!(opened(&mut wire(2, &[9], Some("a")), &datagram), Err(Reject::UnknownKey));
    assert_eq!(opened(&mut wire(2, &[0], Some("b")), &datagram), Err(Reject::UnknownKey));
    assert_eq!(opened(&mut wire(2, &[0], None), &datagram), Err(Reject::UnknownKey));
    assert_eq!(opened(&mut wire(2, &[9, 0], Some("a")), &datagram), Ok(7), "the second key of the ring");
    let plain = said(&mut wire(2, &[], Some("a")), 7);
    assert_eq!(opened(&mut here, &plain), Err(Reject::Unsealed));
}

#[test]
fn what_comes_again_is_refused_once_its_sender_is_known() {
    let (mut here, mut there) = (wire(1, &[0], None), wire(2, &[0], None));
    let datagrams: Vec<_> = (1..=6).map(|seq| said(&mut here, seq)).collect();
    for _ in 0..2 {
        assert_eq!(opened(&mut there, &datagrams[0]), Ok(1), "nobody can tell yet");
    }
    proven(&mut there, 2, &datagrams[1]);
    assert_eq!(opened(&mut there, &datagrams[1]), Err(Reject::Replayed));
    assert!(!is_proven(&mut there, &datagrams[0]), "it may be late, or a replay");
    for (at, result) in [(4, Ok(5)), (2, Ok(3)), (3, Ok(4)), (2, Err(Reject::Replayed)), (5, Ok(6))] {
        assert_eq!(opened(&mut there, &datagrams[at]), result, "datagram {at}");
    }
    let next = said(&mut here, 7);
    assert!(
        is_proven(&mut there, &next) && !is_proven(&mut there, &datagrams[2]),
        "and so is what is forgotten"
    );
    there.seal.forget(2);
    assert_eq!(opened(&mut there, &datagrams[5]), Ok(6), "whose place is another's is nobody");
}

/// A forgery moves no window, or it would shut out what is really sent.
#[test]
fn a_forged_counter_moves_no_window() {
    let (mut here, mut there) = (wire(1, &[0], None), wire(2, &[0], None));
    proven(&mut there, 2, &said(&mut here, 1));
    let next = said(&mut here, 2);
    let mut forged = next.clone();
    forged[16] = 0x7f;
    assert_eq!(opened(&mut there, &forged), Err(Reject::Forged));
    assert_eq!(opened(&mut there, &next), Ok(2));
}

#[test]
fn what_this_node_has_said_itself_is_refused() {
    let mut here = wire(1, &[0], None);
    let datagram = said(&mut here, 1);
    assert_eq!(opened(&mut here, &datagram), Err(Reject::Replayed));
}

#[test]
fn a_copy_of_this_node_is_told_and_avoided() {
    let (mut here, mut copy, mut there) = (wire(1, &[0], None), wire(1, &[0], None), wire(2, &[0], None));
    let first = said(&mut copy, 1);
    assert_eq!(opened(&mut here, &first), Err(Reject::Cloned));
    assert_ne!(said(&mut here, 1)[3..11], first[3..11], "it goes on under another session");
    assert_eq!(opened(&mut there, &first), Ok(1));
    assert_eq!(opened(&mut here, &first), Ok(1), "and the copy is like any other node");
}

#[test]
fn no_two_lives_seal_under_one_session() {
    let lives = [
        LIFE,
        Life { name: 9, ..LIFE },
        Life { boot: 9, ..LIFE },
        Life { seed: 9, ..LIFE },
        Life { addr: 9, ..LIFE },
    ];
    let mut sessions = Vec::new();
    for life in lives {
        let mut session = Session::new(life);
        for _ in 0..3 {
            session.begin(key(0).as_bytes());
            assert!(!sessions.contains(session.id()));
            sessions.push(*session.id());
        }
    }
}

#[test]
fn the_last_counter_is_followed_by_another_session() {
    let (mut here, mut there) = (wire(1, &[0], None), wire(2, &[0], None));
    here.seal.session.set_counter((1 << 48) - 4);
    let datagrams: Vec<_> = (0..4).map(|seq| said(&mut here, seq)).collect();
    let sessions: Vec<_> = datagrams.iter().map(|datagram| &datagram[3..11]).collect();
    assert!(sessions[0] == sessions[1] && sessions[1] != sessions[2] && sessions[2] == sessions[3]);
    assert_eq!(datagrams[2][11..17], [1, 0, 0, 0, 0, 0]);
    for (seq, datagram) in (0..).zip(&datagrams) {
        assert_eq!(opened(&mut there, datagram), Ok(seq));
    }
}

#[test]
fn keys_change_while_datagrams_are_under_way() {
    let (mut here, mut there) = (wire(1, &[0], None), wire(2, &[0], None));
    proven(&mut there, 2, &said(&mut here, 1));
    let old = said(&mut here, 2);
    there.install(&key(5)).expect("room");
    here.install(&key(5)).expect("room");
    here.seal.make_primary(&key(5), 0).expect("it is in");
    let new = said(&mut here, 3);
    assert_ne!(new[2], old[2]);
    assert_eq!((opened(&mut there, &new), opened(&mut there, &old)), (Ok(3), Ok(2)));
    let newer = said(&mut here, 4);
    assert_eq!(opened(&mut there, &newer), Ok(4), "its session goes on under the other key");
    there.seal.make_primary(&key(5), 0).expect("it is in");
    there.seal.remove(&key(0)).expect("it is not the primary one");
    assert_eq!(opened(&mut there, &old), Err(Reject::UnknownKey));
}

/// Who has missed that another key is used is answered under the one that it knows.
#[test]
fn an_answer_is_sealed_with_the_key_of_its_question() {
    let (mut here, mut there) = (wire(1, &[0], None), wire(2, &[5, 0], None));
    let mut question = said(&mut here, 1);
    let sender = there.open(&mut question).expect("an older key of the ring").sender;
    let mut buf = [0; DATAGRAM_MAX];
    let mut packet = there.packet(&mut buf, DATAGRAM_MAX);
    assert!(packet.push(&Message::Nack(Nack { seq: 2 })));
    let len = packet.finish_reply(&mut there, &Reply::to(sender, 0, false));
    assert_eq!(opened(&mut here, &buf[..len]), Ok(2));
    let unasked = said(&mut there, 3);
    assert_eq!(opened(&mut here, &unasked), Err(Reject::UnknownKey));
}

#[test]
fn a_challenge_is_answered_from_its_address_and_soon() {
    let here = wire(1, &[0], None);
    let (at, later) = (Instant::from_millis(60_000), Instant::from_millis(76_001));
    let number = here.seal.challenge(&addr(1), at);
    assert!(here.seal.has_challenged(&addr(1), Instant::from_millis(67_000), number));
    assert!(!here.seal.has_challenged(&addr(2), at, number));
    assert!(!here.seal.has_challenged(&addr(1), later, number));
    assert!(!wire(2, &[0], None).seal.has_challenged(&addr(1), at, number), "nor by another node");
}

#[test]
fn challenges_have_a_pace() {
    let mut here = wire(1, &[0], None);
    let sent = |here: &mut Wire<'_>, ms| {
        (0..100).filter(|_| here.seal.may_challenge(Instant::from_millis(ms), 36)).count()
    };
    assert_eq!([0, 500, 1_000].map(|ms| sent(&mut here, ms)), [36, 0, 36]);
}

//! Whoever can send datagrams, and has no key: what he can do to a fleet that is not sealed, he cannot do to one that is. Of a sealed fleet
//! each datagram and each event stays bit for bit what it is without him.

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::sealing::Sealer;
use fleet_tests::wire::{self, body, kind};
use serf_nostd::{Config, Key};

const KEY: [u8; 32] = [1; 32];
const VICTIM: usize = 3;

fn boot(fleet: &Fleet, i: usize) -> u64 {
    fleet.machines[i].boot_number()
}

/// One datagram's messages, at one second.
type Attack = fn(&Fleet, u64) -> Vec<Vec<u8>>;
/// How they become a datagram.
type Wrap = fn(&[Vec<u8>], u64) -> Vec<u8>;

/// Each of them shows in what an unsealed fleet says. (What is mended there as well has a regression of its own.)
const ATTACKS: [(&str, Attack); 8] = [
    ("an event runs handlers", |_, n| vec![wire::event(50 + n, 77 + n, b"deploy", b"evil", false)]),
    ("a clock runs away", |_, n| (0..60).map(|i| wire::summary((n * 60 + i) << 20)).collect()),
    ("a boot number at the edge", |fleet, _| {
        vec![wire::alive(&Fleet::name(VICTIM), VICTIM as u32, 1, boot(fleet, VICTIM) + (1 << 40))]
    }),
    ("all are dead", |_, _| {
        (0..6).map(|i| wire::accusation(kind::DEAD, &Fleet::name(i), 1_000, "node-0")).collect()
    }),
    ("all leave", |_, n| {
        (0..6).map(|i| wire::intent(kind::LEAVE_INTENT, 100 + n, &Fleet::name(i))).collect()
    }),
    ("a member is led elsewhere", |fleet, n| {
        vec![wire::alive(&Fleet::name(VICTIM), 70_000, 100 + n as u32, boot(fleet, VICTIM))]
    }),
    ("who is there", |_, n| vec![body(kind::PAGE_REQUEST).int(n + 1).int(0).end()]),
    ("pings draw acks", |_, n| {
        let ping = |i| body(kind::PING).int(n * 60 + i).text("node-0").text("node-1").raw(&[0]).end();
        (0..60).map(ping).collect()
    }),
];

/// What a fleet says and is told in half a minute, while somebody sends a datagram to each node each second, by the name of another.
fn fleet_says(sealed: bool, attack: Option<(Attack, Wrap)>) -> (Vec<(usize, String)>, u64) {
    let mut fleet = Fleet::new(1, 6, Size::Small, Config::LAN);
    fleet.key = sealed.then(|| Key::new(KEY));
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(10 * SECOND, &mut |_, _, _, _| {});
    fleet.recording = Some(Vec::new());
    let mut told = Vec::new();
    for n in 0..30 {
        if let Some((attack, wrap)) = attack {
            let messages = attack(&fleet, n);
            for to in 0..6 {
                let from = fleet.address((to + 1) % 6);
                fleet.inject_from(from, to, wrap(&messages, n));
            }
        }
        let mut watch = |i: usize, _: u64, _: u64, seen| told.push((i, format!("{seen:?}")));
        fleet.with(n as usize % 6, &mut watch, |node, now| {
            node.user_event(now, b"own", &[n as u8], false).expect("there is room")
        });
        fleet.run(SECOND, &mut watch);
    }
    let refused = fleet.total(|stats| stats.refused_unsealed + stats.refused_key + stats.refused_forged);
    let said = fleet.recording.take().expect("it records");
    let said = said.into_iter().map(|(from, to, datagram)| (from, format!("to {to}: {datagram:?}")));
    (said.chain(told).collect(), refused)
}

fn unsealed(messages: &[Vec<u8>], _: u64) -> Vec<u8> {
    if messages.len() > 1 { wire::datagram(messages) } else { wire::padded(messages) }
}

/// Under a key of his own.
fn with_another_key(messages: &[Vec<u8>], n: u64) -> Vec<u8> {
    Sealer { key: [2; 32], session: [9; 8], cluster: None }.seal(1 + n, &messages.concat())
}

/// With the id of the fleet's key, which is there for all to read.
fn forged(messages: &[Vec<u8>], n: u64) -> Vec<u8> {
    let id = Sealer { key: KEY, session: [9; 8], cluster: None }.seal(1, &[])[2];
    let mut datagram = with_another_key(messages, n);
    datagram[2] = id;
    datagram
}

#[test]
fn what_harms_an_unsealed_fleet_does_nothing_to_a_sealed_one() {
    let (open, _) = fleet_says(false, None);
    let (closed, none) = fleet_says(true, None);
    assert_eq!(none, 0);
    for (name, attack) in ATTACKS {
        assert!(fleet_says(false, Some((attack, unsealed))).0 != open, "{name}: not even unsealed");
        for wrap in [unsealed as Wrap, with_another_key, forged] {
            let (says, refused) = fleet_says(true, Some((attack, wrap)));
            assert!(says == closed, "{name}");
            assert_eq!(refused, 180, "{name}");
        }
    }
}

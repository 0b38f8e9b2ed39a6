//! What a stranger reaches with one datagram per second for a minute, in a fleet that is not sealed: what he pays, what the
//! fleet sends because of it, what applications are told, and whether all is well a minute later.

use std::net::SocketAddr;

use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::wire::{accusation, alive, body, datagram, event, intent, kind, padded, summary};
use serf_nostd::Config;

use crate::table::{head, number, row};

const SECOND: u64 = 1_000_000;
const NODES: usize = 20;
/// Heads of UDP and IP, which the attacker pays for as well.
const HEADS: usize = 28;
/// How long he goes on.
const SPAN: u64 = 60;

/// A datagram of the attacker's in some second.
type Datagram = fn(u64, &Fleet) -> Vec<u8>;

/// The attacks: what each is called, whether it comes from a member's address instead of his own, and its datagrams.
const ATTACKS: [(&str, bool, Datagram); 13] = [
    ("forged events, 30 in one", false, events),
    ("clocks driven to their reach", false, clocks),
    ("a boot number far ahead", false, boots),
    ("the death of all", false, deaths),
    ("all leave", false, leaves),
    ("ghosts, 25 in one", false, ghosts),
    ("members redirected to a victim", false, redirects),
    ("names claimed by a victim", false, claims),
    ("page requests", false, pages),
    ("73 pings in a member's name", true, pings),
    ("36 indirect pings", false, indirect),
    ("85 histories", false, histories),
    ("another fleet each time", false, fleets),
];

fn now(fleet: &Fleet) -> u64 {
    fleet.node(1).map_or(1, |node| node.gauges().event_time)
}

fn each(message: impl FnMut(usize) -> Vec<u8>) -> Vec<u8> {
    datagram(&(0..NODES).map(message).collect::<Vec<_>>())
}

fn events(second: u64, fleet: &Fleet) -> Vec<u8> {
    let first = now(fleet);
    datagram(&(0..30).map(|n| event(first + n, second, b"deploy", b"forged", false)).collect::<Vec<_>>())
}

fn clocks(_: u64, fleet: &Fleet) -> Vec<u8> {
    datagram(&[summary(now(fleet) + serf_nostd::LTIME_STEP - 1)])
}

fn boots(_: u64, _: &Fleet) -> Vec<u8> {
    each(|i| alive(&Fleet::name(i), i as u32, 1, 1 << 60))
}

fn deaths(second: u64, _: &Fleet) -> Vec<u8> {
    each(|i| accusation(kind::DEAD, &Fleet::name(i), second as u32, "stranger"))
}

fn leaves(second: u64, _: &Fleet) -> Vec<u8> {
    each(|i| intent(kind::LEAVE_INTENT, 100 + second, &Fleet::name(i)))
}

fn ghosts(second: u64, _: &Fleet) -> Vec<u8> {
    let ghost = |n: u64| alive(&format!("g-{}", 25 * second + n), 900, 1, 1);
    datagram(&(0..25).map(ghost).collect::<Vec<_>>())
}

fn redirects(second: u64, _: &Fleet) -> Vec<u8> {
    each(|i| alive(&Fleet::name(i), NODES as u32, 2 + second as u32, 1 << 16))
}

fn claims(_: u64, _: &Fleet) -> Vec<u8> {
    each(|i| alive(&Fleet::name(i), NODES as u32, 1, 1))
}

fn pages(second: u64, _: &Fleet) -> Vec<u8> {
    padded(&[body(kind::PAGE_REQUEST).int(second).int(0).end()])
}

fn pings(second: u64, _: &Fleet) -> Vec<u8> {
    let ping =
        |n: u64| body(kind::PING).int(100 * second + n).text(&Fleet::name(1)).text("node-2").raw(&[0]).end();
    datagram(&(0..73).map(ping).collect::<Vec<_>>())
}

fn indirect(second: u64, _: &Fleet) -> Vec<u8> {
    let ping = |n: u64| {
        let body = body(kind::INDIRECT_PING).int(100 * second + n).text("node-2").addr(2);
        body.raw(&[1]).text("stranger").raw(&[0]).end()
    };
    datagram(&(0..36).map(ping).collect::<Vec<_>>())
}

fn histories(second: u64, _: &Fleet) -> Vec<u8> {
    datagram(&vec![body(kind::HISTORY).id(5_000 + second, 7).int(5).int(6).end(); 85])
}

fn fleets(second: u64, fleet: &Fleet) -> Vec<u8> {
    datagram(&[body(kind::FLEET).int(SPAN - second).int(now(fleet)).int(1_000_000).end()])
}

/// The table of all attacks.
pub fn table() -> String {
    let columns = [
        "attack",
        "he sends (bytes/s)",
        "a node sends more (bytes/s)",
        "a victim gets (bytes/s)",
        "member events told, each node",
        "user events told, each node",
        "all is well a minute later",
    ];
    let title = "One datagram of a stranger's per second, for a minute, to one of 20 nodes";
    let mut text = head(title, 1, &columns);
    for (name, spoofed, datagram) in ATTACKS {
        text += &row(&attack(name, spoofed, datagram));
    }
    text
}

fn attack(name: &str, spoofed: bool, datagram: Datagram) -> [String; 7] {
    // One more machine that is off: the victim's address.
    let mut fleet = Fleet::new(1, NODES + 1, Size::Agent, Config::LAN);
    for i in 0..NODES {
        // He knows their boots: anybody who asks is told the table.
        fleet.machines[i].instance = Some(0);
        fleet.boot(i, if i == 0 { &[] } else { &[0] }, false, &mut |_, _, _, _| {});
    }
    fleet.run(120 * SECOND, &mut |_, _, _, _| {});
    let before = fleet.sent().0;
    fleet.run(SPAN * SECOND, &mut |_, _, _, _| {});
    let idle = fleet.sent().0 - before;

    let stranger: SocketAddr = "10.9.9.9:7946".parse().expect("an address");
    let from = if spoofed { fleet.address(2) } else { stranger };
    let (before, mut pays, mut victim) = (fleet.sent().0, 0, 0);
    let (mut members, mut users) = (0u64, 0u64);
    for second in 0..SPAN {
        let bytes = datagram(second, &fleet);
        pays += bytes.len() + HEADS;
        fleet.recording = Some(Vec::new());
        fleet.inject_from(from, 1, bytes);
        fleet.run(SECOND, &mut |_, _, _, seen| match seen {
            Seen::Member { .. } => members += 1,
            Seen::User { .. } => users += 1,
            _ => {}
        });
        let sent = fleet.recording.take().unwrap_or_default();
        let hit = sent.iter().filter(|(_, to, _)| *to == NODES);
        victim += hit.map(|(_, _, bytes)| bytes.len() + HEADS).sum::<usize>();
    }
    let drawn = (fleet.sent().0 - before).saturating_sub(idle);
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    let shown = |i: usize| {
        let node = fleet.node(i).expect("on");
        node.live() == NODES && node.gauges().members == NODES
    };
    let per = |sum: u64| sum as f64 / SPAN as f64;
    let node = |sum: u64| number((sum as f64 / NODES as f64).round());
    [
        name.to_string(),
        number(per(pays as u64).round()),
        number((per(drawn) / NODES as f64).round()),
        number(per(victim as u64).round()),
        node(members),
        node(users),
        if (0..NODES).all(shown) { "yes" } else { "no" }.to_string(),
    ]
}

//! A sealed fleet does what any fleet does, and outsiders do nothing to it.

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::proof::{hold, proves};
use serf_nostd::rules::Rule;
use serf_nostd::{Config, Key};

fn key(i: u8) -> Key {
    Key::new([i; Key::LEN])
}

fn fleet(seed: u64, nodes: usize) -> Fleet {
    let mut fleet = Fleet::new(seed, nodes, Size::Small, Config::LAN);
    fleet.key = Some(key(1));
    fleet.check_every = 1;
    fleet
}

fn fire(fleet: &mut Fleet, i: usize, name: &str, payload: &str) {
    fleet.with(i, &mut |_, _, _, _| {}, |node, now| {
        node.user_event(now, name.as_bytes(), payload.as_bytes(), false).expect("there is room")
    });
}

#[test]
fn a_sealed_fleet_comes_together_and_an_event_reaches_everybody_once() {
    let mut fleet = fleet(1, 20);
    let mut heard = vec![0; 20];
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(5 * SECOND, &mut |_, _, _, _| {});
    let mut watch =
        |i: usize, _: u64, _: u64, seen: Seen| heard[i] += matches!(seen, Seen::User { .. }) as u32;
    fleet.with(3, &mut watch, |node, now| node.user_event(now, b"deploy", b"1", false).unwrap());
    fleet.run(5 * SECOND, &mut watch);
    assert_eq!(heard, [1; 20]);
    assert!(fleet.agreed());
}

/// The power of a whole fleet fails. Nobody remembers anything; an outsider sends all that was ever said again.
fn after_a_power_cut(seed: u64, without: Option<Rule>) -> Result<(), String> {
    let mut fleet = fleet(seed, 5);
    fleet.without = without;
    fleet.recording = Some(Vec::new());
    fleet.assemble(&mut |_, _, _, _| {});
    for payload in ["1", "2", "3"] {
        fire(&mut fleet, 1, "old", payload);
        fleet.run(2 * SECOND, &mut |_, _, _, _| {});
    }
    fleet.with(1, &mut |_, _, _, _| {}, |node, now| node.leave(now));
    fleet.run(5 * SECOND, &mut |_, _, _, _| {});
    (0..5).for_each(|i| fleet.crash(i));
    let recorded = fleet.recording.take().unwrap_or_default();
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(10 * SECOND, &mut |_, _, _, _| {});
    let mut wrong = Vec::new();
    let mut watch = |i: usize, _: u64, _: u64, seen: Seen| match seen {
        Seen::User { name, .. } if name == b"old" => wrong.push(format!("{i} is told an old event")),
        Seen::Member { change, .. } => wrong.push(format!("{i} is told {change:?}")),
        _ => {}
    };
    for (from, to, bytes) in recorded {
        fleet.inject_from(fleet.address(from), to, bytes);
        fleet.run(SECOND / 100, &mut watch);
    }
    fleet.run(30 * SECOND, &mut watch);
    hold(wrong.is_empty(), &wrong.join(", "))?;
    hold(fleet.total(|stats| stats.refuted) == 0, "old words have to be contradicted")?;
    hold(fleet.agreed(), "they do not agree any more")
}

#[test]
fn freshness() {
    proves(Rule::Freshness, 10, after_a_power_cut);
}

/// An outsider sends all that somebody says to another again at once, a hundred times.
fn again_and_again(seed: u64, without: Option<Rule>) -> Result<(), String> {
    let sent = |repeats: usize| {
        let mut fleet = fleet(seed, 4);
        fleet.without = without;
        fleet.assemble(&mut |_, _, _, _| {});
        fleet.run(30 * SECOND, &mut |_, _, _, _| {});
        let before = fleet.machines[0].sent.1;
        for _ in 0..300 {
            fleet.recording = Some(Vec::new());
            fleet.run(SECOND / 10, &mut |_, _, _, _| {});
            for (from, to, bytes) in fleet.recording.take().unwrap_or_default() {
                (0..repeats).for_each(|_| fleet.inject_from(fleet.address(from), to, bytes.clone()));
            }
        }
        fleet.machines[0].sent.1 - before
    };
    let (alone, answered) = (sent(0), sent(100));
    hold(answered == alone, &format!("a node sends {answered} datagrams instead of {alone}"))
}

#[test]
fn windows() {
    proves(Rule::Windows, 10, again_and_again);
}

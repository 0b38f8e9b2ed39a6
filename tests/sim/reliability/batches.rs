//! Events that their origin sends to everybody, and sees to itself, while nothing gets lost: until something does.

use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::judged::SECOND;
use fleet_tests::proof::{hold, proves};
use fleet_tests::wire::{kind, read};
use serf_nostd::Config;
use serf_nostd::rules::Rule;

/// Together for so long that all take their links for clean.
fn clean(seed: u64, nodes: usize, without: Option<Rule>) -> Fleet {
    let mut fleet = Fleet::new(seed, nodes, Size::Server, Config::LAN);
    fleet.without = without;
    fleet.check_every = 16;
    fleet.assemble(&mut |_, _, _, _| {});
    // Somebody may have been looked for before it was there.
    fleet.run(90 * SECOND, &mut |_, _, _, _| {});
    fleet
}

/// Fires an event at the first node, in weather that begins with it, and counts who has been handed it after `span`; the weather
/// lasts until `clears`.
fn spread(fleet: &mut Fleet, dies: bool, clears: u64, span: u64) -> usize {
    let mut heard = vec![0; fleet.machines.len()];
    let mut watch = |i: usize, _: u64, _: u64, seen: Seen| {
        heard[i] += matches!(seen, Seen::User { .. }) as usize;
    };
    fleet.with(0, &mut watch, |node, now| node.user_event(now, b"e", b"", false).map(|_| ()));
    assert_eq!(fleet.total(|stats| stats.batches), 1, "it is no batch");
    if dies {
        fleet.crash(0);
    }
    fleet.run(clears, &mut watch);
    fleet.network.heal();
    fleet.run(span - clears, &mut watch);
    assert!(heard.iter().all(|times| *times <= 1), "{heard:?}");
    heard.iter().sum()
}

#[test]
fn who_has_not_said_that_it_has_received_an_event_is_told_of_it() {
    proves(Rule::Reminders, 5, |seed, without| {
        let mut fleet = clean(seed, 20, without);
        // One of them hears nothing just then.
        fleet.network.muted[13] = fleet_tests::network::muted::HEARING;
        let reached = spread(&mut fleet, false, SECOND / 50, SECOND / 10);
        hold(reached == 20, &format!("{reached} of 20 have it after a tenth of a second"))
    });
}

/// Four nodes: three copies from the origin, what each says of it, and passes on. Whichever of the first eleven datagrams are
/// lost, after half a second all have the event.
#[test]
fn whichever_datagrams_are_lost_all_are_told() {
    for doomed in 0..1 << 11 {
        let mut fleet = clean(doomed, 4, None);
        fleet.network.doomed = doomed;
        let reached = spread(&mut fleet, false, SECOND / 2, SECOND / 2);
        assert_eq!(reached, 4, "{doomed:#b}");
    }
}

/// The same, when the origin dies as soon as its datagrams have left, of which one comes: after some seconds the other three have it.
#[test]
fn whichever_datagrams_are_lost_and_the_origin_all_are_told() {
    for doomed in (0..1 << 9).filter(|doomed| doomed & 0b111 != 0b111) {
        let mut fleet = clean(doomed, 4, None);
        fleet.network.doomed = doomed;
        let reached = spread(&mut fleet, true, SECOND / 2, 6 * SECOND);
        // Its own application had it before it died.
        assert_eq!(reached, 4, "{doomed:#b}");
    }
}

/// Weather that begins with the event, and is over before anybody has noticed it.
#[test]
fn half_of_what_follows_is_lost() {
    for seed in 0..100 {
        let mut fleet = clean(seed, 50, None);
        fleet.network.loss = 0.5;
        let reached = spread(&mut fleet, false, SECOND / 20, SECOND);
        assert_eq!(reached, 50, "seed {seed}");
    }
}

/// What it is for: each node gets the event, says so, and passes it on.
#[test]
fn where_nothing_is_lost_an_event_is_three_datagrams_to_each() {
    for nodes in [5, 20, 50] {
        let mut fleet = clean(7, nodes, None);
        // Beside as much time without an event, in which each probes once as well.
        let (before, copies) = (fleet.sent().1, fleet.total(|stats| stats.payloads_sent));
        let reached = spread(&mut fleet, false, SECOND, SECOND);
        let (after, copies) = (fleet.sent().1, fleet.total(|stats| stats.payloads_sent) - copies);
        fleet.run(SECOND, &mut |_, _, _, _| {});
        let idle = fleet.sent().1 - after;
        let datagrams = (after - before - idle) as f64 / (nodes - 1) as f64;
        println!("{nodes} nodes: {datagrams:.2} datagrams and {:.2} copies", copies as f64 / nodes as f64);
        assert_eq!((reached, fleet.total(|stats| stats.reminders)), (nodes, 0));
        assert_eq!(datagrams, 3.0);
        assert!(copies <= 2 * nodes as u64 + 4, "{copies} copies");
    }
}

/// Nodes whose datagrams are short: an event that has no room beside what a batch says of itself goes without that, and holds up nothing.
#[test]
fn an_event_that_has_no_room_in_a_batch_goes_alone() {
    let mut fleet = clean(7, 20, None);
    let (mut fired, mut alone) = (0, 0);
    let mut heard = vec![0; 20];
    for length in (450..550).rev() {
        fleet.tx.truncate(length);
        fleet.recording = Some(Vec::new());
        let mut watch = |i: usize, _: u64, _: u64, seen: Seen| {
            heard[i] += matches!(seen, Seen::User { .. }) as usize;
        };
        fleet.with(0, &mut watch, |node, now| node.user_event(now, b"e", &[7; 450], false).expect("room"));
        fired += 1;
        fleet.run(SECOND / 2, &mut watch);
        if heard.iter().any(|count| *count < fired) {
            break;
        }
        let sent = fleet.recording.take().unwrap_or_default();
        let in_batch = sent.iter().flat_map(|(_, _, bytes)| read(bytes)).any(|(kind, _)| kind == kind::BATCH);
        assert!(!in_batch || alone == 0, "{length} bytes");
        alone += !in_batch as usize;
    }
    println!("{fired} lengths, {alone} of them too short for a batch");
    assert!(alone > 5 && heard.iter().all(|count| *count + 1 >= fired), "{alone}, {heard:?} of {fired}");
}

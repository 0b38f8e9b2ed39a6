//! Datagrams that somebody has recorded, sent again: at once, and much later.

use fleet_tests::fleet::Size;
use fleet_tests::judged::{Judged, SECOND};
use fleet_tests::proof::{hold, proves};
use serf_nostd::rules::Rule;

use crate::{fleet, flow, settled};

/// Sends all of a recording again, some of it each hundredth of a second.
fn replay(fleet: &mut Judged, recording: &[(usize, usize, Vec<u8>)]) {
    for some in recording.chunks(100) {
        for (from, to, bytes) in some {
            fleet.fleet.inject(*from, *to, bytes.clone());
        }
        fleet.run(SECOND / 100);
    }
}

fn record(fleet: &mut Judged) -> Result<Vec<(usize, usize, Vec<u8>)>, String> {
    fleet.fleet.recording = Some(Vec::new());
    flow(fleet, 5, 10)?;
    fleet.run(SECOND);
    let recording = fleet.fleet.recording.take().unwrap_or_default();
    hold(recording.len() > 1_000, "little was recorded")?;
    Ok(recording)
}

#[test]
fn at_once() {
    proves(Rule::Dedupe, 3, |seed, without| {
        let mut fleet = fleet(seed, 10, Size::Small, without);
        let recording = record(&mut fleet)?;
        replay(&mut fleet, &recording);
        fleet.run(30 * SECOND);
        settled(&mut fleet)
    });
}

/// When so many events have come since that nobody remembers the recorded ones.
#[test]
fn when_the_events_are_forgotten() {
    proves(Rule::Floor, 3, |seed, without| {
        let mut fleet = fleet(seed, 10, Size::Small, without);
        let recording = record(&mut fleet)?;
        flow(&mut fleet, 30, 10)?;
        replay(&mut fleet, &recording);
        fleet.run(30 * SECOND);
        settled(&mut fleet)
    });
}

/// When what it says about members has long been otherwise: an hour later, after a crash and a new life of one of them.
#[test]
fn when_the_members_have_changed() {
    for seed in 0..3 {
        let mut fleet = fleet(seed, 10, Size::Small, None);
        fleet.fleet.recording = Some(Vec::new());
        fleet.fleet.crash(4);
        fleet.run(40 * SECOND);
        fleet.boot(4, &[0], true);
        fleet.run(20 * SECOND);
        let recording = fleet.fleet.recording.take().unwrap_or_default();
        fleet.run(3600 * SECOND);
        replay(&mut fleet, &recording);
        // Accusations name the life that they mean: the new one need not even contradict them.
        fleet.run(60 * SECOND);
        assert_eq!(settled(&mut fleet), Ok(()), "seed {seed}");
    }
}

//! The judge of events can fail: each kind of violation, made by hand.

use super::{Counted, Events, Fired};
use crate::judge::bounds::Places;
use crate::judge::excuse::Excused;
use crate::judge::presence::Presence;

const SECOND: u64 = 1_000_000;
/// Two machines of one fleet since a long time; an event that machine 0 fires now.
const NOW: u64 = 100 * SECOND;
const ID: (u64, u64) = (7, 1);

fn together(machines: usize) -> Presence {
    let mut presence = Presence::new(machines);
    for i in 0..machines {
        presence.begin(i, 1, 0);
        presence.is_in(i, 1, SECOND);
    }
    presence
}

fn fire(events: &mut Events, serial: u64, origin: usize, presence: &Presence) {
    let fleet = presence.fleet_at(origin, NOW);
    let fired = Fired { name: b"e".to_vec(), coalesce: false, origin: (origin, 1), at: NOW, fleet };
    events.fired.insert(serial, fired);
}

fn hand(
    events: &mut Events,
    i: usize,
    serial: u64,
    id: (u64, u64),
    presence: &Presence,
) -> Result<(), String> {
    events.handed(i, NOW, serial)?;
    events.saw(i, NOW + SECOND, (serial, id), presence)
}

fn judge(
    events: &Events,
    presence: &Presence,
    least: usize,
    (losses, own): (u64, u64),
) -> Result<Excused, String> {
    let places = Places { members: 64, seen: 2 * least, slots: least, names: 8 };
    let counted = Counted {
        losses: &|_| losses,
        own: &|_| own,
        least: places,
        strict: false,
        honest_since: 0,
        queries: 0,
    };
    let mut excused = Excused::default();
    events.judge(presence, &counted, &mut excused)?;
    Ok(excused)
}

#[test]
fn an_event_that_all_have_is_well() {
    let (presence, mut events) = (together(2), Events::new(2));
    fire(&mut events, 1, 0, &presence);
    assert_eq!(hand(&mut events, 0, 1, ID, &presence), Ok(()));
    assert_eq!(hand(&mut events, 1, 1, ID, &presence), Ok(()));
    assert_eq!(judge(&events, &presence, 64, (0, 0)), Ok(Excused::default()));
}

#[test]
fn nothing_comes_twice() {
    let (presence, mut events) = (together(2), Events::new(2));
    fire(&mut events, 1, 0, &presence);
    assert_eq!(hand(&mut events, 1, 1, ID, &presence), Ok(()));
    events.switched_on(1, true);
    assert!(hand(&mut events, 1, 1, ID, &presence).is_err(), "it remembers");
    events.switched_on(1, false);
    assert_eq!(hand(&mut events, 1, 1, ID, &presence), Ok(()), "it has forgotten");
}

#[test]
fn an_event_has_one_identity_and_shares_it_with_no_other() {
    let (presence, mut events) = (together(3), Events::new(3));
    fire(&mut events, 1, 0, &presence);
    fire(&mut events, 2, 0, &presence);
    assert_eq!(hand(&mut events, 1, 1, ID, &presence), Ok(()));
    assert!(hand(&mut events, 2, 1, (8, 1), &presence).is_err(), "another one");
    assert!(hand(&mut events, 2, 2, ID, &presence).is_err(), "one for two");
}

#[test]
fn who_fired_alone_may_stamp_its_event_anew() {
    let (mut presence, mut events) = (together(3), Events::new(3));
    presence.begin(0, 1, NOW - SECOND);
    fire(&mut events, 1, 0, &presence);
    assert_eq!(hand(&mut events, 0, 1, (1, 1), &presence), Ok(()));
    assert_eq!(hand(&mut events, 1, 1, ID, &presence), Ok(()));
    assert!(hand(&mut events, 2, 1, (9, 1), &presence).is_err(), "but only once");
}

#[test]
fn a_missing_event_within_bounds_has_no_excuse() {
    let (presence, mut events) = (together(2), Events::new(2));
    fire(&mut events, 1, 0, &presence);
    assert_eq!(hand(&mut events, 0, 1, ID, &presence), Ok(()));
    let text = judge(&events, &presence, 64, (1, 1)).unwrap_err();
    assert!(text.contains("was never handed event 1"), "{text}");
}

#[test]
fn a_missing_event_beyond_bounds_is_counted() {
    let (presence, mut events) = (together(3), Events::new(3));
    fire(&mut events, 1, 0, &presence);
    fire(&mut events, 2, 0, &presence);
    for i in 0..3 {
        assert_eq!(hand(&mut events, i, 1, ID, &presence), Ok(()));
    }
    // The second one nobody but its origin has.
    assert!(judge(&events, &presence, 1, (0, 0)).is_err(), "nobody counted it");
    let excused = judge(&events, &presence, 1, (0, 1)).expect("its origin did");
    assert_eq!(excused.of("counted loss"), 2 + 1, "for each machine, the origin's own as well");
    assert_eq!(hand(&mut events, 1, 2, (8, 1), &presence), Ok(()));
    assert!(judge(&events, &presence, 1, (0, 1)).is_err(), "somebody has it: who lacks it counts it");
    assert!(judge(&events, &presence, 1, (1, 0)).is_ok());
}

#[test]
fn what_nobody_alive_has_died_with_its_origin() {
    let (mut presence, mut events) = (together(3), Events::new(3));
    fire(&mut events, 1, 0, &presence);
    presence.end(0, NOW + SECOND);
    assert_eq!(judge(&events, &presence, 64, (0, 0)).map(|e| e.of("died with its origin")), Ok(2));
    assert_eq!(hand(&mut events, 1, 1, ID, &presence), Ok(()));
    assert!(judge(&events, &presence, 64, (0, 0)).is_err(), "one who lives has it, another not");
}

/// One who had just come from another fleet, and whose friend there had it too.
#[test]
fn what_nobody_alive_of_its_fleet_has_died_with_its_origin() {
    let (mut presence, mut events) = (together(4), Events::new(4));
    (0..2).for_each(|i| presence.is_in(i, 2, 2 * SECOND));
    presence.is_in(0, 1, NOW - 1);
    fire(&mut events, 1, 0, &presence);
    presence.end(0, NOW + 1);
    presence.is_in(1, 1, NOW + 1);
    assert_eq!(hand(&mut events, 1, 1, ID, &presence), Ok(()));
    assert_eq!(judge(&events, &presence, 64, (0, 0)).map(|e| e.of("died with its origin")), Ok(2));
    assert_eq!(hand(&mut events, 2, 1, ID, &presence), Ok(()));
    assert!(judge(&events, &presence, 64, (0, 0)).is_err(), "one of its fleet has it");
}

#[test]
fn who_came_late_is_owed_nothing_and_handed_nothing_old() {
    let (mut presence, mut events) = (together(2), Events::new(2));
    fire(&mut events, 1, 0, &presence);
    presence.begin(1, 2, NOW + 60 * SECOND);
    assert_eq!(hand(&mut events, 0, 1, ID, &presence), Ok(()));
    assert!(judge(&events, &presence, 64, (0, 0)).is_ok());
    assert!(hand(&mut events, 1, 1, ID, &presence).is_err(), "it was fired a minute before it booted");
    presence.lives[1].replays = true;
    events.switched_on(1, false);
    assert_eq!(hand(&mut events, 1, 1, ID, &presence), Ok(()), "it has asked for it");
}

#[test]
fn what_waited_behind_a_cut_is_not_old() {
    let (mut presence, mut events) = (together(2), Events::new(2));
    presence.cut(NOW - SECOND);
    fire(&mut events, 1, 0, &presence);
    presence.begin(1, 2, NOW + 60 * SECOND);
    presence.healed(NOW + 61 * SECOND);
    assert_eq!(hand(&mut events, 1, 1, ID, &presence), Ok(()));
}

#[test]
fn fleets_that_meet_keep_what_was_before() {
    let (mut presence, mut events) = (together(2), Events::new(2));
    presence.is_in(0, 2, 2 * SECOND);
    fire(&mut events, 1, 0, &presence);
    assert_eq!(hand(&mut events, 0, 1, ID, &presence), Ok(()));
    assert_eq!(judge(&events, &presence, 64, (0, 0)).map(|e| e.of("of another fleet")), Ok(1));
    presence.is_in(0, 1, NOW + 60 * SECOND);
    assert!(hand(&mut events, 1, 1, ID, &presence).is_err(), "fired a minute before they met");
}

#[test]
fn who_came_in_behind_a_cut_counts_what_it_misses() {
    let (mut presence, mut events) = (together(3), Events::new(3));
    presence.cut(NOW - 60 * SECOND);
    presence.begin(1, 2, NOW - 50 * SECOND);
    presence.is_in(1, 1, NOW - 49 * SECOND);
    fire(&mut events, 1, 0, &presence);
    presence.healed(NOW + SECOND);
    assert_eq!(hand(&mut events, 0, 1, ID, &presence), Ok(()));
    assert_eq!(hand(&mut events, 2, 1, ID, &presence), Ok(()));
    assert!(judge(&events, &presence, 64, (0, 0)).is_err());
    assert!(judge(&events, &presence, 64, (1, 0)).is_ok());
}

#[test]
fn where_nothing_may_be_lost_only_what_was_overtaken_is() {
    let (presence, mut events) = (together(2), Events::new(2));
    for serial in 1..=4 {
        fire(&mut events, serial, 0, &presence);
        for i in 0..if serial == 1 { 1 } else { 2 } {
            assert_eq!(hand(&mut events, i, serial, (serial, 1), &presence), Ok(()));
        }
    }
    let judge = |seen, losses| {
        let least = Places { members: 64, seen, slots: 1, names: 8 };
        let losses = &move |_| losses;
        let counted = Counted { losses, own: &|_| 0, least, strict: true, honest_since: 0, queries: 0 };
        events.judge(&presence, &counted, &mut Excused::default())
    };
    assert!(judge(4, 1).is_err(), "three have overtaken it, and a node remembers four");
    assert!(judge(3, 1).is_ok());
    assert!(judge(3, 0).is_err(), "nobody counted it");
}

//! All end on the same last value, whatever their floors say.

use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::proof::{hold, proves};
use serf_nostd::rules::Rule;

use crate::{Heard, SECOND, fleet, flow, off, quiet, set};

/// Whether all end on the same value of a name.
fn same(heard: &Heard, name: &str) -> Result<(), String> {
    let all: Vec<String> = (0..heard.0.len()).map(|i| heard.last(i, name)).collect();
    hold(all.iter().all(|value| *value == all[0] && !value.is_empty()), &format!("they end on {all:?}"))
}

/// More events than anybody remembers on one side of a cut, after each side has set a value of its own.
#[test]
fn after_a_cut_with_more_events_than_anybody_remembers() {
    proves(Rule::ValueHealing, 4, |seed, without| {
        let (mut fleet, mut heard) = cut_apart(seed, without)?;
        fleet.network.heal();
        fleet.run(180 * SECOND, &mut heard.watch());
        hold(fleet.agreed(), "they do not see each other")?;
        same(&heard, "deploy")
    });
}

/// Both sides set a value, then one fires 300 events.
fn cut_apart(seed: u64, without: Option<Rule>) -> Result<(Fleet, Heard), String> {
    let mut fleet = fleet(seed, 4, Size::Small, without);
    let mut heard = Heard::new(4);
    set(&mut fleet, 0, "deploy", "first", &mut heard)?;
    fleet.run(10 * SECOND, &mut heard.watch());
    fleet.network.side[2..].fill(1);
    fleet.run(60 * SECOND, &mut heard.watch());
    set(&mut fleet, 0, "deploy", "a", &mut heard)?;
    set(&mut fleet, 2, "deploy", "b", &mut heard)?;
    fleet.run(10 * SECOND, &mut heard.watch());
    flow(&mut fleet, 2, 300, "flood", &mut heard)?;
    Ok((fleet, heard))
}

/// A name that only one side knows.
#[test]
fn of_a_name_that_was_first_used_during_a_cut() {
    proves(Rule::ValueHealing, 4, |seed, without| {
        let mut fleet = fleet(seed, 4, Size::Small, without);
        let mut heard = Heard::new(4);
        fleet.network.side[2..].fill(1);
        fleet.run(60 * SECOND, &mut heard.watch());
        set(&mut fleet, 0, "new", "a", &mut heard)?;
        fleet.run(10 * SECOND, &mut heard.watch());
        flow(&mut fleet, 2, 300, "flood", &mut heard)?;
        fleet.network.heal();
        fleet.run(180 * SECOND, &mut heard.watch());
        same(&heard, "new")
    });
}

/// Who joins later is told no old value; it knows them all the same, and so passes on what others lack.
#[test]
fn and_a_late_joiner_is_told_none_from_before() {
    let mut fleet = fleet(5, 6, Size::Small, None);
    let mut heard = Heard::new(6);
    set(&mut fleet, 0, "deploy", "old", &mut heard).expect("room");
    fleet.run(10 * SECOND, &mut heard.watch());
    fleet.crash(5);
    fleet.run(60 * SECOND, &mut heard.watch());
    let mut heard = Heard::new(6);
    fleet.boot(5, &[0], false, &mut heard.watch());
    fleet.run(200 * SECOND, &mut heard.watch());
    assert_eq!(heard.0, vec![Vec::new(); 6], "nothing is handed out again, or late");
    let syncs = fleet.total(|stats| stats.value_syncs);
    fleet.run(300 * SECOND, &mut quiet());
    assert_eq!(fleet.total(|stats| stats.value_syncs), syncs, "they agree");
    set(&mut fleet, 1, "deploy", "new", &mut heard).expect("room");
    fleet.run(10 * SECOND, &mut heard.watch());
    assert_eq!(heard.reached("new"), 6);
}

/// Two fleets that have used the same name differ after their merge no longer.
#[test]
fn after_a_merge_of_two_fleets() {
    proves(Rule::ValueHealing, 4, |seed, without| {
        let mut fleet = crate::off(seed, 6, Size::Small, without);
        let mut heard = Heard::new(6);
        for i in 0..6 {
            fleet.boot(i, &[i / 3 * 3], false, &mut heard.watch());
        }
        fleet.run(20 * SECOND, &mut heard.watch());
        set(&mut fleet, 1, "deploy", "left", &mut heard)?;
        set(&mut fleet, 4, "deploy", "right", &mut heard)?;
        fleet.run(10 * SECOND, &mut heard.watch());
        let seed_address = fleet.address(5);
        fleet.with(2, &mut heard.watch(), |node, now| node.join(now, seed_address, false));
        fleet.run(120 * SECOND, &mut heard.watch());
        same(&heard, "deploy")
    });
}

/// A value that one of them has no room for is no reason to compare for ever.
#[test]
fn a_value_that_is_too_long_for_one_leaves_them_at_rest() {
    let mut fleet = off(1, 4, Size::Small, None);
    (0..3).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
    fleet.config.event_size_limit = 100;
    fleet.boot(3, &[0], false, &mut quiet());
    fleet.run(30 * SECOND, &mut quiet());
    let mut heard = Heard::new(4);
    set(&mut fleet, 0, "deploy", &"x".repeat(200), &mut heard).expect("room");
    fleet.run(600 * SECOND, &mut heard.watch());
    let before = fleet.total(|stats| stats.value_syncs);
    fleet.run(3_600 * SECOND, &mut heard.watch());
    assert_eq!(fleet.total(|stats| stats.value_syncs) - before, 0, "comparisons in an hour of rest");
}

/// Two who have just started join another fleet at any moment around that at which one of them sets a value: the other one is
/// told.
#[test]
fn that_was_set_while_a_young_fleet_enters_another() {
    for offset in 0..40 {
        let mut fleet = off(offset, 5, Size::Server, None);
        (fleet.network.latency, fleet.network.jitter) = (50_000, 5_000);
        (0..3).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        fleet.run(70 * SECOND, &mut quiet());
        flow(&mut fleet, 0, 20, "ahead", &mut Heard::new(5)).expect("room");
        (3..5).for_each(|i| fleet.boot(i, &[3], false, &mut quiet()));
        fleet.run(2 * SECOND, &mut quiet());
        let mut heard = Heard::new(5);
        let other = fleet.address(0);
        fleet.with(4, &mut heard.watch(), |node, now| node.join(now, other, false));
        fleet.run(offset * SECOND / 100, &mut heard.watch());
        set(&mut fleet, 3, "deploy", "1", &mut heard).expect("room");
        fleet.run(30 * SECOND, &mut heard.watch());
        let told = (heard.last(3, "deploy"), heard.last(4, "deploy"));
        assert_eq!(told, ("1".into(), "1".into()), "set {} ms after the join", offset * 10);
    }
}

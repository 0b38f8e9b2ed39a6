//! Everybody's true state, whatever has happened to it.

use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::proof::{hold, proves};
use fleet_tests::wire::{alive, datagram, fleet as in_fleet};
use serf_nostd::rules::Rule;
use serf_nostd::{Config, MemberChange, Status};

use crate::{SECOND, fleet, off, quiet};

#[test]
fn a_pruned_member_is_not_brought_back_by_who_was_away() {
    proves(Rule::Tombstone, 3, |seed, without| {
        let mut fleet = fleet(seed, 6, Size::Small, without);
        fleet.crash(5);
        fleet.run(40 * SECOND, &mut quiet());
        fleet.network.side[4] = 1;
        fleet.run(2 * SECOND, &mut quiet());
        fleet.with(0, &mut quiet(), |node, now| node.force_leave(now, &Fleet::name(5), true));
        fleet.run(30 * SECOND, &mut quiet());
        fleet.network.heal();
        fleet.run(120 * SECOND, &mut quiet());
        let shown: Vec<usize> = (0..5).filter(|i| fleet.status(*i, 5).is_some()).collect();
        hold(shown.is_empty(), &format!("it is shown again by {shown:?}"))?;
        let syncs = fleet.total(|stats| stats.member_syncs);
        fleet.run(300 * SECOND, &mut quiet());
        let more = fleet.total(|stats| stats.member_syncs) - syncs;
        hold(more == 0, &format!("{more} comparisons at rest"))?;
        fleet.boot(5, &[0], false, &mut quiet());
        fleet.run(30 * SECOND, &mut quiet());
        hold(fleet.agreed(), "its next life is not let in")
    });
}

#[test]
fn who_dies_while_leaving_has_left() {
    proves(Rule::LeaverLeft, 3, |seed, without| {
        let mut fleet = fleet(seed, 6, Size::Small, without);
        // Between two probes, which would carry its words.
        fleet.run(SECOND / 3, &mut quiet());
        fleet.with(5, &mut quiet(), |node, now| node.leave(now).expect("it can leave"));
        fleet.run(SECOND / 10, &mut quiet());
        fleet.crash(5);
        fleet.run(60 * SECOND, &mut quiet());
        let seen: Vec<Option<Status>> = (0..5).map(|i| fleet.status(i, 5)).collect();
        hold(seen == [Some(Status::Left); 5], &format!("{seen:?}"))
    });
}

/// One of fifty hears everybody, and nobody hears it, for five minutes: it has no evidence against anybody.
#[test]
fn who_is_not_heard_calls_nobody_failed() {
    proves(Rule::OwnLink, 2, |seed, without| {
        let mut fleet = off(seed, 50, Size::Small, without);
        fleet.config = Config { coalesce_members: false, ..fleet.config.clone() };
        fleet.assemble(&mut quiet());
        fleet.run(20 * SECOND, &mut quiet());
        let mut told = 0;
        let mut watch = |i: usize, _: u64, _: u64, seen: Seen| {
            told += (i != 7 && failed(&seen).is_some_and(|subject| subject != 7)) as usize;
        };
        fleet.network.one_way = (0..50).filter(|to| *to != 7).map(|to| (7, to)).collect();
        fleet.run(300 * SECOND, &mut watch);
        fleet.network.heal();
        fleet.run(120 * SECOND, &mut watch);
        hold(told == 0, &format!("living members told failed in {told} reports"))?;
        hold(fleet.agreed(), "no agreement")
    });
}

/// Whom a report calls failed.
fn failed(seen: &Seen) -> Option<usize> {
    match seen {
        Seen::Member { change: MemberChange::Failed, at, .. } => Some(*at),
        _ => None,
    }
}

/// Everybody stalls for 2.6 s of each 4 s: a dead node is found all the same.
#[test]
fn a_crash_is_noticed_by_nodes_that_stall() {
    proves(Rule::Thaw, 2, |seed, without| {
        let mut fleet = fleet(seed, 10, Size::Small, without);
        fleet.crash(4);
        for _ in 0..40 {
            (0..10).filter(|i| *i != 4).for_each(|i| fleet.freeze(i, 2_600_000));
            fleet.run(4 * SECOND, &mut quiet());
        }
        let found = (0..10).filter(|i| *i != 4 && fleet.status(*i, 4) == Some(Status::Failed)).count();
        hold(found == 9, &format!("{found} of 9 have found it after two minutes"))
    });
}

/// Sixty members have left. Two halves of the rest, long apart, still find together soon.
#[test]
fn many_that_have_left_do_not_keep_others_apart() {
    proves(Rule::FailedFirst, 10, |seed, without| {
        let mut fleet = fleet(seed, 60, Size::Small, without);
        for i in 4..60 {
            fleet.with(i, &mut quiet(), |node, now| node.leave(now));
            fleet.run(SECOND / 10, &mut quiet());
        }
        fleet.run(20 * SECOND, &mut quiet());
        (4..60).for_each(|i| fleet.crash(i));
        // Without a seed to ask: machine 0 is everybody's.
        fleet.crash(0);
        fleet.run(40 * SECOND, &mut quiet());
        fleet.network.side[3] = 1;
        fleet.run(120 * SECOND, &mut quiet());
        fleet.network.heal();
        fleet.run(240 * SECOND, &mut quiet());
        let apart = [1, 2].iter().filter(|i| fleet.status(**i, 3) != Some(Status::Alive)).count();
        hold(apart == 0, "they have not found together within four minutes")
    });
}

/// A name that no board has a place for; then a newcomer that one of them misses.
#[test]
fn a_name_that_is_too_long_does_not_end_healing() {
    proves(Rule::Unheld, 60, |seed, without| {
        let mut fleet = off(seed, 7, Size::Small, without);
        (0..2).for_each(|i| fleet.resize(i, Size::FullMembers(64)));
        (0..6).for_each(|i| fleet.boot(i, if i == 0 { &[] } else { &[0] }, false, &mut quiet()));
        fleet.run(20 * SECOND, &mut quiet());
        let long = "a-name-that-no-board-has-a-place-for";
        let told = [alive(long, 9, 1, 1), in_fleet(fleet.node(0).map_or(0, |node| node.gauges().fleet))];
        (0..6).for_each(|i| fleet.inject(1, i, datagram(&told)));
        fleet.run(60 * SECOND, &mut quiet());
        fleet.network.side[4] = 1;
        fleet.boot(6, &[0], false, &mut quiet());
        fleet.run(2 * SECOND, &mut quiet());
        fleet.network.heal();
        fleet.run(120 * SECOND, &mut quiet());
        hold(fleet.status(4, 6) == Some(Status::Alive), "a board does not see the newcomer")?;
        fleet.run(600 * SECOND, &mut quiet());
        let syncs = fleet.total(|stats| stats.member_syncs);
        fleet.run(600 * SECOND, &mut quiet());
        let more = fleet.total(|stats| stats.member_syncs) - syncs;
        hold(more <= 6, &format!("{more} comparisons in ten minutes of rest"))
    });
}

/// A board is known to another board only, which then comes into a fleet of servers, and has no place for all of them.
#[test]
fn a_board_that_only_a_board_knows_is_met_by_all() {
    for seed in 0..3 {
        let mut fleet = off(seed, 12, Size::Server, None);
        (10..12).for_each(|i| fleet.resize(i, Size::Tiny));
        (0..10).for_each(|i| fleet.boot(i, if i == 0 { &[] } else { &[0] }, false, &mut quiet()));
        fleet.boot(10, &[], false, &mut quiet());
        fleet.boot(11, &[10], false, &mut quiet());
        fleet.run(30 * SECOND, &mut quiet());
        let seed_address = fleet.address(3);
        fleet.with(11, &mut quiet(), |node, now| node.join(now, seed_address, false));
        fleet.run(300 * SECOND, &mut quiet());
        let missing = (0..10).filter(|i| fleet.status(*i, 10) != Some(Status::Alive)).count();
        assert_eq!(missing, 0, "so many of ten servers do not know the board, seed {seed}");
    }
}

/// Boards that have no place for all compare their tables with nobody's. One of them misses a change of tags.
#[test]
fn a_board_with_a_part_of_the_fleet_is_told_what_it_has_missed() {
    proves(Rule::PartHealing, 3, |seed, without| {
        let mut fleet = off(seed, 12, Size::Tiny, without);
        fleet.resize(0, Size::Server);
        (0..12).for_each(|i| fleet.boot(i, if i == 0 { &[] } else { &[0] }, false, &mut quiet()));
        fleet.run(60 * SECOND, &mut quiet());
        let shown = |fleet: &Fleet, subject: &str| {
            let node = fleet.node(4)?;
            node.member(subject).map(|member| member.tags.to_vec())
        };
        let held = (1..12).filter(|i| *i != 4).find(|i| shown(&fleet, &Fleet::name(*i)).is_some());
        let subject = held.ok_or("it shows nobody")?;
        fleet.network.side[4] = 1;
        let tags = [0xff, 0x80];
        fleet.with(subject, &mut quiet(), |node, now| node.set_tags(now, &tags)).expect("on").expect("room");
        fleet.run(2 * SECOND, &mut quiet());
        fleet.network.heal();
        fleet.run(60 * SECOND, &mut quiet());
        let told = shown(&fleet, &Fleet::name(subject));
        hold(told.as_deref() == Some(&tags), &format!("tags after a minute: {told:?}"))
    });
}

/// A member contradicts an order to forget it; one node hears the contradiction only by comparing. Then it crashes.
#[test]
fn a_prune_that_was_contradicted_does_not_come_back() {
    for seed in 0..10 {
        let mut fleet = fleet(seed, 6, Size::Small, None);
        fleet.network.one_way = vec![(1, 4), (2, 4), (3, 4), (5, 4)];
        fleet.with(0, &mut quiet(), |node, now| node.force_leave(now, &Fleet::name(5), true));
        for _ in 0..5_000 {
            if fleet.status(4, 5) != Some(Status::Leaving) {
                fleet.run(200, &mut quiet());
            }
        }
        fleet.network.side[4] = 1;
        fleet.run(3 * SECOND, &mut quiet());
        fleet.network.heal();
        fleet.run(600 * SECOND, &mut quiet());
        assert!(fleet.agreed(), "seed {seed}: they do not agree that it lives");
        fleet.crash(5);
        fleet.run(120 * SECOND, &mut quiet());
        let shown: Vec<_> = (0..5).map(|i| fleet.status(i, 5)).collect();
        assert_eq!(shown, [Some(Status::Failed); 5], "seed {seed}");
    }
}

/// Clocks that begin with each start do not make the dead any younger.
#[test]
fn the_dead_are_forgotten_though_others_restart_now_and_then() {
    let mut fleet = fleet(1, 6, Size::Small, None);
    fleet.check_every = 0;
    fleet.crash(5);
    fleet.run(60 * SECOND, &mut quiet());
    // Reconnect timeout: 24 h.
    for n in 0..7 {
        fleet.run(4 * 3_600 * SECOND, &mut quiet());
        fleet.crash(n % 5);
        fleet.boot(n % 5, &[(n + 1) % 5], false, &mut quiet());
    }
    fleet.run(60 * SECOND, &mut quiet());
    let shown: Vec<_> = (0..5).map(|i| fleet.status(i, 5)).collect();
    assert_eq!(shown, [None; 5], "28 hours after its death");
}

/// A board's table was too small for half a minute. Later it misses two changes.
#[test]
fn a_table_that_was_too_small_once_learns_what_it_has_missed() {
    let mut fleet = off(1, 9, Size::Small, None);
    fleet.resize(7, Size::Tiny);
    (0..8).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
    fleet.run(20 * SECOND, &mut quiet());
    fleet.boot(8, &[0], false, &mut quiet());
    fleet.run(20 * SECOND, &mut quiet());
    fleet.with(8, &mut quiet(), |node, now| node.leave(now).expect("once"));
    fleet.run(10 * SECOND, &mut quiet());
    fleet.crash(8);
    fleet.run(60 * SECOND, &mut quiet());
    fleet.network.side[7] = 1;
    fleet.with(3, &mut quiet(), |node, now| node.leave(now).expect("once"));
    fleet.with(2, &mut quiet(), |node, now| node.set_tags(now, &[0xff, 0x80]).expect("room"));
    fleet.run(10 * SECOND, &mut quiet());
    fleet.crash(3);
    fleet.network.heal();
    fleet.run(600 * SECOND, &mut quiet());
    let tags = fleet.node(7).and_then(|node| node.member("node-2").map(|member| member.tags.to_vec()));
    assert_eq!((fleet.status(7, 3), tags), (Some(Status::Left), Some(vec![0xff, 0x80])));
}

/// Each side of a cut has been told that the other one has left.
#[test]
fn two_that_were_forced_out_on_both_sides_of_a_cut_find_together() {
    let mut fleet = fleet(1, 4, Size::Small, None);
    fleet.crash(0);
    fleet.network.side[1] = 1;
    fleet.run(120 * SECOND, &mut quiet());
    for (i, other) in [(1, 2), (1, 3), (2, 1)] {
        fleet.with(i, &mut quiet(), |node, now| node.force_leave(now, &Fleet::name(other), false));
    }
    fleet.run(20 * SECOND, &mut quiet());
    fleet.network.heal();
    fleet.run(3_600 * SECOND, &mut quiet());
    let shown = |i: usize, other: usize| fleet.status(i, other);
    assert_eq!((shown(1, 2), shown(2, 1)), (Some(Status::Alive), Some(Status::Alive)));
}

/// Each of two without a seed believes that the other one has left: nobody has failed, for whom it would look.
#[test]
fn two_that_were_told_to_have_left_find_together_soon() {
    proves(Rule::LeftToo, 10, |seed, without| {
        let mut fleet = fleet(seed, 3, Size::Small, without);
        fleet.with(0, &mut quiet(), |node, now| node.leave(now).expect("once"));
        fleet.run(10 * SECOND, &mut quiet());
        fleet.crash(0);
        fleet.network.side[1] = 1;
        fleet.run(60 * SECOND, &mut quiet());
        for (i, other) in [(1, 2), (2, 1)] {
            fleet.with(i, &mut quiet(), |node, now| node.force_leave(now, &Fleet::name(other), false));
        }
        fleet.run(20 * SECOND, &mut quiet());
        fleet.network.heal();
        fleet.run(240 * SECOND, &mut quiet());
        let shown = [fleet.status(1, 2), fleet.status(2, 1)];
        hold(shown == [Some(Status::Alive); 2], &format!("after four minutes they show {shown:?}"))
    });
}

/// A board with a part of the fleet, which compares it with nobody, is said to live elsewhere, in a later life; there it is
/// found dead. It does not hear of that but from those whom it probes.
#[test]
fn a_board_that_is_held_for_dead_elsewhere_hears_of_it() {
    proves(Rule::GoneElsewhere, 3, |seed, without| {
        let mut fleet = off(seed, 12, Size::Server, without);
        fleet.resize(11, Size::Tiny);
        (0..12).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        fleet.run(20 * SECOND, &mut quiet());
        fleet.network.side[11] = 1;
        fleet.run(60 * SECOND, &mut quiet());
        let boot = (fleet.machines[11].boot_number() + 5) << 16;
        // By the word of somebody who knows their fleet.
        let lie = [
            alive(&Fleet::name(11), 40, 1, boot),
            in_fleet(fleet.node(0).map_or(0, |node| node.gauges().fleet)),
        ];
        (0..11).for_each(|i| fleet.inject(10, i, datagram(&lie)));
        fleet.run(60 * SECOND, &mut quiet());
        fleet.network.heal();
        fleet.run(300 * SECOND, &mut quiet());
        let apart = (0..11).filter(|i| fleet.status(*i, 11) != Some(Status::Alive)).count();
        hold(apart == 0, &format!("{apart} of 11 do not show it alive"))
    });
}

/// A newcomer has been told a boot of a dead member to which nobody else would follow: all come to the same table.
#[test]
fn a_boot_out_of_reach_of_one_who_is_gone_is_given_up() {
    proves(Rule::ComeDown, 3, |seed, without| {
        let mut fleet = off(seed, 7, Size::Server, without);
        [0, 1, 2, 3, 5].into_iter().for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        fleet.boot(4, &[], false, &mut quiet());
        fleet.boot(6, &[4], false, &mut quiet());
        fleet.run(20 * SECOND, &mut quiet());
        fleet.crash(5);
        // Somebody in a fleet of two says so.
        let lie = [
            alive(&Fleet::name(5), 5, 1, 1 << 60),
            in_fleet(fleet.node(4).map_or(0, |node| node.gauges().fleet)),
        ];
        fleet.inject(5, 4, datagram(&lie));
        fleet.run(60 * SECOND, &mut quiet());
        let seed_address = fleet.address(0);
        fleet.with(4, &mut quiet(), |node, now| node.join(now, seed_address, false));
        fleet.run(300 * SECOND, &mut quiet());
        let shown: Vec<Option<Status>> = (0..5).map(|i| fleet.status(i, 5)).collect();
        hold(shown == [Some(Status::Failed); 5], &format!("it is shown as {shown:?}"))?;
        let syncs = fleet.total(|stats| stats.member_syncs);
        fleet.run(300 * SECOND, &mut quiet());
        let more = fleet.total(|stats| stats.member_syncs) - syncs;
        hold(more == 0, &format!("{more} comparisons at rest"))
    });
}

/// One who is dead, which nobody knows yet, is ordered to be forgotten; then somebody else only forces it out.
#[test]
fn a_prune_outlasts_another_order() {
    for seed in 0..5 {
        let mut fleet = fleet(seed, 8, Size::Small, None);
        fleet.crash(7);
        fleet.with(0, &mut quiet(), |node, now| node.force_leave(now, &Fleet::name(7), true));
        fleet.run(SECOND, &mut quiet());
        fleet.with(1, &mut quiet(), |node, now| node.force_leave(now, &Fleet::name(7), false));
        fleet.run(120 * SECOND, &mut quiet());
        let shown: Vec<_> = (0..7).map(|i| fleet.status(i, 7)).collect();
        assert_eq!(shown, [None; 7], "seed {seed}");
    }
}

/// Whom a fleet is ordered to forget it meets only later, when the other fleet has found it dead or has not.
#[test]
fn a_prune_waits_for_a_member_that_is_met_later() {
    for (seed, silence) in [(0, 1), (1, 1), (2, 60), (3, 60)] {
        let mut fleet = off(seed, 8, Size::Small, None);
        (0..8).for_each(|i| fleet.boot(i, &[i / 4 * 4], false, &mut quiet()));
        fleet.run(20 * SECOND, &mut quiet());
        fleet.crash(7);
        fleet.run(silence * SECOND, &mut quiet());
        fleet.with(1, &mut quiet(), |node, now| node.force_leave(now, &Fleet::name(7), true));
        fleet.run(SECOND, &mut quiet());
        let seed_address = fleet.address(4);
        fleet.with(2, &mut quiet(), |node, now| node.join(now, seed_address, false));
        fleet.run(120 * SECOND, &mut quiet());
        let shown: Vec<_> = (0..7).map(|i| fleet.status(i, 7)).collect();
        assert_eq!(shown, [None; 7], "seed {seed}, dead for {silence} s");
    }
}

/// Most of a fleet loses power at once. Those who are left hear each other seldom, as they probe the dead: what they then find
/// is not their own link's fault, and nobody comes back from the dead.
#[test]
fn most_of_a_fleet_dies_at_once() {
    for (nodes, dead) in [(6, 4), (12, 9), (20, 17)] {
        for seed in 0..10 {
            let mut fleet = fleet(seed, nodes, Size::Server, None);
            (nodes - dead..nodes).for_each(|i| fleet.crash(i));
            let mut back = 0;
            let mut watch = |_: usize, _: u64, _: u64, seen: Seen| {
                back += matches!(seen, Seen::Member { change: MemberChange::Join, .. }) as usize;
            };
            let mut took = None;
            for second in 1..=120 {
                fleet.run(SECOND, &mut watch);
                let gone =
                    |i: usize| (nodes - dead..nodes).all(|j| fleet.status(i, j) == Some(Status::Failed));
                if took.is_none() && (0..nodes - dead).all(gone) {
                    took = Some(second);
                }
            }
            assert_eq!(back, 0, "{nodes} nodes, seed {seed}: told as back");
            assert!(took.is_some(), "{nodes} nodes, seed {seed}: not all are found dead after two minutes");
        }
    }
}

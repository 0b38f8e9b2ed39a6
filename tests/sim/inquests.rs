//! Crashes that a host tells of: how soon all know, and that nobody who lives is called failed, whoever refuses.

use fleet_tests::detection::{Detection, End, Trial, quantile};
use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::proof::{hold, proves};
use fleet_tests::rng::Rng;
use fleet_tests::wire::addr;
use serf_nostd::rules::Rule;
use serf_nostd::{Config, Duration, Key, MemberChange, Status};

const SECOND: u64 = 1_000_000;

/// Thirty crashes in a fleet, or as many as it bears.
fn trial(seed: u64, nodes: usize, loss: f64, end: End, without: Option<Rule>) -> Detection {
    let crashes = 30.min(nodes / 2 - 1);
    Trial { seed, nodes, loss, seconds: 120, crashes, end, config: Config::LAN, placed: false, without }.run()
}

/// Several fleets: when the first and when all know of a crash (ascending), how many crashes there were, and how often somebody who lives
/// was called failed.
fn trials(nodes: usize, loss: f64, end: End) -> (Vec<u64>, Vec<u64>, usize, usize) {
    let (mut first, mut all, mut crashes, mut falsely) = (Vec::new(), Vec::new(), 0, 0);
    for seed in 0..5 {
        let seen = trial(seed, nodes, loss, end, None);
        crashes += 30.min(nodes / 2 - 1);
        falsely += seen.failed;
        first.extend(seen.first);
        all.extend(seen.everywhere);
    }
    first.sort_unstable();
    all.sort_unstable();
    (first, all, crashes, falsely)
}

/// A fleet in which changes of members are told at once.
fn fleet(seed: u64, nodes: usize, key: Option<Key>, without: Option<Rule>) -> Fleet {
    let config = Config { coalesce_members: false, ..Config::LAN };
    let mut fleet = Fleet::new(seed, nodes, Size::Small, config);
    (fleet.key, fleet.without) = (key, without);
    fleet.check_every = 16;
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    fleet
}

/// Runs on; how often somebody was called failed.
fn failures(fleet: &mut Fleet, span: u64) -> usize {
    let mut failures = 0;
    fleet.run(span, &mut |_, _, _, seen| {
        failures += matches!(seen, Seen::Member { change: MemberChange::Failed, .. }) as usize;
    });
    failures
}

#[test]
fn all_know_within_a_second_or_two_that_a_process_was_killed() {
    for (nodes, loss, median, most) in [
        (20, 0.0, 1.2, 2.5),
        (50, 0.0, 1.2, 2.5),
        (50, 0.25, 1.8, 4.0),
        (300, 0.0, 1.2, 2.5),
        (300, 0.25, 1.8, 4.0),
    ] {
        let (_, all, crashes, falsely) = trials(nodes, loss, End::Dies);
        let [half, most_of] = [0.5, 0.9].map(|share| quantile(&all, share).expect("some crash") as f64 / 1e6);
        println!(
            "{nodes} nodes, {loss} lost: median {half:.2} s, 90 % {most_of:.2} s, {} of {crashes}",
            all.len()
        );
        assert!(half <= median && most_of <= most, "{nodes} nodes, {loss} lost: {half:.2} s, {most_of:.2} s");
        assert_eq!(falsely, 0, "{nodes} nodes, {loss} lost: living ones called failed");
    }
}

/// Who says that its process ends is probed next by some.
#[test]
fn all_know_soon_that_a_process_was_ended() {
    let (first, all, crashes, falsely) = trials(50, 0.0, End::Terminated);
    assert_eq!((all.len(), falsely), (crashes, 0));
    let grace = Config::LAN.refused_grace.as_micros();
    let half = quantile(&all, 0.5).expect("some");
    println!("median {half} us, the last {} us", all[crashes - 1]);
    assert!(first[0] >= grace && half <= grace + SECOND * 4 / 10, "{} us, median {half} us", first[0]);
}

/// That a host refuses what is sent to it is told in its name alone; the fleet's key makes no difference.
#[test]
fn who_is_sealed_is_found_as_soon() {
    let mut fleet = fleet(1, 20, Some(Key::new([7; 32])), None);
    for i in 1..6 {
        fleet.kill(i);
        assert_eq!(failures(&mut fleet, 2 * SECOND + 300_000), 20 - i, "machine {i}");
    }
    assert_eq!(fleet.total(|stats| stats.inquests_gone), 5);
}

/// A firewall on the way from one member to another refuses in its name.
#[test]
fn one_link_that_refuses_makes_nobody_fail() {
    let mut fleet = fleet(1, 20, None, None);
    fleet.network.refusals.rejecting.push((4, 5));
    assert_eq!(failures(&mut fleet, 600 * SECOND), 0);
    assert!(fleet.total(|stats| stats.inquests) > 0, "nobody noticed");
}

/// The same both ways, and nobody else hears one of them.
#[test]
fn who_can_ask_nobody_does_not_take_one_refusal_for_a_death() {
    proves(Rule::Witnesses, 10, |seed, without| {
        let mut fleet = fleet(seed, 6, None, without);
        fleet.network.refusals.rejecting = vec![(4, 5), (5, 4)];
        fleet.network.one_way = (0..4).map(|to| (4, to)).collect();
        // Its probes are slow as none is answered; others probe it for as long as they suspect it.
        fleet.run(8 * SECOND, &mut |_, _, _, _| {});
        hold(fleet.node(4).is_some_and(|node| node.stats().refusals > 0), "nothing was refused")?;
        hold(fleet.status(4, 5) == Some(Status::Alive), "a living one is called failed")
    });
}

/// All processes but one end at once in a small fleet: there is nobody whom the last one could ask. What it has come to hold it keeps to
/// itself, so that those who were only refused to it live again with their first word.
#[test]
fn the_last_one_of_a_small_fleet_knows_that_the_others_are_dead() {
    for nodes in 2..=6 {
        let slowest = |seed| {
            let mut fleet = fleet(seed, nodes, None, None);
            (1..nodes).for_each(|i| fleet.kill(i));
            let (began, mut failed) = (fleet.now(), Vec::new());
            fleet.run(60 * SECOND, &mut |i, _, at, seen| {
                let died = i == 0 && matches!(seen, Seen::Member { change: MemberChange::Failed, .. });
                failed.extend(died.then_some(at - began));
            });
            assert_eq!(failed.len(), nodes - 1);
            failed.last().map_or(0, |at| at / 1_000)
        };
        let slowest = (0..20).map(slowest).max().unwrap_or(0);
        println!("{nodes} nodes: {slowest} ms");
        assert!(slowest <= 6_000, "of {nodes} nodes: after {slowest} ms");
    }
}

/// The same for one whom everybody's host refuses, as by a firewall of its own, for half a minute.
#[test]
fn who_is_refused_by_all_tells_nobody_and_takes_it_back() {
    for seed in 0..10 {
        let mut fleet = fleet(seed, 6, None, None);
        fleet.network.refusals.rejecting = (0..5).flat_map(|i| [(i, 5), (5, i)]).collect();
        fleet.run(30 * SECOND, &mut |_, _, _, _| {});
        assert!((0..5).all(|i| fleet.status(5, i) == Some(Status::Failed)), "seed {seed}");
        let others =
            |fleet: &Fleet| (0..5).all(|i| (0..5).all(|other| fleet.status(i, other) == Some(Status::Alive)));
        assert!(others(&fleet), "seed {seed}: somebody believes it");
        fleet.network.heal();
        fleet.run(40 * SECOND, &mut |_, _, _, _| {});
        assert!(others(&fleet) && fleet.agreed(), "seed {seed}");
    }
}

/// Half of all links to one member do so, and a tenth.
#[test]
fn half_of_the_links_that_refuse_make_nobody_fail() {
    let clean = [(1, 0.1, 0.0), (2, 0.5, 0.0), (3, 0.5, 0.0), (4, 0.5, 0.0)];
    for (seed, share, loss) in clean.into_iter().chain((5..10).map(|seed| (seed, 0.5, 0.2))) {
        let mut fleet = fleet(seed, 50, None, None);
        fleet.network.loss = loss;
        let mut rng = Rng::new(seed);
        for from in (0..50).filter(|from| *from != 5) {
            if rng.chance(share) {
                fleet.network.refusals.rejecting.push((from, 5));
            }
        }
        assert_eq!(failures(&mut fleet, 600 * SECOND), 0, "{share} of the links, {loss} of the datagrams");
        assert!(fleet.total(|stats| stats.inquests) > 0);
    }
}

/// Somebody forges refusals in a member's name, a hundred a second and more to each of the others: of what was never sent, of what was sent
/// to it, and of what was sent to others.
#[test]
fn forged_refusals_make_nobody_fail_and_draw_little() {
    let mut fleet = fleet(1, 20, None, None);
    let victim = fleet.address(7);
    let before = fleet.machines[7].sent.0;
    let mut failed = 0;
    for round in 0..1_000_u64 {
        fleet.recording = Some(Vec::new());
        failed += failures(&mut fleet, SECOND / 10);
        let said = fleet.recording.take().unwrap_or_default();
        for to in (0..20).filter(|to| *to != 7) {
            let any = fleet.network.refusals.sent as u8 ^ round as u8;
            fleet.inject_refusal(to, victim, vec![any; 40]);
            // He has seen one datagram in ten on its way, and is as quick.
            let seen = said.iter().filter(|(from, ..)| *from == to).step_by(10);
            seen.for_each(|(_, _, datagram)| fleet.inject_refusal(to, victim, datagram.clone()));
        }
    }
    assert_eq!(failed, 0);
    assert!(fleet.total(|stats| stats.refusals) > 19_000);
    let each = (fleet.machines[7].sent.0 - before) / 100;
    assert!(each <= 1_000, "the victim sends {each} bytes a second");
}

/// A process that is killed and back within 400 ms is missed by nobody, also where datagrams get lost.
#[test]
fn who_restarts_within_400_ms_is_not_called_failed() {
    for (seed, loss) in [0.0, 0.0, 0.0, 0.0, 0.05, 0.05, 0.1, 0.1, 0.25, 0.25].into_iter().enumerate() {
        let seed = seed as u64;
        let mut fleet = fleet(seed, 20, None, None);
        fleet.network.loss = loss;
        let mut rng = Rng::new(seed);
        for turn in 0..10 {
            let i = 1 + turn;
            let mut failed = failures(&mut fleet, 10 * SECOND + rng.below(SECOND));
            if turn % 2 == 0 {
                fleet.kill(i)
            } else {
                fleet.terminate(i)
            }
            failed += failures(&mut fleet, rng.range(200_000..400_000));
            fleet.boot(i, &[0], false, &mut |_, _, _, _| {});
            failed += failures(&mut fleet, 5 * SECOND);
            assert_eq!(failed, 0, "seed {seed}, machine {i}");
        }
    }
}

/// A member that moves is asked at its old address, whose host refuses.
#[test]
fn who_moves_is_not_called_failed_for_what_its_old_address_refuses() {
    for seed in 0..10 {
        let mut fleet = fleet(seed, 20, None, None);
        let (old, new) = (fleet.address(5), addr(1_005));
        fleet.move_to(5, new);
        fleet.abandoned.insert(old, 5);
        fleet.with(5, &mut |_, _, _, _| {}, |node, now| node.set_address(now, new));
        assert_eq!(failures(&mut fleet, 20 * SECOND), 0, "seed {seed}");
        assert!(fleet.agreed());
    }
}

/// What others send to a dead process uses up what its host says of that: it counts as much as what was asked for.
#[test]
fn a_death_is_seen_among_events_too() {
    for (nodes, every) in [(5, 50), (20, 50), (20, 200)] {
        let mut all = Vec::new();
        for seed in 0..5 {
            let mut fleet = fleet(seed, nodes, None, None);
            let mut rng = Rng::new(seed);
            let mut killed = u64::MAX;
            for turn in 0..8_000 / every {
                if turn == 2_000 / every {
                    fleet.kill(nodes - 1);
                    killed = fleet.now();
                }
                let i = rng.below(nodes as u64 - 1) as usize;
                fleet.with(i, &mut |_, _, _, _| {}, |node, now| {
                    node.user_event(now, b"e", b"x", false).is_ok()
                });
                fleet.run(every * 1_000, &mut |_, _, at, seen| {
                    if matches!(seen, Seen::Member { change: MemberChange::Failed, .. }) {
                        all.push(at - killed);
                    }
                });
            }
        }
        all.sort_unstable();
        let [half, last] = [0.5, 1.0].map(|share| quantile(&all, share).unwrap_or(0) as f64 / 1e6);
        println!("{nodes} nodes, an event each {every} ms: median {half:.2} s, at last {last:.2} s");
        assert!(
            all.len() == 5 * (nodes - 1) && half <= 1.5 && last <= 3.5,
            "{nodes} nodes: {half:.2}, {last:.2}"
        );
    }
}

/// A node that passes a thousand events a second on sends hundreds of datagrams within a round trip: a refusal quotes one of these.
#[test]
fn a_death_is_seen_among_a_thousand_events_a_second_over_long_links() {
    const NODES: usize = 20;
    for seed in 0..3 {
        let config = Config { coalesce_members: false, ..Config::LAN };
        let mut fleet = Fleet::new(seed, NODES, Size::Agent, config);
        fleet.network.latency = 7_500;
        fleet.assemble(&mut |_, _, _, _| {});
        fleet.run(60 * SECOND, &mut |_, _, _, _| {});
        let mut rng = Rng::new(seed);
        let killed = fleet.now() + 2 * SECOND + rng.below(SECOND);
        let mut known = Vec::new();
        while fleet.now() < killed + 4 * SECOND {
            if fleet.is_on(NODES - 1) && fleet.now() >= killed {
                fleet.kill(NODES - 1);
            }
            let i = rng.below(NODES as u64 - 1) as usize;
            fleet.with(i, &mut |_, _, _, _| {}, |node, now| node.user_event(now, b"e", b"x", false).is_ok());
            fleet.run(1_000, &mut |_, _, at, seen| {
                if matches!(seen, Seen::Member { change: MemberChange::Failed, .. }) {
                    known.push((at - killed) / 1_000);
                }
            });
        }
        assert!(known.len() == NODES - 1 && known.iter().all(|ms| *ms <= 2_500), "seed {seed}: {known:?}");
    }
}

/// A firewall refuses what one sends to many others, whom it leaves alone for longer and longer; also where these are more than it keeps in
/// mind.
#[test]
fn who_is_refused_by_many_does_not_inquire_without_end() {
    for (nodes, refusing) in [(24, 17), (150, 70)] {
        let config = Config { coalesce_members: false, ..Config::LAN };
        let mut fleet = Fleet::new(7, nodes, Size::Members(nodes as u16), config);
        fleet.assemble(&mut |_, _, _, _| {});
        fleet.run(60 * SECOND, &mut |_, _, _, _| {});
        fleet.network.refusals.rejecting = (1..=refusing).map(|i| (0, i)).collect();
        let mut run = |minutes: u64| {
            let before = fleet.total(|stats| stats.inquests);
            for _ in 0..minutes * 60 {
                let fired = fleet.with(0, &mut |_, _, _, _| {}, |node, now| {
                    node.user_event(now, b"e", b"x", false).is_ok()
                });
                assert_eq!((fired, failures(&mut fleet, SECOND)), (Some(true), 0));
            }
            fleet.total(|stats| stats.inquests) - before
        };
        let [first, later] = [run(5), run(5)];
        println!("{refusing} refuse: {first} inquests in five minutes, then {later}");
        assert!(first >= 16 && later <= 4 * refusing as u64, "{refusing} refuse: {first}, then {later}");
    }
}

/// A process is back after two seconds, and nobody was told: what spoke against its former life does not shorten the time that its new one
/// has to answer.
#[test]
fn doubts_about_a_life_end_with_it() {
    let mut suspicions = 0;
    for seed in 0..40 {
        let refused_grace = Duration::from_secs(3);
        let config = Config { coalesce_members: false, refused_grace, ..Config::LAN };
        let mut fleet = Fleet::new(seed, 2, Size::Agent, config);
        fleet.assemble(&mut |_, _, _, _| {});
        fleet.run(30 * SECOND, &mut |_, _, _, _| {});
        fleet.network.loss = 0.1;
        let mut rng = Rng::new(seed);
        for _ in 0..6 {
            fleet.run(60 * SECOND + rng.below(SECOND), &mut |_, _, _, _| {});
            fleet.kill(1);
            fleet.run(rng.range(1_500_000..2_390_000), &mut |_, _, _, _| {});
            fleet.boot(1, &[0], false, &mut |_, _, _, _| {});
            fleet.run(10_000, &mut |_, _, _, _| {});
            let before = fleet.total(|stats| stats.suspicions);
            assert_eq!(failures(&mut fleet, 10 * SECOND), 0, "seed {seed}");
            suspicions += fleet.total(|stats| stats.suspicions) - before;
        }
    }
    assert!(suspicions <= 5, "of 240 new lives {suspicions} were suspected");
}

/// Two of four die at once: neither is a witness of the other.
#[test]
fn two_of_four_are_seen_at_once() {
    for seed in 0..5 {
        let mut fleet = fleet(seed, 4, None, None);
        [2, 3].into_iter().for_each(|i| fleet.kill(i));
        let seen = failures(&mut fleet, 8 * SECOND);
        assert_eq!(seen, 4, "seed {seed}");
    }
}

/// Somebody has forged refusals in a member's name for long, to all others: when it dies that is seen as soon.
#[test]
fn forged_refusals_do_not_hide_a_death() {
    for seed in 0..5 {
        let mut fleet = fleet(seed, 20, None, None);
        let by = fleet.address(19);
        for _ in 0..20 {
            (0..19).for_each(|to| fleet.inject_refusal(to, by, vec![0; 40]));
            fleet.run(SECOND / 2, &mut |_, _, _, _| {});
        }
        fleet.kill(19);
        assert_eq!(failures(&mut fleet, 5 * SECOND / 2), 19, "seed {seed}");
    }
}

/// Last words that were recorded are said again, a hundred times a second, to one member: they draw nothing.
#[test]
fn old_last_words_draw_nothing() {
    for key in [None, Some(Key::new([7; 32]))] {
        let mut fleet = fleet(1, 20, key, None);
        fleet.recording = Some(Vec::new());
        fleet.terminate(5);
        let said = fleet.recording.take().unwrap_or_default();
        let (_, _, gone) = said.into_iter().next_back().expect("it says something");
        fleet.boot(5, &[0], false, &mut |_, _, _, _| {});
        fleet.run(120 * SECOND, &mut |_, _, _, _| {});
        let sent = |fleet: &mut Fleet, replays: bool| {
            let (before, inquests) = (fleet.sent().0, fleet.total(|stats| stats.inquests));
            for _ in 0..1_000 {
                if replays {
                    fleet.inject_from(fleet.address(5), 0, gone.clone());
                }
                fleet.run(SECOND / 100, &mut |_, _, _, _| {});
            }
            assert_eq!(fleet.total(|stats| stats.inquests), inquests);
            fleet.sent().0 - before
        };
        let (idle, under) = (sent(&mut fleet, false), sent(&mut fleet, true));
        // In a sealed fleet each draws a challenge, as all that is old does.
        assert!(fleet.key.is_some() || under <= idle + idle / 10, "{under} bytes instead of {idle}");
    }
}

/// What hosts say can be passed over.
#[test]
fn without_a_grace_refusals_count_for_nothing() {
    let config = Config { refused_grace: serf_nostd::Duration::ZERO, ..Config::LAN };
    let mut fleet = Fleet::new(1, 10, Size::Small, config);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    fleet.kill(3);
    fleet.run(3 * SECOND, &mut |_, _, _, _| {});
    assert_eq!(fleet.status(0, 3), Some(Status::Alive));
    assert_eq!(fleet.total(|stats| stats.inquests), 0);
    assert!(fleet.total(|stats| stats.refusals) > 0);
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    assert_eq!(fleet.status(0, 3), Some(Status::Failed));
}

/// All count alike, however late they came, so each member is probed by one other in every period: nobody is gone for long before somebody
/// looks.
#[test]
fn nobody_is_gone_for_long_before_somebody_looks() {
    proves(Rule::Periods, 3, |seed, without| {
        let config = Config { coalesce_members: false, ..Config::LAN };
        let (mut fleet, mut rng) = (Fleet::new(seed, 40, Size::Members(40), config), Rng::new(seed));
        fleet.without = without;
        for i in 0..40 {
            fleet.boot(i, &[0], false, &mut |_, _, _, _| {});
            fleet.run(rng.below(3 * SECOND), &mut |_, _, _, _| {});
        }
        fleet.run(60 * SECOND, &mut |_, _, _, _| {});
        let mut slow = 0;
        for i in 1..30 {
            let killed = fleet.now();
            fleet.kill(i);
            let mut noticed = None;
            fleet.run(10 * SECOND + rng.below(SECOND), &mut |_, _, at, seen| {
                if matches!(seen, Seen::Member { change: MemberChange::Failed, .. }) {
                    noticed.get_or_insert(at - killed);
                }
            });
            slow += noticed.is_none_or(|after| after > 24 * SECOND / 10) as usize;
        }
        hold(slow <= 1, &format!("{slow} of 29 were noticed after more than 2.4 s"))
    });
}

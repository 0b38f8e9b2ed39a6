//! Crashes that a host tells of: how soon all know, and that nobody who lives is called failed, whoever refuses.

use fleet_tests::detection::{Detection, End, Trial, quantile};
use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::proof::{hold, proves};
use fleet_tests::rng::Rng;
use serf_nostd::rules::Rule;
use serf_nostd::{Config, Key, MemberChange, Status};

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

/// Who says that its process ends is looked at at once: the grace, and no more.
#[test]
fn all_know_after_the_grace_that_a_process_was_ended() {
    let (first, all, crashes, falsely) = trials(50, 0.0, End::Terminated);
    assert_eq!((all.len(), falsely), (crashes, 0));
    let grace = Config::LAN.refused_grace.as_micros();
    assert!(
        first[0] >= grace && all[crashes - 1] <= grace + SECOND / 10,
        "{} to {} us",
        first[0],
        all[crashes - 1]
    );
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
        // A round of its probes, which are slow as none is answered; a suspicion that nobody shares takes longer.
        fleet.run(20 * SECOND, &mut |_, _, _, _| {});
        hold(fleet.node(4).is_some_and(|node| node.stats().refusals > 0), "nothing was refused")?;
        hold(fleet.status(4, 5) == Some(Status::Alive), "a living one is called failed")
    });
}

/// Half of all links to one member do so, and a tenth.
#[test]
fn half_of_the_links_that_refuse_make_nobody_fail() {
    for (seed, share) in [(1, 0.1), (2, 0.5), (3, 0.5), (4, 0.5)] {
        let mut fleet = fleet(seed, 50, None, None);
        let mut rng = Rng::new(seed);
        for from in (0..50).filter(|from| *from != 5) {
            if rng.chance(share) {
                fleet.network.refusals.rejecting.push((from, 5));
            }
        }
        assert_eq!(failures(&mut fleet, 600 * SECOND), 0, "{share} of the links");
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
    assert!(each <= 400, "the victim sends {each} bytes a second");
}

/// A process that is killed and back within 400 ms is missed by nobody.
#[test]
fn who_restarts_within_400_ms_is_not_called_failed() {
    for seed in 0..10 {
        let mut fleet = fleet(seed, 20, None, None);
        let mut rng = Rng::new(seed);
        for turn in 0..10 {
            let i = 1 + turn;
            let mut failed = failures(&mut fleet, 10 * SECOND + rng.below(SECOND));
            if turn % 2 == 0 {
                fleet.kill(i)
            } else {
                fleet.terminate(i)
            }
            failed += failures(&mut fleet, rng.below(400_000));
            fleet.boot(i, &[0], false, &mut |_, _, _, _| {});
            failed += failures(&mut fleet, 5 * SECOND);
            assert_eq!(failed, 0, "seed {seed}, machine {i}");
        }
        assert!(fleet.agreed());
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

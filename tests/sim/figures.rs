//! What of the figures is promised: nothing is missed, idling costs the same in any fleet, and nobody is wrongly called
//! failed. The rest of them is `tests/run simbench`'s.

use fleet_tests::collapse::collapse;
use fleet_tests::detection::{End, Trial};
use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::judged::SECOND;
use fleet_tests::lifeguard::{self, False};
use fleet_tests::measure::{Figures, LOSSES, at_rest, spread};
use fleet_tests::rapid::{Adversity, adversity};
use serf_nostd::{Config, MemberChange};

#[test]
fn a_thousand_nodes_miss_no_event_at_any_loss_and_idle_like_ten() {
    let (small, large) = (at_rest(10), at_rest(1_000));
    for loss in LOSSES {
        assert_eq!(large[&format!("missed_{loss}")], 0.0, "at {loss} % loss");
    }
    // In virtual time: the third copy, and pulls that are soon repeated.
    let [most, all, copies] = ["t99_5", "t100_5", "copies_5"].map(|name| large[name]);
    assert!(most <= 60.0 && all <= 250.0, "99 % after {most} ms, all after {all} ms");
    // A probe is lost with either of two datagrams: at 5 % some of ten nodes take the network for a lossy one, in
    // which they pass on one more.
    assert!(copies <= 3.0 && small["copies_5"] <= 3.2, "{copies} payload copies per node");
    let ratio = large["idle_bytes"] / small["idle_bytes"];
    assert!((0.9..=1.1).contains(&ratio), "idle bytes differ by more than a tenth: {ratio:.2}");
}

#[test]
fn lost_datagrams_are_not_taken_for_crashes_and_crashes_are_noticed() {
    for loss in [0.01, 0.25] {
        let trial = Trial {
            seed: 1,
            nodes: 300,
            loss,
            seconds: 120,
            crashes: 10,
            end: End::Vanishes,
            config: Config::LAN,
            placed: false,
            without: None,
        };
        let seen = trial.run();
        assert_eq!((seen.failed, seen.everywhere.len()), (0, trial.crashes));
    }
}

/// Pulls are repeated before their answers can have been here: in virtual time, and by what an event cost before there were
/// confirmations, 412 ms and 3.30 copies.
#[test]
fn a_quarter_lost_over_long_links_keeps_the_last_ones_waiting_for_few_round_trips() {
    let mut last = 0.0;
    let mut copies = 0.0;
    for seed in 1..5 {
        let mut fleet = Fleet::new(seed, 100, Size::Members(100), Config::LAN);
        (fleet.network.latency, fleet.network.jitter) = (50_000, 5_000);
        fleet.acquaint(&mut |_, _, _, _| {});
        fleet.run(60 * SECOND, &mut |_, _, _, _| {});
        let mut figures = Figures::new();
        spread(&mut fleet, 25, &mut figures);
        assert_eq!(figures["missed_25"], 0.0, "seed {seed}");
        last += figures["t100_25"] / 4.0;
        copies += figures["copies_25"] / 4.0;
    }
    assert!(last <= 480.0 && copies <= 3.45, "the last one after {last} ms, {copies} copies per node");
}

/// Many search for the others then, as a few probes in a row bring no word: that finds no dead among the living.
#[test]
fn where_four_of_ten_datagrams_get_lost_nobody_is_called_failed() {
    let mut searches = 0;
    for seed in 0..10 {
        let config = Config { coalesce_members: false, ..Config::LAN };
        let mut fleet = Fleet::new(seed, 50, Size::Small, config);
        fleet.assemble(&mut |_, _, _, _| {});
        fleet.run(60 * SECOND, &mut |_, _, _, _| {});
        fleet.network.loss = 0.4;
        fleet.run(180 * SECOND, &mut |i, _, _, seen| {
            let failed = matches!(seen, Seen::Member { change: MemberChange::Failed, .. });
            assert!(!failed, "seed {seed}: at {i}");
        });
        searches += fleet.total(|stats| stats.searches);
    }
    println!("{searches} searches in ten fleets");
    assert!(searches > 1_000, "{searches}");
}

/// Of Lifeguard's matrix what is hardest on others: many that are blocked for long, and run for moments.
#[test]
fn who_is_healthy_is_not_called_failed_for_others_that_are_slow() {
    let mut all = False::default();
    for (blocked, block, interval) in [(4, 16_384, 64), (16, 8_192, 1_024), (32, 32_768, 1), (32, 2_048, 256)]
    {
        let told = lifeguard::interval(1, blocked, block, interval, None);
        println!("{blocked} blocked for {block} ms, then {interval} ms of work: {told:?}");
        all.add(told);
    }
    assert_eq!(all, False::default());
}

/// Of Rapid's adversities, at a tenth of their size: what is promised of the healthy ones.
#[test]
fn members_that_are_neither_well_nor_dead_make_no_healthy_one_fail() {
    for what in [Adversity::FlipFlop, Adversity::Losing] {
        let outcome = adversity(1, 100, what, 9);
        println!("{what:?}: {outcome:?}");
        assert_eq!((outcome.healthy_failed[0], outcome.heals), (0, true), "{what:?}");
    }
}

/// Nineteen of twenty die at once, or four of five: those who are left lose no event, and come to know who is left.
#[test]
fn who_survives_a_collapse_gets_all_events_and_buries_the_dead() {
    for percent in [80, 95] {
        let outcome = collapse(1, 400, percent, None);
        println!("{outcome:?}");
        assert!(outcome.events.iter().all(|(_, all)| all.is_some_and(|all| all <= 60.0)), "{outcome:?}");
        assert!(outcome.buried.is_some_and(|buried| buried <= 120.0), "{outcome:?}");
        assert_eq!(outcome.wrong, 0);
    }
}

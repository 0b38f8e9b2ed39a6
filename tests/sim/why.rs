//! How members came to their states: what each node remembers of it.

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Size};
use serf_nostd::{Config, What};

fn fleet(seed: u64) -> Fleet {
    let mut fleet = Fleet::new(seed, 8, Size::Small, Config::LAN);
    fleet.assemble(&mut |_, _, _, _| {});
    run(&mut fleet, 20);
    fleet
}

fn run(fleet: &mut Fleet, seconds: u64) {
    fleet.run(seconds * SECOND, &mut |_, _, _, _| {});
}

/// What a node remembers of another one, and by whose word.
fn history(fleet: &Fleet, of: usize, at: usize) -> Vec<(What, Option<String>)> {
    let node = fleet.node(at).expect("on");
    let name = Fleet::name(of);
    let mut before = None;
    let changes = node.changes(&name).inspect(|change| {
        assert!(before.is_none_or(|before| before <= change.at), "in their order");
        before = Some(change.at);
    });
    changes.map(|change| (change.what, change.by.map(str::to_owned))).collect()
}

fn whats(fleet: &Fleet, of: usize, at: usize) -> Vec<What> {
    history(fleet, of, at).into_iter().map(|(what, _)| what).collect()
}

#[test]
fn of_one_that_has_failed_everybody_knows_who_accused_it_and_somebody_which_probes_it_did_not_answer() {
    for seed in 0..10 {
        let mut fleet = fleet(seed);
        fleet.crash(5);
        run(&mut fleet, 40);
        let mut probed = 0;
        for at in (0..8).filter(|at| *at != 5) {
            let history = history(&fleet, 5, at);
            let whats: Vec<What> = history.iter().map(|(what, _)| *what).collect();
            assert_eq!(whats[0], What::Met);
            let suspected = whats.iter().position(|what| *what == What::Suspected).expect("it was suspected");
            assert!(history[suspected].1.is_some(), "by somebody: {history:?}");
            let last = whats[whats.len() - 1];
            assert!(matches!(last, What::DeclaredFailed | What::ToldFailed), "{whats:?}");
            let silent = |what: &What| matches!(what, What::Unanswered | What::ProbedAgain);
            probed += whats[..suspected].iter().any(silent) as usize;
        }
        assert!(probed > 0, "nobody has probed it before it was accused");
    }
}

#[test]
fn of_one_that_was_accused_falsely_it_is_known_what_cleared_it() {
    let mut contradicted = 0;
    for seed in 20..30 {
        let mut fleet = fleet(seed);
        fleet.freeze(5, 5 * SECOND);
        run(&mut fleet, 60);
        for at in (0..8).filter(|at| *at != 5) {
            let whats = whats(&fleet, 5, at);
            let last = whats[whats.len() - 1];
            let cleared = matches!(last, What::Contradicted | What::Answered | What::Returned);
            assert!(cleared || whats == [What::Met], "{whats:?}");
            contradicted += (last == What::Contradicted) as usize;
        }
    }
    assert!(contradicted > 0);
}

#[test]
fn restarts_leaves_and_orders_are_told_apart() {
    let mut fleet = fleet(30);
    fleet.crash(1);
    fleet.boot(1, &[0], false, &mut |_, _, _, _| {});
    run(&mut fleet, 20);
    assert_eq!(whats(&fleet, 1, 4), [What::Met, What::Restarted]);

    fleet.with(2, &mut |_, _, _, _| {}, |node, now| node.leave(now).expect("it can"));
    run(&mut fleet, 20);
    assert_eq!(whats(&fleet, 2, 4), [What::Met, What::Leaving, What::Left]);

    fleet.crash(3);
    run(&mut fleet, 40);
    fleet.with(0, &mut |_, _, _, _| {}, |node, now| node.force_leave(now, &Fleet::name(3), false));
    run(&mut fleet, 20);
    assert_eq!(whats(&fleet, 3, 4).last(), Some(&What::ForcedToLeave));
    assert!(whats(&fleet, 7, 4).len() == 1 && history(&fleet, 99, 4).is_empty());
}

//! The checkers can fail: each rule of the protocol has a scenario that holds with it, and is seen to break without it.
//!
//! A rule whose absence nobody notices is a rule that nobody needs, or a checker that does not look.

use fleet_tests::chaos::{Plan, SECOND, run};
use fleet_tests::collapse::collapse;
use fleet_tests::detection::{End, Trial};
use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::lifeguard::{False, interval};
use fleet_tests::proof::{hold, proves};
use fleet_tests::wire::{datagram, event};
use serf_nostd::rules::Rule;
use serf_nostd::{Config, LTIME_JUMP, LTIME_LIMIT, MemberChange, Status};

fn chaos(seed: u64, without: Option<Rule>) -> Result<(), String> {
    run(&Plan { without, ..Plan::usual(seed) }).map(|_| ()).map_err(|failure| failure.text)
}

fn fleet(seed: u64, nodes: usize, size: Size, without: Option<Rule>) -> Fleet {
    let mut fleet = Fleet::new(seed, nodes, size, Config::LAN);
    fleet.without = without;
    fleet.check_every = 16;
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    fleet
}

/// Fires an event that is not to be coalesced.
fn fire(fleet: &mut Fleet, i: usize, payload: &str, watch: &mut fleet_tests::fleet::Watcher) {
    fleet.with(i, watch, |node, now| node.user_event(now, b"e", payload.as_bytes(), false));
}

#[test]
fn dedupe() {
    proves(Rule::Dedupe, 5, chaos);
}

#[test]
fn refute() {
    proves(Rule::Refute, 20, chaos);
}

#[test]
fn coalesce_order() {
    proves(Rule::CoalesceOrder, 20, chaos);
}

#[test]
fn coalesce_memory() {
    proves(Rule::CoalesceMemory, 20, chaos);
}

#[test]
fn pull() {
    proves(Rule::Pull, 20, chaos);
}

#[test]
fn event_healing() {
    proves(Rule::EventHealing, 40, chaos);
}

#[test]
fn member_healing() {
    proves(Rule::MemberHealing, 300, chaos);
}

#[test]
fn floor() {
    proves(Rule::Floor, 100, chaos);
}

#[test]
fn app_quota() {
    proves(Rule::AppQuota, 100, chaos);
}

/// A cut of ten minutes: both halves have long declared each other failed.
#[test]
fn reconnect() {
    proves(Rule::Reconnect, 5, |seed, without| {
        let mut fleet = fleet(seed, 10, Size::Small, without);
        for i in 5..10 {
            fleet.network.side[i] = 1;
        }
        fleet.run(600 * SECOND, &mut |_, _, _, _| {});
        fleet.network.heal();
        fleet.run(120 * SECOND, &mut |_, _, _, _| {});
        hold(fleet.agreed(), "two halves stayed apart")
    });
}

/// One forged event from the end of time must not stop events.
#[test]
fn clamp() {
    proves(Rule::Clamp, 3, |seed, without| {
        let mut fleet = fleet(seed, 6, Size::Small, without);
        let forged = datagram(&[event(LTIME_LIMIT - 2, 7, b"x", b"y", false)]);
        fleet.inject(0, 3, forged);
        fleet.run(SECOND, &mut |_, _, _, _| {});
        let mut heard = 0;
        let mut watch = |_: usize, _: u64, _: u64, seen: Seen| {
            heard += matches!(seen, Seen::User { payload, .. } if payload != b"y") as u32
        };
        for payload in ["1", "2", "3"] {
            fire(&mut fleet, 2, payload, &mut watch);
            fleet.run(5 * SECOND, &mut watch);
        }
        let clock = fleet.node(0).map_or(0, |node| node.gauges().event_time);
        hold(heard == 18, &format!("{heard} of 18 deliveries after a forged time"))?;
        hold(clock < 4 * LTIME_JUMP, "one forged packet moved the clock by more than a jump")
    });
}

/// The first copies of an event are all lost, and a flood of events follows, its origin's among them: it still has the first.
#[test]
fn origin_hold() {
    proves(Rule::OriginHold, 5, |seed, without| {
        let mut fleet = fleet(seed, 6, Size::Small, without);
        let mut heard = [0; 6];
        let mut watch = |i: usize, _: u64, _: u64, seen: Seen| {
            heard[i] += matches!(seen, Seen::User { payload, .. } if payload == b"precious") as u32
        };
        fleet.network.one_way = (1..6).map(|to| (0, to)).collect();
        fire(&mut fleet, 0, "precious", &mut watch);
        for i in 0..200 {
            fire(&mut fleet, i % 6, "flood", &mut watch);
            fleet.run(SECOND / 50, &mut watch);
        }
        fleet.network.heal();
        fleet.run(60 * SECOND, &mut watch);
        hold(heard == [1; 6], &format!("the event was handed out {heard:?} times"))
    });
}

/// More names than places: every last value is still delivered.
#[test]
fn coalesce_early() {
    proves(Rule::CoalesceEarly, 5, |seed, without| {
        let mut fleet = fleet(seed, 4, Size::Server, without);
        for i in 0..4 {
            fleet.crash(i);
            fleet.resize(i, Size::Tiny); // four coalescing places
        }
        fleet.assemble(&mut |_, _, _, _| {});
        let mut last = vec![std::collections::HashMap::new(); 4];
        let mut watch = |i: usize, _: u64, _: u64, seen: Seen| {
            if let Seen::User { name, payload, .. } = seen {
                last[i].insert(name, payload);
            }
        };
        for value in 0..2u8 {
            for name in 0..7u8 {
                fleet.with(0, &mut watch, |node, now| node.user_event(now, &[name], &[value], true));
                fleet.run(SECOND / 20, &mut watch);
            }
        }
        fleet.run(10 * SECOND, &mut watch);
        let complete = last.iter().all(|names| (0..7).all(|name| names.get(&vec![name]) == Some(&vec![1])));
        hold(complete, "a last value was lost")
    });
}

/// Tables of eight in a fleet of twelve: a newcomer takes no living member's place.
#[test]
fn evict_gone() {
    proves(Rule::EvictGone, 5, |seed, without| {
        let mut fleet = Fleet::new(seed, 12, Size::Tiny, Config::LAN);
        fleet.without = without;
        fleet.check_every = 1;
        let mut watch = |_: usize, _: u64, _: u64, _: Seen| {};
        for i in 0..11 {
            fleet.boot(i, &[0], false, &mut watch);
            fleet.run(SECOND, &mut watch);
        }
        fleet.run(30 * SECOND, &mut watch);
        let names = |fleet: &Fleet| -> Vec<Vec<String>> {
            (0..11)
                .map(|i| {
                    fleet.node(i).map_or(vec![], |node| node.members().map(|m| m.name.to_string()).collect())
                })
                .collect()
        };
        let before = names(&fleet);
        fleet.boot(11, &[0], false, &mut watch);
        fleet.run(30 * SECOND, &mut watch);
        let unchanged =
            before.iter().zip(names(&fleet)).filter(|(old, _)| old.len() == 8).all(|(old, new)| *old == new);
        hold(before.iter().any(|names| names.len() == 8), "no table was full")?;
        hold(unchanged, "a newcomer took a living member's place")
    });
}

/// A machine is suspended just when it suspects another (which was away for a moment): its half minute of absence is no
/// evidence against the other.
#[test]
fn freeze() {
    proves(Rule::Freeze, 5, |seed, without| {
        let mut fleet = fleet(seed, 10, Size::Small, without);
        let suspects = |fleet: &Fleet| fleet.node(3).is_some_and(|node| node.stats().suspicions > 0);
        fleet.network.side[5] = 1;
        while !suspects(&fleet) {
            fleet.run(SECOND / 10, &mut |_, _, _, _| {});
        }
        fleet.network.heal();
        fleet.network.side[3] = 1;
        fleet.freeze(3, 30 * SECOND);
        fleet.run(30 * SECOND, &mut |_, _, _, _| {});
        let accused = (0..10).find(|i| *i != 3 && fleet.status(3, *i) != Some(Status::Alive));
        hold(accused.is_none(), &format!("a frozen node came back and called {accused:?} failed"))?;
        fleet.network.heal();
        fleet.run(60 * SECOND, &mut |_, _, _, _| {});
        hold(fleet.agreed(), "no agreement")
    });
}

/// A machine that was cut off keeps its verdicts to itself.
#[test]
fn isolation() {
    proves(Rule::Isolation, 10, |seed, without| {
        let mut fleet = fleet(seed, 10, Size::Small, without);
        let mut accused = None;
        let mut watch = |viewer: usize, _: u64, _: u64, seen: Seen| {
            if let Seen::Member { change: MemberChange::Failed, at: subject, .. } = seen
                && viewer != 3
                && subject != 3
            {
                accused.get_or_insert(subject);
            }
        };
        fleet.network.side[3] = 1;
        fleet.run(60 * SECOND, &mut watch);
        let live = fleet.node(3).map(|node| node.live());
        hold(live == Some(1), "who is cut off for a minute holds others for alive")?;
        fleet.network.heal();
        fleet.run(60 * SECOND, &mut watch);
        hold(fleet.agreed(), "no agreement")?;
        hold(accused.is_none(), &format!("{accused:?} was called failed by hearsay of one that was cut off"))
    });
}

/// Most of a fleet dies at once: those who are left find each other, and who is dead.
#[test]
fn search() {
    proves(Rule::Search, 2, |seed, without| {
        let outcome = collapse(seed, 100, 95, without);
        hold(outcome.wrong == 0, "a survivor was called failed")?;
        hold(outcome.events.iter().all(|(_, all)| all.is_some_and(|all| all < 40.0)), "an event came late")?;
        hold(outcome.buried.is_some_and(|buried| buried < 100.0), "the dead were long thought alive")
    });
}

/// Some hear nothing for 8 s, then everything for 4 ms, again and again: what they ask many in the meantime proves nothing.
#[test]
fn both_halves() {
    proves(Rule::BothHalves, 5, |seed, without| {
        let told = interval(seed, 8, 8_192, 4, without);
        hold(told == False::default(), &format!("{told:?}"))
    });
}

/// Where a quarter of all datagrams gets lost, no unlucky probe becomes a rumour; crashes are noticed all the same.
#[test]
fn doubt() {
    proves(Rule::PreSuspicion, 5, |seed, without| {
        let config = Config::LAN;
        let seen = Trial {
            seed,
            nodes: 50,
            loss: 0.25,
            seconds: 120,
            crashes: 1,
            end: End::Vanishes,
            config,
            placed: false,
            without,
        }
        .run();
        hold(seen.suspicions < 2.0, &format!("{:.1} false suspicions per node and minute", seen.suspicions))?;
        hold(seen.bytes < 400.0, &format!("{:.0} bytes per node and second at rest", seen.bytes))?;
        hold(seen.everywhere.len() == 1, "a crash went unnoticed")
    });
}

/// A node that has lost its boot number, which was further ahead than others believe accusations to be, comes back. That they
/// come to rest then needs `JoinAbove`: see its profile of seeds.
#[test]
fn a_node_without_memory_comes_back() {
    for seed in 0..5 {
        let mut fleet = fleet(seed, 6, Size::Small, None);
        for ahead in 1..4 {
            fleet.crash(4);
            fleet.run(40 * SECOND, &mut |_, _, _, _| {});
            fleet.machines[4].boots_ahead = ahead << 29;
            fleet.boot(4, &[0], false, &mut |_, _, _, _| {});
            fleet.run(20 * SECOND, &mut |_, _, _, _| {});
        }
        fleet.machines[4].forgetful = true;
        fleet.crash(4);
        fleet.run(5 * SECOND, &mut |_, _, _, _| {});
        fleet.boot(4, &[0], false, &mut |_, _, _, _| {});
        fleet.run(120 * SECOND, &mut |_, _, _, _| {});
        assert!(fleet.agreed());
    }
}

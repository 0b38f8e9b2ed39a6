//! Crash, return, leave: what the others see, what their handlers are told, how the process ends.

use crate::harness::{fleet, wait_until};

#[test]
fn a_crashed_agent_fails_returns_and_leaves_as_everyone_is_told() {
    let mut agents = fleet(4);
    let crashed = agents.pop().expect("four were started").crash();
    for agent in &agents {
        agent.wait_sees("n4", "failed");
        wait_until("member-failed at the handler", || agent.recorder().count("member-failed", "n4") == 1);
    }

    // The same name and address again.
    let mut returned = crashed.join(&agents[0]).start();
    for agent in &agents {
        agent.wait_sees("n4", "alive");
        wait_until("a second member-join at the handler", || {
            agent.recorder().count("member-join", "n4") == 2
        });
    }

    let end = returned.end_by("INT");
    assert_eq!(end.code, 0, "{}", end.text());
    for agent in &agents {
        agent.wait_sees("n4", "left");
        wait_until("member-leave at the handler", || agent.recorder().count("member-leave", "n4") == 1);
        assert_eq!(agent.recorder().count("member-failed", "n4"), 1, "leaving is not failing");
    }
}

#[test]
fn sigterm_ends_without_leaving() {
    let mut agents = fleet(3);
    let end = agents[2].end_by("TERM");
    assert_eq!(end.code, 1, "{}", end.text());
    for agent in &agents[..2] {
        agent.wait_sees("n3", "failed");
        assert_eq!(agent.recorder().count("member-leave", "n3"), 0);
    }
}

/// As Go Serf tells its metrics.
#[test]
fn sigusr1_tells_the_counters_and_ends_nothing() {
    let agents = fleet(2);
    agents[0].signal("USR1");
    wait_until("the counters on stderr", || agents[0].printed().contains("\tdatagrams_in = "));
    assert_eq!(agents[1].members()["n1"], "alive");
    assert_eq!(agents[0].members()["n2"], "alive", "it answers as before");
}

#[test]
fn serf_leave_ends_the_agent_in_good_order() {
    let mut agents = fleet(3);
    let left = agents[2].cli(["leave"]);
    assert_eq!((left.stdout.as_str(), left.code), ("Graceful leave complete\n", 0));
    assert_eq!(agents[2].process().wait().code, 0);
    for agent in &agents[..2] {
        agent.wait_sees("n3", "left");
    }
}

#[test]
fn force_leave_turns_failed_into_left() {
    let mut agents = fleet(3);
    agents.pop().expect("three were started").crash();
    for agent in &agents {
        agent.wait_sees("n3", "failed");
    }
    let forced = agents[0].cli(["force-leave", "n3"]);
    assert_eq!((forced.text().as_str(), forced.code), ("", 0));
    for agent in &agents {
        agent.wait_sees("n3", "left");
        wait_until("member-leave at the handler", || agent.recorder().count("member-leave", "n3") == 1);
    }
}

#[test]
fn a_monitor_ends_with_its_agent() {
    let agents = fleet(1);
    let mut monitor = agents[0].start_cli(["monitor", "-log-level=debug"]);
    wait_until("the log at the monitor", || monitor.printed().contains("EventMemberJoin: n1"));
    assert_eq!(agents[0].cli(["event", "watched", "payload"]).code, 0);
    wait_until("the event at the monitor", || monitor.printed().contains("\"watched\""));
    drop(agents);
    let end = monitor.wait();
    assert_eq!(end.code, 1);
    assert!(end.text().contains("Remote side ended the monitor!"), "{}", end.text());
}

/// Ours only: Go's Serf has no such command.
#[test]
fn the_demo_runs_once_and_succeeds() {
    let demo = crate::harness::run(crate::harness::ours(), ["demo", "-once"]);
    assert_eq!(demo.code, 0, "{}", demo.text());
}

//! A receiver that is too slow for what it is sent: that is its own affair, and its users can see it.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use crate::harness::{Scratch, Setup, fleet_of, wait_quiet, wait_until};

/// Far more than the core would hold for an application that takes nothing.
const EVENTS: usize = 7_000;

#[test]
fn a_slow_handler_slows_its_own_agent_and_nobody_else() {
    let setup = |name: &str| match name {
        "n5" => Setup::new(name).unhandled().arg("-event-handler=user=sleep 1"),
        _ => Setup::new(name).unhandled(),
    };
    let mut agents = fleet_of(5, setup);
    let streams: Vec<_> = agents.iter().map(|agent| agent.stream()).collect();
    let events = (0..EVENTS).map(|number| (&b"burst"[..], number.to_string().into_bytes()));
    let answers = agents[0].rpc().burst(events).expect("the agent stays");
    assert!(answers.iter().all(Result::is_ok), "the sender is not slowed by one slow handler");

    // All have everything.
    let mut heard = vec![BTreeSet::new(); 5];
    wait_quiet("the streams to fall silent", Duration::from_secs(3), || {
        for (stream, heard) in streams.iter().zip(&mut heard) {
            heard.extend(stream.events.try_iter().map(|event| event.payload));
        }
        heard.iter().map(BTreeSet::len).sum::<usize>()
    });
    assert_eq!(heard.iter().map(BTreeSet::len).collect::<Vec<_>>(), [EVENTS; 5]);

    // And so have the slow one's own listeners; its handler has them before it, and its users can see that.
    let slow = &agents[4];
    wait_until("the slow agent to have everything", || slow.info("handlers", "waiting") > 6_900);
    assert_eq!((slow.info("handlers", "lost"), slow.info("handlers", "running")), (0, 1));
    assert_eq!((slow.info("levels", "events_waiting"), slow.info("counters", "app_full")), (0, 0));
    assert!(slow.printed().contains("Script 'sleep 1' is behind: 4096 events wait for it"));

    // And is a member like any other: what it fires is heard, it hears of a death, and nobody takes it for dead.
    slow.rpc().event(b"from the slow one", b"", false).expect("it has room for its own");
    for stream in &streams[..3] {
        let heard = stream.events.recv_timeout(crate::harness::DEADLINE).expect("the event arrives");
        assert_eq!(heard.name, b"from the slow one");
    }
    agents.remove(3).crash();
    for agent in &agents {
        agent.wait_sees("n4", "failed");
        assert_eq!(agent.members()["n5"], "alive", "{} still hears the slow one", agent.name());
    }
}

/// A terminal that is held, or a pager that nobody reads on: whoever prints to it must not wait for it.
#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let scratch = Scratch::new();
    let pipe = scratch.file("pipe");
    let into_pipe = format!("mkfifo '{0}' && exec \"$0\" \"$@\" 1<>'{0}'", pipe.display());
    let setup = |name: &str| match name {
        // A pipe held open at both ends, so that it fills.
        "n2" => Setup::new(name).through_script(&into_pipe).arg("-log-level=debug"),
        _ => Setup::new(name),
    };
    let agents = fleet_of(3, setup);
    thread::scope(|scope| {
        for agent in &agents {
            scope.spawn(move || {
                // Together more than the 64 KiB of a pipe.
                for number in 0..1_000 {
                    agent.rpc().event(b"tell", number.to_string().as_bytes(), true).expect("accepted");
                }
            });
        }
    });
    wait_until("lines to be lost", || agents[1].info("counters", "log_lines_lost") > 0);
    assert_eq!(agents[1].cli(["event", "-coalesce=false", "still", "here"]).code, 0);
    for agent in &agents {
        wait_until("the event at every handler", || agent.recorder().payloads("still") == ["here"]);
    }
}

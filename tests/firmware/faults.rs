//! What devices go through: power cuts, pulled cables, partitions, lost frames.

use std::thread::{scope, sleep};
use std::time::Duration;

use crate::board::Board;
use crate::fleet::Fleet;
use crate::harness::wait_until;
use crate::hub::{Faults, Port};
use crate::members::numbered;

#[test]
fn power_cuts_in_a_burst_neither_repeat_an_event_nor_lose_the_member() {
    const CUTS: usize = 3;
    let mut fleet = Fleet::start(11, 2, "qemu-mps2", 3);
    fleet.wait_agree();
    let mut cut = fleet.boards.remove(0);

    let burst = numbered("burst ", 200);
    scope(|threads| {
        let (sender, burst) = (&fleet.servers[1], &burst);
        threads.spawn(move || {
            for payload in burst {
                sender.fire("blink", [payload], false);
                sleep(Duration::from_millis(20));
            }
        });
        for life in 1..=CUTS {
            // In the middle of it: when it has handled some since its start.
            let handled = cut.heard("blink").len();
            wait_until("events on the board", || cut.heard("blink").len() >= handled + 5);
            cut.switch_off();
            cut.switch_on();
            cut.wait_lines(&format!("boot {},", life + 1), 1);
        }
    });
    fleet.wait_heard("blink", &burst);
    fleet.boards.push(cut);
    fleet.wait_agree();

    fleet.servers[0].fire("blink", ["after"], false);
    let cut = fleet.boards.last().expect("it is back");
    wait_until("an event after the cuts", || cut.heard("blink").contains(&"after".to_owned()));
    let mut heard = cut.heard("blink");
    let all = heard.len();
    heard.sort_unstable();
    heard.dedup();
    assert_eq!(heard.len(), all, "no event twice: {heard:?}");
}

#[test]
fn what_was_handled_before_a_power_cut_is_known_after_it_though_nobody_tells() {
    let mut fleet = Fleet::start(16, 1, "qemu-mps2", 2);
    fleet.wait_agree();
    let [first, second] = [0, 1].map(|place| fleet.boards[place].port());
    let server = fleet.servers[0].host.port;

    // An event that only the boards know.
    fleet.lab.hub.partition(&[&[server]]);
    fleet.boards[1].press();
    for board in &fleet.boards {
        wait_until("the button on both boards", || board.heard("button") == ["b2"]);
    }
    // One of them returns to the server, which has not heard of it; then comes who offers it again.
    fleet.boards[0].switch_off();
    fleet.lab.hub.partition(&[&[server, first], &[second]]);
    fleet.boards[0].switch_on();
    fleet.boards[0].wait_lines("joined", 2);
    fleet.lab.hub.heal();
    fleet.wait_agree();
    fleet.wait_heard("button", &["b2"]);
}

#[test]
fn an_unplugged_board_fails_and_comes_back() {
    let mut fleet = Fleet::start(12, 2, "qemu-mps2", 2);
    fleet.wait_agree();
    fleet.lab.hub.plug(fleet.boards[0].port(), false);
    for server in &fleet.servers {
        server.wait_sees("b1", "failed");
    }
    let other = &mut fleet.boards[1];
    wait_until("b2 to see it as failed", || other.report().members["b1"] == "Failed");
    fleet.lab.hub.plug(fleet.boards[0].port(), true);
    fleet.wait_agree();
    assert_eq!(fleet.boards[0].count(": boot "), 1, "nothing but the cable was touched");
}

#[test]
fn a_minute_of_partition_heals_and_events_from_both_sides_arrive() {
    let mut fleet = Fleet::start(13, 2, "qemu-mps2", 3);
    fleet.wait_agree();
    let servers: Vec<Port> = fleet.servers.iter().map(|server| server.host.port).collect();
    fleet.lab.hub.partition(&[&servers]);
    sleep(Duration::from_secs(30));
    fleet.servers[0].fire("blink", ["here"], false);
    fleet.boards[2].press();
    sleep(Duration::from_secs(30));
    // The smaller side may doubt its own link for a while before it holds to its verdicts.
    for server in &fleet.servers {
        fleet.boards.iter().for_each(|board| server.wait_sees(board.name(), "failed"));
        assert_eq!((server.heard("blink").len(), server.heard("button").len()), (1, 0));
    }
    for board in &mut fleet.boards {
        for server in &fleet.servers {
            wait_until("the boards to see the agents failed", || {
                board.report().members[server.name()] == "Failed"
            });
        }
        assert_eq!((board.heard("blink").len(), board.heard("button").len()), (0, 1));
    }
    fleet.lab.hub.heal();
    fleet.wait_agree();
    fleet.wait_heard("blink", &["here"]);
    fleet.wait_heard("button", &["b3"]);
}

#[test]
fn a_tenth_of_all_frames_lost_delays_events_and_fails_nobody() {
    let fleet = events_under_loss(14, 0.1);
    assert_eq!(fleet.failures(), 0);
}

#[test]
fn a_quarter_of_all_frames_lost_loses_no_event() {
    let mut fleet = events_under_loss(15, 0.25);
    fleet.lab.hub.faults(Faults::NONE);
    fleet.wait_agree();
}

/// Everybody fires for 15 s; everybody hears everything once.
fn events_under_loss(seed: u64, loss: f64) -> Fleet {
    let mut fleet = Fleet::start(seed, 2, "qemu-mps2", 3);
    fleet.wait_agree();
    fleet.lab.hub.faults(Faults::drop(loss));
    let payloads = numbered("lossy ", 30);
    for (payload, server) in payloads.iter().zip((0..fleet.servers.len()).cycle()) {
        fleet.servers[server].fire("blink", [payload], false);
        sleep(Duration::from_millis(500));
    }
    fleet.boards.iter_mut().for_each(Board::press);
    fleet.wait_heard("blink", &payloads);
    fleet.wait_heard("button", &["b1", "b2", "b3"]);
    assert!(fleet.lab.hub.counters().dropped > 0);
    fleet
}

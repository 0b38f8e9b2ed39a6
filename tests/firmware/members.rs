//! Boards are full members beside Linux agents.

use crate::fleet::Fleet;
use crate::lab::Lab;
use crate::server::Server;

/// `count` different payloads.
pub fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{prefix}{number}")).collect()
}

#[test]
fn linux_agents_meet_on_the_hub() {
    let lab = Lab::new(5);
    let first = Server::start(&lab, "first", None);
    let second = Server::start(&lab, "second", Some(&first));
    first.wait_sees("second", "alive");
    lab.hub.plug(second.host.port, false);
    first.wait_sees("second", "failed");
    lab.hub.plug(second.host.port, true);
    first.wait_sees("second", "alive");
    second.wait_sees("first", "alive");
}

#[test]
fn boards_and_agents_are_one_fleet() {
    let mut fleet = Fleet::start(6, 3, "qemu-mps2", 4);
    fleet.wait_agree();

    fleet.servers[1].fire("blink", ["from Linux"], false);
    fleet.wait_heard("blink", &["from Linux"]);
    fleet.boards[2].press();
    fleet.wait_heard("button", &["b3"]);

    // Coalesced: one call, with the last value.
    fleet.servers[0].fire("led", ["off", "on"].into_iter().cycle().take(12), true);
    fleet.wait_heard("led", &["on"]);
    for board in &fleet.boards {
        assert_eq!((board.count("LED on"), board.count("LED off")), (1, 0), "{}", board.name());
    }
    // Not coalesced: every one.
    let many = numbered("quick ", 12);
    fleet.servers[2].fire("blink", &many, false);
    fleet.wait_heard("blink", &[&["from Linux".to_owned()], &many[..]].concat());
    fleet.wait_agree();
}

#[test]
fn the_event_reboot_starts_boards_again_as_the_same_members() {
    let mut fleet = Fleet::start(7, 1, "qemu-mps2", 2);
    fleet.wait_agree();
    fleet.servers[0].fire("reboot", [""], false);
    for board in &fleet.boards {
        board.wait_lines("boot 2,", 1);
    }
    fleet.wait_agree();
    fleet.boards[0].press();
    fleet.wait_heard("button", &["b1"]);
    fleet.wait_heard("reboot", &[""]);
    for board in &fleet.boards {
        assert_eq!(board.count(": boot "), 2, "{} heard it once", board.name());
    }
}

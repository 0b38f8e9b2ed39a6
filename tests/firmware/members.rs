//! Boards are full members beside Linux agents.

use crate::fleet::Fleet;
use crate::harness::wait_until;
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
fn agents_and_boards_ask_and_answer_one_another() {
    let mut fleet = Fleet::start(8, 2, "qemu-mps2", 3);
    fleet.wait_agree();
    let uptime = fleet.servers[0].query(&["uptime"]);
    let answers = |shown: &str| {
        let lines = shown.lines().filter(|line| line.starts_with("Response from 'b") && line.ends_with(" s"));
        lines.count()
    };
    assert_eq!(answers(&uptime), 3, "{uptime}");
    assert!(uptime.contains("Total Acks: 5\nTotal Responses: 3\n"), "{uptime}");
    // Boards are chosen by a part of what a server's expressions can say.
    let levels = fleet.servers[1].query(&["-no-ack", "-tag=role=^sens.*r$", "-node=b2", "levels"]);
    assert!(levels.contains("Response from 'b2': members=5 failed=0 "), "{levels}");
    assert!(levels.ends_with("Total Responses: 1\n"), "{levels}");

    // An event for one of them, and what it sets is known to all.
    fleet.servers[0].cli(&["event", "-coalesce=false", "-node=b2", "role", "door"]);
    let doors = |server: &Server| server.cli(&["members", "-tag=role=door"]);
    wait_until("the role", || fleet.servers.iter().all(|server| doors(server).starts_with("b2 ")));
    let door = fleet.servers[0].query(&["-no-ack", "-tag=role=^door$", "uptime"]);
    assert!(door.contains("Response from 'b2'") && door.ends_with("Total Responses: 1\n"), "{door}");

    // Receipts, of boards and of servers.
    let waited =
        fleet.servers[0].cli(&["event", "-wait", "-wait-timeout=1h", "-coalesce=false", "led", "on"]);
    assert!(waited.starts_with("Event 'led' reached 5 of 5 members after "), "{waited}");
    fleet.boards[0].press();
    for name in ["b1", "b2", "b3", "s1", "s2"] {
        fleet.boards[0].wait_lines(&format!("{name} has it"), 1);
    }

    fleet.servers[1].fire("ask", ["uptime"], false);
    for board in &fleet.boards {
        board.wait_lines(" s\"", 3);
        for name in ["b1", "b2", "b3"] {
            assert!(board.count(&format!("{name} says: b\"")) >= 1, "{name} to {}", board.name());
        }
    }
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

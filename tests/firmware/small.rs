//! A fleet that is larger than its boards' tables.

use crate::fleet::Fleet;
use crate::members::numbered;

#[test]
fn boards_with_room_for_8_are_members_of_a_fleet_of_20() {
    let mut fleet = Fleet::start(31, 4, "small", 16);
    fleet.wait_servers_agree();

    let payloads = numbered("small ", 10);
    for (server, payloads) in fleet.servers.iter().zip(payloads.chunks(3)) {
        server.fire("blink", payloads, false);
    }
    fleet.wait_heard("blink", &payloads);
    for place in [0, 7, 15] {
        fleet.boards[place].press();
    }
    fleet.wait_heard("button", &["b1", "b8", "b16"]);

    fleet.wait_servers_agree();
    for board in &mut fleet.boards {
        let report = board.report();
        assert!(report.members.len() <= 8, "{:?}", report.members);
        assert!(report.number("members_unheld") > 0, "whom it does not hold it has counted");
        assert_eq!(board.count(": boot "), 1, "it has not started again");
        assert_eq!(board.ended(), None);
    }
}

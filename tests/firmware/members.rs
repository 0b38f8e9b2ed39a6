//! Boards are full members beside Linux agents.

use crate::agent;
use crate::harness::wait_until;
use crate::lab::Lab;

#[test]
fn boards_and_agents_see_each_other_and_each_others_events() {
    let lab = Lab::new(6);
    let hosts = [lab.linux(), lab.linux()];
    let first = hosts[0].run(|| agent(&hosts[0], "first").start());
    let second = hosts[1].run(|| agent(&hosts[1], "second").join(&first).start());
    let peers = format!("peers={}:7946", hosts[0].ip);
    let mut boards =
        ["three", "four"].map(|name| lab.board("qemu-mps2", name, &[&format!("name={name}"), &peers]));
    for board in &mut boards {
        board.switch_on();
    }
    for name in ["first", "second", "three", "four"] {
        hosts[0].run(|| first.wait_sees(name, "alive"));
        hosts[1].run(|| second.wait_sees(name, "alive"));
    }

    hosts[1].run(|| second.cli(["event", "-coalesce=false", "blink", "1"]));
    for board in &boards {
        board.wait_lines("blink 1,", 1);
    }
    for state in ["off", "on", "off", "on"] {
        hosts[0].run(|| first.cli(["event", "led", state]));
    }
    for board in &boards {
        board.wait_lines("LED true", 1);
        assert_eq!(board.count("LED true,") + board.count("LED false,"), 1, "once, with the last value");
    }
    boards[0].press();
    wait_until("the button at an agent's handler", || second.recorder().payloads("button") == [""]);
    boards[1].wait_lines("event b\"button\"", 1);

    // Power off and on: the same member, in its second life; what it has handled does not come again.
    boards[0].switch_off();
    hosts[0].run(|| first.wait_sees("three", "failed"));
    boards[0].switch_on();
    hosts[0].run(|| first.wait_sees("three", "alive"));
    boards[0].wait_lines("boot 2,", 1);
    hosts[1].run(|| second.cli(["event", "-coalesce=false", "blink", "2"]));
    boards[1].wait_lines("blink 2,", 1);
    boards[0].wait_lines("blink 1,", 2);
}

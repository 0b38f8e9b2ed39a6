//! One snapshot for agents of either kind: who changes the binary comes back to the same members, and nothing is handed out twice.

use std::fs;

use crate::harness::{Scratch, Setup, debian, fleet_of, ours, wait_until};

#[test]
fn a_snapshot_of_debians_agent_is_ours_to_go_on_with() {
    let scratch = Scratch::new();
    let path = scratch.file("snapshot");
    let mut agents = fleet_of(2, |name| {
        let setup = Setup::new(name).binary(debian());
        if name == "n2" { setup.arg(format!("-snapshot={}", path.display())) } else { setup }
    });
    for n in 0..3 {
        agents[0].rpc().event(b"e", n.to_string().as_bytes(), false).expect("accepted");
    }
    wait_until("the events", || agents[1].recorder().payloads("e").len() == 3);
    let mut killed = agents.remove(1);
    // Go writes to the end of its buffer when it ends in good order, which a signal does.
    killed.end_by("TERM");
    let text = fs::read_to_string(&path).expect("written");
    assert!(text.contains("alive: n1 ") && text.contains("event-clock: 3"), "{text}");
    let setup = killed.crash().without_seeds().binary(ours());
    let ours = setup.start();
    wait_until("the clocks of before", || ours.info("serf", "event_time") >= 4);
    wait_until("the member of before", || ours.printed().contains("re-join to previously known nodes: n1"));
    assert_eq!(ours.info("levels", "event_floor"), 3, "what Debian's has handed out is not handed out again");
}

#[test]
fn a_snapshot_of_our_agent_is_debians_to_go_on_with() {
    let scratch = Scratch::new();
    let path = scratch.file("snapshot");
    let mut agents = fleet_of(2, |name| {
        let setup = Setup::new(name);
        if name == "n2" { setup.arg(format!("-snapshot={}", path.display())) } else { setup }
    });
    for n in 0..3 {
        agents[0].rpc().event(b"e", n.to_string().as_bytes(), false).expect("accepted");
    }
    wait_until("the events", || agents[1].recorder().payloads("e").len() == 3);
    wait_until("the member", || fs::read_to_string(&path).is_ok_and(|text| text.contains("alive: n1 ")));
    let setup = agents.remove(1).crash().without_seeds().binary(debian());
    let debians = setup.start();
    wait_until("the clocks of before", || debians.info("serf", "event_time") >= 4);
    let tries = "Attempting re-join to previously known node: n1";
    wait_until("the member of before", || debians.printed().contains(tries));
    assert!(!debians.printed().contains("Unrecognized snapshot line"), "{}", debians.printed());
}

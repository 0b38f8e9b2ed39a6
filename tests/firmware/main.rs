//! Boards in QEMU and Linux hosts on one Ethernet.
//!
//! Needs the rights that `tests/run firmware` brings: network namespaces.

mod board;
mod lab;
mod log;
mod members;

#[path = "../hub/mod.rs"]
#[allow(dead_code, reason = "every suite uses its own part of it")]
mod hub;

#[path = "../process/harness/mod.rs"]
mod harness;

use std::net::{SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::Duration;

use board::Board;
use harness::{Address, Setup, wait_until};
use hub::Faults;
use lab::{Lab, Linux};

/// An agent on this host, where alone its RPC can be reached.
fn agent(host: &Linux, name: &str) -> Setup {
    let gossip = SocketAddr::from((host.ip, 7946));
    Setup::new(name).at(Address { gossip, rpc: SocketAddr::from(([127, 0, 0, 1], 7373)) })
}

/// Sends `text` to the board's echo port until it comes back, or `tries` times; whether it did.
fn echoes(socket: &UdpSocket, board: &Board, text: &str, tries: u32) -> bool {
    let mut answer = [0; 100];
    (0..tries).any(|_| {
        socket.send_to(text.as_bytes(), (board.ip(), 7)).expect("the route is there");
        // Not an earlier text that came late.
        while let Ok((length, from)) = socket.recv_from(&mut answer) {
            if from == SocketAddr::from((board.ip(), 7)) && &answer[..length] == text.as_bytes() {
                return true;
            }
        }
        false
    })
}

#[test]
fn datagrams_cross_a_hub_that_loses_some_and_is_cut_for_a_while() {
    let lab = Lab::new(1);
    let host = lab.linux();
    let socket = host.run(|| UdpSocket::bind((host.ip, 9000)).expect("nobody else is there"));
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("not zero");

    let peers = format!("peers={}:9000", host.ip);
    let mut boards = [lab.board("echo", "one", &[&peers]), lab.board("qemu-mps2", "two", &[])];
    for board in &mut boards {
        board.switch_on();
        board.wait_lines("echo: up", 1);
    }
    let mut greeting = [0; 100];
    wait_until("a board's greeting", || socket.recv_from(&mut greeting).is_ok());

    lab.hub.faults(Faults::drop(0.1));
    for round in 0..50 {
        for board in &boards {
            assert!(echoes(&socket, board, &format!("round {round}"), 20), "{}", board.ip());
        }
    }
    assert!(lab.hub.counters().dropped > 0);

    lab.hub.faults(Faults::NONE);
    lab.hub.partition(&[&[boards[0].port()], &[boards[1].port(), host.port]]);
    assert!(!echoes(&socket, &boards[0], "cut", 5));
    assert!(echoes(&socket, &boards[1], "not cut", 5));
    assert!(lab.hub.counters().cut > 0);
    lab.hub.heal();
    assert!(echoes(&socket, &boards[0], "healed", 20));
}

#[test]
fn a_board_has_a_button_and_survives_a_power_cut() {
    let lab = Lab::new(2);
    let mut board = lab.board("echo", "one", &["seed=7"]);
    board.switch_on();
    board.wait_lines("echo: up", 1);
    board.press();
    board.wait_lines("LED on", 1);
    board.press();
    board.wait_lines("LED off", 1);
    let used = board.stack_used();
    assert!((500..8_000).contains(&used), "{used} bytes of the stack");
    board.switch_off();
    board.switch_on();
    board.wait_lines("seed 0000000000000007", 2);
    assert_eq!(board.ended(), None);
}

#[test]
fn an_idle_board_leaves_the_processor_alone() {
    let lab = Lab::new(3);
    let mut board = lab.board("echo", "one", &[]);
    board.switch_on();
    board.wait_lines("echo: up", 1);
    let before = board.cpu_time();
    sleep(Duration::from_secs(2));
    // Sleeping takes none of it, waiting in a loop takes all.
    assert!(board.cpu_time() - before < Duration::from_millis(500));
}

#[test]
fn frames_may_come_late_and_twice_or_not_at_all() {
    let lab = Lab::new(4);
    let host = lab.linux();
    let socket = host.run(|| UdpSocket::bind((host.ip, 9000)).expect("nobody else is there"));
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("not zero");
    let mut board = lab.board("echo", "one", &[]);
    board.switch_on();
    board.wait_lines("echo: up", 1);

    let delay = Duration::from_millis(10)..Duration::from_millis(30);
    lab.hub.faults(Faults { duplicate: 0.5, delay, ..Faults::NONE });
    for round in 0..10 {
        assert!(echoes(&socket, &board, &format!("round {round}"), 20));
    }
    let counters = lab.hub.counters();
    assert!(counters.duplicated > 0 && counters.delayed > counters.duplicated, "{counters:?}");

    lab.hub.plug(board.port(), false);
    assert!(!echoes(&socket, &board, "unplugged", 2));
    lab.hub.plug(board.port(), true);
    for length in [1, 13, 14, 60, 1514, 1518, 1600] {
        lab.hub.inject(board.port(), &vec![0xff; length]);
    }
    assert!(echoes(&socket, &board, "plugged in, and not impressed by garbage", 20));
    assert_eq!(board.count("echo: up"), 1);
}

#[test]
fn linux_agents_meet_on_the_hub() {
    let lab = Lab::new(5);
    let hosts = [lab.linux(), lab.linux()];
    let first = hosts[0].run(|| agent(&hosts[0], "first").start());
    let second = hosts[1].run(|| agent(&hosts[1], "second").join(&first).start());
    hosts[0].run(|| first.wait_sees("second", "alive"));
    lab.hub.plug(hosts[1].port, false);
    hosts[0].run(|| first.wait_sees("second", "failed"));
    lab.hub.plug(hosts[1].port, true);
    hosts[0].run(|| first.wait_sees("second", "alive"));
    hosts[1].run(|| second.wait_sees("first", "alive"));
}

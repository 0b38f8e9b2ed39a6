//! The hub, a board's Ethernet, button and memory, before anything else runs on them: UDP echo.

use std::net::{SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::Duration;

use crate::board::Board;
use crate::harness::wait_until;
use crate::hub::Faults;
use crate::lab::Lab;

/// Sends `text` to the board's echo port; whether it comes back before the socket's patience ends.
fn echoes(socket: &UdpSocket, board: &Board, text: &str) -> bool {
    let mut answer = [0; 100];
    socket.send_to(text.as_bytes(), (board.ip(), 7)).expect("the route is there");
    // Not an earlier text that came late.
    while let Ok((length, from)) = socket.recv_from(&mut answer) {
        if from == SocketAddr::from((board.ip(), 7)) && &answer[..length] == text.as_bytes() {
            return true;
        }
    }
    false
}

/// Sends `text` until it comes back. One lost frame of ARP costs a second, so this is no matter of a few tries.
#[track_caller]
fn wait_echo(socket: &UdpSocket, board: &Board, text: &str) {
    wait_until(&format!("the echo of {text:?}"), || echoes(socket, board, text));
}

#[test]
fn datagrams_cross_a_hub_that_loses_some_and_is_cut_for_a_while() {
    let lab = Lab::new(1);
    let host = lab.linux();
    let socket = host.run(|| UdpSocket::bind((host.ip, 9000)).expect("nobody else is there"));
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("not zero");

    let peers = format!("peers={}:9000", host.ip);
    let mut boards = [lab.board("echo", "one", &[&peers]), lab.board("echo", "two", &[])];
    for board in &mut boards {
        board.switch_on();
        board.wait_lines("echo: up", 1);
    }
    let mut greeting = [0; 100];
    wait_until("a board's greeting", || socket.recv_from(&mut greeting).is_ok());

    lab.hub.faults(Faults::drop(0.1));
    for round in 0..50 {
        for board in &boards {
            wait_echo(&socket, board, &format!("round {round}"));
        }
    }
    assert!(lab.hub.counters().dropped > 0);

    lab.hub.faults(Faults::NONE);
    lab.hub.partition(&[&[boards[0].port()], &[boards[1].port(), host.port]]);
    assert!((0..5).all(|_| !echoes(&socket, &boards[0], "cut")));
    wait_echo(&socket, &boards[1], "not cut");
    assert!(lab.hub.counters().cut > 0);
    lab.hub.heal();
    wait_echo(&socket, &boards[0], "healed");
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
fn a_panic_tells_where_and_the_board_starts_again() {
    let lab = Lab::new(8);
    let mut board = lab.board("echo", "one", &[]);
    board.switch_on();
    board.wait_lines("echo: up", 1);
    board.press_long();
    board.wait_lines("echo: up", 2);
    assert_eq!(board.count("fault at"), 1);
    assert!(board.count("called from") > 1 && board.count("echo.rs:") > 0, "{:?}", board.lines());
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
        wait_echo(&socket, &board, &format!("round {round}"));
    }
    let counters = lab.hub.counters();
    assert!(counters.duplicated > 0 && counters.delayed > counters.duplicated, "{counters:?}");

    lab.hub.plug(board.port(), false);
    assert!((0..2).all(|_| !echoes(&socket, &board, "unplugged")));
    lab.hub.plug(board.port(), true);
    for length in [1, 13, 14, 60, 1514, 1518, 1600] {
        lab.hub.inject(board.port(), &vec![0xff; length]);
    }
    wait_echo(&socket, &board, "plugged in, and not impressed by garbage");
    assert_eq!(board.count("echo: up"), 1);
}

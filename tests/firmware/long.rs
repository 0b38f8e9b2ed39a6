//! A fleet of boards for minutes: what only numbers and time show.

#[allow(dead_code, reason = "the quick suite uses the rest")]
mod board;
#[allow(dead_code, reason = "the quick suite uses the rest")]
mod fleet;
#[allow(dead_code, reason = "the quick suite uses the rest")]
mod lab;
mod log;
mod report;
#[allow(dead_code, reason = "the quick suite uses the rest")]
mod server;

#[path = "../hub/mod.rs"]
#[allow(dead_code, reason = "every suite uses its own part of it")]
mod hub;

#[path = "../process/harness/mod.rs"]
mod harness;

use std::thread::sleep;
use std::time::Duration;

use fleet::Fleet;

#[test]
fn twenty_five_boards_hear_everything_once_and_need_no_more_memory_for_it() {
    const ROUNDS: usize = 100;
    let mut fleet = Fleet::start(41, 5, "qemu-mps2", 25);
    fleet.wait_agree();

    // A first round takes the paths that all others take.
    let everybody: Vec<_> = fleet.boards.iter().map(|board| board.name().to_owned()).collect();
    fleet.servers[0].fire("blink", ["0"], false);
    fleet.boards.iter_mut().for_each(|board| board.press());
    fleet.wait_heard("button", &everybody);
    let before: Vec<_> = fleet.boards.iter_mut().map(|board| board.report().stack).collect();
    let failures = fleet.failures();

    for round in 1..=ROUNDS {
        fleet.servers[round % 5].fire("blink", [round.to_string()], false);
        sleep(Duration::from_secs(2));
    }
    let payloads: Vec<_> = (0..=ROUNDS).map(|round| round.to_string()).collect();
    fleet.wait_heard("blink", &payloads);
    fleet.wait_agree();

    assert_eq!(fleet.failures(), failures, "nobody has failed meanwhile");
    for (board, before) in fleet.boards.iter_mut().zip(before) {
        let after = board.report();
        println!("{}: stack {before} -> {} bytes", board.name(), after.stack);
        // But for a call more on a path that is rarely taken.
        assert!(after.stack < before + 1024, "{}'s stack grows", board.name());
        assert!(after.stack < board::STACK * 3 / 4, "{}'s stack comes near its end", board.name());
        assert_eq!(board.count(": boot "), 1, "{} has started again", board.name());
        for level in ["own", "coalescing", "waiting", "failed"] {
            assert_eq!(after.number(level), 0, "{level} on {}", board.name());
        }
    }
}

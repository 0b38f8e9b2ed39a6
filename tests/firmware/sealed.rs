//! Boards in sealed fleets.

use std::thread::sleep;
use std::time::Duration;

use crate::fleet::Fleet;
use crate::frame;
use crate::harness::wait_until;
use crate::image::{Image, build};
use crate::members::numbered;
use crate::storm::Storm;

/// What `serf keygen` may make.
const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "//////////////////////////////////////////8=";
const PORT: u16 = 7946;

#[test]
fn boards_and_agents_rotate_their_keys_while_events_flow_and_boards_lose_power() {
    let mut fleet = Fleet::sealed(61, 2, 3, OLD);
    fleet.wait_agree();
    let mut fired = Vec::new();
    let mut fire = |fleet: &Fleet, from: usize, count: usize| {
        let more = numbered(&format!("from {} ", fired.len()), count);
        fleet.servers[from].fire("blink", &more, false);
        fired.extend(more);
        fired.clone()
    };
    fleet.wait_heard("blink", &fire(&fleet, 0, 8));
    fleet.boards[2].press();
    fleet.wait_heard("button", &["b3"]);
    let listed = |fleet: &Fleet| fleet.servers[0].cli(&["keys", "-list"]);
    assert!(listed(&fleet).ends_with(&format!("\n{OLD}  [5/5]\n")), "{}", listed(&fleet));

    let order = |fleet: &Fleet, order: &str, key: &str| {
        let said = fleet.servers[1].cli(&["keys", order, key]);
        assert!(said.contains("==> Successfully"), "{order}: {said}");
    };
    order(&fleet, "-install", NEW);
    // What was confirmed outlives the power.
    fleet.boards[0].switch_off();
    fleet.boards[0].switch_on();
    fleet.boards[0].wait_lines(": boot ", 2);
    fleet.wait_agree();
    assert!(listed(&fleet).contains(&format!("{NEW}  [5/5]")), "{}", listed(&fleet));
    fire(&fleet, 1, 8);
    order(&fleet, "-use", NEW);
    fire(&fleet, 0, 8);
    // One that has no power meanwhile comes back under the key that it has, and gets to know which is used.
    fleet.boards[1].switch_off();
    for server in &fleet.servers {
        server.wait_sees("b2", "failed");
    }
    let left = fleet.servers[1].cli(&["keys", "-remove", OLD]);
    assert!(left.contains("failed, and perhaps without another key: b2;"), "{left}");
    let said = fleet.servers[1].cli(&["keys", "-force", "-remove", OLD]);
    assert!(said.contains("==> Successfully"), "{said}");
    fleet.boards[1].switch_on();
    fleet.boards[1].wait_lines(": boot ", 2);
    fleet.wait_agree();
    order(&fleet, "-remove", OLD);
    assert!(listed(&fleet).ends_with(&format!("\n\n{NEW}  [5/5]\n")), "{}", listed(&fleet));
    fleet.servers[0].fire("led", ["on"], true);
    fleet.wait_heard("led", &["on"]);
    for board in &mut fleet.boards {
        assert_eq!(board.ended(), None);
        let report = board.report();
        assert_eq!(report.number("refused_forged") + report.number("clones"), 0);
    }
}

#[test]
fn what_is_heard_on_the_wire_and_sent_again_does_nothing_to_boards_also_after_a_reset() {
    let mut fleet = Fleet::sealed(62, 2, 2, OLD);
    fleet.lab.hub.record();
    fleet.wait_agree();
    let first = numbered("first ", 5);
    fleet.servers[0].fire("blink", &first, false);
    fleet.wait_heard("blink", &first);
    let recorded = fleet.lab.hub.recorded();
    let sealed =
        |frame: &&Vec<u8>| frame::udp_payload(frame, PORT).is_some_and(|it| it.starts_with(b"S\x22"));
    let recorded: Vec<_> = recorded.iter().filter(sealed).collect();
    assert!(recorded.len() > 50, "{}", recorded.len());
    fleet.boards[1].switch_off();
    fleet.boards[1].switch_on();
    fleet.boards[1].wait_lines(": boot ", 2);
    for frame in &recorded {
        for board in &fleet.boards {
            fleet.lab.hub.inject(board.port(), frame);
        }
        sleep(Duration::from_millis(2));
    }
    fleet.wait_agree();
    fleet.servers[1].fire("led", ["on"], false);
    fleet.wait_heard("led", &["on"]);
    // `wait_heard` has compared all that the servers heard; the boards' logs go over both lives.
    for board in &fleet.boards {
        // In any order: what gets lost on its way comes later.
        let mut heard = board.heard("blink");
        heard.sort();
        assert_eq!(heard, first, "once, also by whom was reset");
    }
    let report = fleet.boards[0].report();
    assert!(report.number("refused_replayed") + report.number("doubted") > 0, "{report:?}");
    assert_eq!(fleet.failures(), 0, "nobody was told that somebody failed");
}

#[test]
fn who_has_no_key_or_another_one_is_counted_and_heard_by_nobody() {
    let mut fleet = Fleet::sealed(63, 2, 1, OLD);
    fleet.wait_agree();
    let peers = format!("peers={}:7946", fleet.servers[0].host.ip);
    let mut other = fleet.lab.board("sealed", "other", &[&format!("key={NEW}"), &peers]);
    let mut open = fleet.lab.board("qemu-mps2", "open", &[&peers]);
    other.switch_on();
    open.switch_on();
    let info = |name: &str| {
        let shown = fleet.servers[0].cli(&["info"]);
        let line =
            shown.lines().find_map(|line| line.trim().strip_prefix(&format!("{name} = ")).map(str::to_owned));
        line.and_then(|count| count.parse::<u64>().ok()).expect("it is counted")
    };
    wait_until("refusals", || info("refused_key") > 2 && info("refused_unsealed") > 2);
    assert_eq!(fleet.servers[0].members().len(), 3);
    assert_eq!((other.report().members.len(), open.report().members.len()), (1, 1));
}

/// A processor of 62.5 MIPS: a forgery costs it no more than the look at its tag. How late events are under it `tests/run figures` tells.
#[test]
fn forgeries_are_counted_and_forgotten() {
    let mut fleet = Fleet::sealed_slow(64, OLD);
    fleet.wait_agree();
    let storm = Storm::new(&fleet);
    let blinks = numbered("under 2,000 a second ", 20);
    storm.rage(&fleet, 2_000, Duration::from_secs(4), |at| {
        if at < 20 {
            fleet.servers[0].fire("blink", &blinks[at..=at], false);
        }
    });
    fleet.wait_heard("blink", &blinks);
    let forged = fleet.boards[0].report().number("refused_forged");
    assert!(forged > 2_000, "{forged}");
    storm.rage(&fleet, 10_000, Duration::from_secs(4), |_| {});
    fleet.wait_agree();
    fleet.servers[0].fire("led", ["on"], false);
    fleet.wait_heard("led", &["on"]);
    let report = fleet.boards[0].report();
    assert!(report.number("refused_forged") > forged + 1_000);
    assert_eq!((fleet.boards[0].count(": boot "), fleet.boards[0].ended()), (1, None));
}

#[test]
fn a_sealed_board_fits_a_small_part() {
    let (sealed, open) =
        (Image::read(&build("qemu-mps2", "sealed")), Image::read(&build("qemu-mps2", "qemu-mps2")));
    println!(
        "sealing takes {} bytes of flash, {} of variables",
        sealed.flash - open.flash,
        sealed.ram - open.ram
    );
    // Some 9 KiB more than was the goal: see CHANGELOG.
    assert!(sealed.flash <= open.flash + 35 * 512, "{} bytes of flash", sealed.flash);
    assert!(sealed.ram <= 40 * 1024, "{} bytes of variables", sealed.ram);
}

//! Boards that only an operator can start again.

use std::fs;
use std::time::Duration;

use crate::board::Board;
use crate::harness::{Scratch, ours, run, wait_until};
use crate::image::{Image, build};
use crate::lab::Lab;
use crate::server::Server;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Another one.
const OTHER: &str = "//////////////////////////////////////////8=";

#[test]
fn a_thief_with_the_fleets_key_starts_no_board_again_and_an_operator_does() {
    let scratch = Scratch::new();
    let (private, settings) = (scratch.file("operator.key"), scratch.file("authority.json"));
    let sign = format!("-sign={}", private.display());
    let made = run(ours(), ["keygen", &sign]);
    let public = made.stdout.trim_end();
    fs::write(&settings, format!(r#"{{"event_authority":{{"{public}":["reboot","keys:*"]}}}}"#))
        .expect("a scratch folder");

    let lab = Lab::new(71);
    let encrypt = format!("-encrypt={KEY}");
    let config = format!("-config-file={}", settings.display());
    let server = Server::start_with(&lab, "s1", None, &[encrypt.clone(), config]);
    let peers = format!("peers={}:7946", server.host.ip);
    let given = [format!("key={KEY}"), format!("operator={public}"), peers];
    let mut board = lab.board("signed", "b1", &given.each_ref().map(String::as_str));
    board.switch_on();
    server.wait_sees("b1", "alive");
    let thief = Server::start_with(&lab, "thief", Some(&server), &[encrypt]);
    thief.wait_sees("b1", "alive");
    let before = board.report().stack;

    assert!(thief.cli(&["event", "-coalesce=false", "reboot"]).contains("dispatched"));
    assert!(thief.cli(&["event", "-coalesce=false", "blink", "all may"]).contains("dispatched"));
    wait_until("what all may fire", || board.heard("blink") == ["all may"]);
    refused(&mut board, 1);
    assert!(server.cli(&["event", "reboot"]).contains("only an operator may do this"));
    // The thief's program and the fleet's key are not enough for another key either.
    let stolen = thief.cli(&["keys", "-install", OTHER]);
    assert!(stolen.contains("Error installing key: 1/3 nodes reported success"), "{stolen}");
    refused(&mut board, 2);
    let given = server.cli(&["keys", &sign, "-install", OTHER]);
    assert!(given.contains("==> Successfully installed key!"), "{given}");
    assert!(server.cli(&["keys", "-list"]).contains(&format!("{OTHER}  [3/3]")));
    // For another one, and so checked.
    let other = server.cli(&["event", "-coalesce=false", &sign, "-node=s1", "reboot"]);
    assert!(other.contains("dispatched"), "{other}");
    server.fire("blink", ["behind it"], false);
    wait_until("what came behind it", || board.heard("blink").len() == 2);
    let after = board.report().stack;
    assert_eq!(board.count(": boot "), 1);

    let fired = server.cli(&["event", "-coalesce=false", &sign, "reboot", "now"]);
    assert!(fired.contains("dispatched"), "{fired}");
    board.wait_lines(": boot ", 2);
    server.wait_sees("b1", "alive");
    // It keeps its floor in flash: what was fired does not come again.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!((board.count(": boot "), board.ended()), (2, None));

    let (signed, sealed) =
        (Image::read(&build("qemu-mps2", "signed")), Image::read(&build("qemu-mps2", "sealed")));
    println!(
        "operators take {} bytes of flash, and {} of stack: {after}; with {} of variables {} in all",
        signed.flash - sealed.flash,
        after.saturating_sub(before),
        signed.ram,
        after + signed.ram as usize
    );
    assert!(signed.flash <= sealed.flash + 70 * 256, "{} bytes of flash", signed.flash);
    assert!(after + signed.ram as usize <= 60 * 1024, "{after} of stack and {} of variables", signed.ram);
}

fn refused(board: &mut Board, times: u64) {
    wait_until("the refusal", || board.report().number("events_unauthorized") == times);
}

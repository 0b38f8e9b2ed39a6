//! What a client can send: the scanner finds the same values however the bytes come, and no value breaks what reads it.
#![no_main]

use agent_linux::rpc::message::*;
use agent_linux::rpc::wire::{Limits, Scan, Scanner, decode};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { bytes: 4096, values: 512, depth: 16 };

/// Each as what it may be.
fn read(value: &[u8]) {
    let _ = decode::<RequestHeader>(value);
    let _ = decode::<ResponseHeader>(value);
    let _ = decode::<Handshake>(value);
    let _ = decode::<Auth>(value);
    let _ = decode::<UserEvent>(value);
    let _ = decode::<Join>(value);
    let _ = decode::<MembersFiltered>(value);
    let _ = decode::<ForceLeave>(value);
    let _ = decode::<Stream>(value);
    let _ = decode::<Monitor>(value);
    let _ = decode::<Stop>(value);
    let _ = decode::<Members>(value);
}

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while !rest.is_empty() {
        let whole = Scanner::new(LIMITS).scan(rest);
        let mut slow = Scanner::new(LIMITS);
        let piece_by_piece = (1..=rest.len()).map(|end| slow.scan(&rest[..end]));
        let end =
            piece_by_piece.into_iter().find(|scan| *scan != Scan::Incomplete).unwrap_or(Scan::Incomplete);
        assert_eq!(end, whole, "as it comes");
        let Scan::Complete(len) = whole else { break };
        let (value, behind) = rest.split_at(len);
        read(value);
        rest = behind;
    }
});

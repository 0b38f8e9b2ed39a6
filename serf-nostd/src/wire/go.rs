//! What of Go Serf's wire counts on every wire.

/// How long Go Serf's encoding of a user event is, in bytes: its limit (`user_event_size_limit`) is on this.
pub(crate) fn user_event_len(ltime: u64, name: &[u8], payload: &[u8]) -> usize {
    let int = match ltime {
        0..128 => 1,
        128..256 => 2,
        256..65_536 => 3,
        65_536..4_294_967_296 => 5,
        _ => 9,
    };
    let raw = |len: usize| match len {
        0..32 => 1 + len,
        32..65_536 => 3 + len,
        _ => 5 + len,
    };
    // Type byte, map head, then CC, LTime, Name, Payload with their keys.
    2 + (3 + 1) + (6 + int) + (5 + raw(name.len())) + (8 + raw(payload.len()))
}

#[cfg(test)]
mod tests {
    use super::user_event_len;

    #[test]
    fn the_encoded_length_is_that_of_go() {
        // Captured: 08 03 84 a2CC c3 a5LTime 01 a4Name a6"deploy" a7Payload a3"123", without the leading 08.
        assert_eq!(user_event_len(1, b"deploy", b"123"), 37);
        // 30 bytes over name and payload while LTime < 128 and the payload is long.
        assert_eq!(user_event_len(1, b"x", &[0; 481]), 512);
        assert_eq!(user_event_len(u64::MAX, b"x", &[0; 473]), 512);
    }
}

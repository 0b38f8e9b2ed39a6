//! What this node answers to queries: plain text, without the weight of `core::fmt`.

use serf_nostd::Node;
use serf_nostd::driver::embassy::{self, Answer};

/// What answers the query of this name, if anything does.
pub fn to(name: &str) -> Option<Answer> {
    match name {
        "uptime" => Some(uptime),
        "levels" => Some(levels),
        _ => None,
    }
}

fn uptime(_: &Node<'_>, buffer: &mut [u8]) -> Option<usize> {
    let mut text = Text { buffer, len: 0 };
    text.number((embassy::now().as_micros() / 1_000_000) as u32);
    text.push(b" s");
    Some(text.len)
}

fn levels(node: &Node<'_>, buffer: &mut [u8]) -> Option<usize> {
    let (gauges, counted) = (node.gauges(), node.stats());
    let mut text = Text { buffer, len: 0 };
    for (name, level) in [
        ("members", gauges.members as u32),
        ("failed", gauges.failed as u32),
        ("left", gauges.left as u32),
        ("seen", gauges.seen as u32),
        ("slots", gauges.slots as u32),
        ("delivered", counted.events_delivered as u32),
        ("queries", counted.queries_received as u32),
        ("refused", counted.refused as u32),
    ] {
        text.push(name.as_bytes());
        text.push(b"=");
        text.number(level);
        text.push(b" ");
    }
    // But for the last blank.
    Some(text.len.saturating_sub(1))
}

/// Text in a buffer, as much as it has room for.
struct Text<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl Text<'_> {
    fn push(&mut self, bytes: &[u8]) {
        for (place, byte) in self.buffer.iter_mut().skip(self.len).zip(bytes) {
            *place = *byte;
            self.len += 1;
        }
    }

    fn number(&mut self, number: u32) {
        let mut digits = heapless::Vec::<u8, 10>::new();
        let mut rest = number;
        loop {
            let _ = digits.push(b'0' + (rest % 10) as u8);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        digits.reverse();
        self.push(&digits);
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn numbers_are_decimal_and_what_has_no_room_is_cut_off() {
        let mut buffer = [0; 20];
        let mut text = Text { buffer: &mut buffer, len: 0 };
        for number in [0, 7, 4_294_967_295] {
            text.number(number);
            text.push(b" ");
        }
        text.push(b"123456789");
        assert_eq!((text.len, &buffer), (20, b"0 7 4294967295 12345"));
    }
}

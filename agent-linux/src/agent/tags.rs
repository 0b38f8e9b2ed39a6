//! Tags as they travel: `0xff`, then a MessagePack map of strings, in the old form that Go Serf writes.

use std::collections::BTreeMap;

/// Marks tags; without it, the bytes are a role, as in the earliest Serfs.
const MAGIC: u8 = 0xff;

/// What encoded tags may take, in bytes.
pub const TAGS_LIMIT: usize = 512;

/// Whether a script's environment can hold the tag: it has a name, and no NUL byte.
pub fn is_tag(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains('\0') && !value.contains('\0')
}

/// What Serf says of tags beyond [`TAGS_LIMIT`].
pub fn too_long() -> String {
    format!("Encoded length of tags exceeds limit of {TAGS_LIMIT} bytes")
}

/// The bytes of these tags, as Go Serf would write them. Strings of 64 KiB and above do not fit; tags are checked long
/// before that.
pub fn encode(tags: &BTreeMap<String, String>) -> Vec<u8> {
    let mut bytes = vec![MAGIC];
    head(&mut bytes, tags.len(), 16, 0x80, 0xde);
    for text in tags.iter().flat_map(|(key, value)| [key, value]) {
        head(&mut bytes, text.len(), 32, 0xa0, 0xda);
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// How many bytes [`encode`] gives for tags of any length.
pub fn encoded_len(tags: &BTreeMap<String, String>) -> usize {
    let raw = |text: &String| match text.len() {
        0..=31 => 1 + text.len(),
        32..=0xffff => 3 + text.len(),
        _ => 5 + text.len(),
    };
    let header = if tags.len() < 16 { 1 } else { 3 };
    1 + header + tags.iter().map(|(key, value)| raw(key) + raw(value)).sum::<usize>()
}

/// Writes a length: within the marker if it is below `short`, else behind `long`, in 16 bits.
fn head(bytes: &mut Vec<u8>, len: usize, short: usize, fixed: u8, long: u8) {
    if len < short {
        bytes.push(fixed | len as u8);
    } else {
        bytes.push(long);
        bytes.extend_from_slice(&(len as u16).to_be_bytes());
    }
}

/// The tags in these bytes, which come from anybody: as many as can be read. What is no UTF-8 becomes U+FFFD.
pub fn decode(bytes: &[u8]) -> BTreeMap<String, String> {
    let Some((&MAGIC, map)) = bytes.split_first() else {
        let role = (!bytes.is_empty()).then(|| ("role".to_owned(), lossy(bytes)));
        return role.into_iter().collect();
    };
    let mut rest = Rest(map);
    let pairs = rest.map_len().unwrap_or(0);
    (0..pairs).map_while(|_| Some((rest.text()?, rest.text()?))).collect()
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn map_len(&mut self) -> Option<usize> {
        match self.number(1)? {
            marker @ 0x80..0x90 => Some(marker & 0x0f),
            0xde => self.number(2),
            0xdf => self.number(4),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<String> {
        let len = match self.number(1)? {
            marker @ 0xa0..0xc0 => marker & 0x1f,
            0xc4 | 0xd9 => self.number(1)?,
            0xc5 | 0xda => self.number(2)?,
            0xc6 | 0xdb => self.number(4)?,
            _ => return None,
        };
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(lossy(text))
    }

    /// A big-endian number of so many bytes.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        let (number, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(number.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn tags_are_written_as_go_does() {
        assert_eq!(encode(&tags(&[])), [0xff, 0x80]);
        assert_eq!(encode(&tags(&[("role", "web")])), b"\xff\x81\xa4role\xa3web");
        let long = "x".repeat(32);
        assert_eq!(encode(&tags(&[("", &long)]))[..6], *b"\xff\x81\xa0\xda\x00\x20");
    }

    #[test]
    fn what_is_written_can_be_read_and_is_as_long_as_said() {
        let long = "y".repeat(300);
        let many: Vec<(String, String)> = (0..20).map(|n| (n.to_string(), "v".to_owned())).collect();
        for tags in [tags(&[]), tags(&[("a", ""), ("b", &long), ("\u{e9}", "=")]), many.into_iter().collect()]
        {
            assert_eq!(decode(&encode(&tags)), tags);
            assert_eq!(encode(&tags).len(), encoded_len(&tags));
        }
    }

    #[test]
    fn foreign_tags_are_read_as_far_as_they_make_sense() {
        assert_eq!(decode(b""), tags(&[]));
        assert_eq!(decode(b"web"), tags(&[("role", "web")]));
        assert_eq!(decode(b"\xff"), tags(&[]));
        assert_eq!(decode(b"\xff\xdf\xff\xff\xff\xff\xa1a\xa1b\xa1c"), tags(&[("a", "b")]));
        assert_eq!(decode(b"\xff\x81\xd9\x01k\xc4\x01\xff"), tags(&[("k", "\u{fffd}")]));
        assert_eq!(decode(b"\xff\x81\xa1a\xdb\xff\xff\xff\xff"), tags(&[]));
    }
}

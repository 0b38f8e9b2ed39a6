//! Whom a query or an event is for: names and tags, as they stand in [`crate::wire::message::Query::filters`].

use heapless::Vec;

use crate::authority::Signature;
use crate::expression::TagMatcher;

/// All filters of a query together, in bytes.
pub(crate) const FILTERS_MAX: usize = 512;

const NODE: u8 = 0;
const TAG: u8 = 1;

/// Encodes filters: the names of members that are asked, if not all are, and tags whose values must match an expression
/// each. `None` if they are too long, or have an empty name.
pub(crate) fn encode(nodes: &[&str], tags: &[(&str, &str)]) -> Option<Vec<u8, FILTERS_MAX>> {
    let mut filters = Vec::new();
    for node in nodes {
        if node.is_empty() {
            return None;
        }
        filters.push(NODE).ok()?;
        text(&mut filters, node)?;
    }
    for (tag, expression) in tags {
        filters.push(TAG).ok()?;
        text(&mut filters, tag)?;
        text(&mut filters, expression)?;
    }
    Some(filters)
}

/// A text as postcard writes it: its length, seven bits a byte, then it.
fn text(filters: &mut Vec<u8, FILTERS_MAX>, text: &str) -> Option<()> {
    let mut len = text.len();
    while len >= 0x80 {
        filters.push(len as u8 | 0x80).ok()?;
        len >>= 7;
    }
    filters.push(len as u8).ok()?;
    filters.extend_from_slice(text.as_bytes()).ok()
}

/// Whom an event is for: who has one of the names, if there are any, and all of the tags.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Target<'t> {
    /// Names of members; none: whatever their names.
    pub nodes: &'t [&'t str],
    /// Tags, and an expression that the value of each must match; a missing tag counts as empty.
    pub tags: &'t [(&'t str, &'t str)],
}

impl<'t> Target<'t> {
    /// These members, of them those with these tags.
    pub const fn new(nodes: &'t [&'t str], tags: &'t [(&'t str, &'t str)]) -> Target<'t> {
        Target { nodes, tags }
    }

    /// As it stands in [`crate::UserEvent::filters`] and [`crate::Statement::filters`]. `None` if that takes more than 512 bytes, or a
    /// name is empty.
    pub fn encode<'b>(&self, buf: &'b mut [u8; FILTERS_MAX]) -> Option<&'b [u8]> {
        let filters = encode(self.nodes, self.tags)?;
        buf[..filters.len()].copy_from_slice(&filters);
        Some(&buf[..filters.len()])
    }
}

/// Who is looked at: its name, and its tags, encoded as on Go Serf's wire.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'c> {
    pub(crate) name: &'c str,
    pub(crate) tags: &'c [u8],
}

/// Whether the filters let this member through; `None` if that cannot be told, as they are malformed or have an expression
/// that this node does not understand.
pub(crate) fn passes(filters: &[u8], member: Candidate<'_>, matcher: TagMatcher) -> Option<bool> {
    let (_, mut rest) = Signature::split(filters);
    let (mut named, mut is_named) = (false, false);
    let (mut passes, mut known) = (true, true);
    while let Some(kind) = rest.split_off_first() {
        match *kind {
            NODE => {
                named = true;
                is_named |= take_text(&mut rest)? == member.name;
            }
            TAG => {
                let (tag, expression) = (take_text(&mut rest)?, take_text(&mut rest)?);
                match (matcher.0)(expression, value(member.tags, tag).unwrap_or("")) {
                    Some(found) => passes &= found,
                    None => known = false,
                }
            }
            _ => return None,
        }
    }
    // One that does not fit settles it, whatever the others say.
    let passes = passes && (is_named || !named);
    if passes && !known { None } else { Some(passes) }
}

fn take_text<'f>(rest: &mut &'f [u8]) -> Option<&'f str> {
    let mut len = 0;
    for shift in [0, 7] {
        let byte = *rest.split_off_first()?;
        len |= ((byte & 0x7f) as usize) << shift;
        if byte & 0x80 == 0 {
            return core::str::from_utf8(rest.split_off(..len)?).ok();
        }
    }
    None
}

/// The value of a tag in encoded tags: `0xff`, then a MessagePack map of texts. Bytes of anybody.
pub(crate) fn value<'t>(tags: &'t [u8], tag: &str) -> Option<&'t str> {
    let mut rest = tags.strip_prefix(&[0xff])?;
    let count = match *rest.split_off_first()? {
        marker @ 0x80..0x90 => (marker & 0x0f) as usize,
        0xde => number(&mut rest, 2)?,
        0xdf => number(&mut rest, 4)?,
        _ => return None,
    };
    for _ in 0..count {
        let (key, value) = (packed(&mut rest)?, packed(&mut rest)?);
        if key == tag {
            return Some(value);
        }
    }
    None
}

fn packed<'t>(rest: &mut &'t [u8]) -> Option<&'t str> {
    let len = match *rest.split_off_first()? {
        marker @ 0xa0..0xc0 => (marker & 0x1f) as usize,
        0xc4 | 0xd9 => number(rest, 1)?,
        0xc5 | 0xda => number(rest, 2)?,
        _ => return None,
    };
    core::str::from_utf8(rest.split_off(..len)?).ok()
}

fn number(rest: &mut &[u8], bytes: usize) -> Option<usize> {
    let bytes = rest.split_off(..bytes)?;
    Some(bytes.iter().fold(0, |sum, byte| sum << 8 | *byte as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATCHER: TagMatcher = TagMatcher(crate::expression::matches);

    #[test]
    fn names_are_any_of_and_tags_all_of() {
        let web = Candidate { name: "a", tags: b"\xff\x82\xa4role\xa3web\xa4zone\xa1x" };
        let bare = Candidate { name: "b", tags: b"" };
        let through = |nodes: &[&str], tags: &[(&str, &str)]| {
            let filters = encode(nodes, tags).expect("short");
            [web, bare].map(|member| passes(&filters, member, MATCHER))
        };
        assert_eq!(through(&[], &[]), [Some(true); 2]);
        assert_eq!(through(&["b", "c"], &[]), [Some(false), Some(true)]);
        assert_eq!(through(&["a", "b"], &[("role", "web")]), [Some(true), Some(false)]);
        assert_eq!(through(&[], &[("role", "^$")]), [Some(false), Some(true)], "no tag is an empty one");
        assert_eq!(through(&[], &[("role", "web"), ("zone", "y")]), [Some(false); 2]);
        assert_eq!(through(&[], &[("role", "a|b")]), [None; 2]);
        assert!(encode(&[""], &[]).is_none() && encode(&[&"x".repeat(600)], &[]).is_none());
        let long = "y".repeat(200);
        assert_eq!(through(&[&long], &[]), [Some(false); 2], "two bytes of length");
    }

    #[test]
    fn malformed_filters_and_tags_let_nobody_through_and_break_nothing() {
        let whole = encode(&["node"], &[("role", "web")]).expect("short");
        let member = Candidate { name: "node", tags: b"\xff\x81\xa4role\xa3web" };
        assert_eq!(passes(&whole, member, MATCHER), Some(true));
        for len in 0..whole.len() {
            let cut = passes(&whole[..len], member, MATCHER);
            assert!(cut.is_none() || len == 0 || len == 6, "cut to {len}");
        }
        for byte in 0..=255 {
            for at in 0..whole.len() {
                let mut broken = whole.clone();
                broken[at] = byte;
                let _ = passes(&broken, member, MATCHER);
                let mut tags = member.tags.to_vec();
                tags[at % member.tags.len()] = byte;
                let _ = passes(&whole, Candidate { tags: &tags, ..member }, MATCHER);
            }
        }
        assert_eq!(passes(&[9], member, MATCHER), None);
        assert_eq!(passes(&[NODE, 0xff, 0xff, 0xff], member, MATCHER), None);
    }
}

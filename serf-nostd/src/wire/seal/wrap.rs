//! Keys on their way: encrypted once more, so that they stand in the clear in no query, no store and no log.
//!
//! ```text
//! id of the wrapping key u8 | nonce 8 | keys, encrypted | tag 16
//! ```
//! The nonce is made of the keys themselves (synthetic, as in RFC 5297): the same keys are wrapped in the same way, others under
//! another nonce, and no counter has to be kept.

use super::cipher::{self, Bytes, TAG};
use super::keyring::{Key, Keyring};

/// Bytes that stand before the keys: an id and a nonce.
pub(crate) const BEFORE: usize = 1 + 8;

/// Bytes that stand around the keys.
const AROUND: usize = BEFORE + TAG;

/// Bytes of one key that is wrapped.
pub(crate) const WRAPPED_KEY: usize = AROUND + Key::LEN;

/// The key that a key wraps with.
fn wrapping(key: &Bytes) -> Bytes {
    cipher::derive(key, b"serf key wrap\0\0\0")
}

fn nonce(wrapping: &Bytes, keys: &[u8]) -> u64 {
    let (halves, _) = keys.as_chunks::<16>();
    let made = halves.iter().fold(*wrapping, |made, half| cipher::derive(&made, half));
    u64::from_le_bytes(made.as_chunks().0[0])
}

/// Wraps keys under the one in a slot, or the primary one; how many bytes of `out` they take, as many as fit.
pub(crate) fn wrap<'k>(
    ring: &Keyring<'_>,
    slot: Option<usize>,
    keys: impl Iterator<Item = &'k Key>,
    out: &mut [u8],
) -> Option<usize> {
    let (under, id) = ring.get(slot);
    let (head, rest) = out.split_first_chunk_mut::<BEFORE>()?;
    let mut len = 0;
    for key in keys {
        if rest.len() < len + Key::LEN + TAG {
            break;
        }
        rest[len..len + Key::LEN].copy_from_slice(key.as_bytes());
        len += Key::LEN;
    }
    let (text, tag) = rest.split_at_mut_checked(len)?;
    let wrapping = wrapping(under);
    let nonce = nonce(&wrapping, text);
    head[0] = id;
    head[1..].copy_from_slice(&nonce.to_le_bytes());
    let made = cipher::seal(&wrapping, nonce, &[id], text);
    tag.first_chunk_mut::<TAG>()?.copy_from_slice(&made);
    Some(AROUND + len)
}

/// The opposite, in place: the bytes of the keys, one after the other. `None` if that is nothing that was wrapped under a key of the
/// ring.
pub(crate) fn unwrap<'b>(ring: &Keyring<'_>, wrapped: &'b mut [u8]) -> Option<&'b [Bytes]> {
    let (&mut [id, ref nonce @ ..], rest) = wrapped.split_first_chunk_mut::<BEFORE>()?;
    let (text, tag) = rest.split_last_chunk_mut::<TAG>()?;
    let nonce = u64::from_le_bytes(*nonce);
    let opens = |slot: &usize| cipher::open(&wrapping(ring.get(Some(*slot)).0), nonce, &[id], text, tag);
    ring.with_id(id).find(opens)?;
    match text.as_chunks() {
        (keys, []) => Some(keys),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::keyring::KeySlot;
    use super::*;

    fn key(i: u8) -> Key {
        Key::new([i; 32])
    }

    #[test]
    fn what_is_wrapped_comes_back_for_whom_has_the_key_only() {
        let (mut slots, mut others) = ([KeySlot::EMPTY; 3], [KeySlot::EMPTY; 3]);
        let (mut ring, mut other) = (Keyring::new(&mut slots), Keyring::new(&mut others));
        ring.install(&key(1), 0).expect("room");
        other.install(&key(2), 0).expect("room");
        for count in 0..4 {
            let keys = [key(7), key(8), key(9)];
            let mut out = [0; 256];
            let len = wrap(&ring, None, keys[..count].iter(), &mut out).expect("room");
            assert_eq!(len, AROUND + 32 * count);
            assert!(!out.windows(4).any(|bytes| bytes == [7; 4]), "encrypted");
            let expected: std::vec::Vec<_> = keys[..count].iter().map(|key| *key.as_bytes()).collect();
            assert_eq!(unwrap(&ring, &mut out[..len].to_vec()), Some(&*expected));
            assert_eq!(unwrap(&other, &mut out[..len].to_vec()), None);
            for bit in 0..8 * len {
                let mut changed = out[..len].to_vec();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(unwrap(&ring, &mut changed), None, "bit {bit}");
            }
            (0..len).for_each(|cut| assert_eq!(unwrap(&ring, &mut out[..cut].to_vec()), None));
        }
    }

    #[test]
    fn as_many_as_fit_are_wrapped() {
        let mut slots = [KeySlot::EMPTY; 3];
        let mut ring = Keyring::new(&mut slots);
        (1..4).for_each(|i| ring.install(&key(i), 0).expect("room"));
        let mut out = [0; AROUND + 70];
        let len = wrap(&ring, None, ring.keys(), &mut out).expect("room for two");
        assert_eq!(unwrap(&ring, &mut out[..len]).map(<[Bytes]>::len), Some(2));
        assert_eq!(wrap(&ring, None, ring.keys(), &mut out[..20]), None);
    }
}

//! The ciphers: ChaCha20-Poly1305 (RFC 8439), and HChaCha20, which makes a key of a key (draft-irtf-cfrg-xchacha, section 2.2).
//! Together they are XChaCha20-Poly1305.
//!
//! Of two libraries that do the same this is the one whose code is its own crate's: a firmware that is compiled for size gives that one crate
//! `opt-level = 3`, for a third of the instructions. On x86 the other one's Poly1305 prepares vectors
//! that short texts never use (1.8 us for 120 bytes, unless the whole build is told otherwise; this one 0.6). The tests compare both.

use chacha20_poly1305::chacha20::ChaCha20;
use chacha20_poly1305::{ChaCha20Poly1305, Key, Nonce};

pub(crate) const TAG: usize = 16;
pub(super) type Tag = [u8; TAG];
pub(super) type Bytes = [u8; 32];

/// The nonce of a datagram: its subkey is made for its session alone, so that its counter is enough.
fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

/// Encrypts `text` in place; the tag is over it and `head`.
pub(super) fn seal(key: &Bytes, counter: u64, head: &[u8], text: &mut [u8]) -> Tag {
    ChaCha20Poly1305::new(Key::new(*key), Nonce::new(nonce(counter))).encrypt(text, Some(head))
}

/// Decrypts `text` in place if the tag is that of it and `head`; else it stays as it is. The tag is compared in constant time.
pub(super) fn open(key: &Bytes, counter: u64, head: &[u8], text: &mut [u8], tag: &Tag) -> bool {
    let cipher = ChaCha20Poly1305::new(Key::new(*key), Nonce::new(nonce(counter)));
    cipher.decrypt(text, *tag, Some(head)).is_ok()
}

/// HChaCha20: a key of a key, for one purpose. A block of ChaCha20 is the state after its rounds plus the state before: this is the first
/// and the last row of that without the addition.
pub(super) fn derive(key: &Bytes, input: &[u8; 16]) -> Bytes {
    let word = |i: usize| u32::from_le_bytes([input[i], input[i + 1], input[i + 2], input[i + 3]]);
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&input[4..]);
    let block = ChaCha20::new_from_block(Key::new(*key), Nonce::new(nonce), word(0)).get_keystream(word(0));
    let before = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574, word(0), word(4), word(8), word(12)];
    let (rows, _) = block.as_chunks::<4>();
    let rows = rows[..4].iter().chain(&rows[12..]);
    let mut derived = [0; 32];
    for ((to, after), before) in derived.as_chunks_mut::<4>().0.iter_mut().zip(rows).zip(before) {
        *to = u32::from_le_bytes(*after).wrapping_sub(before).to_le_bytes();
    }
    derived
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// The other library.
    mod rustcrypto {
        use chacha20poly1305::ChaCha20Poly1305;
        use chacha20poly1305::aead::{AeadInOut, KeyInit};

        use super::super::{Bytes, TAG, Tag, nonce};

        pub(super) fn seal(key: &Bytes, counter: u64, head: &[u8], text: &mut [u8]) -> Tag {
            let cipher = ChaCha20Poly1305::new(key.into());
            let sealed = cipher.encrypt_inout_detached(&nonce(counter).into(), head, text.into());
            // Only a text of 2^38 bytes is too long.
            sealed.map_or([0; TAG], Into::into)
        }

        pub(super) fn open(key: &Bytes, counter: u64, head: &[u8], text: &mut [u8], tag: &Tag) -> bool {
            let cipher = ChaCha20Poly1305::new(key.into());
            cipher.decrypt_inout_detached(&nonce(counter).into(), head, text.into(), tag.into()).is_ok()
        }

        pub(super) fn derive(key: &Bytes, input: &[u8; 16]) -> Bytes {
            chacha20::hchacha::<chacha20::R20>(key.into(), input.into()).into()
        }
    }

    fn unhex<const N: usize>(hex: &str) -> [u8; N] {
        core::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex"))
    }

    /// draft-irtf-cfrg-xchacha-03, section 2.2.1.
    #[test]
    fn a_derived_key_is_the_published_one() {
        let key = unhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
        let input = unhex("000000090000004a0000000031415927");
        let derived = unhex("82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc");
        assert_eq!(derive(&key, &input), derived);
        assert_eq!(rustcrypto::derive(&key, &input), derived);
    }

    /// draft-irtf-cfrg-xchacha-03, appendix A.3.1, whose nonce does not leave four zeros before the counter: its last eight bytes are
    /// the counter here, and the four before them zeros, as the first 16 are the session's.
    #[test]
    fn a_sealed_text_is_the_published_one() {
        let key: Bytes = unhex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
        let text = *b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the \
                      future, sunscreen would be it.";
        let head: [u8; 12] = unhex("50515253c0c1c2c3c4c5c6c7");
        let subkey = derive(&key, &unhex("404142434445464748494a4b4c4d4e4f"));
        let counter = u64::from_le_bytes(unhex("5051525354555657"));
        let mut sealed = text;
        let tag = seal(&subkey, counter, &head, &mut sealed);
        assert_eq!(tag, unhex::<16>("c0875924c1c7987947deafd8780acf49"));
        assert_eq!(sealed[..16], unhex::<16>("bd6d179d3e83d43b9576579493c0e939"));
        assert!(open(&subkey, counter, &head, &mut sealed, &tag));
        assert_eq!(sealed, text);
    }

    #[test]
    fn both_libraries_say_the_same_of_every_length() {
        let mut random = Random::new(1);
        for len in 0..300 {
            let key: Bytes = core::array::from_fn(|_| random.next() as u8);
            let (counter, mut text) = (random.next() >> 16, [0; 300]);
            text.fill_with(|| random.next() as u8);
            let head = [random.next() as u8; 21];
            let head = &head[..17 + 4 * (len % 2)];
            let (mut one, mut other) = (text, text);
            let tag = seal(&key, counter, head, &mut one[..len]);
            assert_eq!(rustcrypto::seal(&key, counter, head, &mut other[..len]), tag);
            assert_eq!(one, other);
            let mut wrong = tag;
            wrong[len % 16] ^= 1;
            for open in [open, rustcrypto::open] {
                let mut opened = one;
                assert!(!open(&key, counter, head, &mut opened[..len], &wrong));
                assert_eq!(opened, one, "what is forged stays as it is");
                assert!(open(&key, counter, head, &mut opened[..len], &tag));
                assert_eq!(opened, text);
            }
        }
    }
}

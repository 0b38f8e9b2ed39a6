//! Sealed datagrams from outside of the core: a second implementation, from `docs/protocol.md`. With it tests are somebody who has the
//! key.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};

/// What stands before the messages.
const HEAD: usize = 17;

/// What seals: a key, under a session, in a fleet of this name's hash, if it has one.
#[derive(Clone, Copy, Debug)]
pub struct Sealer {
    /// The fleet's key.
    pub key: [u8; 32],
    /// The session.
    pub session: [u8; 8],
    /// Of the cluster's name.
    pub cluster: Option<u32>,
}

impl Sealer {
    /// Messages, one after the other, as the datagram of this counter.
    pub fn seal(&self, counter: u64, messages: &[u8]) -> Vec<u8> {
        let mut id = *b"serf key id\0\0\0\0\0";
        id[12..].copy_from_slice(&self.cluster.unwrap_or(0).to_le_bytes());
        let id = chacha20::hchacha::<chacha20::R20>(&self.key.into(), &id.into())[0];
        let mut datagram = vec![b'S', 0x22, id];
        datagram.extend(self.session);
        datagram.extend(&counter.to_le_bytes()[..6]);
        let (nonce, associated) = (self.nonce(counter), self.associated(&datagram));
        let mut text = messages.to_vec();
        let cipher = XChaCha20Poly1305::new(&self.key.into());
        let tag = cipher.encrypt_inout_detached(&nonce, &associated, text.as_mut_slice().into());
        datagram.extend(text);
        datagram.extend(tag.expect("it is short"));
        datagram
    }

    /// The messages of a datagram that was sealed with the key, under whatever session.
    pub fn open(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let (head, rest) = datagram.split_at_checked(HEAD)?;
        let (text, tag) = rest.split_last_chunk::<16>()?;
        let session = *head[3..].first_chunk()?;
        let mut counter = [0; 8];
        counter[..6].copy_from_slice(&head[11..]);
        let sealer = Sealer { session, ..*self };
        let nonce = sealer.nonce(u64::from_le_bytes(counter));
        let mut text = text.to_vec();
        let cipher = XChaCha20Poly1305::new(&self.key.into());
        let (head, tag) = (sealer.associated(head), Tag::from(*tag));
        cipher.decrypt_inout_detached(&nonce, &head, text.as_mut_slice().into(), &tag).ok()?;
        Some(text)
    }

    fn nonce(&self, counter: u64) -> XNonce {
        let parts = [&self.session[..], b"datagram", &counter.to_le_bytes()];
        <[u8; 24]>::try_from(parts.concat()).expect("24 bytes").into()
    }

    fn associated(&self, head: &[u8]) -> Vec<u8> {
        let cluster = self.cluster.map(u32::to_le_bytes);
        [head, cluster.as_ref().map_or(&[], |hash| &hash[..])].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{body, kind};

    /// The example of `docs/protocol.md`.
    #[test]
    fn both_implementations_agree() {
        let shown = include_str!("../../serf-nostd/tests/wire/sealed-v2.txt");
        let hex = shown.lines().find_map(|line| line.strip_prefix("sealed ")).expect("it is there");
        let (pairs, _) = hex.as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).expect("hex"), 16).expect("hex");
        let example: Vec<u8> = pairs.iter().map(byte).collect();
        // The lower half of FNV-1a, mixed.
        let name = b"fleet".iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mixed = (name ^ name >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        let cluster = Some((mixed ^ mixed >> 33) as u32);
        let session = *example[3..].first_chunk().expect("long enough");
        let sealer = Sealer { key: std::array::from_fn(|at| at as u8), session, cluster };
        let nack = body(kind::NACK).int(7).end();
        assert_eq!(sealer.open(&example), Some(nack.clone()));
        assert_eq!(sealer.seal(1, &nack), example);
    }
}

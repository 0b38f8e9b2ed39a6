//! Ed25519 over SHA-512 of a statement's fields.

use ed25519_dalek::{Signer, SigningKey, Verifier, VerifyingKey};
use sha2::{Digest, Sha512};

use super::{Reserved, Signature, Stated, Statement};

/// What is signed begins with this; the version of the fields is in it.
const CONTEXT: &[u8; 14] = b"serf-signed-1\0";

/// The bytes that are signed.
fn message(statement: &Statement<'_>) -> [u8; 78] {
    let Statement { reserved, time, stated, name, filters, payload } = *statement;
    let Reserved { id, cluster, answers_to, timeout } = reserved;
    // The kind of what is signed, and what decides how it is taken.
    let (kind, flag) = match stated {
        Stated::Event { coalesce } => (0, coalesce),
        Stated::Query { ack } => (1, ack),
    };
    let mut head = [0; 46];
    head[0] = kind;
    head[1..5].copy_from_slice(&cluster.to_le_bytes());
    head[5..13].copy_from_slice(&id.ltime.to_le_bytes());
    head[13..21].copy_from_slice(&id.origin.to_le_bytes());
    head[21..25].copy_from_slice(&time.to_le_bytes());
    head[25] = flag as u8;
    head[26..44].copy_from_slice(&answers_to.to_bytes());
    head[44..].copy_from_slice(&timeout.to_le_bytes());
    let mut hash = Sha512::new();
    hash.update(head);
    for field in [name, filters, payload] {
        hash.update((field.len() as u32).to_le_bytes());
        hash.update(field);
    }
    let mut message = [0; 78];
    message[..14].copy_from_slice(CONTEXT);
    message[14..].copy_from_slice(&hash.finalize());
    message
}

/// As RFC 8032 has it. What stricter checks add is against keys that are weak on purpose, and those are the operators' own
/// ([`is_public_key`]).
pub(super) fn verify(key: &[u8; 32], statement: &Statement<'_>, signature: &[u8; 64]) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(key) else { return false };
    key.verify(&message(statement), &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
}

/// Whether this can be an operator's public key: none of the few under which anybody can sign.
pub fn is_public_key(key: &[u8; 32]) -> bool {
    VerifyingKey::from_bytes(key).is_ok_and(|key| !key.is_weak())
}

impl Statement<'_> {
    /// Signs it with an operator's private key.
    pub fn sign(&self, private: &[u8; 32]) -> Signature {
        let key = SigningKey::from_bytes(private);
        let [a, b, c, d, ..] = *key.verifying_key().as_bytes();
        let bytes = key.sign(&message(self)).to_bytes();
        Signature { signer: [a, b, c, d], time: self.time, bytes }
    }
}

/// The public key to a private one.
pub fn public_key(private: &[u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(private).verifying_key().to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::{Address, EventId};
    use core::net::SocketAddr;

    fn statement() -> Statement<'static> {
        let id = EventId { ltime: 7, origin: 1 << 63 | 5 };
        let reserved = Reserved { id, cluster: 3, answers_to: Address::UNSET, timeout: 0 };
        let stated = Stated::Event { coalesce: true };
        Statement { reserved, time: 9, stated, name: b"reboot", filters: b"\0\x01a", payload: b"now" }
    }

    /// Of RFC 8032, section 7.1, test 1.
    const PRIVATE: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn hex(text: &str) -> [u8; 32] {
        core::array::from_fn(|i| u8::from_str_radix(&text[2 * i..][..2], 16).expect("hex"))
    }

    #[test]
    fn a_signature_covers_every_field() {
        let private = hex(PRIVATE);
        assert_eq!(public_key(&private), hex(PUBLIC));
        let said = statement();
        let signature = said.sign(&private);
        assert_eq!(signature.signer, hex(PUBLIC)[..4]);
        let signed = |what: &Statement<'_>| verify(&hex(PUBLIC), what, &signature.bytes);
        assert!(signed(&said));
        let reserved = said.reserved;
        let id = reserved.id;
        for other in [
            Statement { reserved: Reserved { id: EventId { ltime: 8, ..id }, ..reserved }, ..said },
            Statement { reserved: Reserved { id: EventId { origin: 6, ..id }, ..reserved }, ..said },
            Statement { reserved: Reserved { cluster: 4, ..reserved }, ..said },
            Statement { reserved: Reserved { timeout: 1, ..reserved }, ..said },
            Statement { time: 10, ..said },
            Statement { stated: Stated::Event { coalesce: false }, ..said },
            Statement { stated: Stated::Query { ack: true }, ..said },
            Statement { name: b"reboo", ..said },
            Statement { filters: b"", ..said },
            Statement { payload: b"later", ..said },
            Statement { name: b"reboot\0", filters: b"\x01a", ..said },
        ] {
            assert!(!signed(&other), "{other:?}");
        }
        assert!(!verify(&public_key(&[9; 32]), &said, &signature.bytes));
        assert!(!verify(&[0xff; 32], &said, &signature.bytes), "no key at all");
        assert!(is_public_key(&hex(PUBLIC)) && !is_public_key(&[2; 32]) && !is_public_key(&[0; 32]));
        let asked = Statement { stated: Stated::Query { ack: false }, ..said };
        let signature_of_query = asked.sign(&private).bytes;
        let elsewhere = SocketAddr::from(([10, 0, 0, 9], 7946)).into();
        let redirected =
            Statement { reserved: Reserved { answers_to: elsewhere, ..asked.reserved }, ..asked };
        assert!(verify(&hex(PUBLIC), &asked, &signature_of_query));
        assert!(!verify(&hex(PUBLIC), &redirected, &signature_of_query), "where answers go is signed");
        for at in 0..64 {
            let mut other = signature;
            other.bytes[at] ^= 1;
            assert!(!verify(&hex(PUBLIC), &said, &other.bytes));
        }
    }
}

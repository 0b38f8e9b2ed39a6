//! Under what this node seals: no two datagrams of a fleet may share a key and a nonce.
//!
//! A nonce is a session and a counter. The session is made of what no other life of any node has: the name, the boot number, the
//! seed and the address, and of how often this one had to begin anew. The counter is never stored; the boot number is, before
//! the first datagram.

use zeroize::Zeroize;

use super::cipher::{self, Bytes};
use super::peers::SessionId;
use crate::hash;
use crate::time::Instant;
use crate::wire::message::Address;

/// Counters take 48 bits on the wire; the last one is not used, so that there is always a greater one.
const COUNTER_LIMIT: u64 = (1 << 48) - 1;

/// How long the answer to a challenge may take at least: it is known in this and the former span of so many microseconds.
const SPAN: u64 = 8_000_000;

/// What makes this life of this node different from all others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) name: u64,
    pub(crate) boot: u64,
    pub(crate) seed: u64,
    pub(crate) addr: u32,
}

pub(crate) struct Session {
    life: Life,
    /// How often it has begun anew.
    begun: u32,
    id: SessionId,
    /// The session before it, and its last counter.
    former: (SessionId, u64),
    /// The last one used.
    counter: u64,
    /// Of the primary key.
    subkey: Bytes,
    /// Makes challenges.
    secret: Bytes,
}

/// The key of one session: the first half of XChaCha20, as the first 16 bytes of the nonce are the same for all its datagrams.
pub(super) fn subkey(key: &Bytes, session: &SessionId) -> Bytes {
    let mut input = *b"\0\0\0\0\0\0\0\0datagram";
    input[..8].copy_from_slice(session);
    cipher::derive(key, &input)
}

fn pair(low: u64, high: u64) -> [u8; 16] {
    (low as u128 | (high as u128) << 64).to_le_bytes()
}

impl Session {
    pub(super) fn new(life: Life) -> Session {
        Session {
            life,
            begun: 0,
            id: [0; 8],
            former: ([0; 8], 0),
            counter: 0,
            subkey: [0; 32],
            secret: [0; 32],
        }
    }

    /// Begins, or begins anew, under the primary key. What was sealed before and what will be have no nonce in common.
    pub(super) fn begin(&mut self, key: &Bytes) {
        let Life { name, boot, seed, addr } = self.life;
        self.begun += 1;
        let life = cipher::derive(key, &pair(name, boot));
        let this = pair(seed, (addr as u64) << 32 | self.begun as u64);
        let mut made = cipher::derive(&life, &this);
        self.former = (self.id, self.counter);
        self.id.copy_from_slice(&made[..8]);
        made[..8].zeroize();
        self.secret = made;
        self.counter = 0;
        self.rekey(key);
    }

    /// Another key is the primary one.
    pub(super) fn rekey(&mut self, key: &Bytes) {
        self.subkey = subkey(key, &self.id);
    }

    pub(super) fn id(&self) -> &SessionId {
        &self.id
    }

    /// Whether a datagram of this number is this node's own: of this session, or of the one before it.
    pub(super) fn has_sealed(&self, session: &SessionId, counter: u64) -> bool {
        [(self.id, self.counter), self.former].iter().any(|(id, last)| id == session && counter <= *last)
    }

    pub(super) fn subkey(&self) -> &Bytes {
        &self.subkey
    }

    /// Whether the last counter has been used.
    pub(super) fn is_spent(&self) -> bool {
        self.counter + 1 >= COUNTER_LIMIT
    }

    /// The counter of the next datagram.
    pub(super) fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// The number of a challenge to this address, of the span before the current one if `former`, after so many changes of sessions
    /// there; never 0.
    pub(super) fn challenge(&self, to: &Address, now: Instant, former: bool, changes: u16) -> u32 {
        let span = (now.as_micros() / SPAN).wrapping_sub(former as u64);
        let made = cipher::derive(&self.secret, &pair(to.hash() as u64 | (changes as u64) << 32, span));
        u32::from_le_bytes([made[0], made[1], made[2], made[3]]).max(1)
    }

    /// What chooses at random for this node, where others must not foresee it.
    pub(super) fn seed(&self) -> u64 {
        let (words, _) = self.secret.as_chunks();
        hash::mix(u64::from_le_bytes(words[3]))
    }

    #[cfg(test)]
    pub(super) fn set_counter(&mut self, counter: u64) {
        self.counter = counter;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.subkey.zeroize();
        self.secret.zeroize();
    }
}

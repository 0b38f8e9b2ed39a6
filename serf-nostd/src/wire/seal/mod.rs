//! Sealed datagrams: nobody without the fleet's key can read, write, change or replay them.
//!
//! ```text
//! 'S' | version u4, flags u4 (2: sealed) | key id u8 | session 8 | counter u48 | messages, encrypted | tag 16
//! ```
//! XChaCha20-Poly1305 under the fleet's key, with the session, "datagram" and the counter (64 bits, little-endian) as its
//! nonce. What stands before the messages is authenticated, and the hash of the fleet's name with it, if it has one.
//!
//! A seal shows that its datagram was made by somebody with the key, not when. That it is new is shown by its session: once a
//! member has answered a challenge, or a question, of this node's under a session, each later counter in it is new ([`peers`]). Before that it may
//! be a replay of anything that was ever sent in the fleet, and only what does no harm then is believed
//! (`node/dispatch.rs`).

mod cipher;
mod keyring;
mod peers;
mod session;
mod wrap;

use super::message::Address;
use super::packet::Reject;
use crate::time::Instant;

pub(crate) use cipher::TAG;
use keyring::Keyring;
pub use keyring::{Key, KeyError, KeySlot, Keys};
pub use peers::PeerSession;
use peers::{Peers, SessionId};
pub(crate) use session::Life;
use session::{Session, subkey};
pub(crate) use wrap::WRAPPED_KEY;

/// Bytes before the messages: the first two as in every datagram.
pub(crate) const HEAD: usize = 2 + 1 + 8 + 6;

/// The slices that sealing works on.
pub(crate) struct Parts<'a> {
    pub(crate) keys: &'a mut [KeySlot],
    pub(crate) windows: &'a mut [PeerSession],
    pub(crate) window_index: &'a mut [u16],
}

/// Who has sealed a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    session: SessionId,
    counter: u64,
    /// The member whose session it is, if one has shown that.
    pub(crate) peer: Option<u16>,
    /// The slot of the key that it is sealed with, if that is not the primary one.
    under: Option<u8>,
}

impl Sender {
    /// Whether it seals with an older key than this node does, or a newer one.
    pub(crate) fn lags(&self) -> bool {
        self.under.is_some()
    }
}

/// How an answer is sealed, and what it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub(crate) struct Reply {
    /// The number of the challenge that it answers, so that its receiver sees that it is new. 0: there was none.
    answers: u32,
    /// Sealed with the key in this slot, less one; 0: with the primary one.
    under: u8,
    /// Its receiver is challenged as well.
    challenges: bool,
}

impl Reply {
    pub(crate) const PLAIN: Reply = Reply { answers: 0, under: 0, challenges: false };

    /// To the sender of a datagram.
    pub(crate) fn to(sender: Option<Sender>, answers: u32, challenges: bool) -> Reply {
        let under = sender.and_then(|sender| sender.under).map_or(0, |slot| slot + 1);
        Reply { answers, under, challenges }
    }

    /// The slot of the key that it is sealed with, if that is not the primary one.
    fn slot(&self) -> Option<usize> {
        self.under.checked_sub(1).map(usize::from)
    }

    pub(crate) fn answers(&self) -> u32 {
        self.answers
    }

    pub(crate) fn challenges(&self) -> bool {
        self.challenges
    }
}

pub(crate) struct Seal<'a> {
    keyring: Keyring<'a>,
    session: Session,
    peers: Peers<'a>,
    has_windows: bool,
    /// Challenges of this second.
    challenged: (u64, u32),
    /// How often a member has got another session, for each of some groups of addresses.
    changes: [u16; GROUPS],
    /// The application could not keep the keys of now: the next order is for it, even if it changes nothing.
    pub(crate) unkept: bool,
}

/// Bytes of the longest order about a key.
pub(crate) const ORDER_MAX: usize = 8 * WRAPPED_KEY;

/// Groups of addresses whose challenges are told apart by how often sessions have changed there.
const GROUPS: usize = 16;

impl<'a> Seal<'a> {
    pub(crate) fn new(parts: Parts<'a>, life: Life, has_windows: bool) -> Seal<'a> {
        Seal {
            has_windows,
            keyring: Keyring::new(parts.keys),
            session: Session::new(life),
            peers: Peers::new(parts.windows, parts.window_index),
            challenged: (0, 0),
            changes: [0; GROUPS],
            unkept: false,
        }
    }

    pub(crate) fn release(self) -> Parts<'a> {
        let (windows, window_index) = self.peers.release();
        Parts { keys: self.keyring.release(), windows, window_index }
    }

    /// Whether this node has a key: then it seals, and takes nothing else.
    pub(crate) fn is_on(&self) -> bool {
        !self.keyring.is_empty()
    }

    // ---- datagrams ----

    /// Opens a sealed datagram, whose first two bytes have been looked at, in place. The cheapest tests come first: a key that is
    /// not known costs nothing, a replay no decryption, a forgery only the tag.
    pub(super) fn open<'d>(
        &mut self,
        datagram: &'d mut [u8],
        cluster: Option<u32>,
    ) -> Result<(&'d [u8], Sender), Reject> {
        let Some((head, rest)) = datagram.split_first_chunk_mut::<HEAD>() else {
            return Err(Reject::Malformed);
        };
        let Some((text, tag)) = rest.split_last_chunk_mut::<TAG>() else { return Err(Reject::Malformed) };
        let [_, _, id, session @ .., c0, c1, c2, c3, c4, c5] = *head;
        let counter = u64::from_le_bytes([c0, c1, c2, c3, c4, c5, 0, 0]);
        if counter == 0 {
            return Err(Reject::Malformed);
        }
        if self.keyring.with_id(id).next().is_none() {
            return Err(Reject::UnknownKey);
        }
        let own = session == *self.session.id();
        let peer = self.peers.find(&session);
        let reflected = self.session.has_sealed(&session, counter);
        if reflected || self.has_windows && peer.is_some_and(|peer| self.peers.has_come(peer, counter)) {
            return Err(Reject::Replayed);
        }
        let (bytes, len) = associated(head, cluster);
        let opens = |slot: &usize| {
            let key = subkey(self.keyring.get(Some(*slot)).0, &session);
            cipher::open(&key, counter, &bytes[..len], text, tag)
        };
        let slot = self.keyring.with_id(id).find(opens).ok_or(Reject::Forged)?;
        if own {
            // It seals as this one does: a copy of this machine or its flash.
            self.begin_anew();
            return Err(Reject::Cloned);
        }
        // What is below the window is late, or a replay: as from a session that is not known.
        let peer = peer.filter(|peer| !self.has_windows || self.peers.is_fresh(*peer, counter));
        if let Some(peer) = peer.filter(|peer| self.peers.is_fresh(*peer, counter)) {
            self.peers.accept(peer, counter);
        }
        let under = (!self.keyring.is_primary(slot)).then_some(slot as u8);
        Ok((text, Sender { session, counter, peer, under }))
    }

    /// Seals what stands in the buffer from [`HEAD`] to `end`; how long the datagram is then. There is room for the tag.
    pub(super) fn close(&mut self, buf: &mut [u8], end: usize, cluster: Option<u32>, reply: &Reply) -> usize {
        if self.session.is_spent() {
            self.begin_anew();
        }
        let counter = self.session.count();
        let slot = reply.slot();
        let (key, id) = self.keyring.get(slot);
        buf[2] = id;
        buf[3..11].copy_from_slice(self.session.id());
        buf[11..HEAD].copy_from_slice(&counter.to_le_bytes()[..6]);
        let (head, rest) = buf.split_at_mut(HEAD);
        let (text, rest) = rest.split_at_mut(end - HEAD);
        let (bytes, len) = associated(head, cluster);
        let tag = if slot.is_some() {
            cipher::seal(&subkey(key, self.session.id()), counter, &bytes[..len], text)
        } else {
            cipher::seal(self.session.subkey(), counter, &bytes[..len], text)
        };
        rest[..TAG].copy_from_slice(&tag);
        end + TAG
    }

    /// From now on this node seals under another session: nobody knows it by that before it has answered a question.
    pub(crate) fn begin_anew(&mut self) {
        if self.is_on() {
            self.session.begin(self.keyring.get(None).0);
        }
    }

    // ---- what shows that a datagram is new ----

    /// Whether another challenge may be sent now, of so many in a second: whoever replays what he has recorded draws no more.
    pub(crate) fn may_challenge(&mut self, now: Instant, most: u32) -> bool {
        let second = now.as_micros() / 1_000_000;
        let sent = if self.challenged.0 == second { self.challenged.1 } else { 0 };
        self.challenged = (second, (sent + 1).min(most));
        sent < most
    }

    /// The number of a challenge: its answer is known by it, if it comes from there within some seconds.
    pub(crate) fn challenge(&self, to: &Address, now: Instant) -> u32 {
        self.session.challenge(to, now, false, self.changes(to))
    }

    /// Whether a challenge to this address had this number.
    pub(crate) fn has_challenged(&self, from: &Address, now: Instant, number: u32) -> bool {
        let changes = self.changes(from);
        [false, true].iter().any(|former| self.session.challenge(from, now, *former, changes) == number)
    }

    fn changes(&self, at: &Address) -> u16 {
        self.changes[at.hash() as usize % GROUPS]
    }

    /// A member has answered from its own address: from now on its session is known, and what comes again in it is refused. Whether that
    /// is news.
    pub(crate) fn bind(&mut self, member: u16, at: &Address, sender: &Sender) -> bool {
        let had = self.peers.has_session(member);
        let news = self.peers.bind(member, &sender.session, sender.counter);
        if news && had {
            // What showed that the former one was new is not to bring it back.
            let changes = &mut self.changes[at.hash() as usize % GROUPS];
            *changes = changes.wrapping_add(1);
        }
        news
    }

    /// A place in the table is given up.
    pub(crate) fn forget(&mut self, member: u16) {
        self.peers.forget(member);
    }

    // ---- keys ----

    /// Adds a key. With the first one this node begins to seal; what chooses at random for it is to begin with the number that is
    /// returned then.
    pub(crate) fn install(&mut self, key: &Key, cluster: Option<u32>) -> Result<Option<u64>, KeyError> {
        let first = !self.is_on();
        self.keyring.install(key, cluster.unwrap_or(0))?;
        if !first {
            return Ok(None);
        }
        self.session.begin(self.keyring.get(None).0);
        Ok(Some(self.session.seed()))
    }

    /// Makes a key the one that this node seals with, as an order of this Lamport time says.
    pub(crate) fn make_primary(&mut self, key: &Key, since: u64) -> Result<(), KeyError> {
        self.keyring.make_primary(key, since)?;
        self.session.rekey(self.keyring.get(None).0);
        Ok(())
    }

    /// Takes a key out.
    pub(crate) fn remove(&mut self, key: &Key) -> Result<(), KeyError> {
        self.keyring.remove(key)
    }

    /// The primary key, then the others.
    pub(crate) fn keys(&self) -> Keys<'_> {
        self.keyring.keys()
    }

    /// Since which order the primary key is that; 0: from the start.
    pub(crate) fn primary_since(&self) -> u64 {
        self.keyring.primary_since()
    }

    /// Wraps keys, as many as fit, under that of the sender of a datagram, or the primary one; how many bytes they take.
    pub(crate) fn wrap<'k>(
        &self,
        reply: Option<&Reply>,
        keys: impl Iterator<Item = &'k Key>,
        out: &mut [u8],
    ) -> Option<usize> {
        wrap::wrap(&self.keyring, reply.and_then(Reply::slot), keys, out)
    }

    /// Wraps a key for all who have another one: how many bytes that takes. The primary key travels under each of the others (as many as fit),
    /// once: whoever lacks it could not read it else.
    pub(crate) fn wrap_for_all(&self, key: &Key, out: &mut [u8; ORDER_MAX]) -> usize {
        let (places, _) = out.as_chunks_mut::<WRAPPED_KEY>();
        let under = self.keyring.beside(key).map(Some).chain([None]);
        let others = self.keyring.beside(key).count();
        let under = under.take(others.max(1));
        places
            .iter_mut()
            .zip(under)
            .filter_map(|(place, under)| wrap::wrap(&self.keyring, under, [key].into_iter(), place))
            .sum()
    }

    /// The key of an order: the first of what it was wrapped in that this node can open.
    pub(crate) fn opened<'b>(
        &self,
        wrapped: &[u8],
        out: &'b mut [u8; WRAPPED_KEY],
    ) -> Option<&'b [u8; Key::LEN]> {
        let (wraps, []) = wrapped.as_chunks::<WRAPPED_KEY>() else { return None };
        for wrap in wraps {
            *out = *wrap;
            if wrap::unwrap(&self.keyring, out).is_some_and(|keys| keys.len() == 1) {
                return out[wrap::BEFORE..].first_chunk();
            }
        }
        None
    }

    /// The bytes of keys that were wrapped under one that this node has, in place.
    pub(crate) fn unwrap<'b>(&self, wrapped: &'b mut [u8]) -> Option<&'b [[u8; Key::LEN]]> {
        wrap::unwrap(&self.keyring, wrapped)
    }
}

/// What is authenticated beside the messages: so many bytes.
fn associated(head: &[u8], cluster: Option<u32>) -> ([u8; HEAD + 4], usize) {
    let mut bytes = [0; HEAD + 4];
    bytes[..HEAD].copy_from_slice(head);
    let Some(hash) = cluster else { return (bytes, HEAD) };
    bytes[HEAD..].copy_from_slice(&hash.to_le_bytes());
    (bytes, HEAD + 4)
}

#[cfg(test)]
mod tests;

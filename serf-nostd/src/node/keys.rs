//! Keys: with the first one this node begins to seal what it sends, and takes nothing else.

use super::Node;
use crate::authority::Signed;
use crate::queries::keys::{self, KeyAnswer, KeyOrder};
use crate::queries::{Ask, QueryError};
use crate::random::Random;
use crate::time::{Duration, Instant};
use crate::wire::message::EventId;
use crate::wire::seal::{Key, KeyError, Keys, ORDER_MAX, WRAPPED_KEY};

impl Node<'_> {
    /// Adds a key to those that this node opens datagrams with. With the first one, which is to be added before anything else
    /// is done, it seals from then on; there is no way back.
    ///
    /// # Errors
    /// [`KeyError::Full`].
    pub fn install_key(&mut self, key: &Key) -> Result<(), KeyError> {
        if let Some(seed) = self.cx.wire.install(key)? {
            // Nobody who has seen some of its numbers is to foresee the next ones.
            self.cx.random = Random::new(seed);
        }
        Ok(())
    }

    /// Seals with this key from now on.
    ///
    /// # Errors
    /// [`KeyError::Unknown`] if it was not added before.
    pub fn use_key(&mut self, key: &Key) -> Result<(), KeyError> {
        self.cx.wire.seal.make_primary(key, 0)
    }

    /// Takes a key out and wipes it: what is sealed with it is refused from now on.
    ///
    /// # Errors
    /// [`KeyError`] if it is not there, or the one that this node seals with.
    pub fn remove_key(&mut self, key: &Key) -> Result<(), KeyError> {
        self.cx.wire.seal.remove(key)
    }

    /// Tells all members, this node included, what is to be done with a key. Each answers when its application has kept what has
    /// changed: [`super::Event::QueryResponse`], to be read with [`Node::key_answer`], and at last [`super::Event::QueryDone`].
    /// The key travels under the one that is used now. Before another one is used all should have it; before one is
    /// removed nobody should use it: who is left behind learns of it only from those who have both, and not even from them where
    /// orders are an operator's. `signed`: that an operator has signed it ([`KeyOrder::statement`]).
    ///
    /// # Errors
    /// As [`Node::query`].
    pub fn order_keys(
        &mut self,
        now: Instant,
        order: &KeyOrder<'_>,
        timeout: Option<Duration>,
        signed: Option<&Signed>,
    ) -> Result<EventId, QueryError> {
        let mut payload = [0; ORDER_MAX];
        let ask = keys::ask(&self.cx.wire.seal, order, &mut payload);
        let ask = Ask { timeout, signed, ..ask };
        self.query(now, &ask)
    }

    /// Answers an order of which [`super::Event::Keys`] has told: the keys are kept (`true`), there is nowhere to keep them, or they could not
    /// be for this reason; then the next order is for the application again, even if it changes nothing.
    ///
    /// # Errors
    /// As [`Node::respond`].
    pub fn keys_kept(
        &mut self,
        now: Instant,
        order: EventId,
        result: Result<bool, &str>,
    ) -> Result<(), QueryError> {
        self.enter(now);
        let e = &mut self.engines;
        self.cx.wire.seal.unkept = result.is_err();
        let done = result.map(|kept| if kept { keys::DONE } else { keys::UNKEPT });
        keys::say(&mut self.cx, &e.members, &mut e.events, &mut e.queries, order, done)
    }

    /// Reads an answer to [`Node::order_keys`], in place; `None` if it is none, or made under a key that this node does not have.
    pub fn key_answer<'a>(&self, answer: &'a mut [u8]) -> Option<KeyAnswer<'a>> {
        keys::read(&self.cx.wire.seal, answer)
    }

    /// Another member seals with another key, since a later order than the one that this node follows.
    pub(super) fn follow(&mut self, since: u64, wrapped: &[u8]) {
        let seal = &mut self.cx.wire.seal;
        let mut bytes = [0; WRAPPED_KEY];
        // Where only operators say which keys are used, no member's word counts.
        let is_due = since > seal.primary_since() && !self.cx.config.authority.protects_keys();
        let Some(bytes) = bytes.get_mut(..wrapped.len()).filter(|_| is_due) else { return };
        bytes.copy_from_slice(wrapped);
        let Some([key]) = seal.unwrap(bytes) else { return };
        let key = Key::new(*key);
        // Without room for it, it is asked for again with each datagram.
        if self.cx.wire.install(&key).is_ok() && self.cx.wire.seal.make_primary(&key, since).is_ok() {
            self.keys_changed = true;
        }
    }

    /// The keys: first the one that this node seals with. None if it does not seal.
    pub fn keys(&self) -> Keys<'_> {
        self.cx.wire.seal.keys()
    }
}

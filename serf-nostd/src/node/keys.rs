//! Keys: with the first one this node begins to seal what it sends, and takes nothing else.

use super::Node;
use crate::random::Random;
use crate::wire::seal::{Key, KeyError};

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
        self.cx.wire.seal.make_primary(key)
    }

    /// Takes a key out and wipes it: what is sealed with it is refused from now on.
    ///
    /// # Errors
    /// [`KeyError`] if it is not there, or the one that this node seals with.
    pub fn remove_key(&mut self, key: &Key) -> Result<(), KeyError> {
        self.cx.wire.seal.remove(key)
    }

    /// The keys: first the one that this node seals with. None if it does not seal.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.cx.wire.seal.keys()
    }
}

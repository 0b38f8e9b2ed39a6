//! The keys that a node has: what it opens with all of them, it seals with the primary one.

use core::error::Error;
use core::fmt;

use zeroize::Zeroize;

use super::cipher::{self, Bytes};

/// A fleet's key: 32 bytes that all its nodes know and nobody else. Wiped where it is dropped; shown nowhere.
#[derive(Clone)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Key(Bytes);

impl Key {
    /// How long a key is, in bytes.
    pub const LEN: usize = 32;

    /// A key of these bytes, which nobody must be able to guess: random ones.
    pub const fn new(bytes: [u8; Key::LEN]) -> Key {
        Key(bytes)
    }

    /// The bytes, to be written to a file or flash: who has them reads the fleet and speaks in it.
    pub const fn as_bytes(&self) -> &[u8; Key::LEN] {
        &self.0
    }
}

/// In a time that does not tell how much of them is equal.
impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.0.iter().zip(&other.0).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

impl Eq for Key {}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Key {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Key(..)");
    }
}

/// Why the ring of keys stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum KeyError {
    /// It has no room for another key: remove one first.
    Full,
    /// It does not have this key.
    Unknown,
    /// It is the primary key: make another one primary first.
    Primary,
}

impl KeyError {
    pub(crate) fn text(self) -> &'static str {
        match self {
            KeyError::Full => "the keyring is full: remove a key first",
            KeyError::Unknown => "Requested key is not in the keyring",
            KeyError::Primary => "Removing the primary key is not allowed",
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Error for KeyError {}

/// Room for a key. Opaque outside the core.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct KeySlot {
    key: Key,
    /// What datagrams that are sealed with it begin with.
    id: u8,
    used: bool,
}

impl KeySlot {
    /// Free.
    pub const EMPTY: KeySlot = KeySlot { key: Key([0; Key::LEN]), id: 0, used: false };
}

/// The ring. A key keeps its slot as long as it is in.
pub(crate) struct Keyring<'a> {
    slots: &'a mut [KeySlot],
    primary: usize,
    /// The Lamport time of the order that made it so; 0: it was from the start.
    primary_since: u64,
}

/// A node's keys: first the one that it seals with.
#[derive(Clone, Debug)]
pub struct Keys<'a> {
    slots: &'a [KeySlot],
    primary: usize,
    /// Which one comes next: 0 is the primary one, then each slot in turn.
    next: usize,
}

impl<'a> Iterator for Keys<'a> {
    type Item = &'a Key;

    fn next(&mut self) -> Option<&'a Key> {
        loop {
            let next = self.next;
            self.next += 1;
            let place = next.checked_sub(1).unwrap_or(self.primary);
            let slot = self.slots.get(place)?;
            if slot.used && (next == 0 || place != self.primary) {
                return Some(&slot.key);
            }
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Keys<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=usize} keys", self.clone().count());
    }
}

/// What a key's id is made of.
const ID: [u8; 12] = *b"serf key id\0";

impl<'a> Keyring<'a> {
    pub(crate) fn new(slots: &'a mut [KeySlot]) -> Self {
        slots.fill(KeySlot::EMPTY);
        Keyring { slots, primary: 0, primary_since: 0 }
    }

    /// Gives the memory back, without the keys.
    pub(crate) fn release(self) -> &'a mut [KeySlot] {
        self.slots.fill(KeySlot::EMPTY);
        self.slots
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.slots[self.primary].used
    }

    fn find(&self, key: &Key) -> Option<usize> {
        self.slots.iter().position(|slot| slot.used && slot.key == *key)
    }

    /// Adds a key; the first one becomes the primary one. `cluster`: the hash of the fleet's name, so that fleets of other names
    /// have other ids.
    pub(super) fn install(&mut self, key: &Key, cluster: u32) -> Result<(), KeyError> {
        if self.find(key).is_some() {
            return Ok(());
        }
        let free = self.slots.iter_mut().find(|slot| !slot.used).ok_or(KeyError::Full)?;
        let mut input = [0; 16];
        input[..12].copy_from_slice(&ID);
        input[12..].copy_from_slice(&cluster.to_le_bytes());
        let id = cipher::derive(&key.0, &input)[0];
        *free = KeySlot { key: key.clone(), id, used: true };
        Ok(())
    }

    /// Makes one of the keys the primary one, as an order of this time says.
    pub(super) fn make_primary(&mut self, key: &Key, since: u64) -> Result<(), KeyError> {
        self.primary = self.find(key).ok_or(KeyError::Unknown)?;
        self.primary_since = since;
        Ok(())
    }

    pub(super) fn primary_since(&self) -> u64 {
        self.primary_since
    }

    /// Takes a key out, and wipes it.
    pub(super) fn remove(&mut self, key: &Key) -> Result<(), KeyError> {
        let slot = self.find(key).ok_or(KeyError::Unknown)?;
        if slot == self.primary {
            return Err(KeyError::Primary);
        }
        self.slots[slot] = KeySlot::EMPTY;
        Ok(())
    }

    /// The primary key, then the others.
    pub(crate) fn keys(&self) -> Keys<'_> {
        Keys { slots: self.slots, primary: self.primary, next: 0 }
    }

    /// The key in a slot and its id; of the primary one if there is none any more.
    pub(super) fn get(&self, slot: Option<usize>) -> (&Bytes, u8) {
        let slot = slot.filter(|slot| self.slots[*slot].used).unwrap_or(self.primary);
        (&self.slots[slot].key.0, self.slots[slot].id)
    }

    /// The slots of keys with this id.
    pub(super) fn with_id(&self, id: u8) -> impl Iterator<Item = usize> {
        self.slots.iter().enumerate().filter(move |(_, slot)| slot.used && slot.id == id).map(|(at, _)| at)
    }

    /// The slots beside the primary key, if this is that.
    pub(super) fn beside(&self, key: &Key) -> impl Iterator<Item = usize> {
        let is_primary = self.find(key) == Some(self.primary);
        let others = self.slots.iter().enumerate();
        others.filter(move |(at, slot)| is_primary && slot.used && *at != self.primary).map(|(at, _)| at)
    }

    pub(super) fn is_primary(&self, slot: usize) -> bool {
        slot == self.primary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(i: u8) -> Key {
        Key::new([i; 32])
    }

    #[test]
    fn keys_come_and_go_but_the_primary_one() {
        let mut slots = [KeySlot::EMPTY; 2];
        let mut ring = Keyring::new(&mut slots);
        assert!(ring.is_empty());
        assert_eq!(ring.install(&key(1), 0), Ok(()));
        assert_eq!(ring.install(&key(2), 0), Ok(()));
        assert_eq!(ring.install(&key(1), 0), Ok(()), "it is in already");
        assert_eq!(ring.install(&key(3), 0), Err(KeyError::Full));
        assert_eq!(ring.remove(&key(1)), Err(KeyError::Primary));
        assert_eq!(ring.remove(&key(3)), Err(KeyError::Unknown));
        assert_eq!(ring.make_primary(&key(3), 0), Err(KeyError::Unknown));
        assert_eq!(ring.make_primary(&key(2), 0), Ok(()));
        assert!(ring.keys().eq([&key(2), &key(1)]), "the primary one first");
        assert_eq!(ring.remove(&key(1)), Ok(()));
        assert!(ring.keys().eq([&key(2)]));
        assert_eq!(ring.install(&key(3), 0), Ok(()), "there is room again");
        let slots = ring.release();
        assert!(slots.iter().all(|slot| slot.key.0 == [0; 32]), "wiped");
    }

    #[test]
    fn no_key_is_shown() {
        assert_eq!(std::format!("{:?}", key(65)), "Key(..)");
        let slot = KeySlot { key: key(65), id: 1, used: true };
        assert!(!std::format!("{slot:?}").contains("65"));
    }

    #[test]
    fn the_id_of_a_key_depends_on_the_fleet_s_name() {
        let mut slots = [KeySlot::EMPTY; 1];
        let ids = [0, 1, 2, 3].map(|cluster| {
            let mut ring = Keyring::new(&mut slots);
            ring.install(&key(1), cluster).expect("room");
            ring.get(None).1
        });
        assert!(ids.iter().any(|id| *id != ids[0]));
    }
}

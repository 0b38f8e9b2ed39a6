//! Keys as people write them, and what members say to orders about them.

use std::collections::BTreeMap;

use base64::DecodeError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serf_nostd::{Key, KeyOrder, Reserved, Signed};

use super::operators;

/// Reads a key in base64.
///
/// # Errors
/// What is wrong with it.
pub fn decode(text: &str) -> Result<Key, String> {
    let bytes = STANDARD.decode(text).map_err(|error| {
        let at = match error {
            DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
            // Where the group of four begins that is not whole.
            DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => text.len() / 4 * 4,
        };
        format!("illegal base64 data at input byte {at}")
    })?;
    let len = bytes.len();
    <[u8; Key::LEN]>::try_from(bytes).map(Key::new).map_err(|_| {
        let hint = match len {
            16 | 24 => " Keys of 16 and 24 bytes are for Go Serf's AES.",
            _ => "",
        };
        format!("the key has {len} bytes, and must have 32.{hint} Make one with: serf keygen")
    })
}

/// A key as it is read.
pub fn encode(key: &Key) -> String {
    STANDARD.encode(key.as_bytes())
}

/// A new key, of the system's random numbers.
///
/// # Errors
/// The system has none.
pub fn generate() -> Result<Key, getrandom::Error> {
    let mut bytes = [0; Key::LEN];
    getrandom::fill(&mut bytes)?;
    Ok(Key::new(bytes))
}

/// What is to be done with a key (in base64) by all members.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyRequest {
    /// Open what is sealed with it.
    Install(String),
    /// Seal with it.
    Use(String),
    /// Forget it.
    Remove(String),
    /// Say which there are.
    List,
}

impl KeyRequest {
    /// Calls this with it, as the core wants it.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub(super) fn lend<T>(&self, to: impl FnOnce(&KeyOrder<'_>) -> T) -> Result<T, String> {
        Ok(match self {
            KeyRequest::Install(text) => to(&KeyOrder::Install(&decode(text)?)),
            KeyRequest::Use(text) => to(&KeyOrder::Use(&decode(text)?)),
            KeyRequest::Remove(text) => to(&KeyOrder::Remove(&decode(text)?)),
            KeyRequest::List => to(&KeyOrder::List),
        })
    }

    /// Signs it with an operator's private key, now, under what [`Handle::reserve_query`](super::handle::Handle::reserve_query) has
    /// returned. `None` for the list, which needs no signature.
    ///
    /// # Errors
    /// What is wrong with the key that it is about.
    pub fn sign(&self, reserved: Reserved, key: &Key) -> Result<Option<Signed>, String> {
        self.lend(|order| {
            let statement = order.statement(reserved, operators::now());
            statement.map(|statement| operators::sign(&statement, key))
        })
    }
}

impl std::fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            KeyRequest::Install(_) => "Install(..)",
            KeyRequest::Use(_) => "Use(..)",
            KeyRequest::Remove(_) => "Remove(..)",
            KeyRequest::List => "List",
        })
    }
}

/// What the members have said.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyReport {
    /// By key, in base64: the names of those who have it.
    pub holders: BTreeMap<String, Vec<String>>,
    /// By key: the names of those who seal with it.
    pub users: BTreeMap<String, Vec<String>>,
    /// The names of those who have done it, but keep keys nowhere: their next start will not know it.
    pub unkept: Vec<String>,
    /// What is wrong, by member; also of those who have not answered.
    pub messages: BTreeMap<String, String>,
    /// Members that were asked.
    pub members: usize,
    /// Of them, those who have answered.
    pub answered: usize,
    /// Of these, those who could not do it.
    pub failed: usize,
}

impl std::fmt::Debug for KeyReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let KeyReport { members, answered, failed, messages, .. } = self;
        write!(f, "KeyReport({answered} of {members} answered, {failed} failed: {messages:?})")
    }
}

impl KeyReport {
    /// What is wrong with it as a whole, in Serf's words.
    pub fn error(&self) -> Option<String> {
        let KeyReport { members, answered, failed, .. } = self;
        match (failed, members.saturating_sub(*answered)) {
            (0, 0) => None,
            (0, _) => Some(format!("{answered}/{members} nodes reported success")),
            _ => Some(format!("{failed}/{members} nodes reported failure")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let key = generate().expect("the system has random numbers");
        assert_eq!(decode(&encode(&key)), Ok(key));
        assert_ne!(generate(), generate());
    }

    #[test]
    fn what_is_no_key_is_told_with_what_to_do() {
        let error = |text: &str| decode(text).map(|_| ()).unwrap_err();
        assert_eq!(error("*"), "illegal base64 data at input byte 0");
        assert_eq!(error("AAAA*AAA"), "illegal base64 data at input byte 4");
        assert_eq!(error("AAAAAAA"), "illegal base64 data at input byte 4");
        assert!(error("").starts_with("the key has 0 bytes, and must have 32. Make one with"));
        assert!(
            error(&STANDARD.encode([1; 16])).contains("are for Go Serf's AES. Make one with: serf keygen")
        );
        assert!(error(&STANDARD.encode([1; 33])).starts_with("the key has 33 bytes"));
    }

    #[test]
    fn nothing_shows_a_key() {
        let text = encode(&Key::new([65; 32]));
        let shown = format!("{:?}", KeyRequest::Install(text.clone()));
        let report =
            KeyReport { holders: BTreeMap::from([(text.clone(), vec!["a".into()])]), ..KeyReport::default() };
        assert!(!shown.contains(&text) && !format!("{report:?}").contains(&text));
    }
}

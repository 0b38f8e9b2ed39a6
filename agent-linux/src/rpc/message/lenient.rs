//! How fields are read and written where MessagePack's types and Go's differ.
//!
//! Go has no separate text: its strings are bytes, and it takes strings, bytes and nil for one another.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// A string, bytes or nil; any bytes.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct AnyBytes;
        impl Visitor<'_> for AnyBytes {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string, bytes or nil")
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Bytes, E> {
                Ok(Bytes(value.as_bytes().to_vec()))
            }
            fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(value.to_vec()))
            }
            fn visit_unit<E: Error>(self) -> Result<Bytes, E> {
                Ok(Bytes::default())
            }
        }
        deserializer.deserialize_any(AnyBytes)
    }
}

/// The same where only text makes sense; what is no UTF-8 becomes U+FFFD.
#[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        let Bytes(bytes) = Bytes::deserialize(deserializer)?;
        let text = String::from_utf8(bytes);
        Ok(Text(text.unwrap_or_else(|broken| String::from_utf8_lossy(broken.as_bytes()).into_owned())))
    }
}

pub(super) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    Ok(Bytes::deserialize(deserializer)?.0)
}

pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Text::deserialize(deserializer)?.0)
}

pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let texts: Vec<Text> = nil_as_default(deserializer)?;
    Ok(texts.into_iter().map(|Text(text)| text).collect())
}

pub(super) fn text_map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let map: BTreeMap<Text, Text> = nil_as_default(deserializer)?;
    Ok(map.into_iter().map(|(Text(key), Text(value))| (key, value)).collect())
}

pub(super) fn nil_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Nothing is nil, as Go's empty slices are.
pub(super) fn bytes_or_nil(value: &[u8]) -> Option<&serde_bytes::Bytes> {
    (!value.is_empty()).then(|| serde_bytes::Bytes::new(value))
}

/// Go's empty slices are nil.
pub(super) fn empty_as_nil<S: Serializer, T: Serialize>(
    items: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if items.is_empty() { serializer.serialize_none() } else { items.serialize(serializer) }
}

pub(super) fn is_zero(value: &u64) -> bool {
    *value == 0
}

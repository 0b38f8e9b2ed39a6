//! Orders about keys, and what the members say to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Signed;
use super::lenient::{nil_as_default, text};
use crate::agent::keys::KeyReport;

/// `install-key`, `use-key`, `remove-key`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct OfKey {
    /// In base64.
    #[serde(deserialize_with = "text")]
    pub key: String,
    /// That an operator has signed it. Go's agents do not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

/// Answer to the key commands, also to refused ones: Go clients wait for it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Keys {
    /// Base64 key and the number of nodes that have it.
    pub keys: Option<BTreeMap<String, u32>>,
    /// Of the keys that not all who have answered have: who does not. Go's agents do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lacking: Option<BTreeMap<String, Vec<String>>>,
    /// Errors by node.
    pub messages: Option<BTreeMap<String, String>>,
    /// Nodes that answered with an error.
    #[serde(deserialize_with = "nil_as_default")]
    pub num_err: u32,
    /// Nodes asked.
    #[serde(deserialize_with = "nil_as_default")]
    pub num_nodes: u32,
    /// Nodes that answered.
    #[serde(deserialize_with = "nil_as_default")]
    pub num_resp: u32,
    /// If not all who have answered seal with one key: who seals with which. Go's agents do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<BTreeMap<String, Vec<String>>>,
    /// Who has done it, and keeps keys nowhere. Go's agents do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unkept: Option<Vec<String>>,
}

impl From<KeyReport> for Keys {
    fn from(report: KeyReport) -> Keys {
        let KeyReport { holders, users, mut unkept, messages, members, answered, failed } = report;
        unkept.sort();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let everybody: Vec<&String> = users.values().flatten().collect();
        let lacks = |names: &Vec<String>| {
            let mut lacking: Vec<String> =
                everybody.iter().filter(|name| !names.contains(name)).map(|name| (*name).clone()).collect();
            lacking.sort();
            lacking
        };
        let lacking = holders.iter().map(|(key, names)| (key.clone(), lacks(names)));
        let lacking: BTreeMap<_, _> = lacking.filter(|(_, names)| !names.is_empty()).collect();
        Keys {
            keys: Some(holders.iter().map(|(key, names)| (key.clone(), count(names.len()))).collect()),
            lacking: Some(lacking).filter(|lacking| !lacking.is_empty()),
            messages: Some(messages),
            num_err: count(failed),
            num_nodes: count(members),
            num_resp: count(answered),
            primary: Some(users).filter(|users| users.len() > 1),
            unkept: Some(unkept).filter(|unkept| !unkept.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn who_is_behind_is_told_and_nothing_else() {
        let holders =
            BTreeMap::from([("k1".into(), names(&["a", "b", "c"])), ("k2".into(), names(&["a", "c"]))]);
        let users = BTreeMap::from([("k1".into(), names(&["b"])), ("k2".into(), names(&["a", "c"]))]);
        let report = KeyReport { holders, users, members: 4, answered: 3, ..KeyReport::default() };
        let keys = Keys::from(report);
        assert_eq!(keys.keys, Some(BTreeMap::from([("k1".into(), 3), ("k2".into(), 2)])));
        assert_eq!(keys.lacking, Some(BTreeMap::from([("k2".into(), names(&["b"]))])));
        assert_eq!(keys.primary.map(|primary| primary.len()), Some(2));
        let same = BTreeMap::from([("k1".into(), names(&["a", "b"]))]);
        let report =
            KeyReport { holders: same.clone(), users: same, members: 2, answered: 2, ..KeyReport::default() };
        let keys = Keys::from(report);
        assert!(keys.lacking.is_none() && keys.primary.is_none());
    }
}

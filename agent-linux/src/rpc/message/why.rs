//! How a member came to its state.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::lenient::{nil_as_default, text};
use crate::agent::model;

/// `why`, and `get-coordinate`: of which member.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct OfMember {
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub node: String,
}

/// Answer to `why`. Go's agents do not know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Why {
    /// The oldest first.
    #[serde(deserialize_with = "nil_as_default")]
    pub changes: Vec<Change>,
    /// As `serf members` has it; empty if there is no such member.
    #[serde(deserialize_with = "text")]
    pub status: String,
}

/// Something that has happened to a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Change {
    /// When the agent learnt it: microseconds since 1970.
    #[serde(deserialize_with = "nil_as_default")]
    pub at: i64,
    /// By whose word; empty: nobody's.
    #[serde(deserialize_with = "text")]
    pub by: String,
    /// How many others had accused it by then; or its incarnation.
    #[serde(deserialize_with = "nil_as_default")]
    pub number: u32,
    /// One of the names of [`serf_nostd::What`].
    #[serde(deserialize_with = "text")]
    pub what: String,
}

impl From<model::Why> for Why {
    fn from(why: model::Why) -> Why {
        let change = |change: model::Change| Change {
            at: change.at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |at| at.as_micros() as i64),
            by: change.by.unwrap_or_default(),
            number: change.number,
            what: change.what.as_str().to_owned(),
        };
        Why { status: why.status.as_str().to_owned(), changes: why.changes.into_iter().map(change).collect() }
    }
}

//! An event to be fired, and its receipts: which members have handed it to their applications.

use std::time::Duration;

use super::query::Target;

/// An event to be fired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserEvent {
    /// Whom it is for.
    pub target: Target,
    /// Any bytes.
    pub name: Vec<u8>,
    /// Any bytes.
    pub payload: Vec<u8>,
    /// Whether receivers may coalesce it.
    pub coalesce: bool,
}

/// How many receipts are waited for, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Percent of the living members that the event is for: 1 to 100.
    pub share: u8,
    /// From when the event has set out.
    pub timeout: Duration,
}

/// What has come of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipts {
    /// So many living members the event is for, as far as this agent knows.
    pub members: usize,
    /// Those that have not said to have handed it out by now, sorted.
    pub missing: Vec<String>,
    /// How long that took.
    pub took: Duration,
}

impl Receipts {
    /// How many have handed it out.
    pub fn reached(&self) -> usize {
        self.members - self.missing.len()
    }

    /// Whether that is the share that was waited for, in percent.
    pub fn are_enough(&self, share: u8) -> bool {
        is_share(self.reached(), self.members, share)
    }
}

/// Whether so many of these members are that share of them, in percent.
pub(crate) fn is_share(reached: usize, members: usize, share: u8) -> bool {
    reached * 100 >= members * share as usize
}

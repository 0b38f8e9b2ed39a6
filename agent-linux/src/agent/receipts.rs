//! An event to be fired, and its receipts: which members have handed it to their applications.

use std::time::Duration;

use serf_nostd::{Key, Reserved, Signed, Stated, Statement, Target};

use super::{operators, query};

/// An event to be fired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserEvent {
    /// Whom it is for.
    pub target: query::Target,
    /// Any bytes.
    pub name: Vec<u8>,
    /// Any bytes.
    pub payload: Vec<u8>,
    /// Whether receivers may coalesce it.
    pub coalesce: bool,
    /// What an operator has signed of it.
    pub signed: Option<Signed>,
}

impl UserEvent {
    /// What an operator signs of it at this time, or has. `None` if its target is too long.
    pub(super) fn stated<T>(
        &self,
        reserved: Reserved,
        time: u32,
        to: impl FnOnce(&Statement<'_>) -> T,
    ) -> Option<T> {
        let UserEvent { target, name, payload, coalesce, .. } = self;
        target.lend(|nodes, tags| {
            let mut buf = [0; 512];
            let filters = Target::new(nodes, tags).encode(&mut buf)?;
            let stated = Stated::Event { coalesce: *coalesce };
            Some(to(&Statement { reserved, time, stated, name, filters, payload }))
        })
    }

    /// Signs it with an operator's private key, now, under what [`Handle::reserve_event`](super::handle::Handle::reserve_event) has
    /// returned. A target that is too long is left unsigned, and refused when it is fired.
    pub fn sign(&mut self, reserved: Reserved, key: &Key) {
        self.signed = self.stated(reserved, operators::now(), |statement| operators::sign(statement, key));
    }
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

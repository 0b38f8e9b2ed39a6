//! User events on this node: which have been seen, whose payload is held, what is coalesced, what is missing.

pub(crate) mod arena;
pub(crate) mod coalesce;
pub(crate) mod pull;
pub(crate) mod rate;
pub(crate) mod seen;
pub(crate) mod store;

pub use store::UserEvent;

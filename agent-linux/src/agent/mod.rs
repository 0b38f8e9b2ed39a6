//! A running agent: the run loop around the gossip core and what hangs on it.

pub mod filter;
pub mod handle;
pub mod model;

//! A running agent: the run loop around the gossip core and what hangs on it.

pub mod address;
pub mod driver;
pub mod embed;
pub mod error;
pub mod expression;
pub mod filter;
pub mod handle;
pub mod handler;
pub mod hub;
pub(crate) mod kept_file;
pub mod keyring_file;
pub mod keys;
pub mod log;
pub mod lossy_channel;
pub mod memory;
pub mod model;
pub mod once;
pub mod operators;
pub mod query;
pub mod receipts;
mod rejoin;
pub mod seeds;
mod snapshot;
pub mod socket;
pub mod stdout;
pub mod tags;
pub mod tags_file;

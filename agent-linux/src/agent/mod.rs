//! A running agent: the run loop around the gossip core and what hangs on it.

pub mod address;
pub mod config;
pub mod console;
pub mod driver;
pub mod embed;
pub mod filter;
pub mod handle;
pub mod handler;
pub mod log;
pub mod memory;
pub mod model;
pub mod run;
pub mod signals;
pub mod socket;
pub mod stdout;
pub mod tags;

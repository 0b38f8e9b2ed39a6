//! The Serf agent and the `serf` command: everything that needs an operating system.
//!
//! - [`agent`]: the run loop around the gossip core, handlers, configuration, logs.
//! - [`rpc`]: Serf's MessagePack RPC, both sides; [`rpc::client`] is public API.
//! - [`cli`]: one file per command.
#![forbid(unsafe_code)]

pub mod agent;
pub mod cli;
pub mod rpc;

//! The Serf agent and the `serf` command: everything that needs an operating system.
//!
//! Each uses only those above it:
//!
//! - [`agent`]: the run loop around the gossip core, handlers, logs, and who listens to events. [`agent::embed`] starts one in
//!   any program.
//! - [`rpc`]: Serf's MessagePack RPC, both sides; [`rpc::client`] is public API.
//! - [`process`]: `serf agent`: settings, terminal and signals around an agent.
//! - [`cli`]: one file per command.
// One call of the allocator's, in `process::heap`.
#![deny(unsafe_code)]

pub mod agent;
pub mod cli;
pub mod process;
pub mod rpc;

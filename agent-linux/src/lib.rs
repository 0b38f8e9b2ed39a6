//! The Serf agent and the `serf` command: everything that needs an operating system.
//!
//! Each uses only those above it:
//!
//! - [`agent`]: the run loop around the gossip core, handlers, logs, and who listens to events. An [`Agent`] runs in
//!   any program: `examples/embedded.rs`.
//! - [`rpc`]: Serf's MessagePack RPC, both sides; [`rpc::client`] is public API: `examples/rpc.rs`.
//! - [`http`]: what anybody may read of an agent: metrics, members, whether it is well.
//! - [`statsd`]: numbers, pushed.
//! - [`process`]: `serf agent`: settings, terminal and signals around an agent.
//! - [`cli`]: one file per command.
// One call of the allocator's, in `process::heap`.
#![deny(unsafe_code)]

pub mod agent;
pub mod cli;
pub mod http;
pub mod process;
pub mod rpc;
pub mod statsd;

/// The front page's example is one of this crate's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

// An agent in any program.
pub use agent::embed::{Agent, Setup};
pub use agent::error::{Refusal, StartError};
pub use agent::filter::Filter;
pub use agent::handle::Handle;
pub use agent::model::{Event, Member};
pub use agent::query::{Query, Question, Replies, Reply, Target};

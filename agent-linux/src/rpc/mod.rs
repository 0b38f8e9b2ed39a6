//! Serf's RPC over TCP: MessagePack values in a row, version 1 of the protocol.
//!
//! - [`wire`]: where one value ends, and its limits.
//! - [`message`]: what the values say.
//! - [`queue`]: the bounded, lossy queue behind every stream; [`hub`] and [`logs`] hand events and log lines to them.
//! - [`server`]: the agent's side; [`client`]: the other one, for the CLI and for programs.

pub mod client;
mod command;
mod demux;
pub mod hub;
pub mod logs;
pub mod message;
mod outbox;
pub mod queue;
mod select;
pub mod server;
mod session;
pub mod wire;

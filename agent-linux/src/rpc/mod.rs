//! Serf's RPC over TCP: MessagePack values in a row, version 1 of the protocol.
//!
//! - [`wire`]: where one value ends, and its limits.
//! - [`message`]: what the values say.
//! - [`listing`]: members as JSON shows them.
//! - [`logs`]: the latest log lines, for monitors.
//! - [`server`]: the agent's side; [`client`]: the other one, for the CLI and for programs.

pub mod client;
mod command;
mod context;
mod demux;
mod error;
pub mod listing;
pub mod logs;
pub mod message;
mod outbox;
mod questions;
mod select;
pub mod server;
mod session;
mod standing;
pub mod wire;

//! Serf's RPC over TCP or a Unix socket: MessagePack values in a row, version 1 of the protocol.
//!
//! - [`wire`]: where one value ends, and its limits.
//! - [`message`]: what the values say.
//! - [`listing`]: members as JSON shows them.
//! - [`logs`]: the latest log lines, for monitors.
//! - [`address`]: where an agent answers; [`listener`]: how it waits there; [`token`]: what it asks for.
//! - [`server`]: the agent's side; [`client`]: the other one, for the CLI and for programs.

pub mod address;
pub mod client;
mod command;
mod connection;
mod context;
mod demux;
mod dial;
mod error;
pub mod listener;
pub mod listing;
pub mod logs;
pub mod message;
mod outbox;
mod questions;
mod select;
pub mod server;
mod session;
mod standing;
pub mod token;
mod volley;
pub mod wire;

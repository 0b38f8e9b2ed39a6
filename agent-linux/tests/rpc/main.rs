//! The RPC over real sockets: rules of the session, streams, hostile clients, and the project's own client.

mod client;
mod fake;
mod hostile;
mod session;
mod streams;
mod unix;

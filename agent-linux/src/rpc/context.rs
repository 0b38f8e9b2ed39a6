//! What all connections of a server share, and what it allows them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::logs::LogHub;
use super::token::Token;
use super::wire::Limits;
use crate::agent::handle::Handle;
use crate::agent::hub::Hub;

/// What a server allows. The default is what `serf agent` uses, without a token.
#[derive(Clone, Debug)]
pub struct Options {
    /// The token that `auth` has to bring over TCP; empty: none is needed.
    pub auth: Token,
    /// Connections at one time. 256. For one more, the oldest is closed that has not come past the handshake (and `auth`); if all
    /// have, the one for which nothing has been done for the longest time, 10 s at least. If there is none it is told `Too many
    /// RPC connections`, and closed itself.
    pub connections: usize,
    /// Streams (a monitor included) at one time on one connection; one more is refused. 64.
    pub streams: usize,
    /// Streams at one time on all connections. 1,024.
    pub all_streams: usize,
    /// The size of one request. 256 KiB.
    pub limits: Limits,
    /// How long a connection may take for the handshake, and for `auth` where a token is needed. 10 s.
    pub handshake: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            auth: Token::default(),
            connections: 256,
            streams: 64,
            all_streams: 1024,
            limits: Limits::REQUEST,
            handshake: Duration::from_secs(10),
        }
    }
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) handle: Handle,
    pub(super) hub: Hub,
    pub(super) logs: LogHub,
    /// What is left of [`Options::all_streams`].
    pub(super) streams: Arc<Semaphore>,
    pub(super) options: Options,
}

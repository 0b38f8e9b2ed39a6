//! How a connection stands while all places are taken.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A client for whom nothing has been done for so long gives way to another one.
const IDLE: Duration = Duration::from_secs(10);

/// Shared by a session, which tells how it stands, and the server, which asks.
#[derive(Clone, Debug)]
pub(super) struct Standing(Arc<Mutex<(State, Instant)>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has not come past its handshake, and `auth` where a token is needed.
    Stranger,
    /// It has been admitted, and asks for nothing, or does not take its answer.
    Idle,
    /// A request is under way, or it has streams.
    Served,
}

impl Standing {
    pub(super) fn new() -> Standing {
        Standing(Arc::new(Mutex::new((State::Stranger, Instant::now()))))
    }

    pub(super) fn set(&self, state: State) {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.0 != state {
            *standing = (state, Instant::now());
        }
    }

    /// Whether it gives way to others: strangers before all others (`false`), each kind in the order of these times.
    pub(super) fn gives_way(&self) -> Option<(bool, Instant)> {
        let (state, since) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            State::Stranger => Some((false, since)),
            State::Idle if since.elapsed() >= IDLE => Some((true, since)),
            State::Idle | State::Served => None,
        }
    }
}

//! What an agent says when its process ends without leaving: on SIGTERM, and on a panic.

use std::net::SocketAddr;
use std::panic;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::socket::Socket;

/// "My process ends", to a few members. They look soon whether the agent still answers, and soon all know that it does not.
///
/// It is kept ready, since who panics can't ask anybody.
#[derive(Clone, Default)]
pub struct Farewell(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    words: Option<Words>,
    /// It was said, or the agent has left.
    over: bool,
}

struct Words {
    /// The agent's own: members know it by that address. It is closed with the last who holds it.
    socket: Arc<Socket>,
    bytes: Vec<u8>,
    to: Vec<SocketAddr>,
}

impl Farewell {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This is to be said, to these.
    pub(super) fn prepare(&self, socket: &Arc<Socket>, bytes: &[u8], to: impl Iterator<Item = SocketAddr>) {
        let mut state = self.lock();
        if !state.over {
            state.words = Some(Words { socket: socket.clone(), bytes: bytes.to_vec(), to: to.collect() });
        }
    }

    /// The agent has left: there is nothing to be said any more.
    pub(super) fn forget(&self) {
        *self.lock() = State { words: None, over: true };
    }

    /// Says it if this process panics, before anything else that is done then. For a process in which a panic is the end.
    pub fn say_on_panic(&self) {
        let (words, before) = (self.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |info| {
            words.say();
            before(info);
        }));
    }

    /// Says it, once. To be called when the agent answers nobody any more, or whoever asks is told that it lives: what it says is
    /// no proof. Waits for nothing.
    pub fn say(&self) {
        // Who panics may hold it.
        let Ok(mut state) = self.0.try_lock() else { return };
        state.over = true;
        if let Some(Words { socket, bytes, to }) = state.words.take() {
            for to in to {
                // It is no loss: the others find out by themselves.
                let _ = socket.send(&bytes, to);
            }
        }
    }
}

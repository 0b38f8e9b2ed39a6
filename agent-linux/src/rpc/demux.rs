//! The client's two tasks: writing requests, and taking answers and records to whoever waits for them.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::connection::{ReadHalf, WriteHalf};
use super::error::Error;
use super::message::{ResponseHeader, refusal};
use super::wire::{self, Reader};
use crate::agent::lossy_channel;

/// What came back for a request; an empty error is none.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) error: String,
    pub(super) body: Vec<u8>,
}

/// Who waits for a sequence number. Stays until the agent has answered, even if nobody waits any more: it tells whether
/// a body follows.
#[derive(Debug)]
pub(super) enum Waiting {
    /// A plain request.
    Answer {
        /// Whether a body follows the header of the answer.
        has_body: bool,
        /// Who asked.
        to: oneshot::Sender<Answer>,
    },
    /// A stream or monitor, running once nobody waits for its start.
    Stream {
        /// Who asked for it.
        started: Option<oneshot::Sender<Answer>>,
        /// Where its records go.
        feed: lossy_channel::Sender<Vec<u8>>,
    },
}

/// Everybody who waits on one connection.
#[derive(Debug, Default)]
pub(super) struct Demux {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<u64, Waiting>,
    /// Why the connection has ended, if it has.
    end: Option<Error>,
}

impl Demux {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces an answer.
    ///
    /// # Errors
    /// Why the connection has ended, if it has.
    pub(super) fn expect(&self, seq: u64, waiting: Waiting) -> Result<(), Error> {
        let mut state = self.lock();
        match &state.end {
            Some(error) => Err(error.clone()),
            None => {
                state.waiting.insert(seq, waiting);
                Ok(())
            }
        }
    }

    /// Goes on waiting for records, unless the connection has ended meanwhile.
    fn keep(&self, seq: u64, feed: lossy_channel::Sender<Vec<u8>>) {
        let _ = self.expect(seq, Waiting::Stream { started: None, feed });
    }

    /// Why the connection has ended.
    pub(super) fn end(&self) -> Error {
        self.lock().end.clone().unwrap_or(Error::Closed)
    }

    /// Ends the connection for all who wait; the first reason counts.
    fn finish(&self, error: Error) {
        let mut state = self.lock();
        state.end.get_or_insert(error);
        state.waiting.clear();
    }

    /// Writes requests until there are no more or one cannot be sent within `limit`.
    pub(super) async fn write(
        self: Arc<Self>,
        mut stream: WriteHalf,
        mut requests: mpsc::Receiver<Vec<u8>>,
        limit: Duration,
    ) {
        while let Some(request) = requests.recv().await {
            match timeout(limit, stream.write_all(&request)).await {
                Ok(Ok(())) => {}
                // The agent may have said why before it closed: the reader knows.
                Ok(Err(_)) => return,
                Err(_) => return self.finish(Error::WriteTimeout),
            }
        }
    }

    /// Reads until the agent closes the connection or cannot be understood.
    pub(super) async fn read(self: Arc<Self>, mut stream: Reader<Box<dyn ReadHalf>>) {
        let error = match self.take_all(&mut stream).await {
            Ok(error) => error,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Error::Protocol(error.to_string()),
            Err(_) => Error::Closed,
        };
        self.finish(error);
    }

    async fn take_all(&self, stream: &mut Reader<Box<dyn ReadHalf>>) -> io::Result<Error> {
        while let Some(header) = stream.next().await? {
            let ResponseHeader { error, missed, seq } =
                wire::decode(&header).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if seq == 0 && !error.is_empty() {
                // Said unasked: the agent turns us away.
                return Ok(Error::Refused(error));
            }
            let waiting = self.lock().waiting.remove(&seq);
            match waiting {
                Some(Waiting::Answer { has_body, to }) => {
                    let mut body = Vec::new();
                    if has_body && ![refusal::AUTH_REQUIRED, refusal::UNSUPPORTED_COMMAND].contains(&&*error)
                    {
                        let Some(bytes) = stream.next().await? else { break };
                        body = bytes;
                    }
                    // Whoever asked may have given up.
                    let _ = to.send(Answer { error, body });
                }
                Some(Waiting::Stream { started: Some(to), feed }) => {
                    if error.is_empty() {
                        self.keep(seq, feed);
                    }
                    let _ = to.send(Answer { error, body: Vec::new() });
                }
                // A stream that was stopped stays listed: records that were already under way have bodies too.
                Some(Waiting::Stream { started: None, feed }) if error.is_empty() => {
                    let Some(record) = stream.next().await? else { break };
                    let size = record.len();
                    feed.push(record, size, missed);
                    self.keep(seq, feed);
                }
                // The end of a stream; or Go's second refusal of one request: it takes the body for another.
                Some(Waiting::Stream { .. }) | None => {}
            }
        }
        Ok(Error::Closed)
    }
}

//! The door of a running agent for everything in the same process: the RPC server, the demo, tests.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot};

use super::model::{Member, Stats};

/// A question or order to the run loop. Every one is answered on its `reply`; errors are the texts that Serf prints.
#[derive(Debug)]
pub enum Request {
    /// Fire a user event; answered once it holds a slot of its own, or with `event queue full` after 5 s.
    Event {
        /// Name, any bytes.
        name: Vec<u8>,
        /// Payload, any bytes.
        payload: Vec<u8>,
        /// Whether receivers may coalesce it.
        coalesce: bool,
        /// Answer.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// All members, this node included, unsorted.
    Members {
        /// Answer.
        reply: oneshot::Sender<Vec<Member>>,
    },
    /// Join through these addresses (`[name/]host[:port]`).
    Join {
        /// Addresses to contact.
        addresses: Vec<String>,
        /// Whether events from before the join are wanted.
        replay: bool,
        /// How many answered, and the error text if none did.
        reply: oneshot::Sender<(usize, Option<String>)>,
    },
    /// Leave the cluster in good order; answered when done. The agent then exits.
    Leave {
        /// Answer.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Declare a failed member as left.
    ForceLeave {
        /// The member's name.
        node: String,
        /// Whether to erase it.
        prune: bool,
        /// Answer.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Replace this node's tags.
    SetTags {
        /// All of them.
        tags: BTreeMap<String, String>,
        /// Answer.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Sections of `serf info` (`agent`, `runtime`, `serf`, `tags`, `event_handlers`), all values as text.
    Stats {
        /// Answer.
        reply: oneshot::Sender<Stats>,
    },
}

/// Cloneable access to a running agent.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
}

/// The agent has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl Handle {
    /// A handle, and the end at which the run loop takes the requests.
    pub fn new(capacity: usize) -> (Handle, mpsc::Receiver<Request>) {
        let (requests, taken) = mpsc::channel(capacity);
        (Handle { requests }, taken)
    }

    /// Sends the request that `make` builds around its reply, and waits for the answer.
    ///
    /// # Errors
    /// [`Gone`] if the agent has ended.
    pub async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(make(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// Waits until the agent has ended: the run loop has dropped its end.
    pub async fn gone(&self) {
        self.requests.closed().await;
    }
}

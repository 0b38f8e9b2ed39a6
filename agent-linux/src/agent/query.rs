//! Queries: what passes between the run loop, whoever asks the fleet, and whoever answers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serf_nostd::wire::message::EventId;
use serf_nostd::{Key, Reserved, Signed, Stated, Statement};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::error::{Refusal, check_name};
use super::{expression, operators};

/// Whom a query or an event is for: who has one of the names, if there are any, and all of the tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Names of members; none: whatever their names.
    pub nodes: Vec<String>,
    /// Tags, and a regular expression that must be found in the value of each; a missing tag counts as empty.
    pub tags: BTreeMap<String, String>,
}

impl Target {
    /// Calls this with it, as the core wants it.
    pub(super) fn lend<T>(&self, to: impl FnOnce(&[&str], &[(&str, &str)]) -> T) -> T {
        let nodes: Vec<&str> = self.nodes.iter().map(String::as_str).collect();
        let tags: Vec<(&str, &str)> = self.tags.iter().map(|(tag, text)| (&**tag, &**text)).collect();
        to(&nodes, &tags)
    }

    /// That its names can be some member's, and its expressions be evaluated.
    ///
    /// # Errors
    /// [`Refusal::Name`], [`Refusal::Expression`].
    pub(super) fn check(&self) -> Result<(), Refusal> {
        self.nodes.iter().try_for_each(|node| check_name(node))?;
        let each = self.tags.values().try_for_each(|text| expression::anywhere(text).map(drop));
        each.map_err(Refusal::Expression)
    }
}

/// A question to the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// What it is about; not `_serf_...`.
    pub name: String,
    /// Any bytes.
    pub payload: Vec<u8>,
    /// Who is asked.
    pub target: Target,
    /// Whether whoever is asked is to say so at once.
    pub ack: bool,
    /// How long answers are waited for; `None`: as long as Serf does, 3.2 s in a small fleet.
    pub timeout: Option<Duration>,
    /// Whether to wait so long even if all have answered.
    pub wait_full_timeout: bool,
    /// What an operator has signed of it.
    pub signed: Option<Signed>,
}

impl Query {
    /// Signs it with an operator's private key, now, under what [`Handle::reserve_query`](super::handle::Handle::reserve_query) has
    /// returned. A target that is too long is left unsigned, and refused when it is asked.
    pub fn sign(&mut self, reserved: Reserved, key: &Key) {
        let Query { name, payload, target, ack, .. } = &*self;
        self.signed = target.lend(|nodes, tags| {
            let mut buf = [0; 512];
            let filters = serf_nostd::Target::new(nodes, tags).encode(&mut buf)?;
            let (time, stated) = (operators::now(), Stated::Query { ack: *ack });
            let said = Statement { reserved, time, stated, name: name.as_bytes(), filters, payload };
            Some(operators::sign(&said, key))
        });
    }
}

/// What a member says to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It has received it.
    Ack {
        /// Its name.
        from: String,
    },
    /// It answers.
    Response {
        /// Its name.
        from: String,
        /// Any bytes.
        payload: Vec<u8>,
    },
}

/// What the fleet says to a query: of each member an acknowledgement and a response at most.
#[derive(Debug)]
pub struct Replies(pub(super) mpsc::UnboundedReceiver<Reply>);

impl Replies {
    /// Replies, and where the run loop puts them; they end when that is dropped.
    pub fn new() -> (mpsc::UnboundedSender<Reply>, Replies) {
        // No more come than members, twice.
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Replies(receiver))
    }

    /// Waits for the next one; `None` once all who were asked have answered or do not live any more, or time is over. Cancel safe.
    pub async fn next(&mut self) -> Option<Reply> {
        self.0.recv().await
    }
}

/// A question to this node. Whoever may have an answer holds it; when the last one has let go of it, the asker is told that
/// there is none.
pub struct Question {
    pub(super) id: EventId,
    /// What it is about.
    pub name: String,
    /// Any bytes.
    pub payload: Vec<u8>,
    /// Who asks.
    pub source: String,
    /// Until when the asker waits.
    pub deadline: Instant,
    pub(super) answers: mpsc::UnboundedSender<Answer>,
}

/// An answer on its way to the run loop; without a payload: there is none.
#[derive(Debug)]
pub struct Answer {
    pub(super) id: EventId,
    pub(super) payload: Option<Vec<u8>>,
    /// Who wants to know what became of it.
    pub(super) reply: Option<oneshot::Sender<Result<(), Refusal>>>,
}

impl Question {
    /// Lamport time it was stamped with.
    pub fn ltime(&self) -> u64 {
        self.id.ltime
    }

    /// Answers. Of several answers the first one counts.
    ///
    /// # Errors
    /// [`Refusal::Answer`], [`Refusal::Gone`].
    pub async fn respond(&self, payload: Vec<u8>) -> Result<(), Refusal> {
        let (reply, outcome) = oneshot::channel();
        let answer = Answer { id: self.id, payload: Some(payload), reply: Some(reply) };
        self.answers.send(answer).map_err(|_| Refusal::Gone)?;
        outcome.await.map_err(|_| Refusal::Gone)?
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // After an answer this says nothing new. The run loop may have ended.
        let _ = self.answers.send(Answer { id: self.id, payload: None, reply: None });
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Question({:?} of {:?}, {:?})", self.name, self.source, self.id)
    }
}

/// Each is told of once only.
impl PartialEq for Question {
    fn eq(&self, other: &Question) -> bool {
        self.id == other.id
    }
}

impl Eq for Question {}

//! The door of a running agent for everything in the same process: the RPC server, the demo, tests.

use std::collections::BTreeMap;
use std::time::Duration;

use serf_nostd::{Coordinate, Reserved, Signed};
use tokio::sync::{mpsc, oneshot};

use super::error::Refusal;
use super::figures::Figures;
use super::handler::Spec;
use super::keys::{KeyReport, KeyRequest};
use super::model::{Member, Stats, Why};
use super::moves::Move;
use super::operators::Operator;
use super::query::{Query, Replies, Target};
use super::receipts::{Receipts, UserEvent, Wait};

/// A question or order to the run loop, answered on its `reply`. [`Handle`] has a method for each.
#[derive(Debug)]
#[non_exhaustive]
pub enum Request {
    /// Fire a user event; answered once it holds a slot of its own, or with `event queue full` after 5 s.
    Event {
        /// What, and for whom.
        event: UserEvent,
        /// Answer.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Fire a user event and wait until members have handed it out; answered when enough have, or time is over.
    Receipts {
        /// What, and for whom.
        event: UserEvent,
        /// How many, and how long.
        wait: Wait,
        /// Answer.
        reply: oneshot::Sender<Result<Receipts, Refusal>>,
    },
    /// Ask the fleet; answered once that has begun, or with `event queue full` after 5 s.
    Query {
        /// What, and whom.
        query: Query,
        /// Answer.
        reply: oneshot::Sender<Result<Replies, Refusal>>,
    },
    /// All members, this node included, unsorted.
    Members {
        /// Answer.
        reply: oneshot::Sender<Vec<Member>>,
    },
    /// How many other members are alive.
    Others {
        /// Answer.
        reply: oneshot::Sender<usize>,
    },
    /// Join through these addresses (`[name/]host[:port]`, `srv:NAME`).
    Join {
        /// Addresses to contact.
        addresses: Vec<String>,
        /// Whether events from before the join are wanted.
        replay: bool,
        /// How many answered.
        reply: oneshot::Sender<Result<usize, Refusal>>,
    },
    /// The machine has another address.
    Moved(Move),
    /// Hand out all that waits for later values: the agent is about to end.
    HandOut {
        /// Answer.
        reply: oneshot::Sender<()>,
    },
    /// Leave the cluster in good order; answered when done. The agent then exits.
    Leave {
        /// Answer.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Declare a failed member as left.
    ForceLeave {
        /// The member's name.
        node: String,
        /// Whether to erase it.
        prune: bool,
        /// Answer.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Replace this node's handlers.
    SetHandlers {
        /// All of them.
        handlers: Vec<Spec>,
        /// Answer.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Know these operators from now on.
    SetOperators {
        /// All of them.
        operators: Vec<Operator>,
        /// Answer.
        reply: oneshot::Sender<()>,
    },
    /// Allow events, queries and answers of so many bytes from now on, and scripts to run for so long.
    SetLimits {
        /// Of events, queries and answers.
        sizes: [u16; 3],
        /// Of scripts that begin from now on.
        handler_timeout: Option<Duration>,
        /// Answer.
        reply: oneshot::Sender<()>,
    },
    /// Replace this node's tags.
    SetTags {
        /// All of them.
        tags: BTreeMap<String, String>,
        /// Answer.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Change some of this node's tags; answered once all is kept that is to be kept.
    EditTags {
        /// To have these values from now on.
        set: BTreeMap<String, String>,
        /// Not to be there any more, unless they are set as well.
        delete: Vec<String>,
        /// Answer.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Tell all members what to do with a key; answered when all have answered, or time is over.
    Keys {
        /// What, and with which.
        request: KeyRequest,
        /// That an operator has signed it.
        signed: Option<Signed>,
        /// Answer.
        reply: oneshot::Sender<Result<KeyReport, Refusal>>,
    },
    /// An identity is to be kept for an event.
    ReserveEvent {
        /// Answer.
        reply: oneshot::Sender<Result<Reserved, Refusal>>,
    },
    /// An identity is to be kept for a query.
    ReserveQuery {
        /// How long its answers are waited for; `None`: as long as Serf does.
        timeout: Option<Duration>,
        /// Answer.
        reply: oneshot::Sender<Result<Reserved, Refusal>>,
    },
    /// Where a member is in the space of round trips.
    Coordinate {
        /// Its name.
        node: String,
        /// Answer, if that is known.
        reply: oneshot::Sender<Option<Coordinate>>,
    },
    /// What has happened to a member.
    Why {
        /// Its name.
        node: String,
        /// Answer; `None` if there is no such member.
        reply: oneshot::Sender<Option<Why>>,
    },
    /// Sections of `serf info` (`agent`, `runtime`, `serf`, `tags`, `event_handlers`), all values as text.
    Stats {
        /// Answer.
        reply: oneshot::Sender<Stats>,
    },
    /// All numbers.
    Figures {
        /// Answer.
        reply: oneshot::Sender<Figures>,
    },
}

/// Cloneable access to a running agent.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
}

/// Likewise, without keeping the agent from ending when nobody else has it.
#[derive(Clone, Debug)]
pub(crate) struct WeakHandle {
    requests: mpsc::WeakSender<Request>,
}

impl WeakHandle {
    /// `None`: nobody has the agent any more.
    pub(super) fn upgrade(&self) -> Option<Handle> {
        self.requests.upgrade().map(|requests| Handle { requests })
    }
}

impl Handle {
    pub(crate) fn weak(&self) -> WeakHandle {
        WeakHandle { requests: self.requests.downgrade() }
    }

    /// A handle, and the end at which the run loop takes the requests.
    pub fn new(capacity: usize) -> (Handle, mpsc::Receiver<Request>) {
        let (requests, taken) = mpsc::channel(capacity);
        (Handle { requests }, taken)
    }

    /// Fires a user event: name and payload may be any bytes. Done once the agent has taken it in, which is up to 5 s later
    /// if its fleet is busy. `coalesce`: of several events of one name that come in short succession each member may hand out
    /// the last one only.
    ///
    /// # Errors
    /// [`Refusal::Event`], [`Refusal::Gone`].
    pub async fn event(
        &self,
        name: impl Into<Vec<u8>>,
        payload: impl Into<Vec<u8>>,
        coalesce: bool,
    ) -> Result<(), Refusal> {
        let (name, payload, target) = (name.into(), payload.into(), Target::default());
        self.event_for(UserEvent { target, name, payload, coalesce, signed: None }).await
    }

    /// The same for some members: the others pass it on only. It is coalesced with events of the same name and target.
    ///
    /// # Errors
    /// [`Refusal::Event`], [`Refusal::Name`], [`Refusal::Expression`], [`Refusal::Gone`].
    pub async fn event_for(&self, event: UserEvent) -> Result<(), Refusal> {
        self.ask(|reply| Request::Event { event, reply }).await?
    }

    /// As [`Handle::event_for`], without waiting: its answer comes there.
    ///
    /// # Errors
    /// [`Refusal::Gone`].
    pub async fn submit_event(
        &self,
        event: UserEvent,
    ) -> Result<oneshot::Receiver<Result<(), Refusal>>, Refusal> {
        self.submit(|reply| Request::Event { event, reply }).await
    }

    /// Keeps an identity for an event that an operator is to sign: see [`serf_nostd::Statement`]. What is signed is fired with
    /// [`Handle::event_for`].
    ///
    /// # Errors
    /// [`Refusal::Event`], [`Refusal::Gone`].
    pub async fn reserve_event(&self) -> Result<Reserved, Refusal> {
        self.ask(|reply| Request::ReserveEvent { reply }).await?
    }

    /// Likewise for a query, or an order about keys: [`Query::sign`], [`KeyRequest::sign`]. How long its answers are waited for is signed as
    /// well; `None`: as long as Serf does.
    ///
    /// # Errors
    /// [`Refusal::Event`], [`Refusal::Gone`].
    pub async fn reserve_query(&self, timeout: Option<Duration>) -> Result<Reserved, Refusal> {
        self.ask(|reply| Request::ReserveQuery { timeout, reply }).await?
    }

    /// Fires a user event and waits until members have handed it to their applications: so many of those that live and that it
    /// is for, this node among them, or for so long.
    ///
    /// # Errors
    /// As [`Handle::event_for`]; [`Refusal::Receipts`]: the event is on its way, but nobody was asked for receipts.
    pub async fn event_with_receipts(&self, event: UserEvent, wait: Wait) -> Result<Receipts, Refusal> {
        self.ask(|reply| Request::Receipts { event, wait, reply }).await?
    }

    /// Asks the fleet, this node included. What is said to it comes one by one; members answer with what their handlers print, or
    /// by [`Question::respond`](super::query::Question::respond).
    ///
    /// # Errors
    /// [`Refusal::Query`], [`Refusal::QueryName`], [`Refusal::Name`], [`Refusal::Expression`], [`Refusal::Gone`].
    pub async fn query(&self, query: Query) -> Result<Replies, Refusal> {
        self.ask(|reply| Request::Query { query, reply }).await?
    }

    /// All members, this node included, unsorted.
    ///
    /// # Errors
    /// [`Refusal::Gone`].
    pub async fn members(&self) -> Result<Vec<Member>, Refusal> {
        self.ask(|reply| Request::Members { reply }).await
    }

    /// How many other members are alive, as far as this agent knows.
    ///
    /// # Errors
    /// [`Refusal::Gone`].
    pub async fn others(&self) -> Result<usize, Refusal> {
        self.ask(|reply| Request::Others { reply }).await
    }

    /// Hands out all that waits for later values.
    pub(super) async fn hand_out(&self) -> Result<(), Refusal> {
        self.ask(|reply| Request::HandOut { reply }).await
    }

    /// The machine has another address.
    pub(super) async fn moved(&self, moved: Move) -> Result<(), Refusal> {
        self.requests.send(Request::Moved(moved)).await.map_err(|_| Refusal::Gone)
    }

    /// Joins through members at these addresses (`[name/]host[:port]`, where this agent's port is the usual one, or `srv:NAME`, a DNS
    /// service), of which one is enough; tells how many have answered. `replay`: events from before the join are wanted, too. Given
    /// up when this is dropped.
    ///
    /// # Errors
    /// [`Refusal::NotJoined`] if nobody has answered, [`Refusal::TooManyAddresses`], [`Refusal::TooManyJoins`],
    /// [`Refusal::Gone`].
    pub async fn join(&self, addresses: Vec<String>, replay: bool) -> Result<usize, Refusal> {
        self.ask(|reply| Request::Join { addresses, replay, reply }).await?
    }

    /// Leaves the cluster in good order; done when the others have been told. Then the agent ends.
    ///
    /// # Errors
    /// [`Refusal::Leaving`], [`Refusal::Gone`].
    pub async fn leave(&self) -> Result<(), Refusal> {
        self.ask(|reply| Request::Leave { reply }).await?
    }

    /// Counts a failed member as left; `prune`: and forgets it. A member that nobody knows is no error.
    ///
    /// # Errors
    /// [`Refusal::Name`], [`Refusal::Gone`].
    pub async fn force_leave(&self, node: String, prune: bool) -> Result<(), Refusal> {
        self.ask(|reply| Request::ForceLeave { node, prune, reply }).await?
    }

    /// Replaces this node's handlers, also for the events that wait; a script that runs goes on.
    ///
    /// # Errors
    /// [`Refusal::Tags`]: the tags have no room for the mark of those that run once, and nothing has changed; [`Refusal::Gone`].
    pub async fn set_handlers(&self, handlers: Vec<Spec>) -> Result<(), Refusal> {
        self.ask(|reply| Request::SetHandlers { handlers, reply }).await?
    }

    /// Knows these operators from now on, and no others. The memory of those before is not given back.
    ///
    /// # Errors
    /// [`Refusal::Gone`].
    pub async fn set_operators(&self, operators: Vec<Operator>) -> Result<(), Refusal> {
        self.ask(|reply| Request::SetOperators { operators, reply }).await
    }

    /// Allows events, queries and answers of so many bytes from now on (1,327 at most), and scripts to run for so long.
    ///
    /// # Errors
    /// [`Refusal::Gone`].
    pub async fn set_limits(
        &self,
        sizes: [u16; 3],
        handler_timeout: Option<Duration>,
    ) -> Result<(), Refusal> {
        self.ask(|reply| Request::SetLimits { sizes, handler_timeout, reply }).await
    }

    /// Replaces this node's tags: 512 bytes together, encoded.
    ///
    /// # Errors
    /// [`Refusal::Tags`], [`Refusal::Gone`].
    pub async fn set_tags(&self, tags: BTreeMap<String, String>) -> Result<(), Refusal> {
        self.ask(|reply| Request::SetTags { tags, reply }).await?
    }

    /// Changes some of this node's tags: first `delete` go, then `set` come. Done once they are in the tags file, if there is one.
    ///
    /// # Errors
    /// [`Refusal::Tags`] and [`Refusal::TagText`]: nothing has changed; [`Refusal::TagsFile`]; [`Refusal::Gone`].
    pub async fn edit_tags(&self, set: BTreeMap<String, String>, delete: Vec<String>) -> Result<(), Refusal> {
        self.ask(|reply| Request::EditTags { set, delete, reply }).await?
    }

    /// Tells all members, this agent included, what to do with a key, and waits for what they say: a member that does not do it
    /// is no error here ([`KeyReport::error`]). Install a key, use it, remove the old one, each when all have done the step
    /// before. `signed`: that an operator has signed it.
    ///
    /// # Errors
    /// [`Refusal::Key`], [`Refusal::Query`], [`Refusal::Gone`].
    pub async fn keys(&self, request: KeyRequest, signed: Option<Signed>) -> Result<KeyReport, Refusal> {
        self.ask(|reply| Request::Keys { request, signed, reply }).await?
    }

    /// Where a member is in the space of round trips: estimated ones are the distances of such places.
    ///
    /// # Errors
    /// [`Refusal::Gone`].
    pub async fn coordinate(&self, node: String) -> Result<Option<Coordinate>, Refusal> {
        self.ask(|reply| Request::Coordinate { node, reply }).await
    }

    /// How a member came to its state, as far as this agent has learnt it; `None` if it knows no such member.
    ///
    /// # Errors
    /// [`Refusal::Gone`].
    pub async fn why(&self, node: String) -> Result<Option<Why>, Refusal> {
        self.ask(|reply| Request::Why { node, reply }).await
    }

    /// The sections of `serf info`.
    ///
    /// # Errors
    /// [`Refusal::Gone`].
    pub async fn stats(&self) -> Result<Stats, Refusal> {
        self.ask(|reply| Request::Stats { reply }).await
    }

    /// All numbers of `serf info`, and how long things take.
    ///
    /// # Errors
    /// [`Refusal::Gone`].
    pub async fn figures(&self) -> Result<Figures, Refusal> {
        self.ask(|reply| Request::Figures { reply }).await
    }

    /// Sends the request that `make` builds around its reply, and waits for the answer.
    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Refusal> {
        self.submit(make).await?.await.map_err(|_| Refusal::Gone)
    }

    /// The same without waiting.
    async fn submit<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<oneshot::Receiver<T>, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(make(reply)).await.map_err(|_| Refusal::Gone)?;
        Ok(answer)
    }

    /// Waits until the agent has ended: the run loop has dropped its end.
    pub async fn gone(&self) {
        self.requests.closed().await;
    }
}

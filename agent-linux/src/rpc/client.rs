//! The client's side of the RPC, for the `serf` command and for programs. Works against Go Serf's agents as well.
//!
//! ```no_run
//! # async fn example() -> Result<(), agent_linux::rpc::client::Error> {
//! use agent_linux::rpc::client::{Client, Config};
//!
//! let client = Client::connect("127.0.0.1:7373", Config::default()).await?;
//! client.event(b"deploy", b"v1.2.3", true).await?;
//! let mut events = client.stream("user:deploy,member-join").await?;
//! while let Some(received) = events.next().await? {
//!     println!("{:?}, {} lost before it", received.record, received.missed);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! All methods take `&self`, so several requests can be under way at once; the agent works on them one after another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::demux::{Answer, Demux, Waiting};
use super::dial::dial;
pub use super::error::Error;
use super::message::*;
use super::wire::{self, Limits, Reader};
use crate::agent::keys::KeyRequest;
use crate::agent::lossy_channel;

/// How to talk to an agent.
#[derive(Clone, Debug)]
pub struct Config {
    /// The agent's token; empty: it needs none.
    pub auth: String,
    /// For connecting. 10 s.
    pub dial: Duration,
    /// For sending one request. 10 s.
    pub write: Duration,
    /// For the answer to a request. 30 s: an agent answers at once, except that `event` may wait 5 s for room.
    pub answer: Duration,
    /// For the answer to `join`, `leave`, `force_leave` and `tags`, for which an agent waits for others. 5 min.
    pub slow_answer: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            auth: String::new(),
            dial: Duration::from_secs(10),
            write: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            slow_answer: Duration::from_secs(300),
        }
    }
}

/// A connection to an agent. It closes once the client and all its [`Records`] are dropped.
#[derive(Debug)]
pub struct Client {
    connection: Arc<Connection>,
    config: Config,
}

#[derive(Debug)]
struct Connection {
    demux: Arc<Demux>,
    requests: mpsc::Sender<Vec<u8>>,
    /// The number of the next request. 0 is left to what the agent says unasked.
    seq: AtomicU64,
    /// Reads and writes; ended with the connection.
    _tasks: JoinSet<()>,
}

/// Records that may wait for the reader of one stream; beyond, the newest are lost and counted.
const WAITING: usize = 4096;

/// The same in bytes.
const WAITING_BYTES: usize = 16 << 20;

impl Client {
    /// Connects to the agent at `host:port` (an empty host is this machine) or `unix:/path`, shakes hands, and brings the
    /// token if there is one.
    ///
    /// # Errors
    /// [`Error::Dial`] if there is nobody, [`Error::Refused`] if the agent refuses the token, or any other.
    pub async fn connect(address: &str, config: Config) -> Result<Client, Error> {
        let connection = dial(address, config.dial).await?;
        let (read, write) = connection.split();
        let (requests, queued) = mpsc::channel(16);
        let demux = Arc::new(Demux::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(demux.clone().write(write, queued, config.write));
        tasks.spawn(demux.clone().read(Reader::new(read, Limits::ANSWER)));
        let connection = Connection { demux, requests, seq: AtomicU64::new(1), _tasks: tasks };
        let client = Client { connection: Arc::new(connection), config };
        client.plain("handshake", &Handshake { version: VERSION }).await?;
        if !client.config.auth.is_empty() {
            let auth_key = client.config.auth.clone();
            client.plain("auth", &Auth { auth_key }).await?;
        }
        Ok(client)
    }

    /// Sends a user event into the cluster. Returns once the agent has taken it over.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is too large or the agent has no room for it, or any other.
    pub async fn event(&self, name: &[u8], payload: &[u8], coalesce: bool) -> Result<(), Error> {
        let mut request = Vec::new();
        UserEvent { name: name.to_vec(), payload: payload.to_vec(), coalesce }.encode(&mut request);
        self.ask("event", request, false, self.config.answer).await.map(drop)
    }

    /// The same for some members: all who have one of the names, if there are any, and all of the tags.
    ///
    /// # Errors
    /// As [`Client::event`]. Go's agents do not know this, and close the connection.
    pub async fn targeted_event(&self, event: &TargetedEvent) -> Result<(), Error> {
        let mut request = Vec::new();
        event.encode(&mut request);
        self.ask("targeted-event", request, false, self.config.answer).await.map(drop)
    }

    /// Has the agent keep an identity for an event that an operator is to sign.
    ///
    /// # Errors
    /// [`Error::Refused`] before the agent has joined, or any other. Go's agents do not know this, and close the connection.
    pub async fn reserve_event(&self) -> Result<Reservation, Error> {
        self.fetch("reserve-event", Vec::new(), self.config.answer).await
    }

    /// Likewise for a query, or an order about keys, whose answers are waited for so many nanoseconds; 0: as long as the agent sees fit.
    ///
    /// # Errors
    /// As [`Client::reserve_event`].
    pub async fn reserve_query(&self, timeout: i64) -> Result<Reservation, Error> {
        self.fetch("reserve-query", encoded(&ReserveQuery { timeout }), self.config.answer).await
    }

    /// Sends an event, and waits until members have handed it to their applications: as many as are asked for, or so long.
    ///
    /// # Errors
    /// As [`Client::event`]. Go's agents do not know this, and close the connection.
    pub async fn event_with_receipts(&self, request: &EventReceipts) -> Result<Receipts, Error> {
        let mut body = Vec::new();
        request.encode(&mut body);
        let limit = self.config.answer.saturating_add(Duration::from_nanos(request.timeout.max(0) as u64));
        self.fetch("event-receipts", body, limit).await
    }

    /// All members that the agent knows, itself included, in no order.
    ///
    /// # Errors
    /// Any.
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        let answer: Members = self.fetch("members", Vec::new(), self.config.answer).await?;
        Ok(answer.members)
    }

    /// The members that meet the conditions, each a regular expression for the whole text.
    ///
    /// # Errors
    /// Any; for an expression that is none, a Go agent closes the connection ([`Error::Closed`]).
    pub async fn members_filtered(&self, conditions: &MembersFiltered) -> Result<Vec<Member>, Error> {
        let answer: Members = self.fetch("members-filtered", encoded(conditions), self.config.answer).await?;
        Ok(answer.members)
    }

    /// Makes the agent join the cluster through these addresses, `[name/]host[:port]` or `srv:name`; tells how many answered.
    ///
    /// # Errors
    /// [`Error::Refused`] if none answered, or any other.
    pub async fn join(&self, addresses: Vec<String>, replay: bool) -> Result<usize, Error> {
        let request = encoded(&Join { existing: addresses, replay });
        let Joined { num } = self.fetch("join", request, self.config.slow_answer).await?;
        usize::try_from(num).map_err(|_| Error::Protocol(format!("{num} nodes contacted")))
    }

    /// Makes the agent leave the cluster and exit.
    ///
    /// # Errors
    /// Any.
    pub async fn leave(&self) -> Result<(), Error> {
        self.ask("leave", Vec::new(), false, self.config.slow_answer).await.map(drop)
    }

    /// Declares a failed member as left; with `prune`, erases it.
    ///
    /// # Errors
    /// Any; an unknown name is none.
    pub async fn force_leave(&self, node: &str, prune: bool) -> Result<(), Error> {
        let request = encoded(&ForceLeave { node: node.to_owned(), prune });
        self.ask("force-leave", request, false, self.config.slow_answer).await.map(drop)
    }

    /// Changes some of the agent's tags: first `delete` go, then `set` come.
    ///
    /// # Errors
    /// [`Error::Refused`] if they are too long together, or any other.
    pub async fn tags(&self, set: BTreeMap<String, String>, delete: Vec<String>) -> Result<(), Error> {
        let request = encoded(&Tags { tags: set, delete_tags: delete });
        self.ask("tags", request, false, self.config.slow_answer).await.map(drop)
    }

    /// Where a member is in the space of round trips, as the agent knows it.
    ///
    /// # Errors
    /// Any.
    pub async fn coordinate(&self, node: &str) -> Result<Option<Coordinate>, Error> {
        let request = encoded(&OfMember { node: node.to_owned() });
        let found: Found = self.fetch("get-coordinate", request, self.config.answer).await?;
        Ok(Some(found.coord).filter(|_| found.ok))
    }

    /// How a member came to its state; `None` if the agent knows no such member.
    ///
    /// # Errors
    /// Any. Go's agents do not know this, and close the connection.
    pub async fn why(&self, node: &str) -> Result<Option<Why>, Error> {
        let request = encoded(&OfMember { node: node.to_owned() });
        let why: Why = self.fetch("why", request, self.config.answer).await?;
        Ok(Some(why).filter(|why| !why.status.is_empty()))
    }

    /// Tells all members what to do with a key; what they say, and what is wrong if not all have done it. `signed`: that an operator
    /// has signed it ([`KeyRequest::sign`]).
    ///
    /// # Errors
    /// [`Error::Refused`] if what was given is no key, or any other.
    pub async fn keys(
        &self,
        order: &KeyRequest,
        signed: Option<Signed>,
    ) -> Result<(Keys, Option<String>), Error> {
        let of = |key: &String| encoded(&OfKey { key: key.clone(), signed });
        let (command, body) = match order {
            KeyRequest::Install(key) => ("install-key", of(key)),
            KeyRequest::Use(key) => ("use-key", of(key)),
            KeyRequest::Remove(key) => ("remove-key", of(key)),
            KeyRequest::List => ("list-keys", Vec::new()),
        };
        let (to, answer) = oneshot::channel();
        let waiting = Waiting::Answer { has_body: true, to };
        let (_, Answer { error, body }) =
            self.exchange(command, body, waiting, answer, self.config.slow_answer).await?;
        let keys: Keys = if body.is_empty() { Keys::default() } else { decoded(&body)? };
        match error {
            error if error.is_empty() => Ok((keys, None)),
            // Nobody was asked.
            error if keys.num_nodes == 0 => Err(Error::Refused(error)),
            error => Ok((keys, Some(error))),
        }
    }

    /// The sections of `serf info` and their keys.
    ///
    /// # Errors
    /// Any.
    pub async fn stats(&self) -> Result<Stats, Error> {
        self.fetch("stats", Vec::new(), self.config.answer).await
    }

    /// Asks the fleet. What is said to it comes one by one; the last record is of the type `done`.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is too large, a regular expression is none, or too many queries are running, or any other.
    pub async fn query(&self, query: &Query) -> Result<Records<QueryRecord>, Error> {
        self.listen("query", encoded(query), decoded::<QueryRecord>).await
    }

    /// Answers a query that a stream of this client's has told of as [`Record::Query`], by its `id`.
    ///
    /// # Errors
    /// [`Error::Refused`] if its time is over, it has been answered, or the answer is too large, or any other.
    pub async fn respond(&self, id: u64, payload: &[u8]) -> Result<(), Error> {
        self.plain("respond", &Respond { id, payload: payload.to_vec() }).await
    }

    /// Listens to the events that pass the filter, for example `*` or `user:deploy,member-join`.
    ///
    /// # Errors
    /// [`Error::Refused`] if the filter is none or there are too many streams, or any other.
    pub async fn stream(&self, filter: &str) -> Result<Records<Record>, Error> {
        self.listen_to_events(filter, false).await
    }

    /// The same for one who will not answer the queries that pass: nobody waits for his answer.
    ///
    /// # Errors
    /// As [`Client::stream`].
    pub async fn observe(&self, filter: &str) -> Result<Records<Record>, Error> {
        self.listen_to_events(filter, true).await
    }

    async fn listen_to_events(&self, filter: &str, observe: bool) -> Result<Records<Record>, Error> {
        let mut request = Vec::new();
        Stream { r#type: filter.into(), observe }.encode(&mut request);
        self.listen("stream", request, |bytes| Record::try_from(decoded::<AnyRecord>(bytes)?)).await
    }

    /// Listens to the agent's log, beginning with its latest 512 lines. `level` is `TRACE`, `DEBUG`, `INFO`, `WARN` or
    /// `ERR`.
    ///
    /// # Errors
    /// [`Error::Refused`] if the level is none or this client has a monitor already, or any other.
    pub async fn monitor(&self, level: &str) -> Result<Records<String>, Error> {
        let request = encoded(&Monitor { log_level: level.to_owned() });
        self.listen("monitor", request, |bytes| decoded::<LogRecord>(bytes).map(|record| record.log)).await
    }

    /// Ends a stream or monitor of this client; records not read yet are dropped.
    ///
    /// # Errors
    /// Any.
    pub async fn stop<T>(&self, records: Records<T>) -> Result<(), Error> {
        self.plain("stop", &Stop { stop: records.seq }).await
    }

    async fn plain<T: Serialize>(&self, command: &str, body: &T) -> Result<(), Error> {
        self.ask(command, encoded(body), false, self.config.answer).await.map(drop)
    }

    async fn fetch<T: DeserializeOwned + Default>(
        &self,
        command: &str,
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<T, Error> {
        decoded(&self.ask(command, body, true, limit).await?)
    }

    async fn ask(
        &self,
        command: &str,
        body: Vec<u8>,
        has_answer: bool,
        limit: Duration,
    ) -> Result<Vec<u8>, Error> {
        let (to, answer) = oneshot::channel();
        self.send(command, body, Waiting::Answer { has_body: has_answer, to }, answer, limit)
            .await
            .map(|(_, body)| body)
    }

    async fn listen<T>(
        &self,
        command: &str,
        body: Vec<u8>,
        decode: fn(&[u8]) -> Result<T, Error>,
    ) -> Result<Records<T>, Error> {
        let (feed, tap) = lossy_channel::channel(WAITING, WAITING_BYTES);
        let (to, answer) = oneshot::channel();
        let waiting = Waiting::Stream { started: Some(to), feed };
        let (seq, _) = self.send(command, body, waiting, answer, self.config.answer).await?;
        Ok(Records { seq, tap, decode, _connection: self.connection.clone() })
    }

    /// Sends a request and waits for its answer: the request's number and the answer's body.
    async fn send(
        &self,
        command: &str,
        body: Vec<u8>,
        waiting: Waiting,
        answer: oneshot::Receiver<Answer>,
        limit: Duration,
    ) -> Result<(u64, Vec<u8>), Error> {
        let (seq, Answer { error, body }) = self.exchange(command, body, waiting, answer, limit).await?;
        if error.is_empty() { Ok((seq, body)) } else { Err(Error::Refused(error)) }
    }

    /// The same, whatever the answer is.
    async fn exchange(
        &self,
        command: &str,
        body: Vec<u8>,
        waiting: Waiting,
        answer: oneshot::Receiver<Answer>,
        limit: Duration,
    ) -> Result<(u64, Answer), Error> {
        let Connection { demux, requests, seq, .. } = &*self.connection;
        let seq = seq.fetch_add(1, Ordering::Relaxed);
        let mut bytes = encoded(&RequestHeader { command: command.to_owned(), seq });
        bytes.extend_from_slice(&body);
        demux.expect(seq, waiting)?;
        let answered = timeout(limit, async {
            requests.send(bytes).await.map_err(|_| demux.end())?;
            answer.await.map_err(|_| demux.end())
        });
        Ok((seq, answered.await.unwrap_or(Err(Error::NoAnswer(limit)))?))
    }
}

/// The records of one stream or monitor, as they come. Dropping it is allowed, but only [`Client::stop`] tells the
/// agent to send no more.
#[derive(Debug)]
pub struct Records<T> {
    seq: u64,
    tap: lossy_channel::Receiver<Vec<u8>>,
    decode: fn(&[u8]) -> Result<T, Error>,
    /// Keeps the connection open.
    _connection: Arc<Connection>,
}

/// One record of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received<T> {
    /// What the agent tells.
    pub record: T,
    /// How many records were lost just before it, because the agent's or this side's queue was full.
    pub missed: u64,
}

impl<T> Records<T> {
    /// Waits for the next record; `None` once the connection has ended and all is read. There is no limit to the
    /// waiting. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Protocol`] if the record is not understood; others may follow it.
    pub async fn next(&mut self) -> Result<Option<Received<T>>, Error> {
        match self.tap.next().await {
            Some((bytes, missed)) => Ok(Some(Received { record: (self.decode)(&bytes)?, missed })),
            None => Ok(None),
        }
    }
}

/// What an event stream tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Something happened to members.
    Member(MemberRecord),
    /// A user event.
    User(UserRecord),
    /// A query: [`Client::respond`].
    Query {
        /// With what to respond.
        id: u64,
        /// Lamport time it was stamped with.
        ltime: u64,
        /// Any bytes.
        name: Vec<u8>,
        /// Any bytes.
        payload: Vec<u8>,
    },
}

impl TryFrom<AnyRecord> for Record {
    type Error = Error;

    fn try_from(record: AnyRecord) -> Result<Record, Error> {
        let AnyRecord { coalesce, event, id, ltime, members, name, payload } = record;
        match event.as_str() {
            "user" => Ok(Record::User(UserRecord { coalesce, ltime, name, payload })),
            "query" => Ok(Record::Query { id, ltime, name, payload }),
            _ if event.starts_with("member-") => Ok(Record::Member(MemberRecord { event, members })),
            _ => Err(Error::Protocol(format!("unknown event '{event}'"))),
        }
    }
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode(&mut bytes, value);
    bytes
}

fn decoded<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, Error> {
    wire::decode(bytes).map_err(|error| Error::Protocol(error.to_string()))
}

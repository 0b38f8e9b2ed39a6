//! What is said over the RPC: headers, bodies, records, and the texts of errors.
//!
//! Requests have their fields in the order in which Serf declares them, which is the order of the elements where a
//! client sends an array instead of a map. Answers have them in alphabetical order, as Serf sends them. Decoding takes
//! missing keys and nil as zero or empty, ignores unknown keys, and takes strings and bytes for one another.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serf_nostd::Key;

use super::wire;
use crate::agent::query::Target;
use crate::agent::{model, query};

/// The only version of the protocol.
pub const VERSION: i32 = 1;

/// The texts with which requests are refused; clients compare them.
pub mod refusal {
    /// No such command; the connection is closed, since nobody knows where the next request starts.
    pub const UNSUPPORTED_COMMAND: &str = "Unsupported command";
    /// A handshake with a version other than 1.
    pub const UNSUPPORTED_VERSION: &str = "Unsupported IPC version";
    /// A second handshake.
    pub const DUPLICATE_HANDSHAKE: &str = "Handshake already performed";
    /// Something before the handshake; the connection is closed.
    pub const HANDSHAKE_REQUIRED: &str = "Handshake required";
    /// A second monitor on one connection.
    pub const MONITOR_EXISTS: &str = "Monitor already exists";
    /// A stream filter that is none.
    pub const INVALID_FILTER: &str = "Invalid event filter";
    /// A stream with the sequence number of one that still runs.
    pub const STREAM_EXISTS: &str = "Stream with given sequence exists";
    /// Something before `auth` on an agent with a token. The only refusal that is never followed by a body.
    pub const AUTH_REQUIRED: &str = "Authentication required";
    /// A wrong token.
    pub const INVALID_TOKEN: &str = "Invalid authentication token";
    /// A query that is to end before it begins.
    pub const NEGATIVE_TIMEOUT: &str = "The timeout must not be negative";
    /// `respond` with a number that no query of this connection has, or whose time is over.
    pub const NO_SUCH_QUERY: &str = "No pending queries matching ID";
    /// `event-receipts` with a share that is none of 1 to 100 percent, or a negative time.
    pub const INVALID_WAIT: &str = "Share must be 1 to 100 percent, and the time not negative";
    /// A signature without 4 bytes of its key and 64 of its own.
    pub const INVALID_SIGNATURE: &str = "Invalid signature";
    /// The agent serves as many connections as it may.
    pub const TOO_MANY_CONNECTIONS: &str = "Too many RPC connections";
    /// The connection has as many streams as it may.
    pub const TOO_MANY_STREAMS: &str = "Too many streams";
}

/// Starts every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RequestHeader {
    /// What is asked for.
    #[serde(deserialize_with = "text")]
    pub command: String,
    /// Comes back in the answer.
    #[serde(deserialize_with = "nil_as_default")]
    pub seq: u64,
}

/// Starts every answer and every record of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ResponseHeader {
    /// Empty if all is well.
    #[serde(deserialize_with = "text")]
    pub error: String,
    /// How many records of this stream were lost just before this one. Only sent when some were; Go clients ignore it.
    #[serde(deserialize_with = "nil_as_default", skip_serializing_if = "is_zero")]
    pub missed: u64,
    /// The request's.
    #[serde(deserialize_with = "nil_as_default")]
    pub seq: u64,
}

/// `handshake`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Handshake {
    /// [`VERSION`].
    #[serde(deserialize_with = "nil_as_default")]
    pub version: i32,
}

/// `auth`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Auth {
    /// The agent's token.
    #[serde(deserialize_with = "text")]
    pub auth_key: String,
}

/// MessagePack's mark of a map with up to 15 entries, to be joined with their number.
const MAP: u8 = 0x80;

/// Appends an entry of a map.
fn field(out: &mut Vec<u8>, key: &str, value: &impl Serialize) {
    wire::encode(out, &key);
    wire::encode(out, value);
}

/// The same for a text that may be any bytes: see [`wire::encode_text`].
fn text_field(out: &mut Vec<u8>, key: &str, text: &[u8]) {
    wire::encode(out, &key);
    wire::encode_text(out, text);
}

/// `query`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Query {
    /// Names of the members that are asked; none: all are.
    #[serde(deserialize_with = "texts")]
    pub filter_nodes: Vec<String>,
    /// Regular expressions, found anywhere in the values of these tags.
    #[serde(deserialize_with = "text_map")]
    pub filter_tags: BTreeMap<String, String>,
    /// Whether whoever is asked is to say so at once.
    #[serde(deserialize_with = "nil_as_default")]
    pub request_ack: bool,
    /// Through how many others Go's members send their answers a second time. Here an answer is confirmed, and sent again where it
    /// is not: the number changes nothing.
    #[serde(deserialize_with = "nil_as_default")]
    pub relay_factor: u8,
    /// How long answers are waited for, in nanoseconds; 0: as long as the agent sees fit. Less is refused.
    #[serde(deserialize_with = "nil_as_default")]
    pub timeout: i64,
    /// What it is about.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// Any bytes.
    #[serde(serialize_with = "serde_bytes::serialize", deserialize_with = "bytes")]
    pub payload: Vec<u8>,
    /// Whether to wait for all of the time even if all have answered. Go's agents do that, and do not know the key. Who sends it,
    /// whatever its value, is taken to read records in their order: Go's clients can pass over what comes just before `done`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_full_timeout: Option<bool>,
    /// What an operator has signed of it. Go's agents do not know the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

impl TryFrom<Query> for query::Query {
    type Error = &'static str;

    fn try_from(query: Query) -> Result<query::Query, &'static str> {
        Ok(query::Query {
            name: query.name,
            payload: query.payload,
            target: Target { nodes: query.filter_nodes, tags: query.filter_tags },
            ack: query.request_ack,
            timeout: time_out(query.timeout)?,
            wait_full_timeout: query.wait_full_timeout == Some(true),
            signed: query.signed.map(TryInto::try_into).transpose()?,
        })
    }
}

/// A time-out in nanoseconds; 0: as long as the agent sees fit.
pub(super) fn time_out(nanos: i64) -> Result<Option<Duration>, &'static str> {
    let nanos = u64::try_from(nanos).map_err(|_| refusal::NEGATIVE_TIMEOUT)?;
    Ok((nanos > 0).then(|| Duration::from_nanos(nanos)))
}

impl Query {
    /// Signs it with an operator's private key, now. What is reserved for nothing is left unsigned.
    pub fn sign(&mut self, reservation: Reservation, key: &Key) {
        self.signed = None;
        if let (Ok(reserved), Ok(mut query)) = (reservation.try_into(), query::Query::try_from(self.clone()))
        {
            query.sign(reserved, key);
            self.signed = query.signed.map(Signed::from);
        }
    }
}

/// What comes back for a query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct QueryRecord {
    /// Who says it; nobody, if it is the last one.
    #[serde(deserialize_with = "text")]
    pub from: String,
    /// Of a response: any bytes.
    #[serde(deserialize_with = "bytes")]
    pub payload: Vec<u8>,
    /// `ack`, `response`, or `done`: the last one.
    #[serde(deserialize_with = "text")]
    pub r#type: String,
}

impl QueryRecord {
    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(MAP | 3);
        field(out, "From", &self.from);
        field(out, "Payload", &bytes_or_nil(&self.payload));
        field(out, "Type", &self.r#type);
    }
}

/// `respond`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Respond {
    /// Of a record that a stream of this connection has told.
    #[serde(rename = "ID", deserialize_with = "nil_as_default")]
    pub id: u64,
    /// Any bytes.
    #[serde(serialize_with = "serde_bytes::serialize", deserialize_with = "bytes")]
    pub payload: Vec<u8>,
}

/// `force-leave`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ForceLeave {
    /// The member's name.
    #[serde(deserialize_with = "text")]
    pub node: String,
    /// Whether to erase it.
    #[serde(deserialize_with = "nil_as_default")]
    pub prune: bool,
}

/// `tags`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Tags {
    /// To set.
    #[serde(deserialize_with = "text_map")]
    pub tags: BTreeMap<String, String>,
    /// To delete, before that.
    #[serde(deserialize_with = "texts")]
    pub delete_tags: Vec<String>,
}

/// `join`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Join {
    /// Addresses, `[name/]host[:port]`.
    #[serde(deserialize_with = "texts")]
    pub existing: Vec<String>,
    /// Whether events from before the join are wanted.
    #[serde(deserialize_with = "nil_as_default")]
    pub replay: bool,
}

/// Answer to `join`, also to a refused one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Joined {
    /// How many nodes answered.
    #[serde(deserialize_with = "nil_as_default")]
    pub num: i32,
}

/// `members-filtered`; empty matches everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MembersFiltered {
    /// Regular expressions for tags; a missing tag counts as empty.
    #[serde(deserialize_with = "text_map")]
    pub tags: BTreeMap<String, String>,
    /// Regular expression for the status.
    #[serde(deserialize_with = "text")]
    pub status: String,
    /// Regular expression for the name.
    #[serde(deserialize_with = "text")]
    pub name: String,
}

/// Answer to `members` and `members-filtered`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Members {
    /// In the agent's order.
    #[serde(deserialize_with = "nil_as_default")]
    pub members: Vec<Member>,
}

/// One member. `delegate_*` are versions of Serf's protocol, `protocol_*` of memberlist's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Member {
    /// 4 or 16 bytes; see [`Member::ip`].
    #[serde(serialize_with = "serde_bytes::serialize", deserialize_with = "bytes")]
    pub addr: Vec<u8>,
    /// Spoken.
    #[serde(deserialize_with = "nil_as_default")]
    pub delegate_cur: u8,
    /// Highest understood.
    #[serde(deserialize_with = "nil_as_default")]
    pub delegate_max: u8,
    /// Lowest understood.
    #[serde(deserialize_with = "nil_as_default")]
    pub delegate_min: u8,
    /// The node's name.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// The gossip port.
    #[serde(deserialize_with = "nil_as_default")]
    pub port: u16,
    /// Spoken.
    #[serde(deserialize_with = "nil_as_default")]
    pub protocol_cur: u8,
    /// Highest understood.
    #[serde(deserialize_with = "nil_as_default")]
    pub protocol_max: u8,
    /// Lowest understood.
    #[serde(deserialize_with = "nil_as_default")]
    pub protocol_min: u8,
    /// `none`, `alive`, `leaving`, `left` or `failed`.
    #[serde(deserialize_with = "text")]
    pub status: String,
    /// The node's tags.
    #[serde(deserialize_with = "text_map")]
    pub tags: BTreeMap<String, String>,
}

impl Member {
    /// The address; IPv4 in IPv6 clothes comes out as IPv4. `None` if it is neither 4 nor 16 bytes.
    pub fn ip(&self) -> Option<IpAddr> {
        ip(&self.addr)
    }
}

/// An address of 4 or 16 bytes.
fn ip(addr: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(addr) {
        return Some(four.into());
    }
    let sixteen = <[u8; 16]>::try_from(addr).ok()?;
    Some(IpAddr::from(Ipv6Addr::from(sixteen)).to_canonical())
}

impl From<model::Member> for Member {
    fn from(member: model::Member) -> Member {
        let [protocol_min, protocol_max, protocol_cur, delegate_min, delegate_max, delegate_cur] =
            member.versions;
        Member {
            addr: match member.addr {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            },
            delegate_cur,
            delegate_max,
            delegate_min,
            name: member.name,
            port: member.port,
            protocol_cur,
            protocol_max,
            protocol_min,
            status: member.status.as_str().to_owned(),
            tags: member.tags,
        }
    }
}

/// `stream`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Stream {
    /// The filter, in the grammar of event handlers.
    #[serde(deserialize_with = "bytes")]
    pub r#type: Vec<u8>,
    /// Whether its client will not answer the queries that it is told of: nobody has to wait for it. Go's agents do not know the
    /// key.
    #[serde(deserialize_with = "nil_as_default")]
    pub observe: bool,
}

impl Stream {
    /// Appends the request's body. Written by hand for the filter: see [`wire::encode_text`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(MAP | (1 + self.observe as u8));
        text_field(out, "Type", &self.r#type);
        if self.observe {
            field(out, "Observe", &true);
        }
    }
}

/// `monitor`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Monitor {
    /// The least serious level that is wanted.
    #[serde(deserialize_with = "text")]
    pub log_level: String,
}

/// `stop`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Stop {
    /// Sequence number of the stream or monitor.
    #[serde(deserialize_with = "nil_as_default")]
    pub stop: u64,
}

pub use crate::agent::model::Stats;

/// Answer to `get-coordinate`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Found {
    /// Where the member is; all zero if that is not known.
    #[serde(deserialize_with = "nil_as_default")]
    pub coord: Coordinate,
    /// Whether it is.
    #[serde(deserialize_with = "nil_as_default")]
    pub ok: bool,
}

/// A place in the space of round trips, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Coordinate {
    /// Part of each distance, of either sign.
    #[serde(deserialize_with = "nil_as_default")]
    pub adjustment: f64,
    /// How far off distances are believed to be: 0 to 1.5.
    #[serde(deserialize_with = "nil_as_default")]
    pub error: f64,
    /// The link into the network: part of each distance.
    #[serde(deserialize_with = "nil_as_default")]
    pub height: f64,
    /// In each dimension.
    #[serde(deserialize_with = "nil_as_default", serialize_with = "empty_as_nil")]
    pub vec: Vec<f64>,
}

impl Coordinate {
    /// The estimated round trip, in seconds.
    pub fn distance(&self, other: &Coordinate) -> f64 {
        let squares = self.vec.iter().zip(&other.vec).map(|(a, b)| (a - b) * (a - b));
        let raw = squares.sum::<f64>().sqrt() + self.height + other.height;
        let adjusted = raw + self.adjustment + other.adjustment;
        if adjusted > 0.0 { adjusted } else { raw }
    }
}

impl From<serf_nostd::Coordinate> for Coordinate {
    fn from(core: serf_nostd::Coordinate) -> Coordinate {
        Coordinate {
            adjustment: core.adjustment.into(),
            error: core.error.into(),
            height: core.height.into(),
            vec: core.vec.map(f64::from).to_vec(),
        }
    }
}

/// One log line of a monitor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogRecord {
    /// Without a line end.
    #[serde(deserialize_with = "text")]
    pub log: String,
}

/// What a stream tells of a change of members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MemberRecord {
    /// `member-join`, `member-leave`, `member-failed`, `member-update` or `member-reap`.
    pub event: String,
    /// To whom it happened.
    pub members: Vec<Member>,
}

/// What a stream tells of a user event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRecord {
    /// Whether the sender allowed coalescing.
    pub coalesce: bool,
    /// Lamport time it was stamped with.
    pub ltime: u64,
    /// Any bytes.
    pub name: Vec<u8>,
    /// Any bytes.
    pub payload: Vec<u8>,
}

impl UserRecord {
    /// Appends the record. Written by hand for the name: see [`wire::encode_text`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(MAP | 5);
        field(out, "Coalesce", &self.coalesce);
        field(out, "Event", &"user");
        field(out, "LTime", &self.ltime);
        text_field(out, "Name", &self.name);
        field(out, "Payload", &bytes_or_nil(&self.payload));
    }
}

/// What a stream tells of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuestionRecord {
    /// With what to respond: 1 for the first one on a connection.
    pub id: u64,
    /// Lamport time it was stamped with.
    pub ltime: u64,
    /// What it is about.
    pub name: String,
    /// Any bytes.
    pub payload: Vec<u8>,
}

impl QuestionRecord {
    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(MAP | 5);
        field(out, "Event", &"query");
        field(out, "ID", &self.id);
        field(out, "LTime", &self.ltime);
        field(out, "Name", &self.name);
        field(out, "Payload", &bytes_or_nil(&self.payload));
    }
}

/// Every field that a record of an event stream can have; `event` says which of them mean something.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AnyRecord {
    /// As in [`UserRecord`].
    #[serde(deserialize_with = "nil_as_default")]
    pub coalesce: bool,
    /// Kind of event: one of [`MemberRecord`]'s, `user` or `query`.
    #[serde(deserialize_with = "text")]
    pub event: String,
    /// As in [`QuestionRecord`].
    #[serde(rename = "ID", deserialize_with = "nil_as_default")]
    pub id: u64,
    /// As in [`UserRecord`].
    #[serde(rename = "LTime", deserialize_with = "nil_as_default")]
    pub ltime: u64,
    /// As in [`MemberRecord`].
    #[serde(deserialize_with = "nil_as_default")]
    pub members: Vec<Member>,
    /// As in [`UserRecord`].
    #[serde(deserialize_with = "bytes")]
    pub name: Vec<u8>,
    /// As in [`UserRecord`].
    #[serde(deserialize_with = "bytes")]
    pub payload: Vec<u8>,
}

mod events;
mod keys;
mod lenient;
mod signed;
mod why;
pub use events::{EventReceipts, Receipts, TargetedEvent, UserEvent};
pub use keys::{Keys, OfKey};
use lenient::{bytes, bytes_or_nil, empty_as_nil, is_zero, nil_as_default, text, text_map, texts};
pub use signed::{Reservation, ReserveQuery, Signed};
pub use why::{Change, OfMember, Why};

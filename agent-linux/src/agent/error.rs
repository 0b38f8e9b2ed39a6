//! What an agent refuses, and what the system says is wrong: in the words that Serf's users know.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serf_nostd::wire::message::NAME_MAX;
use serf_nostd::{EventError, KeyError, QueryError, SetupError, TagsError};

use super::address::{AddressError, bind_error};
use super::tags;

/// Why an agent does not do what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It has ended.
    Gone,
    /// The event was not fired.
    Event(EventError),
    /// Nor was it: `_serf_once` is the agents' own name.
    EventName,
    /// The event is on its way, but its receipts were not asked for.
    Receipts(QueryError),
    /// The fleet was not asked.
    Query(QueryError),
    /// Nor was it: names that begin with `_serf_` are Serf's own.
    QueryName,
    /// Nor was it: what is wrong with a regular expression.
    Expression(String),
    /// What was given is no key: why.
    Key(String),
    /// The answer to a query was not taken.
    Answer(QueryError),
    /// Nobody has answered the join: what is wrong with each address.
    NotJoined(Vec<String>),
    /// So many addresses are too many for one join: 1,024 are allowed.
    TooManyAddresses(usize),
    /// All joins under way have too many addresses together: 8,192 are allowed. Later there will be room.
    TooManyJoins,
    /// It is leaving already, or has left.
    Leaving,
    /// No member can have this name: it is empty, or longer than 128 bytes.
    Name,
    /// The tags were not set.
    Tags(TagsError),
    /// Nor were these: this one has an empty name, or a NUL byte, which no script's environment can hold.
    TagText(String),
    /// The tags are set, but are not in the tags file: why.
    TagsFile(String),
}

/// Whether a member can have this name.
///
/// # Errors
/// [`Refusal::Name`].
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    if (1..=NAME_MAX).contains(&name.len()) { Ok(()) } else { Err(Refusal::Name) }
}

/// The most addresses of one join.
pub(super) const MOST_ADDRESSES: usize = 1_024;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Gone => f.write_str("The agent has shut down"),
            Refusal::Event(error) => event(error, f),
            Refusal::EventName => f.write_str("Events cannot be named '_serf_once', as agents' own are"),
            Refusal::Receipts(error) => {
                f.write_str("the event is on its way, but nobody could be asked for receipts: ")?;
                query(error, f)
            }
            Refusal::Query(error) => query(error, f),
            Refusal::QueryName => f.write_str("Queries cannot contain the '_serf_' prefix"),
            Refusal::Expression(why) | Refusal::Key(why) => f.write_str(why),
            Refusal::Answer(error) => {
                // Serf says this of all queries.
                f.write_str("failed to respond to key query: ")?;
                answer(error, f)
            }
            Refusal::NotJoined(errors) => together(errors, f),
            Refusal::TooManyAddresses(count) => {
                write!(f, "too many addresses to join: {count}, at most {MOST_ADDRESSES}")
            }
            Refusal::TooManyJoins => f.write_str("too many joins are under way; try again later"),
            Refusal::Name => f.write_str("Node name must have 1 to 128 bytes"),
            Refusal::Leaving => f.write_str("Leave already in progress"),
            Refusal::Tags(TagsError::TooLong) => f.write_str(&tags::too_long()),
            Refusal::Tags(other) => write!(f, "{other}"),
            Refusal::TagText(tag) => {
                write!(f, "tag {tag:?} has no name, or a NUL byte, which no environment can hold")
            }
            Refusal::TagsFile(why) => {
                write!(f, "the tags are set, but the next start will not know them: {why}")
            }
        }
    }
}

fn event(error: &EventError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        EventError::TooLong(limit) => {
            write!(f, "user event exceeds configured limit of {limit} bytes before encoding")
        }
        EventError::TooLongEncoded(limit) => {
            write!(f, "encoded user event exceeds configured limit of {limit} bytes after encoding")
        }
        EventError::Full => f.write_str("event queue full"),
        EventError::Starting => f.write_str("still joining the cluster"),
        EventError::ClockExhausted => {
            f.write_str("the event clock is exhausted by forged times; only a new cluster helps")
        }
        EventError::Left => f.write_str("Serf can't send events after Leave or Shutdown"),
        other => write!(f, "{other}"),
    }
}

fn query(error: &QueryError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        QueryError::Event(EventError::TooLong(limit) | EventError::TooLongEncoded(limit)) => {
            write!(f, "query exceeds limit of {limit} bytes")
        }
        QueryError::Event(EventError::Left) => f.write_str("Serf can't query after Leave or Shutdown"),
        QueryError::Event(error) => event(error, f),
        other => write!(f, "{other}"),
    }
}

fn answer(error: &QueryError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        QueryError::TooLong(limit) => write!(f, "response exceeds limit of {limit} bytes"),
        QueryError::Over => f.write_str("response is past the deadline"),
        QueryError::Answered => f.write_str("response already sent"),
        other => write!(f, "{other}"),
    }
}

/// Several errors as Serf lists them.
fn together(errors: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match errors.len() {
        1 => writeln!(f, "1 error occurred:")?,
        many => writeln!(f, "{many} errors occurred:")?,
    }
    errors.iter().try_for_each(|error| writeln!(f, "\t* {error}"))?;
    writeln!(f)
}

impl std::error::Error for Refusal {}

/// Why an agent can't be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The address to listen at.
    Bind(SocketAddr, io::Error),
    /// There is no address to tell the others.
    Advertise(AddressError),
    /// Not enough memory for so many members.
    Memory(usize),
    /// The core refuses what it was given.
    Node(SetupError),
    /// There are more keys than it can have.
    Keys(KeyError),
    /// The snapshot can't be read or written.
    Snapshot(PathBuf, io::Error),
    /// Its task was ended at once.
    Ended,
}

impl StartError {
    /// Whether something else has the address or the snapshot, perhaps only for a moment: what an agent that was killed had just forked
    /// has both until it becomes a script.
    pub fn is_busy(&self) -> bool {
        match self {
            StartError::Bind(_, error) | StartError::Snapshot(_, error) => {
                [io::ErrorKind::AddrInUse, io::ErrorKind::ResourceBusy].contains(&error.kind())
            }
            _ => false,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Error creating Serf: ")?;
        match self {
            StartError::Bind(addr, error) => {
                write!(f, "Failed to create memberlist: listen udp {addr}: {}", bind_error(error))
            }
            StartError::Advertise(error) => write!(f, "Failed to get final advertise address: {error}"),
            StartError::Memory(members) => {
                write!(f, "not enough memory for {members} members; ask for fewer with -max-members")
            }
            StartError::Node(SetupError::EventSize) => {
                f.write_str("user event size limit exceeds limit of 1327 bytes")
            }
            StartError::Node(SetupError::Boot) => {
                f.write_str("the system's clock is beyond the year 4199: set it")
            }
            StartError::Node(SetupError::Name) => f.write_str("Node name must have 1 to 128 bytes"),
            StartError::Node(SetupError::Tags) => f.write_str(&tags::too_long()),
            // What the agent itself gets wrong.
            StartError::Node(other) => write!(f, "{other}"),
            StartError::Keys(error) => write!(f, "{error}"),
            StartError::Snapshot(path, error) => {
                let (path, why) = (path.display(), words(error));
                write!(f, "Failed to setup snapshot: failed to open snapshot: open {path}: {why}")
            }
            StartError::Ended => f.write_str("it ended at once"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Bind(_, error) | StartError::Snapshot(_, error) => Some(error),
            StartError::Node(error) => Some(error),
            StartError::Keys(error) => Some(error),
            _ => None,
        }
    }
}

/// The system's text in Go's manner: `connection refused`, not `Connection refused (os error 111)`.
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

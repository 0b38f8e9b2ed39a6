//! What can go wrong for a client.

use std::fmt;
use std::time::Duration;

/// Why a request failed. The texts are those of Go's `serf` where that has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The address cannot be connected to, behind the kind of network: it is none, there is no such host, or nobody answers.
    Dial(String),
    /// The agent says no, with this text.
    Refused(String),
    /// The connection has ended.
    Closed,
    /// A request could not be sent in time; the connection is of no more use.
    WriteTimeout,
    /// The agent did not answer in this time. The connection can still be used.
    NoAnswer(Duration),
    /// What came is no answer; the text says why.
    Protocol(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::Dial(why) => write!(f, "dial {why}"),
            Error::Refused(error) => f.write_str(error),
            Error::Closed => f.write_str("client closed"),
            Error::WriteTimeout => f.write_str("write: i/o timeout"),
            Error::NoAnswer(limit) => write!(f, "no answer from the agent within {} s", limit.as_secs_f32()),
            Error::Protocol(why) => write!(f, "answer not understood: {why}"),
        }
    }
}

impl std::error::Error for Error {}

//! Where an agent answers: `host:port`, or a Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::agent::address::{AddressError, Endpoint};

/// What stands before the path of a Unix socket.
const UNIX: &str = "unix:";

/// The longest path that the system takes for a socket, in bytes.
const LONGEST_PATH: usize = 107;

/// An address of the RPC, as `-rpc-addr` and `SERF_RPC_ADDR` have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`. What is wrong with it is told when it is looked up.
    Tcp(String),
    /// `unix:/path`: the absolute path of a socket, of at most 107 bytes.
    Unix(PathBuf),
}

impl Address {
    /// Reads `text`.
    ///
    /// # Errors
    /// What is wrong with the path of a socket.
    pub fn parse(text: &str) -> Result<Address, String> {
        let Some(path) = text.strip_prefix(UNIX) else { return Ok(Address::Tcp(text.to_owned())) };
        if !path.starts_with('/') {
            return Err(format!("address {text}: the path must begin with /, as unix:/run/serf/rpc.sock"));
        }
        match path.len() {
            length if length > LONGEST_PATH => Err(format!(
                "address {text}: the path has {length} bytes, and a socket's may have {LONGEST_PATH}"
            )),
            _ => Ok(Address::Unix(path.into())),
        }
    }

    /// The kind of network, as Go names it.
    pub(super) fn network(&self) -> &'static str {
        match self {
            Address::Tcp(_) => "tcp",
            Address::Unix(_) => "unix",
        }
    }

    /// Looks up where to listen.
    ///
    /// # Errors
    /// What is wrong with the host or the port.
    pub async fn resolve(&self) -> Result<Place, AddressError> {
        match self {
            Address::Tcp(text) => Endpoint::resolve_listener(text).await.map(Place::Tcp),
            Address::Unix(path) => Ok(Place::Unix(path.clone())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(text) => f.write_str(text),
            Address::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// Where to listen, looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A port.
    Tcp(SocketAddr),
    /// The path of a socket.
    Unix(PathBuf),
}

impl Place {
    /// Whether other machines may reach it.
    pub fn is_public(&self) -> bool {
        matches!(self, Place::Tcp(address) if !address.ip().to_canonical().is_loopback())
    }
}

impl fmt::Display for Place {
    /// As Go tells where it cannot listen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => write!(f, "tcp {address}"),
            Place::Unix(path) => write!(f, "unix {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_named_by_its_whole_path() {
        for (text, path) in
            [("unix:/run/serf/rpc.sock", "/run/serf/rpc.sock"), ("unix:///run/a b", "///run/a b")]
        {
            let address = Address::parse(text).unwrap();
            assert_eq!(address, Address::Unix(path.into()));
            assert_eq!((address.to_string().as_str(), address.network()), (text, "unix"));
        }
        for text in ["unix:", "unix:rpc.sock", "unix:@serf"] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(
                error,
                format!("address {text}: the path must begin with /, as unix:/run/serf/rpc.sock")
            );
        }
        let longest = format!("unix:/{}", "x".repeat(106));
        assert!(Address::parse(&longest).is_ok());
        assert!(
            Address::parse(&format!("{longest}x"))
                .unwrap_err()
                .ends_with("has 108 bytes, and a socket's may have 107")
        );
        assert_eq!(Address::parse("Unix:7373"), Ok(Address::Tcp("Unix:7373".into())));
    }

    #[tokio::test]
    async fn what_other_machines_may_reach_is_public() {
        for (text, public) in [
            ("127.0.0.1:1", false),
            ("127.8.9.1:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("localhost:1", false),
            ("unix:/x", false),
            (":1", true),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("10.0.0.1:1", true),
            ("[fe80::1]:1", true),
        ] {
            let place = Address::parse(text).unwrap().resolve().await.unwrap();
            assert_eq!(place.is_public(), public, "{text}");
        }
    }
}

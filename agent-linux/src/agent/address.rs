//! Addresses: reading `host:port` texts and resolving names.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::error::words;

/// The port of Serf's gossip where none is given.
pub const DEFAULT_PORT: u16 = 7946;

/// A resolver that does not answer holds up a start or a join no longer than this.
pub(super) const LOOKUP_LIMIT: Duration = Duration::from_secs(10);

/// Why an address is of no use; displays in the words of Serf and Go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// An IPv6 address without brackets, or two ports.
    TooManyColons(String),
    /// `[` without `]`.
    MissingBracket(String),
    /// No port where one is needed, or text between `]` and the port.
    MissingPort(String),
    /// A port below 0 or above 65535.
    InvalidPort(String),
    /// A port that is no number.
    UnknownPort(String),
    /// `/host`: a node's name announced, none given.
    EmptyName,
    /// The name has no address.
    NoSuchHost(String),
    /// The resolver did not answer within 10 s.
    NoAnswer(String),
    /// There is no service of this name, or it has no target.
    NoSuchService(String),
    /// What is wrong with a service's name, or with the resolver's answer.
    Service(String, String),
    /// `srv:` or `exec:` with nothing behind it.
    Nothing(&'static str),
    /// `exec:COMMAND` where commands are not run.
    Command,
    /// Bound to every address, and none of them is private.
    NoPrivateAddress,
    /// The system does not tell its addresses.
    Interfaces(String),
}

impl fmt::Display for AddressError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::TooManyColons(text) => write!(out, "address {text}: too many colons in address"),
            AddressError::MissingBracket(text) => write!(out, "address {text}: missing ']' in address"),
            AddressError::MissingPort(text) => write!(out, "address {text}: missing port in address"),
            AddressError::InvalidPort(port) => write!(out, "address {port}: invalid port"),
            AddressError::UnknownPort(port) => write!(out, "address tcp/{port}: unknown port"),
            AddressError::EmptyName => write!(out, "empty node name provided"),
            AddressError::NoSuchHost(host) => write!(out, "lookup {host}: no such host"),
            AddressError::NoAnswer(host) => write!(out, "lookup {host}: i/o timeout"),
            AddressError::NoSuchService(name) => write!(out, "lookup {name}: no such service (SRV record)"),
            AddressError::Service(name, why) => write!(out, "lookup {name}: {why}"),
            AddressError::Nothing(prefix) => write!(out, "there is nothing behind '{prefix}'"),
            AddressError::Command => {
                write!(out, "commands are for the agent's own settings only (-join, -retry-join)")
            }
            AddressError::NoPrivateAddress => {
                write!(out, "No private IP address found, and explicit IP not provided")
            }
            AddressError::Interfaces(error) => write!(out, "Failed to get interface addresses: {error}"),
        }
    }
}

impl std::error::Error for AddressError {}

/// A host, by address or by name, and perhaps a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address or name, without brackets; empty means every address of this machine. `fe80::1%eth0` is a link-local address of that
    /// interface's network.
    pub host: String,
    /// The port, if the text had one. 0 is a port: any free one.
    pub port: Option<u16>,
}

impl Endpoint {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
    ///
    /// # Errors
    /// [`AddressError`] for what is none of these; names are not looked up.
    pub fn parse(text: &str) -> Result<Endpoint, AddressError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) =
                    rest.split_once(']').ok_or_else(|| AddressError::MissingBracket(text.to_owned()))?;
                match after.strip_prefix(':') {
                    _ if after.is_empty() => (host, None),
                    Some(port) => (host, Some(port)),
                    None => return Err(AddressError::MissingPort(text.to_owned())),
                }
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if port.is_some_and(|port| port.contains(':')) {
            return Err(AddressError::TooManyColons(text.to_owned()));
        }
        Ok(Endpoint { host: host.to_owned(), port: port.map(parse_port).transpose()? })
    }

    /// The address, where the host is one and nothing has to be looked up.
    pub fn ip(&self) -> Option<IpAddr> {
        if self.host.is_empty() { Some(Ipv4Addr::UNSPECIFIED.into()) } else { self.host.parse().ok() }
    }

    /// All addresses of the host, each once, in the resolver's order; `port` where the endpoint names none.
    ///
    /// # Errors
    /// [`AddressError::NoSuchHost`], [`AddressError::NoAnswer`].
    pub async fn resolve_all(&self, port: u16) -> Result<Vec<SocketAddr>, AddressError> {
        let port = self.port.unwrap_or(port);
        if let Some(ip) = self.ip() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let lookup = tokio::net::lookup_host((self.host.as_str(), port));
        let found = tokio::time::timeout(LOOKUP_LIMIT, lookup)
            .await
            .map_err(|_| AddressError::NoAnswer(self.host.clone()))?
            .map_err(|_| AddressError::NoSuchHost(self.host.clone()))?;
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(AddressError::NoSuchHost(self.host.clone()));
        }
        Ok(addresses)
    }

    /// One address to bind or to advertise: the first IPv4 one, else the first.
    ///
    /// # Errors
    /// As [`Endpoint::resolve_all`].
    pub async fn resolve(&self, port: u16) -> Result<SocketAddr, AddressError> {
        let addresses = self.resolve_all(port).await?;
        Ok(addresses.iter().copied().find(SocketAddr::is_ipv4).unwrap_or(addresses[0]))
    }

    /// Where to listen for `text`, which must name its port.
    ///
    /// # Errors
    /// [`AddressError`]; [`AddressError::MissingPort`] if it names none.
    pub async fn resolve_listener(text: &str) -> Result<SocketAddr, AddressError> {
        let endpoint = Endpoint::parse(text)?;
        let port = endpoint.port.ok_or_else(|| AddressError::MissingPort(text.to_owned()))?;
        endpoint.resolve(port).await
    }
}

/// A port as Go reads it: none at all is 0.
///
/// # Errors
/// [`AddressError::UnknownPort`], [`AddressError::InvalidPort`].
pub fn parse_port(text: &str) -> Result<u16, AddressError> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressError::UnknownPort(text.to_owned()));
    }
    text.parse().map_err(|_| AddressError::InvalidPort(text.to_owned()))
}

/// Whom to join: `[name/]host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinTarget {
    /// The name that the node at this address is expected to have.
    pub name: Option<String>,
    /// Where it is.
    pub endpoint: Endpoint,
}

impl JoinTarget {
    /// Reads `text`. Unlike where one binds, an IPv6 address may stand without brackets if no port follows, and a
    /// port of 0 or an empty one means the default.
    ///
    /// # Errors
    /// [`AddressError`]; names are not looked up.
    pub fn parse(text: &str) -> Result<JoinTarget, AddressError> {
        let (name, host) = match text.split_once('/') {
            Some(("", _)) => return Err(AddressError::EmptyName),
            Some((name, host)) => (Some(name.to_owned()), host),
            None => (None, text),
        };
        let mut endpoint = match Endpoint::parse(host) {
            Err(AddressError::TooManyColons(_)) if !host.starts_with('[') => {
                Endpoint { host: host.to_owned(), port: None }
            }
            other => other?,
        };
        endpoint.port = endpoint.port.filter(|port| *port != 0);
        if endpoint.host.is_empty() {
            return Err(AddressError::NoSuchHost(host.to_owned()));
        }
        Ok(JoinTarget { name, endpoint })
    }
}

/// What Go says of a failed `bind` or `listen`, for the errors that users meet.
pub fn bind_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "bind: address already in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "bind: cannot assign requested address".to_owned(),
        io::ErrorKind::PermissionDenied => "bind: permission denied".to_owned(),
        _ => words(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_refused_as_serf_does() {
        for (text, host, port) in [
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("0.0.0.0", "0.0.0.0", None),
            ("[::1]:7", "::1", Some(7)),
            ("[::1]", "::1", None),
            ("web.example:0", "web.example", Some(0)),
            ("127.0.0.1:", "127.0.0.1", Some(0)),
            (":7946", "", Some(7946)),
        ] {
            assert_eq!(Endpoint::parse(text), Ok(Endpoint { host: host.into(), port }), "{text}");
        }
        for (text, message) in [
            ("a:b:c", "address a:b:c: too many colons in address"),
            ("::1", "address ::1: too many colons in address"),
            ("[::1]:1:2", "address [::1]:1:2: too many colons in address"),
            ("[::1", "address [::1: missing ']' in address"),
            ("[::1]x", "address [::1]x: missing port in address"),
            ("h:99999", "address 99999: invalid port"),
            ("h:-1", "address -1: invalid port"),
            ("h:abc", "address tcp/abc: unknown port"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn join_targets_may_name_the_node_and_leave_out_brackets() {
        for (text, name, host, port) in [
            ("n1/10.0.0.1:5", Some("n1"), "10.0.0.1", Some(5)),
            ("10.0.0.1", None, "10.0.0.1", None),
            ("10.0.0.1:0", None, "10.0.0.1", None),
            ("fd00::2", None, "fd00::2", None),
            ("n1/[fd00::2]:9", Some("n1"), "fd00::2", Some(9)),
        ] {
            let name = name.map(str::to_owned);
            let endpoint = Endpoint { host: host.into(), port };
            assert_eq!(JoinTarget::parse(text), Ok(JoinTarget { name, endpoint }), "{text}");
        }
        assert_eq!(JoinTarget::parse("/10.0.0.1"), Err(AddressError::EmptyName));
        assert!(JoinTarget::parse("").is_err());
        assert!(JoinTarget::parse("n1/").is_err());
    }

    #[tokio::test]
    async fn names_resolve_to_every_address_once_and_literals_to_themselves() {
        let local = Endpoint::parse("localhost").unwrap().resolve_all(7946).await.unwrap();
        assert!(local.contains(&"127.0.0.1:7946".parse().unwrap()), "{local:?}");
        let mut once = local.clone();
        once.dedup();
        assert_eq!(once, local);
        let literal = Endpoint::parse("[::1]:3").unwrap().resolve(7946).await;
        assert_eq!(literal, Ok("[::1]:3".parse().unwrap()));
        let bare = JoinTarget::parse("a:b:c").unwrap().endpoint.resolve_all(1).await;
        assert_eq!(bare.unwrap_err().to_string(), "lookup a:b:c: no such host");
        let portless = Endpoint::resolve_listener("foo").await;
        assert_eq!(portless.unwrap_err().to_string(), "address foo: missing port in address");
    }
}

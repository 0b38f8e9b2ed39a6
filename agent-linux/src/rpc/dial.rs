//! From an agent's address to a connection.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use super::address::Address;
use super::connection::Connection;
use super::error::Error;
use crate::agent::address::parse_port;
use crate::agent::error::words;

/// Connects to an agent, for so long.
pub(super) async fn dial(address: &str, limit: Duration) -> Result<Connection, Error> {
    let parsed = Address::parse(address).map_err(|why| Error::Dial(format!("unix: {why}")))?;
    let network = parsed.network();
    let connecting = async {
        match &parsed {
            Address::Tcp(address) => Ok(Connection::Tcp(over_tcp(address).await?)),
            Address::Unix(path) => Ok(Connection::Unix(over_socket(path).await?)),
        }
    };
    let connected =
        timeout(limit, connecting).await.unwrap_or_else(|_| Err(format!(" {address}: i/o timeout")));
    connected.map_err(|why| Error::Dial(format!("{network}{why}")))
}

async fn over_tcp(address: &str) -> Result<TcpStream, String> {
    if address.is_empty() {
        return Err(": missing address".to_owned());
    }
    let Some((host, port)) = address.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) else {
        return Err(format!(": address {address}: missing port in address"));
    };
    let port = parse_port(port).map_err(|why| format!(": {why}"))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = if host.is_empty() { "localhost" } else { host };
    let unknown = || format!(": lookup {host}: no such host");
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await.map_err(|_| unknown())?.collect();
    let mut first_error = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Requests are small and someone waits for them.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(why) => {
                first_error.get_or_insert_with(|| format!(" {address}: connect: {}", words(&why)));
            }
        }
    }
    Err(first_error.unwrap_or_else(unknown))
}

async fn over_socket(path: &Path) -> Result<UnixStream, String> {
    UnixStream::connect(path).await.map_err(|why| {
        let hint = match why.kind() {
            io::ErrorKind::PermissionDenied => " (root, its owner and its group may)",
            _ => "",
        };
        format!(" {}: connect: {}{hint}", path.display(), words(&why))
    })
}

//! A DNS service's members (SRV records, RFC 2782), asked of the name servers in `/etc/resolv.conf`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rsdns::clients::ClientConfig;
use rsdns::clients::tokio::Client;
use rsdns::message::RCode;
use rsdns::records::data::Srv;
use rsdns::records::{Class, RecordSet, Type};

use crate::agent::address::{AddressError, Endpoint, LOOKUP_LIMIT};
use crate::agent::error::words;

/// Where the system says which name servers there are.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The port of DNS.
const PORT: u16 = 53;

/// So many targets are looked up, of the lowest priorities: one of them is enough.
const MOST_TARGETS: usize = 64;

/// The longest answer.
const ANSWER: usize = 64 * 1024 - 1;

/// All addresses of all targets, with their ports, those of the lowest priority first. The targets are looked up as all host names are.
///
/// # Errors
/// [`AddressError::NoSuchService`], [`AddressError::Service`], and of the targets, if none has an address, the last one's.
pub(super) async fn resolve(name: &str) -> Result<Vec<SocketAddr>, AddressError> {
    let mut targets = ask(name).await?;
    targets.sort_by_key(|target| target.priority);
    targets.truncate(MOST_TARGETS);
    let (mut found, mut last) = (Vec::new(), AddressError::NoSuchService(name.to_owned()));
    for Srv { target, port, .. } in targets {
        let host = target.as_str().trim_end_matches('.').to_owned();
        // "Decidedly not available at this domain."
        if host.is_empty() {
            continue;
        }
        match (Endpoint { host, port: Some(port) }).resolve_all(port).await {
            Ok(addresses) => found.extend(addresses),
            // Nor would the others be found: that one has taken as long as all may take.
            Err(error @ AddressError::NoAnswer(_)) => {
                last = error;
                break;
            }
            Err(error) => last = error,
        }
    }
    if found.is_empty() { Err(last) } else { Ok(found) }
}

/// Asks one name server after the other until one answers.
async fn ask(name: &str) -> Result<Vec<Srv>, AddressError> {
    let wrong = |why: String| AddressError::Service(name.to_owned(), why);
    let read = tokio::task::spawn_blocking(|| std::fs::read(RESOLV_CONF)).await;
    let text = read.map_err(|gone| wrong(gone.to_string()))?;
    let text = text.map_err(|error| wrong(format!("open {RESOLV_CONF}: {}", words(&error))))?;
    let config =
        resolv_conf::Config::parse(text).map_err(|error| wrong(format!("{RESOLV_CONF}: {error}")))?;
    let servers: Vec<IpAddr> = config.nameservers.iter().map(IpAddr::from).collect();
    let mut last = wrong(format!("{RESOLV_CONF} names no server"));
    for server in &servers {
        let limit = LOOKUP_LIMIT / servers.len() as u32;
        match query(SocketAddr::new(*server, PORT), name, limit).await {
            Ok(targets) => return Ok(targets),
            Err(rsdns::Error::NoAnswer | rsdns::Error::BadResponseCode(RCode::NXDOMAIN)) => {
                return Err(AddressError::NoSuchService(name.to_owned()));
            }
            Err(rsdns::Error::Timeout) => last = AddressError::NoAnswer(name.to_owned()),
            Err(rsdns::Error::IoError(error)) => last = wrong(format!("{server}: {}", words(&error))),
            Err(error) => last = wrong(format!("{server}: {error}")),
        }
    }
    Err(last)
}

async fn query(server: SocketAddr, name: &str, limit: Duration) -> rsdns::Result<Vec<Srv>> {
    let config = ClientConfig::with_nameserver(server).set_query_lifetime(limit);
    let mut client = Client::new(config).await?;
    let mut answer = vec![0; ANSWER];
    let length = client.query_raw(name, Type::SRV, Class::IN, &mut answer).await?;
    Ok(RecordSet::from_msg(&answer[..length])?.rdata)
}

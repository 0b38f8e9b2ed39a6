//! Where the agent listens for gossip, and where it looks for others.

use std::net::SocketAddr;

use super::Config;
use crate::agent::address::DEFAULT_PORT;
use crate::agent::discovery::{Discovery, NAME_MAX};
use crate::agent::interface;

/// The key `mdns`: where to look for the cluster that `discover` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "as for `Settings`")]
pub struct Mdns {
    pub interface: String,
    pub disable_ipv4: bool,
    pub disable_ipv6: bool,
}

/// What to look for.
///
/// # Errors
/// The settings contradict each other, or the name is none.
pub(super) fn discovery(name: String, mdns: Mdns) -> Result<Option<Discovery>, String> {
    if name.is_empty() {
        if mdns != Mdns::default() {
            return Err("Invalid mDNS settings: they are for -discover=NAME (discover), which is not given"
                .to_owned());
        }
        return Ok(None);
    }
    if !Discovery::is_name(&name) {
        return Err(format!(
            "Invalid discover name: {name:?}. It must be 1 to {NAME_MAX} letters, digits, - and _, without -- or - at its end"
        ));
    }
    let Mdns { interface, disable_ipv4, disable_ipv6 } = mdns;
    if disable_ipv4 && disable_ipv6 {
        return Err("Invalid mDNS settings: with neither IPv4 nor IPv6 nobody can be found".to_owned());
    }
    let interface = Some(interface).filter(|name| !name.is_empty());
    Ok(Some(Discovery { name, interface, disable_ipv4, disable_ipv6 }))
}

impl Config {
    /// Looks up where to listen. `warn` is told which address of an interface that is.
    ///
    /// # Errors
    /// The text that Serf prints.
    pub(super) async fn listener(&self, warn: fn(&str)) -> Result<SocketAddr, String> {
        let bind = self.bind.resolve(DEFAULT_PORT).await;
        let mut bind = bind.map_err(|error| format!("Invalid bind address: {error}"))?;
        if let Some(interface) = &self.interface {
            let on = interface::listener_on(interface, bind)?;
            if on.ip() != bind.ip() {
                warn(&format!("Using interface '{interface}' address '{}'", on.ip()));
            }
            bind = on;
        }
        if let Some(interface) = self.discovery.as_ref().and_then(|discovery| discovery.interface.as_ref()) {
            interface::addresses(interface)?;
        }
        match bind {
            SocketAddr::V6(bind) if bind.ip().is_unicast_link_local() && bind.scope_id() == 0 => {
                Err(format!(
                    "Invalid bind address: {0} is link-local: say of which interface, as -bind=[{0}%eth0] or with -iface",
                    bind.ip()
                ))
            }
            bind => Ok(bind),
        }
    }
}

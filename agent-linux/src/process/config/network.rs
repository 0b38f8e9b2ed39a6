//! Where the agent listens for gossip, and where it looks for others.

use std::fmt::Display;
use std::net::SocketAddr;

use super::Config;
use crate::agent::address::{DEFAULT_PORT, Endpoint};
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

/// What to tell the others, if that is said.
///
/// # Errors
/// It is no address, or it is to be learnt as well.
pub(super) fn advertise(text: &str, observed: bool) -> Result<Option<Endpoint>, String> {
    match text {
        "" => Ok(None),
        _ if observed => Err(no_address(
            "'advertise' says one, 'advertise_observed' takes the one that others see: give one of them",
        )),
        text => Endpoint::parse(text).map(Some).map_err(no_address),
    }
}

fn no_address(why: impl Display) -> String {
    format!("Invalid advertise address: {why}")
}

impl Config {
    /// Looks up what to tell the others, if that was set.
    pub(super) async fn advertised(&self) -> Result<Option<SocketAddr>, String> {
        let Some(advertise) = &self.advertise else { return Ok(None) };
        let resolved = advertise.resolve(DEFAULT_PORT).await.map_err(no_address)?;
        if resolved.ip().is_unspecified() {
            let hint = "stands for every address: give the one that others reach, as 10.0.0.1";
            return Err(no_address(format_args!("{} {hint}", resolved.ip())));
        }
        Ok(Some(resolved))
    }

    /// Looks up where to listen, and of which interface that is the first address, if it was to be chosen. `warn` is told of that.
    ///
    /// # Errors
    /// The text that Serf prints.
    pub(super) async fn listener(&self, warn: fn(&str)) -> Result<(SocketAddr, Option<String>), String> {
        let bind = self.bind.resolve(DEFAULT_PORT).await;
        let mut bind = bind.map_err(|error| format!("Invalid bind address: {error}"))?;
        let mut chosen = None;
        if let Some(interface) = &self.interface {
            let on = interface::listener_on(interface, bind)?;
            if on.ip() != bind.ip() {
                warn(&format!("Using interface '{interface}' address '{}'", on.ip()));
                chosen = Some(interface.clone());
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
            bind => Ok((bind, chosen)),
        }
    }
}

//! Where the agent listens for gossip.

use std::net::SocketAddr;

use super::Config;
use crate::agent::address::DEFAULT_PORT;
use crate::agent::interface;

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

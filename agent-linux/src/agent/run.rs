//! The run loop.

use super::config::Config;
use super::console::{Banner, say};
use super::signals::Signals;

/// Runs an agent until a signal ends it; the exit code.
pub async fn run(config: Config) -> u8 {
    Banner::starting();
    match Signals::listen() {
        Ok(mut signals) => {
            let bind =
                format!("{}:{}", config.bind.host, config.bind.port.unwrap_or(super::address::DEFAULT_PORT));
            Banner {
                node: &config.node_name,
                bind: &bind,
                rpc: &config.rpc_addr,
                advertise: None,
                encrypted: false,
                snapshot: false,
                profile: config.profile.as_str(),
                compression: false,
            }
            .running();
            Banner::log_follows();
            let signal = signals.next().await;
            say(format_args!("Caught signal: {}", signal.as_str()));
            1
        }
        Err(error) => {
            say(format_args!("Failed to start the Serf agent: {error}"));
            1
        }
    }
}

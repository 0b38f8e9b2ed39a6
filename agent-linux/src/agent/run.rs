//! The run loop.

use super::config::Config;
use super::console::{Banner, say};
use super::signals::Signals;

/// Runs an agent until a signal ends it; the exit code.
pub async fn run(config: Config) -> u8 {
    match wait(config).await {
        Ok(code) => code,
        Err(message) => {
            say(message);
            1
        }
    }
}

async fn wait(config: Config) -> Result<u8, String> {
    let bind = config.bind_address().await?.to_string();
    let advertise = config.advertise_address().await?.map(|address| address.to_string());
    Banner::starting();
    let mut signals =
        Signals::listen().map_err(|error| format!("Failed to start the Serf agent: {error}"))?;
    Banner {
        node: &config.node_name,
        bind: &bind,
        rpc: &config.rpc_addr,
        advertise: advertise.as_deref(),
        encrypted: false,
        snapshot: false,
        profile: config.profile.as_str(),
        compression: false,
    }
    .running();
    Banner::log_follows();
    say(format_args!("Caught signal: {}", signals.next().await.as_str()));
    Ok(1)
}

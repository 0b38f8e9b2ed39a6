//! Back to the members that a snapshot knows.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

use crate::agent::handle::WeakHandle;

/// How long until all are tried again of whom none has answered.
const AGAIN: Duration = Duration::from_secs(30);

/// So many of them are tried at a time.
const SOME: usize = 64;

/// Joins them, some at a time, again and again until one answers.
pub(in crate::agent) async fn rejoin(agent: WeakHandle, members: Vec<(String, SocketAddr)>) {
    loop {
        for some in members.chunks(SOME) {
            let Some(handle) = agent.upgrade() else { return };
            let names: Vec<&str> = some.iter().map(|(name, _)| name.as_str()).collect();
            log::info!(target: "serf", "serf: Attempting re-join to previously known nodes: {}", names.join(" "));
            let addresses = some.iter().map(|(_, addr)| addr.to_string()).collect();
            if handle.join(addresses, false).await.is_ok() {
                log::info!(target: "serf", "serf: Re-joined to previously known nodes");
                return;
            }
        }
        log::warn!(
            target: "serf",
            "serf: Failed to re-join any previously known node; they are tried again in {} s",
            AGAIN.as_secs()
        );
        sleep(AGAIN).await;
    }
}

//! The agent's side of the RPC: accepting connections, and letting them finish when the agent ends.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::context::Context;
pub use super::context::Options;
use super::listener::Listener;
use super::logs::LogHub;
use super::message::{ResponseHeader, refusal};
use super::session;
use super::standing::Standing;
use super::wire;
use crate::agent::error::words;
use crate::agent::handle::Handle;
use crate::agent::hub::Hub;
use crate::agent::log::Pace;

/// How long connections may take to send what they still owe when the agent has ended.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves the RPC until the agent ends, that is, until the run loop drops its end of `handle`; then the answers still
/// owed are sent (for up to 2 s) and it returns. So an agent that leaves should drop its end, then await this.
/// Dropped earlier, it closes all connections at once. Needs a tokio runtime with time and I/O.
pub async fn serve(listener: Listener, handle: Handle, hub: Hub, logs: LogHub, options: Options) {
    let streams = Arc::new(Semaphore::new(options.all_streams));
    let context = Arc::new(Context { handle, hub, logs, streams, options });
    let (close, closing) = watch::channel(false);
    let mut sessions = JoinSet::new();
    let mut clients: Vec<Client> = Vec::new();
    // Of refusals and failures the log tells once a second: they come in storms.
    let mut pace = Pace::default();
    let mut is_time = move || pace.is_time(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = context.handle.gone() => break,
            // Until nobody can abort it any more an ended task keeps its memory.
            Some(_) = sessions.join_next() => clients.retain(|client| !client.task.is_finished()),
            accepted = listener.accept() => match accepted {
                Ok(accepted) => {
                    while sessions.try_join_next().is_some() {}
                    clients.retain(|client| !client.task.is_finished());
                    if sessions.len() >= context.options.connections {
                        let gives_way = Client::first_to_go(&mut clients);
                        if is_time() {
                            let refused = gives_way.as_ref().map_or(&accepted.peer, |client| &client.peer);
                            let why = refusal::TOO_MANY_CONNECTIONS;
                            log::warn!(target: "agent.ipc", "Refused client: {refused}: {why}");
                        }
                        let Some(gives_way) = gives_way else {
                            // Whether the client still hears it is its own affair.
                            let _ = turn_away(&accepted.connection);
                            continue;
                        };
                        gives_way.task.abort();
                        sessions.join_next().await;
                    }
                    let standing = Standing::new();
                    let peer = accepted.peer.clone();
                    let session = session::run(accepted, context.clone(), standing.clone(), closing.clone());
                    clients.push(Client { standing, peer, task: sessions.spawn(session) });
                }
                Err(error) => {
                    if is_time() {
                        log::error!(target: "agent.ipc", "Failed to accept client: {}", words(&error));
                    }
                    // Out of file descriptors, most likely: trying again at once would only burn time.
                    if let Some(gives_way) = Client::first_to_go(&mut clients) {
                        gives_way.task.abort();
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    close.send_replace(true);
    let _ = timeout(FAREWELL, async { while sessions.join_next().await.is_some() {} }).await;
}

/// A connection, as far as it may have to give way to another one.
struct Client {
    standing: Standing,
    peer: String,
    task: AbortHandle,
}

impl Client {
    /// Who gives way: the oldest that has not come past its handshake (and `auth`), else the one for whom nothing has been done
    /// for the longest time, if that is long.
    fn first_to_go(clients: &mut Vec<Client>) -> Option<Client> {
        let (place, _) = clients
            .iter()
            .enumerate()
            .filter_map(|(place, client)| Some((place, client.standing.gives_way()?)))
            .min_by_key(|(_, since)| *since)?;
        Some(clients.remove(place))
    }
}

/// Tells the client why, without ever waiting for it: a fresh socket has room for these few bytes.
fn turn_away(connection: &impl AsFd) -> io::Result<()> {
    let error = refusal::TOO_MANY_CONNECTIONS.to_owned();
    let mut bytes = Vec::new();
    wire::encode(&mut bytes, &ResponseHeader { error, ..ResponseHeader::default() });
    let socket = SockRef::from(connection);
    socket.send(&bytes)?;
    socket.shutdown(Shutdown::Write)
}

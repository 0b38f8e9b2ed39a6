//! Connections and their bounds.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::pages;
use crate::agent::error::words;
use crate::agent::handle::Handle;
use crate::agent::log::Pace;

/// Connections at one time; for one more the oldest is closed. Each is good for one request.
pub const CONNECTIONS: usize = 16;

/// How long a request may take to come.
const REQUEST: Duration = Duration::from_secs(5);

/// How long a connection may last, its answer included.
const CONNECTION: Duration = Duration::from_secs(30);

/// The longest line of a request and its headers, in bytes: as little as hyper takes.
const HEAD: usize = 8 << 10;

/// Serves until the agent has ended. Needs a tokio runtime with time and I/O.
pub async fn serve(listener: TcpListener, handle: Handle) {
    let mut clients = JoinSet::new();
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    let mut pace = Pace::default();
    loop {
        tokio::select! {
            () = handle.gone() => return,
            Some(_) = clients.join_next() => oldest.retain(|client| !client.is_finished()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    oldest.retain(|client| !client.is_finished());
                    if oldest.len() == CONNECTIONS
                        && let Some(client) = oldest.pop_front()
                    {
                        client.abort();
                    }
                    oldest.push_back(clients.spawn(converse(stream, handle.clone())));
                }
                Err(error) => {
                    if pace.is_time(Duration::from_secs(1)) {
                        log::error!(target: "agent", "Failed to accept an HTTP client: {}", words(&error));
                    }
                    // Out of file descriptors, most likely: trying again at once would only burn time.
                    oldest.pop_front().inspect(AbortHandle::abort);
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}

/// One request and its answer.
async fn converse(stream: TcpStream, handle: Handle) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let handle = handle.clone();
        async move { Ok::<Response<String>, Infallible>(pages::answer(&request, &handle).await) }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(REQUEST).max_buf_size(HEAD);
    // A client that does not speak HTTP, or has gone, is nobody's loss.
    let _ = timeout(CONNECTION, http.serve_connection(TokioIo::new(stream), answer)).await;
}

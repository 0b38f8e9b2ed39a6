//! What hangs on an agent: its RPC, HTTP, and where its numbers are pushed to.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::config::Config;
use crate::agent::address::{Endpoint, bind_error};
use crate::agent::embed::Agent;
use crate::agent::kept_file;
use crate::http;
use crate::rpc::address::Place;
use crate::rpc::listener::Listener;
use crate::rpc::logs::LogHub;
use crate::rpc::server;
use crate::rpc::token::Token;
use crate::statsd::Sink;

/// How long something else may be in the way of the start.
const BUSY_LIMIT: Duration = Duration::from_secs(1);

/// File descriptors that RPC clients leave to gossip, logs and scripts.
const RESERVED: u64 = 20;

/// Answers commands at `place`, until the agent has ended.
///
/// # Errors
/// The text that Serf prints.
pub(super) async fn rpc(
    config: &Config,
    place: &Place,
    token: &Token,
    agent: &Agent,
    logs: LogHub,
) -> Result<JoinHandle<()>, String> {
    let is_busy = |why: &String| why.contains("address already in use");
    let listener = patiently(async || Listener::bind(place).await, is_busy).await;
    let listener =
        listener.map_err(|error| format!("Error starting RPC listener: listen {place}: {error}"))?;
    let mut options = server::Options { auth: token.clone(), ..server::Options::default() };
    if let Some(allowed) = getrlimit(Resource::Nofile).current {
        let http = if config.http_addr.is_some() { http::server::CONNECTIONS + 1 } else { 0 };
        let left = allowed.saturating_sub(RESERVED + http as u64) as usize;
        options.connections = options.connections.min(left).max(1);
    }
    Ok(tokio::spawn(server::serve(listener, agent.handle.clone(), agent.hub.clone(), logs, options)))
}

/// Shows the agent over HTTP, if that is wanted.
///
/// # Errors
/// What is wrong, and where it was said.
pub(super) async fn http(config: &Config, agent: &Agent) -> Result<(), String> {
    let Some(address) = &config.http_addr else { return Ok(()) };
    let listener = listen(address).await.map_err(|error| no_http(address, &error))?;
    tokio::spawn(http::server::serve(listener, agent.handle.clone()));
    Ok(())
}

/// Looks addresses up that [`http`] and [`sinks`] go by, and looks whether [`rpc`] has a folder.
///
/// # Errors
/// As they say it.
pub(super) async fn check(config: &Config, place: &Place) -> Result<(), String> {
    if let Some(address) = &config.http_addr {
        Endpoint::resolve_listener(address).await.map_err(|error| no_http(address, &error.to_string()))?;
    }
    if let Some(address) = &config.statsd_addr {
        Sink::statsd(address).await.map_err(|error| no_sink("statsd", &error))?;
    }
    if let Some(address) = &config.statsite_addr {
        Sink::statsite(address).await.map_err(|error| no_sink("statsite", &error))?;
    }
    if let Place::Unix(path) = place {
        let folder = kept_file::folder(path);
        if !folder.is_dir() {
            return Err(format!(
                "Error starting RPC listener: listen {place}: there is no folder {}",
                folder.display()
            ));
        }
        let stands = std::fs::symlink_metadata(path).is_ok_and(|there| !there.file_type().is_socket());
        if stands {
            return Err(format!("Error starting RPC listener: listen {place}: something else stands there"));
        }
    }
    Ok(())
}

fn no_http(address: &str, why: &str) -> String {
    format!("Error starting HTTP listener: listen tcp {address}: {why}; see -http-addr")
}

fn no_sink(which: &str, why: &str) -> String {
    format!("Failed to start {which} sink. Got: {why}; see {which}_addr")
}

async fn listen(address: &str) -> Result<TcpListener, String> {
    let address = Endpoint::resolve_listener(address).await.map_err(|error| error.to_string())?;
    let is_busy = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    let bound = patiently(async || TcpListener::bind(address).await, is_busy).await;
    bound.map_err(|error| bind_error(&error))
}

/// Pushes numbers to statsd and statsite, if that is wanted.
///
/// # Errors
/// The text that Serf prints, and where it was said.
pub(super) async fn sinks(config: &Config, agent: &Agent) -> Result<(), String> {
    if let Some(address) = &config.statsd_addr {
        let sink = Sink::statsd(address).await.map_err(|error| no_sink("statsd", &error))?;
        tokio::spawn(sink.push(agent.handle.clone()));
    }
    if let Some(address) = &config.statsite_addr {
        let sink = Sink::statsite(address).await.map_err(|error| no_sink("statsite", &error))?;
        tokio::spawn(sink.push(agent.handle.clone()));
    }
    Ok(())
}

/// Tries again for a moment what something else is in the way of.
pub(super) async fn patiently<T, E>(
    attempt: impl AsyncFn() -> Result<T, E>,
    is_busy: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let until = Instant::now() + BUSY_LIMIT;
    loop {
        match attempt().await {
            Err(error) if is_busy(&error) && Instant::now() < until => sleep(BUSY_LIMIT / 20).await,
            done => return done,
        }
    }
}

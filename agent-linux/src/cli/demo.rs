//! `serf demo`.

use std::collections::HashMap;
use std::error::Error;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{flags, runtime, ui};
use crate::agent::embed::{Agent, Setup};
use crate::agent::error::Refusal;
use crate::agent::filter::Filter;
use crate::agent::model::{Event, Status};
use crate::rpc::client::{Client, Config};
use crate::rpc::logs::LogHub;
use crate::rpc::server::{self, Options};

/// Runs a cluster of five agents in this process and shows how events reach all of them.
///
/// The agents talk over real sockets of this machine, so the other commands work with them while the demo runs.
/// Ctrl-C ends it.
#[derive(clap::Parser)]
#[command(override_usage = "serf demo [options]")]
pub(super) struct Flags {
    /// End once the first events have reached every agent; exit code 1 if that takes longer than 10 s
    #[arg(long, action = clap::ArgAction::Set, default_value_t = false)]
    once: bool,
    #[arg(hide = true)]
    _ignored: Vec<OsString>,
}

const AGENTS: usize = 5;
/// The first events that are fired.
const PAYLOADS: [&str; 3] = ["1234567890", "version 2", "version 3"];
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let Flags { once, .. } = match flags::parse(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let shown = runtime::run(async {
        tokio::select! {
            shown = show(once) => shown,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    });
    match shown.unwrap_or_else(|error| Err(error.into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui::say(format!("The demo has failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn Error>;

async fn show(once: bool) -> Result<(), Failure> {
    let mut cluster = match timeout(LIMIT, async { Cluster::start().await?.fire().await }).await {
        Ok(cluster) => cluster?,
        Err(_) => return Err(format!("not every agent had every event within {} s", LIMIT.as_secs()).into()),
    };
    ui::say(format!("\n{} events, {AGENTS} agents: each handler ran once for each event.", PAYLOADS.len()));
    if once {
        return Ok(());
    }
    let serf = std::env::args().next().unwrap_or_else(|| "serf".to_owned());
    let rpc = cluster.rpc;
    ui::say(format!(
        "\nThe agents go on. In another terminal, type:\n\n    {serf} members -rpc-addr={rpc}\n    \
         {serf} event -rpc-addr={rpc} deploy 1\n\nCtrl-C ends the demo.\n"
    ));
    while cluster.show_delivery().await {}
    Ok(())
}

/// An event at one of the agents.
struct Delivery {
    agent: usize,
    event: Arc<Event>,
    at: Instant,
}

struct Cluster {
    agents: Vec<Agent>,
    rpc: SocketAddr,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    /// When an event was fired here that nobody has had yet.
    fired: Option<Instant>,
    /// When each event was fired, or if that was elsewhere, when the first agent had it. By Lamport time, which tells
    /// them apart: all come from the same agent.
    begun: HashMap<u64, Instant>,
}

impl Cluster {
    /// Starts the agents and waits until each sees all.
    async fn start() -> Result<Cluster, Failure> {
        ui::say(format!("Starting {AGENTS} agents on this machine:\n"));
        let begin = Instant::now();
        let (delivered, deliveries) = mpsc::unbounded_channel();
        let mut agents: Vec<Agent> = Vec::new();
        for number in 0..AGENTS {
            let seed = agents.first().map(|first| first.bound);
            let agent = Agent::start(Setup {
                max_members: 64,
                awaiting_first_join: seed.is_some(),
                ..Setup::new(&name(number), (Ipv4Addr::LOCALHOST, 0).into())
            })
            .await?;
            ui::say(format!("    {}  gossips at {}", name(number), agent.bound));
            tokio::spawn(listen(number, &agent, delivered.clone()));
            if let Some(seed) = seed {
                agent.handle.join(vec![seed.to_string()], false).await?;
            }
            agents.push(agent);
        }
        let listener = rpc_listener().await?;
        let rpc = listener.local_addr()?;
        let (handle, hub) = (agents[0].handle.clone(), agents[0].hub.clone());
        tokio::spawn(server::serve(listener.into(), handle, hub, LogHub::new(), Options::default()));
        for agent in &agents {
            while alive(agent).await? < AGENTS {
                sleep(Duration::from_millis(5)).await;
            }
        }
        let took = begin.elapsed().as_millis();
        ui::say(format!("\nAll see each other after {took} ms. The commands reach node-1 at {rpc}.\n"));
        Ok(Cluster { agents, rpc, deliveries, fired: None, begun: HashMap::new() })
    }

    /// Fires the first events, as `serf event` does, and waits until they have arrived everywhere.
    async fn fire(mut self) -> Result<Cluster, Failure> {
        let client = Client::connect(&self.rpc.to_string(), Config::default()).await?;
        for payload in PAYLOADS {
            ui::say(format!("$ serf event -coalesce=false deploy '{payload}'"));
            self.fired = Some(Instant::now());
            client.event(b"deploy", payload.as_bytes(), false).await?;
            for _ in 0..self.agents.len() {
                if !self.show_delivery().await {
                    return Err("the agents have ended".into());
                }
            }
        }
        Ok(self)
    }

    /// Shows the next event that an agent gets; false if none can come any more, or nobody looks.
    async fn show_delivery(&mut self) -> bool {
        let Some(Delivery { agent, event, at }) = self.deliveries.recv().await else { return false };
        let Event::User { ltime, name: event, payload, .. } = &*event else { return true };
        let begun = self.begun.entry(*ltime).or_insert_with(|| self.fired.take().unwrap_or(at));
        let since = at.duration_since(*begun);
        let (event, payload) = (String::from_utf8_lossy(event), String::from_utf8_lossy(payload));
        ui::say(format!(
            "    {} ran its handler for {event}: {payload}  (+{:.2} ms)",
            name(agent),
            since.as_secs_f64() * 1000.0
        ))
    }
}

fn name(agent: usize) -> String {
    format!("node-{}", agent + 1)
}

/// Passes on what this agent would run its handlers for.
fn listen(agent: usize, of: &Agent, to: mpsc::UnboundedSender<Delivery>) -> impl Future<Output = ()> + use<> {
    // The filter is in the grammar, so it is never the other case.
    let events = Filter::parse("user").ok().map(|filter| of.hub.subscribe(filter));
    async move {
        let Some(events) = events else { return };
        loop {
            let (event, _) = events.next().await;
            if to.send(Delivery { agent, event, at: Instant::now() }).is_err() {
                return;
            }
        }
    }
}

async fn alive(agent: &Agent) -> Result<usize, Refusal> {
    let members = agent.handle.members().await?;
    Ok(members.iter().filter(|member| member.status == Status::Alive).count())
}

/// Serf's port, so that the commands work without an address, or a free one.
async fn rpc_listener() -> std::io::Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, 7373)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await,
    }
}

//! From the settings to the exit code: what happens at the start, and at each signal.

use std::future::pending;
use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::config::Config;
use super::console::{self, Banner, say};
use super::heap;
use super::services;
use super::signals::{Action, LEAVE_LIMIT, Policy, Signal, Signals, decide};
use super::systemd::Systemd;
use crate::agent::driver::End;
use crate::agent::embed::{self, Agent};
use crate::agent::error::{Refusal, StartError, words};
use crate::agent::handler::Handlers;
use crate::agent::log::Logger;
use crate::agent::log::syslog::Syslog;
use crate::agent::model::stats_text;
use crate::agent::operators;
use crate::agent::seeds::{Retry, Seeds};
use crate::rpc::address::Place;
use crate::rpc::logs::LogHub;
use crate::rpc::token::Token;

/// How long scripts may take to finish once the node has left.
const SCRIPTS_LIMIT: Duration = Duration::from_secs(5);

/// How long the snapshot may take to be written to its end.
const CLOSING_LIMIT: Duration = Duration::from_secs(5);

/// Runs an agent until it leaves, fails or is told to end; the exit code.
///
/// Takes over the process's log and its SIGINT, SIGTERM, SIGHUP and SIGUSR1. Needs a tokio runtime.
pub async fn run(config: Config) -> u8 {
    match live(config).await {
        Ok(code) => code,
        Err(message) => {
            say(message);
            1
        }
    }
}

/// What of these settings can be found wrong without starting an agent. `warn` as for [`Config::load`].
///
/// # Errors
/// The text that a start would print.
pub async fn check(config: &Config, warn: fn(&str)) -> Result<(), String> {
    let setup = config.setup(warn).await?;
    let place = config.rpc_place().await?;
    embed::check(&setup).map_err(|error| format!("Failed to start the Serf agent: {error}"))?;
    services::check(config, &place).await?;
    Seeds::check(&config.start_join).and(Seeds::check(&config.retry_join))
}

async fn live(config: Config) -> Result<u8, String> {
    console::speak(config.log_format.clone());
    let setup = config.setup(|warning| say(warning)).await?;
    let rpc_place = config.rpc_place().await?;
    Banner::starting();
    let failed = |error: String| format!("Failed to start the Serf agent: {error}");
    let signals = Signals::listen().map_err(|error| failed(error.to_string()))?;
    let logger = Logger::install(config.log_level, config.log_format.clone())
        .map_err(|error| failed(error.to_string()))?;
    if let Some(facility) = config.syslog {
        logger.tell(Syslog::new(facility).map_err(|error| {
            format!(
                "Syslog setup failed: connect /dev/log: {}; leave -syslog out if none runs here",
                words(&error)
            )
        })?);
    }
    let logs = LogHub::new();
    let lines = logs.clone();
    logger.observe(move |level, line| lines.push(level, line));
    log::info!(target: "agent", "Serf agent starting");
    if !config.operators.is_empty() {
        log::info!(target: "agent", "{}", operators::told(&config.operators));
    }
    let bind = setup.bind.to_string();
    let encrypted = !setup.keys.is_empty();
    let advertise = setup.advertise.map(|address| address.to_string());
    let agent = services::patiently(async || Agent::start(setup.clone()).await, StartError::is_busy).await;
    let agent = agent.map_err(|error| failed(error.to_string()))?;

    agent.farewell.say_on_panic();
    let rpc_token = Token::new(&config.rpc_auth.0);
    let rpc = services::rpc(&config, &rpc_place, &rpc_token, &agent, logs).await?;
    Banner::starting_rpc();
    services::http(&config, &agent).await?;
    services::sinks(&config, &agent).await?;
    tokio::spawn(heap::tend());
    let systemd = Systemd::new();
    tokio::spawn(systemd.clone().feed_watchdog(agent.handle.clone()));
    Banner {
        node: &config.node_name,
        bind: &bind,
        rpc: &config.rpc_addr.to_string(),
        http: config.http_addr.as_deref(),
        advertise: advertise.as_deref(),
        encrypted,
        snapshot: config.snapshot_path.is_some(),
        profile: config.profile.as_str(),
        compression: false,
    }
    .running();
    let (ready, reading, read_again, dumping) = (false, None, false, None);
    let mut process = Process {
        config,
        agent,
        rpc,
        rpc_place,
        rpc_token,
        logger,
        signals,
        systemd,
        ready,
        reading,
        read_again,
        company: None,
        dumping,
    };
    let ended = process.live().await;
    if timeout(CLOSING_LIMIT, process.agent.close()).await.is_err() {
        log::warn!(target: "agent", "The disk that the snapshot is on does not answer");
    }
    ended
}

struct Process {
    config: Config,
    agent: Agent,
    rpc: JoinHandle<()>,
    rpc_place: Place,
    rpc_token: Token,
    logger: &'static Logger,
    signals: Signals,
    systemd: Systemd,
    /// Whether that was told that it is.
    ready: bool,
    /// The configuration, as it is being read again, and whether it has to be once more.
    reading: Option<JoinHandle<Result<Config, String>>>,
    read_again: bool,
    /// Joins again when nobody is left.
    company: Option<JoinHandle<()>>,
    /// The counters on their way to stderr.
    dumping: Option<JoinHandle<()>>,
}

impl Process {
    async fn live(&mut self) -> Result<u8, String> {
        self.systemd.joining();
        if !self.config.start_join.is_empty()
            && let Some(code) = self.join_at_start().await?
        {
            return Ok(code);
        }
        Banner::log_follows();
        self.logger.open();
        if let Some(discovery) = self.config.discovery.clone() {
            let (agent, node) = (self.agent.handle.weak(), self.config.node_name.clone());
            tokio::spawn(discovery.run(
                agent,
                node,
                self.agent.advertised.clone(),
                self.config.replay_on_join,
            ));
        }
        let seeds = self.seeds(&self.config.retry_join);
        let retry = Retry { interval: self.config.retry_interval, most: self.config.retry_max_attempts };
        let handle = self.agent.handle.clone();
        let mut retries = pin!(seeds.retry_join(&handle, retry));
        let mut retrying = !seeds.texts.is_empty();
        if !retrying {
            self.has_joined();
        }
        let mut leave_by = None;
        loop {
            tokio::select! {
                end = &mut self.agent.end => return Ok(self.ended(end.unwrap_or(End::Abandoned)).await),
                joined = &mut retries, if retrying => {
                    retrying = false;
                    if joined.is_err() {
                        return Ok(stopped());
                    }
                    self.has_joined();
                }
                signal = self.signals.next() => match self.caught(signal, leave_by.is_some()) {
                    Action::Dump => self.dump().await,
                    Action::Reload => self.reload(),
                    Action::Leave => leave_by = Some(self.leave()),
                    Action::Exit => return Ok(stopped()),
                },
                read = outcome(&mut self.reading) => {
                    self.apply(read).await;
                    if self.ready && self.reading.is_none() {
                        self.become_ready();
                    }
                }
                () = until(leave_by) => return Ok(stopped()),
            }
        }
    }

    fn seeds(&self, texts: &[String]) -> Seeds {
        Seeds { texts: texts.to_vec(), replay: self.config.replay_on_join }
    }

    /// It has joined whom it is to join: from now on it sees to it that it is not alone.
    fn has_joined(&mut self) {
        self.become_ready();
        self.find_company();
    }

    fn find_company(&mut self) {
        let seeds = self.seeds(&self.config.all_seeds());
        let company = (!seeds.texts.is_empty())
            .then(|| tokio::spawn(seeds.find_company(self.agent.handle.weak(), self.config.retry_interval)));
        if let Some(before) = std::mem::replace(&mut self.company, company) {
            before.abort();
        }
    }

    /// Joins seeds that were not configured until now, beside all else.
    fn take_seeds(&mut self, new: &Config) {
        let known = self.config.all_seeds();
        (self.config.start_join, self.config.retry_join) = (new.start_join.clone(), new.retry_join.clone());
        let seeds = self.config.all_seeds();
        if seeds == known {
            return;
        }
        if self.company.is_some() {
            self.find_company();
        }
        let added = self.seeds(&seeds.into_iter().filter(|seed| !known.contains(seed)).collect::<Vec<_>>());
        if !added.texts.is_empty() {
            let handle = self.agent.handle.clone();
            // What comes of it is in the log.
            tokio::spawn(async move { added.join(&handle).await });
        }
    }

    /// It may be used from now on, or again: it has joined whom it is to join, and has read what it was to read.
    fn become_ready(&mut self) {
        self.ready = true;
        self.systemd.ready();
    }

    fn caught(&self, signal: Signal, leaving: bool) -> Action {
        if signal != Signal::User1 {
            say(format_args!("Caught signal: {}", signal.as_str()));
        }
        decide(signal, self.config.signals, leaving)
    }

    /// Joins before the log opens. An exit code if that was the end of it.
    async fn join_at_start(&mut self) -> Result<Option<u8>, String> {
        let replay = self.config.replay_on_join;
        Banner::joining(replay);
        let (handle, seeds) = (self.agent.handle.clone(), self.seeds(&self.config.start_join));
        let mut joined = pin!(async {
            seeds.join(&handle).await.map_err(|error| match error {
                Refusal::Gone => "Serf can't Join after Leave or Shutdown".to_owned(),
                error => error.to_string(),
            })
        });
        loop {
            tokio::select! {
                // Before its answer: it says more.
                biased;
                end = &mut self.agent.end => {
                    self.logger.open();
                    return Ok(Some(self.ended(end.unwrap_or(End::Abandoned)).await));
                }
                joined = &mut joined => {
                    Banner::joined(joined?);
                    return Ok(None);
                }
                signal = self.signals.next() => match self.caught(signal, false) {
                    Action::Dump => self.dump().await,
                    Action::Reload => {}
                    // There is nobody to say goodbye to yet.
                    Action::Leave | Action::Exit => return Ok(Some(1)),
                },
            }
        }
    }

    /// Prints the counters to stderr, where Go Serf prints its own on SIGUSR1. Not while nobody reads the ones before.
    async fn dump(&mut self) {
        if self.dumping.as_ref().is_some_and(|dumping| !dumping.is_finished()) {
            return;
        }
        if let Ok(stats) = self.agent.handle.stats().await {
            let print = move || {
                // Nobody is there to be told that it failed.
                let _ = io::stderr().write_all(stats_text(&stats).as_bytes());
            };
            self.dumping = Some(tokio::task::spawn_blocking(print));
        }
    }

    /// Asks the node to leave; by when it must be done. Its end tells that it is.
    fn leave(&self) -> Instant {
        say("Gracefully shutting down agent...");
        self.systemd.stopping();
        let handle = self.agent.handle.clone();
        // An error says that somebody else has asked already.
        tokio::spawn(async move { handle.leave().await });
        Instant::now() + LEAVE_LIMIT
    }

    /// Begins to read the configuration again. The disk that its files are on may not answer: the agent goes on.
    fn reload(&mut self) {
        say("Reloading configuration...");
        if self.ready {
            self.systemd.reloading();
        }
        if self.reading.is_some() {
            self.read_again = true;
            return;
        }
        let config = self.config.clone();
        self.reading = Some(tokio::task::spawn_blocking(move || config.reload(|warning| say(warning))));
    }

    /// Applies of what has been read what can change: seeds, log level, token, handlers, limits, operators, tags, what signals do.
    async fn apply(&mut self, read: Result<Config, String>) {
        self.reading = None;
        if std::mem::take(&mut self.read_again) {
            return self.reload();
        }
        let new = match read.and_then(|new| new.guard_rpc(&self.rpc_place).map(|()| new)) {
            Ok(new) => new,
            Err(error) => return say(format_args!("Failed to reload configs: {error}")),
        };
        self.take_seeds(&new);
        self.logger.set_level(new.log_level);
        self.rpc_token.set(new.rpc_auth.0);
        match self.agent.handle.set_handlers(new.event_handlers).await {
            Ok(()) => {}
            Err(error @ Refusal::Tags(_)) => say(format_args!(
                "Failed to change the handlers, of which those that run once are marked by a tag: {error}"
            )),
            // The agent ends.
            Err(_) => return,
        }
        let sizes = [new.event_size_limit, new.query_size_limit, new.response_size_limit];
        if self.agent.handle.set_limits(sizes, new.handler_timeout).await.is_err() {
            // The agent ends.
            return;
        }
        self.config.signals = new.signals;
        if new.operators != self.config.operators {
            log::warn!(target: "agent", "{}", operators::told(&new.operators));
            self.config.operators.clone_from(&new.operators);
            if self.agent.handle.set_operators(new.operators).await.is_err() {
                // The agent ends.
                return;
            }
        }
        if self.config.tags_file.is_some() {
            // They are kept there, and what is configured says nothing of them.
            return;
        }
        // What has changed in the configuration: what was set over the RPC stays.
        let known = &self.config.tags;
        let delete = known.keys().filter(|key| !new.tags.contains_key(*key)).cloned().collect();
        let set = new.tags.iter().filter(|(key, value)| known.get(*key) != Some(*value));
        let set = set.map(|(key, value)| (key.clone(), value.clone())).collect();
        match self.agent.handle.edit_tags(set, delete).await {
            Ok(()) => self.config.tags = new.tags,
            Err(error @ Refusal::Tags(_)) => say(format_args!("Failed to update tags: {error}")),
            // The agent ends.
            Err(_) => {}
        }
    }

    /// The node has ended: lets scripts and RPC clients finish, unless a further signal says not to.
    async fn ended(&mut self, end: End) -> u8 {
        let mut code = match end {
            End::Left => 0,
            End::NameTaken(told_by) => {
                log::error!(
                    target: "agent",
                    "The name '{}' belongs to another node, which answers; so says {told_by}. Start this one with \
                     another -node",
                    self.config.node_name
                );
                1
            }
            End::Abandoned => 1,
        };
        let scripts = self.agent.handlers.counters();
        if scripts.running + scripts.waiting > 0 {
            log::info!(
                target: "agent",
                "Waiting up to {} s for {} scripts, {} of them not started; a further signal ends this",
                SCRIPTS_LIMIT.as_secs(),
                scripts.running + scripts.waiting,
                scripts.waiting
            );
        }
        tokio::select! {
            () = finish(&self.agent.handlers, SCRIPTS_LIMIT) => {
                tokio::select! {
                    _ = &mut self.rpc => {}
                    () = insistence(&mut self.signals, self.config.signals) => code = 1,
                }
            }
            () = insistence(&mut self.signals, self.config.signals) => {
                finish(&self.agent.handlers, Duration::ZERO).await;
                code = 1;
            }
        }
        log::info!(target: "agent", "requesting serf shutdown");
        log::info!(target: "agent", "shutdown complete");
        code
    }
}

/// Lets scripts run to their end, for so long.
async fn finish(handlers: &Handlers, limit: Duration) {
    if let Err(unfinished) = handlers.drain(Instant::now() + limit).await {
        log::warn!(
            target: "agent",
            "Ended with {} scripts still running and {} not started",
            unfinished.running,
            unfinished.waiting
        );
    }
}

/// Waits for a signal that ends even an agent that is ending.
async fn insistence(signals: &mut Signals, policy: Policy) {
    loop {
        let signal = signals.next().await;
        if decide(signal, policy, true) == Action::Exit {
            return say(format_args!("Caught signal: {}", signal.as_str()));
        }
    }
}

/// What has been read; never, if nothing is.
async fn outcome(task: &mut Option<JoinHandle<Result<Config, String>>>) -> Result<Config, String> {
    match task {
        Some(task) => task.await.unwrap_or_else(|gone| Err(gone.to_string())),
        None => pending().await,
    }
}

/// The end without a word to the others; its exit code.
fn stopped() -> u8 {
    log::info!(target: "agent", "requesting serf shutdown");
    log::warn!(target: "serf", "Shutdown without a Leave");
    log::info!(target: "agent", "shutdown complete");
    1
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

//! Whom to join, and when: through seeds that may be elsewhere at each try, until somebody answers, and again when nobody is
//! left.
//!
//! - `service`: seeds by a DNS service's name.
//! - `command`: seeds that a command prints.
//! - `known`: members that a snapshot knows.

mod command;
pub(super) mod known;
mod service;

use std::net::SocketAddr;
use std::time::Duration;

use getrandom::u32;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::address::{AddressError, JoinTarget};
use super::error::Refusal;
use super::handle::{Handle, WeakHandle};

/// The longest pause between two tries of an agent that is alone; a longer [`Retry::interval`] counts instead.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// One text of whom to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seed {
    /// `[name/]host[:port]`.
    Member(JoinTarget),
    /// `srv:NAME`: all targets of the DNS service NAME, with their ports.
    Service(String),
    /// `exec:COMMAND`: all whom the command prints.
    Command(String),
}

impl Seed {
    /// Reads `text`. `srv:7946` and `exec:7946` are hosts of these names.
    ///
    /// # Errors
    /// [`AddressError`]; names are not looked up.
    pub(super) fn parse(text: &str) -> Result<Seed, AddressError> {
        let behind = |prefix: &str| {
            let rest = text.strip_prefix(prefix)?.trim();
            let is_port = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
            (!is_port).then(|| rest.to_owned())
        };
        for (prefix, seed) in [("srv:", Seed::Service as fn(String) -> Seed), ("exec:", Seed::Command)] {
            match behind(prefix) {
                Some(rest) if rest.is_empty() => return Err(AddressError::Nothing(prefix)),
                Some(rest) => return Ok(seed(rest)),
                None => {}
            }
        }
        JoinTarget::parse(text).map(Seed::Member)
    }

    /// Whether [`Seed::resolve`] asks anybody.
    pub(super) fn needs_lookup(&self) -> bool {
        match self {
            Seed::Member(target) => target.endpoint.ip().is_none(),
            Seed::Service(_) => true,
            Seed::Command(_) => false,
        }
    }

    /// All its addresses as they are now; `port` where it names none.
    ///
    /// # Errors
    /// [`AddressError`]; [`AddressError::Command`] if it is a command, which only [`Seeds`] runs.
    pub(super) async fn resolve(&self, port: u16) -> Result<Vec<SocketAddr>, AddressError> {
        match self {
            Seed::Member(target) => target.endpoint.resolve_all(port).await,
            Seed::Service(name) => service::resolve(name).await,
            Seed::Command(_) => Err(AddressError::Command),
        }
    }
}

/// Whom an agent is to join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seeds {
    /// `[name/]host[:port]`, `srv:NAME` or `exec:COMMAND`: from whoever may run commands as this agent.
    pub texts: Vec<String>,
    /// Whether events from before the join are wanted.
    pub replay: bool,
}

/// How often, and for how long, seeds are tried of whom none answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Between two tries.
    pub interval: Duration,
    /// After how many further tries to give up; `None`: never.
    pub most: Option<u64>,
}

/// Every try that the settings allow has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl Seeds {
    /// Reads texts of whom to join, without looking anything up.
    ///
    /// # Errors
    /// What is wrong with the first one that is none.
    pub fn check(texts: &[String]) -> Result<(), String> {
        texts.iter().try_for_each(|text| {
            let read = Seed::parse(text).map(drop);
            read.map_err(|error| format!("Invalid address to join: '{text}': {error}"))
        })
    }

    /// Runs commands, looks names up, and joins; how many have answered.
    ///
    /// # Errors
    /// As [`Handle::join`].
    pub async fn join(&self, handle: &Handle) -> Result<usize, Refusal> {
        let (addresses, errors) = self.addresses().await;
        match handle.join(addresses, self.replay).await {
            Ok(0) => Err(Refusal::NotJoined(errors)),
            Err(Refusal::NotJoined(others)) => Err(Refusal::NotJoined([errors, others].concat())),
            joined => {
                errors.iter().for_each(|error| log::warn!(target: "agent", "{error}"));
                joined
            }
        }
    }

    /// Joins, again and again until somebody answers.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub async fn retry_join(&self, handle: &Handle, retry: Retry) -> Result<(), Exhausted> {
        let mut retries = 0;
        loop {
            log::info!(target: "agent", "Joining cluster...(replay: {})", self.replay);
            let error = match self.join(handle).await {
                Ok(nodes) => {
                    log::info!(target: "agent", "Join completed. Synced with {nodes} initial agents");
                    return Ok(());
                }
                Err(error) => error,
            };
            if retry.most.is_some_and(|most| retries >= most) {
                log::error!(target: "agent", "maximum retry join attempts made, exiting");
                return Err(Exhausted);
            }
            retries += 1;
            log::warn!(target: "agent", "Join failed: {error}, retrying in {:?}", retry.interval);
            sleep(retry.interval).await;
        }
    }

    /// Joins whenever this agent has been alone for two intervals, until it is not: whoever was there before may have been replaced, at
    /// other addresses. Each pause is up to twice as long as the one before, at most 5 min, by chance, as others may be alone
    /// as well. Ends with the agent.
    pub(crate) async fn find_company(self, agent: WeakHandle, interval: Duration) {
        let longest = LONGEST_PAUSE.max(interval);
        let (mut alone, mut pause) = (0, interval);
        loop {
            sleep(if alone < 2 { interval } else { jittered(pause) }).await;
            let Some(handle) = agent.upgrade() else { return };
            match handle.others().await {
                Err(_) => return,
                Ok(0) => alone += 1,
                Ok(_) => (alone, pause) = (0, interval),
            }
            if alone < 2 {
                continue;
            }
            log::info!(target: "agent", "No other member is alive: joining the cluster again");
            match self.join(&handle).await {
                Ok(nodes) => log::info!(target: "agent", "Join completed. Synced with {nodes} agents"),
                Err(error) => log::warn!(target: "agent", "Join failed: {error}; it is tried again"),
            }
            pause = (pause * 2).min(longest);
        }
    }

    /// The texts, what commands print in the place of these, and what is wrong with the others.
    async fn addresses(&self) -> (Vec<String>, Vec<String>) {
        let (mut found, mut errors) = (Vec::new(), Vec::new());
        let mut commands = JoinSet::new();
        for text in &self.texts {
            match Seed::parse(text) {
                Ok(Seed::Command(command)) => drop(commands.spawn(command::run(command))),
                _ => found.push(text.clone()),
            }
        }
        for printed in commands.join_all().await {
            match printed {
                Ok(addresses) => found.extend(addresses),
                Err(error) => errors.push(error),
            }
        }
        (found, errors)
    }
}

/// Between half of it and all.
pub(super) fn jittered(pause: Duration) -> Duration {
    // Without randomness all are as patient.
    let part = u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    pause.mul_f64(0.5 + part / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_and_commands_are_told_from_hosts() {
        for (text, seed) in [
            ("srv:_serf._udp.example.org", Seed::Service("_serf._udp.example.org".to_owned())),
            ("exec:cloud list --tag a=b", Seed::Command("cloud list --tag a=b".to_owned())),
            ("srv:7946", Seed::Member(JoinTarget::parse("srv:7946").unwrap())),
            ("n1/10.0.0.1", Seed::Member(JoinTarget::parse("n1/10.0.0.1").unwrap())),
        ] {
            assert_eq!(Seed::parse(text).unwrap(), seed, "{text}");
        }
        for prefix in ["srv:", "exec:"] {
            assert_eq!(Seed::parse(prefix), Err(AddressError::Nothing(prefix)));
        }
        let texts =
            |all: &[&str]| Seeds::check(&all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(texts(&["a", "exec:b"]), Ok(()));
        assert_eq!(
            texts(&["a", "[::1"]),
            Err("Invalid address to join: '[::1': address [::1: missing ']' in address".to_owned())
        );
    }
}

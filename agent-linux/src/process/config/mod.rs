//! The agent's settings: defaults, then JSON files, then flags.

pub mod duration;
mod file;
mod network;
pub mod reference;
mod rpc;
mod secrets;
mod settings;
mod show;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use serf_nostd::Key;
use serf_nostd::wire::message::NAME_MAX;

pub use self::network::Mdns;
pub use self::settings::{Secret, Settings};
use super::signals::Policy;
use crate::agent::address::Endpoint;
use crate::agent::discovery::Discovery;
use crate::agent::embed::Setup;
use crate::agent::handler::{Limits, Spec};
use crate::agent::log::syslog::Facility;
use crate::agent::log::{Format, LEVELS, journal, level_named};
use crate::agent::memory::{DEFAULT_MAX_MEMBERS, MAX_MEMBERS};
use crate::agent::operators::{self, Operator};
use crate::agent::{keyring_file, keys, tags, tags_file};
use crate::rpc::address::Address;

/// The most handler scripts that may run at once.
pub const MAX_HANDLER_CONCURRENCY: u64 = 256;

/// The shortest pause between two attempts of `-retry-join`.
pub const MIN_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Where the settings come from, kept to read them again on SIGHUP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// JSON files, and folders of such (`*.json`, in the order of their names), in the order in which they are merged.
    pub files: Vec<PathBuf>,
    /// The flags, merged last.
    pub flags: Settings,
}

impl Source {
    fn merged(&self, mut warn: impl FnMut(&str)) -> Result<Settings, String> {
        let mut settings = Settings::default();
        for path in &self.files {
            for file in file::files(path)? {
                let read = file::read(&file)?;
                if read.has_secrets()
                    && let Some(warning) = secrets::openness("configuration file", &file)
                {
                    warn(&warning);
                }
                settings.merge(read);
            }
        }
        settings.merge(self.flags.clone());
        Ok(settings)
    }
}

/// The timing constants to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// One site.
    Lan,
    /// Sites apart: slower and more patient.
    Wan,
    /// One machine: faster.
    Local,
}

impl Profile {
    /// The name, as in `-profile`.
    pub fn as_str(self) -> &'static str {
        match self {
            Profile::Lan => "lan",
            Profile::Wan => "wan",
            Profile::Local => "local",
        }
    }

    /// Its constants.
    fn constants(self) -> serf_nostd::Config {
        match self {
            Profile::Lan => serf_nostd::Config::LAN,
            Profile::Wan => serf_nostd::Config::WAN,
            Profile::Local => serf_nostd::Config::LOCAL,
        }
    }

    fn named(name: &str) -> Option<Profile> {
        [Profile::Lan, Profile::Wan, Profile::Local].into_iter().find(|profile| profile.as_str() == name)
    }
}

/// The settings of an agent, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `node_name`: unique in the cluster; the host's name by default.
    pub node_name: String,
    /// `cluster`: what the cluster is called, 1 to 128 bytes. Agents with other names, or without one, are refused.
    pub cluster: Option<String>,
    /// `bind`: where to listen for gossip; every address and port 7946 by default.
    pub bind: Endpoint,
    /// `advertise`: what to tell the others instead of the bound address. Its port defaults to 7946.
    pub advertise: Option<Endpoint>,
    /// `advertise_observed`: whether to tell the others to reach it where they see it.
    pub advertise_observed: bool,
    /// `interface`: the network interface whose first address is listened at, if `bind` names none, or else must have that one.
    pub interface: Option<String>,
    /// `rpc_addr`: where to listen for RPC, `host:port` or `unix:/path`.
    pub rpc_addr: Address,
    /// `rpc_auth`, or what is in `rpc_auth_file`: the token that RPC clients must show over TCP; empty for none.
    pub rpc_auth: Secret,
    /// `rpc_allow_unauthenticated`: to listen where other machines may reach it, without a token.
    pub rpc_allow_unauthenticated: bool,
    /// `http_addr`: where to listen for HTTP, `host:port`; `None`: nowhere.
    pub http_addr: Option<String>,
    /// `statsd_addr`: where to push numbers by UDP, `host:port`; `None`: nowhere.
    pub statsd_addr: Option<String>,
    /// `statsite_addr`: the same by TCP.
    pub statsite_addr: Option<String>,
    /// `start_join`: whom to join at the start, as [`Seeds`](crate::agent::seeds::Seeds) has them; the agent ends if none answers.
    pub start_join: Vec<String>,
    /// `replay_on_join`: ask for the events from before the join.
    pub replay_on_join: bool,
    /// `retry_join`: whom to try to join until it works, likewise. Either are joined again by an agent that has been left alone.
    pub retry_join: Vec<String>,
    /// `retry_interval`: between two such attempts, and half of how long an agent is alone before it makes one; at least
    /// [`MIN_RETRY_INTERVAL`].
    pub retry_interval: Duration,
    /// `retry_max_attempts`: after how many further attempts to give up, which ends the agent; `None`: never.
    pub retry_max_attempts: Option<u64>,
    /// `discover` and `mdns`: which cluster to find by mDNS, and where.
    pub discovery: Option<Discovery>,
    /// `tags`: of this node; at most [`TAGS_LIMIT`](crate::agent::tags::TAGS_LIMIT) bytes encoded, or the agent does not start.
    pub tags: BTreeMap<String, String>,
    /// `tags_file`: where tags that are set at run time are kept, and found at the next start. Not beside `tags`.
    pub tags_file: Option<PathBuf>,
    /// `encrypt_key`: what all of the fleet's datagrams are sealed with; `None`: they are not. Not beside `keyring_file`.
    pub encrypt_key: Option<Key>,
    /// `keyring_file`: where the keys are, and are kept when they change: the one to seal with first.
    pub keyring_file: Option<PathBuf>,
    /// `snapshot_path`: where members, clocks and what was handed out are kept over the agent's end, and found at the next start.
    pub snapshot_path: Option<PathBuf>,
    /// `rejoin_after_leave`: whether members are joined again that were left. Needs `snapshot_path`.
    pub rejoin_after_leave: bool,
    /// `user_event_size_limit`: longest name and payload of a user event together, in bytes; 512 by default.
    pub event_size_limit: u16,
    /// `query_size_limit`: longest query of a user, as it is encoded with its filters, in bytes; 1,024 by default.
    pub query_size_limit: u16,
    /// `query_response_size_limit`: longest answer, likewise.
    pub response_size_limit: u16,
    /// `disable_coordinates`: to take no part in the space of round trips.
    pub disable_coordinates: bool,
    /// `disable_name_resolution`: to go on when another node that answers has this one's name.
    pub disable_name_resolution: bool,
    /// `event_authority`: operators, and which events they alone may fire. All agents of a fleet are to be told the same.
    pub operators: Vec<Operator>,
    /// `profile`: timing constants.
    pub profile: Profile,
    /// `event_handlers`: what to run for events, in order.
    pub event_handlers: Vec<Spec>,
    /// `handler_timeout`: how long a script may run before it is killed; `None`: as long as it likes.
    pub handler_timeout: Option<Duration>,
    /// `handler_concurrency`: scripts that may run at once, 1 to [`MAX_HANDLER_CONCURRENCY`].
    pub handler_concurrency: usize,
    /// `log_level`: of the lines on the terminal.
    pub log_level: LevelFilter,
    /// `log_format`: of the same lines; the journal's where standard output goes there, else text by default.
    pub log_format: Format,
    /// `enable_syslog` and `syslog_facility`: under which facility the system's log gets them as well; LOCAL0 by default.
    pub syslog: Option<Facility>,
    /// `leave_on_terminate` and `skip_leave_on_interrupt`.
    pub signals: Policy,
    /// `refused_grace`: how long a member's host has to refuse datagrams for it before it has failed; zero: that counts for nothing.
    pub refused_grace: Duration,
    /// `reconnect_interval`: between two attempts to reach a failed member.
    pub reconnect_interval: Duration,
    /// `reconnect_timeout`: after which a failed member is erased.
    pub reconnect_timeout: Duration,
    /// `tombstone_timeout`: after which a member that left is erased.
    pub tombstone_timeout: Duration,
    /// `max_members`: how many members can be held, 2 to [`MAX_MEMBERS`].
    pub max_members: usize,
    /// What the settings were read from.
    pub source: Source,
}

impl Config {
    /// Reads the files of `source`, merges and checks everything. `warn` is given what should be shown, behind
    /// `==> `, even if an error follows.
    ///
    /// # Errors
    /// The text that Serf prints (behind `==> `) before it ends with exit code 1.
    pub fn load(source: Source, mut warn: impl FnMut(&str)) -> Result<Config, String> {
        Config::check(source.merged(&mut warn)?, source, warn)
    }

    /// What comes of files and flags together with the defaults, as one file would say it; but for secrets, which nothing shows.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn shown(source: Source, mut warn: impl FnMut(&str)) -> Result<String, String> {
        let settings = source.merged(&mut warn)?;
        let config = Config::check(settings.clone(), source, warn)?;
        Ok(show::json(&settings, &config))
    }

    /// As [`Config::load`], from the same files and flags again. The caller decides what of it can change in a
    /// running agent: with Serf the log level, the handlers, the tags and what signals do; here the token, too.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn reload(&self, warn: impl FnMut(&str)) -> Result<Config, String> {
        Config::load(self.source.clone(), warn)
    }

    /// Whom to join, however often that is tried.
    pub(super) fn all_seeds(&self) -> Vec<String> {
        [&self.start_join[..], &self.retry_join].concat()
    }

    /// What these settings ask of an agent, with names looked up and files read. `warn` as for [`Config::load`].
    ///
    /// # Errors
    /// The text that Serf prints.
    pub async fn setup(&self, warn: fn(&str)) -> Result<Setup, String> {
        let profile = self.profile.constants();
        let span = |span: Duration| {
            serf_nostd::Duration::from_micros(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
        };
        let (bind, interface) = self.listener(warn).await?;
        let unfit = |error: String| format!("Failed to setup the Serf agent: {error}");
        Ok(Setup {
            interface,
            advertise: self.advertised().await?,
            tags: match self.tags_file.clone() {
                // The disk that it is on may not answer; then nothing starts.
                Some(path) => tokio::task::spawn_blocking(move || tags_file::load(&path))
                    .await
                    .map_err(|error| error.to_string())?
                    .map_err(unfit)?,
                None => self.tags.clone(),
            },
            tags_file: self.tags_file.clone(),
            keys: match self.keyring_file.clone() {
                Some(path) => tokio::task::spawn_blocking(move || keyring_file::load(&path, warn))
                    .await
                    .map_err(|error| error.to_string())?
                    .map_err(unfit)?,
                None => self.encrypt_key.clone().into_iter().collect(),
            },
            keyring_file: self.keyring_file.clone(),
            snapshot: self.snapshot_path.clone(),
            rejoin: self.rejoin_after_leave,
            core: serf_nostd::Config {
                refused_grace: span(self.refused_grace),
                reconnect_interval: span(self.reconnect_interval),
                reconnect_timeout: span(self.reconnect_timeout),
                tombstone_timeout: span(self.tombstone_timeout),
                replay: self.replay_on_join,
                authority: operators::authority(&self.operators),
                event_size_limit: self.event_size_limit,
                query_size_limit: self.query_size_limit,
                response_size_limit: self.response_size_limit,
                advertise_observed: self.advertise_observed,
                // For as long as the process.
                cluster: self.cluster.clone().map(|name| &*name.leak()),
                ..profile
            },
            max_members: self.max_members,
            coordinates: !self.disable_coordinates,
            yields_name: !self.disable_name_resolution,
            awaiting_first_join: !self.start_join.is_empty() || !self.retry_join.is_empty(),
            handlers: self.event_handlers.clone(),
            limits: Limits {
                concurrency: self.handler_concurrency,
                timeout: self.handler_timeout,
                ..Limits::default()
            },
            ..Setup::new(&self.node_name, bind)
        })
    }

    fn check(mut settings: Settings, source: Source, mut warn: impl FnMut(&str)) -> Result<Config, String> {
        if !settings.role.is_empty() {
            warn("Deprecation warning: 'Role' has been replaced with 'Tags'");
            settings.tags.insert("role".to_owned(), std::mem::take(&mut settings.role));
        }
        check_protocol(settings.protocol)?;
        let mut event_handlers = Vec::new();
        for text in &settings.event_handlers {
            event_handlers.extend(Spec::parse(text).map_err(|error| error.to_string())?);
        }
        let mut retry_interval = match settings.retry_interval {
            0 => Duration::from_secs(30),
            negative if negative < 0 => Duration::ZERO,
            nanoseconds => Duration::from_nanos(nanoseconds as u64),
        };
        // Nothing here waits for a broadcast: it is checked, and without effect.
        if settings.broadcast_timeout != 0
            && settings.broadcast_timeout < MIN_RETRY_INTERVAL.as_nanos() as i64
        {
            warn("Warning: 'BroadcastTimeout' is too low. Setting to 1s");
        }
        if retry_interval < MIN_RETRY_INTERVAL {
            warn("Warning: 'RetryInterval' is too low. Setting to 1s");
            retry_interval = MIN_RETRY_INTERVAL;
        }
        // These stand in the environment of scripts.
        if settings.node_name.contains('\0') {
            return Err(format!(
                "Invalid node name: {:?} has a NUL byte, which no environment can hold",
                settings.node_name
            ));
        }
        if let Some((key, _)) = settings.tags.iter().find(|(key, value)| !tags::is_tag(key, value)) {
            return Err(format!(
                "Invalid tag: {key:?} has no name, or a NUL byte, which no environment can hold"
            ));
        }
        let rpc_auth = rpc::token(&settings, &mut warn)?;
        let cluster = Some(settings.cluster).filter(|name| !name.is_empty());
        if cluster.as_ref().is_some_and(|name| name.len() > NAME_MAX) {
            return Err(format!("Invalid cluster name: it is longer than {NAME_MAX} bytes"));
        }
        let tags_file = Some(settings.tags_file).filter(|path| !path.is_empty()).map(PathBuf::from);
        if tags_file.is_some() && !settings.tags.is_empty() {
            return Err(
                "Failed to setup the Serf agent: Tags config not allowed while using tag files".to_owned()
            );
        }
        let keyring_file = Some(settings.keyring_file).filter(|path| !path.is_empty()).map(PathBuf::from);
        if keyring_file.is_some() && !settings.encrypt_key.0.is_empty() {
            return Err(
                "Failed to setup the Serf agent: Encryption key not allowed while using a keyring".to_owned()
            );
        }
        let snapshot_path = Some(settings.snapshot_path).filter(|path| !path.is_empty()).map(PathBuf::from);
        if settings.rejoin_after_leave && snapshot_path.is_none() {
            warn("Warning: 'RejoinAfterLeave' enabled without snapshot file");
        }
        let encrypt_key = Some(settings.encrypt_key.0).filter(|text| !text.is_empty());
        let encrypt_key = encrypt_key.map(|text| keys::decode(&text)).transpose();
        let encrypt_key = encrypt_key.map_err(|error| format!("Invalid encryption key: {error}"))?;
        let node_name = match settings.node_name {
            name if name.is_empty() => gethostname::gethostname().to_string_lossy().into_owned(),
            name => name,
        };
        if settings.validate_node_names {
            check_node_name(&node_name)?;
        }
        let discovery = network::discovery(settings.discover, settings.mdns)?;
        let profile = or(settings.profile, "lan");
        let profile = || Profile::named(&profile).ok_or_else(|| format!("Unknown profile: {profile}"));
        Ok(Config {
            discovery,
            log_format: log_format(&settings.log_format, &node_name)?,
            syslog: Some(Facility::named(&or(settings.syslog_facility, "LOCAL0"))?)
                .filter(|_| settings.enable_syslog),
            event_handlers,
            tags_file,
            encrypt_key,
            keyring_file,
            snapshot_path,
            rejoin_after_leave: settings.rejoin_after_leave,
            operators: operators::parse(&settings.event_authority)?,
            retry_interval,
            log_level: log_level(or(settings.log_level, "INFO"))?,
            bind: Endpoint::parse(&or(settings.bind, "0.0.0.0"))
                .map_err(|error| format!("Invalid bind address: {error}"))?,
            advertise: network::advertise(&settings.advertise, settings.advertise_observed)?,
            advertise_observed: settings.advertise_observed,
            interface: Some(settings.interface).filter(|name| !name.is_empty()),
            profile: profile()?,
            cluster,
            node_name,
            tags: settings.tags,
            rpc_addr: Address::parse(&or(settings.rpc_addr, "127.0.0.1:7373"))
                .map_err(|error| format!("Invalid RPC address: {error}"))?,
            rpc_auth,
            rpc_allow_unauthenticated: settings.rpc_allow_unauthenticated,
            http_addr: some(settings.http_addr),
            statsd_addr: some(settings.statsd_addr),
            statsite_addr: some(settings.statsite_addr),
            start_join: settings.start_join,
            replay_on_join: settings.replay_on_join,
            retry_join: settings.retry_join,
            retry_max_attempts: Some(settings.retry_max_attempts).filter(|attempts| *attempts > 0),
            handler_timeout: Some(positive("handler timeout", settings.handler_timeout, Duration::ZERO)?)
                .filter(|limit| !limit.is_zero()),
            handler_concurrency: within(
                "handler concurrency",
                settings.handler_concurrency,
                1,
                MAX_HANDLER_CONCURRENCY,
            )?,
            signals: Policy {
                leave_on_terminate: settings.leave_on_terminate,
                skip_leave_on_interrupt: settings.skip_leave_on_interrupt,
            },
            refused_grace: match settings.refused_grace {
                Some(nanoseconds) => refused_grace(nanoseconds)?,
                None => Duration::from_micros(profile()?.constants().refused_grace.as_micros()),
            },
            reconnect_interval: positive("reconnect interval", settings.reconnect_interval, SECONDS_30)?,
            reconnect_timeout: positive("reconnect timeout", settings.reconnect_timeout, DAY)?,
            tombstone_timeout: positive("tombstone timeout", settings.tombstone_timeout, DAY)?,
            event_size_limit: size("user event", settings.user_event_size_limit, LAN.event_size_limit)?,
            query_size_limit: size("query", settings.query_size_limit, LAN.query_size_limit)?,
            response_size_limit: size(
                "query response",
                settings.query_response_size_limit,
                LAN.response_size_limit,
            )?,
            disable_coordinates: settings.disable_coordinates,
            disable_name_resolution: settings.disable_name_resolution,
            max_members: within("max members", settings.max_members, DEFAULT_MAX_MEMBERS, MAX_MEMBERS)?
                .max(2),
            source,
        })
    }
}

/// Go's versions of the protocol: none of them is spoken here, and all are taken.
fn check_protocol(version: u64) -> Result<(), String> {
    let wrong = match version {
        0 | 2..=5 => return Ok(()),
        1 => "low",
        _ => "high",
    };
    Err(format!(
        "Failed to start the Serf agent: Error creating Serf: Protocol version '{version}' too {wrong}. Must be in range: [2, 5]"
    ))
}

/// The longest that events, queries and answers may be allowed to be: what fits a datagram.
const SIZE_LIMIT: u16 = 1_327;

/// Serf's limits.
const LAN: serf_nostd::Config = serf_nostd::Config::LAN;

const SECONDS_30: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn or(text: String, default: &str) -> String {
    if text.is_empty() { default.to_owned() } else { text }
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn size(of: &str, limit: u64, default: u16) -> Result<u16, String> {
    match limit {
        0 => Ok(default),
        limit => u16::try_from(limit).ok().filter(|limit| *limit <= SIZE_LIMIT).ok_or_else(|| {
            format!(
                "Failed to start the Serf agent: Error creating Serf: {of} size limit exceeds limit of {SIZE_LIMIT} bytes"
            )
        }),
    }
}

/// Letters, digits and dashes.
///
/// # Errors
/// The text that Serf prints.
fn check_node_name(name: &str) -> Result<(), String> {
    let wrong: String = name.chars().filter(|c| !(c.is_ascii_alphanumeric() || *c == '-')).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "Failed to start the Serf agent: Error creating Serf: NodeName contains invalid characters {wrong:?}, Valid characters \
         include all alpha-numerics and dashes; rename it with -node, or leave validate_node_names out"
    ))
}

fn log_level(name: String) -> Result<LevelFilter, String> {
    level_named(&name).ok_or_else(|| {
        let known = LEVELS.map(|(name, _)| name).join(" ");
        format!("Invalid log level: {}. Valid log levels are: [{known}]", name.to_uppercase())
    })
}

fn log_format(name: &str, node: &str) -> Result<Format, String> {
    match name {
        "" if journal::is_stdout() => Ok(Format::Journald { node: node.to_owned() }),
        "" | "text" => Ok(Format::Text),
        "json" => Ok(Format::Json { node: node.to_owned() }),
        "journald" => Ok(Format::Journald { node: node.to_owned() }),
        _ => Err(format!("Invalid log format: {name}. Valid log formats are: [text json journald]")),
    }
}

fn positive(what: &str, nanoseconds: i64, default: Duration) -> Result<Duration, String> {
    match u64::try_from(nanoseconds) {
        Ok(0) => Ok(default),
        Ok(nanoseconds) => Ok(Duration::from_nanos(nanoseconds)),
        Err(_) => Err(format!("Invalid {what}: it must not be negative")),
    }
}

/// Long enough that what is refused twice is not the same moment, and shorter than suspicions, which go on.
fn refused_grace(nanoseconds: i64) -> Result<Duration, String> {
    let grace = u64::try_from(nanoseconds).map(Duration::from_nanos).unwrap_or(Duration::MAX);
    let fits = grace.is_zero() || (Duration::from_millis(100)..=Duration::from_secs(3)).contains(&grace);
    if fits { Ok(grace) } else { Err("Invalid refused grace: it must be 0, or from 100ms to 3s".to_owned()) }
}

fn within(what: &str, value: u64, default: usize, limit: u64) -> Result<usize, String> {
    match value {
        0 => Ok(default),
        // The limits are far below what any usize holds.
        value if value <= limit => Ok(value as usize),
        value => Err(format!("Invalid {what}: {value}. It must be between 1 and {limit}")),
    }
}

/// Reads `key=value`. The value may be empty and may contain further `=`.
///
/// # Errors
/// Serf's text, without the leading `Error: `.
pub fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("Invalid tag: '{text}'")),
    }
}

/// Several of them; of two with one key the last one counts.
///
/// # Errors
/// As [`tag`], for the first one that is none.
pub fn tags(texts: &[String]) -> Result<BTreeMap<String, String>, String> {
    texts.iter().map(|text| tag(text)).collect()
}

#[cfg(test)]
mod tests;

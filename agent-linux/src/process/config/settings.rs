//! Settings as they are written, layer upon layer.

use std::collections::BTreeMap;
use std::fmt;

use super::Mdns;

/// One layer of settings as it was written: a file, or the flags. An empty text, 0 and `false` mean "not said here".
/// Durations are nanoseconds, as in Go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are Serf's keys, described where `Config` holds their values")]
pub struct Settings {
    pub node_name: String,
    pub cluster: String,
    pub bind: String,
    pub advertise: String,
    pub advertise_observed: bool,
    pub interface: String,
    pub rpc_addr: String,
    pub rpc_auth: Secret,
    pub rpc_auth_file: String,
    pub rpc_allow_unauthenticated: bool,
    pub http_addr: String,
    pub statsd_addr: String,
    pub statsite_addr: String,
    pub start_join: Vec<String>,
    pub replay_on_join: bool,
    pub retry_join: Vec<String>,
    pub retry_interval: i64,
    pub retry_max_attempts: u64,
    pub discover: String,
    pub mdns: Mdns,
    pub tags: BTreeMap<String, String>,
    pub tags_file: String,
    pub encrypt_key: Secret,
    pub keyring_file: String,
    pub snapshot_path: String,
    pub rejoin_after_leave: bool,
    pub event_authority: BTreeMap<String, Vec<String>>,
    pub profile: String,
    pub event_handlers: Vec<String>,
    pub handler_timeout: i64,
    pub handler_concurrency: u64,
    pub log_level: String,
    pub log_format: String,
    pub enable_syslog: bool,
    pub syslog_facility: String,
    pub leave_on_terminate: bool,
    pub skip_leave_on_interrupt: bool,
    /// 0 is a value of its own.
    pub refused_grace: Option<i64>,
    pub reconnect_interval: i64,
    pub reconnect_timeout: i64,
    pub tombstone_timeout: i64,
    pub max_members: u64,
    pub role: String,
    pub protocol: u64,
    pub user_event_size_limit: u64,
    pub query_size_limit: u64,
    pub query_response_size_limit: u64,
    pub broadcast_timeout: i64,
    pub disable_coordinates: bool,
    pub disable_name_resolution: bool,
    pub validate_node_names: bool,
}

/// A text that nothing shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "(hidden)" })
    }
}

impl Settings {
    /// Lays `over` upon these settings: what it says replaces, its lists are appended, its tags are merged by key.
    /// A switch can only be turned on.
    pub fn merge(&mut self, over: Settings) {
        fn replace<T: Default + PartialEq>(below: &mut T, over: T) {
            if over != T::default() {
                *below = over;
            }
        }
        replace(&mut self.node_name, over.node_name);
        replace(&mut self.cluster, over.cluster);
        replace(&mut self.bind, over.bind);
        replace(&mut self.advertise, over.advertise);
        replace(&mut self.advertise_observed, over.advertise_observed);
        replace(&mut self.interface, over.interface);
        replace(&mut self.rpc_addr, over.rpc_addr);
        replace(&mut self.rpc_auth, over.rpc_auth);
        replace(&mut self.rpc_auth_file, over.rpc_auth_file);
        replace(&mut self.rpc_allow_unauthenticated, over.rpc_allow_unauthenticated);
        replace(&mut self.http_addr, over.http_addr);
        replace(&mut self.statsd_addr, over.statsd_addr);
        replace(&mut self.statsite_addr, over.statsite_addr);
        self.start_join.extend(over.start_join);
        replace(&mut self.replay_on_join, over.replay_on_join);
        self.retry_join.extend(over.retry_join);
        replace(&mut self.retry_interval, over.retry_interval);
        replace(&mut self.retry_max_attempts, over.retry_max_attempts);
        replace(&mut self.discover, over.discover);
        replace(&mut self.mdns.interface, over.mdns.interface);
        replace(&mut self.mdns.disable_ipv4, over.mdns.disable_ipv4);
        replace(&mut self.mdns.disable_ipv6, over.mdns.disable_ipv6);
        self.tags.extend(over.tags);
        replace(&mut self.tags_file, over.tags_file);
        replace(&mut self.encrypt_key, over.encrypt_key);
        replace(&mut self.keyring_file, over.keyring_file);
        replace(&mut self.snapshot_path, over.snapshot_path);
        replace(&mut self.rejoin_after_leave, over.rejoin_after_leave);
        for (key, patterns) in over.event_authority {
            self.event_authority.entry(key).or_default().extend(patterns);
        }
        replace(&mut self.profile, over.profile);
        self.event_handlers.extend(over.event_handlers);
        replace(&mut self.handler_timeout, over.handler_timeout);
        replace(&mut self.handler_concurrency, over.handler_concurrency);
        replace(&mut self.log_level, over.log_level);
        replace(&mut self.log_format, over.log_format);
        replace(&mut self.enable_syslog, over.enable_syslog);
        replace(&mut self.syslog_facility, over.syslog_facility);
        replace(&mut self.leave_on_terminate, over.leave_on_terminate);
        replace(&mut self.skip_leave_on_interrupt, over.skip_leave_on_interrupt);
        replace(&mut self.refused_grace, over.refused_grace);
        replace(&mut self.reconnect_interval, over.reconnect_interval);
        replace(&mut self.reconnect_timeout, over.reconnect_timeout);
        replace(&mut self.tombstone_timeout, over.tombstone_timeout);
        replace(&mut self.max_members, over.max_members);
        replace(&mut self.role, over.role);
        replace(&mut self.protocol, over.protocol);
        replace(&mut self.user_event_size_limit, over.user_event_size_limit);
        replace(&mut self.query_size_limit, over.query_size_limit);
        replace(&mut self.query_response_size_limit, over.query_response_size_limit);
        replace(&mut self.broadcast_timeout, over.broadcast_timeout);
        replace(&mut self.disable_coordinates, over.disable_coordinates);
        replace(&mut self.disable_name_resolution, over.disable_name_resolution);
        replace(&mut self.validate_node_names, over.validate_node_names);
    }

    pub(super) fn has_secrets(&self) -> bool {
        ![&self.rpc_auth, &self.encrypt_key].into_iter().all(|secret| secret.0.is_empty())
    }
}

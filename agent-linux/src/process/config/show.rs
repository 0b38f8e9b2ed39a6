//! The settings that an agent goes by, as a file of them.

use serde_json::{Map, Value, json};

use super::{Config, Mdns, Settings, duration, or};
use crate::agent::log::LEVELS;
use crate::agent::log::syslog::Facility;

/// What stands in the place of a secret.
pub(super) const HIDDEN: &str = "(hidden)";

/// Every key with its value, those that say nothing left out.
pub(super) fn json(settings: &Settings, config: &Config) -> String {
    let hidden = |given: bool| if given { HIDDEN } else { "" };
    let level = LEVELS.iter().find(|(_, level)| *level == config.log_level).map_or("", |(name, _)| name);
    let span = duration::show;
    let all = [
        ("node_name", json!(config.node_name)),
        ("cluster", json!(settings.cluster)),
        ("bind", json!(or(settings.bind.clone(), "0.0.0.0"))),
        ("advertise", json!(settings.advertise)),
        ("advertise_observed", json!(config.advertise_observed)),
        ("interface", json!(settings.interface)),
        ("rpc_addr", json!(config.rpc_addr.to_string())),
        ("rpc_auth", json!(hidden(!settings.rpc_auth.0.is_empty()))),
        ("rpc_auth_file", json!(settings.rpc_auth_file)),
        ("rpc_allow_unauthenticated", json!(config.rpc_allow_unauthenticated)),
        ("http_addr", json!(settings.http_addr)),
        ("statsd_addr", json!(settings.statsd_addr)),
        ("statsite_addr", json!(settings.statsite_addr)),
        ("start_join", json!(config.start_join)),
        ("replay_on_join", json!(config.replay_on_join)),
        ("retry_join", json!(config.retry_join)),
        ("retry_interval", json!(span(config.retry_interval))),
        ("retry_max_attempts", json!(config.retry_max_attempts.unwrap_or(0))),
        ("discover", json!(settings.discover)),
        ("mdns", mdns(&settings.mdns)),
        ("tags", json!(config.tags)),
        ("tags_file", json!(settings.tags_file)),
        ("encrypt_key", json!(hidden(config.encrypt_key.is_some()))),
        ("keyring_file", json!(settings.keyring_file)),
        ("snapshot_path", json!(settings.snapshot_path)),
        ("rejoin_after_leave", json!(config.rejoin_after_leave)),
        ("event_authority", json!(settings.event_authority)),
        ("profile", json!(config.profile.as_str())),
        ("event_handlers", json!(settings.event_handlers)),
        ("handler_timeout", json!(config.handler_timeout.map(span).unwrap_or_default())),
        ("handler_concurrency", json!(config.handler_concurrency)),
        ("log_level", json!(level)),
        ("log_format", json!(settings.log_format)),
        ("enable_syslog", json!(config.syslog.is_some())),
        ("syslog_facility", json!(config.syslog.map_or("", Facility::as_str))),
        ("leave_on_terminate", json!(config.signals.leave_on_terminate)),
        ("skip_leave_on_interrupt", json!(config.signals.skip_leave_on_interrupt)),
        ("refused_grace", json!(span(config.refused_grace))),
        ("reconnect_interval", json!(span(config.reconnect_interval))),
        ("reconnect_timeout", json!(span(config.reconnect_timeout))),
        ("tombstone_timeout", json!(span(config.tombstone_timeout))),
        ("user_event_size_limit", json!(config.event_size_limit)),
        ("query_size_limit", json!(config.query_size_limit)),
        ("query_response_size_limit", json!(config.response_size_limit)),
        ("disable_coordinates", json!(config.disable_coordinates)),
        ("disable_name_resolution", json!(config.disable_name_resolution)),
        ("validate_node_names", json!(settings.validate_node_names)),
        ("max_members", json!(config.max_members)),
    ];
    let said = all.into_iter().filter(|(_, value)| says(value));
    let said: Map<String, Value> = said.map(|(key, value)| (key.to_owned(), value)).collect();
    format!("{:#}", Value::Object(said))
}

fn mdns(mdns: &Mdns) -> Value {
    let Mdns { interface, disable_ipv4, disable_ipv6 } = mdns;
    let mut all =
        json!({ "interface": interface, "disable_ipv4": disable_ipv4, "disable_ipv6": disable_ipv6 });
    all.as_object_mut().unwrap_or(&mut Map::new()).retain(|_, value| says(value));
    all
}

fn says(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        Value::Bool(on) => *on,
        _ => *value != json!(0),
    }
}

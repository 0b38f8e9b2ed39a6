//! The settings that an agent goes by, as a file of them.

use serde_json::{Map, Value, json};

use super::{Config, Settings, duration, or};
use crate::agent::log::LEVELS;

/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";

/// Every key with its value, those that say nothing left out.
pub(super) fn json(settings: &Settings, config: &Config) -> String {
    let hidden = |given: bool| if given { HIDDEN } else { "" };
    let level = LEVELS.iter().find(|(_, level)| *level == config.log_level).map_or("", |(name, _)| name);
    let span = duration::show;
    let mut all = json!({
        "node_name": config.node_name,
        "cluster": settings.cluster,
        "bind": or(settings.bind.clone(), "0.0.0.0"),
        "advertise": settings.advertise,
        "interface": settings.interface,
        "rpc_addr": config.rpc_addr.to_string(),
        "rpc_auth": hidden(!settings.rpc_auth.0.is_empty()),
        "rpc_auth_file": settings.rpc_auth_file,
        "rpc_allow_unauthenticated": config.rpc_allow_unauthenticated,
        "start_join": config.start_join,
        "replay_on_join": config.replay_on_join,
        "retry_join": config.retry_join,
        "retry_interval": span(config.retry_interval),
        "retry_max_attempts": config.retry_max_attempts.unwrap_or(0),
        "tags": config.tags,
        "tags_file": settings.tags_file,
        "encrypt_key": hidden(config.encrypt_key.is_some()),
        "keyring_file": settings.keyring_file,
        "snapshot_path": settings.snapshot_path,
        "rejoin_after_leave": config.rejoin_after_leave,
        "event_authority": settings.event_authority,
        "profile": config.profile.as_str(),
        "event_handlers": settings.event_handlers,
        "handler_timeout": config.handler_timeout.map(span).unwrap_or_default(),
        "handler_concurrency": config.handler_concurrency,
        "log_level": level,
        "leave_on_terminate": config.signals.leave_on_terminate,
        "skip_leave_on_interrupt": config.signals.skip_leave_on_interrupt,
        "reconnect_interval": span(config.reconnect_interval),
        "reconnect_timeout": span(config.reconnect_timeout),
        "tombstone_timeout": span(config.tombstone_timeout),
        "user_event_size_limit": config.event_size_limit,
        "max_members": config.max_members,
    });
    let says = |value: &Value| match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        Value::Bool(on) => *on,
        _ => *value != json!(0),
    };
    all.as_object_mut().unwrap_or(&mut Map::new()).retain(|_, value| says(value));
    format!("{all:#}")
}

//! One JSON file into [`Settings`], with the complaints that Serf makes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::duration;
use super::{Mdns, Secret, Settings};
use crate::agent::error::words;

/// The longest file of settings, in bytes: some devices have no end.
const LONGEST: u64 = 1 << 20;

/// The files of settings at `path`: itself, or if it is a folder those in it whose names end with `.json`, sorted.
///
/// # Errors
/// The text that Serf prints: it is not there, or cannot be read.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let shown = path.display();
    let failed = |error| format!("Error reading '{shown}': open {shown}: {}", words(&error));
    if !path.metadata().map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = path.read_dir().and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<PathBuf>, _>>()
    });
    let is_file = |path: &PathBuf| path.extension().is_some_and(|end| end == "json") && !path.is_dir();
    let mut files: Vec<PathBuf> = entries.map_err(failed)?.into_iter().filter(is_file).collect();
    files.sort();
    Ok(files)
}

/// Reads `path`.
///
/// # Errors
/// The text that Serf prints: the file cannot be read, is no JSON object, or has unknown keys or wrong types
/// (all of them in one message, sorted).
pub fn read(path: &Path) -> Result<Settings, String> {
    let shown = path.display();
    let failed = |error| format!("Error reading '{shown}': open {shown}: {}", words(&error));
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("Error reading '{shown}': it is longer than {LONGEST} bytes"));
    }
    decode(&bytes).map_err(|error| format!("Error decoding '{shown}': {error}"))
}

/// Decodes the text of one file. `null` is an empty object, as are `null` values absent ones.
pub(super) fn decode(bytes: &[u8]) -> Result<Settings, String> {
    let object = match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => object,
        Ok(Value::Null) => Map::new(),
        Ok(other) => return Err(format!("'' expected a map, got '{}'", shape(&other))),
        Err(error) if error.is_eof() && bytes.trim_ascii().is_empty() => return Err("EOF".to_owned()),
        Err(error) if error.is_eof() => return Err("unexpected EOF".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let mut keys = Keys { object, errors: Vec::new() };
    // Go decodes first and reads durations afterwards: a wrong type anywhere is told before a bad duration.
    let durations = [
        "reconnect_interval",
        "reconnect_timeout",
        "tombstone_timeout",
        "retry_interval",
        "handler_timeout",
        "broadcast_timeout",
        "refused_grace",
    ]
    .map(|key| keys.text(key));
    let mut settings = Settings {
        node_name: keys.text("node_name"),
        cluster: keys.text("cluster"),
        bind: keys.text("bind"),
        advertise: keys.text("advertise"),
        advertise_observed: keys.switch("advertise_observed"),
        interface: keys.text("interface"),
        rpc_addr: keys.text("rpc_addr"),
        rpc_auth: Secret(keys.text("rpc_auth")),
        rpc_auth_file: keys.text("rpc_auth_file"),
        rpc_allow_unauthenticated: keys.switch("rpc_allow_unauthenticated"),
        http_addr: keys.text("http_addr"),
        statsd_addr: keys.text("statsd_addr"),
        statsite_addr: keys.text("statsite_addr"),
        start_join: keys.list("start_join"),
        replay_on_join: keys.switch("replay_on_join"),
        retry_join: keys.list("retry_join"),
        retry_max_attempts: keys.count("retry_max_attempts"),
        discover: keys.text("discover"),
        mdns: keys.mdns(),
        tags: keys.map("tags"),
        tags_file: keys.text("tags_file"),
        encrypt_key: Secret(keys.text("encrypt_key")),
        keyring_file: keys.text("keyring_file"),
        snapshot_path: keys.text("snapshot_path"),
        rejoin_after_leave: keys.switch("rejoin_after_leave"),
        event_authority: keys.lists("event_authority"),
        profile: keys.text("profile"),
        event_handlers: keys.list("event_handlers"),
        handler_concurrency: keys.count("handler_concurrency"),
        log_level: keys.text("log_level"),
        log_format: keys.text("log_format"),
        enable_syslog: keys.switch("enable_syslog"),
        syslog_facility: keys.text("syslog_facility"),
        leave_on_terminate: keys.switch("leave_on_terminate"),
        skip_leave_on_interrupt: keys.switch("skip_leave_on_interrupt"),
        max_members: keys.count("max_members"),
        role: keys.text("role"),
        protocol: keys.count("protocol"),
        user_event_size_limit: keys.count("user_event_size_limit"),
        query_size_limit: keys.count("query_size_limit"),
        query_response_size_limit: keys.count("query_response_size_limit"),
        disable_coordinates: keys.switch("disable_coordinates"),
        disable_name_resolution: keys.switch("disable_name_resolution"),
        validate_node_names: keys.switch("validate_node_names"),
        ..Settings::default()
    };
    // Nothing of this wire is compressed, and no time is in the RPC, whatever is said here.
    keys.switch("enable_compression");
    keys.switch("MsgpackUseNewTimeFormat");
    keys.finish()?;
    let [reconnect, timeout, tombstone, retry, handler, broadcast, grace] = durations;
    for (text, nanoseconds) in [
        (reconnect, &mut settings.reconnect_interval),
        (timeout, &mut settings.reconnect_timeout),
        (tombstone, &mut settings.tombstone_timeout),
        (retry, &mut settings.retry_interval),
        (handler, &mut settings.handler_timeout),
        (broadcast, &mut settings.broadcast_timeout),
    ] {
        if !text.is_empty() {
            *nanoseconds = duration::parse(&text).map_err(|error| error.to_string())?;
        }
    }
    if !grace.is_empty() {
        settings.refused_grace = Some(duration::parse(&grace).map_err(|error| error.to_string())?);
    }
    Ok(settings)
}

/// The keys not yet asked for; each `take` removes one, so that the rest are the unknown ones.
struct Keys {
    object: Map<String, Value>,
    errors: Vec<String>,
}

impl Keys {
    /// The exact key, else one that differs only in case.
    fn take(&mut self, key: &str) -> Option<Value> {
        let found = if self.object.contains_key(key) {
            key.to_owned()
        } else {
            self.object.keys().find(|other| other.eq_ignore_ascii_case(key))?.clone()
        };
        self.object.remove(&found).filter(|value| !value.is_null())
    }

    fn wrong(&mut self, place: &str, expected: &str, value: &Value) {
        self.errors.push(format!(
            "'{place}' expected type '{expected}', got unconvertible type '{}', value: '{}'",
            go_type(value),
            go_text(value)
        ));
    }

    fn text(&mut self, key: &str) -> String {
        match self.take(key) {
            None => String::new(),
            Some(value) => self.as_text(key, value),
        }
    }

    fn as_text(&mut self, place: &str, value: Value) -> String {
        match value {
            Value::String(text) => text,
            Value::Null => String::new(),
            other => {
                self.wrong(place, "string", &other);
                String::new()
            }
        }
    }

    fn switch(&mut self, key: &str) -> bool {
        match self.take(key) {
            None => false,
            Some(Value::Bool(on)) => on,
            Some(other) => {
                self.wrong(key, "bool", &other);
                false
            }
        }
    }

    fn count(&mut self, key: &str) -> u64 {
        let Some(value) = self.take(key) else { return 0 };
        value.as_u64().unwrap_or_else(|| {
            self.wrong(key, "int", &value);
            0
        })
    }

    fn list(&mut self, key: &str) -> Vec<String> {
        self.take(key).map_or(Vec::new(), |value| self.as_list(key, value))
    }

    fn as_list(&mut self, place: &str, value: Value) -> Vec<String> {
        match value {
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(at, item)| self.as_text(&format!("{place}[{at}]"), item))
                .collect(),
            other => {
                let got = shape(&other);
                self.errors.push(format!("'{place}': source data must be an array or slice, got {got}"));
                Vec::new()
            }
        }
    }

    fn map(&mut self, key: &str) -> BTreeMap<String, String> {
        self.entries(key, Self::as_text)
    }

    fn lists(&mut self, key: &str) -> BTreeMap<String, Vec<String>> {
        self.entries(key, Self::as_list)
    }

    fn entries<T>(&mut self, key: &str, read: fn(&mut Self, &str, Value) -> T) -> BTreeMap<String, T> {
        match self.take(key) {
            None => BTreeMap::new(),
            Some(Value::Object(entries)) => entries
                .into_iter()
                .map(|(name, value)| {
                    let value = read(self, &format!("{key}[{name}]"), value);
                    (name, value)
                })
                .collect(),
            Some(other) => {
                self.errors.push(format!("'{key}' expected a map, got '{}'", shape(&other)));
                BTreeMap::new()
            }
        }
    }

    fn mdns(&mut self) -> Mdns {
        let object = match self.take("mdns") {
            None => return Mdns::default(),
            Some(Value::Object(object)) => object,
            Some(other) => {
                self.errors.push(format!("'mdns' expected a map, got '{}'", shape(&other)));
                return Mdns::default();
            }
        };
        let mut keys = Keys { object, errors: Vec::new() };
        let mdns = Mdns {
            interface: keys.text("interface"),
            disable_ipv4: keys.switch("disable_ipv4"),
            disable_ipv6: keys.switch("disable_ipv6"),
        };
        let unknown = keys.object.keys().map(|key| format!("'mdns' has invalid keys: {key}"));
        let wrong = keys.errors.iter().map(|error| error.replacen('\'', "'mdns.", 1));
        self.errors.extend(wrong.chain(unknown));
        mdns
    }

    fn finish(mut self) -> Result<(), String> {
        if !self.object.is_empty() {
            let unknown: Vec<&str> = self.object.keys().map(String::as_str).collect();
            self.errors.push(format!("'' has invalid keys: {}", unknown.join(", ")));
        }
        if self.errors.is_empty() {
            return Ok(());
        }
        self.errors.sort();
        let listed: Vec<String> = self.errors.iter().map(|error| format!("* {error}")).collect();
        Err(format!("{} error(s) decoding:\n\n{}", listed.len(), listed.join("\n")))
    }
}

/// Go's word for the kind of a decoded value.
fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

/// Go's name of the type that a JSON value decodes to.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
        scalar => shape(scalar),
    }
}

/// A value as Go prints it: `[a 1]`, `map[k:v]`.
fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{key}:{}", go_text(value)));
            format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
        }
        scalar => scalar.to_string(),
    }
}

//! Requests to an agent as text: after `rpc`, commands with their bodies as JSON, `;` between them, sent at once behind a
//! handshake.
//!
//! What is compared byte for byte stands in `raw.rs`; here are answers in which ports and orders are.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use rmpv::Value;
use rmpv::decode::read_value;
use rmpv::encode::write_value;

use crate::harness::DEADLINE;

/// The `Seq` of a last request that nobody asks for anything: when it is answered, only streams and queries have more to say.
const LAST: u64 = 1_000;

/// What the agent at `address` says, a value a line, sorted by request, as streams and queries speak between answers to others;
/// `closed` if it then closes the connection. Waits for the end of queries, and for one event on each stream in front of an
/// `event`.
pub fn answer(address: SocketAddr, requests: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time");
    let requests: Vec<_> =
        requests.split(" ; ").map(|request| request.split_once(' ').unwrap_or((request, ""))).collect();
    let fires = requests.iter().any(|(command, _)| *command == "event");
    let mut sent = Vec::new();
    request(&mut sent, "handshake", 0, r#"{"Version": 1}"#);
    let mut awaited = vec![LAST];
    for (seq, (command, body)) in (1..).zip(requests) {
        request(&mut sent, command, seq, body);
        if command == "query" || command == "stream" && fires {
            awaited.push(seq);
        }
    }
    request(&mut sent, "stop", LAST, r#"{"Stop": 0}"#);
    stream.write_all(&sent).expect("it reads");
    let mut said = BTreeMap::<u64, String>::new();
    let (mut seq, mut end) = (0, "");
    while !awaited.is_empty() {
        let Ok(value) = read_value(&mut stream) else {
            end = "closed\n";
            break;
        };
        seq = field(&value, "Seq").and_then(Value::as_u64).unwrap_or(seq);
        let text = |key| field(&value, key).and_then(Value::as_str).unwrap_or_default();
        let is_refused = !text("Error").is_empty();
        if is_refused || seq == LAST || text("Type") == "done" || text("Event") == "user" {
            awaited.retain(|awaited| *awaited != seq);
        }
        *said.entry(seq).or_default() += &format!("{}\n", shown(&value));
    }
    said.into_values().map(|said| without_log(&said)).collect::<String>() + end
}

/// Without lines of the agent's log, each behind a header: how many of them come before the end is chance.
fn without_log(said: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in said.split_inclusive('\n') {
        match line.starts_with("{Log: ") {
            true => _ = lines.pop(),
            false => lines.push(line),
        }
    }
    lines.concat()
}

fn request(sent: &mut Vec<u8>, command: &str, seq: u64, body: &str) {
    let header = Value::Map(vec![("Command".into(), command.into()), ("Seq".into(), seq.into())]);
    write_value(sent, &header).expect("memory has room");
    if !body.is_empty() {
        let json = serde_json::from_str(body).unwrap_or_else(|error| panic!("{body}: {error}"));
        write_value(sent, &packed(json)).expect("memory has room");
    }
}

fn packed(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => value.into(),
        Json::Number(number) => number.as_i64().expect("requests have whole numbers").into(),
        Json::String(text) => text.into(),
        Json::Array(values) => Value::Array(values.into_iter().map(packed).collect()),
        Json::Object(fields) => {
            Value::Map(fields.into_iter().map(|(key, value)| (key.into(), packed(value))).collect())
        }
    }
}

fn field<'a>(map: &'a Value, key: &str) -> Option<&'a Value> {
    map.as_map()?.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
}

/// With the keys of maps in one order, bytes as `b"text"`, addresses as such.
fn shown(value: &Value) -> String {
    match value {
        Value::Map(fields) => {
            let mut fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| match (key.as_str(), value) {
                    (Some("Addr"), Value::Binary(ip)) if ip.len() == 4 => {
                        format!("Addr: {}", ip.iter().map(u8::to_string).collect::<Vec<_>>().join("."))
                    }
                    (Some(key), value) => format!("{key}: {}", shown(value)),
                    (None, value) => format!("{}: {}", shown(key), shown(value)),
                })
                .collect();
            fields.sort();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Binary(bytes) => format!("b\"{}\"", bytes.escape_ascii()),
        other => other.to_string(),
    }
}

//! What an agent answers over its RPC, byte for byte.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rmpv::Value;
use rmpv::encode::write_value;

use crate::harness::{DEADLINE, Scratch, Setup, debian, ours};

/// Whether the agent closes the connection upon the last of the requests, or has something to say to the next one.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Closed,
    Open,
}
use End::{Closed, Open};

/// A header behind which nobody asks for anything: when it is answered all before it has been.
const LAST: u64 = 1_000;

fn request(command: &str, seq: u64, body: Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = map([("Command", command.into()), ("Seq", seq.into())]);
    for value in [header, body].iter().filter(|value| !value.is_nil()) {
        write_value(&mut bytes, value).expect("memory has room");
    }
    bytes
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

fn of(key: &str, value: impl Into<Value>) -> Value {
    map([(key, value.into())])
}

fn handshake(version: i64) -> Vec<u8> {
    request("handshake", 1, of("Version", version))
}

/// What the agent says to these bytes, on a connection of their own.
fn answered(agent: SocketAddr, sent: &[u8], end: End) -> String {
    let mut stream = TcpStream::connect(agent).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time");
    let last = request("stop", LAST, of("Stop", 0));
    stream.write_all(&[sent, if end == Open { &last } else { b"" }].concat()).expect("it reads");
    let mut said = Vec::new();
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf) {
            Ok(0) => break,
            Ok(len) => said.extend_from_slice(&buf[..len]),
            // What it had not read when it closed the connection.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {}", said.escape_ascii()),
        }
        if end == Open && said.ends_with(b"\x82\xa5Error\xa0\xa3Seq\xcd\x03\xe8") {
            break;
        }
    }
    said.escape_ascii().to_string()
}

/// Sends all of this to an agent of each kind.
#[track_caller]
fn assert_alike(setup: impl Fn(Setup) -> Setup, conversations: Vec<(Vec<u8>, End)>) {
    let start = |binary: &Path| setup(Setup::new("n1").binary(binary).unhandled()).start();
    let (theirs, ours) = (start(debian()), start(ours()));
    for (sent, end) in conversations {
        assert_eq!(
            answered(ours.address().rpc, &sent, end),
            answered(theirs.address().rpc, &sent, end),
            "ours (left) is not what Debian's Serf answers (right) to {}",
            sent.escape_ascii()
        );
    }
}

#[test]
fn sessions_begin_and_end_with_the_same_bytes() {
    let first = |bytes: Vec<u8>| (bytes, Closed);
    let greeted = |bytes: &[u8]| [&handshake(1), bytes].concat();
    let versions = [0, 2, -1].map(handshake).concat();
    assert_alike(
        |setup| setup,
        vec![
            first(request("members", 2, Value::Nil)),
            first(request("bogus", 2, Value::Nil)),
            first(request("auth", 2, of("AuthKey", ""))),
            first(b"\xc1".to_vec()),
            first(b"\x05".to_vec()),
            ([&versions[..], &handshake(1), &handshake(1), &handshake(2)].concat(), Open),
            (greeted(&request("bogus", 2, Value::Nil)), Closed),
            (greeted(&request("MEMBERS", 2, Value::Nil)), Closed),
            (greeted(&request("", 2, Value::Nil)), Closed),
            (greeted(b"\xc1"), Closed),
            (greeted(b"\x92\xa4stop\x05\x91\x07"), Open),
            (greeted(&request("auth", 2, of("AuthKey", ""))), Open),
            (greeted(&request("auth", 2, of("AuthKey", "x"))), Open),
            (greeted(&request("auth", 2, of("AuthKey", Value::Nil))), Open),
        ],
    );
}

#[test]
fn tokens_are_asked_for_with_the_same_bytes() {
    let scratch = Scratch::new();
    let file = scratch.write("serf.json", r#"{"rpc_auth": "secret"}"#);
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("ours");
    let auth = |token: &str| request("auth", 2, of("AuthKey", token));
    assert_alike(
        |setup| setup.arg(format!("-config-file={}", file.display())),
        vec![
            (auth("secret"), Closed),
            ([handshake(1), request("members", 2, Value::Nil), auth("secret")].concat(), Open),
            ([handshake(1), auth("wrong"), auth("secret"), auth("secret"), auth("wrong")].concat(), Open),
        ],
    );
}

#[test]
fn commands_are_answered_with_the_same_bytes() {
    let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let bytes = |length: usize| Value::from(vec![b'x'; length]);
    let tags = |tags: Value| map([("Tags", tags), ("DeleteTags", Value::Nil)]);
    let query = |name: &str, payload: Value| {
        map([("Name", name.into()), ("Payload", payload), ("Timeout", 300_000_000.into())])
    };
    let force_leave = |name: &str, prune: bool| map([("Node", name.into()), ("Prune", prune.into())]);
    let mut asked = vec![
        ("event", of("Name", "x")),
        ("event", map([("Name", "x".into()), ("Payload", bytes(511)), ("Coalesce", true.into())])),
        ("event", of("Name", "x".repeat(600))),
        ("event", of("Payload", bytes(1))),
        ("force-leave", force_leave("nobody", false)),
        ("force-leave", force_leave("nobody", true)),
        ("join", of("Existing", Value::Nil)),
        ("join", of("Existing", Value::Array(Vec::new()))),
        ("join", of("Existing", Value::Array(vec!["/127.0.0.1".into()]))),
        ("members-filtered", of("Name", "nobody")),
        ("members-filtered", of("Tags", of("role", "web"))),
        ("tags", tags(Value::Nil)),
        ("tags", tags(of("long", "x".repeat(600)))),
        ("monitor", of("LogLevel", "bogus")),
        ("stop", of("Stop", 99)),
        ("respond", map([("ID", 1.into()), ("Payload", bytes(1))])),
        ("query", query("_serf_x", Value::Nil)),
        ("query", query("_serf_ping", bytes(1))),
        ("query", query("long", bytes(1_100))),
        ("install-key", of("Key", "*")),
        ("install-key", of("Key", key)),
        ("use-key", of("Key", "*")),
        ("use-key", of("Key", key)),
        ("remove-key", of("Key", "*")),
        ("remove-key", of("Key", key)),
        ("list-keys", Value::Nil),
        ("get-coordinate", of("Node", "nobody")),
    ];
    let filters = [
        "bogus",
        "",
        "*",
        "user:",
        "user:a,",
        "query:",
        "member-bogus",
        ",",
        "User",
        " user",
        "user,member-join",
    ];
    asked.extend(filters.map(|filter| ("stream", of("Type", filter))));
    let conversation = |(command, body)| ([handshake(1), request(command, 2, body)].concat(), Open);
    assert_alike(|setup| setup, asked.into_iter().map(conversation).collect());
}

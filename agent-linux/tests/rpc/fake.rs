//! A server with a run loop that answers from memory, and a client that speaks plain bytes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use agent_linux::agent::error::Refusal;
use agent_linux::agent::handle::{Handle, Request};
use agent_linux::agent::hub::Hub;
use agent_linux::agent::keys::{KeyReport, KeyRequest};
use agent_linux::agent::model::{Change, Member, Status, Why};
use agent_linux::agent::query::{Replies, Reply, Target};
use agent_linux::agent::receipts::{Receipts, UserEvent};
use agent_linux::rpc::listener::Listener;
use agent_linux::rpc::logs::LogHub;
use agent_linux::rpc::message::{RequestHeader, ResponseHeader};
use agent_linux::rpc::server::{Options, serve};
use agent_linux::rpc::wire::{self, Limits, Reader};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serf_nostd::{Coordinate, EventError, TagsError, What};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What hangs for this long hangs for ever.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a port of its own, and what its run loop was asked to do.
pub struct Fake {
    pub address: SocketAddr,
    pub hub: Hub,
    pub logs: LogHub,
    pub done: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub async fn start(options: Options) -> Fake {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Fake::serving(listener.into(), address, options)
    }

    /// The same for one who knows where it is.
    pub fn serving(listener: Listener, address: SocketAddr, options: Options) -> Fake {
        let (handle, requests) = Handle::new(64);
        let fake = Fake { address, hub: Hub::new(), logs: LogHub::new(), done: Arc::default() };
        tokio::spawn(serve(listener, handle, fake.hub.clone(), fake.logs.clone(), options));
        tokio::spawn(run_loop(requests, fake.done.clone()));
        fake
    }

    pub fn done(&self) -> Vec<String> {
        self.done.lock().unwrap().clone()
    }

    /// A connection on which nothing has been said.
    pub async fn connect(&self) -> Raw {
        let (read, write) = TcpStream::connect(self.address).await.unwrap().into_split();
        Raw { read: Reader::new(read, Limits::ANSWER), write }
    }

    /// A connection after the handshake.
    pub async fn greeted(&self) -> Raw {
        let mut raw = self.connect().await;
        raw.send("handshake", 0, &body([("Version", 1)])).await;
        assert_eq!(raw.header().await, ("".to_owned(), 0));
        raw
    }
}

async fn run_loop(mut requests: mpsc::Receiver<Request>, done: Arc<Mutex<Vec<String>>>) {
    let note = |text: String| done.lock().unwrap().push(text);
    // An event named `wait` is answered when `go` comes.
    let mut held = Vec::new();
    while let Some(request) = requests.recv().await {
        match request {
            Request::Event { event, reply } if event.name == b"wait" => held.push(reply),
            Request::Event { event: UserEvent { target, name, payload, coalesce, .. }, reply } => {
                let whom = if target == Target::default() { String::new() } else { format!(" {target:?}") };
                note(format!("event {} {} {coalesce}{whom}", name.escape_ascii(), payload.escape_ascii()));
                for reply in held.drain(..) {
                    let _ = reply.send(Ok(()));
                }
                let full = Refusal::Event(EventError::Full);
                let _ = reply.send(if name == b"full" { Err(full) } else { Ok(()) });
            }
            Request::Receipts { event: UserEvent { name, .. }, wait, reply } => {
                note(format!("{} {wait:?}", name.escape_ascii()));
                let missing = vec!["web2".to_owned(), "a\nb".to_owned()];
                let _ = reply.send(Ok(Receipts { members: 20, missing, took: Duration::from_micros(1_940) }));
            }
            Request::Members { reply } => drop(reply.send(members())),
            Request::Join { addresses, replay, reply } => {
                note(format!("join {addresses:?} {replay}"));
                let ok = addresses.iter().filter(|address| *address != "nobody").count();
                let nobody = Refusal::NotJoined(vec!["nobody there".to_owned()]);
                let _ = reply.send(if ok == 0 { Err(nobody) } else { Ok(ok) });
            }
            Request::ForceLeave { node, prune, reply } => {
                note(format!("force-leave {node} {prune}"));
                let _ = reply.send(Ok(()));
            }
            Request::SetTags { tags, reply } => {
                note(format!("tags {tags:?}"));
                let _ = reply.send(Ok(()));
            }
            Request::EditTags { set, delete, reply } => {
                note(format!("tags {set:?} {delete:?}"));
                let long = Refusal::Tags(TagsError::TooLong);
                let _ = reply.send(if set.contains_key("long") { Err(long) } else { Ok(()) });
            }
            Request::Query { query, reply } if query.name == "refused" => {
                let _ = reply.send(Err(Refusal::QueryName));
            }
            Request::Query { query, reply } => {
                note(format!("{query:?}"));
                let (fleet, replies) = Replies::new();
                let _ = reply.send(Ok(replies));
                let _ = fleet.send(Reply::Ack { from: "web1".to_owned() });
                let _ = fleet.send(Reply::Response { from: "web1".to_owned(), payload: b"1.5\n".to_vec() });
                let _ = fleet.send(Reply::Response { from: "db".to_owned(), payload: Vec::new() });
            }
            Request::Keys { request: KeyRequest::Install(key), reply, .. } if key == "bad" => {
                let _ = reply.send(Err(Refusal::Key("illegal base64 data at input byte 0".to_owned())));
            }
            Request::Keys { request, reply, .. } => {
                note(format!("keys {request:?}"));
                let of = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
                let list = request == KeyRequest::List;
                let report = KeyReport {
                    unkept: Vec::new(),
                    holders: BTreeMap::from([("k1".into(), of(&["a", "b"])), ("k2".into(), of(&["a"]))]),
                    users: BTreeMap::from([("k1".into(), of(&["b"])), ("k2".into(), of(&["a"]))]),
                    members: 2 + !list as usize,
                    answered: 2,
                    failed: !list as usize,
                    messages: if list {
                        BTreeMap::new()
                    } else {
                        BTreeMap::from([("a".into(), "no room".into())])
                    },
                };
                let _ = reply.send(Ok(report));
            }
            Request::Coordinate { node, reply } => {
                let place = Coordinate { height: 0.25, ..Coordinate::ORIGIN };
                let _ = reply.send((node == "web1" || node == "fake").then_some(place));
            }
            Request::Why { node, reply } => {
                let change = |second, what, by: &str, number| Change {
                    at: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
                    what,
                    by: Some(by.to_owned()).filter(|by| !by.is_empty()),
                    number,
                };
                let changes = vec![
                    change(1, What::ProbedAgain, "", 0),
                    change(2, What::ProbedAgain, "", 0),
                    change(3, What::Suspected, "web1", 0),
                    change(4, What::Accused, "", 2),
                    change(5, What::DeclaredFailed, "", 2),
                ];
                let why = Why { status: Status::Failed, changes };
                let _ = reply.send((node == "web2").then_some(why));
            }
            Request::Stats { reply } => {
                let agent = BTreeMap::from([("name".to_owned(), "fake".to_owned())]);
                let none = BTreeMap::new();
                let _ = reply.send(BTreeMap::from([("tags".to_owned(), none), ("agent".to_owned(), agent)]));
            }
            Request::Leave { reply } => {
                note("leave".to_owned());
                let _ = reply.send(Ok(()));
                return;
            }
            unknown => panic!("{unknown:?}"),
        }
    }
}

fn members() -> Vec<Member> {
    let member = |name: &str, addr: &str, status, tags: &[(&str, &str)]| Member {
        name: name.to_owned(),
        addr: addr.parse().unwrap(),
        port: 7946,
        tags: tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        status,
        versions: [1, 5, 2, 2, 5, 5],
    };
    vec![
        member("web2", "10.0.0.2", Status::Failed, &[("role", "web<2>"), ("dc", "east")]),
        member("web1", "10.0.0.1", Status::Alive, &[("role", "web")]),
        member("db", "fe80::1", Status::Alive, &[]),
    ]
}

/// A client that says whatever it likes.
pub struct Raw {
    pub read: Reader<OwnedReadHalf>,
    pub write: OwnedWriteHalf,
}

impl Raw {
    pub async fn write(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.write.write_all(bytes)).await.expect("the server reads").unwrap();
    }

    pub async fn send(&mut self, command: &str, seq: u64, body: &[u8]) {
        self.write(&request(command, seq, body)).await;
    }

    /// The next value.
    pub async fn value<T: DeserializeOwned + Default>(&mut self) -> T {
        let bytes =
            timeout(PATIENCE, self.read.next()).await.expect("an answer").unwrap().expect("no end yet");
        wire::decode(&bytes).unwrap()
    }

    /// The next header: error and number.
    pub async fn header(&mut self) -> (String, u64) {
        let ResponseHeader { error, seq, .. } = self.value().await;
        (error, seq)
    }

    /// Whether the server closes the connection without another word.
    pub async fn ended(&mut self) -> bool {
        matches!(timeout(PATIENCE, self.read.next()).await, Ok(Ok(None) | Err(_)))
    }
}

pub fn request(command: &str, seq: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = encoded(&RequestHeader { command: command.to_owned(), seq });
    bytes.extend_from_slice(body);
    bytes
}

pub fn body<T: Serialize, const N: usize>(fields: [(&str, T); N]) -> Vec<u8> {
    encoded(&BTreeMap::from(fields))
}

pub fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode(&mut bytes, value);
    bytes
}

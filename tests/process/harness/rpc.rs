//! A second, independent RPC client, just large enough for the tests: blocking, and able to send many requests before
//! it reads an answer.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use rmpv::Value;
use rmpv::decode::read_value;
use rmpv::encode::write_value;

use super::DEADLINE;

/// One connection after its handshake.
pub struct Rpc {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    seq: u64,
}

impl Rpc {
    /// Connects and shakes hands.
    ///
    /// # Errors
    /// The agent does not listen (yet).
    pub fn connect(agent: SocketAddr) -> io::Result<Rpc> {
        let writer = TcpStream::connect(agent)?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(DEADLINE))?;
        let mut rpc = Rpc { reader: BufReader::new(writer.try_clone()?), writer, seq: 0 };
        rpc.send("handshake", &map([("Version", 1.into())]))?;
        rpc.receive()?.map_err(io::Error::other)?;
        Ok(rpc)
    }

    /// Members and their status.
    ///
    /// # Errors
    /// The agent has ended.
    pub fn members(&mut self) -> io::Result<BTreeMap<String, String>> {
        self.send("members", &Value::Nil)?;
        self.receive()?.map_err(io::Error::other)?;
        let body = self.value()?;
        let members = field(&body, "Members").and_then(Value::as_array).cloned().unwrap_or_default();
        let text = |member: &Value, key| field(member, key).map(bytes).map(lossy).unwrap_or_default();
        Ok(members.iter().map(|member| (text(member, "Name"), text(member, "Status"))).collect())
    }

    /// Fires a user event and waits for the agent's answer; the error is the agent's.
    pub fn event(&mut self, name: &[u8], payload: &[u8], coalesce: bool) -> Result<(), String> {
        self.send_event(name, payload, coalesce).map_err(|error| error.to_string())?;
        self.receive().map_err(|error| error.to_string())?
    }

    /// Fires many events without waiting in between, and returns the agent's answers.
    ///
    /// # Errors
    /// The agent has ended.
    pub fn burst<'a>(
        &mut self,
        events: impl Iterator<Item = (&'a [u8], Vec<u8>)> + Send,
    ) -> io::Result<Vec<Result<(), String>>> {
        let mut sender = Rpc {
            reader: BufReader::new(self.writer.try_clone()?),
            writer: self.writer.try_clone()?,
            seq: self.seq,
        };
        // Written and read at the same time: a server that stops reading until its answers are taken is in the right.
        thread::scope(|scope| {
            let (sent, answers) = channel();
            scope.spawn(move || {
                for (name, payload) in events {
                    if sender.send_event(name, &payload, false).is_err() || sent.send(()).is_err() {
                        return;
                    }
                }
            });
            answers.iter().map(|()| self.receive()).collect()
        })
    }

    /// Turns the connection into a stream of the agent's events of a kind, such as `user` or `member-failed`.
    ///
    /// # Errors
    /// The agent has ended or refuses.
    pub fn stream(mut self, kind: &str) -> io::Result<Stream> {
        self.send("stream", &map([("Type", kind.into())]))?;
        self.receive()?.map_err(io::Error::other)?;
        self.writer.set_read_timeout(None)?;
        let socket = self.writer.try_clone()?;
        let (found, events) = channel();
        thread::spawn(move || {
            while let Ok(Ok(())) = self.receive()
                && let Ok(record) = self.value()
            {
                let part = |key| field(&record, key).map(bytes).unwrap_or_default();
                let ltime = field(&record, "LTime").and_then(Value::as_u64).unwrap_or_default();
                let members = field(&record, "Members").and_then(Value::as_array).into_iter().flatten();
                let members =
                    members.filter_map(|member| field(member, "Name").map(bytes).map(lossy)).collect();
                let (name, payload) = (part("Name"), part("Payload"));
                let event = Event { at: Instant::now(), ltime, name, payload, members };
                if found.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Stream { events, socket })
    }

    /// Asks the fleet, and reads to the end: who has answered.
    ///
    /// # Errors
    /// The agent has ended or refuses.
    pub fn query(&mut self, name: &str) -> io::Result<Vec<String>> {
        let request = map([("Name", name.into()), ("WaitFullTimeout", false.into())]);
        self.send("query", &request)?;
        self.receive()?.map_err(io::Error::other)?;
        let mut answered = Vec::new();
        loop {
            self.receive()?.map_err(io::Error::other)?;
            let record = self.value()?;
            let text = |key| field(&record, key).map(bytes).map(lossy).unwrap_or_default();
            match &*text("Type") {
                "done" => return Ok(answered),
                // Go's agents can send records of nobody before the last one.
                "response" if !text("From").is_empty() => answered.push(text("From")),
                _ => {}
            }
        }
    }

    /// Fires an event that is not coalesced, and waits for receipts of all, for 10 s: of how many members there are none.
    ///
    /// # Errors
    /// The agent has ended or refuses.
    pub fn event_with_receipts(&mut self, name: &str) -> io::Result<usize> {
        let timeout = 10_000_000_000_u64;
        let request = map([("Name", name.into()), ("Share", 100.into()), ("Timeout", timeout.into())]);
        self.send("event-receipts", &request)?;
        self.receive()?.map_err(io::Error::other)?;
        let answer = self.value()?;
        Ok(field(&answer, "Missing").and_then(Value::as_array).map_or(0, Vec::len))
    }

    /// Asks for a stream, and reads neither the answer nor what follows.
    ///
    /// # Errors
    /// The agent has ended.
    pub fn begin_stream(&mut self, kind: &str) -> io::Result<()> {
        self.send("stream", &map([("Type", kind.into())]))
    }

    /// Asks for the members, and does not wait for the answer.
    ///
    /// # Errors
    /// The agent has ended.
    pub fn begin_members(&mut self) -> io::Result<()> {
        self.send("members", &Value::Nil)
    }

    /// Asks for a join, and does not wait for the answer.
    ///
    /// # Errors
    /// The agent has ended.
    pub fn begin_join(&mut self, addresses: &[String]) -> io::Result<()> {
        let existing = Value::Array(addresses.iter().map(|address| Value::from(address.as_str())).collect());
        self.send("join", &map([("Existing", existing), ("Replay", false.into())]))
    }

    /// Whether an answer is there, or the agent has closed the connection.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn is_answered(&self) -> io::Result<bool> {
        self.writer.set_nonblocking(true)?;
        let seen = self.writer.peek(&mut [0]);
        self.writer.set_nonblocking(false)?;
        match seen {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(!self.reader.buffer().is_empty()),
            seen => seen.map(|_| true),
        }
    }

    /// Closes its own side: it asks no more.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn ends(&self) -> io::Result<()> {
        self.writer.shutdown(Shutdown::Write)
    }

    /// Offers a token; the error is the agent's.
    pub fn authenticate(&mut self, token: &str) -> Result<(), String> {
        self.send("auth", &map([("AuthKey", token.into())])).map_err(|error| error.to_string())?;
        self.receive().map_err(|error| error.to_string())?
    }

    fn send_event(&mut self, name: &[u8], payload: &[u8], coalesce: bool) -> io::Result<()> {
        let name = std::str::from_utf8(name).map_or_else(|_| Value::from(name), Value::from);
        self.send("event", &map([("Name", name), ("Payload", payload.into()), ("Coalesce", coalesce.into())]))
    }

    fn send(&mut self, command: &str, body: &Value) -> io::Result<()> {
        let mut request = Vec::new();
        write_value(&mut request, &map([("Command", command.into()), ("Seq", self.seq.into())]))?;
        if !body.is_nil() {
            write_value(&mut request, body)?;
        }
        self.seq += 1;
        self.writer.write_all(&request)
    }

    /// The next header's verdict.
    fn receive(&mut self) -> io::Result<Result<(), String>> {
        let header = self.value()?;
        let error = field(&header, "Error").map(bytes).unwrap_or_default();
        Ok(if error.is_empty() { Ok(()) } else { Err(lossy(error)) })
    }

    fn value(&mut self) -> io::Result<Value> {
        read_value(&mut self.reader).map_err(io::Error::other)
    }
}

/// One event from a stream.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it was read.
    pub at: Instant,
    /// Its Lamport time.
    pub ltime: u64,
    /// Its name.
    pub name: Vec<u8>,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Whom a member event is about.
    pub members: Vec<String>,
}

/// Events of one agent as they come; closed on drop.
pub struct Stream {
    /// Ends when the agent does.
    pub events: Receiver<Event>,
    socket: TcpStream,
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both); // ends the reading thread
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

fn field<'a>(map: &'a Value, key: &str) -> Option<&'a Value> {
    map.as_map()?.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
}

/// Go's clients and servers send text and bytes in each other's types.
fn bytes(value: &Value) -> Vec<u8> {
    value.as_slice().or_else(|| value.as_str().map(str::as_bytes)).unwrap_or_default().to_vec()
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

//! One connection of the server: requests in, one after another; answers and the records of its streams out.

use std::collections::HashMap;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::connection::{Accepted, ReadHalf};
use super::context::Context;
use super::message::*;
use super::outbox::{Broken, Outbox};
use super::questions::Questions;
use super::select::Selection;
use super::standing::{Standing, State};
use super::volley::Volley;
use super::wire::{self, Limits, Reader, parse};
use super::{command::Command, logs};
use crate::agent::error::{Refusal, words};
use crate::agent::filter::Filter;
use crate::agent::hub;
use crate::agent::keys::{KeyReport, KeyRequest};
use crate::agent::lossy_channel;
use crate::agent::model::Event;
use crate::agent::query::{Replies, Reply};
use crate::agent::receipts::Wait;

/// How long a connection that is being closed may take to take its last answers, and to close its own side.
const LINGER: Duration = Duration::from_secs(1);

/// How long the answer to a wrong token takes.
const GUESS: Duration = Duration::from_secs(1);

/// How often it is looked whether the client of a request that takes long is still there, if more of its requests wait.
const HANG_UP: Duration = Duration::from_millis(250);

/// How long Go's clients have to read what the fleet said before they are told that it was all: its `serf query` looks at
/// acknowledgements, responses and the end in no order.
const BEFORE_DONE: Duration = Duration::from_millis(100);

/// Records of a stream are written together up to so many bytes, and one more.
const WRITE: usize = 16 * 1024;

/// The longest filter that makes sense; each event is held against all of it.
const MAX_FILTER: usize = 4096;

/// Serves one connection until either side closes it.
pub(super) async fn run(
    accepted: Accepted,
    context: Arc<Context>,
    standing: Standing,
    closing: watch::Receiver<bool>,
) {
    let Accepted { connection, peer, trusted } = accepted;
    connection.tend();
    let (read, write) = connection.split();
    let (outbox, writer) = Outbox::new(write);
    let mut writer = pin!(writer);
    let mut reader = Reader::new(read, Limits::STRANGER);
    let mut session = Session::new(context, peer, trusted, standing, outbox);
    tokio::select! {
        () = &mut writer => return,
        Ok(()) | Err(Broken) = session.converse(&mut reader, closing.clone()) => {}
    }
    session.tasks.shutdown().await;
    drop(session);
    if timeout(LINGER, writer).await.is_ok() && !*closing.borrow() {
        // Closing a socket with unread requests in it resets the connection, and the last answer may be lost with it.
        let _ = timeout(LINGER, tokio::io::copy(&mut reader.into_inner(), &mut tokio::io::sink())).await;
    }
}

struct Session {
    context: Arc<Context>,
    peer: String,
    /// Whatever token it brings is right.
    trusted: bool,
    standing: Standing,
    outbox: Outbox,
    greeted: bool,
    authenticated: bool,
    /// One task per stream, which moves its records to the outbox.
    tasks: JoinSet<()>,
    streams: HashMap<u64, Streaming>,
    monitor: Option<u64>,
    questions: Questions,
    /// The agent was told to leave here, and has.
    left: bool,
}

/// A stream under way, and its share of all that there may be.
struct Streaming {
    task: AbortHandle,
    _share: OwnedSemaphorePermit,
}

/// What becomes of a request that is not refused.
enum Outcome {
    /// It is answered, with this body or none.
    Done(Vec<u8>),
    /// It has failed in part, and this body says where.
    Failed(String, Vec<u8>),
    /// It is answered, and these records follow, which the client only observes, or may have an answer to.
    Events(hub::Stream, bool, OwnedSemaphorePermit),
    /// It is answered, and what the fleet says follows, and after this pause that it was all.
    Replies(Replies, Duration, OwnedSemaphorePermit),
    /// It is answered, and first these, then these lines follow.
    Lines(Vec<Arc<str>>, lossy_channel::Receiver<Arc<str>>, OwnedSemaphorePermit),
}

impl Session {
    fn new(
        context: Arc<Context>,
        peer: String,
        trusted: bool,
        standing: Standing,
        outbox: Outbox,
    ) -> Session {
        let authenticated = trusted || !context.options.auth.is_needed();
        let (tasks, streams) = (JoinSet::new(), HashMap::new());
        Session {
            context,
            peer,
            trusted,
            standing,
            outbox,
            greeted: false,
            authenticated,
            tasks,
            streams,
            monitor: None,
            questions: Questions::default(),
            left: false,
        }
    }

    /// Answers requests until the client is done, or has to be turned away.
    async fn converse(
        &mut self,
        reader: &mut Reader<Box<dyn ReadHalf>>,
        mut closing: watch::Receiver<bool>,
    ) -> Result<(), Broken> {
        let deadline = Instant::now() + self.context.options.handshake;
        loop {
            self.rest();
            let admitted = self.is_admitted();
            if admitted {
                reader.set_limits(self.context.options.limits);
            }
            let request = tokio::select! {
                request = read_request(reader, self.greeted) => request,
                () = async { if admitted { pending().await } else { sleep_until(deadline).await } } => return Ok(()),
                () = self.dismissed(&mut closing) => return Ok(()),
            };
            let (header, request) = match request {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                Err(error) => {
                    log::warn!(target: "agent.ipc", "Failed to decode request: {}", words(&error));
                    return Ok(());
                }
            };
            let seq = header.seq;
            let Some((command, body)) = request else {
                let error =
                    if self.greeted { refusal::UNSUPPORTED_COMMAND } else { refusal::HANDSHAKE_REQUIRED };
                return self.answer(seq, error, &[]).await;
            };
            if !self.authenticated && !matches!(command, Command::Handshake | Command::Auth) {
                self.answer(seq, refusal::AUTH_REQUIRED, &[]).await?;
                continue;
            }
            if self.is_admitted() {
                self.standing.set(State::Served);
            }
            // What nobody waits for any more is given up.
            if let Some(volley) = Volley::take(seq, command, &body, reader) {
                let answers = tokio::select! {
                    answers = volley.fire(&self.context.handle) => answers,
                    () = hung_up(&**reader.get_ref()) => return Ok(()),
                };
                self.outbox.send(answers).await?;
                continue;
            }
            let outcome = tokio::select! {
                outcome = self.execute(seq, command, &body) => outcome,
                () = hung_up(&**reader.get_ref()) => return Ok(()),
            };
            // Before it hears that it is admitted.
            self.rest();
            match outcome {
                Ok(Outcome::Done(body)) => self.answer(seq, "", &body).await?,
                Ok(Outcome::Events(events, observe, share)) => {
                    self.answer(seq, "", &[]).await?;
                    let (outbox, questions) = (self.outbox.clone(), self.questions.clone());
                    self.start(seq, share, tell_events(outbox, seq, events, questions, observe));
                }
                Ok(Outcome::Replies(replies, pause, share)) => {
                    self.answer(seq, "", &[]).await?;
                    self.start(seq, share, tell_replies(self.outbox.clone(), seq, replies, pause));
                }
                Ok(Outcome::Lines(backlog, tap, share)) => {
                    self.answer(seq, "", &[]).await?;
                    self.start(seq, share, tell_lines(self.outbox.clone(), seq, backlog, tap));
                }
                Ok(Outcome::Failed(error, body)) => self.answer(seq, &error, &body).await?,
                Err(error) => self.answer(seq, &error, &command.empty_answer()).await?,
            }
        }
    }

    fn is_admitted(&self) -> bool {
        self.greeted && self.authenticated
    }

    /// The streams that have come to their end by themselves.
    fn forget_ended(&mut self) {
        self.streams.retain(|_, stream| !stream.task.is_finished());
    }

    /// Nothing is to be done for the client, but for its streams.
    fn rest(&mut self) {
        self.forget_ended();
        if self.is_admitted() {
            self.standing.set(if self.streams.is_empty() { State::Idle } else { State::Served });
        }
    }

    /// The agent has ended. Whoever told it to leave may close the connection first, for a while: Go Serf's client can take
    /// an end right behind the answer for a failure.
    async fn dismissed(&self, closing: &mut watch::Receiver<bool>) {
        // An error: the server has ended as well.
        let _ = closing.wait_for(|&closing| closing).await;
        if self.left {
            sleep(LINGER).await;
        }
    }

    async fn answer(&self, seq: u64, error: &str, body: &[u8]) -> Result<(), Broken> {
        let mut bytes = Vec::with_capacity(32 + error.len() + body.len());
        wire::encode(&mut bytes, &ResponseHeader { error: error.to_owned(), missed: 0, seq });
        bytes.extend_from_slice(body);
        self.outbox.send(bytes).await
    }

    async fn execute(&mut self, seq: u64, command: Command, body: &[u8]) -> Result<Outcome, String> {
        let context = self.context.clone();
        let handle = &context.handle;
        let refused = |refusal: Refusal| refusal.to_string();
        let mut answer = Vec::new();
        match command {
            Command::Handshake => self.greet(parse(body)?)?,
            Command::Auth => {
                let Auth { auth_key } = parse(body)?;
                if !self.trusted && !self.context.options.auth.is(auth_key.as_bytes()) {
                    log::warn!(target: "agent.ipc", "Invalid authentication token from client: {}", self.peer);
                    sleep(GUESS).await;
                    return Err(refusal::INVALID_TOKEN.to_owned());
                }
                self.authenticated = true;
            }
            Command::Event => {
                let UserEvent { name, payload, coalesce } = parse(body)?;
                handle.event(name, payload, coalesce).await.map_err(refused)?;
            }
            Command::TargetedEvent => {
                let request: TargetedEvent = parse(body)?;
                handle.event_for(request.try_into()?).await.map_err(refused)?;
            }
            Command::EventReceipts => {
                let request: EventReceipts = parse(body)?;
                let (share, timeout) = (request.share, request.timeout);
                if !(1..=100).contains(&share) || timeout < 0 {
                    return Err(refusal::INVALID_WAIT.to_owned());
                }
                let wait = Wait { share, timeout: Duration::from_nanos(timeout as u64) };
                let receipts = handle
                    .event_with_receipts(request.into_event().try_into()?, wait)
                    .await
                    .map_err(refused)?;
                wire::encode(&mut answer, &Receipts::from(receipts));
            }
            Command::ReserveEvent => {
                let reserved = handle.reserve_event().await.map_err(refused)?;
                wire::encode(&mut answer, &Reservation::from(reserved));
            }
            Command::ReserveQuery => {
                let ReserveQuery { timeout } = parse(body)?;
                let timeout = time_out(timeout)?;
                let reserved = handle.reserve_query(timeout).await.map_err(refused)?;
                wire::encode(&mut answer, &Reservation::from(reserved));
            }
            Command::Query => {
                let request: Query = parse(body)?;
                let pause = if request.wait_full_timeout.is_some() { Duration::ZERO } else { BEFORE_DONE };
                let query = request.try_into()?;
                let share = self.room_for_stream(seq)?;
                let replies = handle.query(query).await.map_err(refused)?;
                return Ok(Outcome::Replies(replies, pause, share));
            }
            Command::Respond => {
                let Respond { id, payload } = parse(body)?;
                let question = self.questions.named(id).ok_or(refusal::NO_SUCH_QUERY)?;
                question.respond(payload).await.map_err(refused)?;
            }
            Command::Join => {
                let Join { existing: addresses, replay } = parse(body)?;
                let num = handle.join(addresses, replay).await.map_err(refused)?;
                wire::encode(&mut answer, &Joined { num: i32::try_from(num).unwrap_or(i32::MAX) });
            }
            Command::Members | Command::MembersFiltered => {
                // `members` has no body, and so no condition.
                let selection = Selection::new(&parse(body)?)?;
                let members = handle.members().await.map_err(refused)?;
                let mut selected = Vec::new();
                for some in members.chunks(64) {
                    selected.extend(
                        some.iter().filter(|member| selection.takes(member)).cloned().map(Member::from),
                    );
                    // Matching can take long in a large cluster; others get their turn in between.
                    yield_now().await;
                }
                wire::encode(&mut answer, &Members { members: selected });
            }
            Command::Leave => {
                log::info!(target: "agent.ipc", "Graceful leave triggered");
                handle.leave().await.map_err(refused)?;
                self.left = true;
            }
            Command::ForceLeave => {
                let ForceLeave { node, prune } = parse(body)?;
                handle.force_leave(node, prune).await.map_err(refused)?;
            }
            Command::Tags => {
                let Tags { tags, delete_tags } = parse(body)?;
                handle.edit_tags(tags, delete_tags).await.map_err(refused)?;
            }
            Command::Coordinate => {
                let OfMember { node } = parse(body)?;
                let coord = handle.coordinate(node).await.map_err(refused)?.map(Coordinate::from);
                wire::encode(&mut answer, &Found { ok: coord.is_some(), coord: coord.unwrap_or_default() });
            }
            Command::Why => {
                let OfMember { node } = parse(body)?;
                let why = handle.why(node).await.map_err(refused)?;
                wire::encode(&mut answer, &why.map(Why::from).unwrap_or_default());
            }
            Command::Stats => {
                let stats = handle.stats().await.map_err(refused)?;
                wire::encode(&mut answer, &stats);
            }
            Command::Stream => {
                let Stream { r#type: filter, observe } = parse(body)?;
                let share = self.room_for_stream(seq)?;
                if filter.len() > MAX_FILTER {
                    return Err(refusal::INVALID_FILTER.to_owned());
                }
                let filter = Filter::parse(filter).map_err(|_| refusal::INVALID_FILTER)?;
                return Ok(Outcome::Events(self.context.hub.subscribe(filter), observe, share));
            }
            Command::Monitor => {
                let Monitor { log_level } = parse(body)?;
                let level = logs::parse_level(&log_level)
                    .ok_or_else(|| format!("Unknown log level: {}", log_level.to_uppercase()))?;
                if self.monitor.is_some() {
                    return Err(refusal::MONITOR_EXISTS.to_owned());
                }
                let share = self.room_for_stream(seq)?;
                self.monitor = Some(seq);
                let (backlog, tap) = self.context.logs.subscribe(level);
                return Ok(Outcome::Lines(backlog, tap, share));
            }
            Command::Stop => {
                let Stop { stop } = parse(body)?;
                self.stop(stop);
            }
            Command::InstallKey | Command::UseKey | Command::RemoveKey => {
                let OfKey { key, signed } = parse(body)?;
                let signed = signed.map(TryInto::try_into).transpose()?;
                let order = match command {
                    Command::InstallKey => KeyRequest::Install(key),
                    Command::UseKey => KeyRequest::Use(key),
                    _ => KeyRequest::Remove(key),
                };
                return Ok(keys(handle.keys(order, signed).await.map_err(refused)?, false));
            }
            Command::ListKeys => {
                return Ok(keys(handle.keys(KeyRequest::List, None).await.map_err(refused)?, true));
            }
        }
        Ok(Outcome::Done(answer))
    }

    fn greet(&mut self, Handshake { version }: Handshake) -> Result<(), &'static str> {
        if version != VERSION {
            return Err(refusal::UNSUPPORTED_VERSION);
        }
        if self.greeted {
            return Err(refusal::DUPLICATE_HANDSHAKE);
        }
        self.greeted = true;
        // Not before: who only connects is no client, and may come in thousands.
        log::info!(target: "agent.ipc", "Accepted client: {}", self.peer);
        Ok(())
    }

    /// The share of one more stream.
    fn room_for_stream(&mut self, seq: u64) -> Result<OwnedSemaphorePermit, &'static str> {
        self.forget_ended();
        if self.streams.contains_key(&seq) {
            return Err(refusal::STREAM_EXISTS);
        }
        if self.streams.len() >= self.context.options.streams {
            return Err(refusal::TOO_MANY_STREAMS);
        }
        self.context.streams.clone().try_acquire_owned().map_err(|_| refusal::TOO_MANY_STREAMS)
    }

    fn start(
        &mut self,
        seq: u64,
        share: OwnedSemaphorePermit,
        records: impl Future<Output = Result<(), Broken>> + Send + 'static,
    ) {
        // Those that were stopped earlier.
        while self.tasks.try_join_next().is_some() {}
        // A broken connection ends the session by itself.
        let task = self.tasks.spawn(async { records.await.unwrap_or(()) });
        self.streams.insert(seq, Streaming { task, _share: share });
    }

    fn stop(&mut self, seq: u64) {
        if let Some(stream) = self.streams.remove(&seq) {
            stream.task.abort();
        }
        self.monitor = self.monitor.filter(|&monitor| monitor != seq);
    }
}

/// What the members say to an order about keys; which there are only to who has asked for that.
fn keys(report: KeyReport, listed: bool) -> Outcome {
    let mut answer = Vec::new();
    let error = report.error();
    let keys = Keys::from(report);
    wire::encode(&mut answer, &Keys { keys: keys.keys.filter(|_| listed), ..keys });
    match error {
        None => Outcome::Done(answer),
        Some(error) => Outcome::Failed(error, answer),
    }
}

/// Ends once the client has closed its side, and some time has passed in which one that only says that it has no more
/// questions may get its answer. Requests that wait behind the present one are left where they are.
async fn hung_up(reader: &dyn ReadHalf) {
    // An error as such ends nothing: the next read or write meets it.
    while !reader.ready().await.is_ok_and(|ready| ready.is_read_closed()) {
        sleep(HANG_UP).await;
    }
    sleep(LINGER).await;
}

/// A request as it came: `None` for a command that nobody knows or that comes before the handshake, both of which end
/// the connection; else the command and its body, empty if it has none.
type RawRequest = (RequestHeader, Option<(Command, Vec<u8>)>);

/// Reads a whole request, so that whatever becomes of it, the next one starts where this one ends. Not cancel safe,
/// and never resumed.
async fn read_request(
    reader: &mut Reader<Box<dyn ReadHalf>>,
    greeted: bool,
) -> std::io::Result<Option<RawRequest>> {
    let Some(header) = reader.next().await? else { return Ok(None) };
    let header: RequestHeader = wire::decode(&header).map_err(std::io::Error::other)?;
    let command = Command::named(&header.command).filter(|&command| greeted || command == Command::Handshake);
    let Some(command) = command else { return Ok(Some((header, None))) };
    let body = if command.has_body() { reader.next().await? } else { Some(Vec::new()) };
    Ok(body.map(|body| (header, Some((command, body)))))
}

async fn tell_replies(outbox: Outbox, seq: u64, mut replies: Replies, pause: Duration) -> Result<(), Broken> {
    loop {
        let reply = replies.next().await;
        let done = reply.is_none();
        if done {
            sleep(pause).await;
        }
        let (r#type, from, payload) = match reply {
            Some(Reply::Ack { from }) => ("ack", from, Vec::new()),
            Some(Reply::Response { from, payload }) => ("response", from, payload),
            None => ("done", String::new(), Vec::new()),
        };
        let mut record = Vec::new();
        wire::encode(&mut record, &ResponseHeader { error: String::new(), missed: 0, seq });
        QueryRecord { from, payload, r#type: r#type.to_owned() }.encode(&mut record);
        outbox.send(record).await?;
        if done {
            return Ok(());
        }
    }
}

async fn tell_events(
    outbox: Outbox,
    seq: u64,
    events: hub::Stream,
    questions: Questions,
    observe: bool,
) -> Result<(), Broken> {
    let mut records = Vec::new();
    loop {
        // What waits together is told together, as far as that is one write.
        let next = if records.len() < WRITE { events.try_next() } else { None };
        let (event, missed) = match next {
            Some(next) => next,
            None if records.is_empty() => events.next().await,
            None => {
                outbox.send(std::mem::take(&mut records)).await?;
                continue;
            }
        };
        wire::encode(&mut records, &ResponseHeader { error: String::new(), missed, seq });
        match &*event {
            Event::Member { kind, members } => {
                let members = members.iter().cloned().map(Member::from).collect();
                wire::encode(&mut records, &MemberRecord { event: kind.as_str().to_owned(), members });
            }
            Event::User { ltime, name, payload, coalesce } => {
                let (name, payload) = (name.clone(), payload.clone());
                UserRecord { coalesce: *coalesce, ltime: *ltime, name, payload }.encode(&mut records);
            }
            Event::Query(question) => {
                let (name, payload) = (question.name.clone(), question.payload.clone());
                let id = questions.number(question, observe);
                QuestionRecord { id, ltime: question.ltime(), name, payload }.encode(&mut records);
            }
        }
    }
}

async fn tell_lines(
    outbox: Outbox,
    seq: u64,
    backlog: Vec<Arc<str>>,
    tap: lossy_channel::Receiver<Arc<str>>,
) -> Result<(), Broken> {
    let record = |line: &str, missed| {
        let mut record = Vec::new();
        wire::encode(&mut record, &ResponseHeader { error: String::new(), missed, seq });
        wire::encode(&mut record, &LogRecord { log: line.to_owned() });
        record
    };
    for line in backlog {
        outbox.send(record(&line, 0)).await?;
    }
    while let Some((line, missed)) = tap.next().await {
        outbox.send(record(&line, missed)).await?;
    }
    Ok(())
}

//! The run loop for embassy-net: one UDP socket, one [`Node`], and nothing to do while nothing happens.
//!
//! It meets what smoltcp does to UDP sockets:
//! - A datagram to a neighbour that does not answer ARP blocks its socket for good. Each send is waited for, for
//!   [`SEND_PATIENCE`] at most; then the socket is made anew on the same buffers.
//! - Datagrams that arrive in a burst wait in the socket's metadata slots, of which there are many.
//! - ARP asks for one neighbour per second: give the interface a neighbour cache as large as the fleet.

use core::net::SocketAddr;

use embassy_futures::select::{Either3, select3};
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{IpAddress, IpEndpoint, Stack};
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::channel::Channel;
use embassy_time::{Duration, Timer, with_timeout};

use crate::wire::message::EventId;
use crate::{
    Ask, DATAGRAM_MAX, Event, EventError, Fired, Input, Instant, Node, Output, QueryError, Question,
};

/// How long a datagram may take to leave, its neighbour's answer to ARP included.
pub const SEND_PATIENCE: Duration = Duration::from_millis(50);

/// How long receipts of an event are waited for.
pub const RECEIPTS_PATIENCE: crate::Duration = crate::Duration::from_secs(5);

/// Datagrams taken in between two drains, at most: bounded work, however many arrive.
const BURST: usize = 8;

/// Datagrams that can wait to be read: what comes in a burst beyond it is lost, at 20 bytes or so for each place.
const RX_SLOTS: usize = 32;
/// Datagrams that can wait to be sent: each is waited for.
const TX_SLOTS: usize = 2;

/// What the socket and the loop keep in memory; a `static` on a device, all zeros.
pub struct Buffers<const RX: usize, const TX: usize> {
    rx: [u8; RX],
    tx: [u8; TX],
    /// One more than any datagram: what fills it is too long.
    datagram: [u8; DATAGRAM_MAX + 1],
}

impl<const RX: usize, const TX: usize> Buffers<RX, TX> {
    /// Empty buffers. `RX` and `TX`: bytes for datagrams that wait to be read, and to be sent.
    pub const fn new() -> Self {
        Buffers { rx: [0; RX], tx: [0; TX], datagram: [0; DATAGRAM_MAX + 1] }
    }
}

impl<const RX: usize, const TX: usize> Default for Buffers<RX, TX> {
    fn default() -> Self {
        Self::new()
    }
}

/// Something that the application wants done by the node.
#[derive(Clone, Debug)]
pub enum Command<const NAME: usize, const PAYLOAD: usize> {
    /// Fire an event. While the node is full the command waits, and others behind it.
    Event {
        /// Its name.
        name: heapless::Vec<u8, NAME>,
        /// Its payload.
        payload: heapless::Vec<u8, PAYLOAD>,
        /// Whether receivers may coalesce it.
        coalesce: bool,
        /// Whether receipts are wanted: they come to `on_event` within [`RECEIPTS_PATIENCE`], as acknowledgements of a query.
        receipts: bool,
    },
    /// Ask the whole fleet; what it says comes to `on_event`. While the node is full the command waits, and others behind it.
    Query {
        /// What it is about.
        name: heapless::String<NAME>,
        /// Any bytes.
        payload: heapless::Vec<u8, PAYLOAD>,
    },
    /// Go by these tags from now on, encoded as in [`crate::Identity`].
    SetTags(heapless::Vec<u8, PAYLOAD>),
    /// Call this with the node, to log its members, levels or counters.
    Inspect(fn(&Node<'_>)),
    /// Leave the fleet in good order; [`run`] returns when it is done.
    Leave,
}

/// Writes the answer to a query into the buffer, [`DATAGRAM_MAX`] bytes at least; how long it is. `None`: there is none.
pub type Answer = fn(&Node<'_>, &mut [u8]) -> Option<usize>;

/// Answers that wait for room; one more is not given, and its asker waits until its time is over.
const WAITING_ANSWERS: usize = 2;

/// What is answered to queries that have no answer yet.
type Answers = heapless::Vec<(EventId, Option<Answer>), WAITING_ANSWERS>;

/// The clock that the node is given: time since the start of embassy's.
pub fn now() -> Instant {
    Instant::from_micros(embassy_time::Instant::now().as_micros())
}

/// Runs a node on `port` until it has left. Events go to `on_event`, which may wait (for flash, say): gossip waits with
/// it, so not for long. When it returns from an event that tells of new keys they are kept, or it had better not return. Queries go to `on_query`, which says what answers them, if anything does: `|_| None` on a device that is
/// not to be asked. Commands come from `commands`.
pub async fn run<
    M,
    const RX: usize,
    const TX: usize,
    const N: usize,
    const NAME: usize,
    const PAYLOAD: usize,
>(
    node: &mut Node<'_>,
    stack: Stack<'_>,
    port: u16,
    buffers: &mut Buffers<RX, TX>,
    commands: &Channel<M, Command<NAME, PAYLOAD>, N>,
    mut on_event: impl AsyncFnMut(Event<'_>),
    mut on_query: impl FnMut(&Question<'_>) -> Option<Answer>,
) where
    M: RawMutex,
{
    let Buffers { rx, tx, datagram } = buffers;
    let (mut rx_slots, mut tx_slots) = ([PacketMetadata::EMPTY; RX_SLOTS], [PacketMetadata::EMPTY; TX_SLOTS]);
    let mut waiting: Option<Command<NAME, PAYLOAD>> = None;
    let mut answers = Answers::new();
    loop {
        let mut socket = UdpSocket::new(stack, &mut rx_slots, rx, &mut tx_slots, tx);
        // A new socket, and no node listens on port 0: it can't fail.
        let _ = socket.bind(port);
        loop {
            if let Some(command) = waiting.take() {
                waiting = handle_command(node, command);
            }
            retry_answers(node, datagram, &mut answers);
            let drained = drain(node, &mut socket, datagram, &mut on_event, &mut on_query, &mut answers);
            let until = match drained.await {
                Drained::Sleep(until) => until,
                Drained::Left => return,
                Drained::Wedged => {
                    // What has arrived meanwhile would go with the socket.
                    take_arrived(node, &mut socket, datagram, RX_SLOTS).await;
                    break;
                }
            };
            let micros = until.as_micros().saturating_sub(now().as_micros());
            let news = async {
                match waiting {
                    Some(_) => core::future::pending().await,
                    None => commands.receive().await,
                }
            };
            let receiving =
                socket.recv_from_with(|bytes, from| take_in(node, datagram, from.endpoint, bytes));
            match select3(receiving, Timer::after_micros(micros), news).await {
                Either3::First(()) => take_arrived(node, &mut socket, datagram, BURST - 1).await,
                Either3::Second(()) => {}
                Either3::Third(command) => waiting = Some(command),
            }
        }
    }
}

/// Gives a command to the node; gives it back if it has to wait.
fn handle_command<const NAME: usize, const PAYLOAD: usize>(
    node: &mut Node<'_>,
    command: Command<NAME, PAYLOAD>,
) -> Option<Command<NAME, PAYLOAD>> {
    match &command {
        Command::Event { name, payload, coalesce, receipts } => {
            match (node.user_event(now(), name, payload, *coalesce), receipts) {
                (Err(EventError::Full | EventError::Starting), _) => return Some(command),
                (Err(_), _) => warning!("an event was refused"),
                (Ok(ltime), true) => {
                    let fired = Fired::new(ltime, name, *coalesce);
                    if node.receipts(now(), &fired, RECEIPTS_PATIENCE).is_err() {
                        warning!("nobody is asked for receipts");
                    }
                }
                (Ok(_), false) => {}
            }
        }
        Command::Query { name, payload } => match node.query(now(), &Ask::all(name, payload)) {
            Err(QueryError::Event(EventError::Full | EventError::Starting)) => return Some(command),
            Err(_) => warning!("a query was refused"),
            Ok(_) => {}
        },
        Command::SetTags(tags) => {
            if node.set_tags(now(), tags).is_err() {
                warning!("tags were refused");
            }
        }
        Command::Inspect(look) => look(node),
        Command::Leave => {
            let _ = node.leave(now());
        }
    }
    None
}

/// Answers a query, or says that there is no answer.
fn answer(
    node: &mut Node<'_>,
    buffer: &mut [u8],
    query: EventId,
    answer: Option<Answer>,
) -> Result<(), QueryError> {
    match answer.and_then(|write| write(node, buffer)) {
        Some(len) => node.respond(now(), query, buffer.get(..len).unwrap_or_default()),
        None => node.decline(now(), query),
    }
}

/// Answers those that had no room. What is too late, or too long, is given up.
fn retry_answers(node: &mut Node<'_>, buffer: &mut [u8], answers: &mut Answers) {
    answers.retain(|(query, write)| answer(node, buffer, *query, *write) == Err(QueryError::Full));
}

enum Drained {
    Sleep(Instant),
    Left,
    /// A datagram did not leave: the socket has to be made anew.
    Wedged,
}

async fn drain(
    node: &mut Node<'_>,
    socket: &mut UdpSocket<'_>,
    datagram: &mut [u8],
    on_event: &mut impl AsyncFnMut(Event<'_>),
    on_query: &mut impl FnMut(&Question<'_>) -> Option<Answer>,
    answers: &mut Answers,
) -> Drained {
    loop {
        match node.poll(now(), &mut datagram[..DATAGRAM_MAX]) {
            Output::Datagram { to, bytes } => {
                // The interface speaks IPv4; members elsewhere are beyond it.
                let Some(to) = endpoint(to) else { continue };
                let sending = async {
                    let _ = socket.send_to(bytes, to).await;
                    socket.flush().await;
                };
                if with_timeout(SEND_PATIENCE, sending).await.is_err() {
                    debug!("a neighbour does not answer");
                    return Drained::Wedged;
                }
            }
            Output::Event(Event::Left) => return Drained::Left,
            Output::Event(Event::Query(question)) => {
                let (query, write) = (question.id, on_query(&question));
                match answer(node, datagram, query, write) {
                    Err(QueryError::Full) => _ = answers.push((query, write)),
                    Err(_) => warning!("an answer was refused"),
                    Ok(()) => {}
                }
            }
            #[cfg(feature = "seal")]
            Output::Event(Event::Keys(order, keys)) => {
                on_event(Event::Keys(order, keys)).await;
                if let Some(order) = order
                    && node.keys_kept(now(), order, Ok(true)).is_err()
                {
                    warning!("that the keys are kept could not be told");
                }
            }
            Output::Event(event) => on_event(event).await,
            Output::Sleep(until) => return Drained::Sleep(until),
        }
    }
}

/// Hands over what has arrived: so many datagrams, at most.
async fn take_arrived(
    node: &mut Node<'_>,
    socket: &mut UdpSocket<'_>,
    datagram: &mut [u8; DATAGRAM_MAX + 1],
    most: usize,
) {
    for _ in 0..most {
        if !socket.may_recv() {
            break;
        }
        socket.recv_from_with(|bytes, from| take_in(node, datagram, from.endpoint, bytes)).await;
    }
}

/// Copies a datagram out of the socket, as the node opens it in place. One that is too long is cut off, but stays too long: the
/// node refuses and counts it.
fn take_in(node: &mut Node<'_>, datagram: &mut [u8; DATAGRAM_MAX + 1], from: IpEndpoint, bytes: &[u8]) {
    let len = bytes.len().min(DATAGRAM_MAX + 1);
    datagram[..len].copy_from_slice(&bytes[..len]);
    let _ = node.handle(now(), Input::Datagram { from: address(from), bytes: &mut datagram[..len] });
}

fn endpoint(to: SocketAddr) -> Option<IpEndpoint> {
    match to {
        SocketAddr::V4(to) => Some(IpEndpoint::new(IpAddress::from(*to.ip()), to.port())),
        SocketAddr::V6(_) => None,
    }
}

fn address(from: IpEndpoint) -> SocketAddr {
    SocketAddr::new(from.addr.into(), from.port)
}

//! An Ethernet of our own between emulated boards and Linux processes, with faults from a seed.
//!
//! A [`Hub`] forwards frames between its ports: a QEMU `-netdev dgram`, which carries one frame per UDP datagram, or one
//! end of a veth pair, whose other end is a namespace's network. It learns addresses as a switch does, so a frame for one
//! is not everybody's work. On the way a frame may be dropped, delayed or duplicated, ports can be set apart or unplugged,
//! all at run time, and all counted.
//!
//! Needs no TAP, bridge, netem or iptables; for veth ports and namespaces the rights that
//! root has, and everyone inside of `unshare -Ur`.

mod namespace;
mod packet;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fleet_tests::rng::Rng;

pub use namespace::Namespace;
pub use packet::switch_offload_off;

/// Longest frame: a header of 14 bytes, 4 for a VLAN, 1,500 bytes.
const FRAME_MAX: usize = 1518;

/// What happens to a frame on its way to each of its receivers.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// Probability that it is lost.
    pub drop: f64,
    /// Probability that it comes twice.
    pub duplicate: f64,
    /// How long it takes; one that takes longer than the next is overtaken.
    pub delay: Range<Duration>,
}

impl Faults {
    /// Every frame arrives, once and at once.
    pub const NONE: Faults = Faults { drop: 0.0, duplicate: 0.0, delay: Duration::ZERO..Duration::ZERO };

    /// Loses frames with this probability.
    pub fn drop(probability: f64) -> Faults {
        Faults { drop: probability, ..Faults::NONE }
    }
}

/// What has happened so far, counted per receiver of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Handed to a port.
    pub forwarded: u64,
    /// Lost by [`Faults::drop`].
    pub dropped: u64,
    /// Sent once more by [`Faults::duplicate`].
    pub duplicated: u64,
    /// Held back by [`Faults::delay`].
    pub delayed: u64,
    /// Stopped by a partition or an unplugged cable.
    pub cut: u64,
}

/// A socket of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(usize);

/// A running hub; it ends when dropped.
#[derive(Debug)]
pub struct Hub {
    state: Arc<Mutex<State>>,
    waker: UdpSocket,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    /// A hub without ports. Its faults follow from the seed and the order in which frames come.
    ///
    /// # Errors
    /// If the machine gives it no loopback socket.
    pub fn new(seed: u64) -> io::Result<Hub> {
        let (woken, waker) = (loopback()?, loopback()?);
        waker.connect(woken.local_addr()?)?;
        let state = Arc::new(Mutex::new(State::new(seed)));
        let shared = Arc::clone(&state);
        let thread = thread::Builder::new().name("hub".into()).spawn(move || run(&shared, &woken))?;
        Ok(Hub { state, waker, thread: Some(thread) })
    }

    /// A port for a QEMU that is started, now or later and any number of times, with the `-netdev` value
    /// `dgram,id=ID,` and what is returned.
    ///
    /// # Errors
    /// If no loopback port is free.
    pub fn port_dgram(&self) -> io::Result<(Port, String)> {
        let socket = loopback()?;
        let ours = socket.local_addr()?;
        // Whoever has a number at 127.0.0.1 has it at this address too: the system gives nobody else this one.
        let remote = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), ours.port()));
        let end = |side, end: SocketAddr| {
            format!("{side}.type=inet,{side}.host={},{side}.port={}", end.ip(), end.port())
        };
        let netdev = format!("{},{}", end("local", remote), end("remote", ours));
        Ok((self.add(Link::Datagrams { socket, remote }), netdev))
    }

    /// A port at the end of a veth pair, which must be up.
    ///
    /// # Errors
    /// If there is no such interface, or no right to open packet sockets.
    pub fn port_veth(&self, interface: &str) -> io::Result<Port> {
        Ok(self.add(Link::Packets(packet::open(interface)?)))
    }

    /// From now on.
    pub fn faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Sets groups of ports apart from each other; those in no group are one more.
    pub fn partition(&self, groups: &[&[Port]]) {
        let mut state = self.state();
        for socket in &mut state.sockets {
            socket.group = 0;
        }
        for (group, ports) in groups.iter().enumerate() {
            for port in *ports {
                state.sockets[port.0].group = group + 1;
            }
        }
    }

    /// Ends the partition.
    pub fn heal(&self) {
        self.partition(&[]);
    }

    /// Pulls a port's cable, or plugs it in again. Its owner does not see a link going down.
    pub fn plug(&self, port: Port, plugged: bool) {
        self.state().sockets[port.0].plugged = plugged;
    }

    /// Hands bytes of any kind to a port, as a frame, without faults.
    ///
    /// # Panics
    /// Without bytes: QEMU takes an empty datagram for the end of its connection.
    pub fn inject(&self, port: Port, frame: &[u8]) {
        assert!(!frame.is_empty(), "a frame has bytes");
        self.state().send(port.0, frame);
    }

    /// Keeps a copy of every frame from now on.
    pub fn record(&self) {
        self.state().recorded = Some(Vec::new());
    }

    /// Ends it: the frames as they came in, before any fault.
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        self.state().recorded.take().unwrap_or_default()
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        self.state().counters
    }

    fn add(&self, link: Link) -> Port {
        let mut state = self.state();
        state.sockets.push(Arc::new(link).into());
        let port = Port(state.sockets.len() - 1);
        drop(state);
        self.wake();
        port
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the hub's thread does not panic")
    }

    fn wake(&self) {
        // Fails only if so many wait that the thread is being woken anyway.
        let _ = self.waker.send(&[0]);
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state.lock() {
            state.ended = true;
        }
        self.wake();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn loopback() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The ways a frame comes and goes.
#[derive(Debug)]
enum Link {
    Datagrams { socket: UdpSocket, remote: SocketAddr },
    Packets(File),
}

impl Link {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Link::Datagrams { socket, .. } => socket.as_fd(),
            Link::Packets(file) => file.as_fd(),
        }
    }

    /// A waiting frame's length.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Datagrams { socket, .. } => socket.recv(buffer),
            Link::Packets(file) => (&mut &*file).read(buffer),
        }
    }

    fn send(&self, frame: &[u8]) -> io::Result<usize> {
        match self {
            Link::Datagrams { socket, remote } => socket.send_to(frame, remote),
            Link::Packets(file) => (&mut &*file).write(frame),
        }
    }
}

#[derive(Debug)]
struct Socket {
    link: Arc<Link>,
    group: usize,
    plugged: bool,
}

impl From<Arc<Link>> for Socket {
    fn from(link: Arc<Link>) -> Socket {
        Socket { link, group: 0, plugged: true }
    }
}

/// A frame on its way: in the order of arrival, among equals in that of sending.
type Delayed = Reverse<(Instant, u64, usize, Vec<u8>)>;

#[derive(Debug)]
struct State {
    sockets: Vec<Socket>,
    addresses: HashMap<[u8; 6], usize>,
    faults: Faults,
    rng: Rng,
    delayed: BinaryHeap<Delayed>,
    counters: Counters,
    recorded: Option<Vec<Vec<u8>>>,
    ended: bool,
}

impl State {
    fn new(seed: u64) -> State {
        State {
            sockets: Vec::new(),
            addresses: HashMap::new(),
            faults: Faults::NONE,
            rng: Rng::new(seed),
            delayed: BinaryHeap::new(),
            counters: Counters::default(),
            recorded: None,
            ended: false,
        }
    }

    /// Brings a frame on its way to whom it is for.
    fn forward(&mut self, from: usize, frame: &[u8]) {
        if let Some(recorded) = &mut self.recorded {
            recorded.push(frame.to_vec());
        }
        let Some((destination, rest)) = frame.split_first_chunk::<6>() else { return };
        if let Some(source) = rest.first_chunk::<6>() {
            self.addresses.insert(*source, from);
        }
        match self.addresses.get(destination) {
            Some(to) if *to == from => {}
            Some(to) => self.transmit(from, *to, frame),
            None => {
                (0..self.sockets.len()).filter(|to| *to != from).for_each(|to| self.transmit(from, to, frame))
            }
        }
    }

    fn transmit(&mut self, from: usize, to: usize, frame: &[u8]) {
        let (source, target) = (&self.sockets[from], &self.sockets[to]);
        if source.group != target.group || !source.plugged || !target.plugged {
            self.counters.cut += 1;
            return;
        }
        if self.rng.chance(self.faults.drop) {
            self.counters.dropped += 1;
            return;
        }
        let twice = self.rng.chance(self.faults.duplicate);
        self.counters.duplicated += u64::from(twice);
        for _ in 0..1 + u8::from(twice) {
            if self.faults.delay.is_empty() {
                self.send(to, frame);
                continue;
            }
            let nanoseconds =
                self.rng.range(nanoseconds(self.faults.delay.start)..nanoseconds(self.faults.delay.end));
            let due = Instant::now() + Duration::from_nanos(nanoseconds);
            self.counters.delayed += 1;
            self.delayed.push(Reverse((due, self.counters.delayed, to, frame.to_vec())));
        }
    }

    fn send(&mut self, to: usize, frame: &[u8]) {
        // Nobody there, or no room: a real cable does not tell either.
        if self.sockets[to].link.send(frame).is_ok() {
            self.counters.forwarded += 1;
        }
    }

    /// Sends what is due; how long until the next is.
    fn send_due(&mut self) -> Option<Duration> {
        let now = Instant::now();
        while let Some(Reverse((due, ..))) = self.delayed.peek() {
            if *due > now {
                return Some(*due - now);
            }
            if let Some(Reverse((_, _, to, frame))) = self.delayed.pop() {
                self.send(to, &frame);
            }
        }
        None
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// The hub's thread: waits for frames, for those that are due, and for changes.
fn run(shared: &Mutex<State>, woken: &UdpSocket) {
    let mut frame = [0; FRAME_MAX];
    loop {
        let mut state = shared.lock().expect("nobody panics while holding it");
        if state.ended {
            return;
        }
        let wait = state.send_due();
        let links: Vec<_> = state.sockets.iter().map(|socket| Arc::clone(&socket.link)).collect();
        drop(state);

        let descriptors: Vec<_> = links.iter().map(|link| link.fd()).chain([woken.as_fd()]).collect();
        packet::wait(&descriptors, wait);

        while woken.recv(&mut frame).is_ok() {}
        let mut state = shared.lock().expect("nobody panics while holding it");
        for (from, link) in links.iter().enumerate() {
            while let Ok(length) = link.receive(&mut frame) {
                state.forward(from, &frame[..length]);
            }
        }
    }
}

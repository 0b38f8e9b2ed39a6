//! The fleet: nodes, virtual time, and the order of everything that happens.

use std::collections::BinaryHeap;
use std::net::SocketAddr;

use serf_nostd::{Config, Event, Identity, Input, Instant, MemberChange, Node, Output, Status};

use crate::memory;
pub use crate::memory::Size;
use crate::network::Network;
use crate::rng::Rng;
use crate::wire::{addr, machine};

/// What an application saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A user event.
    User {
        /// Lamport time and origin.
        id: (u64, u64),
        /// Its name.
        name: Vec<u8>,
        /// Its payload.
        payload: Vec<u8>,
        /// Whether it could be coalesced.
        coalesce: bool,
    },
    /// A change of a member.
    Member {
        /// What has happened to it.
        change: MemberChange,
        /// Its name.
        name: String,
        /// Which machine is at its address; `usize::MAX` if none is.
        at: usize,
        /// What it is now.
        status: Status,
        /// Its tags, encoded.
        tags: Vec<u8>,
    },
    /// A join was answered.
    Joined,
    /// A join was not answered.
    JoinFailed,
    /// The node's name is taken.
    NameTaken,
    /// The node has left.
    Left,
}

/// A simulated machine: its node, and what survives a reboot.
pub struct Machine {
    node: Option<Node<'static>>,
    size: Size,
    /// When its loop wakes up next; `u64::MAX` when it is off or frozen.
    wake: u64,
    /// Its clock is this much ahead (microseconds).
    skew: u64,
    frozen_until: u64,
    /// Datagrams that wait while it is frozen.
    backlog: Vec<(usize, Vec<u8>)>,
    /// It forgets its boot number with everything else: each boot is its first.
    pub forgetful: bool,
    /// How often it has booted; its node's boot number.
    pub boots: u64,
    /// The event clock when it last ran: what a device would keep in flash.
    pub floor: u64,
    /// Its application takes no events for now.
    pub deaf: bool,
    name: String,
    /// Bytes and datagrams it has sent.
    pub sent: (u64, u64),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Wake(usize),
    Packet { to: usize, from: usize, bytes: Vec<u8> },
}

/// The queue's order: earliest first, then in the order of arrival in the queue.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due(std::cmp::Reverse<(u64, u64)>, What);

/// Who hears what applications see: node, boot, time, what.
pub type Watcher<'w> = dyn FnMut(usize, u64, u64, Seen) + 'w;

/// A fleet under virtual time. All times are microseconds since its start.
pub struct Fleet {
    /// The machines.
    pub machines: Vec<Machine>,
    /// What carries their datagrams.
    pub network: Network,
    /// Timing of nodes that boot from now on.
    pub config: Config,
    now: u64,
    queue: BinaryHeap<Due>,
    order: u64,
    /// How many things have happened.
    pub steps: u64,
    rng: Rng,
    /// Every datagram that was handed to the network (who sent it, to whom), while there is a place for it.
    pub recording: Option<Vec<(usize, usize, Vec<u8>)>>,
    /// Walk all invariants of a node after every so many of its steps; 0: never.
    pub check_every: u64,
    tx: Vec<u8>,
}

impl Fleet {
    /// What machine number `i` is called.
    pub fn name(i: usize) -> String {
        format!("node-{i}")
    }

    /// `count` machines, all off.
    pub fn new(seed: u64, count: usize, size: Size, config: Config) -> Fleet {
        let machines = (0..count).map(|i| Machine {
            node: None,
            size,
            wake: u64::MAX,
            skew: 0,
            frozen_until: 0,
            backlog: Vec::new(),
            forgetful: false,
            boots: 0,
            floor: 0,
            deaf: false,
            name: Fleet::name(i),
            sent: (0, 0),
        });
        Fleet {
            machines: machines.collect(),
            network: Network::new(seed, count),
            config,
            now: 0,
            queue: BinaryHeap::new(),
            order: 0,
            steps: 0,
            rng: Rng::new(seed ^ 0x666c_6565),
            recording: None,
            check_every: 0,
            tx: vec![0; serf_nostd::DATAGRAM_MAX],
        }
    }

    /// Virtual time.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The address of a machine.
    pub fn address(&self, i: usize) -> SocketAddr {
        addr(i as u32)
    }

    /// Gives one machine other capacities; to be called while it is off.
    pub fn resize(&mut self, i: usize, size: Size) {
        assert!(self.machines[i].node.is_none());
        self.machines[i].size = size;
    }

    fn local(&self, i: usize) -> Instant {
        Instant::from_micros(self.now + self.machines[i].skew)
    }

    /// Switches a machine on, with these machines as seeds. `remembers`: its floor survived.
    pub fn boot(&mut self, i: usize, seeds: &[usize], remembers: bool, watch: &mut Watcher) {
        assert!(self.machines[i].node.is_none(), "already on");
        let seed = self.rng.bits();
        let machine = &mut self.machines[i];
        machine.boots += 1;
        machine.skew = seed % 1_000_000_000;
        machine.frozen_until = 0;
        machine.backlog.clear();
        let event_floor = if remembers { machine.floor } else { 0 };
        let config = Config { event_floor, ..self.config.clone() };
        let identity = Identity {
            name: &machine.name.clone(),
            addr: addr(i as u32),
            boot: if machine.forgetful { 1 } else { machine.boots },
            tags: &[],
            versions: Identity::VERSIONS,
        };
        let now = self.local(i);
        let node = Node::new(memory::take(self.machines[i].size), config, identity, seed, now);
        let mut node = node.expect("the simulator's sizes fit");
        let seeds: Vec<SocketAddr> = seeds.iter().filter(|s| **s != i).map(|s| addr(*s as u32)).collect();
        node.start(now, &seeds);
        self.machines[i].node = Some(node);
        self.drain(i, watch);
    }

    /// Pulls a machine's plug.
    pub fn crash(&mut self, i: usize) {
        let machine = &mut self.machines[i];
        if let Some(node) = machine.node.take() {
            machine.floor = node.levels().event_time - 1;
            memory::put_back(machine.size, node.release());
        }
        machine.wake = u64::MAX;
    }

    /// Stops a machine for a while, as SIGSTOP does: its datagrams wait.
    pub fn freeze(&mut self, i: usize, span: u64) {
        let until = self.now + span;
        self.machines[i].frozen_until = until;
        self.push(until, What::Wake(i));
    }

    /// The node of a machine that is on.
    pub fn node(&self, i: usize) -> Option<&Node<'static>> {
        self.machines[i].node.as_ref()
    }

    /// Whether a machine is on.
    pub fn is_on(&self, i: usize) -> bool {
        self.machines[i].node.is_some()
    }

    /// Whether a machine is frozen.
    pub fn is_frozen(&self, i: usize) -> bool {
        self.machines[i].frozen_until > self.now
    }

    /// Lets something be done to a node, then drains it. `None` if it is off or frozen.
    pub fn with<R>(
        &mut self,
        i: usize,
        watch: &mut Watcher,
        act: impl FnOnce(&mut Node<'static>, Instant) -> R,
    ) -> Option<R> {
        if self.is_frozen(i) {
            return None;
        }
        let now = self.local(i);
        let result = act(self.machines[i].node.as_mut()?, now);
        self.drain(i, watch);
        Some(result)
    }

    fn push(&mut self, at: u64, what: What) {
        self.order += 1;
        self.queue.push(Due(std::cmp::Reverse((at, self.order)), what));
    }

    /// Puts a datagram of an attacker's on its way to a machine.
    pub fn inject(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        self.push(self.now + 1, What::Packet { to, from, bytes });
    }

    fn drain(&mut self, i: usize, watch: &mut Watcher) {
        let now = self.local(i);
        let (real, deaf) = (self.now, self.machines[i].deaf);
        let mut tx = std::mem::take(&mut self.tx);
        while let Machine { node: Some(node), boots, skew, .. } = &mut self.machines[i] {
            let (boots, skew) = (*boots, *skew);
            node.take_events(!deaf);
            match node.poll(now, &mut tx) {
                Output::Datagram { to, bytes } => {
                    let (to, bytes) = (machine(to), bytes.to_vec());
                    self.machines[i].sent.0 += bytes.len() as u64 + 28;
                    self.machines[i].sent.1 += 1;
                    if to < self.machines.len() {
                        if let Some(recording) = &mut self.recording {
                            recording.push((i, to, bytes.clone()));
                        }
                        for at in self.network.carry(real, i, to).into_iter().flatten() {
                            self.push(at, What::Packet { to, from: i, bytes: bytes.clone() });
                        }
                    }
                }
                Output::Event(event) => {
                    let seen = match event {
                        Event::User(event) => Seen::User {
                            id: (event.id.ltime, event.id.origin),
                            name: event.name.to_vec(),
                            payload: event.payload.to_vec(),
                            coalesce: event.coalesce,
                        },
                        Event::Member(change, member) => Seen::Member {
                            change,
                            name: member.name.to_string(),
                            at: machine(member.addr),
                            status: member.status,
                            tags: member.tags.to_vec(),
                        },
                        Event::Joined(_) => Seen::Joined,
                        Event::JoinFailed(_) => Seen::JoinFailed,
                        Event::NameTaken(_) => Seen::NameTaken,
                        Event::Left => Seen::Left,
                    };
                    watch(i, boots, real, seen);
                }
                Output::Sleep(until) => {
                    let until = until.as_micros().saturating_sub(skew);
                    if until != self.machines[i].wake && until < u64::MAX / 2 {
                        self.machines[i].wake = until;
                        self.push(until.max(real), What::Wake(i));
                    }
                    if self.check_every > 0
                        && self.steps.is_multiple_of(self.check_every)
                        && let Some(node) = &mut self.machines[i].node
                    {
                        node.check();
                    }
                    break;
                }
            }
        }
        self.tx = tx;
    }

    /// Runs for a span of virtual time.
    pub fn run(&mut self, span: u64, watch: &mut Watcher) {
        let end = self.now + span;
        while let Some(Due(std::cmp::Reverse((at, _)), _)) = self.queue.peek() {
            if *at > end {
                break;
            }
            let Some(Due(std::cmp::Reverse((at, _)), what)) = self.queue.pop() else { break };
            self.now = at.max(self.now);
            self.steps += 1;
            match what {
                What::Wake(i) if self.is_frozen(i) => {}
                What::Wake(i) => {
                    let thawed = self.machines[i].frozen_until == self.now;
                    if thawed {
                        for (from, bytes) in std::mem::take(&mut self.machines[i].backlog) {
                            self.receive(i, from, &bytes, watch);
                        }
                    }
                    if thawed || self.machines[i].wake <= self.now {
                        self.machines[i].wake = u64::MAX;
                        self.drain(i, watch);
                    }
                }
                What::Packet { to, from, bytes } => {
                    if self.is_frozen(to) {
                        if self.machines[to].backlog.len() < 256 {
                            self.machines[to].backlog.push((from, bytes));
                        }
                    } else {
                        self.receive(to, from, &bytes, watch);
                        self.drain(to, watch);
                    }
                }
            }
        }
        self.now = end;
    }

    fn receive(&mut self, to: usize, from: usize, bytes: &[u8], watch: &mut Watcher) {
        let now = self.local(to);
        if let Some(node) = &mut self.machines[to].node {
            // What is refused is counted by the node; only attackers' datagrams are.
            let _ = node.handle(now, Input::Datagram { from: addr(from as u32), bytes });
            if node.levels().waiting > 0 {
                self.drain(to, watch);
            }
        }
    }

    /// What `viewer` believes about `subject`.
    pub fn status(&self, viewer: usize, subject: usize) -> Option<Status> {
        self.node(viewer)?.member(&self.machines[subject].name).map(|member| member.status)
    }

    /// Whether all machines that are on see each other alive, and nobody else.
    pub fn agreed(&self) -> bool {
        let on: Vec<usize> = (0..self.machines.len()).filter(|i| self.is_on(*i)).collect();
        on.iter().all(|viewer| {
            self.node(*viewer).is_some_and(|node| node.live() == on.len())
                && on.iter().all(|subject| self.status(*viewer, *subject) == Some(Status::Alive))
        })
    }

    /// Switches everything on (the first machine is everybody's seed) and runs until all agree, for a minute at most.
    pub fn assemble(&mut self, watch: &mut Watcher) {
        for i in 0..self.machines.len() {
            self.boot(i, &[0], false, watch);
            if i % 50 == 49 {
                self.run(100_000, watch);
            }
        }
        for _ in 0..60 {
            self.run(1_000_000, watch);
            if self.agreed() {
                return;
            }
        }
        panic!("the fleet did not come together within a minute");
    }

    /// Sums a counter over all machines that are on.
    pub fn total(&self, counter: impl Fn(&serf_nostd::Stats) -> u64) -> u64 {
        self.machines.iter().filter_map(|m| m.node.as_ref()).map(|node| counter(node.stats())).sum()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for i in 0..self.machines.len() {
            self.crash(i);
        }
    }
}

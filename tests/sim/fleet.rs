//! The fleet: nodes, virtual time, and the order of everything that happens.

use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;

use serf_nostd::rules::Rule;
use serf_nostd::wire::message::EventId;
use serf_nostd::{Ask, Config, Identity, Input, Instant, Key, Node, Output, QueryError};

use crate::clock::Clock;
use crate::machine::{Kept, Machine, PORT};
use crate::memory;
pub use crate::memory::Size;
use crate::network::Network;
use crate::refusals::QUOTED;
use crate::rng::Rng;
pub use crate::seen::Seen;
use crate::transcript::Transcript;
use crate::wire::{addr, machine};

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Wake(usize),
    /// A machine is done with the datagram that it works on.
    Served(usize),
    Packet {
        to: usize,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    /// A datagram comes to a host that does not take it.
    Rejected {
        host: usize,
        sender: usize,
        bytes: Vec<u8>,
    },
    /// A host's word for that comes back.
    Refusal {
        to: usize,
        by: SocketAddr,
        quoted: Vec<u8>,
    },
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
    /// The key of nodes that boot from now on.
    pub key: Option<Key>,
    /// A rule that their nodes do not keep.
    pub without: Option<Rule>,
    now: u64,
    queue: BinaryHeap<Due>,
    order: u64,
    /// How many things have happened.
    pub steps: u64,
    rng: Rng,
    /// What drivers do wrong, and when.
    slips: Rng,
    /// Whose an address is, beside those that machines had at first.
    routes: BTreeMap<SocketAddr, usize>,
    /// Addresses where nobody is any more, and whose host says so: this machine's, as far as limits go.
    pub abandoned: BTreeMap<SocketAddr, usize>,
    /// Every datagram that was handed to the network (who sent it, to whom), while there is a place for it.
    pub recording: Option<Vec<(usize, usize, Vec<u8>)>>,
    /// What all nodes have put out.
    pub transcript: Transcript,
    /// Walk all invariants of a node after every so many of its steps; 0: never.
    pub check_every: u64,
    /// What nodes write their datagrams into: at most as much as they ever fill.
    pub tx: Vec<u8>,
}

impl Fleet {
    /// What machine number `i` is called.
    pub fn name(i: usize) -> String {
        format!("node-{i}")
    }

    /// `count` machines, all off.
    pub fn new(seed: u64, count: usize, size: Size, config: Config) -> Fleet {
        let machine = |i| Machine::new(Fleet::name(i), addr(i as u32), size, config.clone());
        let machines = (0..count).map(machine).collect();
        Fleet {
            machines,
            network: Network::new(seed, count),
            config,
            key: None,
            without: None,
            now: 0,
            queue: BinaryHeap::new(),
            order: 0,
            steps: 0,
            rng: Rng::new(seed ^ 0x666c_6565),
            slips: Rng::new(seed ^ 0x736c_6970),
            routes: BTreeMap::new(),
            abandoned: BTreeMap::new(),
            recording: None,
            transcript: Transcript::default(),
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
        self.machines[i].home
    }

    /// Gives a machine another address; if it is on its node is to be told. Nobody is at the old one any more.
    pub fn move_to(&mut self, i: usize, home: SocketAddr) {
        self.routes.remove(&self.machines[i].home);
        self.machines[i].home = home;
        self.routes.insert(home, i);
    }

    /// Another address at which a machine is reached, too.
    pub fn alias(&mut self, i: usize, alias: SocketAddr) {
        self.routes.insert(alias, i);
    }

    /// Gives a machine another name; to be called while it is off.
    pub fn rename(&mut self, i: usize, name: &str) {
        assert!(self.machines[i].node.is_none());
        self.machines[i].name = name.to_string();
    }

    /// Whose an address is.
    pub fn at(&self, addr: SocketAddr) -> Option<usize> {
        let addr = SocketAddr::new(addr.ip(), PORT);
        let first = machine(addr);
        let still = self.machines.get(first).is_some_and(|machine| machine.home == addr);
        if still { Some(first) } else { self.routes.get(&addr).copied() }
    }

    /// Who gets a datagram that is sent to this address now.
    pub fn reached(&self, to: SocketAddr) -> Option<usize> {
        let i = self.at(to)?;
        let open = match &self.machines[i].nat {
            Some(nat) => nat.inward(self.now, to.port()),
            None => to.port() == PORT,
        };
        open.then_some(i)
    }

    /// Gives one machine other capacities; to be called while it is off.
    pub fn resize(&mut self, i: usize, size: Size) {
        assert!(self.machines[i].node.is_none());
        self.machines[i].size = size;
    }

    fn local(&self, i: usize) -> Instant {
        Instant::from_micros(self.machines[i].clock.at(self.now))
    }

    /// Switches a machine on, with these machines as seeds. `remembers`: its floor survived.
    pub fn boot(&mut self, i: usize, seeds: &[usize], remembers: bool, watch: &mut Watcher) {
        let seeds: Vec<SocketAddr> = seeds.iter().filter(|s| **s != i).map(|s| self.address(*s)).collect();
        let floor = if remembers { self.machines[i].floor } else { 0 };
        self.boot_at(i, &seeds, floor, watch);
    }

    /// Switches a machine on, with seeds at these addresses, whoever is there, and this floor.
    pub fn boot_at(&mut self, i: usize, seeds: &[SocketAddr], event_floor: u64, watch: &mut Watcher) {
        self.machines[i].kept = Kept::default();
        self.boot_with(i, seeds, event_floor, false, watch);
    }

    /// Switches a machine on that knows again what its application was handed before its end.
    pub fn boot_again(&mut self, i: usize, seeds: &[usize], watch: &mut Watcher) {
        let seeds: Vec<SocketAddr> = seeds.iter().filter(|s| **s != i).map(|s| self.address(*s)).collect();
        self.boot_with(i, &seeds, 0, true, watch);
    }

    fn boot_with(
        &mut self,
        i: usize,
        seeds: &[SocketAddr],
        event_floor: u64,
        recalls: bool,
        watch: &mut Watcher,
    ) {
        assert!(self.machines[i].node.is_none(), "already on");
        let seed = self.rng.bits();
        let machine = &mut self.machines[i];
        machine.boots += 1;
        // As a program's own time, or a board's.
        machine.clock = Clock::begin(self.now);
        machine.frozen_until = 0;
        machine.inbox.clear();
        machine.served = u64::MAX;
        machine.fleets.clear();
        machine.companies.clear();
        machine.questions.clear();
        machine.profile = Config { event_floor, ..self.config.clone() };
        let identity = Identity {
            name: &machine.name,
            addr: machine.home,
            boot: machine.boot_number(),
            instance: machine.instance.unwrap_or(seed as u16),
            tags: &machine.tags,
            versions: Identity::VERSIONS,
        };
        let now = Instant::from_micros(machine.clock.at(self.now));
        let (memory, config) = (memory::take(machine.size), machine.profile.clone());
        let node = Node::without(self.without, memory, config, identity, seed, now);
        let mut node = node.expect("the simulator's sizes fit");
        let keys = if machine.keys.is_empty() { self.key.as_slice() } else { &machine.keys };
        for key in keys {
            node.install_key(key).expect("there is room for what it has kept");
        }
        if recalls {
            machine.kept.recall(&mut node, now);
        }
        node.start(now, seeds);
        machine.node = Some(node);
        self.drain(i, watch);
    }

    /// Kills a machine's program: its system goes on.
    pub fn kill(&mut self, i: usize) {
        self.crash(i);
        self.machines[i].refuses = true;
    }

    /// Ends a machine's program, which says so before.
    pub fn terminate(&mut self, i: usize) {
        let mut tx = [0; serf_nostd::DATAGRAM_MAX];
        if let Some(node) = &mut self.machines[i].node {
            let (len, to) = node.last_words(&mut tx);
            for to in to.into_iter().flatten() {
                self.send(i, to, tx[..len].to_vec());
            }
        }
        self.kill(i);
    }

    /// Pulls a machine's plug.
    pub fn crash(&mut self, i: usize) {
        let machine = &mut self.machines[i];
        machine.refuses = false;
        if let Some(node) = machine.node.take() {
            machine.floor = node.gauges().event_time - 1;
            machine.kept.end(&node);
            memory::put_back(machine.size, node.release());
        }
        machine.wake = u64::MAX;
        machine.deadline = u64::MAX;
        machine.served = u64::MAX;
        machine.inbox.clear();
    }

    /// Stops a machine for a while, as SIGSTOP does: its datagrams wait.
    pub fn freeze(&mut self, i: usize, span: u64) {
        let until = self.now + span;
        self.machines[i].frozen_until = until;
        self.push(until, What::Wake(i));
    }

    /// Changes a machine's clock: its rate (see [`Clock::go`]), or what it shows (see [`Clock::jump`]).
    pub fn set_clock(&mut self, i: usize, change: impl FnOnce(&mut Clock, u64)) {
        let machine = &mut self.machines[i];
        change(&mut machine.clock, self.now);
        if machine.node.is_some() {
            machine.wake = machine.clock.when(machine.deadline).max(self.now);
            if machine.wake < u64::MAX / 2 {
                let wake = machine.wake;
                self.push(wake, What::Wake(i));
            }
        }
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

    /// Lets a node ask the fleet, and keeps an eye on whom it has to wait for. `None` if it is off or frozen.
    pub fn ask(
        &mut self,
        i: usize,
        watch: &mut Watcher,
        ask: &Ask<'_>,
    ) -> Option<Result<EventId, QueryError>> {
        if self.is_frozen(i) {
            return None;
        }
        let now = self.local(i);
        let Machine { node, questions, .. } = &mut self.machines[i];
        let asked = questions.ask(node.as_mut()?, now, ask);
        self.drain(i, watch);
        Some(asked)
    }

    fn push(&mut self, at: u64, what: What) {
        self.order += 1;
        self.queue.push(Due(std::cmp::Reverse((at, self.order)), what));
    }

    /// Puts a datagram of an attacker's on its way to a machine.
    pub fn inject(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        self.inject_from(addr(from as u32), to, bytes);
    }

    /// Puts a datagram of an attacker's, who calls himself as he likes, on its way to a machine.
    pub fn inject_from(&mut self, from: SocketAddr, to: usize, bytes: Vec<u8>) {
        self.push(self.now + 1, What::Packet { to, from, bytes });
    }

    /// Puts a word of a host's that it refuses something on its way to a machine, whoever sends it.
    pub fn inject_refusal(&mut self, to: usize, by: SocketAddr, quoted: Vec<u8>) {
        self.push(self.now + 1, What::Refusal { to, by, quoted });
    }

    /// Something has come in: the driver drains the node, at once if it is prompt.
    fn settle(&mut self, i: usize, watch: &mut Watcher) {
        let machine = &mut self.machines[i];
        if machine.driver.late == 0 {
            return self.drain(i, watch);
        }
        let at = self.now + self.slips.below(machine.driver.late);
        if machine.node.is_some() && at < machine.wake {
            machine.wake = at;
            machine.late += 1;
            self.push(at, What::Wake(i));
        }
    }

    fn drain(&mut self, i: usize, watch: &mut Watcher) {
        let now = self.local(i);
        let (real, deaf) = (self.now, self.machines[i].deaf);
        let mut tx = std::mem::take(&mut self.tx);
        while let Machine { node: Some(node), boots, questions, keys, kept, .. } = &mut self.machines[i] {
            let boots = *boots;
            self.transcript.number(i as u64);
            node.set_app_ready(!deaf);
            questions.look(node);
            match node.poll(now, &mut tx) {
                Output::Datagram { to, bytes } => {
                    self.transcript.addr(to);
                    self.transcript.bytes(bytes);
                    let bytes = bytes.to_vec();
                    self.send(i, to, bytes);
                }
                Output::Event(event) => {
                    kept.note(&event);
                    let (mut seen, home) = Seen::of(event);
                    match &mut seen {
                        Seen::Asked { id, name, payload, tags } => {
                            let this = node.this();
                            tags.extend_from_slice(this.tags);
                            let answer = [this.name.as_bytes(), payload].concat();
                            let _ = match name.as_str() {
                                "silent" => Ok(()),
                                "none" => node.decline(now, *id),
                                _ => node.respond(now, *id, &answer),
                            };
                        }
                        Seen::QueryDone(id) => questions.end(*id, now, node),
                        Seen::Keys(order) => {
                            *keys = node.keys().cloned().collect();
                            let _ = order.map(|order| node.keys_kept(now, order, Ok(true)));
                        }
                        Seen::Member { at, .. } => {
                            *at = home.and_then(|home| self.at(home)).unwrap_or(usize::MAX);
                        }
                        _ => {}
                    }
                    self.transcript.bytes(format!("{seen:?}").as_bytes());
                    watch(i, boots, real, seen);
                }
                Output::Sleep(until) => {
                    self.transcript.number(until.as_micros());
                    questions.look(node);
                    let machine = &mut self.machines[i];
                    machine.deadline = until.as_micros();
                    let mut until = machine.clock.when(machine.deadline);
                    if machine.driver.late > 0 {
                        until = until.saturating_add(self.slips.below(machine.driver.late));
                    }
                    if until != machine.wake && until < u64::MAX / 2 {
                        machine.wake = until;
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
                    if thawed && self.machines[i].service == 0 {
                        for (from, mut bytes) in std::mem::take(&mut self.machines[i].inbox) {
                            self.receive(i, from, &mut bytes, watch);
                        }
                    } else if thawed {
                        self.serve(i);
                    }
                    if thawed || self.machines[i].wake <= self.now {
                        self.machines[i].wake = u64::MAX;
                        self.drain(i, watch);
                    }
                }
                What::Served(i) if self.is_frozen(i) => self.machines[i].served = u64::MAX,
                What::Served(i) => {
                    if self.machines[i].served == self.now {
                        self.machines[i].served = u64::MAX;
                        if let Some((from, mut bytes)) = self.machines[i].inbox.pop_front() {
                            self.receive(i, from, &mut bytes, watch);
                            self.settle(i, watch);
                        }
                        self.serve(i);
                    }
                }
                What::Packet { to, from, mut bytes } => {
                    if let Some(until) = self.network.blocked(to, self.now) {
                        self.push(until, What::Packet { to, from, bytes });
                        continue;
                    }
                    let frozen = self.is_frozen(to);
                    if self.machines[to].node.is_none() {
                        let refuses = self.machines[to].refuses;
                        if let Some(sender) = self.at(from).filter(|_| refuses) {
                            self.refuse(to, sender, bytes);
                        }
                        continue;
                    }
                    let machine = &mut self.machines[to];
                    if !frozen && machine.service == 0 {
                        self.receive(to, from, &mut bytes, watch);
                        self.settle(to, watch);
                    } else if machine.inbox.len() < machine.places {
                        machine.inbox.push_back((from, bytes));
                        self.serve(to);
                    } else {
                        machine.overflowed += 1;
                    }
                }
                What::Rejected { host, sender, bytes } => self.refuse(host, sender, bytes),
                What::Refusal { to, by, quoted } => {
                    let now = self.local(to);
                    let frozen = self.is_frozen(to);
                    if let Some(node) = self.machines[to].node.as_mut().filter(|_| !frozen) {
                        let taken = node.handle(now, Input::Unreachable { to: by, quoted: &quoted });
                        taken.expect("nothing is refused of it");
                        self.settle(to, watch);
                    }
                }
            }
        }
        self.now = end;
    }

    /// Begins with the next datagram that waits, if the machine is free.
    fn serve(&mut self, i: usize) {
        let free = !self.is_frozen(i) && self.machines[i].served == u64::MAX;
        if free && !self.machines[i].inbox.is_empty() {
            let at = self.now + self.machines[i].service.max(1);
            self.machines[i].served = at;
            self.push(at, What::Served(i));
        }
    }

    /// What a node sends goes by its driver and its router onto the network.
    fn send(&mut self, i: usize, to: SocketAddr, bytes: Vec<u8>) {
        let now = self.now;
        let machine = &mut self.machines[i];
        if self.slips.chance(machine.driver.loses) {
            machine.unsent += 1;
            return;
        }
        machine.sent.0 += bytes.len() as u64 + 28;
        machine.sent.1 += 1;
        let mut from = machine.home;
        if let Some(nat) = &mut machine.nat {
            from.set_port(nat.outward(now));
        }
        let Some(to) = self.reached(to) else { return self.miss(i, to, bytes) };
        if let Some(recording) = &mut self.recording {
            recording.push((i, to, bytes.clone()));
        }
        if !self.network.fits(i, to, bytes.len()) {
            return;
        }
        let rejected = self.network.refusals.rejects(i, to);
        for at in self.network.carry(now, i, to).into_iter().flatten() {
            if rejected {
                self.push(at, What::Rejected { host: to, sender: i, bytes: bytes.clone() });
                continue;
            }
            self.push(at, What::Packet { to, from, bytes: bytes.clone() });
        }
    }

    /// Nobody is at this address, but for a host that says so, or a router.
    fn miss(&mut self, sender: usize, at: SocketAddr, mut bytes: Vec<u8>) {
        let router = || self.at(at).filter(|i| self.machines[*i].nat.is_some_and(|nat| nat.refuses));
        let Some(host) = self.abandoned.get(&at).copied().or_else(router) else { return };
        if self.network.refusals.may_say(self.now, host, sender) {
            bytes.truncate(QUOTED);
            let back = self.now + 2 * self.network.latency;
            self.push(back, What::Refusal { to: sender, by: at, quoted: bytes });
        }
    }

    /// A host does not take a datagram, and says so, if it has not said so too often. Not through routers that translate addresses.
    fn refuse(&mut self, host: usize, sender: usize, mut bytes: Vec<u8>) {
        let behind = [host, sender].iter().any(|i| self.machines[*i].nat.is_some());
        if behind || !self.network.refusals.may_say(self.now, host, sender) {
            return;
        }
        bytes.truncate(QUOTED);
        let by = self.address(host);
        for at in self.network.carry(self.now, host, sender).into_iter().flatten() {
            self.push(at, What::Refusal { to: sender, by, quoted: bytes.clone() });
        }
    }

    fn receive(&mut self, to: usize, from: SocketAddr, bytes: &mut [u8], watch: &mut Watcher) {
        let now = self.local(to);
        let machine = &mut self.machines[to];
        if let Some(node) = &mut machine.node {
            let alone = node.live() == 1;
            // What is refused is counted by the node; only attackers' datagrams are.
            let _ = node.handle(now, Input::Datagram { from, bytes });
            machine.questions.look(node);
            let levels = node.gauges();
            if levels.fleet != machine.fleets.last().map_or(0, |(_, fleet)| *fleet) {
                machine.fleets.push((self.now, levels.fleet));
            }
            if alone && node.live() > 1 {
                machine.companies.push((self.now, levels.fleet));
            }
            if levels.waiting > 0 {
                self.drain(to, watch);
            }
        }
    }

    /// Bytes (with UDP and IP heads) and datagrams that all machines have sent.
    pub fn sent(&self) -> (u64, u64) {
        self.machines.iter().fold((0, 0), |sum, machine| (sum.0 + machine.sent.0, sum.1 + machine.sent.1))
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

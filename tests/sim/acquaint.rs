//! A fleet in which everybody knows everybody. A large one comes to that without the storm of everybody's joining: each node
//! fetches the whole table in pages, as any joiner does, from a teller who knows the fleet as it will be.
//!
//! Nobody then has news for anybody. What the storm itself costs is measured by those who join the ordinary way.

use serf_nostd::{DATAGRAM_MAX, Identity, Input, Instant, Node, Output, Status};

use crate::fleet::{Fleet, Watcher};
use crate::wire::{addr, body, datagram, fleet, kind, machine, read, take};

/// Lamport time of everybody's joining: what a first join is stamped with if the answerer's clock shows it.
const JOINED: u64 = 1;
/// Nodes begin to probe within this many microseconds: less than a probe's timeout, for whom they probe may still be off.
const SPREAD: u64 = 400_000;
/// Everybody's boot as others see it: the first one, without an instance.
const FIRST_BOOT: u64 = 1 << 16;
/// The fleet that all are in.
const FLEET: u32 = 0xf1ee;
/// Bytes of a page before its records: outer layer, page with nonce and next.
const PAGE_HEAD: usize = 4 + 3 + 8;

impl Fleet {
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

    /// Switches everything on, with everybody knowing everybody.
    ///
    /// # Panics
    /// If somebody then does not.
    pub fn acquaint(&mut self, watch: &mut Watcher) {
        let count = self.machines.len();
        let pages = pages(count);
        let began = self.now();
        for i in 0..count {
            let due = began + SPREAD * i as u64 / count as u64;
            self.run(due - self.now(), watch);
            self.introduce(i, &pages, watch);
        }
    }

    /// Switches one machine on, which then knows everybody in these pages.
    ///
    /// # Panics
    /// If it then does not know as many as there are machines.
    pub fn introduce(&mut self, i: usize, pages: &[Vec<u8>], watch: &mut Watcher) {
        let count = self.machines.len();
        self.machines[i].instance = Some(0);
        self.boot(i, &[], false, watch);
        let seed = if i < 3 { (i + 1) % count } else { i % 3 };
        let mut others = Vec::new();
        self.with(i, watch, |node, now| others = fetch(node, now, seed, pages));
        for (to, bytes) in others {
            self.inject(i, to, bytes);
        }
        assert_eq!(self.node(i).map(Node::live), Some(count), "machine {i} knows everybody");
    }
}

/// The records of a whole fleet, as many in each page as fit.
pub fn pages(count: usize) -> Vec<Vec<u8>> {
    let mut pages = vec![Vec::new()];
    for i in 0..count {
        let record = body(kind::RECORD)
            .text(&Fleet::name(i))
            .addr(i as u32)
            .int(1)
            .int(FIRST_BOOT)
            .raw(&[1])
            .bytes(&[]);
        let record = record.raw(&Identity::VERSIONS).int(0).int(JOINED).int(0).end();
        let fits = pages.last().is_some_and(|page| PAGE_HEAD + page.len() + record.len() <= DATAGRAM_MAX);
        if !fits {
            pages.push(Vec::new());
        }
        pages.last_mut().expect("there is a page").extend(record);
    }
    pages
}

/// Joins through a machine in whose name the pages are told. Returns what else the node has sent, and to whom.
fn fetch(node: &mut Node, now: Instant, seed: usize, pages: &[Vec<u8>]) -> Vec<(usize, Vec<u8>)> {
    let seed = addr(seed as u32);
    node.join(now, seed, false).expect("a fresh node can join");
    let mut others = Vec::new();
    let mut tx = [0; DATAGRAM_MAX];
    loop {
        let (to, bytes) = match node.poll(now, &mut tx) {
            Output::Datagram { to, bytes } => (to, bytes.to_vec()),
            Output::Event(_) => continue,
            Output::Sleep(_) => return others,
        };
        let mut answer = None;
        for (kind, body) in read(&bytes).into_iter().filter(|_| to == seed) {
            let mut body = &body[..];
            let nonce = take(&mut body);
            match kind {
                kind::JOIN => answer = Some(datagram(&[fleet(FLEET), join_answer(nonce)])),
                kind::PAGE_REQUEST => {
                    let place = take(&mut body) as usize;
                    let next = if place + 1 < pages.len() { place + 1 } else { 0 };
                    answer = Some(datagram(&[page(nonce, next), pages[place].clone()]));
                }
                _ => {}
            }
        }
        match answer {
            Some(mut bytes) => {
                node.handle(now, Input::Datagram { from: seed, bytes: &mut bytes }).expect("well formed")
            }
            None => others.push((machine(to), bytes)),
        }
    }
}

fn join_answer(nonce: u64) -> Vec<u8> {
    body(kind::JOIN_ANSWER).int(nonce).int(JOINED).int(1).int(1).end()
}

/// The cursor of a page is its number: any order that grows will do.
fn page(nonce: u64, next: usize) -> Vec<u8> {
    body(kind::PAGE).raw(&(nonce as u32).to_le_bytes()).raw(&(next as u32).to_le_bytes()).end()
}

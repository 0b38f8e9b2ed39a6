use core::net::SocketAddr;

use heapless::Deque;
use serf_nostd::{
    Config, DATAGRAM_MAX, Duration, Event, Identity, Input, Instant, Memory, Node, Output, storage,
};

const NODES: usize = 3;
/// Time from one node to another.
const LATENCY: Duration = Duration::from_millis(1);
/// One datagram of so many is lost.
const LOST: u64 = 10;
/// Events that are not coalesced, by each node; and coalesced ones, by each of the first two.
const BLINKS: u8 = 5;
const LEDS: u8 = 4;

struct Flight {
    from: usize,
    to: usize,
    at: Instant,
    len: usize,
    bytes: [u8; DATAGRAM_MAX],
}

/// Places for the nodes themselves: large values, for which a board's stack has no room.
pub type Nodes<'s> = [Option<Node<'s>>; NODES];

type Storage = storage! {
    members: 4, seen: 56, coalesced: 4, in_flight: 4, queries: 1, name_bytes: 16, tag_bytes: 16, slot_bytes: 128
};

/// Memory for three nodes and the network between them, about 30 KiB.
pub struct Fleet {
    storages: [Storage; NODES],
    network: Network,
    tx: [u8; DATAGRAM_MAX],
}

struct Network {
    flying: Deque<Flight, 12>,
    /// Bits of which the lowest decide what is lost (xorshift).
    luck: u64,
    digest: u64,
    datagrams: u32,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Hash of all that was sent, lost and heard, with the times: equal wherever it runs.
    pub digest: u64,
    /// Datagrams sent.
    pub datagrams: u32,
}

/// What one node's application was told.
#[derive(Clone, Copy, Default)]
struct Heard {
    blinks: [u8; NODES],
    led: Option<u8>,
    led_calls: u8,
    failed: u8,
}

fn address(i: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + i as u8], 7946))
}

/// Makes a node in its place: a function of its own, so that no other's stack holds copies of the large value.
#[inline(never)]
fn make<'s, 'n>(
    place: &'n mut Option<Node<'s>>,
    memory: Memory<'s>,
    i: usize,
    boot: u64,
    now: Instant,
) -> Result<&'n mut Node<'s>, &'static str> {
    let (name, addr) = (["a", "b", "c"][i], address(i));
    let identity = Identity { name, addr, boot, instance: 0, tags: &[], versions: Identity::VERSIONS };
    let node = Node::new(memory, Config::DEVICE, identity, i as u64, now);
    Ok(place.insert(node.map_err(|_| "a node can't be made")?))
}

impl Fleet {
    /// Nothing has happened yet; all zeros.
    pub const fn new() -> Fleet {
        let network = Network { flying: Deque::new(), luck: 0, digest: 0, datagrams: 0 };
        Fleet { storages: [const { Storage::new() }; NODES], network, tx: [0; DATAGRAM_MAX] }
    }

    /// Three nodes meet over a network that loses one datagram of ten, fire events, lose one of them to a power cut and
    /// get it back.
    ///
    /// # Errors
    /// What did not come true.
    pub fn run<'s>(&'s mut self, nodes: &mut Nodes<'s>) -> Result<Verdict, &'static str> {
        let Fleet { storages: [a, b, c], network, tx } = self;
        *network =
            Network { flying: Deque::new(), luck: 0x5eed, digest: 0xcbf2_9ce4_8422_2325, datagrams: 0 };
        let mut heard = [Heard::default(); NODES];
        let mut now = Instant::ZERO;
        for (i, storage) in [a, b, c].into_iter().enumerate() {
            let memory = storage.memory();
            #[cfg(feature = "coordinates")]
            let memory = serf_nostd::Memory { coordinates: &mut [], ..memory };
            make(&mut nodes[i], memory, i, 1, now)?;
        }
        let mut world = World { nodes, network, tx, heard: &mut heard };

        for node in world.nodes[1..].iter_mut().flatten() {
            node.start(now, &[address(0)]);
        }
        world.until(&mut now, 30, |world| world.all_see(NODES)).ok_or("they did not meet")?;

        for round in 0..BLINKS {
            for i in 0..NODES {
                world.fire(now, i, b"blink", &[i as u8], false)?;
            }
            if round < LEDS {
                world.fire(now, 0, b"led", &[round], true)?;
                world.fire(now, 1, b"led", &[100 + round], true)?;
            }
            world.run(&mut now, Duration::from_millis(20));
        }
        world
            .until(&mut now, 30, |world| world.heard.iter().all(|heard| heard.blinks == [BLINKS; NODES]))
            .ok_or("an event that is not coalesced was not heard by all, once each")?;
        world.run(&mut now, Duration::from_secs(5));
        let leds = world.heard.map(|heard| heard.led);
        if leds.iter().any(|led| *led != leds[0] || led.is_none_or(|value| value % 100 != LEDS - 1)) {
            return Err("coalesced events did not end on the same last value");
        }
        if world.heard.iter().any(|heard| heard.led_calls != 1) {
            return Err("coalesced events were heard more than once");
        }

        let lost = world.nodes[2].take().ok_or("the third is there")?.release();
        world
            .until(&mut now, 60, |world| world.heard[..2].iter().all(|heard| heard.failed == 1))
            .ok_or("the others did not notice the power cut")?;
        make(&mut world.nodes[2], lost, 2, 2, now)?.start(now, &[address(1)]);
        world.until(&mut now, 60, |world| world.all_see(NODES)).ok_or("it did not come back")?;
        if world.heard.iter().any(|heard| heard.blinks != [BLINKS; NODES] || heard.led_calls != 1) {
            return Err("an event was heard twice");
        }
        Ok(Verdict { digest: network.digest, datagrams: network.datagrams })
    }
}

impl Default for Fleet {
    fn default() -> Self {
        Self::new()
    }
}

struct World<'w, 's> {
    nodes: &'w mut Nodes<'s>,
    network: &'w mut Network,
    tx: &'w mut [u8; DATAGRAM_MAX],
    heard: &'w mut [Heard; NODES],
}

impl World<'_, '_> {
    fn all_see(&self, count: usize) -> bool {
        self.nodes.iter().flatten().all(|node| node.live() == count && !node.is_starting())
    }

    fn fire(
        &mut self,
        now: Instant,
        i: usize,
        name: &[u8],
        payload: &[u8],
        coalesce: bool,
    ) -> Result<(), &'static str> {
        let node = self.nodes[i].as_mut().ok_or("it is there")?;
        node.user_event(now, name, payload, coalesce).map(|_| ()).map_err(|_| "an event was refused")
    }

    /// Runs for at most so many seconds until something has come true.
    fn until(&mut self, now: &mut Instant, secs: u64, done: impl Fn(&Self) -> bool) -> Option<()> {
        let end = *now + Duration::from_secs(secs);
        while !done(self) {
            if *now >= end {
                return None;
            }
            self.run(now, Duration::from_millis(10));
        }
        Some(())
    }

    fn run(&mut self, now: &mut Instant, span: Duration) {
        let end = *now + span;
        while *now < end {
            let mut next = end;
            while let Some(mut flight) = self.network.flying.pop_front_if(|flight| flight.at <= *now) {
                if let Some(node) = &mut self.nodes[flight.to] {
                    let bytes = &mut flight.bytes[..flight.len];
                    let _ = node.handle(*now, Input::Datagram { from: address(flight.from), bytes });
                }
            }
            for (i, node) in self.nodes.iter_mut().enumerate() {
                let Some(node) = node else { continue };
                loop {
                    match node.poll(*now, self.tx) {
                        Output::Datagram { to, bytes } => self.network.send(*now, i, to, bytes),
                        Output::Event(event) => self.heard[i].take(event, self.network),
                        Output::Sleep(until) => {
                            next = next.min(until);
                            break;
                        }
                    }
                }
            }
            *now = self.network.flying.front().map_or(next, |flight| next.min(flight.at));
        }
    }
}

impl Heard {
    fn take(&mut self, event: Event<'_>, network: &mut Network) {
        match event {
            Event::User(event) => {
                network.note(event.name);
                network.note(event.payload);
                let value = event.payload.first().copied();
                match event.name {
                    b"blink" => self.blinks[value.map_or(0, usize::from)] += 1,
                    _ => (self.led, self.led_calls) = (value, self.led_calls + 1),
                }
            }
            Event::Member(serf_nostd::MemberChange::Failed, _) => self.failed += 1,
            _ => {}
        }
    }
}

impl Network {
    /// FNV-1a.
    fn note(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn send(&mut self, now: Instant, from: usize, to: SocketAddr, bytes: &[u8]) {
        self.datagrams += 1;
        self.note(&now.as_micros().to_le_bytes());
        self.note(&[from as u8]);
        self.note(bytes);
        self.luck ^= self.luck << 13;
        self.luck ^= self.luck >> 7;
        self.luck ^= self.luck << 17;
        let Some(to) = (0..NODES).find(|i| address(*i) == to) else { return };
        if self.luck.is_multiple_of(LOST) {
            return;
        }
        let mut flight = Flight { from, to, at: now + LATENCY, len: bytes.len(), bytes: [0; DATAGRAM_MAX] };
        flight.bytes[..bytes.len()].copy_from_slice(bytes);
        // More than can be in flight is lost as well.
        let _ = self.flying.push_back(flight);
    }
}

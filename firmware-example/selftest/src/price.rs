use core::net::SocketAddr;

use serf_nostd::{
    Config, DATAGRAM_MAX, Duration, Identity, Input, Instant, Key, Memory, Node, Output, storage,
};

type Storage = storage! {
    members: 2, seen: 56, coalesced: 4, in_flight: 4, queries: 1, name_bytes: 16, tag_bytes: 16, slot_bytes: 128
};

/// Places for two nodes: large values, for which a board's stack has no room.
pub type Both<'s> = [Option<Node<'s>>; 2];

/// Bytes of the datagram whose price is told, when it is sealed.
pub const LEN: usize = 120;

/// Memory for two nodes and what one says to the other.
pub struct Pair {
    storages: [Storage; 2],
    tx: [u8; DATAGRAM_MAX],
    rx: [u8; DATAGRAM_MAX],
}

/// What a datagram of [`LEN`] bytes costs, in the clock's units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// To make the same one unsealed, and it.
    pub make: [u32; 2],
    /// To take in the same one unsealed, and it.
    pub take: [u32; 2],
    /// To refuse it, with a tag that is wrong: all of it.
    pub forged: u32,
    /// To refuse it when it has come before: all of it.
    pub replayed: u32,
}

impl Prices {
    /// What it costs to seal.
    pub fn seal(&self) -> u32 {
        let [plain, sealed] = self.make;
        sealed.saturating_sub(plain)
    }

    /// What it costs to open.
    pub fn open(&self) -> u32 {
        let [plain, sealed] = self.take;
        sealed.saturating_sub(plain)
    }

    /// The least of each, of these and others.
    pub fn least(&self, other: &Prices) -> Prices {
        let least = |these: [u32; 2], those: [u32; 2]| [these[0].min(those[0]), these[1].min(those[1])];
        Prices {
            make: least(self.make, other.make),
            take: least(self.take, other.take),
            forged: self.forged.min(other.forged),
            replayed: self.replayed.min(other.replayed),
        }
    }
}

/// What one datagram costs, and its length.
#[derive(Clone, Copy, Default)]
struct Price {
    len: usize,
    make: u32,
    take: u32,
    forged: u32,
    replayed: u32,
}

fn address(i: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + i as u8], 7946))
}

/// Two nodes without a key, and two with one, meet, and one tells the other of an event.
///
/// # Errors
/// What did not come true.
pub fn prices<'s>(
    [open, sealed]: &'s mut [Pair; 2],
    [open_nodes, sealed_nodes]: &mut [Both<'s>; 2],
    clock: impl Fn() -> u32,
) -> Result<Prices, &'static str> {
    let plain = open.price(open_nodes, None, &clock)?;
    let sealed = sealed.price(sealed_nodes, Some(&Key::new([7; Key::LEN])), &clock)?;
    if sealed.len != LEN || plain.len + 27 != LEN {
        return Err("the datagrams are not of the length that was meant");
    }
    Ok(Prices {
        make: [plain.make, sealed.make],
        take: [plain.take, sealed.take],
        forged: sealed.forged,
        replayed: sealed.replayed,
    })
}

impl Pair {
    /// Nothing has happened yet; all zeros.
    pub const fn new() -> Pair {
        Pair { storages: [const { Storage::new() }; 2], tx: [0; DATAGRAM_MAX], rx: [0; DATAGRAM_MAX] }
    }

    fn price<'s>(
        &'s mut self,
        nodes: &mut Both<'s>,
        key: Option<&Key>,
        clock: &impl Fn() -> u32,
    ) -> Result<Price, &'static str> {
        let Pair { storages: [first, second], tx, rx } = self;
        for (i, memory) in [first.memory(), second.memory()].into_iter().enumerate() {
            make(&mut nodes[i], memory, i, key)?;
        }
        let [Some(one), Some(two)] = nodes else { return Err("they are there") };
        let mut now = Instant::ZERO;
        two.start(now, &[address(0)]);
        for _ in 0..4_000 {
            talk(one, 0, two, now, tx);
            talk(two, 1, one, now, tx);
            now += Duration::from_millis(5);
        }
        if (one.live(), two.live()) != (2, 2) {
            return Err("they did not meet");
        }
        let start = clock();
        let around = clock().wrapping_sub(start);
        let since = |start: u32| clock().wrapping_sub(start).saturating_sub(around);
        // So that the whole is as long as was meant.
        one.user_event(now, b"blink", &[7; 62], false).map_err(|_| "an event was refused")?;
        let (len, make) = loop {
            let start = clock();
            match one.poll(now, tx) {
                Output::Datagram { bytes, .. } => break (bytes.len(), since(start)),
                Output::Event(_) => {}
                Output::Sleep(_) => return Err("it has nothing to say"),
            }
        };
        let mut take = |flipped: u8| {
            rx[..len].copy_from_slice(&tx[..len]);
            rx[len - 1] ^= flipped;
            let start = clock();
            let _ = two.handle(now, Input::Datagram { from: address(0), bytes: &mut rx[..len] });
            since(start)
        };
        if key.is_none() {
            return Ok(Price { len, make, take: take(0), ..Price::default() });
        }
        let price = Price { len, make, forged: take(1), take: take(0), replayed: take(0) };
        let counted = two.stats();
        match (counted.refused_forged, counted.refused_replayed) {
            (1, 1) => Ok(price),
            _ => Err("it is not refused as it should be"),
        }
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}

#[inline(never)]
fn make<'s>(
    place: &mut Option<Node<'s>>,
    memory: Memory<'s>,
    i: usize,
    key: Option<&Key>,
) -> Result<(), &'static str> {
    #[cfg(feature = "coordinates")]
    let memory = Memory { coordinates: &mut [], ..memory };
    let (name, addr) = (["a", "b"][i], address(i));
    let identity = Identity { name, addr, boot: 1, instance: 0, tags: &[], versions: Identity::VERSIONS };
    let node = Node::new(memory, Config::DEVICE, identity, i as u64, Instant::ZERO);
    let node = place.insert(node.map_err(|_| "a node can't be made")?);
    key.map_or(Ok(()), |key| node.install_key(key).map_err(|_| "there is no room for a key"))
}

/// All that one has to say now, to the other.
fn talk(one: &mut Node<'_>, i: usize, other: &mut Node<'_>, now: Instant, tx: &mut [u8; DATAGRAM_MAX]) {
    loop {
        let len = match one.poll(now, tx) {
            Output::Datagram { bytes, .. } => bytes.len(),
            Output::Event(_) => continue,
            Output::Sleep(_) => return,
        };
        let _ = other.handle(now, Input::Datagram { from: address(i), bytes: &mut tx[..len] });
    }
}

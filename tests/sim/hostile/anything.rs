//! Anything at all: corrupted datagrams, lies, orders in any sequence, a clock that jumps.

use std::collections::{BTreeSet, VecDeque};

use fleet_tests::rng::Rng;
use serf_nostd::{Config, Duration, Input, LTIME_LIMIT, Memory, Stats, Status};

use super::kit::*;

/// Datagrams of a small fleet that goes through everything: each kind of message is among them.
fn captured() -> Vec<Vec<u8>> {
    let mut nodes: Vec<Driven> = (1..=5)
        .map(|place| {
            Driven::named(small(), Config::LAN, ["a", "b", "c", "d", "e"][place as usize - 1], place)
        })
        .collect();
    let mut rng = Rng::new(77);
    let mut all = Vec::new();
    let mut off = BTreeSet::new();
    for node in &mut nodes[1..] {
        let at = node.at();
        node.node.start(at, &[addr(1)]);
    }
    for step in 0..1_200u64 {
        let at = nodes[0].at();
        match step {
            200 => nodes[1].node.force_leave(at, "nobody", true),
            400 => drop(off.insert(3)),
            700 => drop(off.remove(&3)),
            900 => drop(nodes[4].node.leave(at)),
            _ => {}
        }
        if step % 20 == 5 && step > 100 {
            let _ = nodes[0].node.user_event(at, b"name", &step.to_le_bytes(), step % 3 == 0);
        }
        let mut flying = VecDeque::new();
        for (i, node) in nodes.iter_mut().enumerate() {
            node.now += 100_000;
            node.drain();
            flying.extend(std::mem::take(&mut node.sent).into_iter().map(|(to, bytes)| (i, to, bytes)));
        }
        while let Some((from, to, bytes)) = flying.pop_front() {
            all.push(bytes.clone());
            let Some(to) = (0..5).find(|i| addr(*i as u32 + 1) == to) else { continue };
            if rng.chance(0.2) || off.contains(&to) || off.contains(&from) {
                continue;
            }
            nodes[to].feed(from as u32 + 1, &bytes);
            let sent = std::mem::take(&mut nodes[to].sent);
            flying.extend(sent.into_iter().map(|(next, bytes)| (to, next, bytes)));
        }
    }
    // What only a fleet that loses nothing, a dispute, a dead process, a floor or a table that is a part brings.
    let batch = body(kind::BATCH).int(7).int(9).raw(&[1]).int(4).end();
    all.push(datagram(&[batch.clone(), event(7, 1, b"name", b"payload", true)]));
    all.push(datagram(&[batch, body(kind::I_HAVE).int(0).id(7, 1).end()]));
    all.push(datagram(&[body(kind::RECEIVED).int(7).end()]));
    all.push(datagram(&[body(kind::COMPLETE).int(7).end()]));
    all.push(datagram(&[body(kind::REFUSED).int(7).end(), body(kind::GONE).text("a").end()]));
    all.push(datagram(&[body(kind::KNOWN).raw(&[1, 2, 3, 4]).end()]));
    all.push(datagram(&[body(kind::NAME_TAKEN).int(7).end()]));
    all.push(datagram(&[body(kind::TOO_OLD).id(7, 1).end()]));
    all.push(datagram(&[body(kind::DONT_HAVE).id(7, 1).end()]));
    all.push(padded(&[body(kind::RECORDS_REQUEST).int(7).int(8).int(9).end()]));
    all.push(padded(&[body(kind::PAGE_REQUEST).int(7).int(8).end()]));
    let kinds: BTreeSet<u8> = all.iter().flat_map(|bytes| read(bytes)).map(|(kind, _)| kind).collect();
    assert_eq!(kinds, BTreeSet::from(kind::ALL));
    // One of each shape is enough.
    let mut shapes = BTreeSet::new();
    all.retain(|bytes| shapes.insert(read(bytes).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>()));
    all
}

#[test]
fn no_truncated_or_corrupted_datagram_breaks_an_invariant() {
    let captured = captured();
    let mut rng = Rng::new(1);
    for memory in [tiniest as fn() -> Memory<'static>, tiny, small] {
        let mut node = Driven::new(memory(), Config::LAN);
        node.hears(2, &[alive("a", 2, 1, 1)]);
        for bytes in &captured {
            for len in 0..bytes.len() {
                if len % 7 == 0 || len < 64 {
                    node.feed(2, &checked(bytes[..len].to_vec()));
                    node.sent.clear();
                }
            }
        }
        for _ in 0..20_000 {
            let mut bytes = captured[rng.below(captured.len() as u64) as usize].clone();
            for _ in 0..1 + rng.below(4) {
                let at = HEAD.len() + rng.below((bytes.len() - HEAD.len()) as u64) as usize;
                match rng.below(4) {
                    0 => bytes[at] = rng.bits() as u8,
                    1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.below(5) as usize],
                    2 => bytes[at] ^= 1 << rng.below(8),
                    _ => bytes.truncate(at.max(HEAD.len() + 1)),
                }
            }
            // What is damaged without anybody's intent is refused before it is read; this is as if somebody meant it.
            node.feed(1 + rng.below(6) as u32, &checked(bytes));
            node.sent.clear();
            node.told.clear();
            if rng.chance(0.05) {
                node.now += rng.below(3 * SECOND);
            }
        }
    }
}

#[test]
fn wrong_heads_and_lengths_are_refused_and_counted() {
    let mut node = Driven::new(small(), Config::LAN);
    let good = datagram(&[alive("a", 2, 1, 1)]);
    let mut refuse = |bytes: &[u8]| {
        let refused = |stats: &Stats| {
            stats.refused + stats.refused_wire + stats.refused_cluster + stats.refused_unsealed
        };
        let before = refused(node.node.stats());
        let result =
            node.node.handle(node.at(), Input::Datagram { from: addr(9), bytes: &mut bytes.to_vec() });
        assert!(result.is_err());
        assert_eq!(refused(node.node.stats()), before + 1);
    };
    refuse(&[]);
    refuse(b"S");
    refuse(b"S\x20\x01");
    refuse(&[0; 1_401]);
    for (at, byte) in
        [(0, b'T'), (0, 8), (1, 0), (1, 0x10), (1, 0x21), (1, 0x22), (1, 0xff), (7, 0xff), (8, 0xff)]
    {
        let mut bytes = good.clone();
        bytes[at] = byte;
        refuse(&checked(bytes));
    }
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        refuse(&bytes);
    }
    // Lengths inside of bodies: a name and tags that claim to be longer than everything.
    for length in [0u64, 129, 1_000, u32::MAX as u64, u64::MAX] {
        let name = body(kind::ALIVE).int(length).raw(b"a").addr(2).int(1).int(1).raw(&[0]).raw(&[0; 6]).end();
        refuse(&datagram(&[name]));
        let tags =
            body(kind::ALIVE).text("a").addr(2).int(1).int(1).raw(&[1]).int(length.max(7)).raw(&[0; 6]).end();
        refuse(&datagram(&[tags]));
    }
    for place in [0, 3, 5, 17] {
        let body =
            body(kind::ALIVE).text("a").bytes(&[1; 17][..place]).int(1).int(1).int(1).raw(&[0]).raw(&[0; 6]);
        refuse(&datagram(&[body.end()]));
    }
    assert_eq!(node.node.members().count(), 1);
}

/// A message of any kind about few names, with numbers that are small or at an edge.
fn anything(rng: &mut Rng) -> Vec<u8> {
    const NAMES: [&str; 7] = ["me", "a", "b", "c", "d", "e", "too-long-for-a-slot"];
    fn edge(rng: &mut Rng) -> u64 {
        let edges = [0, 1, 1 << 20, (1 << 20) + 5, u32::MAX as u64, LTIME_LIMIT - 1, LTIME_LIMIT, u64::MAX];
        if rng.chance(0.1) { edges[rng.below(8) as usize] } else { rng.below(12) }
    }
    fn edge32(rng: &mut Rng) -> u32 {
        edge(rng).min(u32::MAX as u64) as u32
    }
    let name = NAMES[rng.below(7) as usize];
    let other = NAMES[rng.below(7) as usize];
    let place = 1 + rng.below(7) as u32;
    let ids = |list: Body, rng: &mut Rng| {
        (0..rng.below(5)).fold(list, |list, _| list.id(edge(rng), rng.below(3))).end()
    };
    match rng.below(18) {
        0 => body(kind::PING).int(rng.below(9)).text(name).text(other).raw(&[0]).end(),
        1 => {
            let body = body(kind::INDIRECT_PING).int(rng.below(9)).text(name).addr(place);
            body.raw(&[rng.below(2) as u8]).text(other).raw(&[0]).end()
        }
        2 | 3 => alive(name, place, edge32(rng), edge(rng)),
        4 => accusation_of(kind::SUSPECT, name, (edge32(rng), edge(rng)), other),
        5 => accusation_of(kind::DEAD, name, (edge32(rng), edge(rng)), other),
        6 => intent(kind::JOIN_INTENT, edge(rng), name),
        7 => body(kind::LEAVE_INTENT).int(edge(rng)).text(name).raw(&[rng.below(2) as u8]).end(),
        8 | 9 => {
            let payload = vec![b'p'; rng.below(120) as usize];
            event(edge(rng), rng.below(3), &[b'0' + rng.below(4) as u8], &payload, rng.chance(0.5))
        }
        10 => {
            let body = body(kind::SUMMARY).int(edge(rng)).int(edge(rng)).int(edge(rng));
            body.raw(&[1]).int(rng.below(3)).int(rng.below(3)).id(edge(rng), rng.below(3)).end()
        }
        11 => ids(body(kind::I_HAVE).int(edge(rng)), rng),
        12 => ids(body([kind::TOO_OLD, kind::DONT_HAVE][rng.below(2) as usize]), rng),
        13 => (0..rng.below(5)).fold(body(kind::I_WANT).int(1), |list, _| list.id(edge(rng), 1)).end(),
        14 => {
            let body = body(kind::JOIN).int(edge32(rng) as u64).text(name).addr(place);
            body.int(edge(rng)).raw(&[rng.below(2) as u8]).end()
        }
        15 => body(kind::PAGE_REQUEST).int(1).int(edge32(rng) as u64).end(),
        16 => body(kind::DIGEST_REQUEST)
            .int(1)
            .int(edge32(rng) as u64)
            .bytes(&vec![5; rng.below(200) as usize])
            .end(),
        _ => {
            let body = body(kind::EVENT_DIGEST_REQUEST).int(1).id(edge(rng), 1);
            body.bytes(&vec![5; rng.below(90) as usize]).id(edge(rng), 1).end()
        }
    }
}

/// Answers what the node has asked, with its own nonces: the answers of a liar.
fn lies(node: &mut Driven, rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut lies = Vec::new();
    for (_, bytes) in std::mem::take(&mut node.sent) {
        for (kind, asked) in read(&bytes) {
            let nonce = asked.first().map_or(0, |_| {
                if matches!(kind, kind::PADDING | kind::TAG | kind::KNOWN) { 0 } else { number(&asked) }
            });
            let page = body(kind::PAGE).raw(&(nonce as u32).to_le_bytes());
            let page = page.raw(&(rng.bits() as u32 & (rng.bits() as u32)).to_le_bytes()).end();
            match kind {
                kind::PING | kind::INDIRECT_PING => lies.push(ack(nonce)),
                kind::JOIN if rng.chance(0.2) => lies.push(body(kind::NAME_TAKEN).int(nonce).end()),
                kind::JOIN => lies.push(body(kind::JOIN_ANSWER).int(nonce).int(5).int(5).int(5).end()),
                kind::DIGEST_REQUEST => {
                    let entry = |list: Body, _| list.int(rng.below(1 << 32)).int(7);
                    lies.push([page, (0..20).fold(body(kind::ENTRIES), entry).end()].concat());
                }
                kind::RECORDS_REQUEST | kind::PAGE_REQUEST => {
                    let name = ["me", "a", "b", "f"][rng.below(4) as usize];
                    let record =
                        record(name, 3, rng.below(9) as u32, rng.below(3), rng.below(4), rng.below(99));
                    lies.push([page, record].concat());
                }
                kind::EVENT_DIGEST_REQUEST => {
                    let list = body(kind::EVENT_ENTRIES).int(nonce).raw(&[1]).id(rng.below(9), 1);
                    lies.push(list.id(rng.below(9), 1).id(rng.below(9), 2).end());
                }
                _ => {}
            }
        }
    }
    lies
}

#[test]
fn no_sequence_of_orders_and_messages_breaks_an_invariant() {
    for seed in 0..120 {
        let mut rng = Rng::new(seed);
        let memory = [tiniest, tiny, small][seed as usize % 3]();
        let quick = Config {
            reconnect_interval: Duration::from_secs(2),
            reconnect_timeout: Duration::from_secs(20),
            tombstone_timeout: Duration::from_secs(10),
            ..Config::LAN
        };
        let mut node = Driven::new(memory, if seed % 2 == 0 { Config::LAN } else { quick });
        let mut delivered = BTreeSet::new();
        for _ in 0..1_200 {
            let at = node.at();
            match rng.below(24) {
                0 => drop(node.node.user_event(
                    at,
                    b"own",
                    &[1; 60][..rng.below(60) as usize],
                    rng.chance(0.5),
                )),
                1 => {
                    node.node.force_leave(at, ["me", "a", "b", "zz"][rng.below(4) as usize], rng.chance(0.5))
                }
                2 => drop(node.node.set_tags(at, &[0xff, 0x80, 1, 2, 3][..rng.below(6) as usize])),
                3 => drop(node.node.join(at, addr(1 + rng.below(6) as u32), rng.chance(0.5))),
                4 if rng.chance(0.1) => node.node.start(at, &[addr(2)]),
                5 if rng.chance(0.01) => drop(node.node.leave(at)),
                6 => node.node.set_app_ready(rng.chance(0.5)),
                7 if rng.chance(0.1) => node.now += rng.below(100 * SECOND),
                8 if rng.chance(0.1) => node.now -= rng.below(SECOND),
                9 => node.now = node.wake.clamp(node.now, node.now + 5 * SECOND),
                10 => {
                    for lie in lies(&mut node, &mut rng) {
                        node.feed(1 + rng.below(6) as u32, &datagram(&[lie]));
                    }
                }
                11 => {
                    let mut tx = vec![0; 64 + rng.below(300) as usize];
                    node.drain_into(&mut tx);
                }
                _ => {
                    let messages: Vec<_> = (0..1 + rng.below(4)).map(|_| anything(&mut rng)).collect();
                    let from = 1 + rng.below(7) as u32;
                    let _ = node
                        .node
                        .handle(at, Input::Datagram { from: addr(from), bytes: &mut datagram(&messages) });
                }
            }
            if rng.chance(0.8) {
                node.drain();
            }
            if node.sent.len() > 50 {
                node.sent.clear();
            }
            for told in node.told.drain(..) {
                if let Told::User(ltime, payload) = told
                    && payload.first() == Some(&b'p')
                {
                    // Origins are three: one time can be told three times, by payload they are not told apart.
                    delivered.insert((ltime, payload.len()));
                }
            }
        }
        assert!(node.node.stats().events_delivered >= delivered.len() as u64);
    }
}

#[test]
fn a_jump_of_the_clock_in_either_direction_is_survived() {
    for jump in [0, SECOND, 3_600 * SECOND, u64::MAX / 4] {
        let mut node = Driven::new(small(), Config::LAN);
        node.node.start(node.at(), &[addr(2)]);
        node.hears(2, &[alive("a", 2, 1, 1), event(3, 3, b"e", b"p", true)]);
        let before = node.now;
        node.now += jump;
        node.drain();
        node.feed(2, &datagram(&[accusation(kind::SUSPECT, "a", 1, "x"), event(4, 3, b"e", b"p", true)]));
        node.now = before;
        node.drain();
        node.now = 0;
        node.hears(2, &[alive("b", 3, 1, 1)]);
        node.run(30 * SECOND, &[2, 3]);
        assert_eq!(node.status("b"), Some(Status::Alive));
    }
}

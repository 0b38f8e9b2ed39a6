//! Receipts: whoever gives one has handed the event out; whoever has not is named.

use std::collections::BTreeMap;

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::rng::Rng;
use serf_nostd::wire::message::EventId;
use serf_nostd::{Config, Duration, Fired, Node, QueryError, Target};

/// What has been heard, of any number of events.
#[derive(Default)]
struct Heard {
    /// Who was handed which payload.
    events: Vec<(usize, Vec<u8>)>,
    receipts: BTreeMap<EventId, Vec<String>>,
    done: BTreeMap<EventId, u64>,
    /// Receipts of members that had been handed nothing.
    false_ones: usize,
}

impl Heard {
    fn hear(&mut self, i: usize, at: u64, seen: Seen) {
        match seen {
            Seen::User { payload, .. } => self.events.push((i, payload)),
            Seen::Asked { name, .. } => panic!("{i} is asked {name:?}"),
            Seen::QueryAck(id, from) => {
                let handed = |(i, _): &(usize, Vec<u8>)| Fleet::name(*i) == from;
                self.false_ones += !self.events.iter().any(handed) as usize;
                self.receipts.entry(id).or_default().push(from);
            }
            Seen::QueryDone(id) => _ = self.done.insert(id, at),
            _ => {}
        }
    }
}

fn fleet(seed: u64, nodes: usize) -> Fleet {
    let mut fleet = Fleet::new(seed, nodes, Size::Small, Config::LAN);
    let tags: [&[u8]; 2] = [b"\xff\x81\xa4role\xa3web", b"\xff\x81\xa4role\xa2db"];
    (0..nodes).for_each(|i| fleet.machines[i].tags = tags[i % 2].to_vec());
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    fleet
}

/// Fires an event at machine 0, and asks for receipts for 5 s. Returns the query, and when that was.
fn fire(
    fleet: &mut Fleet,
    heard: &mut Heard,
    to: Target<'_>,
    payload: &[u8],
    coalesce: bool,
) -> (EventId, u64) {
    let fired = fleet.with(0, &mut |i, _, at, seen| heard.hear(i, at, seen), |node: &mut Node<'_>, now| {
        let ltime = node.targeted_event(now, &to, b"deploy", payload, coalesce).expect("accepted");
        node.receipts(now, &Fired::new(ltime, b"deploy", coalesce).target(to), Duration::from_secs(5))
    });
    (fired.expect("on").expect("accepted"), fleet.now())
}

fn run(fleet: &mut Fleet, heard: &mut Heard, span: u64) {
    fleet.run(span, &mut |i, _, at, seen| heard.hear(i, at, seen));
}

fn awaited(fleet: &Fleet, id: EventId) -> Vec<String> {
    let mut names: Vec<_> = fleet.node(0).expect("on").awaited(id).map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn each_member_gives_one_when_it_has_handed_the_event_out_also_over_lossy_links() {
    for (seed, loss, coalesce) in (0..20).map(|seed| (seed, [0.0, 0.1][seed as usize % 2], seed % 3 == 0)) {
        let mut fleet = fleet(seed, 20);
        fleet.network.loss = loss;
        let mut heard = Heard::default();
        let (id, began) = fire(&mut fleet, &mut heard, Target::default(), b"1", coalesce);
        run(&mut fleet, &mut heard, 6 * SECOND);
        let (receipts, took) = (&heard.receipts[&id], heard.done[&id] - began);
        assert_eq!((receipts.len(), heard.events.len(), heard.false_ones), (20, 20, 0), "{seed}");
        assert!(awaited(&fleet, id).is_empty());
        // Without a loss: a round trip of a millisecond or two, after the quiet second if it is coalesced.
        let least = if coalesce { SECOND } else { 0 };
        assert!(took >= least && (loss > 0.0 || took < least + SECOND / 100), "{seed}: {took} us");
    }
}

#[test]
fn who_does_not_hand_it_out_is_named_and_the_others_are_not_asked() {
    let mut fleet = fleet(100, 10);
    let mut heard = Heard::default();
    let role = Target::new(&[], &[("role", "db")]);
    fleet.machines[3].deaf = true;
    let (id, began) = fire(&mut fleet, &mut heard, role, b"1", false);
    run(&mut fleet, &mut heard, SECOND);
    assert_eq!(awaited(&fleet, id), [Fleet::name(3)]);
    run(&mut fleet, &mut heard, 6 * SECOND);
    assert_eq!((heard.receipts[&id].len(), heard.false_ones), (4, 0));
    assert!(heard.done[&id] - began >= 5 * SECOND);
    assert_eq!(awaited(&fleet, id), [Fleet::name(3)], "after the end, too");
    // Too late for a receipt, not for the event.
    fleet.machines[3].deaf = false;
    run(&mut fleet, &mut heard, 3 * SECOND);
    assert_eq!((heard.events.len(), heard.receipts[&id].len()), (5, 4));
}

#[test]
fn a_later_event_with_which_it_is_coalesced_counts_for_it_once_that_is_handed_out() {
    let mut fleet = fleet(101, 10);
    let mut heard = Heard::default();
    let (first, _) = fire(&mut fleet, &mut heard, Target::default(), b"1", true);
    run(&mut fleet, &mut heard, SECOND / 2);
    let later = fleet.with(1, &mut |_, _, _, _| {}, |node, now| node.user_event(now, b"deploy", b"2", true));
    later.expect("on").expect("accepted");
    run(&mut fleet, &mut heard, SECOND / 2);
    // The same name, but not to be coalesced: it waits for no window.
    let (plain, _) = fire(&mut fleet, &mut heard, Target::default(), b"3", false);
    run(&mut fleet, &mut heard, SECOND / 4);
    assert_eq!(heard.receipts.keys().collect::<Vec<_>>(), [&plain]);
    run(&mut fleet, &mut heard, SECOND);
    for id in [first, plain] {
        assert_eq!(heard.receipts[&id].len(), 10);
    }
    let of = |payload: &[u8]| heard.events.iter().filter(|(_, heard)| heard == payload).count();
    assert_eq!((of(b"1"), of(b"2"), of(b"3")), (0, 10, 10));
}

#[test]
fn for_whom_it_is_too_long_gives_none() {
    let mut fleet = fleet(102, 4);
    let mut heard = Heard::default();
    fleet.crash(2);
    fleet.config.event_size_limit = 20;
    fleet.boot(2, &[0], false, &mut |_, _, _, _| {});
    run(&mut fleet, &mut heard, 20 * SECOND);
    let (id, _) = fire(&mut fleet, &mut heard, Target::default(), &[7; 100], false);
    run(&mut fleet, &mut heard, 6 * SECOND);
    assert_eq!((heard.receipts[&id].len(), heard.false_ones), (3, 0));
    assert_eq!(awaited(&fleet, id), [Fleet::name(2)]);
}

#[test]
fn who_dies_is_waited_for_until_that_is_known_and_not_named() {
    let mut fleet = fleet(103, 4);
    let mut heard = Heard::default();
    fleet.crash(2);
    let fired = fleet.with(0, &mut |_, _, _, _| {}, |node, now| {
        let ltime = node.user_event(now, b"deploy", b"", false).expect("accepted");
        node.receipts(now, &Fired::new(ltime, b"deploy", false), Duration::from_secs(60))
    });
    let id = fired.expect("on").expect("accepted");
    run(&mut fleet, &mut heard, 50 * SECOND);
    assert_eq!(fleet.node(0).expect("on").live(), 3);
    assert!(heard.done.contains_key(&id) && awaited(&fleet, id).is_empty());
}

#[test]
fn more_at_once_than_there_are_places_are_refused_and_the_events_go_their_way() {
    let mut fleet = fleet(104, 4);
    let mut heard = Heard::default();
    let asked = fleet.with(0, &mut |_, _, _, _| {}, |node, now| {
        let mut ask = || {
            let ltime = node.user_event(now, b"deploy", b"", false).expect("accepted");
            node.receipts(now, &Fired::new(ltime, b"deploy", false), Duration::from_secs(5))
        };
        (0..3).map(|_| ask()).collect::<Vec<_>>()
    });
    let asked = asked.expect("on");
    assert_eq!((asked[0].is_ok(), asked[2]), (true, Err(QueryError::TooMany)));
    run(&mut fleet, &mut heard, 6 * SECOND);
    assert_eq!(heard.events.len(), 12 - 3, "machine 0's own were heard before");
    assert_eq!(heard.done.len(), 2);
}

/// Fires an event of which nobody wants receipts.
fn plain(fleet: &mut Fleet, heard: &mut Heard, from: usize, name: &[u8], payload: &[u8], coalesce: bool) {
    let fired = fleet.with(from, &mut |i, _, at, seen| heard.hear(i, at, seen), |node, now| {
        node.user_event(now, name, payload, coalesce)
    });
    fired.expect("on").expect("accepted");
}

#[test]
fn a_later_event_that_still_waits_for_the_application_counts_for_nothing() {
    let mut fleet = fleet(110, 6);
    let mut heard = Heard::default();
    let (id, _) = fire(&mut fleet, &mut heard, Target::default(), b"1", true);
    run(&mut fleet, &mut heard, SECOND / 5);
    fleet.machines[3].deaf = true;
    plain(&mut fleet, &mut heard, 1, b"deploy", b"2", true);
    run(&mut fleet, &mut heard, 4 * SECOND);
    assert_eq!((heard.receipts[&id].len(), heard.false_ones), (5, 0));
    assert_eq!(awaited(&fleet, id), [Fleet::name(3)]);
}

#[test]
fn who_is_not_meant_any_more_when_the_event_s_turn_comes_gives_none() {
    let mut fleet = fleet(111, 6);
    let mut heard = Heard::default();
    let (id, _) = fire(&mut fleet, &mut heard, Target::new(&[], &[("role", "db")]), b"1", true);
    run(&mut fleet, &mut heard, SECOND / 2);
    let web = b"\xff\x81\xa4role\xa3web";
    fleet.with(3, &mut |_, _, _, _| {}, |node, now| node.set_tags(now, web)).expect("on").expect("short");
    run(&mut fleet, &mut heard, 6 * SECOND);
    assert_eq!((heard.receipts[&id].len(), heard.false_ones), (2, 0));
}

#[test]
fn an_event_that_was_lost_before_the_application_had_room_gives_none() {
    let mut fleet = fleet(112, 6);
    let mut heard = Heard::default();
    fleet.machines[3].deaf = true;
    plain(&mut fleet, &mut heard, 1, b"x", &[1; 450], false);
    run(&mut fleet, &mut heard, SECOND);
    let lost = [9; 350];
    let asked = fleet.with(0, &mut |_, _, _, _| {}, |node, now| {
        let ltime = node.user_event(now, b"deploy", &lost, false).expect("accepted");
        node.receipts(now, &Fired::new(ltime, b"deploy", false), Duration::from_secs(120))
    });
    let id = asked.expect("on").expect("accepted");
    run(&mut fleet, &mut heard, SECOND);
    for storm in 0..60_u8 {
        plain(&mut fleet, &mut heard, [1, 2, 4, 5][storm as usize % 4], b"x", &[storm; 60], false);
        run(&mut fleet, &mut heard, SECOND / 4);
    }
    fleet.machines[3].deaf = false;
    run(&mut fleet, &mut heard, 60 * SECOND);
    let handed = heard.events.iter().any(|(i, payload)| *i == 3 && payload[..] == lost);
    let given = heard.receipts[&id].contains(&Fleet::name(3));
    assert!(!handed && !given, "handed: {handed}, receipt: {given}");
}

#[test]
fn queries_that_wait_take_no_room_from_their_own_answers() {
    let mut fleet = Fleet::new(113, 6, Size::Tiny, Config::LAN);
    fleet.resize(0, Size::Server);
    fleet.assemble(&mut |_, _, _, _| {});
    run(&mut fleet, &mut Heard::default(), 20 * SECOND);
    let mut heard = Heard::default();
    let names: Vec<String> = (0..6).map(Fleet::name).collect();
    let mut nodes: Vec<&str> = names.iter().map(String::as_str).collect();
    nodes.extend(["a-member-elsewhere-1", "a-member-elsewhere-2", "a-member-elsewhere-3"]);
    let mut ids = Vec::new();
    for name in [b"a", b"b"] {
        let to = Target::new(&nodes, &[]);
        let asked = fleet.with(0, &mut |i, _, at, seen| heard.hear(i, at, seen), |node, now| {
            let ltime = node.targeted_event(now, &to, name, b"1", true).expect("accepted");
            node.receipts(now, &Fired::new(ltime, name, true).target(to), Duration::from_secs(5))
        });
        ids.push(asked.expect("on").expect("accepted"));
    }
    run(&mut fleet, &mut heard, 8 * SECOND);
    assert_eq!(heard.events.len(), 12);
    assert!(ids.iter().all(|id| heard.receipts[id].len() == 6), "{:?}", heard.receipts);
}

/// What was fired, and is asked about.
struct Asked {
    name: u8,
    target: u8,
    coalesce: bool,
    ltime: u64,
    payload: Vec<u8>,
}

/// Crashes, cuts, losses, applications that are not ready, tags that change: whatever happens, a receipt is true.
#[test]
fn no_receipt_is_false_whatever_happens() {
    const NODES: usize = 7;
    let (mut receipts, mut false_ones) = (0, Vec::new());
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let size = [Size::Tiny, Size::Small, Size::Server][seed as usize % 3];
        let mut fleet = Fleet::new(seed, NODES, size, Config::LAN);
        let tags: [&[u8]; 2] = [b"\xff\x81\xa4role\xa3web", b"\xff\x81\xa4role\xa2db"];
        (0..NODES).for_each(|i| fleet.machines[i].tags = tags[i % 2].to_vec());
        fleet.assemble(&mut |_, _, _, _| {});
        fleet.run(5 * SECOND, &mut |_, _, _, _| {});
        let mut handed: Vec<(usize, Asked)> = Vec::new();
        let mut acked: Vec<(EventId, String, usize)> = Vec::new();
        let mut asked: BTreeMap<EventId, Asked> = BTreeMap::new();
        for number in 0..120_u32 {
            let mut watch = |i: usize, _: u64, _: u64, seen: Seen| match seen {
                Seen::User { id, name, payload, coalesce } => {
                    let (name, target) = (name[0], payload[0]);
                    handed.push((i, Asked { name, target, coalesce, ltime: id.0, payload }));
                }
                // With how much had been handed out by then.
                Seen::QueryAck(id, from) => acked.push((id, from, handed.len())),
                _ => {}
            };
            let i = rng.below(NODES as u64) as usize;
            match rng.below(20) {
                0 => fleet.machines[i].deaf ^= true,
                1 if fleet.is_on(i) => fleet.crash(i),
                1 => fleet.boot(i, &[(i + 1) % NODES, (i + 2) % NODES], false, &mut watch),
                2 => fleet.network.loss = [0.0, 0.1, 0.3][rng.below(3) as usize],
                3 => (0..NODES).for_each(|k| fleet.network.side[k] = (rng.below(4) == 0) as u8),
                4 => {
                    let tags = tags[rng.below(2) as usize];
                    fleet.with(i, &mut watch, |node, now| _ = node.set_tags(now, tags));
                }
                5 => fleet.network.side = vec![0; NODES],
                _ => {
                    let (name, target) = (b'a' + rng.below(3) as u8, rng.below(2) as u8);
                    let coalesce = rng.below(3) > 0;
                    let mut payload = vec![target];
                    payload.extend(number.to_le_bytes());
                    payload.resize(5 + rng.below(60) as usize, 7);
                    let tags: &[(&str, &str)] = if target == 0 { &[] } else { &[("role", "db")] };
                    let (to, span) = (Target::new(&[], tags), Duration::from_secs(1 + rng.below(40)));
                    let fired = fleet.with(i, &mut watch, |node, now| {
                        let name = [name];
                        let ltime = node.targeted_event(now, &to, &name, &payload, coalesce).ok()?;
                        let fired = Fired::new(ltime, &name, coalesce).target(to);
                        Some((node.receipts(now, &fired, span).ok()?, ltime))
                    });
                    if let Some(Some((id, ltime))) = fired {
                        asked.insert(id, Asked { name, target, coalesce, ltime, payload });
                    }
                }
            }
            fleet.run(rng.below(SECOND * 3 / 2), &mut watch);
        }
        for (id, from, before) in acked {
            let Some(asked) = asked.get(&id) else { continue };
            let counts = |(i, event): &(usize, Asked)| {
                let later = asked.coalesce && event.coalesce && event.ltime >= asked.ltime;
                let same = (event.name, event.target) == (asked.name, asked.target);
                Fleet::name(*i) == from && (event.payload == asked.payload || later && same)
            };
            receipts += 1;
            if !handed[..before].iter().any(counts) {
                false_ones.push((seed, from, asked.ltime));
            }
        }
    }
    assert!(receipts > 5_000, "{receipts} receipts");
    assert!(false_ones.is_empty(), "{false_ones:?} of {receipts}");
}

//! Receipts: whoever gives one has handed the event out; whoever has not is named.

use std::collections::BTreeMap;

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Seen, Size};
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
        node.receipts(
            now,
            &Fired::new(ltime, b"deploy", payload, coalesce).target(to),
            Duration::from_secs(5),
        )
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
        node.receipts(now, &Fired::new(ltime, b"deploy", b"", false), Duration::from_secs(60))
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
            node.receipts(now, &Fired::new(ltime, b"deploy", b"", false), Duration::from_secs(5))
        };
        (0..3).map(|_| ask()).collect::<Vec<_>>()
    });
    let asked = asked.expect("on");
    assert_eq!((asked[0].is_ok(), asked[2]), (true, Err(QueryError::TooMany)));
    run(&mut fleet, &mut heard, 6 * SECOND);
    assert_eq!(heard.events.len(), 12 - 3, "machine 0's own were heard before");
    assert_eq!(heard.done.len(), 2);
}

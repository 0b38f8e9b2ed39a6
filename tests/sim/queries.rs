//! Questions to a fleet: each answer counted once, none from whom the filter excludes, ended early only when complete.

use std::collections::BTreeMap;

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::wire::{addr, body, datagram, kind};
use serf_nostd::wire::message::EventId;
use serf_nostd::{Ask, Config, Duration, QueryError};

const TAGS: [&[u8]; 2] = [b"\xff\x81\xa4role\xa3web", b"\xff\x81\xa4role\xa2db"];

/// What an asker has heard.
#[derive(Default)]
struct Heard {
    acks: BTreeMap<String, u32>,
    answers: BTreeMap<String, Vec<Vec<u8>>>,
    done: Option<u64>,
    /// Who was asked, and how often.
    asked: BTreeMap<usize, u32>,
    late: u32,
}

impl Heard {
    fn hear(&mut self, i: usize, at: u64, seen: Seen) {
        match seen {
            Seen::Asked { .. } => *self.asked.entry(i).or_default() += 1,
            Seen::QueryAck(_, from) => *self.acks.entry(from).or_default() += 1,
            Seen::QueryResponse(_, from, payload) => {
                self.late += self.done.is_some() as u32;
                self.answers.entry(from).or_default().push(payload);
            }
            Seen::QueryDone(_) => self.done = Some(at),
            _ => {}
        }
    }

    fn once(&self) -> bool {
        let own = |(from, answers): (&String, &Vec<Vec<u8>>)| {
            answers.len() == 1 && answers[0].starts_with(from.as_bytes())
        };
        self.acks.values().chain(self.asked.values()).all(|count| *count == 1)
            && self.answers.iter().all(own)
            && self.late == 0
    }
}

fn fleet(seed: u64, nodes: usize, size: Size) -> Fleet {
    let mut fleet = Fleet::new(seed, nodes, size, Config::LAN);
    fleet.check_every = if nodes > 100 { 0 } else { 8 };
    if !matches!(size, Size::Members(_)) {
        (0..nodes).for_each(|i| fleet.machines[i].tags = TAGS[i % 2].to_vec());
    }
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    assert!((0..nodes).all(|i| fleet.node(i).is_some_and(|node| node.live() == nodes)), "all know all");
    fleet
}

/// Asks from machine 0, and runs until that has ended. Returns when it was asked, too.
fn ask(fleet: &mut Fleet, ask: &Ask<'_>) -> (u64, Heard) {
    let mut heard = Heard::default();
    let began = fleet.now();
    let asked =
        fleet.with(0, &mut |i, _, at, seen| heard.hear(i, at, seen), |node, now| node.query(now, ask));
    asked.expect("on").expect("accepted");
    for _ in 0..100 {
        if heard.done.is_some() {
            break;
        }
        fleet.run(SECOND / 4, &mut |i, _, at, seen| heard.hear(i, at, seen));
    }
    // What comes late is heard as well.
    fleet.run(5 * SECOND, &mut |i, _, at, seen| heard.hear(i, at, seen));
    (began, heard)
}

#[test]
fn all_answer_once_and_it_ends_with_the_last() {
    for seed in 0..20 {
        let mut fleet = fleet(seed, 20, Size::Small);
        let (began, heard) = ask(&mut fleet, &Ask::all("load", b"now"));
        assert_eq!((heard.acks.len(), heard.answers.len()), (20, 20), "the asker among them");
        assert!(heard.once());
        let took = heard.done.expect("it ends") - began;
        assert!(took < SECOND / 20, "{took} us: the time-out is 6.4 s");
    }
}

#[test]
fn filters_address_whom_they_name_and_nobody_else_is_waited_for() {
    let mut fleet = fleet(1, 10, Size::Small);
    let mut some = Ask::all("load", b"");
    let names = [Fleet::name(3), Fleet::name(4)];
    let nodes = [&*names[0], &*names[1], "nobody"];
    (some.nodes, some.ack) = (&nodes, false);
    let (began, heard) = ask(&mut fleet, &some);
    assert_eq!(heard.answers.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    assert!(heard.acks.is_empty() && heard.once() && heard.asked.len() == 2);
    assert!(heard.done.expect("it ends") - began < SECOND / 20);

    let mut tagged = Ask::all("load", b"");
    tagged.tags = &[("role", "^db$")];
    let (_, heard) = ask(&mut fleet, &tagged);
    assert_eq!(heard.answers.len(), 5);
    assert!(heard.once());

    let mut nobody = Ask::all("load", b"");
    nobody.nodes = &["nobody"];
    let (began, heard) = ask(&mut fleet, &nobody);
    assert!(heard.asked.is_empty() && heard.done == Some(began), "at once");

    // What a board cannot evaluate it passes on, and does not answer.
    let mut classes = Ask::all("load", b"");
    classes.tags = &[("role", "d[ab]")];
    let (_, heard) = ask(&mut fleet, &classes);
    assert!(heard.asked.is_empty());
    assert_eq!(fleet.total(|stats| stats.unfiltered), 10);
}

#[test]
fn who_has_no_answer_says_so_and_who_says_nothing_is_waited_for() {
    let mut fleet = fleet(2, 10, Size::Small);
    let (began, heard) = ask(&mut fleet, &Ask::all("none", b""));
    assert_eq!((heard.acks.len(), heard.answers.len()), (10, 0));
    assert!(heard.once() && heard.done.expect("it ends") - began < SECOND / 20);

    let (began, heard) = ask(&mut fleet, &Ask::all("silent", b""));
    assert_eq!((heard.acks.len(), heard.answers.len()), (10, 0));
    let took = heard.done.expect("it ends") - began;
    assert!((6_400_000..6_500_000).contains(&took), "{took}: 200 ms x 16 x 2 digits");

    let mut whole = Ask::all("load", b"");
    (whole.timeout, whole.wait_full_timeout) = (Some(Duration::from_secs(2)), true);
    let (began, heard) = ask(&mut fleet, &whole);
    assert!(heard.answers.len() == 10 && heard.done.expect("it ends") - began >= 2 * SECOND);
}

#[test]
fn lost_datagrams_are_sent_again_and_finite_queues_do_not_run_over() {
    let mut answered = 0;
    let mut within = 0;
    for seed in 0..3 {
        let mut fleet = fleet(seed, 300, Size::Members(300));
        fleet.network.loss = 0.05;
        for machine in &mut fleet.machines {
            // As an agent's socket has, and what a datagram takes to be handled.
            (machine.places, machine.service) = (256, 20);
        }
        let mut load = Ask::all("load", b"");
        load.timeout = Some(Duration::from_secs(5));
        let (began, heard) = ask(&mut fleet, &load);
        assert!(heard.once());
        answered += heard.answers.len();
        within += (heard.done.expect("it ends") - began < 2 * SECOND) as usize;
    }
    assert!(answered >= 899, "{answered} of 900");
    assert_eq!(within, 3, "they end within 2 s");
}

#[test]
fn a_member_that_dies_meanwhile_is_waited_for_until_that_is_known() {
    let mut fleet = fleet(3, 10, Size::Small);
    fleet.crash(7);
    let mut long = Ask::all("load", b"");
    long.timeout = Some(Duration::from_secs(120));
    let mut heard = Heard::default();
    let began = fleet.now();
    let asked =
        fleet.with(0, &mut |i, _, at, seen| heard.hear(i, at, seen), |node, now| node.query(now, &long));
    asked.expect("on").expect("accepted");
    fleet.run(60 * SECOND, &mut |i, _, at, seen| heard.hear(i, at, seen));
    let failed = fleet.node(0).is_some_and(|node| node.live() == 9);
    assert!(failed && heard.answers.len() == 9 && heard.once());
    let took = heard.done.expect("it ends when it is known to have failed") - began;
    assert!(took > SECOND && took < 60 * SECOND, "{took}");
}

#[test]
fn more_queries_than_places_are_refused_and_places_are_given_back() {
    let mut fleet = fleet(4, 3, Size::Tiny);
    let mut refused = 0;
    for _ in 0..3 {
        let mut watch = |_: usize, _: u64, _: u64, _: Seen| {};
        let ask = |node: &mut serf_nostd::Node<'_>, now| node.query(now, &Ask::all("load", b""));
        let results: Vec<_> = (0..4).map(|_| fleet.with(0, &mut watch, ask).expect("on")).collect();
        let too_many = |result: &&Result<EventId, QueryError>| {
            matches!(result, Err(QueryError::TooMany | QueryError::Event(_)))
        };
        refused += results.iter().filter(too_many).count();
        assert!(results[0].is_ok());
        fleet.run(10 * SECOND, &mut watch);
    }
    assert!(refused >= 3, "{refused}");
}

#[test]
fn strangers_answers_and_forged_ones_count_for_nothing() {
    let mut fleet = fleet(5, 5, Size::Small);
    let mut heard = Heard::default();
    let mut silent = Ask::all("silent", b"");
    silent.timeout = Some(Duration::from_secs(3));
    let asked =
        fleet.with(0, &mut |i, _, at, seen| heard.hear(i, at, seen), |node, now| node.query(now, &silent));
    let id = asked.expect("on").expect("accepted");
    fleet.run(SECOND, &mut |i, _, at, seen| heard.hear(i, at, seen));
    assert_eq!(heard.acks.len(), 5);
    // The number of the query is random: without it nobody answers, and with it only from his own address.
    for number in [0, 1, u32::MAX as u64] {
        let answer = |from: &str| {
            body(kind::QUERY_RESPONSE).int(id.ltime).int(number).text(from).int(4).text("forged").end()
        };
        fleet.inject_from(addr(99), 0, datagram(&[answer("n1")]));
        fleet.inject(1, 0, datagram(&[answer("n1")]));
        fleet.inject_from(addr(99), 0, datagram(&[answer("stranger")]));
    }
    fleet.run(5 * SECOND, &mut |i, _, at, seen| heard.hear(i, at, seen));
    assert!(heard.answers.is_empty() && heard.done.is_some());
}

#[test]
fn a_forged_query_makes_nobody_send_anything_to_anybody() {
    let mut fleet = fleet(8, 10, Size::Small);
    let mut heard = Heard::default();
    // In nobody's name; in a member's, from another address; to be answered for a year.
    for (number, source) in [(1, "stranger".to_owned()), (2, Fleet::name(3))] {
        let query = body(kind::QUERY).int(2).int(number).addr(99).text(&source).bytes(&[]).int(1).raw(&[0]);
        let query = query.int(365 * 24 * 3_600 * SECOND).text("load").bytes(b"").end();
        fleet.inject_from(addr(98), 0, datagram(&[query]));
    }
    fleet.run(10 * SECOND, &mut |i, _, at, seen| heard.hear(i, at, seen));
    assert!(heard.asked.is_empty(), "{:?}", heard.asked);
    assert_eq!(fleet.total(|stats| stats.query_answers), 0);
    assert_eq!(fleet.total(|stats| stats.strangers), 20);

    // In a member's, where it lives: it confirms what it has not asked, so that nobody repeats it.
    let query = body(kind::QUERY).int(3).int(3).addr(3).text(&Fleet::name(3)).bytes(&[]).int(1).raw(&[0]);
    let query = query.int(365 * 24 * 3_600 * SECOND).text("load").bytes(b"").end();
    fleet.inject_from(addr(98), 0, datagram(&[query]));
    fleet.run(60 * SECOND, &mut |i, _, at, seen| heard.hear(i, at, seen));
    assert_eq!(heard.asked.len(), 10);
    let sent = fleet.total(|stats| stats.query_answers);
    assert!((9..=18).contains(&sent), "{sent}: an acknowledgement and an answer of each at most");
}

#[test]
fn an_asker_that_does_not_confirm_is_given_up() {
    let mut fleet = fleet(9, 3, Size::Small);
    let asked = fleet.with(0, &mut |_, _, _, _| {}, |node, now| {
        let mut long = Ask::all("silent", b"");
        long.timeout = Some(Duration::from_secs(3_600));
        node.query(now, &long)
    });
    asked.expect("on").expect("accepted");
    fleet.run(SECOND / 100, &mut |_, _, _, _| {});
    let before = fleet.total(|stats| stats.query_answers);
    // It hears nothing any more, and others do not notice for a while.
    fleet.freeze(0, 3_600 * SECOND);
    fleet.run(600 * SECOND, &mut |_, _, _, _| {});
    let more = fleet.total(|stats| stats.query_answers) - before;
    assert!(more <= 2 * 12, "{more} copies to nobody");
}

#[test]
fn a_query_from_before_the_first_contact_asks_nobody_else_and_leaves_nothing_to_compare() {
    let mut fleet = Fleet::new(10, 3, Size::Small, Config::LAN);
    fleet.boot(0, &[], false, &mut |_, _, _, _| {});
    fleet.run(SECOND, &mut |_, _, _, _| {});
    let (_, heard) = ask(&mut fleet, &Ask::all("load", b""));
    assert_eq!(heard.answers.len(), 1);
    let asked = fleet.with(0, &mut |_, _, _, _| {}, |node, now| node.query(now, &Ask::all("load", b"")));
    asked.expect("on").expect("accepted");
    fleet.boot(1, &[0], false, &mut |_, _, _, _| {});
    fleet.boot(2, &[0], false, &mut |_, _, _, _| {});
    let mut others = Heard::default();
    fleet.run(60 * SECOND, &mut |i, _, at, seen| others.hear(i, at, seen));
    assert!(others.asked.keys().all(|i| *i == 0), "{:?}", others.asked);
    let compared = |fleet: &Fleet| fleet.total(|stats| stats.event_syncs + stats.pulls);
    let before = compared(&fleet);
    fleet.run(600 * SECOND, &mut |_, _, _, _| {});
    assert_eq!(compared(&fleet), before, "all know the same");
}

#[test]
fn queries_of_whom_has_failed_are_in_nobodys_way() {
    let mut fleet = fleet(11, 4, Size::Small);
    let long = |fleet: &mut Fleet, i: usize, name: &str| {
        let mut long = Ask::all(name, b"");
        long.timeout = Some(Duration::from_secs(24 * 3_600));
        let asked = fleet.with(i, &mut |_, _, _, _| {}, |node, now| node.query(now, &long));
        asked.expect("on").expect("accepted");
        fleet.run(SECOND, &mut |_, _, _, _| {});
    };
    long(&mut fleet, 3, "silent");
    long(&mut fleet, 3, "silent");
    fleet.crash(3);
    fleet.run(120 * SECOND, &mut |_, _, _, _| {});
    let given_up = fleet.total(|stats| stats.queries_given_up);
    long(&mut fleet, 0, "silent");
    long(&mut fleet, 0, "silent");
    assert_eq!(fleet.total(|stats| stats.queries_given_up), given_up);
}

#[test]
fn a_query_of_a_node_that_is_alone_is_answered_by_itself() {
    let mut fleet = Fleet::new(6, 1, Size::Small, Config::LAN);
    fleet.boot(0, &[], false, &mut |_, _, _, _| {});
    fleet.run(SECOND, &mut |_, _, _, _| {});
    let (began, heard) = ask(&mut fleet, &Ask::all("load", b""));
    assert_eq!((heard.answers.len(), heard.acks.len(), heard.done), (1, 1, Some(began)));
}

#[test]
fn all_ask_at_once_and_all_are_answered() {
    let mut fleet = fleet(7, 30, Size::Agent);
    let mut answers: BTreeMap<EventId, u32> = BTreeMap::new();
    let mut done = 0;
    let mut hear = |_: usize, _: u64, _: u64, seen: Seen| match seen {
        Seen::QueryResponse(id, ..) => *answers.entry(id).or_default() += 1,
        Seen::QueryDone(_) => done += 1,
        _ => {}
    };
    for i in 0..30 {
        let asked = fleet.with(i, &mut hear, |node, now| node.query(now, &Ask::all("load", b"")));
        asked.expect("on").expect("accepted");
    }
    fleet.run(20 * SECOND, &mut hear);
    assert_eq!((answers.len(), done), (30, 30));
    // Each node is asked 30 at once, and has places for 16: those asked first make room, counted.
    let answered: u32 = answers.values().sum();
    let given_up = fleet.total(|stats| stats.queries_given_up);
    assert!(answered >= 450 && answered as u64 + given_up >= 900, "{answered}, {given_up}");
}

//! Where events go in batches, and something fails that no probe has shown yet; or somebody lies about them.

use std::collections::BTreeMap;

use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::judged::SECOND;
use fleet_tests::network::muted;
use fleet_tests::wire::{addr, body, datagram, event, kind, number, read};
use serf_nostd::Config;

/// Who was handed which event when; and when it was fired.
#[derive(Default)]
struct Log {
    fired: BTreeMap<u32, u64>,
    got: BTreeMap<(u32, usize), u64>,
    id: Option<(u64, u64)>,
}

impl Log {
    fn watch(&mut self) -> impl FnMut(usize, u64, u64, Seen) + '_ {
        |i, _, at, seen| {
            if let Seen::User { id, payload, .. } = seen {
                let serial = u32::from_le_bytes(payload[..4].try_into().expect("four bytes"));
                assert!(self.got.insert((serial, i), at).is_none(), "twice");
                self.id = Some(id);
            }
        }
    }

    fn lost(&self, i: usize) -> usize {
        self.fired.keys().filter(|serial| !self.got.contains_key(&(**serial, i))).count()
    }

    /// The slowest, in ms.
    fn slowest(&self, i: usize) -> u64 {
        let late = |(serial, at): (&u32, &u64)| self.got.get(&(*serial, i)).map(|got| (got - at) / 1_000);
        self.fired.iter().filter_map(late).max().unwrap_or(0)
    }
}

fn clean(seed: u64, nodes: usize, size: Size) -> Fleet {
    let mut fleet = Fleet::new(seed, nodes, size, Config::LAN);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(90 * SECOND, &mut |_, _, _, _| {});
    fleet
}

/// A board among agents: it tells nine, as devices do.
fn with_board(seed: u64, nodes: usize, size: Size) -> Fleet {
    let mut fleet = Fleet::new(seed, nodes, size, Config::LAN);
    fleet.resize(0, Size::Small);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.crash(0);
    fleet.config = Config { origin_fanout: 9, ..Config::LAN };
    fleet.boot(0, &[1], false, &mut |_, _, _, _| {});
    fleet.run(120 * SECOND, &mut |_, _, _, _| {});
    fleet
}

fn fire(fleet: &mut Fleet, log: &mut Log, i: usize, serial: u32) -> bool {
    fire_padded(fleet, log, i, serial, 4)
}

fn fire_padded(fleet: &mut Fleet, log: &mut Log, i: usize, serial: u32, len: usize) -> bool {
    let (now, mut payload) = (fleet.now(), serial.to_le_bytes().to_vec());
    payload.resize(len, b'x');
    let fired =
        fleet.with(i, &mut log.watch(), |node, now| node.user_event(now, b"e", &payload, false).is_ok());
    if fired == Some(true) {
        log.fired.insert(serial, now);
    }
    fired == Some(true)
}

fn flow(fleet: &mut Fleet, log: &mut Log, i: usize, (every, span): (u64, u64), serial: &mut u32) {
    for _ in 0..span / every {
        *serial += fire(fleet, log, i, *serial) as u32;
        fleet.run(every, &mut log.watch());
    }
}

/// The slowest event at X, in ms, in so many fleets of so many agents.
fn slowest_of(seeds: u64, nodes: usize, happens: impl Fn(&mut Fleet, &mut Log)) -> u64 {
    let slowest = |seed| {
        let (mut fleet, mut log) = (clean(seed, nodes, Size::Agent), Log::default());
        happens(&mut fleet, &mut log);
        log.slowest(13)
    };
    (0..seeds).map(slowest).max().unwrap_or(0)
}

/// "This is a batch of mine", with what somebody else has fired.
fn claim(messages: &[Vec<u8>]) -> Vec<u8> {
    datagram(&[&[body(kind::BATCH).int(7).int(7).raw(&[0]).int(64).end()], messages].concat())
}

fn list((ltime, origin): (u64, u64)) -> Vec<u8> {
    body(kind::I_HAVE).int(0).id(ltime, origin).end()
}

/// One link fails one way for a second: the others tell who is behind it.
#[test]
fn a_link_fails_one_way_and_small_nodes_lose_nothing() {
    let mut lost = 0;
    for seed in 0..5 {
        let mut fleet = clean(seed, 50, Size::Small);
        let (mut log, mut serial) = (Log::default(), 0);
        flow(&mut fleet, &mut log, 0, (SECOND / 50, SECOND), &mut serial);
        fleet.network.one_way.push((0, 13));
        flow(&mut fleet, &mut log, 0, (SECOND / 50, SECOND), &mut serial);
        fleet.network.heal();
        flow(&mut fleet, &mut log, 0, (SECOND / 50, 10 * SECOND), &mut serial);
        fleet.run(60 * SECOND, &mut log.watch());
        lost += log.lost(13);
    }
    assert_eq!(lost, 0, "of 5 times 50 events while the link was cut");
}

/// Nor does it come late, however long that lasts.
#[test]
fn a_link_fails_one_way_and_agents_do_not_wait() {
    let mut fleet = clean(1, 50, Size::Agent);
    fleet.network.one_way.push((0, 13));
    let (mut log, mut serial) = (Log::default(), 0);
    flow(&mut fleet, &mut log, 0, (SECOND / 100, 20 * SECOND), &mut serial);
    fleet.network.heal();
    fleet.run(60 * SECOND, &mut log.watch());
    let batches = fleet.total(|stats| stats.batches);
    assert!(log.slowest(13) < 500, "slowest {} ms, {batches} batches", log.slowest(13));
}

/// An origin dies behind such a link; 48 others have its events.
#[test]
fn an_origin_dies_before_somebody_has_heard_it() {
    let (mut lost, mut fired) = (0, 0);
    for seed in 0..5 {
        let mut fleet = clean(seed, 50, Size::Small);
        let (mut log, mut others, mut serial) = (Log::default(), 100_000, 0);
        flow(&mut fleet, &mut log, 5, (SECOND / 50, 4 * SECOND), &mut others);
        fleet.network.one_way.push((0, 13));
        let mut its = Log::default();
        flow(&mut fleet, &mut its, 0, (SECOND / 50, SECOND / 5), &mut serial);
        fleet.run(3_000, &mut its.watch());
        fleet.crash(0);
        for _ in 0..500 {
            others += fire(&mut fleet, &mut its, 5, others) as u32;
            fleet.run(SECOND / 50, &mut its.watch());
        }
        fleet.run(60 * SECOND, &mut its.watch());
        for k in 0..serial {
            assert!((1..50).filter(|i| its.got.contains_key(&(k, *i))).count() >= 48);
            lost += !its.got.contains_key(&(k, 13)) as u32;
        }
        fired += serial;
    }
    assert_eq!(lost, 0, "of {fired} events that 48 others have");
}

/// A member says of a board's events, at once and to all, that they are its own batch.
#[test]
fn a_member_claims_events_and_their_origin_lets_them_go_all_the_same() {
    let mut fleet = with_board(5, 20, Size::Agent);
    let mut log = Log::default();
    for round in 0..60_000 {
        fire(&mut fleet, &mut log, 5, 100_000 + round);
        if round % 4 == 0 && fire(&mut fleet, &mut log, 0, round) {
            let id = log.id.take().expect("its own");
            for _ in 0..8 {
                (0..19).for_each(|to| fleet.inject(19, to, claim(&[list(id)])));
                fleet.run(1_000, &mut log.watch());
            }
        }
        fleet.run(SECOND / 100, &mut log.watch());
        if round % 640 == 0 {
            fleet.run(40 * SECOND, &mut log.watch());
            if fleet.node(0).map(|node| node.gauges().own) >= Some(8) {
                break;
            }
        }
    }
    fleet.run(3_600 * SECOND, &mut log.watch());
    let own = fleet.node(0).map(|node| node.gauges().own);
    assert!(
        fire(&mut fleet, &mut log, 0, 90_000),
        "an hour later {own:?} own events are held, and none is accepted"
    );
}

/// An origin whose link to one member is cut, and which sends no batches as it has lost a probe: all others tell that member,
/// also when somebody says to them that it does.
#[test]
fn a_member_claims_events_and_others_tell_of_them_all_the_same() {
    for attack in [false, true] {
        let mut fleet = clean(8, 60, Size::Agent);
        fleet.network.muted[0] = fleet_tests::network::muted::SENDING;
        fleet.run(SECOND, &mut |_, _, _, _| {});
        fleet.network.heal();
        fleet.run(30 * SECOND, &mut |_, _, _, _| {});
        fleet.network.one_way.push((0, 13));
        let mut log = Log::default();
        for round in 0..500_u32 {
            assert!(fire(&mut fleet, &mut log, 0, round));
            let id = log.id.take().expect("its own");
            let told = claim(&[event(id.0, id.1, b"e", &round.to_le_bytes(), false)]);
            for _ in 0..3 {
                (1..59).filter(|to| *to != 13 && attack).for_each(|to| fleet.inject(59, to, told.clone()));
                fleet.run(3_000, &mut log.watch());
            }
            fleet.run(SECOND / 50 - 9_000, &mut log.watch());
        }
        fleet.network.heal();
        fleet.run(60 * SECOND, &mut log.watch());
        assert_eq!(fleet.total(|stats| stats.batches), 0);
        assert!(
            log.slowest(13) < 500,
            "attack {attack}: slowest {} ms, lost {}",
            log.slowest(13),
            log.lost(13)
        );
    }
}

/// A board's events, which none but nine have from it.
#[test]
fn a_member_claims_a_boards_events_and_they_come_back_all_the_same() {
    for attack in [false, true] {
        let mut fleet = with_board(6, 60, Size::Small);
        let (mut log, mut accepted) = (Log::default(), 0);
        for round in 0..1_500_u32 {
            if fire(&mut fleet, &mut log, 0, round) {
                accepted += 1;
                let id = log.id.take().expect("its own");
                let told = claim(&[event(id.0, id.1, b"e", &round.to_le_bytes(), false)]);
                for _ in 0..2 {
                    (1..59)
                        .filter(|to| *to != 13 && attack)
                        .for_each(|to| fleet.inject(59, to, told.clone()));
                    fleet.run(8_000, &mut log.watch());
                }
            } else {
                fleet.run(16_000, &mut log.watch());
            }
            fleet.run(SECOND / 50 - 16_000, &mut log.watch());
        }
        fleet.run(60 * SECOND, &mut log.watch());
        assert_eq!(
            accepted,
            1_500,
            "attack {attack}: so many are accepted; slowest at X {} ms",
            log.slowest(13)
        );
    }
}

/// Events in a batch that others have forgotten the time of.
#[test]
fn what_is_too_old_is_not_received_and_counted() {
    let mut fleet = clean(3, 20, Size::Small);
    let mut log = Log::default();
    let until = fleet.now() + 7 * SECOND / 2;
    fleet.machines[0].places = 0;
    fleet.freeze(0, 7 * SECOND / 2);
    let mut serial = 1_000;
    while fleet.now() < until - 10_000 {
        for i in 1..20 {
            serial += fire(&mut fleet, &mut log, i, serial) as u32;
        }
        fleet.run(10_000, &mut log.watch());
    }
    while fleet.is_frozen(0) {
        fleet.run(100, &mut log.watch());
    }
    let mut heard = Log::default();
    let fired = fleet.with(0, &mut heard.watch(), |node, now| {
        (0..5_u32).filter(|k| node.user_event(now, b"e", &k.to_le_bytes(), false).is_ok()).count() as u64
    });
    fleet.run(60 * SECOND, &mut log.watch());
    let reached = log.got.keys().filter(|(serial, _)| *serial < 5).count();
    let stats = fleet.node(0).expect("on").stats();
    assert_eq!(reached, 0, "nobody else has them");
    assert_eq!(
        Some(stats.own_expired + stats.own_unconfirmed),
        fired,
        "counted, of those that were accepted"
    );
}

/// Members come and go while answers are on their way: what all have is not reported as perhaps lost.
#[test]
fn members_come_and_go_and_nothing_is_reported_lost() {
    let mut fleet = Fleet::new(8, 50, Size::Agent, Config::LAN);
    fleet.network.latency = 50_000;
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(120 * SECOND, &mut |_, _, _, _| {});
    let (mut log, mut serial) = (Log::default(), 0);
    for step in 0..40_u64 {
        let i = 40 + (step / 2 % 10) as usize;
        if step % 2 == 0 {
            fleet.with(i, &mut log.watch(), |node, now| node.leave(now).is_ok());
        } else {
            fleet.crash(i);
            fleet.boot(i, &[1], false, &mut log.watch());
        }
        flow(&mut fleet, &mut log, 0, (SECOND / 100, SECOND * 3 / 2), &mut serial);
    }
    fleet.run(60 * SECOND, &mut log.watch());
    assert_eq!((1..40).map(|i| log.lost(i)).sum::<usize>(), 0);
    let unconfirmed = fleet.node(0).expect("on").stats().own_unconfirmed;
    assert!(unconfirmed < 5, "{unconfirmed} of {serial} events are unconfirmed, and all have them");
}

/// One of three restarts unnoticed, and never takes what was fired meanwhile: the third one has it, and that is all that could.
#[test]
fn one_of_three_restarts_and_nothing_is_reported_lost() {
    for seed in 0..10 {
        let (mut fleet, mut log) = (clean(seed, 3, Size::Agent), Log::default());
        fleet.kill(2);
        fleet.run(100_000, &mut log.watch());
        assert!(fire(&mut fleet, &mut log, 0, 0));
        fleet.run(250_000, &mut log.watch());
        fleet.boot(2, &[0], false, &mut |_, _, _, _| {});
        fleet.run(60 * SECOND, &mut log.watch());
        assert_eq!(log.lost(1), 0, "seed {seed}");
        let lost = fleet.total(|stats| stats.own_unconfirmed + stats.own_expired);
        assert_eq!(lost, 0, "seed {seed}");
    }
}

/// One answer took 430 ms: a copy that is lost after that is told of by the others, who do not wait for the origin.
#[test]
fn a_slow_answer_makes_nobody_wait_long() {
    let slowest = slowest_of(20, 20, |fleet, log| {
        (1..20).for_each(|i| fleet.freeze(i, 430_000));
        fleet.run(2 * SECOND, &mut log.watch());
        fleet.network.one_way.push((0, 13));
        fire(fleet, log, 0, 0);
        fleet.run(20_000, &mut log.watch());
        fleet.network.one_way.clear();
        fleet.run(20 * SECOND, &mut log.watch());
    });
    assert!(slowest < 250, "{slowest} ms");
}

/// Links that carry no long datagrams lose no probe.
#[test]
fn links_that_are_narrow() {
    let mut fleet = clean(3, 50, Size::Agent);
    fleet.network.narrow = 0.1;
    let (mut log, mut serial) = (Log::default(), 0_u32);
    for _ in 0..60 {
        let now = fleet.now();
        let first = serial;
        fleet.with(0, &mut log.watch(), |node, now| {
            for k in 0..15 {
                let mut payload = (first + k).to_le_bytes().to_vec();
                payload.resize(90, b'x');
                node.user_event(now, b"e", &payload, false).expect("room");
            }
        });
        (first..first + 15).for_each(|k| _ = log.fired.insert(k, now));
        serial += 15;
        fleet.run(SECOND, &mut log.watch());
    }
    fleet.run(60 * SECOND, &mut log.watch());
    let slowest = (1..50).map(|i| log.slowest(i)).max();
    assert!(slowest < Some(500), "{slowest:?} ms; {} batches", fleet.total(|stats| stats.batches));
}

/// Somebody says for all that they have received a batch.
#[test]
fn answers_are_forged() {
    let slowest = slowest_of(20, 50, |fleet, log| {
        fleet.recording = Some(vec![]);
        fleet.network.one_way.push((0, 13));
        fire(fleet, log, 0, 0);
        let recording = fleet.recording.take().expect("on");
        let mut told = recording.iter().flat_map(|(_, _, bytes)| read(bytes));
        let told = told.find(|(k, _)| *k == kind::BATCH).map(|(_, body)| number(&body)).expect("a batch");
        (1..50)
            .for_each(|i| fleet.inject_from(addr(i), 0, datagram(&[body(kind::RECEIVED).int(told).end()])));
        fleet.run(20_000, &mut log.watch());
        fleet.network.one_way.clear();
        fleet.run(20 * SECOND, &mut log.watch());
    });
    assert!(slowest < 100, "{slowest} ms");
}

/// Somebody says in the origin's name that all have its batches, to all, again and again.
#[test]
fn completions_are_forged() {
    let slowest = slowest_of(10, 50, |fleet, log| {
        fleet.network.one_way.push((0, 13));
        fire(fleet, log, 0, 0);
        for _ in 0..100 {
            fleet.run(SECOND / 100, &mut log.watch());
            for number in [0, 128] {
                let complete = datagram(&[body(kind::COMPLETE).int(number).end()]);
                (1..50).for_each(|to| fleet.inject_from(addr(0), to, complete.clone()));
            }
        }
        assert_eq!(log.lost(13), 0);
    });
    assert!(slowest < 500, "{slowest} ms");
}

/// Small nodes hold few long events. What waits for its origin's word is not given up for others' before anybody else has it.
#[test]
fn what_waits_is_passed_on_when_its_bytes_are_needed() {
    /// Of twenty events of 400 bytes of which one copy is lost, just before others fire sixty: how many never come there.
    fn lost(batches: bool) -> usize {
        let lost = |seed| {
            let (mut fleet, mut log, mut serial) = (clean(seed, 40, Size::Small), Log::default(), 1);
            if !batches {
                // It loses a probe, and fires as ever from then on.
                fleet.network.muted[0] = muted::SENDING;
                fleet.run(SECOND, &mut |_, _, _, _| {});
                fleet.network.heal();
                fleet.run(5 * SECOND, &mut |_, _, _, _| {});
            }
            fleet.network.one_way.push((0, 13));
            assert!(fire_padded(&mut fleet, &mut log, 0, 0, 400));
            fleet.run(1_000, &mut log.watch());
            fleet.network.heal();
            for k in 0..60 {
                serial += fire_padded(&mut fleet, &mut log, 14 + k % 26, serial, 400) as u32;
                fleet.run(1_500, &mut log.watch());
            }
            fleet.run(60 * SECOND, &mut log.watch());
            !log.got.contains_key(&(0, 13)) as usize
        };
        (0..20).map(lost).sum()
    }
    let (lost, plain) = (lost(true), lost(false));
    println!("{lost} of 20 lost in batches, {plain} otherwise");
    assert!(lost <= plain + 4, "{lost}, {plain}");
}

/// A member has chosen its boot number so that it fires under the same origin as another, and says that all have what that one has
/// fired, which dies behind a link that fails one way.
#[test]
fn who_chooses_another_s_origin_completes_nothing() {
    for seed in 0..4 {
        let mut fleet = Fleet::new(seed, 50, Size::Small, Config::LAN);
        fleet.machines[0].instance = Some(7);
        let (name, boot) = twin_of("node-0", 1 << 16 | 7);
        fleet.rename(49, &name);
        (fleet.machines[49].instance, fleet.machines[49].boots_ahead) = (Some(boot as u16), (boot >> 16) - 1);
        fleet.assemble(&mut |_, _, _, _| {});
        fleet.run(120 * SECOND, &mut |_, _, _, _| {});
        let (mut log, mut serial) = (Log::default(), 0);
        fleet.network.one_way.push((0, 13));
        flow(&mut fleet, &mut log, 0, (SECOND / 200, SECOND / 40), &mut serial);
        fleet.run(3_000, &mut log.watch());
        let (first, complete) = (serial, |number| datagram(&[body(kind::COMPLETE).int(number).end()]));
        for number in [0, 128] {
            (1..49).for_each(|to| fleet.inject(49, to, complete(number)));
        }
        fleet.run(3_000, &mut log.watch());
        fleet.crash(0);
        flow(&mut fleet, &mut log, 5, (SECOND / 50, 10 * SECOND), &mut serial);
        fleet.run(60 * SECOND, &mut log.watch());
        let missing = (0..first).filter(|serial| !log.got.contains_key(&(*serial, 13))).count();
        assert_eq!(missing, 0, "seed {seed}, of {first}");
    }
}

/// A name with the boot number under which it fires as `victim` does in its life of this number. The hashes are no secret, and can be
/// turned around.
fn twin_of(victim: &str, boot: u64) -> (String, u64) {
    const FACTORS: [u64; 2] = [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53];
    let inverse = |a: u64| (0..6).fold(a, |x, _| x.wrapping_mul(2_u64.wrapping_sub(a.wrapping_mul(x))));
    let turn = |x: u64, factors: [u64; 2]| {
        let x = factors.iter().fold(x, |x, factor| (x ^ x >> 33).wrapping_mul(*factor));
        x ^ x >> 33
    };
    let mix = |x: u64| turn(x, FACTORS);
    let unmix = |x: u64| turn(x, [inverse(FACTORS[1]), inverse(FACTORS[0])]);
    let hash = |name: &str| {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        mix(name.bytes().fold(0xcbf2_9ce4_8422_2325, step))
    };
    let boots =
        (0..).map(|k| format!("n{k}")).map(|name| (unmix(hash(&name) ^ hash(victim) ^ mix(boot)), name));
    // One that a node may have.
    let (boot, name) =
        boots.into_iter().find(|(boot, _)| (1 << 20..1 << 61).contains(boot)).expect("there is one");
    (name, boot)
}

/// An origin says again and again that somebody lacks an event that is just a moment old: each tells of it once more, and no more.
#[test]
fn repeated_reminders_draw_each_event_once_more() {
    let sent = |reminders: u64| {
        let (mut fleet, mut log) = (clean(1, 50, Size::Agent), Log::default());
        let before = fleet.sent().1;
        fire(&mut fleet, &mut log, 49, 0);
        fleet.run(100_000, &mut log.watch());
        let reminder = claim(&[list(log.id.expect("its own"))]);
        for _ in 0..reminders {
            (0..49).for_each(|to| fleet.inject(49, to, reminder.clone()));
            fleet.run(40_000, &mut log.watch());
        }
        fleet.run(2 * SECOND - 40_000 * reminders, &mut log.watch());
        fleet.sent().1 - before
    };
    let (few, many) = (sent(1), sent(20));
    println!("{few} datagrams after one reminder, {many} after twenty");
    // Each says that it has received it.
    assert!(many <= few + 20 * 49, "{few}, {many}");
}

//! Members that move to another address while they live, and routers that hide where they are.

use std::net::SocketAddr;

use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::machine::Nat;
use fleet_tests::network::muted;
use fleet_tests::proof::{hold, proves};
use fleet_tests::wire::{alive, datagram};
use serf_nostd::rules::Rule;
use serf_nostd::{Key, MemberChange, Status};

use crate::{Heard, SECOND, fire, fleet, off, quiet};

/// Where there was nobody before.
fn elsewhere(i: usize) -> SocketAddr {
    SocketAddr::from(([10, 7, 0, i as u8], 7946))
}

/// A machine gets another address, and its program tells its node.
fn moves(fleet: &mut Fleet, i: usize, to: SocketAddr) {
    fleet.move_to(i, to);
    fleet.with(i, &mut quiet(), |node, now| node.set_address(now, to));
}

/// How many of the machines that are on do not show a member alive at its machine's address.
fn lost(fleet: &Fleet, i: usize) -> usize {
    let name = Fleet::name(i);
    let there = |viewer: &usize| {
        let node = fleet.node(*viewer).expect("on");
        node.member(&name).is_some_and(|m| m.addr == fleet.address(i) && m.status == Status::Alive)
    };
    (0..fleet.machines.len()).filter(|viewer| fleet.is_on(*viewer) && !there(viewer)).count()
}

/// What applications were told of a member: on how many machines it was updated once, and all other news.
#[derive(Default)]
struct Told {
    updated: Vec<usize>,
    others: Vec<(usize, MemberChange)>,
}

impl Told {
    fn of(&mut self, member: usize) -> impl FnMut(usize, u64, u64, Seen) {
        let name = Fleet::name(member);
        move |viewer, _, _, seen| match seen {
            Seen::Member { change, name: of, .. } if of == name => match change {
                MemberChange::Update => self.updated.push(viewer),
                other => self.others.push((viewer, other)),
            },
            _ => {}
        }
    }
}

fn move_of_one(mut fleet: Fleet) -> Result<(), String> {
    let machines = fleet.machines.len();
    let mut told = Told::default();
    moves(&mut fleet, 3, elsewhere(3));
    fleet.run(30 * SECOND, &mut told.of(3));
    let lost = lost(&fleet, 3);
    hold(lost == 0, &format!("{lost} of {machines} do not see it at its new address"))?;
    hold(told.others.is_empty(), &format!("applications were told {:?}", told.others))?;
    told.updated.sort_unstable();
    hold(told.updated == Vec::from_iter(0..machines), &format!("updated at {:?}", told.updated))?;
    let mut heard = Heard::new(machines);
    fire(&mut fleet, 0, "after", &mut heard)?;
    fleet.run(5 * SECOND, &mut heard.watch());
    hold(heard.reached("after") == machines, "an event has not come to all")
}

/// Its lease ends, and it gets another address: nobody takes it for failed, each application is told once.
#[test]
fn a_member_moves_while_it_lives() {
    for seed in 0..4 {
        assert_eq!(move_of_one(fleet(seed, 10, Size::Small, None)), Ok(()), "seed {seed}");
    }
}

#[test]
fn a_member_moves_in_a_large_fleet_and_in_a_sealed_one() {
    assert_eq!(move_of_one(fleet(1, 100, Size::Members(128), None)), Ok(()));
    let mut sealed = off(2, 10, Size::Small, None);
    sealed.key = Some(Key::new([7; 32]));
    sealed.assemble(&mut quiet());
    sealed.run(20 * SECOND, &mut quiet());
    assert_eq!(move_of_one(sealed), Ok(()));
}

/// It gets other tags as well, while nobody hears it.
#[test]
fn a_member_that_moves_has_its_tags_of_today() {
    for seed in 0..10 {
        let mut fleet = fleet(seed, 10, Size::Small, None);
        let tags = b"\xff\x81\xa4role\xa3new";
        fleet.with(3, &mut quiet(), |node, now| node.set_tags(now, tags).expect("they fit"));
        moves(&mut fleet, 3, elsewhere(3));
        fleet.run(30 * SECOND, &mut quiet());
        assert_eq!(lost(&fleet, 3), 0, "seed {seed}");
        for i in 0..10 {
            let member = fleet.node(i).and_then(|node| node.member(&Fleet::name(3)));
            assert_eq!(member.expect("known").tags, tags, "seed {seed}, at {i}");
        }
        let before = fleet.total(|stats| stats.member_syncs);
        fleet.run(60 * SECOND, &mut quiet());
        assert_eq!(fleet.total(|stats| stats.member_syncs), before, "seed {seed}: all agree");
    }
}

/// A quarter of all datagrams is lost.
#[test]
fn a_member_that_moves_is_found_where_datagrams_get_lost() {
    for seed in 0..10 {
        let mut fleet = fleet(seed, 10, Size::Small, None);
        fleet.network.loss = 0.25;
        moves(&mut fleet, 3, elsewhere(3));
        fleet.run(60 * SECOND, &mut quiet());
        assert_eq!(lost(&fleet, 3), 0, "seed {seed}");
    }
}

/// It is reached at both addresses: it says itself where it is.
#[test]
fn who_is_reached_at_both_addresses_says_where_it_is() {
    proves(Rule::Moves, 5, |seed, without| {
        let mut fleet = fleet(seed, 8, Size::Small, without);
        let old = fleet.address(3);
        moves(&mut fleet, 3, elsewhere(3));
        fleet.alias(3, old);
        fleet.run(30 * SECOND, &mut quiet());
        let lost = lost(&fleet, 3);
        hold(lost == 0, &format!("{lost} of 8 do not see it at its new address"))
    });
}

/// Somebody else, of another name, has its old address.
#[test]
fn who_gets_the_old_address_holds_nobody_up() {
    for seed in 0..5 {
        let mut fleet = fleet(seed, 8, Size::Small, None);
        let old = fleet.address(3);
        moves(&mut fleet, 3, elsewhere(3));
        moves(&mut fleet, 5, old);
        fleet.run(30 * SECOND, &mut quiet());
        assert_eq!((lost(&fleet, 3), lost(&fleet, 5)), (0, 0), "seed {seed}");
    }
}

/// Two of three move at once, and hear each other through the third one only; for a second their machine has no address.
#[test]
fn two_of_three_move_at_once() {
    for seed in 0..10 {
        let mut fleet = fleet(seed, 3, Size::Small, None);
        let mut told = [Told::default(), Told::default()];
        [1, 2].into_iter().for_each(|i| fleet.move_to(i, elsewhere(i)));
        fleet.run(SECOND, &mut quiet());
        for i in [1, 2] {
            fleet.with(i, &mut quiet(), |node, now| node.set_address(now, elsewhere(i)));
        }
        let [first, second] = &mut told;
        let (mut first, mut second) = (first.of(1), second.of(2));
        fleet.run(30 * SECOND, &mut |i, boot, at, seen| {
            first(i, boot, at, seen.clone());
            second(i, boot, at, seen);
        });
        drop((first, second));
        assert_eq!((lost(&fleet, 1), lost(&fleet, 2)), (0, 0), "seed {seed}");
        let others: Vec<_> = told.iter().flat_map(|told| &told.others).collect();
        assert!(others.is_empty(), "seed {seed}: {others:?}");
    }
}

/// Of its first words none comes through, or it was away before: some suspect it by then. It is found, and not taken for failed.
#[test]
fn who_is_not_heard_at_first_is_found_in_time() {
    for seed in 0..6 {
        for (before, after) in [(0, 2), (0, 3), (3, 0), (4, 0)] {
            let mut fleet = fleet(seed, 12, Size::Small, None);
            let mut told = Told::default();
            fleet.network.muted[3] = muted::SENDING | muted::HEARING;
            fleet.run(before * SECOND, &mut told.of(3));
            moves(&mut fleet, 3, elsewhere(3));
            fleet.run(after * SECOND, &mut told.of(3));
            fleet.network.muted[3] = 0;
            fleet.run(30 * SECOND, &mut told.of(3));
            let context = format!("seed {seed}, {before} s before, {after} s after");
            assert_eq!(lost(&fleet, 3), 0, "{context}");
            assert!(told.others.is_empty(), "{context}: {:?}", told.others);
        }
    }
}

/// A network gets other numbers: half of a fleet moves at once.
#[test]
fn half_of_a_fleet_moves_at_once() {
    for seed in 0..3 {
        let mut fleet = fleet(seed, 20, Size::Server, None);
        (10..20).for_each(|i| moves(&mut fleet, i, elsewhere(i)));
        fleet.run(60 * SECOND, &mut quiet());
        let lost: Vec<usize> = (0..20).map(|i| lost(&fleet, i)).collect();
        assert_eq!(lost, [0; 20], "seed {seed}");
    }
}

/// A machine that slept moves on waking up: it had failed, and comes back.
#[test]
fn who_has_failed_comes_back_elsewhere() {
    let mut fleet = fleet(1, 8, Size::Small, None);
    fleet.network.side[3] = 1;
    fleet.run(60 * SECOND, &mut quiet());
    fleet.network.heal();
    moves(&mut fleet, 3, elsewhere(3));
    fleet.run(60 * SECOND, &mut quiet());
    assert_eq!(lost(&fleet, 3), 0);
}

/// Somebody says that a member has moved, which has not, to where nobody is and to where another member is.
#[test]
fn nobody_is_moved_by_others() {
    for seed in 0..5 {
        let mut fleet = off(seed, 8, Size::Small, None);
        fleet.machines[3].instance = Some(7);
        fleet.assemble(&mut quiet());
        fleet.run(20 * SECOND, &mut quiet());
        let boot = fleet.machines[3].boot_number() << 16 | 7;
        for at in [5, 99] {
            let lie = [alive(&Fleet::name(3), at, 4, boot)];
            (0..8).for_each(|i| fleet.inject(6, i, datagram(&lie)));
            let mut told = Told::default();
            fleet.run(60 * SECOND, &mut told.of(3));
            assert_eq!(lost(&fleet, 3), 0, "seed {seed}, to {at}");
            assert!(told.others.is_empty(), "seed {seed}, to {at}: {:?}", told.others);
        }
    }
}

/// A router hides a member's port. It learns where the others see it, at the start and when the router has forgotten it.
#[test]
fn a_member_behind_a_router_learns_where_it_is_seen() {
    for (seed, follows) in [(0, true), (1, true), (2, true), (3, false)] {
        let mut fleet = off(seed, 6, Size::Small, None);
        (0..5).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        fleet.config.advertise_observed = follows;
        fleet.machines[5].nat = Some(Nat { port: 40_000, ..Nat::new(60 * SECOND) });
        fleet.boot(5, &[0], false, &mut quiet());
        let mut told = Told::default();
        fleet.run(30 * SECOND, &mut told.of(5));
        let seen = |fleet: &Fleet, i: usize| {
            let member = fleet.node(i).and_then(|node| node.member(&Fleet::name(5)));
            member.is_some_and(|m| {
                m.status == Status::Alive && m.addr.port() == fleet.machines[5].nat.expect("there").port
            })
        };
        assert_eq!((0..6).filter(|i| seen(&fleet, *i)).count(), if follows { 6 } else { 0 }, "seed {seed}");
        if !follows {
            let elsewhere = fleet.node(5).expect("on").stats().seen_elsewhere;
            assert!(elsewhere > 0, "it can say why nobody reaches it");
            continue;
        }
        assert!(
            told.others.iter().all(|(_, change)| *change == MemberChange::Join),
            "seed {seed}: {:?}",
            told.others
        );
        let nat = fleet.machines[5].nat.as_mut().expect("there");
        nat.until = 1;
        fleet.run(60 * SECOND, &mut quiet());
        assert_eq!(fleet.machines[5].nat.expect("there").forgotten, 1);
        assert_eq!((0..6).filter(|i| seen(&fleet, *i)).count(), 6, "seed {seed}: a new port");
    }
}

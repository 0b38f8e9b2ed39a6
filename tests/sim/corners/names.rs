//! One name for two machines.

use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::proof::{hold, proves};
use fleet_tests::wire::{alive, datagram};
use serf_nostd::rules::Rule;

use crate::{SECOND, fleet, off, quiet};

/// Where a machine believes that a name lives.
fn home(fleet: &Fleet, viewer: usize, name: &str) -> Option<std::net::SocketAddr> {
    fleet.node(viewer)?.member(name).map(|member| member.addr)
}

/// A card was cloned with the boot number on it: the second one is refused.
#[test]
fn a_clone_with_the_same_boot_number_is_refused() {
    proves(Rule::Instance, 4, |seed, without| {
        let mut fleet = off(seed, 6, Size::Small, without);
        fleet.rename(5, &Fleet::name(4));
        (0..5).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        fleet.run(20 * SECOND, &mut quiet());
        let mut refused = false;
        fleet.boot(5, &[0], false, &mut quiet());
        fleet.run(20 * SECOND, &mut |i, _, _, seen| refused |= i == 5 && seen == Seen::NameTaken);
        hold(refused, "both go by the name")
    });
}

/// A quarter of all datagrams is lost: the holder keeps its name all the same.
#[test]
fn a_living_holder_keeps_its_name_where_datagrams_get_lost() {
    proves(Rule::Dispute, 40, |seed, without| {
        let mut fleet = fleet(seed, 10, Size::Small, without);
        fleet.network.loss = 0.25;
        fleet.crash(9);
        fleet.rename(9, &Fleet::name(3));
        fleet.machines[9].boots = 5;
        fleet.boot(9, &[0], false, &mut quiet());
        fleet.run(12 * SECOND, &mut quiet());
        fleet.crash(9);
        fleet.network.heal();
        let mine = fleet.address(3);
        let lost = (0..9).filter(|i| home(&fleet, *i, &Fleet::name(3)) != Some(mine)).count();
        hold(lost == 0, &format!("{lost} of nine have given its name away"))
    });
}

/// Two fleets meet that have one name in common: all others agree on the one that booted first, and both are told.
#[test]
fn of_two_living_ones_the_elder_has_the_name() {
    proves(Rule::Elder, 3, |seed, without| {
        let mut fleet = off(seed, 8, Size::Small, without);
        fleet.rename(5, &Fleet::name(1));
        fleet.machines[5].boots = 7;
        (0..8).for_each(|i| fleet.boot(i, &[i / 4 * 4], false, &mut quiet()));
        fleet.run(20 * SECOND, &mut quiet());
        let seed_address = fleet.address(4);
        fleet.with(2, &mut quiet(), |node, now| node.join(now, seed_address, false));
        let mut told = [false; 8];
        fleet.run(300 * SECOND, &mut |i, _, _, seen| told[i] |= seen == Seen::NameConflict);
        let elder = fleet.address(1);
        let others = [0, 2, 3, 4, 6, 7];
        let wrong: Vec<usize> =
            others.into_iter().filter(|i| home(&fleet, *i, &Fleet::name(1)) != Some(elder)).collect();
        hold(wrong.is_empty(), &format!("{wrong:?} hold the younger one"))?;
        hold(told[5], "the younger one is not told")
    });
}

/// A member comes back at another address. Who was away tells of its former life: that is nobody else.
#[test]
fn a_former_life_is_no_conflict() {
    for seed in 0..5 {
        let mut fleet = fleet(seed, 6, Size::Small, None);
        fleet.network.side[2] = 1;
        fleet.run(40 * SECOND, &mut quiet());
        fleet.crash(4);
        fleet.run(60 * SECOND, &mut quiet());
        fleet.move_to(4, "10.0.1.4:7946".parse().expect("an address"));
        fleet.boot(4, &[0], false, &mut quiet());
        fleet.run(60 * SECOND, &mut quiet());
        fleet.network.heal();
        let mut told = 0;
        fleet.run(300 * SECOND, &mut |_, _, _, seen| told += (seen == Seen::NameConflict) as u32);
        assert_eq!(told, 0, "seed {seed}: there is one node-4");
    }
}

/// Somebody drives two machines of one name to a boot number far ahead: they do not meet there, and one has the name.
#[test]
fn two_that_are_driven_to_one_boot_number_stay_two() {
    for seed in 0..5 {
        let mut fleet = off(seed, 8, Size::Small, None);
        fleet.rename(5, &Fleet::name(1));
        (0..8).for_each(|i| fleet.boot(i, &[i / 4 * 4], false, &mut quiet()));
        fleet.run(20 * SECOND, &mut quiet());
        for twin in [1, 5] {
            fleet.inject(0, twin, datagram(&[alive(&Fleet::name(1), twin as u32, 3, 50 << 16)]));
        }
        fleet.run(10 * SECOND, &mut quiet());
        let seed_address = fleet.address(4);
        fleet.with(2, &mut quiet(), |node, now| node.join(now, seed_address, false));
        fleet.run(300 * SECOND, &mut quiet());
        let homes: Vec<_> = [0, 2, 3, 4, 6, 7].map(|i| home(&fleet, i, &Fleet::name(1))).to_vec();
        assert!(homes.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}: {homes:?}");
        let refuted = fleet.total(|stats| stats.refuted);
        fleet.run(60 * SECOND, &mut quiet());
        assert_eq!(
            fleet.total(|stats| stats.refuted),
            refuted,
            "seed {seed}: they contradict each other for ever"
        );
    }
}

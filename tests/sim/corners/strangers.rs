//! Forged datagrams draw no more than they are long, move no counter of losses, and bring nobody in.

use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::proof::{hold, proves};
use fleet_tests::wire::{
    accusation, alive, body, datagram, fleet as in_fleet, intent, kind, padded, read, take,
};
use serf_nostd::rules::Rule;
use serf_nostd::{Identity, Status};

use crate::{Heard, SECOND, fire, off, quiet, set};

/// What has been sent to a machine since datagrams are recorded.
fn drawn(fleet: &mut Fleet, to: usize) -> usize {
    let sent = fleet.recording.take().unwrap_or_default();
    sent.iter().filter(|(_, at, _)| *at == to).map(|(_, _, bytes)| bytes.len()).sum()
}

/// Short ones, and such as are as long as an honest one.
#[test]
fn a_request_for_a_list_of_events_from_a_board() {
    for padding in [0, 1_200] {
        let mut fleet = off(1, 13, Size::Server, None);
        fleet.resize(0, Size::Tiny);
        for i in 0..12 {
            fleet.boot(i, &[(i + 11) % 12], false, &mut quiet());
            fleet.run(SECOND, &mut quiet());
        }
        fleet.run(60 * SECOND, &mut quiet());
        fleet.recording = Some(Vec::new());
        let mut spoofed = 0;
        for n in 0..60 {
            let request = body(kind::EVENT_DIGEST_REQUEST).int(n).id(0, 0).bytes(&[7; 64]).id(0, 0).end();
            let padding = body(kind::PADDING).raw(&vec![0; padding]).end();
            let bytes = datagram(&[padding, request]);
            spoofed += bytes.len();
            // Machine 12 is off: it has asked for nothing.
            fleet.inject(12, 0, bytes);
            fleet.run(5 * SECOND, &mut quiet());
        }
        let drawn = drawn(&mut fleet, 12);
        assert!(drawn <= spoofed, "{spoofed} bytes have drawn {drawn}");
    }
}

/// With a boot number to which nobody would follow down.
#[test]
fn a_claim_of_the_name_of_one_who_is_gone() {
    let mut fleet = off(1, 10, Size::Server, None);
    fleet.machines[4].boots = 1 << 41;
    (0..9).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
    fleet.run(60 * SECOND, &mut quiet());
    fleet.crash(4);
    fleet.run(120 * SECOND, &mut quiet());
    let minutes = |fleet: &mut Fleet, attack: bool| {
        let mut forged = 0;
        fleet.recording = Some(Vec::new());
        for _ in 0..60 {
            if attack {
                let bytes = datagram(&[alive(&Fleet::name(4), 9, 1, 1)]);
                forged += bytes.len();
                fleet.inject(9, 1, bytes);
            }
            fleet.run(10 * SECOND, &mut quiet());
        }
        (forged, drawn(fleet, 4))
    };
    let (_, usual) = minutes(&mut fleet, false);
    let (forged, drawn) = minutes(&mut fleet, true);
    assert!(drawn.saturating_sub(usual) <= forged, "{forged} bytes draw {drawn}, where {usual} are usual");
}

#[test]
fn a_history_moves_no_counter() {
    let mut fleet = off(1, 7, Size::Server, None);
    (0..6).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
    fleet.run(20 * SECOND, &mut quiet());
    for n in 0..50 {
        let history = body(kind::HISTORY).id(100, 0).int(1_000 + n).int(77 * n + 5).end();
        let request = body(kind::EVENT_DIGEST_REQUEST).int(n).id(0, 0).bytes(&[7; 64]).id(0, 0).end();
        fleet.inject(6, 1, datagram(&[history, request]));
        fleet.run(SECOND / 10, &mut quiet());
    }
    assert_eq!(fleet.node(1).map(|node| node.stats().event_gaps), Some(0));
}

/// Far more than the table holds, with and without the word that they are of another fleet, which is older than theirs: nobody
/// takes them in or goes there, and who really comes is seen by all.
#[test]
fn ghosts_fill_no_table() {
    proves(Rule::Strangers, 1, |seed, without| {
        let mut fleet = off(seed, 7, Size::Server, without);
        (0..5).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        fleet.run(90 * SECOND, &mut quiet());
        let before = fleet.node(0).map(|node| node.gauges().fleet);
        for n in 0..2_000 {
            let ghost = |g: u64| alive(&format!("ghost-{}", 20 * n + g), 900, 1, 1);
            let mut ghosts: Vec<_> = (0..20).map(ghost).collect();
            ghosts.extend((n % 2 == 0).then(|| in_fleet(1)));
            // Machine 6 is off: nobody answers there.
            fleet.inject(6, (n % 5) as usize, datagram(&ghosts));
            fleet.run(SECOND / 50, &mut quiet());
        }
        fleet.boot(5, &[0], false, &mut quiet());
        fleet.run(10 * SECOND, &mut quiet());
        for i in 0..6 {
            let Some(node) = fleet.node(i) else { continue };
            let names: Vec<_> = node.members().map(|member| member.name.to_string()).collect();
            hold(names.len() == 6 && node.live() == 6, &format!("{} members at node {i}", names.len()))?;
            hold(i == 5 || node.stats().strangers > 0, "refused newcomers are counted")?;
            hold(Some(node.gauges().fleet) == before, "it is in another fleet")?;
        }
        Ok(())
    });
}

/// One who is no kin of theirs has the address of a member that has left, and is tried for it: both fleets stay as they are.
#[test]
fn another_one_at_the_address_of_a_member_that_has_left() {
    let mut fleet = off(1, 5, Size::Server, None);
    (0..3).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
    fleet.run(30 * SECOND, &mut quiet());
    fleet.with(2, &mut quiet(), |node, now| node.leave(now).expect("it can leave"));
    fleet.run(10 * SECOND, &mut quiet());
    fleet.crash(2);
    let home = fleet.address(2);
    fleet.move_to(2, ([10, 9, 9, 9], home.port()).into());
    fleet.move_to(3, home);
    fleet.boot(3, &[], false, &mut quiet());
    fleet.boot(4, &[3], false, &mut quiet());
    fleet.run(600 * SECOND, &mut quiet());
    for (i, members) in [(0, 3), (1, 3), (3, 2), (4, 2)] {
        let node = fleet.node(i).expect("it is on");
        let names: Vec<_> = node.members().map(|member| member.name.to_string()).collect();
        assert_eq!(names.len(), members, "node {i} knows {names:?}");
    }
}

/// One has failed, one has left; a stranger says that both live, in a later life and at the address of somebody who is off.
#[test]
fn who_is_gone_does_not_come_back_at_a_strangers_word() {
    let mut fleet = off(1, 6, Size::Server, None);
    (0..5).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
    fleet.run(30 * SECOND, &mut quiet());
    fleet.with(4, &mut quiet(), |node, now| node.leave(now).expect("it can leave"));
    fleet.run(10 * SECOND, &mut quiet());
    (3..5).for_each(|i| fleet.crash(i));
    fleet.run(60 * SECOND, &mut quiet());
    let boot = |i: usize| (fleet.machines[i].boot_number() + 1) << 16;
    let lie: Vec<_> = (3..5).map(|i| alive(&Fleet::name(i), 5, 1, boot(i))).collect();
    (0..3).for_each(|i| fleet.inject(5, i, datagram(&lie)));
    let mut back = 0;
    for _ in 0..100 {
        fleet.run(SECOND / 5, &mut quiet());
        back += (3..5).filter(|i| fleet.status(0, *i) == Some(Status::Alive)).count();
    }
    assert_eq!(back, 0, "so often somebody who is gone was shown alive");
}

/// One of six boards is cut off for twelve events; these datagrams come to the others, who hold for it what they have been told:
/// how many it has missed in the end. The datagrams are made with the number of their fleet.
fn missed_after(news: impl Fn(u32) -> Vec<Vec<u8>>) -> usize {
    let mut fleet = off(1, 7, Size::Small, None);
    (0..6).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
    fleet.run(20 * SECOND, &mut quiet());
    let mut heard = Heard::new(6);
    fleet.network.side[5] = 1;
    for n in 0..12 {
        fire(&mut fleet, 0, &format!("missed-{n}"), &mut heard).expect("room");
        fleet.run(SECOND / 10, &mut heard.watch());
    }
    fleet.run(2 * SECOND, &mut heard.watch());
    for bytes in news(fleet.node(0).map_or(0, |node| node.gauges().fleet)) {
        (0..5).for_each(|i| fleet.inject(6, i, bytes.clone()));
    }
    fleet.run(5 * SECOND, &mut heard.watch());
    fleet.network.heal();
    fleet.run(60 * SECOND, &mut heard.watch());
    (0..12).filter(|n| heard.count(5, &format!("missed-{n}")) == 0).count()
}

/// By a stranger, and by one who knows their fleet.
#[test]
fn news_about_nobody_drive_no_event_out() {
    let news = |k: usize| {
        let name = format!("{k}-{}", "x".repeat(50));
        match k % 4 {
            0 => intent(kind::JOIN_INTENT, 5, &name),
            1 => intent(kind::LEAVE_INTENT, 5, &name),
            2 => accusation(kind::SUSPECT, &name, 1, "somebody"),
            _ => accusation(kind::DEAD, &name, 1, "somebody"),
        }
    };
    let told = |fleet: u32| {
        let four = |n: usize| (4 * n..4 * n + 4).map(news).chain([in_fleet(fleet)]).collect::<Vec<_>>();
        (0..40).map(|n| datagram(&four(n))).collect()
    };
    assert_eq!(missed_after(|_| told(7)), 0, "of 12 events, by a stranger");
    assert_eq!(missed_after(told), 0, "of 12 events, by one who knows the fleet");
}

/// They take a quarter of a board's bytes at most.
#[test]
fn long_news_about_nobody_drive_no_event_out() {
    let long = |n: usize| {
        let long = body(kind::ALIVE).text(&format!("{n}-{}", "x".repeat(100))).addr(900).int(1).int(1);
        long.raw(&[1]).bytes(&[b't'; 500]).raw(&Identity::VERSIONS).end()
    };
    let missed = missed_after(|fleet| (0..10).map(|n| datagram(&[long(n), in_fleet(fleet)])).collect());
    assert_eq!(missed, 0, "of 12 events");
}

/// A node whose seeds are off has fired, and hears from a stranger; when its seeds are back they have what it has fired.
fn keeps_its_events(strange: impl Fn(&mut Fleet)) {
    let mut fleet = off(1, 5, Size::Server, None);
    let mut heard = Heard::new(5);
    fleet.boot(0, &[1], false, &mut heard.watch());
    fleet.run(20 * SECOND, &mut heard.watch());
    for n in 0..5 {
        fire(&mut fleet, 0, &format!("kept-{n}"), &mut heard).expect("room");
    }
    fleet.run(20 * SECOND, &mut heard.watch());
    strange(&mut fleet);
    fleet.run(20 * SECOND, &mut heard.watch());
    (1..4).for_each(|i| fleet.boot(i, &[1], false, &mut heard.watch()));
    fleet.run(120 * SECOND, &mut heard.watch());
    assert_eq!((0..5).filter(|n| heard.reached(&format!("kept-{n}")) == 4).count(), 5);
}

#[test]
fn a_question_costs_a_lone_node_no_event() {
    keeps_its_events(|_| {});
    keeps_its_events(|fleet| {
        let join = body(kind::JOIN).int(1).text("guest").addr(4).int(1).raw(&[1]).end();
        fleet.inject(4, 0, datagram(&[join]));
    });
}

/// It has asked for their ids, as everybody may, and says that it has them.
#[test]
fn nobody_confirms_a_lone_node_s_events() {
    keeps_its_events(|fleet| {
        fleet.recording = Some(Vec::new());
        let request = body(kind::EVENT_DIGEST_REQUEST).int(7).id(0, 0).bytes(&[7; 64]).id(0, 0).end();
        fleet.inject(4, 0, padded(&[request]));
        fleet.run(SECOND, &mut quiet());
        let sent = fleet.recording.take().expect("it is recorded");
        let answers = sent.iter().filter(|(_, to, _)| *to == 4).flat_map(|(_, _, bytes)| read(bytes));
        let entries =
            answers.into_iter().find(|(found, _)| *found == kind::EVENT_ENTRIES).expect("it answers").1;
        let mut rest = &entries[..];
        let (_nonce, _token) = (take(&mut rest), take(&mut rest));
        assert_eq!(rest[0], 0, "they stand on one page");
        let ids = body(kind::I_HAVE).int(1).raw(&rest[1..]).end();
        fleet.inject(4, 0, datagram(&[ids]));
    });
}

/// Invented ids behind a ping in a member's name are asked for as a stranger's: twice at most.
#[test]
fn ids_in_a_members_name_draw_no_more_than_a_stranger_s() {
    let drawn_by = |what: &[Vec<u8>]| {
        let mut fleet = off(3, 8, Size::Server, None);
        (0..8).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        fleet.run(60 * SECOND, &mut quiet());
        set(&mut fleet, 0, "deploy", "x", &mut Heard::new(8)).expect("room");
        fleet.run(600 * SECOND, &mut quiet());
        fleet.recording = Some(Vec::new());
        if !what.is_empty() {
            fleet.inject(2, 1, datagram(what));
        }
        fleet.run(60 * SECOND, &mut quiet());
        let sent = fleet.recording.take().unwrap_or_default();
        let to_it = sent.iter().filter(|(from, to, _)| (*from, *to) == (1, 2));
        to_it.map(|(_, _, bytes)| bytes.len()).sum::<usize>()
    };
    let usual = drawn_by(&[]);
    let ping = body(kind::PING).int(1).text(&Fleet::name(1)).text(&Fleet::name(2)).raw(&[0]).end();
    let invented = (0..60).fold(body(kind::I_HAVE).int(7), |list, n| list.id(2 + n, 9)).end();
    let forged = ping.len() + invented.len();
    let drawn = drawn_by(&[ping, invented]);
    assert!(drawn <= usual + 2 * forged + 100, "{forged} bytes of ids draw {drawn}, where {usual} are usual");
}

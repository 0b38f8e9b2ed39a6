//! Forged words about members, tables too small for the fleet, and members lost, pruned and disputed.

use fleet_tests::fleet::{Fleet, Size};
use serf_nostd::{Config, Identity, Input, LTIME_LIMIT, MemberChange, Status};

use super::kit::*;

// ---- tables that are too small ----

#[test]
fn news_about_members_that_nobody_can_hold_dies_down() {
    let mut fleet = Fleet::new(5, 40, Size::Tiny, Config::LAN);
    for i in 0..40 {
        fleet.boot(i, &[0], false, &mut |_, _, _, _| {});
    }
    // Each node joins with two pieces of news, which each other one may pass on once.
    let enough = 2 * 40 * 39;
    for tenth in 0..300 {
        fleet.run(SECOND / 10, &mut |_, _, _, _| {});
        let forwarded = fleet.total(|stats| stats.foreign_forwarded);
        assert!(forwarded <= enough, "{forwarded} messages were passed on in {} ms", 100 * (tenth + 1));
    }
}

#[test]
fn a_table_that_cannot_hold_the_fleet_does_not_compare_for_ever() {
    // Eight places for eight live members; a ninth is remembered by the others as failed.
    let mut fleet = Fleet::new(3, 9, Size::Small, Config::LAN);
    fleet.resize(8, Size::Tiny);
    for i in 0..8 {
        fleet.boot(i, &[0], false, &mut |_, _, _, _| {});
    }
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    fleet.crash(7);
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    fleet.boot(8, &[0], false, &mut |_, _, _, _| {});
    fleet.run(600 * SECOND, &mut |_, _, _, _| {});
    let before = fleet.total(|stats| stats.member_syncs);
    fleet.run(600 * SECOND, &mut |_, _, _, _| {});
    assert_eq!(fleet.total(|stats| stats.member_syncs) - before, 0, "nothing changed in ten minutes");
}

#[test]
fn a_full_table_that_refused_a_failed_member_knows_that_it_is_partial() {
    let mut node = Driven::new(tiny(), Config::LAN);
    node.hears(2, &[alive("a", 2, 1, 1), alive("b", 3, 1, 1)]);
    node.run(5 * SECOND, &[2, 3]);
    node.sent.clear();
    while node.said(kind::PING).is_none() || node.sent.iter().all(|(to, _)| *to != addr(2)) {
        node.sent.clear();
        node.now = node.wake;
        node.drain();
    }
    let seq = node.said(kind::PING).map(|body| number(&body)).expect("a probe");
    node.feed(2, &datagram(&[ack(seq), summary(1)]));
    let nonce = node.said(kind::DIGEST_REQUEST).map(|body| number(&body)).expect("it asks what differs");
    let page = body(kind::PAGE).raw(&(nonce as u32).to_le_bytes()).raw(&[0; 4]).end();
    node.feed(2, &datagram(&[page, record("c", 4, 1, 1, 2, 3)]));
    assert_eq!(node.status("c"), None);
    node.sent.clear();
    node.feed(2, &datagram(&[body(kind::PING).int(1).text("me").text("a").raw(&[0]).end()]));
    let summary = node.said(kind::SUMMARY).expect("an ack carries a summary");
    let mut rest = &summary[..];
    for _ in 0..3 {
        take(&mut rest);
    }
    assert_eq!(rest[0], 0, "a table that lacks a member tells no digest of all members");
}

// ---- forged words about members ----

/// Two nodes that know each other: one is going to be slandered, the other to believe it.
fn victim_and_witness() -> (Driven, Driven) {
    let mut victim = Driven::named(small(), Config::LAN, "victim", 1);
    let mut witness = Driven::named(small(), Config::LAN, "witness", 2);
    victim.hears(2, &[alive("witness", 2, 1, 1)]);
    witness.hears(1, &[alive("victim", 1, 1, 1)]);
    (victim, witness)
}

/// Lets two nodes talk.
fn converse(a: &mut Driven, b: &mut Driven, span: u64) {
    let end = a.now.max(b.now) + span;
    loop {
        let now = a.wake.min(b.wake).max(a.now).max(b.now);
        for _ in 0..100 {
            let from_a: Vec<_> =
                std::mem::take(&mut a.sent).into_iter().filter(|(to, _)| *to == addr(2)).collect();
            let from_b: Vec<_> =
                std::mem::take(&mut b.sent).into_iter().filter(|(to, _)| *to == addr(1)).collect();
            if from_a.is_empty() && from_b.is_empty() {
                break;
            }
            from_a.iter().for_each(|(_, bytes)| b.feed(1, bytes));
            from_b.iter().for_each(|(_, bytes)| a.feed(2, bytes));
        }
        if now > end {
            return;
        }
        (a.now, b.now) = (now, now);
        a.drain();
        b.drain();
    }
}

#[test]
fn an_accusation_in_steps_does_not_evict_for_good() {
    let (mut victim, mut witness) = victim_and_witness();
    converse(&mut victim, &mut witness, 5 * SECOND);
    let step = 1 << 20;
    let forged = [
        accusation(kind::SUSPECT, "victim", step, "x"),
        accusation(kind::SUSPECT, "victim", 2 * step, "x"),
        accusation(kind::DEAD, "victim", 3 * step, "x"),
    ];
    witness.feed(99, &datagram(&forged));
    assert_eq!(witness.status("victim"), Some(Status::Failed));
    converse(&mut victim, &mut witness, 300 * SECOND);
    assert_eq!(witness.status("victim"), Some(Status::Alive), "five minutes are enough to be heard");
}

#[test]
fn a_node_that_refuted_far_above_is_still_heard_by_bystanders() {
    let (mut victim, mut witness) = victim_and_witness();
    converse(&mut victim, &mut witness, 5 * SECOND);
    let forged = [1, 2, 3].map(|step| accusation(kind::SUSPECT, "victim", step << 20, "x"));
    witness.feed(99, &datagram(&forged));
    victim.feed(99, &datagram(&forged));
    converse(&mut victim, &mut witness, 60 * SECOND);
    // Somebody who has heard nothing of all this, but of an honest loss of contact.
    let mut bystander = Driven::named(small(), Config::LAN, "witness", 2);
    bystander.now = witness.now;
    bystander.hears(1, &[alive("victim", 1, 1, 1)]);
    bystander.feed(3, &datagram(&[accusation(kind::DEAD, "victim", 1, "c")]));
    converse(&mut victim, &mut bystander, 300 * SECOND);
    assert_eq!(bystander.status("victim"), Some(Status::Alive), "five minutes are enough to be heard");
}

#[test]
fn an_accusation_at_the_greatest_incarnation_does_not_evict_for_good() {
    let (mut victim, mut witness) = victim_and_witness();
    converse(&mut victim, &mut witness, 5 * SECOND);
    for step in 1..=4_096u64 {
        let incarnation = (step << 20).min(u32::MAX as u64) as u32;
        let forged = datagram(&[accusation(kind::SUSPECT, "victim", incarnation, "x")]);
        for node in [&mut victim, &mut witness] {
            let _ =
                node.node.handle(node.at(), Input::Datagram { from: addr(99), bytes: &mut forged.clone() });
        }
    }
    witness.feed(99, &datagram(&[accusation(kind::DEAD, "victim", u32::MAX, "x")]));
    victim.drain();
    assert_eq!(witness.status("victim"), Some(Status::Failed));
    converse(&mut victim, &mut witness, 300 * SECOND);
    assert_eq!(witness.status("victim"), Some(Status::Alive), "five minutes are enough to be heard");
}

#[test]
fn a_forged_boot_does_not_make_a_node_unheard() {
    let (mut victim, mut witness) = victim_and_witness();
    converse(&mut victim, &mut witness, 5 * SECOND);
    victim.hears(99, &[alive("victim", 1, u32::MAX, u64::MAX)]);
    converse(&mut victim, &mut witness, 5 * SECOND);
    witness.feed(99, &datagram(&[accusation(kind::DEAD, "victim", 1, "x")]));
    converse(&mut victim, &mut witness, 300 * SECOND);
    assert_eq!(witness.status("victim"), Some(Status::Alive), "five minutes are enough to be heard");
}

#[test]
fn tags_can_still_be_changed_at_the_greatest_incarnation() {
    let (mut victim, mut witness) = victim_and_witness();
    converse(&mut victim, &mut witness, 5 * SECOND);
    for step in 1..=4_096u64 {
        let incarnation = (step << 20).min(u32::MAX as u64) as u32;
        let forged = datagram(&[accusation(kind::SUSPECT, "victim", incarnation, "x")]);
        let _ =
            victim.node.handle(victim.at(), Input::Datagram { from: addr(99), bytes: &mut forged.clone() });
        let _ =
            witness.node.handle(witness.at(), Input::Datagram { from: addr(99), bytes: &mut forged.clone() });
    }
    converse(&mut victim, &mut witness, 60 * SECOND);
    victim.node.set_tags(victim.at(), &[0xff, 0x80]).expect("short tags");
    victim.drain();
    converse(&mut victim, &mut witness, 60 * SECOND);
    let tags = witness.node.member("victim").map(|member| member.tags.to_vec());
    assert_eq!(tags, Some(vec![0xff, 0x80]));
}

/// Has a stranger asked for records, and answers.
fn told_by_a_stranger(node: &mut Driven, records: &[Vec<u8>]) -> bool {
    node.run(30 * SECOND, &[2]);
    node.sent.clear();
    node.feed(99, &datagram(&[summary(1)]));
    let Some(request) = node.said(kind::DIGEST_REQUEST) else { return false };
    let page = body(kind::PAGE).raw(&(number(&request) as u32).to_le_bytes()).raw(&[0; 4]).end();
    node.feed(99, &datagram(&[vec![page], records.to_vec()].concat()));
    true
}

#[test]
fn a_record_cannot_poison_the_time_of_a_members_intents() {
    let mut node = Driven::new(small(), Config::LAN);
    node.hears(2, &[alive("a", 2, 1, 1)]);
    told_by_a_stranger(&mut node, &[record("a", 2, 1, 1, 0, LTIME_LIMIT - 1)]);
    node.feed(2, &datagram(&[accusation(kind::DEAD, "a", 1, "x")]));
    assert_eq!(node.status("a"), Some(Status::Failed));
    node.node.force_leave(node.at(), "a", false);
    node.drain();
    assert_eq!(node.status("a"), Some(Status::Left), "force-leave still works");
}

#[test]
fn a_record_cannot_poison_the_own_clock() {
    let mut node = Driven::new(small(), Config::LAN);
    node.hears(2, &[alive("a", 2, 1, 1)]);
    let before = node.node.gauges().member_time;
    told_by_a_stranger(&mut node, &[record("me", 1, 1, 1, 0, LTIME_LIMIT - 2)]);
    let moved = node.node.gauges().member_time - before;
    assert!(moved <= 4 * serf_nostd::LTIME_JUMP, "one datagram moved the clock by {moved}");
}

#[test]
fn a_leaving_node_refutes_nothing_about_itself() {
    let mut node = Driven::new(small(), Config::LAN);
    node.hears(2, &[alive("a", 2, 1, 1)]);
    node.node.leave(node.at()).expect("it runs");
    let before = node.node.this().incarnation;
    node.hears(2, &[alive("me", 1, 5, 1), accusation(kind::SUSPECT, "me", 9, "a")]);
    assert_eq!(node.node.this().incarnation, before);
}

#[test]
fn an_older_life_does_not_take_the_place_of_a_failed_newer_one() {
    let mut node = Driven::new(small(), Config::LAN);
    node.hears(2, &[alive("a", 3, 1, 2)]);
    node.feed(2, &datagram(&[accusation(kind::DEAD, "a", 1, "x")]));
    node.hears(2, &[alive("a", 2, 1, 1)]);
    assert_eq!(node.status("a"), Some(Status::Failed));
}

// ---- members: losing, pruning, disputing ----

#[test]
fn pruning_a_failed_member_reaches_the_whole_fleet() {
    let mut fleet = Fleet::new(4, 6, Size::Small, Config::LAN);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.crash(5);
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    fleet.with(0, &mut |_, _, _, _| {}, |node, now| node.force_leave(now, "node-5", true));
    fleet.run(120 * SECOND, &mut |_, _, _, _| {});
    let held: Vec<_> = (0..5).map(|i| fleet.status(i, 5)).collect();
    assert_eq!(held, [None; 5]);
}

#[test]
fn a_refuted_prune_is_forgotten() {
    let mut node = Driven::new(small(), Config::LAN);
    node.hears(2, &[alive("a", 2, 1, 1)]);
    node.node.force_leave(node.at(), "a", true);
    node.feed(2, &datagram(&[intent(kind::JOIN_INTENT, 9, "a")]));
    node.feed(2, &datagram(&[accusation(kind::DEAD, "a", 1, "x")]));
    node.feed(2, &datagram(&[intent(kind::LEAVE_INTENT, 3, "a")]));
    node.run(SECOND, &[]);
    assert_eq!(node.status("a"), Some(Status::Failed), "an old word to leave erases nobody");
}

#[test]
fn an_evicted_members_end_is_told() {
    let mut node = Driven::new(tiny(), Config::LAN);
    node.hears(2, &[alive("a", 2, 1, 1), alive("b", 3, 1, 1)]);
    node.run(5 * SECOND, &[2, 3]);
    node.hears(2, &[accusation(kind::DEAD, "a", 1, "b"), alive("c", 4, 1, 1)]);
    node.run(5 * SECOND, &[3, 4]);
    let ends = [MemberChange::Failed, MemberChange::Leave, MemberChange::Reap];
    let told = |change: &MemberChange| node.told.contains(&Told::Member(*change, "a".to_string()));
    assert!(ends.iter().any(told), "a came and is gone, and the application was told {:?}", node.told);
}

#[test]
fn a_reap_is_told_even_while_a_join_is() {
    let mut node = Driven::new(small(), Config::LAN);
    node.hears(2, &[alive("a", 2, 1, 1)]);
    node.run(5 * SECOND, &[2]);
    node.feed(3, &datagram(&[accusation(kind::DEAD, "a", 1, "x")]));
    node.node.force_leave(node.at(), "a", true);
    node.node.join(node.at(), addr(1), false).expect("joining oneself succeeds at once");
    node.drain();
    node.run(5 * SECOND, &[]);
    assert_eq!(node.status("a"), None);
    assert!(node.told.contains(&Told::Member(MemberChange::Reap, "a".to_string())), "{:?}", node.told);
}

#[test]
fn a_node_that_was_frozen_during_a_dispute_accuses_nobody() {
    let mut node = Driven::new(small(), Config::LAN);
    node.hears(2, &[alive("a", 2, 1, 1)]);
    node.run(5 * SECOND, &[2]);
    node.hears(3, &[alive("a", 3, 1, 2)]);
    node.run(600_000, &[]);
    node.now += 60 * SECOND;
    node.drain();
    assert_eq!(
        node.status("a"),
        Some(Status::Alive),
        "the clock jumped: the node was frozen, not the holder"
    );
}

#[test]
fn a_members_tags_are_not_lost_by_a_teller_who_cannot_hold_them() {
    let mut node = Driven::new(server(), Config::LAN);
    let tags = [0xff, 0x81, 0xa1, b'k', 0xa1, b'v'];
    let told = |incarnation, tags: Option<&[u8]>| {
        let body = body(kind::ALIVE).text("a").addr(2).int(incarnation).int(1);
        let body = match tags {
            Some(tags) => body.raw(&[1]).bytes(tags),
            None => body.raw(&[0]),
        };
        datagram(&[body.raw(&Identity::VERSIONS).end()])
    };
    node.feed(2, &told(1, Some(&tags)));
    node.run(5 * SECOND, &[2]);
    node.told.clear();
    node.feed(3, &told(2, None));
    node.run(2 * SECOND, &[]);
    assert_eq!(node.told, [], "a refutation is no update");
}

/// Three names of one hash, which a laptop finds in a second, told of with tags that fill a page, and differently to each.
#[test]
fn names_of_one_hash_do_not_keep_comparisons_going() {
    let names = ["fd3da4", "faf74ac", "f1014b75"];
    let told = |name: &str, tag: u8| {
        let body = body(kind::ALIVE).text(name).addr(9).int(1).int(1).raw(&[1]).bytes(&[tag; 505]);
        datagram(&[body.raw(&Identity::VERSIONS).end()])
    };
    let mut fleet = Fleet::new(1, 4, Size::FullMembers(64), Config::LAN);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    for i in 0..4 {
        names.iter().for_each(|name| fleet.inject(3 - i, i, told(name, b'a' + (i % 2) as u8)));
    }
    fleet.run(600 * SECOND, &mut |_, _, _, _| {});
    let before = fleet.sent().0;
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    let rate = (fleet.sent().0 - before) / 60 / 4;
    assert!(rate < 1_000, "ten minutes after twelve forged datagrams each node sends {rate} bytes a second");
}

/// Nobody is forgotten while the application can't be told of it.
#[test]
fn a_newcomer_waits_while_the_application_takes_nothing() {
    let mut node = Driven::met(tiny(), Config::LAN);
    node.hears(2, &[alive("a", 2, 1, 1)]);
    node.hears(3, &[alive("b", 3, 1, 1)]);
    node.run(10 * SECOND, &[2, 3]);
    node.told.clear();
    node.node.set_app_ready(false);
    node.feed(2, &datagram(&[accusation(kind::DEAD, "b", 1, "a")]));
    node.hears(2, &[alive("c", 4, 1, 1)]);
    node.run(10 * SECOND, &[2]);
    assert_eq!((&node.told[..], node.status("b")), (&[][..], Some(Status::Failed)));
}

/// An accusation names a life: one that is over, or one that this node has not met, is nobody's business here.
#[test]
fn an_accusation_of_another_life_is_not_heeded() {
    let mut node = Driven::met(small(), Config::LAN);
    node.hears(2, &[alive("a", 2, 5, 1 << 20)]);
    for boot in [1, (1 << 20) - 1, (1 << 20) + 1, u64::MAX] {
        node.feed(99, &datagram(&[accusation_of(kind::DEAD, "a", (u32::MAX, boot), "x")]));
        assert_eq!(node.status("a"), Some(Status::Alive), "boot {boot}");
    }
    node.feed(99, &datagram(&[accusation_of(kind::DEAD, "a", (5, 1 << 20), "x")]));
    assert_eq!(node.status("a"), Some(Status::Failed));
}

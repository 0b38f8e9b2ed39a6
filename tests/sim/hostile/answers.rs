//! Amplification: what one datagram from a stranger draws.

use fleet_tests::fleet::{Fleet, Size};
use serf_nostd::Config;

use super::kit::*;

/// Bytes that one datagram from a stranger draws to an address that never answered.
fn drawn(node: &mut Driven, request: &[u8]) -> usize {
    node.run(30 * SECOND, &[]);
    node.sent.clear();
    node.feed(99, request);
    node.run(10 * SECOND, &[]);
    let sent = std::mem::take(&mut node.sent);
    sent.iter().filter(|(to, _)| *to == addr(99)).map(|(_, bytes)| bytes.len()).sum()
}

fn well_stocked() -> Driven {
    let mut node = Driven::new(server(), Config::LAN);
    for place in 2..14 {
        node.hears(place, &[alive(&format!("member-{place}"), place, 1, 1)]);
    }
    for ltime in 1..60 {
        node.feed(2, &datagram(&[event(ltime, 7, b"e", &[b'x'; 400], false)]));
    }
    node
}

#[test]
fn many_page_requests_in_one_datagram_draw_no_more_than_one() {
    let request: Vec<_> = (0..100).map(|nonce| body(kind::PAGE_REQUEST).int(nonce).int(0).end()).collect();
    let request = padded(&request);
    let answer = drawn(&mut well_stocked(), &request);
    assert!(answer <= request.len(), "{} bytes draw {answer}", request.len());
}

#[test]
fn many_pings_in_one_datagram_draw_no_more_than_they_are() {
    let ping = |seq| body(kind::PING).int(seq).text("me").text("stranger").raw(&[0]).end();
    let request = padded(&(0..50).map(ping).collect::<Vec<_>>());
    let answer = drawn(&mut well_stocked(), &request);
    assert!(answer <= request.len(), "{} bytes draw {answer}", request.len());
}

#[test]
fn a_pull_of_many_events_draws_no_more_than_it_is() {
    let pull = (1..60).fold(body(kind::I_WANT).int(1), |list, ltime| list.id(ltime, 7)).end();
    let request = datagram(&[pull]);
    let answer = drawn(&mut well_stocked(), &request);
    assert!(answer <= request.len(), "{} bytes draw {answer}", request.len());
}

#[test]
fn a_strangers_summary_draws_no_more_than_it_is() {
    let request = datagram(&[summary(1)]);
    let answer = drawn(&mut well_stocked(), &request);
    assert!(answer <= request.len(), "{} bytes draw {answer}", request.len());
}

#[test]
fn a_strangers_announcement_draws_no_more_than_twice_its_size() {
    let request = datagram(&[body(kind::I_HAVE).int(7).id(1_000, 9).end()]);
    let answer = drawn(&mut well_stocked(), &request);
    assert!(answer <= 2 * request.len(), "{} bytes draw {answer}", request.len());
}

/// Before or behind something else that wants an answer.
#[test]
fn a_strangers_announcement_and_a_request_draw_no_more_than_twice_their_size() {
    let page = body(kind::PAGE_REQUEST).int(1).int(0).end();
    let ids = (0..40).fold(body(kind::I_HAVE).int(7), |list, n| list.id(1_000 + n, 9)).end();
    for request in [[page.clone(), ids.clone()], [ids, page]] {
        let request = datagram(&request);
        let answer = drawn(&mut well_stocked(), &request);
        assert!(answer <= 2 * request.len(), "{} bytes draw {answer}", request.len());
    }
}

#[test]
fn accusations_draw_one_round_of_refutations_per_tick() {
    let mut node = well_stocked();
    node.run(30 * SECOND, &[]);
    node.sent.clear();
    for incarnation in 1..20 {
        node.feed(99, &datagram(&[accusation(kind::SUSPECT, "me", incarnation, "member-2")]));
        node.now += 1_000;
    }
    assert!(node.sent.len() <= 20, "{} datagrams for {} members", node.sent.len(), node.node.live());
    node.sent.clear();
    node.run(SECOND / 2, &[]);
    assert!(node.said(kind::ALIVE).is_some(), "the last one is contradicted too, with the next tick");
}

#[test]
fn a_strangers_ping_to_a_lone_node_draws_no_more_than_it_is() {
    for padding in [0, 20, 60] {
        let mut node = Driven::new(small(), Config::LAN);
        let ping = body(kind::PING).int(1).text("me").text("stranger").raw(&[0]).end();
        let request = datagram(&[body(kind::PADDING).raw(&vec![0; padding]).end(), ping]);
        let answer = drawn(&mut node, &request);
        assert!(answer <= request.len(), "{} bytes draw {answer}", request.len());
    }
}

#[test]
fn many_indirect_pings_in_one_datagram_are_one() {
    let mut node = well_stocked();
    node.run(30 * SECOND, &[]);
    node.sent.clear();
    let ping = |seq| {
        let body = body(kind::INDIRECT_PING).int(seq).text("member-2").addr(2);
        body.raw(&[1]).text("stranger").raw(&[0]).end()
    };
    node.feed(99, &datagram(&(0..36).map(ping).collect::<Vec<_>>()));
    assert_eq!(node.node.stats().relays_refused, 35, "one probe on a stranger's behalf");
}

/// Forged claims of names draw pings to an address that never said a word.
#[test]
fn claims_of_names_draw_little_to_a_third_party() {
    let mut fleet = Fleet::new(1, 11, Size::Small, Config::LAN);
    (0..10).for_each(|i| fleet.boot(i, &[0], false, &mut |_, _, _, _| {}));
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    // With the heads of the network: a victim pays for those as well.
    let size = |bytes: &[u8]| bytes.len() + 28;
    let forged = datagram(&(2..6).map(|i| alive(&Fleet::name(i), 10, 1, 1)).collect::<Vec<_>>());
    fleet.recording = Some(Vec::new());
    fleet.inject(10, 1, forged.clone());
    fleet.run(30 * SECOND, &mut |_, _, _, _| {});
    let sent = fleet.recording.take().unwrap_or_default();
    let drawn: usize = sent.iter().filter(|(_, to, _)| *to == 10).map(|(_, _, bytes)| size(bytes)).sum();
    assert!(drawn <= 2 * size(&forged), "{} bytes draw {drawn} to a third party", size(&forged));
}

/// What strangers tell of histories is not worked out, and moves no counter.
#[test]
fn forged_histories_count_nothing() {
    let mut node = well_stocked();
    let history = body(kind::HISTORY).id(5_000, 7).int(5).int(6).end();
    node.feed(99, &datagram(&vec![history; 85]));
    assert_eq!(node.node.stats().event_gaps, 0);
}

/// Under the token of who is only asked whether it has an event, and under many: still one datagram for one.
#[test]
fn announcements_under_odd_tokens_draw_no_more_than_twice_their_size() {
    let ids = (0..16).fold(body(kind::I_HAVE).int(u32::MAX as u64), |list, n| list.id(5 + n, 9)).end();
    let many = (0..16).map(|token| body(kind::I_HAVE).int(token).id(5 + token, 9).end()).collect();
    for lists in [vec![ids], many] {
        let mut node = Driven::met(server(), Config::LAN);
        node.hears(2, &[alive("peer", 2, 1, 1)]);
        node.run(4 * SECOND, &[2]);
        node.sent.clear();
        let request = datagram(&lists);
        node.feed(77, &request);
        node.run(20 * SECOND, &[]);
        // With the heads of the network.
        let to_it = node.sent.iter().filter(|(to, _)| *to == addr(77));
        let drawn: usize = to_it.map(|(_, bytes)| bytes.len() + 28).sum();
        assert!(drawn <= 2 * (request.len() + 28), "{} bytes draw {drawn}", request.len());
    }
}

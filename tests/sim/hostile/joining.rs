//! Joining: early gossip, answers that fail or never come, seeds tried again.

use serf_nostd::Config;

use super::kit::*;

#[test]
fn gossip_before_the_join_answer_does_not_bring_old_events() {
    let mut node = Driven::new(small(), Config::LAN);
    node.node.start(node.at(), &[addr(2)]);
    node.drain();
    let nonce = node.said(kind::JOIN).map(|body| number(&body)).expect("it joins");
    node.feed(3, &datagram(&[alive("old-friend", 3, 1, 1)]));
    node.feed(2, &datagram(&[body(kind::JOIN_ANSWER).int(nonce).int(100).int(100).int(1).end()]));
    node.feed(2, &datagram(&[event(50, 7, b"old", b"1", false)]));
    assert!(!node.told.contains(&Told::User(50, b"1".to_vec())), "an event from before the join");
}

#[test]
fn a_failed_join_is_told_in_time() {
    let mut node = Driven::new(small(), Config::LAN);
    node.run(2 * SECOND, &[]);
    node.node.join(node.at(), addr(2), false).expect("there is room");
    node.drain();
    node.run(11 * SECOND, &[]);
    assert!(node.told.contains(&Told::JoinFailed), "{:?}", node.told);
}

#[test]
fn a_node_that_is_its_only_seed_does_not_wait() {
    let mut node = Driven::new(small(), Config::LAN);
    node.node.start(node.at(), &[addr(1)]);
    node.drain();
    assert!(!node.node.is_starting());
}

#[test]
fn a_seed_that_is_tried_again_in_silence_fails_in_silence() {
    let mut node = Driven::new(small(), Config::LAN);
    node.hears(2, &[alive("a", 2, 1, 1)]);
    node.node.join(node.at(), addr(2), false).expect("there is room");
    node.drain();
    let nonce = node.said(kind::JOIN).map(|body| number(&body)).expect("it joins");
    node.feed(2, &datagram(&[body(kind::JOIN_ANSWER).int(nonce).int(1).int(1).int(1).end()]));
    node.told.clear();
    node.sent.clear();
    node.run(31 * SECOND, &[]);
    let again = node.said(kind::JOIN).map(|body| number(&body)).expect("the seed is tried again");
    node.feed(2, &datagram(&[body(kind::NAME_TAKEN).int(again).end()]));
    assert!(!node.told.contains(&Told::JoinFailed), "nobody asked for this join");
}

/// Whoever pings a lone node is asked for a way in; so many do that there is no room for another question.
#[test]
fn pings_of_strangers_do_not_keep_a_node_from_joining() {
    let mut node = Driven::new(small(), Config::LAN);
    node.run(2 * SECOND, &[]);
    for place in 50..70 {
        let ping = body(kind::PING).int(1).text("me").text("stranger").raw(&[0]).end();
        // As long as a question.
        node.feed(place, &datagram(&[ping, body(kind::PADDING).raw(&[0; 100]).end()]));
    }
    let seeds: Vec<_> = (2..10).map(addr).collect();
    node.node.start(node.at(), &seeds);
    node.sent.clear();
    node.drain();
    node.run(SECOND, &[]);
    let asked = |seed: &std::net::SocketAddr| node.sent.iter().any(|(to, _)| to == seed);
    assert!(seeds.iter().all(asked), "each seed is asked");
}

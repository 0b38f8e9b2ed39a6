//! For unit tests: a node taken apart, on memory of its own.

use std::boxed::Box;
use std::format;

use crate::config::Config;
use crate::context::Cx;
use crate::membership::Identity;
use crate::membership::messages::Effect;
use crate::node::Node;
use crate::storage;
use crate::sync::{AntiEntropy, Engines};
use crate::time::Instant;
use crate::wire::message::{Address, Alive, EventId};

/// Places for members, this node included.
pub(crate) const MEMBERS: usize = 8;

/// `10.0.0.<i>`.
pub(crate) fn addr(i: u8) -> Address {
    core::net::SocketAddr::from(([10, 0, 0, i], 7946)).into()
}

/// What the member of this number says of itself.
pub(crate) fn alive(name: &str, i: u8, boot: u64, incarnation: u32) -> Alive<'_> {
    Alive { node: name, addr: addr(i), incarnation, boot, tags: Some(&[]), versions: Identity::VERSIONS }
}

pub(crate) fn id(ltime: u64, origin: u64) -> EventId {
    EventId { ltime, origin }
}

/// A node called `self`, which knows nobody, after a minute.
pub(crate) fn node() -> (Cx<'static>, Engines<'static>, AntiEntropy) {
    let storage = Box::leak(Box::new(<storage! { members: 8, seen: 32, slots: 8 }>::new()));
    let addr = core::net::SocketAddr::from(([10, 0, 0, 0], 7946));
    let identity =
        Identity { name: "self", addr, boot: 1, instance: 0, tags: &[], versions: Identity::VERSIONS };
    let config = Config { event_floor: 0, ..Config::LAN };
    let now = Instant::from_millis(60_000);
    Node::new(storage.memory(), config, identity, 7, now).expect("sound").into_parts()
}

/// The same, with so many live members `m1`, `m2`, ..., each in its boot 5 and incarnation 5.
pub(crate) fn fleet(others: u8) -> (Cx<'static>, Engines<'static>, AntiEntropy) {
    let (mut cx, mut e, sync) = node();
    for i in 1..=others {
        let name = format!("m{i}");
        let effect = e.members.alive(&mut cx, &alive(&name, i, 5, 5), false);
        assert!(matches!(effect, Effect::Update(..)));
    }
    (cx, e, sync)
}

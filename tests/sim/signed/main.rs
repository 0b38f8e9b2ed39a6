//! Events and queries that only operators may fire and ask, in fleets with somebody who has the fleet's key, and no operator's.

mod events;
mod queries;
mod thief;

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Size};
use serf_nostd::{Authority, Config, Key, Operator, public_key};

const OPERATOR: [u8; 32] = [7; 32];
const THIEF: usize = 0;

/// An agent's checks.
fn authority() -> Authority {
    let patterns = &["reboot", "deploy/*", "query:disk-*", "keys:*"];
    let operator = Operator { key: public_key(&OPERATOR), patterns };
    Authority::new(vec![operator].leak(), 500)
}

/// A fleet that knows an operator. Machine 0 is told of none: its programs are the thief's.
fn fleet(seed: u64, nodes: usize, loss: f64) -> Fleet {
    let mut fleet = begun(Fleet::new(seed, nodes, Size::Small, Config::LAN));
    fleet.network.loss = loss;
    fleet
}

/// The same with a key.
fn sealed(seed: u64, nodes: usize, key: Key) -> Fleet {
    let mut fleet = Fleet::new(seed, nodes, Size::Small, Config::LAN);
    fleet.key = Some(key);
    begun(fleet)
}

fn begun(mut fleet: Fleet) -> Fleet {
    fleet.check_every = 1;
    fleet.boot(THIEF, &[], false, &mut |_, _, _, _| {});
    fleet.config.authority = authority();
    for i in 1..fleet.machines.len() {
        fleet.boot(i, &[THIEF], false, &mut |_, _, _, _| {});
    }
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    assert!(fleet.agreed());
    fleet
}

/// The thief tells all the others.
fn tell(fleet: &mut Fleet, bytes: &[u8]) {
    (1..fleet.machines.len()).for_each(|to| fleet.inject(THIEF, to, bytes.to_vec()));
}

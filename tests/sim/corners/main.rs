//! The corners where an audit looked and the random faults had not: poisoned clocks and boots, restarts, long cuts, large
//! bursts over long links, payloads that nobody holds. Each scenario holds, and is seen to break without its rule.

mod clocks;
mod losses;
mod meetings;
mod members;
mod merges;
mod moves;
mod names;
mod recall;
mod restarts;
mod strangers;
mod values;

use fleet_tests::fleet::{Fleet, Seen, Size};
use serf_nostd::Config;
use serf_nostd::rules::Rule;

pub use fleet_tests::chaos::SECOND;

/// A fleet with everybody on, at rest.
fn fleet(seed: u64, nodes: usize, size: Size, without: Option<Rule>) -> Fleet {
    let mut fleet = off(seed, nodes, size, without);
    fleet.assemble(&mut quiet());
    fleet.run(20 * SECOND, &mut quiet());
    fleet
}

/// The same, all off.
fn off(seed: u64, nodes: usize, size: Size, without: Option<Rule>) -> Fleet {
    let mut fleet = Fleet::new(seed, nodes, size, Config::LAN);
    fleet.without = without;
    fleet.check_every = 16;
    fleet
}

fn quiet() -> impl FnMut(usize, u64, u64, Seen) {
    |_, _, _, _| {}
}

/// Which names and payloads each machine's application has been handed, since it was last switched on.
struct Heard(Vec<Vec<(Vec<u8>, Vec<u8>)>>);

impl Heard {
    fn new(machines: usize) -> Heard {
        Heard(vec![Vec::new(); machines])
    }

    fn watch(&mut self) -> impl FnMut(usize, u64, u64, Seen) {
        |i, _, _, seen| {
            if let Seen::User { name, payload, .. } = seen {
                self.0[i].push((name, payload));
            }
        }
    }

    /// How often a machine has been handed this payload.
    fn count(&self, i: usize, payload: &str) -> usize {
        self.0[i].iter().filter(|(_, heard)| heard == payload.as_bytes()).count()
    }

    /// How many machines have been handed this payload, and that once.
    fn reached(&self, payload: &str) -> usize {
        (0..self.0.len()).filter(|i| self.count(*i, payload) == 1).count()
    }

    /// The last value of a name that a machine has been handed.
    fn last(&self, i: usize, name: &str) -> String {
        let last = self.0[i].iter().rfind(|(heard, _)| heard == name.as_bytes());
        last.map_or(String::new(), |(_, payload)| String::from_utf8_lossy(payload).into_owned())
    }
}

/// Fires an event that is not to be coalesced.
fn fire(fleet: &mut Fleet, i: usize, payload: &str, heard: &mut Heard) -> Result<(), String> {
    order(fleet, i, "e", payload, false, heard)
}

/// Sets a value of `name`.
fn set(fleet: &mut Fleet, i: usize, name: &str, payload: &str, heard: &mut Heard) -> Result<(), String> {
    order(fleet, i, name, payload, true, heard)
}

fn order(
    fleet: &mut Fleet,
    i: usize,
    name: &str,
    payload: &str,
    coalesce: bool,
    heard: &mut Heard,
) -> Result<(), String> {
    let fired = fleet.with(i, &mut heard.watch(), |node, now| {
        node.user_event(now, name.as_bytes(), payload.as_bytes(), coalesce)
    });
    match fired {
        Some(Ok(_)) => Ok(()),
        other => Err(format!("node {i} does not fire {payload}: {other:?}")),
    }
}

/// So many events of one machine, as fast as small machines take them in.
fn flow(fleet: &mut Fleet, i: usize, count: usize, label: &str, heard: &mut Heard) -> Result<(), String> {
    for number in 0..count {
        fire(fleet, i, &format!("{label}-{number}"), heard)?;
        fleet.run(SECOND / 20, &mut heard.watch());
    }
    Ok(())
}

//! What must hold. The oracle knows every event that was fired, hears every delivery, and says what is wrong.
//!
//! Events are told apart by their payload, which is a serial number: the oracle does not trust the identities that it
//! checks.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::fleet::{Fleet, Seen};

/// An event that some node accepted.
#[derive(Clone, Debug)]
pub struct Fired {
    /// Its name.
    pub name: Vec<u8>,
    /// Whether it may be coalesced.
    pub coalesce: bool,
    /// The machine, and which of its boots.
    pub origin: (usize, u64),
    /// When.
    pub at: u64,
}

/// Lamport time and origin of an event.
type Id = (u64, u64);

/// What one machine's application has been told since its memory began.
#[derive(Clone, Debug, Default)]
struct Heard {
    serials: HashSet<u64>,
    /// Per name the greatest coalesced event handed out, and the last one.
    last: HashMap<Vec<u8>, (Id, Id)>,
    /// Since when it has been on without a reboot.
    since: u64,
    /// Since when it has been in touch with others, and its floor then: what it may never be handed, with good reason.
    met: Option<(u64, u64)>,
    /// It had started, and met nobody yet.
    alone: bool,
}

/// Within this time a machine has started, and met who is there.
const START: u64 = 15_000_000;

/// The judge of a run.
#[derive(Default)]
pub struct Oracle {
    /// By serial number.
    pub fired: BTreeMap<u64, Fired>,
    heard: Vec<Heard>,
    ids: HashMap<u64, Id>,
    told: HashSet<u64>,
    /// Whether fewer names are in use than any node has coalescing places: then values never go backwards.
    pub ordered: bool,
    /// Whether nothing was over its bounds: then every event reaches everybody who stayed.
    pub lossless: bool,
    next: u64,
    /// What went wrong first.
    pub wrong: Option<String>,
}

impl Oracle {
    /// For a fleet of this many machines, with nothing over its bounds.
    pub fn new(machines: usize) -> Oracle {
        let heard = vec![Heard::default(); machines];
        Oracle { heard, ordered: true, lossless: true, ..Oracle::default() }
    }

    /// A serial number for the next event, to be its payload.
    pub fn serial(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// An event was accepted.
    pub fn fired(&mut self, serial: u64, name: &[u8], coalesce: bool, origin: (usize, u64), at: u64) {
        self.fired.insert(serial, Fired { name: name.to_vec(), coalesce, origin, at });
    }

    /// A machine has been switched on (again). `remembers`: what it had handed out must not come again.
    pub fn booted(&mut self, i: usize, now: u64, remembers: bool) {
        let heard = &mut self.heard[i];
        heard.since = now;
        (heard.met, heard.alone) = (None, false);
        heard.last.clear();
        if !remembers {
            heard.serials.clear();
        }
    }

    /// Notes who has started and met others. They begin at the clock of those whom they meet.
    pub fn look(&mut self, fleet: &Fleet) {
        for (i, heard) in self.heard.iter_mut().enumerate() {
            let started = heard.since + START;
            if heard.met.is_some() || fleet.now() < started {
                continue;
            }
            let Some(node) = fleet.node(i) else { continue };
            if node.live() > 1 {
                let since = if heard.alone { fleet.now() } else { started };
                heard.met = Some((since, node.levels().event_floor));
            }
            heard.alone = node.live() == 1;
        }
    }

    /// How many of the first machines have been handed an event.
    pub fn reached(&self, machines: usize, serial: u64) -> usize {
        self.heard[..machines].iter().filter(|heard| heard.serials.contains(&serial)).count()
    }

    fn complain(&mut self, text: String) {
        self.wrong.get_or_insert(text);
    }

    /// An application was told something.
    pub fn saw(&mut self, i: usize, at: u64, seen: &Seen) {
        let Seen::User { id, name, payload, coalesce } = seen else { return };
        let Some(serial) = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok()) else {
            return self.complain(format!("node {i} was handed an event that nobody fired: {payload:?}"));
        };
        let known = *self.ids.entry(serial).or_insert(*id);
        let at_origin = |fired: &Fired| fired.origin.0 == i;
        let is_own = self.fired.get(&serial).is_some_and(at_origin);
        if !is_own
            && self
                .fired
                .get(&serial)
                .is_some_and(|fired| !self.told.contains(&serial) && fired.origin.0 != i)
        {
            self.told.insert(serial);
            self.ids.insert(serial, *id);
        } else if known != *id && !is_own {
            self.complain(format!("event {serial} has two identities: {known:?} and {id:?}"));
        }
        if !self.heard[i].serials.insert(serial) {
            self.complain(format!("node {i} was handed event {serial} twice, at {at}"));
        }
        if *coalesce {
            let entry = self.heard[i].last.entry(name.clone()).or_default();
            let backwards = entry.1 > *id;
            *entry = (entry.0.max(*id), *id);
            if backwards && self.ordered {
                let name = String::from_utf8_lossy(name).into_owned();
                self.complain(format!(
                    "node {i} was handed an older value of {name}: event {serial}, at {at}"
                ));
            }
        }
    }

    /// Peace: everything that must have arrived by now has.
    pub fn judge(&mut self, fleet: &Fleet) {
        let on: Vec<usize> = (0..self.heard.len()).filter(|i| fleet.is_on(*i)).collect();
        // An event has to spread if its origin, or somebody else who has it, is still in the same boot. But whose floor has
        // passed it since, because it met the fleet only then, passes it on once, and cannot compare it with others.
        let passed = |i: usize, serial: &u64| {
            let floor = fleet.node(i).map_or(0, |node| node.levels().event_floor);
            self.ids.get(serial).is_some_and(|id| id.0 <= floor)
        };
        let alive = |serial: &u64, fired: &Fired| {
            let (i, boot) = fired.origin;
            fleet.is_on(i) && fleet.machines[i].boots == boot && !passed(i, serial)
        };
        let mut greatest: HashMap<Vec<u8>, Id> = HashMap::new();
        let mut missing = None;
        for (serial, fired) in &self.fired {
            let has = |i: &usize| {
                let heard = &self.heard[*i];
                heard.serials.contains(serial) && heard.since <= fired.at && !passed(*i, serial)
            };
            if !alive(serial, fired) && !on.iter().any(has) {
                continue;
            }
            if fired.coalesce {
                if let Some(id) = self.ids.get(serial) {
                    let entry = greatest.entry(fired.name.clone()).or_default();
                    *entry = (*entry).max(*id);
                }
                continue;
            }
            // Those who were there when it was fired, and are still.
            let stayed = |i: &&usize| {
                let id = self.ids.get(serial);
                let entitled = |(since, floor)| since <= fired.at && id.is_none_or(|id| id.0 > floor);
                self.heard[**i].met.is_some_and(entitled)
            };
            for i in on.iter().filter(stayed) {
                if !self.heard[*i].serials.contains(serial) {
                    missing.get_or_insert(format!(
                        "node {i} was never handed event {serial}, fired by {:?} at {}",
                        fired.origin, fired.at
                    ));
                }
            }
        }
        if self.lossless
            && let Some(text) = missing
        {
            self.complain(text);
        }
        let first = self.fired.values().map(|fired| fired.at).min().unwrap_or(0);
        for (name, id) in greatest {
            let stayed: Vec<usize> =
                on.iter().copied().filter(|i| self.heard[*i].since + START <= first).collect();
            for i in stayed {
                let (most, last) = self.heard[i].last.get(&name).copied().unwrap_or_default();
                let right = if self.ordered { last == id } else { most == id };
                if self.lossless && !right {
                    let name = String::from_utf8_lossy(&name).into_owned();
                    self.complain(format!(
                        "node {i} ends on {last:?} (greatest {most:?}) for {name}; the last value is {id:?}"
                    ));
                }
            }
        }
    }
}

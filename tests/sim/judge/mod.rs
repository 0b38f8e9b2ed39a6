//! What must hold. The judge knows everything that was done to a fleet, hears every delivery, and says what is wrong.
//!
//! It excuses only what README excepts; each excuse has a name, is counted and shown. Events are told apart by their payload,
//! which is a serial number: the judge does not trust the identities that it checks.
//!
//! - [`bounds`]: how long things may take to come right.
//! - `events`: who is to be handed which event, and what is excused.
//! - `values`: last values.
//! - `members`: who is shown how.
//! - [`history`]: what applications are told of members, step by step.

pub mod bounds;
mod events;
pub mod history;
mod members;
mod values;

use std::collections::{BTreeMap, HashMap, HashSet};

use serf_nostd::{Config, Stats};

use crate::fleet::{Fleet, Seen};
use history::History;

/// Lamport time and origin of an event.
pub type Id = (u64, u64);

/// What a machine that is switched on knows of its last life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// It may be handed again what it was handed before.
    Forgets,
    /// Its floor survived as it was.
    Remembers,
}

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
    /// In which fleet its origin was then; 0: in none yet.
    pub fleet: u32,
}

/// One boot of a machine.
#[derive(Clone, Debug, Default)]
struct Life {
    /// When it began.
    since: u64,
    /// Which fleet it has been in since when.
    fleets: Vec<(u64, u32)>,
    /// Serial numbers that its application was handed.
    heard: HashSet<u64>,
    /// By name of a coalesced event: the serial number and the identity of the last one handed out.
    last: BTreeMap<Vec<u8>, (u64, Id)>,
    history: History,
}

impl Life {
    /// The fleet that it was in at some time; 0: in none.
    fn fleet_at(&self, at: u64) -> u32 {
        self.fleets.iter().rfind(|(since, _)| *since <= at).map_or(0, |(_, fleet)| *fleet)
    }

    /// Since when it has been in the fleet that it is in now.
    fn settled(&self) -> u64 {
        self.fleets.last().map_or(u64::MAX, |(since, _)| *since)
    }
}

#[derive(Clone, Debug, Default)]
struct Machine {
    boots: u64,
    life: Option<Life>,
    /// What it was handed in earlier lives that its memory covers.
    remembered: HashSet<u64>,
    /// It was to leave, or was said to have left.
    leaves: bool,
    /// Its node has left in good order, and said so: it is to be shown as left while it is off.
    left: bool,
    /// It is to be shown by nobody while it is off.
    pruned: bool,
}

/// What was not as it is promised, and why that is excused, by name.
pub type Excused = BTreeMap<&'static str, u64>;

/// The judge of a run.
pub struct Judge {
    config: Config,
    /// By serial number.
    pub fired: BTreeMap<u64, Fired>,
    machines: Vec<Machine>,
    /// By serial number: the identity that others were told, and the origin's.
    ids: HashMap<u64, Id>,
    own_ids: HashMap<u64, Id>,
    serials: HashMap<Id, u64>,
    /// Times at which not everything could reach everybody: from, to.
    troubles: Vec<(u64, u64)>,
    /// Somebody lied until then.
    forged_until: Option<u64>,
    /// Fewer names are in use than any node has coalescing places: then values never go backwards.
    pub ordered: bool,
    /// Two machines go by one name.
    pub namesakes: bool,
    excused: Excused,
    next: u64,
    wrong: Option<String>,
}

impl Judge {
    /// For a fleet of this many machines, with this timing.
    pub fn new(machines: usize, config: Config) -> Judge {
        Judge {
            config,
            fired: BTreeMap::new(),
            machines: vec![Machine::default(); machines],
            ids: HashMap::new(),
            own_ids: HashMap::new(),
            serials: HashMap::new(),
            troubles: Vec::new(),
            forged_until: None,
            ordered: true,
            namesakes: false,
            excused: Excused::new(),
            next: 0,
            wrong: None,
        }
    }

    /// A serial number for the next event, to be its payload.
    pub fn serial(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A machine has been switched on (again).
    pub fn switched_on(&mut self, i: usize, now: u64, memory: Memory) {
        let machine = &mut self.machines[i];
        if memory == Memory::Forgets {
            machine.remembered.clear();
        }
        machine.boots += 1;
        machine.life = Some(Life { since: now, ..Life::default() });
        (machine.leaves, machine.left, machine.pruned) = (false, false, false);
    }

    /// A machine has lost power.
    pub fn switched_off(&mut self, i: usize) {
        let machine = &mut self.machines[i];
        if let Some(life) = machine.life.take() {
            machine.remembered.extend(life.heard);
        }
    }

    /// A machine was told to leave, and took it.
    pub fn leaves(&mut self, i: usize) {
        self.machines[i].leaves = true;
    }

    /// Somebody was told that a machine is gone for good. `prune`: that it is to be forgotten.
    pub fn forced_out(&mut self, i: usize, prune: bool) {
        if self.machines[i].life.is_none() {
            self.machines[i].leaves = true;
            self.machines[i].pruned = prune;
        }
    }

    /// Not everything reaches everybody from now on.
    pub fn cut(&mut self, now: u64) {
        if self.troubles.last().is_none_or(|(_, to)| *to != u64::MAX) {
            self.troubles.push((now, u64::MAX));
        }
    }

    /// Everything does again.
    pub fn healed(&mut self, now: u64) {
        if let Some((_, to)) = self.troubles.last_mut() {
            *to = (*to).min(now);
        }
    }

    /// Somebody among the members lies.
    pub fn forger(&mut self, now: u64) {
        self.forged_until = Some(now);
    }

    /// Whether there was trouble between two times.
    fn troubled(&self, from: u64, to: u64) -> bool {
        self.troubles.iter().any(|(began, ended)| *began <= to && *ended >= from)
    }

    /// An event was accepted.
    pub fn fired(&mut self, fleet: &Fleet, serial: u64, name: &[u8], coalesce: bool, i: usize) {
        let in_fleet = fleet.node(i).map_or(0, |node| node.levels().fleet);
        let origin = (i, self.machines[i].boots);
        let event = Fired { name: name.to_vec(), coalesce, origin, at: fleet.now(), fleet: in_fleet };
        self.fired.insert(serial, event);
    }

    fn complain(&mut self, text: String) {
        self.wrong.get_or_insert(text);
    }

    fn excuse(&mut self, why: &'static str) {
        *self.excused.entry(why).or_default() += 1;
    }

    /// An application was told something.
    pub fn saw(&mut self, i: usize, at: u64, seen: &Seen) {
        match seen {
            Seen::User { id, name, payload, coalesce } => {
                self.delivered(i, at, *id, name, payload, *coalesce)
            }
            Seen::Member { change, name, .. } if !self.namesakes && self.forged_until.is_none() => {
                let Some(life) = &mut self.machines[i].life else { return };
                if let Err(text) = life.history.tell(name, *change) {
                    self.complain(format!("machine {i} at {at}: {text}"));
                }
            }
            // What it says where not everything arrives need not have come to anybody.
            Seen::Left => self.machines[i].left = !self.troubled(at.saturating_sub(10_000_000), at),
            _ => {}
        }
    }

    /// Notes who is in which fleet.
    pub fn look(&mut self, fleet: &Fleet) {
        for (i, machine) in self.machines.iter_mut().enumerate() {
            let (Some(life), Some(node)) = (&mut machine.life, fleet.node(i)) else { continue };
            let now_in = node.levels().fleet;
            if now_in != life.fleets.last().map_or(0, |(_, fleet)| *fleet) {
                life.fleets.push((fleet.now(), now_in));
            }
        }
    }

    /// What has gone wrong so far, if anything.
    ///
    /// # Errors
    /// What it is.
    pub fn verdict(&mut self) -> Result<(), String> {
        self.wrong.take().map_or(Ok(()), Err)
    }

    /// How many of the first machines have been handed an event in this life.
    pub fn reached(&self, machines: usize, serial: u64) -> usize {
        let has = |machine: &&Machine| machine.life.as_ref().is_some_and(|life| life.heard.contains(&serial));
        self.machines[..machines].iter().filter(has).count()
    }

    /// Peace: everything that must have arrived by now has, and everybody sees everybody as he is.
    ///
    /// # Errors
    /// What is wrong.
    pub fn judge(&mut self, fleet: &Fleet) -> Result<&Excused, String> {
        self.judge_events(fleet);
        self.judge_values(fleet);
        self.judge_members(fleet);
        self.verdict()?;
        Ok(&self.excused)
    }
}

/// Counters that tell of events which a node has not handed out, though they were there to be had.
fn losses(stats: &Stats) -> u64 {
    stats.too_old + stats.event_gaps + stats.pull_miss + stats.events_too_long + stats.shed + stats.app_full
}

/// Counters that tell an origin of its own events which others may not have.
fn own_losses(stats: &Stats) -> u64 {
    stats.own_expired + stats.own_unconfirmed + stats.event_gaps + stats.too_old
}

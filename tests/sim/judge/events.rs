//! Uncoalesced events: each comes to everybody who was there, once, under one identity; or a counter says why not. Nobody is
//! handed what was before it.

use std::collections::{BTreeMap, HashSet};

use super::bounds::Places;
use super::excuse::{Excused, excuse};
use super::presence::Presence;
use super::{Id, Verdict};

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
    /// Which fleet its origin was in; 0: in none.
    pub fleet: u32,
}

/// What one machine's application has been handed.
#[derive(Clone, Debug, Default)]
pub(super) struct Handed {
    /// Since its memory began.
    pub ever: HashSet<u64>,
    /// In its present life.
    pub now: HashSet<u64>,
}

/// What the nodes have counted, and when what they did is to be judged more mildly.
pub(super) struct Counted<'c> {
    /// Of each machine, how often it said that an event is lost to it in its present life.
    pub losses: &'c dyn Fn(usize) -> u64,
    /// Of each machine, how often it said so of one of its own.
    pub own: &'c dyn Fn(usize) -> u64,
    /// The smallest of the fleet's machines.
    pub least: Places,
    /// Nothing may be lost but what as many events have overtaken as a node remembers.
    pub strict: bool,
    /// What was fired before then is judged more mildly: a member lied.
    pub honest_since: u64,
    /// Queries that were asked: they take places as events do.
    pub queries: usize,
}

#[derive(Debug)]
pub(super) struct Events {
    pub fired: BTreeMap<u64, Fired>,
    pub handed: Vec<Handed>,
    /// Under which identity everybody but the origin has been handed it.
    ids: BTreeMap<u64, Id>,
    serials: BTreeMap<Id, u64>,
}

impl Events {
    pub(super) fn new(machines: usize) -> Events {
        Events {
            fired: BTreeMap::new(),
            handed: vec![Handed::default(); machines],
            ids: BTreeMap::new(),
            serials: BTreeMap::new(),
        }
    }

    pub(super) fn switched_on(&mut self, i: usize, remembers: bool) {
        let handed = &mut self.handed[i];
        handed.now.clear();
        if !remembers {
            handed.ever.clear();
        }
    }

    /// An event was handed out: for the first time.
    pub(super) fn handed(&mut self, i: usize, at: u64, serial: u64) -> Verdict {
        self.handed[i].now.insert(serial);
        let first = self.handed[i].ever.insert(serial);
        if first { Ok(()) } else { Err(format!("node {i} was handed event {serial} twice, at {at}")) }
    }

    /// An event was handed out: under its identity, and to somebody for whom it was.
    pub(super) fn saw(&mut self, i: usize, at: u64, (serial, id): (u64, Id), presence: &Presence) -> Verdict {
        let life = &presence.lives[i];
        let fired = self.fired.get(&serial);
        // Who heard nobody when it fired may have stamped it anew for those whom it met: at home it keeps its first time.
        let at_home = fired.is_none_or(|f| f.origin == (i, life.boots));
        if !at_home {
            let known = *self.ids.entry(serial).or_insert(id);
            if known != id {
                return Err(format!("event {serial} has two identities: {known:?} and {id:?}"));
            }
            let owner = *self.serials.entry(id).or_insert(serial);
            if owner != serial {
                return Err(format!("events {owner} and {serial} share the identity {id:?}"));
            }
        }
        match fired {
            Some(fired) if !fired.coalesce && !life.replays => {
                let age = past(i, fired, at, presence);
                age.map_or(Ok(()), |what| Err(format!("node {i} was handed event {serial} at {at}, {what}")))
            }
            _ => Ok(()),
        }
    }

    /// Peace: everything that must have arrived by now has, or is counted.
    pub(super) fn judge(&self, presence: &Presence, counted: &Counted, excused: &mut Excused) -> Verdict {
        let within = counted.least.bear(self.fired.len() + counted.queries);
        let living = presence.living();
        for (serial, fired) in self.fired.iter().filter(|(_, fired)| !fired.coalesce) {
            let has = |i: &usize| self.handed[*i].now.contains(serial);
            let origin_lives = presence.lives(fired.origin);
            // Somebody of its fleet has it: who was in another one, as a friend of its origin's, keeps it for that one.
            let its = |i: &usize| fired.fleet == 0 || presence.fleet_at(*i, fired.at) == fired.fleet;
            let elsewhere = living.iter().any(|i| *i != fired.origin.0 && has(i) && its(i));
            let missing = living.iter().filter(|i| !has(i));
            for i in missing {
                let Some(since) = presence.there_since(*i, fired.at) else { continue };
                let reason = if fired.at < counted.honest_since {
                    Some("a member lied")
                } else if !origin_lives && !elsewhere {
                    Some("died with its origin")
                } else if presence.lives[*i].shares_name || presence.lives[fired.origin.0].shares_name {
                    Some("one name for two")
                } else if fired.fleet != 0 && presence.fleet_at(*i, fired.at) != fired.fleet {
                    Some("of another fleet")
                } else if fired.fleet == 0 && !presence.met_with(*i, fired.origin, fired.at) {
                    Some("fired alone, and another fleet was met first")
                } else {
                    None
                };
                if let Some(reason) = reason {
                    excuse(excused, reason);
                    continue;
                }
                // It was not connected to whatever was fired before the cut behind which it came in had healed.
                let behind =
                    presence.trouble_after(since) > fired.at && presence.trouble_after(since) > since;
                let later = self.fired.range(serial + 1..).count() + counted.queries;
                let overtaken = later >= counted.least.seen;
                // Who is alone keeps its newest ones only, and counts the others.
                let kept = fired.fleet != 0;
                if counted.strict && !overtaken
                    || within && kept && !behind && !presence.moved_on(*i, fired.at)
                {
                    return Err(format!("node {i} was never handed event {serial}, {}", whose(fired)));
                }
                let lost = (counted.losses)(*i);
                let own = if origin_lives { (counted.own)(fired.origin.0) } else { 0 };
                // Whom nobody could tell, can't have counted it; nor what had the time of one that had just come up, and was in no fleet.
                if lost == 0 && (own == 0 || elsewhere && kept) {
                    return Err(format!(
                        "event {serial} is missing at node {i} and nobody counted it, {}",
                        whose(fired)
                    ));
                }
                excuse(excused, "counted loss");
            }
        }
        Ok(())
    }
}

fn whose(fired: &Fired) -> String {
    let Fired { origin: (i, boot), at, fleet, .. } = fired;
    format!("fired by node {i} in boot {boot}, fleet {fleet}, at {at}")
}

/// Why this event should not have been handed to this machine any more.
fn past(i: usize, fired: &Fired, at: u64, presence: &Presence) -> Option<String> {
    let life = &presence.lives[i];
    if fired.fleet != 0 && presence.is_past(fired.at, life.since) {
        return Some(format!("{}, before it booted at {}", whose(fired), life.since));
    }
    let own = presence.fleet_at(i, fired.at);
    if fired.fleet == 0 || own == 0 || own == fired.fleet {
        return None;
    }
    let met = presence.met_after(own, fired.fleet, fired.at).unwrap_or(at);
    let late = presence.trouble_after(fired.at).saturating_add(presence.spreading) < met;
    late.then(|| format!("{}, in another fleet, before they met at {met}", whose(fired)))
}

#[cfg(test)]
mod tests;

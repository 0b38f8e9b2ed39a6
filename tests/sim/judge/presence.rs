//! Who was there when: lives of machines, the fleets that they were in, and times in which not everything arrived.

use std::collections::BTreeMap;

use serf_nostd::{Config, Status};

use super::Verdict;
use super::bounds::{event_loss, partition, spreading};
use crate::fleet::Fleet;

/// The present or last life of a machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    pub on: bool,
    pub boots: u64,
    /// When it began.
    pub since: u64,
    /// When it ended, if it has.
    pub until: u64,
    /// Which fleet it came into, and when; in none at first.
    fleets: Vec<(u64, u32)>,
    /// How much of what its machine tells of that has been read.
    read: usize,
    /// It knows of nobody who lives.
    pub alone: bool,
    /// When it came to know of somebody again, and in which fleet.
    companies: Vec<(u64, u32)>,
    /// It has asked for what was before it.
    pub replays: bool,
    pub name: String,
    /// Another machine has its name.
    pub shares_name: bool,
}

impl Life {
    fn fleet_at(&self, at: u64) -> (u64, u32) {
        let before = self.fleets.iter().rev().find(|(since, _)| *since <= at);
        before.copied().unwrap_or((self.since, 0))
    }
}

/// What is known about all machines, and about the network.
#[derive(Clone, Debug)]
pub(super) struct Presence {
    pub lives: Vec<Life>,
    /// Times in which not everything arrived; the last may be going on.
    troubles: Vec<(u64, u64)>,
    /// When machines of one fleet came into another one: when, from where, where to.
    meetings: Vec<(u64, u32, u32)>,
    /// Machines that know each other and are in two fleets, and since when.
    apart: BTreeMap<(usize, usize), u64>,
    /// As [`spreading`].
    pub spreading: u64,
    /// As [`partition`].
    parting: u64,
    /// As [`event_loss`].
    losing: u64,
    pub now: u64,
}

impl Presence {
    pub(super) fn new(machines: usize) -> Presence {
        Presence {
            lives: vec![Life::default(); machines],
            troubles: Vec::new(),
            meetings: Vec::new(),
            apart: BTreeMap::new(),
            spreading: spreading(&Config::LAN),
            parting: partition(machines, &Config::LAN),
            losing: event_loss(&Config::LAN),
            now: 0,
        }
    }

    /// A life begins.
    pub(super) fn begin(&mut self, i: usize, boots: u64, now: u64) {
        let Life { name, shares_name, .. } = std::mem::take(&mut self.lives[i]);
        let fleets = vec![(now, 0)];
        self.lives[i] = Life { on: true, boots, since: now, fleets, name, shares_name, ..Life::default() };
    }

    /// A life ends.
    pub(super) fn end(&mut self, i: usize, now: u64) {
        let life = &mut self.lives[i];
        if life.on {
            (life.on, life.until) = (false, now);
        }
    }

    /// A machine is in this fleet now.
    pub(super) fn is_in(&mut self, i: usize, fleet: u32, now: u64) {
        let life = &mut self.lives[i];
        let (_, before) = life.fleet_at(now);
        if fleet != before {
            life.fleets.push((now, fleet));
            if fleet != 0 && before != 0 {
                self.meetings.push((now, before, fleet));
            }
        }
    }

    /// Reads what machines tell of themselves.
    pub(super) fn look(&mut self, fleet: &Fleet) {
        self.now = fleet.now();
        self.spreading = spreading(&fleet.config);
        self.parting = partition(fleet.machines.len(), &fleet.config);
        self.losing = event_loss(&fleet.config);
        let mut named = false;
        for (life, machine) in self.lives.iter_mut().zip(&fleet.machines) {
            if life.name != machine.name() {
                life.name = machine.name().to_string();
                named = true;
            }
        }
        if named {
            self.share_names();
        }
        for (i, machine) in fleet.machines.iter().enumerate() {
            for (at, fleet) in &machine.fleets[self.lives[i].read..] {
                self.is_in(i, *fleet, *at);
            }
            self.lives[i].read = machine.fleets.len();
            self.lives[i].companies.clone_from(&machine.companies);
            self.lives[i].alone = fleet.node(i).is_some_and(|node| node.live() == 1);
        }
    }

    /// Who know each other are of one fleet, or will be at once: nothing else would excuse what they do not get of each other.
    pub(super) fn look_apart(&mut self, fleet: &Fleet, honest_since: u64) -> Verdict {
        let now = fleet.now();
        let mut apart = BTreeMap::new();
        let alone = |i: &usize| self.lives[*i].shares_name || self.fleet_at(*i, now) == 0;
        let living: Vec<usize> = self.living().into_iter().filter(|i| !alone(i)).collect();
        let in_one = living.windows(2).all(|pair| self.fleet_at(pair[0], now) == self.fleet_at(pair[1], now));
        if self.is_whole() && now >= honest_since && !in_one {
            let knows = |i: usize, other: usize| fleet.status(i, other) == Some(Status::Alive);
            for one in &living {
                for other in living.iter().filter(|other| *other > one) {
                    let (one, other) = (*one, *other);
                    if self.fleet_at(one, now) != self.fleet_at(other, now)
                        && knows(one, other)
                        && knows(other, one)
                    {
                        apart.insert((one, other), *self.apart.get(&(one, other)).unwrap_or(&now));
                    }
                }
            }
        }
        self.apart = apart;
        let late = self.apart.iter().find(|(_, since)| **since + self.spreading < now);
        late.map_or(Ok(()), |((one, other), since)| {
            Err(format!(
                "at {now} nodes {one} and {other} are in two fleets, and have known each other since {since}"
            ))
        })
    }

    /// Finds out who has the name of another one.
    fn share_names(&mut self) {
        let mut owners: BTreeMap<String, u32> = BTreeMap::new();
        for life in &self.lives {
            *owners.entry(life.name.clone()).or_default() += 1;
        }
        for life in &mut self.lives {
            life.shares_name = owners.get(&life.name).is_some_and(|count| *count > 1);
        }
    }

    /// From now on not everything arrives.
    pub(super) fn cut(&mut self, now: u64) {
        if self.is_whole() {
            self.troubles.push((now, u64::MAX));
        }
    }

    /// From now on everything arrives.
    pub(super) fn healed(&mut self, now: u64) {
        if let Some((_, until)) = self.troubles.last_mut().filter(|(_, until)| *until == u64::MAX) {
            *until = now;
        }
    }

    /// Whether everything arrives now.
    pub(super) fn is_whole(&self) -> bool {
        self.troubles.last().is_none_or(|(_, until)| *until != u64::MAX)
    }

    /// Since when everything arrives; `None` if not everything does.
    pub(super) fn whole_since(&self) -> Option<u64> {
        self.is_whole().then(|| self.troubles.last().map_or(0, |(_, until)| *until))
    }

    /// Until when what went wrong at this time, or was on its way then, may have gone on; the time itself if all was well.
    pub(super) fn trouble_after(&self, at: u64) -> u64 {
        let mut end = at;
        for (from, until) in &self.troubles {
            if *from <= end && *until >= at {
                end = until.saturating_add(self.spreading);
            }
        }
        end
    }

    /// Until when two sides of a cut, that there was at this time or that had not healed yet, may not have found together; the
    /// time itself if there was none.
    fn parted_until(&self, at: u64) -> u64 {
        let begun = self.troubles.iter().filter(|(from, _)| *from <= at);
        begun.map(|(_, until)| until.saturating_add(self.parting)).fold(at, u64::max)
    }

    /// Whether a machine that began a life at `since` cannot have been handed rightfully what was fired at `at`.
    pub(super) fn is_past(&self, at: u64, since: u64) -> bool {
        // A third of what it may take to spread, where nothing gets lost: what is on its way to all belongs to now.
        self.parted_until(at).saturating_add(self.spreading / 3) < since
    }

    /// Which fleet a machine was in.
    pub(super) fn fleet_at(&self, i: usize, at: u64) -> u32 {
        self.lives[i].fleet_at(at).1
    }

    /// In which fleet a machine fires now: in none, if nobody is there to hear it.
    pub(super) fn fires_in(&self, i: usize, now: u64) -> u32 {
        if self.lives[i].alone { 0 } else { self.fleet_at(i, now) }
    }

    /// Since when a machine that is on has been in the fleet that it was in at this time, if it had long been.
    pub(super) fn there_since(&self, i: usize, at: u64) -> Option<u64> {
        let life = &self.lives[i];
        let (since, fleet) = life.fleet_at(at);
        (life.on && life.since <= at && fleet != 0 && since + self.spreading <= at).then_some(since)
    }

    /// Whether a machine had come into some fleet by then, and was known there.
    pub(super) fn was_in(&self, i: usize, at: u64) -> bool {
        let (since, fleet) = self.lives[i].fleet_at(at);
        fleet != 0 && since + self.spreading / 3 <= at
    }

    /// Whether a machine was in the fleet that another one met first, after it had fired alone: maybe its own one.
    pub(super) fn met_with(&self, i: usize, (origin, boots): (usize, u64), fired: u64) -> bool {
        let life = &self.lives[origin];
        let first = |met: &[(u64, u32)]| met.iter().copied().find(|(at, fleet)| *at >= fired && *fleet != 0);
        let met = first(&life.companies).into_iter().chain(first(&life.fleets)).min();
        life.boots == boots && met.is_some_and(|(at, fleet)| self.fleet_at(i, at) == fleet)
    }

    /// Whether a machine came into another fleet before what got lost at this time must have been made up for.
    pub(super) fn moved_on(&self, i: usize, at: u64) -> bool {
        let fleets = &self.lives[i].fleets;
        fleets.iter().any(|(since, _)| (at..=at.saturating_add(self.losing)).contains(since))
    }

    /// When this fleet and that one met after this time.
    pub(super) fn met_after(&self, one: u32, other: u32, at: u64) -> Option<u64> {
        let ends = |fleet: &u32| *fleet == one || *fleet == other;
        self.meetings.iter().find(|(when, from, _)| *when >= at && ends(from)).map(|(when, _, _)| *when)
    }

    /// Whether this life of a machine goes on.
    pub(super) fn lives(&self, (i, boots): (usize, u64)) -> bool {
        self.lives[i].on && self.lives[i].boots == boots
    }

    /// The machines that are on.
    pub(super) fn living(&self) -> Vec<usize> {
        (0..self.lives.len()).filter(|i| self.lives[*i].on).collect()
    }
}

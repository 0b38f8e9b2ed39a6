//! What must hold, checked at every delivery and at the end.
//!
//! The judge knows every event that was fired, hears all that applications are told, looks at the fleet each tenth of a
//! second, and says what is wrong. Events are told apart by their payload, which is a serial number: it does not trust the
//! identities that it checks. What it excuses has a name and is counted ([`Excused`]).
//!
//! - [`bounds`]: how long things may take, and what is too much.
//! - `presence`: who was there when.
//! - `events`: uncoalesced events.
//! - `values`: coalesced ones.
//! - `members`: who is shown how.
//! - `history`: what applications were told of members.
//! - [`queries`]: questions, and their answers.
//! - `rest`: what it costs when all is well.
//! - `core`: what nodes tell of themselves.

pub mod bounds;
mod core;
mod events;
mod excuse;
mod history;
mod members;
mod presence;
pub mod queries;
mod rest;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serf_nostd::Status;

use bounds::{Places, healing};
pub use events::Fired;
use events::{Counted, Events};
pub use excuse::Excused;
use history::Histories;
use members::{Members, Views};
use presence::Presence;
use queries::{Posed, Queries, Tally};
use rest::Rest;
use values::Values;

use crate::fleet::{Fleet, Seen, Size};

/// Lamport time and origin of an event.
type Id = (u64, u64);
/// What is wrong, if anything.
type Verdict = Result<(), String>;

/// What a machine that is switched on knows of its last life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// It may be handed again what it was handed before.
    Forgets,
    /// Its floor survived as it was.
    Remembers,
}

/// The judge of a run.
pub struct Judge {
    events: Events,
    values: Values,
    members: Members,
    histories: Histories,
    queries: Queries,
    rest: Rest,
    presence: Presence,
    excused: Excused,
    /// Nothing may be lost but what as many events have overtaken as a node remembers; no other loss is excused by a counter.
    pub strict: bool,
    /// It hears only what is told of events: what is told of members it does not judge.
    pub events_only: bool,
    /// A member may have lied to those who believe it yet until then.
    honest_since: u64,
    lies_until: Option<u64>,
    least: Places,
    /// As [`healing`].
    healing: u64,
    next_second: u64,
    serial: u64,
    /// What went wrong first.
    wrong: Option<String>,
}

impl Judge {
    /// Of a fleet of this many machines.
    pub fn new(machines: usize) -> Judge {
        Judge {
            events: Events::new(machines),
            values: Values::new(machines),
            members: Members::new(machines),
            histories: Histories::new(machines),
            queries: Queries::default(),
            rest: Rest::default(),
            presence: Presence::new(machines),
            excused: Excused::default(),
            strict: false,
            events_only: false,
            honest_since: 0,
            lies_until: None,
            least: Places::of(Size::Agent),
            healing: healing(machines, &serf_nostd::Config::LAN),
            next_second: 0,
            serial: 0,
            wrong: None,
        }
    }

    fn find(&mut self, verdict: Verdict) {
        if let Err(text) = verdict {
            self.wrong.get_or_insert(text);
        }
    }

    /// A serial number for the next event, to be its payload.
    pub fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The events that were accepted, by serial number.
    pub fn fired_events(&self) -> &BTreeMap<u64, Fired> {
        &self.events.fired
    }

    /// How many of the first machines have been handed an event since their memory began.
    pub fn reached(&self, machines: usize, serial: u64) -> usize {
        self.events.handed[..machines].iter().filter(|handed| handed.ever.contains(&serial)).count()
    }

    fn begin(&mut self, i: usize, boots: u64, now: u64, memory: Memory) {
        self.presence.begin(i, boots, now);
        self.events.switched_on(i, memory == Memory::Remembers);
        self.values.switched_on(i);
        self.members.switched_on(i);
        self.histories.switched_on(i);
        self.rest.disturb(now);
    }

    /// A machine is switched on (again).
    pub fn switched_on(&mut self, i: usize, now: u64, memory: Memory) {
        self.begin(i, self.presence.lives[i].boots + 1, now, memory);
    }

    /// A machine is switched off.
    pub fn switched_off(&mut self, i: usize, now: u64) {
        self.presence.end(i, now);
        self.rest.disturb(now);
    }

    /// Not everything arrives from now on.
    pub fn cut(&mut self, now: u64) {
        self.presence.cut(now);
        self.rest.disturb(now);
    }

    /// Everything arrives from now on.
    pub fn healed(&mut self, now: u64) {
        self.presence.healed(now);
        self.rest.disturb(now);
    }

    /// A machine has accepted the order to leave.
    pub fn left(&mut self, i: usize, now: u64) {
        self.members.ordered(i, now, &self.presence);
        self.rest.disturb(now);
    }

    /// Somebody was ordered to count all of this name as left, and to forget them.
    ///
    /// `by`: which machine was, if it is to forget them. `late`: it had not heard of later orders, so that its own is older.
    pub fn forced_out(&mut self, name: &str, now: u64, by: Option<usize>, late: bool) {
        let by = by.map(|i| (i, self.presence.lives[i].boots));
        self.members.forced_out(name, now, (by, late), &self.presence);
        self.rest.disturb(now);
    }

    /// A machine has other tags. What they are is read in the end.
    pub fn tags_set(&mut self, _i: usize, _tags: &[u8]) {
        self.rest.disturb(self.presence.now);
    }

    /// A machine has another address. Which one is read in the end.
    pub fn addressed(&mut self, _i: usize, _addr: SocketAddr) {
        self.rest.disturb(self.presence.now);
    }

    /// A machine asks others for what was before it: all of it may be handed to it from now on.
    pub fn replays(&mut self, i: usize) {
        self.presence.lives[i].replays = true;
    }

    /// A member lies now.
    pub fn forger(&mut self, now: u64) {
        self.lies_until = Some(now);
        self.honest_since = now + self.healing;
        self.members.honest_since = self.honest_since;
        self.rest.forger(now);
        self.rest.disturb(now);
    }

    /// An event was accepted.
    pub fn fired(&mut self, serial: u64, name: &[u8], coalesce: bool, origin: (usize, u64), now: u64) {
        let fleet = self.presence.fires_in(origin.0, now);
        if coalesce {
            self.values.fired(name);
        }
        self.events.fired.insert(serial, Fired { name: name.to_vec(), coalesce, origin, at: now, fleet });
        self.rest.disturb(now);
    }

    /// A query was accepted, with this serial number as its payload.
    pub fn posed(&mut self, serial: u64, posed: Posed, now: u64) {
        self.queries.posed(serial, posed);
        self.rest.disturb(now);
    }

    /// What queries have come to.
    pub fn tally(&self) -> Tally {
        self.queries.tally
    }

    /// An application was told something.
    pub fn saw(&mut self, i: usize, boots: u64, now: u64, seen: &Seen) {
        if self.presence.lives[i].boots != boots {
            self.begin(i, boots, now, Memory::Forgets);
        }
        let honest = now >= self.honest_since;
        match seen {
            Seen::User { id, payload, .. } => {
                let serial = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
                match serial.filter(|serial| !honest || self.events.fired.contains_key(serial)) {
                    Some(serial) => self.saw_event(i, now, (serial, *id), honest),
                    None if honest => {
                        self.find(Err(format!(
                            "node {i} was handed what nobody fired: {payload:?}, at {now}"
                        )));
                    }
                    None => {}
                }
            }
            Seen::Member { change, name, status, tags, .. } if !self.events_only => {
                let verdict = self.histories.saw(i, now, *change, (name, *status, tags));
                if honest {
                    self.find(verdict);
                }
            }
            Seen::Left => self.members.done(i),
            Seen::Asked { .. } | Seen::QueryAck(..) | Seen::QueryResponse(..) | Seen::QueryDone(_) => {
                let verdict = self.queries.saw(i, now, seen, &self.presence);
                self.find(verdict);
            }
            _ => {}
        }
    }

    fn saw_event(&mut self, i: usize, now: u64, (serial, id): (u64, Id), honest: bool) {
        let first = self.events.handed(i, now, serial);
        self.find(first);
        let right = self.events.saw(i, now, (serial, id), &self.presence);
        if honest {
            self.find(right);
        }
        if let Some(fired) = self.events.fired.get(&serial).filter(|fired| fired.coalesce && honest) {
            self.values.saw(i, now, (serial, id), fired);
        }
    }

    /// Whether everything arrives, as far as the judge was told.
    pub fn is_whole(&self) -> bool {
        self.presence.is_whole()
    }

    /// To be called each tenth of a second of virtual time.
    ///
    /// # Errors
    /// What has gone wrong since the last time.
    pub fn look(&mut self, fleet: &Fleet) -> Result<(), String> {
        self.glance(fleet);
        self.verdict()
    }

    /// As [`Judge::look`], for who asks for the verdict later.
    pub fn glance(&mut self, fleet: &Fleet) {
        let now = fleet.now();
        for (i, machine) in fleet.machines.iter().enumerate() {
            if machine.boots != self.presence.lives[i].boots {
                self.begin(i, machine.boots, now, Memory::Forgets);
            }
            if self.presence.lives[i].on && !fleet.is_on(i) {
                self.switched_off(i, now);
            }
        }
        self.presence.look(fleet);
        let ended = self.queries.look(fleet);
        self.find(ended);
        if now >= self.next_second {
            self.next_second = now + 1_000_000;
            self.healing = healing(fleet.machines.len(), &fleet.config);
            let places = fleet.machines.iter().map(|machine| Places::of(machine.size));
            self.least = places.fold(Places::of(Size::Agent), Places::least);
            self.rest.look(fleet);
            let late = self.late_failures(fleet);
            self.find(late);
            let apart = self.presence.look_apart(fleet, self.honest_since);
            self.find(apart);
        }
        let backwards = self.values.look(self.least);
        self.find(backwards);
    }

    /// Nobody shows a living member failed when everything has arrived for long.
    fn late_failures(&self, fleet: &Fleet) -> Verdict {
        let now = fleet.now();
        let Some(whole) = self.presence.whole_since() else { return Ok(()) };
        let since = |i: usize| self.presence.lives[i].since.max(whole).max(self.honest_since);
        let long = |i: &usize| since(*i) + self.healing < now && !self.presence.lives[*i].shares_name;
        let living: Vec<usize> = self.presence.living().into_iter().filter(long).collect();
        for subject in &living {
            for viewer in &living {
                if fleet.status(*viewer, *subject) == Some(Status::Failed) {
                    let name = &self.presence.lives[*subject].name;
                    return Err(format!("at {now} node {viewer} still shows {name} failed, which lives"));
                }
            }
        }
        Ok(())
    }

    /// What has gone wrong so far, if anything.
    ///
    /// # Errors
    /// What it is.
    pub fn verdict(&mut self) -> Result<(), String> {
        self.wrong.take().map_or(Ok(()), Err)
    }

    /// What the events and values of the run have come to: everything that must have arrived by now has.
    ///
    /// # Errors
    /// What is missing and not counted.
    pub fn judge_events(&mut self, fleet: &Fleet) -> Result<(), String> {
        self.look(fleet)?;
        let stats = |i: usize| fleet.node(i).map(|node| *node.stats()).unwrap_or_default();
        let counted = Counted {
            losses: &|i| core::losses(&stats(i)),
            own: &|i| core::own_losses(&stats(i)),
            least: self.least,
            strict: self.strict,
            honest_since: self.honest_since,
            queries: self.queries.count(),
        };
        self.events.judge(&self.presence, &counted, &mut self.excused)?;
        self.values.judge(&self.presence, &counted, &mut self.excused)
    }

    /// Peace has lasted for [`healing`], or all agree: everything is as it should be.
    ///
    /// # Errors
    /// What is not.
    pub fn judge(&mut self, fleet: &Fleet) -> Result<Excused, String> {
        self.judge_events(fleet)?;
        self.queries.judge(fleet, &self.presence, &mut self.excused)?;
        let nodes = fleet.machines.len();
        if self.lies_until.is_some() {
            self.rest.judge_lies(nodes, self.events.fired.len() + self.queries.count())?;
        }
        if fleet.now() >= self.honest_since {
            let views = Views::of(fleet);
            self.members.judge(&views, &self.presence, &self.histories, &mut self.excused)?;
            let partial = |i: usize| views.places[i] < nodes;
            // What was told while somebody lied has not been followed.
            if self.honest_since == 0 {
                self.histories.judge(&views.shown, &partial, &mut self.excused)?;
            }
            let on = self.presence.living();
            if on.iter().all(|i| !self.presence.lives[*i].shares_name) {
                let patience = bounds::event_loss(&fleet.config);
                self.rest.judge((on.len(), on.len() < nodes, &fleet.config), patience, &mut self.excused)?;
            }
        }
        Ok(self.excused.clone())
    }
}

#[cfg(test)]
mod tests;

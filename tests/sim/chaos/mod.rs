//! A mix of faults drawn from the seed (each kind is in some mixes and not in others, so that none hides another), then
//! peace, then judgement.
//!
//! - [`plan`]: what a run is to be like.
//! - [`happened`]: how often what happened.
//! - `start`: how the fleet begins.
//! - `mischief`: faults that come and go.
//! - `orders`: what people order: leaving, joining, tags.
//! - `curiosity`: what is asked.
//! - `forger`: a member that lies.
//! - `outsider`: somebody who has no key.

mod curiosity;
mod forger;
pub mod happened;
mod mischief;
mod orders;
mod outsider;
pub mod plan;
mod start;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serf_nostd::{Key, Status};

use crate::clock::Clock;
use crate::fleet::{Fleet, Seen};
use crate::judge::bounds::{event_loss, healing};
use crate::judge::queries::Tally;
use crate::judge::{Excused, Judge};
use crate::machine::Driver;
use crate::network::ECHO;
use crate::rng::Rng;

use forger::Forger;
pub use happened::Happened;
use outsider::Outsider;
pub use plan::{Faults, Plan, Profile};
use start::Life;

/// One second of virtual time.
pub const SECOND: u64 = 1_000_000;
/// The beat of the world: something may happen, and the judge looks.
const BEAT: u64 = SECOND / 10;
/// The payload of events that nobody fired.
const FORGED: &[u8] = b"forged";
/// The name of the events that are fired in peace.
const PROBE: &[u8] = b"probe";

/// A run that broke no promise.
#[derive(Debug)]
pub struct Success {
    /// How often what happened.
    pub happened: Happened,
    /// What the judge has let pass, and why.
    pub excused: Excused,
    /// What queries have come to.
    pub queries: Tally,
    /// All that the nodes have put out, as one number.
    pub transcript: u64,
}

/// A run that went wrong: enough to see it again.
#[derive(Debug)]
pub struct Failure {
    /// Everything that decides the run.
    pub plan: Plan,
    /// How many things had happened.
    pub step: u64,
    /// What is wrong.
    pub text: String,
    /// What was done when (microseconds).
    pub schedule: Vec<(u64, String)>,
}

impl Failure {
    /// The schedule, a line for each.
    pub fn told(&self) -> String {
        self.schedule
            .iter()
            .map(|(at, what)| format!("{:8.1} s  {what}\n", *at as f64 / SECOND as f64))
            .collect()
    }
}

/// Runs a plan to its judgement.
///
/// # Errors
/// [`Failure`] if anything that must hold did not, be it by a panic.
pub fn run(plan: &Plan) -> Result<Success, Box<Failure>> {
    let mut run = Run::new(plan);
    let text = match catch_unwind(AssertUnwindSafe(|| run.go())) {
        Ok(Ok(excused)) => {
            let transcript = run.fleet.transcript.sum();
            let queries = run.ears.judge.tally();
            return Ok(Success { happened: run.happened, excused, queries, transcript });
        }
        Ok(Err(text)) => text,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied());
            format!("a node panics: {}", text.unwrap_or("without a word"))
        }
    };
    let schedule = std::mem::take(&mut run.schedule);
    Err(Box::new(Failure { plan: plan.clone(), step: run.fleet.steps, text, schedule }))
}

/// Who hears what applications see: the judge; and the world, where a program would end itself.
struct Ears {
    judge: Judge,
    /// Machines whose node has left, or (true) has been refused its name.
    ended: Vec<(usize, bool)>,
}

impl Ears {
    fn hear(&mut self, i: usize, boots: u64, at: u64, seen: &Seen) {
        match seen {
            Seen::User { payload, .. } if payload == FORGED => return,
            Seen::Left => self.ended.push((i, false)),
            Seen::NameTaken => self.ended.push((i, true)),
            _ => {}
        }
        self.judge.saw(i, boots, at, seen);
    }
}

/// What ends by itself.
enum Ends {
    /// A machine is heard again, and hears.
    Muted(usize),
    /// A clock goes on.
    Stopped(usize),
    /// No firewall refuses for a machine any more.
    Rejecting(usize),
    /// A program that was killed is started again.
    Off(usize),
}

struct Run<'p> {
    plan: &'p Plan,
    fleet: Fleet,
    ears: Ears,
    /// Luck of the usual faults, of the rest, and of those who ask: so a plan without the rest is the run that it has always
    /// been.
    rng: Rng,
    luck: Rng,
    curiosity: Rng,
    /// How many queries there have been.
    queries: u64,
    happened: Happened,
    /// Who is flooding, and for how many tenths of a second yet.
    flood: (usize, u64),
    lives: Vec<Life>,
    /// What ends by itself, and when.
    ending: Vec<(u64, Ends)>,
    /// When the two fleets meet.
    merge: Option<u64>,
    forger: Option<Forger>,
    outsider: Option<Outsider>,
    /// Addresses that machines have given up.
    free: Vec<std::net::SocketAddr>,
    /// Whether everything that is sent arrives.
    whole: bool,
    schedule: Vec<(u64, String)>,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan) -> Run<'p> {
        let mut fleet = Fleet::new(plan.seed, plan.nodes, plan.size, plan.profile.config());
        fleet.without = plan.without;
        fleet.key = plan.sealed.then(|| Key::new([7; Key::LEN]));
        fleet.check_every = 64;
        let ears = Ears { judge: Judge::new(plan.nodes), ended: Vec::new() };
        let mut run = Run {
            plan,
            fleet,
            ears,
            rng: Rng::new(plan.seed ^ 0x72_756e),
            luck: Rng::new(plan.seed ^ 0x6c75_636b),
            curiosity: Rng::new(plan.seed ^ 0x6375_7269),
            queries: 0,
            happened: Happened::default(),
            flood: (0, 0),
            lives: vec![Life::default(); plan.nodes],
            ending: Vec::new(),
            merge: None,
            forger: None,
            outsider: None,
            free: Vec::new(),
            whole: true,
            schedule: Vec::new(),
        };
        run.furnish();
        run.begin_listening();
        run
    }

    fn go(&mut self) -> Result<Excused, String> {
        self.start()?;
        // Whoever is in now is there for every event.
        self.advance(20 * self.pace())?;
        let end = self.fleet.now() + self.plan.seconds * SECOND;
        self.weather();
        while self.fleet.now() < end {
            self.mischief();
            self.orders();
            // It stops some time before peace.
            if self.fleet.now() + 5 * SECOND < end {
                self.forge();
            } else {
                self.end_forging();
            }
            self.fire();
            self.wonder();
            self.advance(BEAT)?;
        }
        self.peace()?;
        let bound = self.fleet.now() + healing(self.plan.nodes, &self.fleet.config);
        // What lies have done the judge excuses for as long as healing may take.
        while self.plan.faults.forger > 0.0 && self.fleet.now() < bound {
            self.advance(5 * SECOND)?;
        }
        while self.fleet.now() < bound && !self.settled() {
            self.advance(5 * SECOND)?;
        }
        if !self.settled() {
            return Err(format!("no agreement after the faults:\n{}", self.views()));
        }
        if self.plan.faults.echoes > 0.0 {
            // The last of them is a fault of its own, which is to be over as well.
            self.advance(ECHO.end)?;
        }
        self.probe()?;
        // Whatever he sends is answered with a little.
        self.end_listening();
        // A minute of rest, after everything that the probes have stirred up.
        self.advance(event_loss(&self.fleet.config) + 65 * SECOND)?;
        let excused = self.ears.judge.judge(&self.fleet)?;
        self.count();
        Ok(excused)
    }

    /// One second of a fleet with LAN timing.
    fn pace(&self) -> u64 {
        self.fleet.config.probe_interval.as_micros()
    }

    fn note(&mut self, what: String) {
        self.schedule.push((self.fleet.now(), what));
    }

    fn advance(&mut self, span: u64) -> Result<(), String> {
        for _ in 0..span / BEAT {
            self.tell_cuts();
            self.replay();
            let ears = &mut self.ears;
            self.fleet.run(BEAT, &mut |i, boots, at, seen| ears.hear(i, boots, at, &seen));
            self.ears.judge.look(&self.fleet)?;
            self.end_programs();
        }
        Ok(())
    }

    /// Tells the judge where connectivity changes.
    fn tell_cuts(&mut self) {
        let frozen = (0..self.plan.nodes).any(|i| self.fleet.is_frozen(i));
        let loses = |m: &crate::machine::Machine| m.driver.loses > 0.0 || m.nat.is_some();
        let whole = !frozen && !self.fleet.network.loses() && !self.fleet.machines.iter().any(loses);
        if whole != self.whole {
            self.whole = whole;
            let now = self.fleet.now();
            if whole { self.ears.judge.healed(now) } else { self.ears.judge.cut(now) }
        }
    }

    /// Programs end when their node has left, or when its name is refused.
    fn end_programs(&mut self) {
        for (i, refused) in std::mem::take(&mut self.ears.ended) {
            if !self.fleet.is_on(i) {
                continue;
            }
            self.happened.refused += refused as u64;
            self.happened.left += !refused as u64;
            self.power_off(i, if refused { "is refused its name" } else { "has left" });
            self.lives[i].refused = refused;
            self.lives[i].left = !refused;
        }
    }

    fn power_off(&mut self, i: usize, why: &str) {
        self.collect(i);
        let refusals = self.plan.faults.refusals;
        match if self.luck.chance(refusals) { self.luck.range(1..3) } else { 0 } {
            0 => self.fleet.crash(i),
            1 => self.fleet.kill(i),
            _ => self.fleet.terminate(i),
        }
        if self.fleet.machines[i].refuses() {
            self.happened.killed += 1;
            if self.luck.chance(0.5) {
                let back = self.fleet.now() + self.luck.range(SECOND / 20..2 * SECOND);
                self.ending.push((back, Ends::Off(i)));
            }
        }
        self.lives[i].leaving = false;
        self.happened.first += (i == 0) as u64;
        self.ears.judge.switched_off(i, self.fleet.now());
        self.note(format!("machine {i} {why}"));
    }

    fn fire(&mut self) {
        let (origin, more) = self.flood;
        if more > 0 {
            self.flood.1 -= 1;
            for _ in 0..100 {
                self.fire_one(origin);
            }
        }
        if !self.rng.chance(self.plan.rate / 10.0) {
            return;
        }
        let i = self.rng.below(self.plan.nodes as u64) as usize;
        if self.rng.chance(0.05 * self.plan.faults.floods) {
            self.flood = (i, self.rng.range(1..9));
            self.note(format!("machine {i} floods"));
        }
        self.fire_one(i);
        // Now and then another fires the same name at the same moment.
        if self.rng.chance(0.3) {
            self.fire_one((i + 1) % self.plan.nodes);
        }
    }

    fn fire_one(&mut self, i: usize) {
        let name = format!("name-{}", self.rng.below(self.plan.names));
        let coalesce = self.rng.chance(self.plan.coalesced);
        let _ = self.fire_named(i, name.as_bytes(), coalesce);
    }

    /// Fires an event, if the machine is on, and its node takes it.
    fn fire_named(&mut self, i: usize, name: &[u8], coalesce: bool) -> Result<(), String> {
        let serial = self.ears.judge.serial();
        let (now, boots) = (self.fleet.now(), self.fleet.machines[i].boots);
        let mut heard = Vec::new();
        let fired =
            self.fleet.with(i, &mut |i, boots, at, seen| heard.push((i, boots, at, seen)), |node, now| {
                node.user_event(now, name, serial.to_string().as_bytes(), coalesce)
            });
        let accepted = matches!(fired, Some(Ok(_)));
        if accepted {
            self.happened.events += 1;
            self.ears.judge.fired(serial, name, coalesce, (i, boots), now);
        }
        for (i, boots, at, seen) in heard {
            self.ears.hear(i, boots, at, &seen);
        }
        if accepted { Ok(()) } else { Err(format!("node {i} refused an event: {fired:?}")) }
    }

    /// All faults end; everybody is on who is to be.
    fn peace(&mut self) -> Result<(), String> {
        self.note("peace".to_string());
        self.end_forging();
        self.meet();
        self.fleet.network.heal();
        self.ending.clear();
        for i in 0..self.plan.nodes {
            let machine = &mut self.fleet.machines[i];
            machine.deaf = false;
            machine.driver = Driver::default();
            if let Some(nat) = machine.nat.take() {
                self.happened.forgotten += nat.forgotten;
            }
            self.fleet.set_clock(i, |clock: &mut Clock, now| clock.go(now, 0));
            self.lives[i].rate = 0;
            let life = &self.lives[i];
            let taken = life.refused && life.twin.is_some_and(|twin| self.fleet.is_on(twin));
            if !self.fleet.is_on(i) && !life.left && !life.stays_off && !taken {
                self.boot(i);
            }
        }
        self.tell_cuts();
        // Those who were stopped are there again, and those who have just started know whom they reach.
        self.advance(20 * self.pace())?;
        self.bring_together();
        Ok(())
    }

    /// In peace an event from anybody reaches everybody, and so does a query.
    fn probe(&mut self) -> Result<(), String> {
        // So long that even those who booted last count as having stayed.
        self.advance(30 * self.pace())?;
        for i in [0, self.plan.nodes / 2, self.plan.nodes - 1] {
            if self.fleet.is_on(i) && !self.lives[i].leaving {
                self.fire_named(i, PROBE, false).map_err(|text| format!("{text}, in peace"))?;
                self.ask_in_peace(i).map_err(|text| format!("{text}, in peace"))?;
            }
        }
        Ok(())
    }

    /// Keeps the counters of a node that is about to go.
    fn collect(&mut self, i: usize) {
        let Some(stats) = self.fleet.node(i).map(|node| *node.stats()) else { return };
        self.happened.collect(&stats);
    }

    fn count(&mut self) {
        for i in 0..self.plan.nodes {
            self.collect(i);
            let machine = &self.fleet.machines[i];
            self.happened.overflowed += machine.overflowed;
            self.happened.late += machine.late;
            self.happened.unsent += machine.unsent;
            self.happened.partial += self.is_partial(i) as u64;
        }
        let network = &self.fleet.network;
        self.happened.runs = 1;
        self.happened.lost = network.lost;
        self.happened.too_long = network.too_long;
        self.happened.refusals = network.refusals.sent;
        self.happened.echoes = network.echoes;
        self.happened.steps = self.fleet.steps;
        self.happened.seconds = self.fleet.now() / SECOND;
    }

    /// Whether a machine that is on has fewer places than the fleet has members.
    fn is_partial(&self, i: usize) -> bool {
        self.fleet.is_on(i) && !self.holds_all(i)
    }

    /// What a machine should see of another, and does not.
    fn wrong(&self, viewer: usize, subject: usize) -> Option<String> {
        // Of two that share a name each sees what it can.
        if self.lives[subject].twin.is_some() {
            return None;
        }
        let shown = self.fleet.status(viewer, subject);
        // Nobody takes in whom another one's name belongs to, nor heeds it when it forces somebody out.
        let twin = self.lives[viewer].twin.is_some_and(|twin| self.fleet.is_on(twin));
        let refused = twin && self.fleet.node(viewer).is_some_and(|node| node.live() == 1);
        let right = match shown {
            Some(Status::Alive) => self.fleet.is_on(subject),
            None => !self.fleet.is_on(subject) || self.is_partial(viewer) || refused,
            Some(Status::Leaving) if twin => true,
            Some(_) => !self.fleet.is_on(subject),
        };
        if right { None } else { Some(format!("{} {shown:?}", self.fleet.machines[subject].name())) }
    }

    /// Whether all that are on see all others as they are, and nobody is leaving.
    fn settled(&self) -> bool {
        let nodes = 0..self.plan.nodes;
        let on: Vec<usize> = nodes.clone().filter(|i| self.fleet.is_on(*i)).collect();
        nodes.clone().all(|i| !self.lives[i].leaving)
            && on.iter().all(|viewer| nodes.clone().all(|subject| self.wrong(*viewer, subject).is_none()))
    }

    fn views(&self) -> String {
        let mut text = String::new();
        for i in (0..self.plan.nodes).filter(|i| self.fleet.is_on(*i)) {
            let odd: Vec<String> =
                (0..self.plan.nodes).filter_map(|subject| self.wrong(i, subject)).collect();
            if !odd.is_empty() {
                text += &format!("machine {i} sees {}\n", odd.join(", "));
            }
        }
        text
    }
}

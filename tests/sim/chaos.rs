//! A mix of faults drawn from the seed (each kind is in some mixes and not in others, so that none hides another), then
//! peace, then judgement.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serf_nostd::Config;
use serf_nostd::config::Rule;

use crate::fleet::{Fleet, Size};
use crate::oracle::Oracle;
use crate::rng::Rng;

/// One second of virtual time.
pub const SECOND: u64 = 1_000_000;

/// What a run is to be like.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Decides everything else.
    pub seed: u64,
    /// How many machines.
    pub nodes: usize,
    /// Their capacities.
    pub size: Size,
    /// How long faults go on, seconds.
    pub seconds: u64,
    /// How many names events have.
    pub names: u64,
    /// Events per second.
    pub rate: f64,
    /// Share of the events that may be coalesced.
    pub coalesced: f64,
    /// Which faults there are, and how strong.
    pub faults: Faults,
    /// A rule that is left out.
    pub without: Option<Rule>,
}

/// Kinds of faults, and how strong each is in a run: from 0, off, to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Datagrams lost: up to 40 %.
    pub loss: f64,
    /// Links that lose everything for moments of 20 ms to 2 s: up to 30 % of the time.
    pub bursts: f64,
    /// Datagrams that come twice: up to half.
    pub duplicates: f64,
    /// Datagrams that come late, by up to 10 ms to 10 s: up to half.
    pub reorder: f64,
    /// The fleet is cut in two for a while: up to every five seconds.
    pub partitions: f64,
    /// Links that work one way only: up to seven.
    pub one_way: f64,
    /// Machines stopped and continued: up to one each five seconds.
    pub freezes: f64,
    /// Machines that lose power: up to one each five seconds; half of them remember their floor.
    pub reboots: f64,
    /// Applications that take no events for a while: up to one each three seconds.
    pub deaf: f64,
    /// Datagrams of garbage: up to twenty a second.
    pub garbage: f64,
    /// Events fired a hundred at a time, or as many as are accepted, for up to a second: up to every 20th.
    pub floods: f64,
}

impl Faults {
    /// Every strength.
    pub fn each_mut(&mut self) -> [&mut f64; 11] {
        let Faults { loss, bursts, duplicates, reorder, partitions, one_way, .. } = self;
        let Faults { freezes, reboots, deaf, garbage, floods, .. } = self;
        [loss, bursts, duplicates, reorder, partitions, one_way, freezes, reboots, deaf, garbage, floods]
    }

    /// Two in five are there, each as strong as it may be.
    fn draw(rng: &mut Rng) -> Faults {
        let mut faults = Faults::default();
        for strength in faults.each_mut() {
            if rng.chance(0.4) {
                *strength = rng.range(5..101) as f64 / 100.0;
            }
        }
        faults
    }
}

/// How often things really happened: a run in which they did not proves nothing.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)] // Each is a count of what it is named after.
pub struct Happened {
    pub runs: u64,
    pub steps: u64,
    pub events: u64,
    pub lost: u64,
    pub partitions: u64,
    pub one_way: u64,
    pub freezes: u64,
    pub reboots: u64,
    pub deaf: u64,
    pub garbage: u64,
    pub full: u64,
    pub too_old: u64,
    pub shed: u64,
    pub dropped: u64,
    pub app_full: u64,
    pub pulls: u64,
    pub refuted: u64,
    pub failures: u64,
    pub superseded: u64,
    pub early: u64,
}

impl Happened {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Happened) {
        for ((_, sum), (_, more)) in self.each_mut().into_iter().zip(other.clone().each_mut()) {
            *sum += *more;
        }
    }

    /// Every count with its name.
    pub fn each_mut(&mut self) -> [(&'static str, &mut u64); 20] {
        [
            ("runs", &mut self.runs),
            ("steps", &mut self.steps),
            ("events", &mut self.events),
            ("datagrams lost", &mut self.lost),
            ("partitions", &mut self.partitions),
            ("one-way cuts", &mut self.one_way),
            ("freezes", &mut self.freezes),
            ("reboots", &mut self.reboots),
            ("deaf applications", &mut self.deaf),
            ("garbage refused", &mut self.garbage),
            ("events refused: full", &mut self.full),
            ("too old", &mut self.too_old),
            ("shed", &mut self.shed),
            ("store overflows", &mut self.dropped),
            ("application quota full", &mut self.app_full),
            ("pulls", &mut self.pulls),
            ("refutations", &mut self.refuted),
            ("members declared failed", &mut self.failures),
            ("superseded", &mut self.superseded),
            ("coalesced early", &mut self.early),
        ]
    }
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
}

impl Plan {
    /// The plan that a seed stands for.
    pub fn draw(seed: u64) -> Plan {
        let mut rng = Rng::new(seed ^ 0x706c_616e);
        let faults = Faults::draw(&mut rng);
        // Half of the fleets are within their bounds and must not lose anything; half are driven over them.
        let size = [Size::Server, Size::Server, Size::Small, Size::Mixed][rng.below(4) as usize];
        let names = [1, 4, 8, 30][rng.below(4) as usize];
        Plan {
            seed,
            nodes: 5 + (rng.below(46) * rng.below(46) / 46) as usize,
            size,
            seconds: rng.range(20..60),
            names,
            rate: [0.5, 2.0, 8.0][rng.below(3) as usize],
            coalesced: [0.0, 0.5, 1.0][rng.below(3) as usize],
            faults,
            without: None,
        }
    }

    /// The same run without one rule of the protocol.
    pub fn without(self, rule: Rule) -> Plan {
        Plan { without: Some(rule), ..self }
    }
}

/// Runs a plan to its judgement.
///
/// # Errors
/// [`Failure`] if anything that must hold did not, be it by a panic.
pub fn run(plan: &Plan) -> Result<Happened, Box<Failure>> {
    let mut run = Run::new(plan);
    let text = match catch_unwind(AssertUnwindSafe(|| run.go())) {
        Ok(Ok(())) => return Ok(run.happened),
        Ok(Err(text)) => text,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied());
            format!("a node panics: {}", text.unwrap_or("without a word"))
        }
    };
    Err(Box::new(Failure { plan: plan.clone(), step: run.fleet.steps, text }))
}

struct Run<'p> {
    plan: &'p Plan,
    fleet: Fleet,
    oracle: Oracle,
    rng: Rng,
    happened: Happened,
    /// Who is flooding, and for how many tenths of a second yet.
    flood: (usize, u64),
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan) -> Run<'p> {
        let config = Config { without: plan.without, ..Config::LAN };
        let mut fleet = Fleet::new(plan.seed, plan.nodes, plan.size, config);
        fleet.check_every = 64;
        let mut oracle = Oracle::new(plan.nodes);
        if plan.size == Size::Mixed {
            for i in 0..plan.nodes {
                fleet.resize(i, if i % 2 == 0 { Size::Server } else { Size::Small });
            }
        }
        let places = if plan.size == Size::Server { 64 } else { 8 };
        oracle.ordered = plan.names <= places;
        oracle.lossless = plan.size == Size::Server;
        let rng = Rng::new(plan.seed ^ 0x72_756e);
        Run { plan, fleet, oracle, rng, happened: Happened::default(), flood: (0, 0) }
    }

    fn go(&mut self) -> Result<(), String> {
        let oracle = &mut self.oracle;
        self.fleet.assemble(&mut |i, _, at, seen| oracle.saw(i, at, &seen));
        // Whoever is in now is there for every event.
        self.advance(20 * SECOND)?;
        let end = self.fleet.now() + self.plan.seconds * SECOND;
        self.weather();
        while self.fleet.now() < end {
            self.mischief();
            self.fire();
            self.advance(SECOND / 10)?;
        }
        self.peace();
        // Failed members are tried again every 30 s, one at a time; a suspicion takes up to 35 s here.
        for _ in 0..60 {
            self.advance(5 * SECOND)?;
            if self.fleet.agreed() {
                break;
            }
        }
        if !self.fleet.agreed() {
            return Err(format!("no agreement after the faults:\n{}", self.views()));
        }
        self.probe()?;
        self.advance(70 * SECOND)?;
        // More events than slots may be lost to who was away; so few of them may not.
        self.oracle.lossless &= self.happened.events <= 700;
        self.oracle.judge(&self.fleet);
        self.count();
        self.verdict()
    }

    fn verdict(&mut self) -> Result<(), String> {
        self.oracle.wrong.take().map_or(Ok(()), Err)
    }

    fn advance(&mut self, span: u64) -> Result<(), String> {
        let oracle = &mut self.oracle;
        self.fleet.run(span, &mut |i, _, at, seen| oracle.saw(i, at, &seen));
        oracle.look(&self.fleet);
        self.verdict()
    }

    /// Faults that are there all the time.
    fn weather(&mut self) {
        let Faults { loss, bursts, duplicates, reorder, one_way, .. } = self.plan.faults;
        let rng = &mut self.rng;
        let network = &mut self.fleet.network;
        network.loss = 0.4 * loss;
        network.burst_loss = 0.3 * bursts;
        network.burst = 20_000 * 10_u64.pow(rng.below(3) as u32);
        network.duplicate = 0.5 * duplicates;
        network.reorder = 0.5 * reorder;
        network.reorder_by = 10_000 * 10_u64.pow(rng.below(4) as u32);
        let links = if one_way > 0.0 { 1 + (6.0 * one_way) as u64 } else { 0 };
        for _ in 0..links {
            let (a, b) = (rng.below(self.plan.nodes as u64), rng.below(self.plan.nodes as u64));
            network.one_way.push((a as u16, b as u16));
        }
        self.happened.one_way += links;
    }

    /// Faults that come and go. Node 0 stays, so that there is always a seed.
    fn mischief(&mut self) {
        let faults = self.plan.faults;
        let i = 1 + self.rng.below(self.plan.nodes as u64 - 1) as usize;
        if self.rng.chance(0.02 * faults.partitions) {
            self.happened.partitions += 1;
            let split = self.rng.below(self.plan.nodes as u64);
            for (node, side) in self.fleet.network.side.iter_mut().enumerate() {
                *side = (node as u64 > split) as u8;
            }
        } else if faults.partitions > 0.0 && self.rng.chance(0.01) {
            self.fleet.network.side.fill(0);
        }
        if self.rng.chance(0.02 * faults.freezes) && !self.fleet.is_frozen(i) {
            self.happened.freezes += 1;
            let span = self.rng.range(SECOND..20 * SECOND);
            self.fleet.freeze(i, span);
        }
        if self.rng.chance(0.04 * faults.reboots) {
            if self.fleet.is_on(i) {
                self.collect(i);
                self.fleet.crash(i);
            } else {
                self.boot(i);
            }
        }
        if self.rng.chance(0.04 * faults.deaf) {
            self.fleet.machines[i].deaf ^= true;
            self.happened.deaf += 1;
        }
        if self.rng.chance(faults.garbage) {
            let bytes: Vec<u8> = (0..self.rng.below(80)).map(|_| self.rng.bits() as u8).collect();
            self.fleet.inject(0, i, bytes.clone());
            let mut dressed = vec![b'S', 0xCF, 1, 0, self.rng.below(48) as u8, bytes.len() as u8, 0];
            dressed.extend(&bytes);
            // With a known kind and an honest length some of it may be a message; one that fires an event would be
            // an event that nobody fired.
            if dressed[4] != 10 {
                self.fleet.inject(0, i, dressed);
            }
        }
    }

    fn boot(&mut self, i: usize) {
        self.happened.reboots += 1;
        let remembers = self.rng.chance(0.5);
        self.oracle.booted(i, self.fleet.now(), remembers);
        let oracle = &mut self.oracle;
        self.fleet.boot(i, &[0], remembers, &mut |i, _, at, seen| oracle.saw(i, at, &seen));
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
        }
        self.fire_one(i);
        // Now and then another fires the same name at the same moment.
        if self.rng.chance(0.3) {
            self.fire_one((i + 1) % self.plan.nodes);
        }
    }

    fn fire_one(&mut self, i: usize) {
        let serial = self.oracle.serial();
        let name = format!("name-{}", self.rng.below(self.plan.names));
        let coalesce = self.rng.chance(self.plan.coalesced);
        let (now, boots) = (self.fleet.now(), self.fleet.machines[i].boots);
        let oracle = &mut self.oracle;
        let mut heard = Vec::new();
        let fired = self.fleet.with(i, &mut |i, _, at, seen| heard.push((i, at, seen)), |node, now| {
            node.user_event(now, name.as_bytes(), serial.to_string().as_bytes(), coalesce)
        });
        if let Some(Ok(_)) = fired {
            self.happened.events += 1;
            oracle.fired(serial, name.as_bytes(), coalesce, (i, boots), now);
        }
        for (i, at, seen) in heard {
            oracle.saw(i, at, &seen);
        }
    }

    /// All faults end; everybody is on.
    fn peace(&mut self) {
        self.fleet.network.heal();
        for i in 0..self.plan.nodes {
            self.fleet.machines[i].deaf = false;
            if !self.fleet.is_on(i) {
                self.boot(i);
            }
        }
    }

    /// In peace an event from anybody reaches everybody.
    fn probe(&mut self) -> Result<(), String> {
        let lossless = std::mem::replace(&mut self.oracle.lossless, true);
        let before: Vec<u64> = self.oracle.fired.keys().copied().collect();
        // So long that even those who booted last count as having stayed.
        self.advance(30 * SECOND)?;
        for i in [0, self.plan.nodes / 2, self.plan.nodes - 1] {
            let serial = self.oracle.serial();
            let (now, boots) = (self.fleet.now(), self.fleet.machines[i].boots);
            let fired = self.fleet.with(i, &mut |_, _, _, _| {}, |node, _| node.levels());
            if fired.is_none() {
                return Err(format!("node {i} is not there in peace"));
            }
            let mut heard = Vec::new();
            let result = self.fleet.with(i, &mut |i, _, at, seen| heard.push((i, at, seen)), |node, now| {
                node.user_event(now, b"probe", serial.to_string().as_bytes(), false)
            });
            match result {
                Some(Ok(_)) => self.oracle.fired(serial, b"probe", false, (i, boots), now),
                other => return Err(format!("node {i} refused an event in peace: {other:?}")),
            }
            for (i, at, seen) in heard {
                self.oracle.saw(i, at, &seen);
            }
        }
        self.advance(10 * SECOND)?;
        let mut probes = Oracle::default();
        std::mem::swap(&mut probes.fired, &mut self.oracle.fired);
        self.oracle.fired =
            probes.fired.iter().filter(|(s, _)| !before.contains(s)).map(|(s, f)| (*s, f.clone())).collect();
        self.oracle.judge(&self.fleet);
        self.oracle.fired = probes.fired;
        self.oracle.lossless = lossless;
        self.verdict()
    }

    /// Keeps the counters of a node that is about to go.
    fn collect(&mut self, i: usize) {
        let Some(stats) = self.fleet.node(i).map(|node| *node.stats()) else { return };
        let h = &mut self.happened;
        h.garbage += stats.refused;
        h.full += stats.events_full;
        h.too_old += stats.too_old;
        h.shed += stats.shed;
        h.dropped += stats.store_dropped;
        h.app_full += stats.app_full;
        h.pulls += stats.pulls;
        h.refuted += stats.refuted;
        h.superseded += stats.coalesce_superseded;
        h.early += stats.coalesce_early;
        h.failures += stats.probes_failed;
    }

    fn count(&mut self) {
        self.happened.runs = 1;
        for i in 0..self.plan.nodes {
            self.collect(i);
        }
        self.happened.lost = self.fleet.network.lost;
        self.happened.steps = self.fleet.steps;
    }

    fn views(&self) -> String {
        let mut text = String::new();
        for i in 0..self.plan.nodes {
            let Some(node) = self.fleet.node(i) else { continue };
            let odd: Vec<String> = node
                .members()
                .filter(|m| m.status != serf_nostd::Status::Alive)
                .map(|m| format!("{} {:?} inc {}", m.name, m.status, m.incarnation))
                .collect();
            if node.live() != self.plan.nodes {
                text += &format!("node-{i}: {} live; {}\n", node.live(), odd.join(", "));
            }
        }
        text
    }
}

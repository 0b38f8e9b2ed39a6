//! How the fleet begins: its machines, who names whom as a seed, and who has whose name.

use std::net::SocketAddr;

use crate::fleet::Size;
use crate::judge::Memory;
use crate::machine::Nat;
use crate::network::Links;
use crate::wire::addr;

use super::plan::{Faults, Profile};
use super::{BEAT, Run, SECOND};

/// Whom a machine asks when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seed {
    /// Another machine, wherever it is.
    Machine(usize),
    /// Itself, by an address that it does not know as its own.
    Alias,
    /// An address where nobody is.
    Dead,
}

/// What the world knows about a machine beside its hardware.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    /// Whom it asks when it starts.
    pub seeds: Vec<Seed>,
    /// It has been ordered to leave, and is on yet.
    pub leaving: bool,
    /// It is off as it has left.
    pub left: bool,
    /// It is off as its name was refused.
    pub refused: bool,
    /// It is off, and will not be switched on in peace.
    pub stays_off: bool,
    /// Another one has its name.
    pub twin: Option<usize>,
    /// Its clock is so many parts in a million too fast.
    pub rate: i64,
    /// How many addresses it has had.
    pub moves: u32,
}

/// Addresses beside the first ones: so many for each machine, this far apart.
const APART: u32 = 1 << 16;
/// Which of a machine's addresses are not its own: the alias, the dead one.
const ALIAS: u32 = 200;
const DEAD: u32 = 201;
/// In which of two fleets a machine begins: this bit of its side. The lower one is for cuts within a fleet.
pub(super) const FLEET: u8 = 2;

/// One of the addresses of machine `i`.
pub(super) fn another(i: usize, which: u32) -> SocketAddr {
    addr(i as u32 + which * APART)
}

impl Run<'_> {
    /// Machines and links, before anything is on.
    pub(super) fn furnish(&mut self) {
        let plan = self.plan;
        for i in 0..plan.nodes {
            let size = match plan.size {
                Size::Mixed => [Size::Server, Size::Small][i % 2],
                Size::Boards => [Size::Server, Size::Tiny, Size::Small][i % 3],
                size => size,
            };
            self.fleet.resize(i, size);
            self.lives[i].seeds = vec![Seed::Machine(0)];
        }
        if plan.latency > 0 {
            let jitter = self.luck.below(51) as f64 / 100.0;
            self.fleet.network.links = Some(Links { seed: plan.seed, base: plan.latency, jitter });
        }
        let h = &mut self.happened;
        h.mixed += matches!(plan.size, Size::Mixed | Size::Boards) as u64;
        h.differing += (plan.latency > 0) as u64;
        h.wan += (plan.profile == Profile::Wan) as u64;
        h.local += (plan.profile == Profile::Local) as u64;
        h.device += (plan.profile == Profile::Device) as u64;
        let Faults { merges, seeds, twins, nats, .. } = plan.faults;
        if merges > 0.0 {
            self.part();
        }
        if seeds > 0.0 {
            self.draw_seeds();
        }
        if twins > 0.0 {
            self.pair();
        }
        if nats > 0.0 {
            self.fleet.config.advertise_observed = self.luck.chance(0.5);
        }
        for i in 0..plan.nodes {
            if self.luck.chance(nats) {
                let patience = self.luck.range(20..120) * SECOND;
                self.fleet.machines[i].nat = Some(Nat::new(patience));
            }
        }
    }

    /// Two fleets that know nothing of each other, with a seed each.
    fn part(&mut self) {
        let seeds: Vec<usize> = (1..self.plan.nodes).filter(|i| self.holds_all(*i)).collect();
        let second = seeds[self.luck.below(seeds.len() as u64) as usize];
        for i in 1..self.plan.nodes {
            if i == second || self.luck.chance(0.4) {
                self.fleet.network.side[i] = FLEET;
                self.lives[i].seeds = vec![Seed::Machine(second)];
            }
        }
        let latest = self.plan.seconds.max(2) * SECOND;
        self.merge = Some(20 * self.pace() + self.luck.below(latest));
        self.note("two fleets begin apart".to_string());
    }

    /// Each machine has seeds of its own choice; yet nobody is left without a way to all others.
    fn draw_seeds(&mut self) {
        let nodes = self.plan.nodes;
        let mut part: Vec<usize> = (0..nodes).collect();
        let side = |run: &Self, i: usize| run.fleet.network.side[i] & FLEET;
        for i in 0..nodes {
            let mut seeds = Vec::new();
            for _ in 0..self.luck.below(4) {
                let other = self.luck.below(nodes as u64) as usize;
                seeds.push(match self.luck.below(5) {
                    0 => Seed::Alias,
                    1 => Seed::Dead,
                    _ if side(self, other) == side(self, i) && self.holds_all(other) => Seed::Machine(other),
                    _ => Seed::Dead,
                });
            }
            self.fleet.alias(i, another(i, ALIAS));
            self.lives[i].seeds = seeds;
        }
        // Through a board that has no place for all, nobody else finds anybody.
        for i in (0..nodes).filter(|i| self.holds_all(*i)) {
            for seed in self.lives[i].seeds.clone() {
                if let Seed::Machine(other) = seed {
                    let (from, to) = (part[i], part[other]);
                    part.iter_mut().filter(|p| **p == from).for_each(|p| *p = to);
                }
            }
        }
        for i in 0..nodes {
            let first =
                (0..nodes).find(|first| side(self, *first) == side(self, i) && self.holds_all(*first));
            if let Some(first) = first
                && part[i] != part[first]
            {
                let (from, to) = (part[i], part[first]);
                self.lives[i].seeds.push(Seed::Machine(first));
                part.iter_mut().filter(|p| **p == from).for_each(|p| *p = to);
            }
        }
    }

    /// Whether a machine has a place for everybody. Others are nobody's seed: a full table takes no newcomer in.
    pub(super) fn holds_all(&self, i: usize) -> bool {
        self.fleet.machines[i].size.members() >= self.plan.nodes
    }

    /// Some have the name of another one.
    fn pair(&mut self) {
        let pairs = 1 + (self.plan.nodes as f64 * self.plan.faults.twins / 8.0) as u64;
        for _ in 0..pairs {
            let (a, b) = (self.luck.below(self.plan.nodes as u64), self.luck.below(self.plan.nodes as u64));
            let (a, b) = (a as usize, b as usize);
            if a == b || self.lives[a].twin.is_some() || self.lives[b].twin.is_some() {
                continue;
            }
            (self.lives[a].twin, self.lives[b].twin) = (Some(b), Some(a));
            let name = self.fleet.machines[a].name().to_string();
            self.fleet.rename(b, &name);
            self.happened.twins += 1;
            if self.luck.chance(0.5) {
                self.happened.clones += 1;
            } else {
                self.fleet.machines[b].boots_ahead = self.luck.range(1..1_000);
            }
            self.note(format!("machine {b} has the name of machine {a}"));
        }
    }

    /// Everything is switched on.
    pub(super) fn start(&mut self) -> Result<(), String> {
        let mut faults = self.plan.faults;
        let unusual = faults.each_mut().into_iter().skip(11).any(|strength| *strength > 0.0);
        if !unusual && self.plan.latency == 0 && self.plan.size != Size::Boards {
            for i in 0..self.plan.nodes {
                self.ears.judge.switched_on(i, 0, Memory::Forgets);
            }
            let ears = &mut self.ears;
            self.fleet.assemble(&mut |i, boots, at, seen| ears.hear(i, boots, at, &seen));
            return Ok(());
        }
        for i in 0..self.plan.nodes {
            self.switch_on(i, 0, Memory::Forgets);
            let pause = self.luck.below(4);
            self.advance(pause * BEAT)?;
        }
        Ok(())
    }

    /// The addresses of a machine's seeds, as they are now.
    fn seeds(&mut self, i: usize) -> Vec<SocketAddr> {
        let seeds = self.lives[i].seeds.clone();
        let h = &mut self.happened;
        h.seedless += seeds.is_empty() as u64;
        h.aliases += seeds.contains(&Seed::Alias) as u64;
        h.dead_seeds += seeds.contains(&Seed::Dead) as u64;
        let address = |seed: Seed| match seed {
            Seed::Machine(other) => (other != i).then(|| self.fleet.address(other)),
            Seed::Alias => Some(another(i, ALIAS)),
            Seed::Dead => Some(another(i, DEAD)),
        };
        seeds.into_iter().filter_map(address).collect()
    }

    /// Switches a machine on, with this floor.
    pub(super) fn switch_on(&mut self, i: usize, floor: u64, memory: Memory) {
        let seeds = self.seeds(i);
        let life = &mut self.lives[i];
        (life.leaving, life.left, life.refused, life.stays_off) = (false, false, false, false);
        let rate = life.rate;
        let now = self.fleet.now();
        self.ears.judge.switched_on(i, now, memory);
        let ears = &mut self.ears;
        self.fleet.boot_at(i, &seeds, floor, &mut |i, boots, at, seen| ears.hear(i, boots, at, &seen));
        if rate != 0 {
            self.fleet.set_clock(i, |clock, now| clock.go(now, rate));
        }
        let (boot, home) = (self.fleet.machines[i].boot_number(), self.fleet.address(i));
        self.note(format!("machine {i} on: boot {boot}, floor {floor}, at {home}, seeds {seeds:?}"));
    }
}

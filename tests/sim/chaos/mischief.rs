//! Faults of machines and of the network.

use crate::clock::STOPPED;
use crate::fleet::Size;
use crate::judge::Memory;
use crate::machine::Driver;
use crate::network::muted;
use crate::wire;

use super::plan::Faults;
use super::start::{FLEET, another};
use super::{Ends, Run, SECOND};

impl Run<'_> {
    /// Faults that are there all the time.
    pub(super) fn weather(&mut self) {
        let Faults { loss, bursts, duplicates, reorder, one_way, narrow, echoes, .. } = self.plan.faults;
        let rng = &mut self.rng;
        let network = &mut self.fleet.network;
        network.loss = 0.4 * loss;
        network.burst_loss = 0.3 * bursts;
        network.burst = 20_000 * 10_u64.pow(rng.below(3) as u32);
        network.duplicate = 0.5 * duplicates;
        network.reorder = 0.5 * reorder;
        network.reorder_by = 10_000 * 10_u64.pow(rng.below(4) as u32);
        network.narrow = 0.4 * narrow;
        network.echo = 0.05 * echoes;
        let links = if one_way > 0.0 { 1 + (6.0 * one_way) as u64 } else { 0 };
        for _ in 0..links {
            let (a, b) = (rng.below(self.plan.nodes as u64), rng.below(self.plan.nodes as u64));
            network.one_way.push((a as u16, b as u16));
        }
        self.happened.one_way += links;
        for i in 0..self.plan.nodes {
            self.slow_down(i);
        }
        self.begin_forging();
    }

    /// What is wrong with a machine all the time: its queue, its driver, its clock.
    fn slow_down(&mut self, i: usize) {
        let Faults { queues, drivers, clocks, .. } = self.plan.faults;
        let luck = &mut self.luck;
        let machine = &mut self.fleet.machines[i];
        if queues > 0.0 {
            let board = machine.size != Size::Server;
            let usual = if board { 1_000.0 } else { 10.0 };
            machine.service = (usual * (0.5 + queues)) as u64;
            machine.places = if board { 16 } else { 256 };
        }
        if luck.chance(drivers) {
            let loses = if luck.chance(0.5) { 0.2 * drivers } else { 0.0 };
            machine.driver = Driver { late: 1 + luck.below((50_000.0 * drivers) as u64 + 1), loses };
        }
        if clocks > 0.0 {
            let rate = (10_000.0 * clocks) as u64;
            self.lives[i].rate = luck.below(2 * rate + 1) as i64 - rate as i64;
            let rate = self.lives[i].rate;
            self.happened.drifting += (rate != 0) as u64;
            self.fleet.set_clock(i, |clock, now| clock.go(now, rate));
        }
    }

    /// Faults that come and go. Node 0 stays in most plans, so that there is always a seed.
    pub(super) fn mischief(&mut self) {
        let faults = self.plan.faults;
        let i = 1 + self.rng.below(self.plan.nodes as u64 - 1) as usize;
        self.cut(faults.partitions);
        if self.rng.chance(0.02 * faults.freezes) && !self.fleet.is_frozen(i) {
            self.happened.freezes += 1;
            let span = self.rng.range(SECOND..20 * SECOND);
            self.fleet.freeze(i, span);
            self.note(format!("machine {i} stopped for {} s", span / SECOND));
        }
        if self.rng.chance(0.04 * faults.reboots) {
            self.toggle(i);
        }
        if self.rng.chance(0.04 * faults.deaf) {
            self.fleet.machines[i].deaf ^= true;
            self.happened.deaf += 1;
            self.note(format!("machine {i} deaf: {}", self.fleet.machines[i].deaf));
        }
        if self.rng.chance(faults.garbage) {
            self.throw_garbage(i);
        }
        let first = (faults.seeds == 0.0) as u64;
        let j = self.luck.range(first..self.plan.nodes as u64) as usize;
        let power = [faults.boots, faults.moves, faults.seeds, faults.forced, faults.refusals]
            .into_iter()
            .fold(0.0, f64::max);
        if self.luck.chance(0.04 * power) {
            self.toggle(j);
        }
        // Of two with one name nobody could tell which one has moved.
        if faults.moves > 0.0 && faults.twins == 0.0 && self.luck.chance(0.03 * faults.moves) {
            self.move_on(j);
        }
        self.mute(j, faults.muted);
        self.refuse(j, faults.refusals);
        self.turn_clock(j, faults.clocks);
        if self.luck.chance(0.02 * faults.nats)
            && let Some(nat) = &mut self.fleet.machines[j].nat
            && nat.until > 0
        {
            nat.until = 1;
            self.note(format!("the router of machine {j} forgets it"));
        }
        let now = self.fleet.now();
        while let Some(place) = self.ending.iter().position(|(at, _)| *at <= now) {
            match self.ending.swap_remove(place).1 {
                Ends::Muted(i) => self.fleet.network.muted[i] = 0,
                Ends::Rejecting(i) => {
                    self.fleet.network.refusals.rejecting.retain(|(_, to)| usize::from(*to) != i);
                }
                Ends::Off(i) if !self.fleet.is_on(i) => self.boot(i),
                Ends::Off(_) => {}
                Ends::Stopped(i) => {
                    let rate = self.lives[i].rate;
                    self.fleet.set_clock(i, |clock, now| clock.go(now, rate));
                }
            }
        }
    }

    /// Cuts the fleet in two, or heals the cut.
    fn cut(&mut self, strength: f64) {
        if self.rng.chance(0.02 * strength) {
            self.happened.partitions += 1;
            let split = self.rng.below(self.plan.nodes as u64);
            for (node, side) in self.fleet.network.side.iter_mut().enumerate() {
                *side = *side & FLEET | (node as u64 > split) as u8;
            }
            self.note(format!("cut behind machine {split}"));
        } else if strength > 0.0 && self.rng.chance(0.01) {
            self.fleet.network.side.iter_mut().for_each(|side| *side &= FLEET);
            self.note("the cut heals".to_string());
        }
    }

    fn toggle(&mut self, i: usize) {
        if self.fleet.is_on(i) {
            self.power_off(i, "loses power");
        } else {
            self.boot(i);
        }
    }

    fn throw_garbage(&mut self, i: usize) {
        let bytes: Vec<u8> = (0..self.rng.below(80)).map(|_| self.rng.bits() as u8).collect();
        self.fleet.inject(0, i, bytes.clone());
        let kind = self.rng.below(48) as u8;
        // With a known kind and an honest length some of it may be a message; one that fires an event would be an event
        // that nobody fired.
        if kind != wire::kind::USER_EVENT {
            self.fleet.inject(0, i, wire::datagram(&[wire::body(kind).raw(&bytes).end()]));
        }
    }

    fn mute(&mut self, i: usize, strength: f64) {
        if self.luck.chance(0.02 * strength) && self.fleet.network.muted[i] == 0 {
            let (bit, what) = if self.luck.chance(0.5) {
                (muted::SENDING, "is not heard")
            } else {
                (muted::HEARING, "hears nothing")
            };
            let span = self.luck.range(SECOND..30 * SECOND);
            self.fleet.network.muted[i] = bit;
            self.ending.push((self.fleet.now() + span, Ends::Muted(i)));
            self.happened.muted += 1;
            self.note(format!("machine {i} {what} for {} s", span / SECOND));
        }
    }

    /// A firewall refuses in a machine's name what some or all of the others send; somebody forges such refusals.
    fn refuse(&mut self, i: usize, strength: f64) {
        if self.luck.chance(0.02 * strength) {
            let share = self.luck.below(101) as f64 / 100.0;
            for from in (0..self.plan.nodes).filter(|from| *from != i) {
                if self.luck.chance(share) {
                    self.fleet.network.refusals.rejecting.push((from as u16, i as u16));
                }
            }
            let span = self.luck.range(SECOND..30 * SECOND);
            self.ending.push((self.fleet.now() + span, Ends::Rejecting(i)));
            self.happened.rejecting += 1;
            self.note(format!("a firewall refuses for machine {i} for {} s", span / SECOND));
        }
        if self.luck.chance(strength) {
            let to = self.luck.below(self.plan.nodes as u64) as usize;
            let quoted = (0..self.luck.below(80)).map(|_| self.luck.bits() as u8).collect();
            self.fleet.inject_refusal(to, self.fleet.address(i), quoted);
        }
    }

    fn turn_clock(&mut self, i: usize, strength: f64) {
        if !self.luck.chance(0.04 * strength) {
            return;
        }
        if self.luck.chance(0.5) {
            let span = self.luck.range(SECOND / 100..5 * SECOND);
            self.fleet.set_clock(i, |clock, now| clock.go(now, STOPPED));
            self.ending.push((self.fleet.now() + span, Ends::Stopped(i)));
            self.happened.stopped += 1;
            self.note(format!("the clock of machine {i} stands still for {} ms", span / 1_000));
        } else {
            let span = self.luck.range(1..60) * 10_u64.pow(self.luck.range(4..7) as u32);
            self.fleet.set_clock(i, |clock, now| clock.jump(now, span));
            self.happened.jumped += 1;
            self.note(format!("the clock of machine {i} jumps by {} ms", span / 1_000));
        }
    }

    /// Switches a machine on again.
    pub(super) fn boot(&mut self, i: usize) {
        self.happened.reboots += 1;
        self.happened.returned += self.lives[i].left as u64;
        let mut memory = if self.rng.chance(0.5) { Memory::Remembers } else { Memory::Forgets };
        let mut floor = if memory == Memory::Remembers { self.fleet.machines[i].floor } else { 0 };
        let machine = &mut self.fleet.machines[i];
        if self.luck.chance(0.4 * self.plan.faults.boots) {
            machine.boots_ahead += 1 << self.luck.range(20..42);
            self.happened.far_boots += 1;
        }
        if self.luck.chance(0.3 * self.plan.faults.boots) {
            machine.forgetful ^= true;
            self.happened.same_boots += machine.forgetful as u64;
        }
        if floor > 0 && self.luck.chance(0.5 * self.plan.faults.boots) {
            floor -= self.luck.range(1..9).min(floor);
            memory = Memory::Forgets;
            self.happened.lagging += 1;
        }
        if self.luck.chance(self.plan.faults.moves) {
            self.change_address(i);
        }
        self.switch_on(i, floor, memory);
    }

    /// A machine that is on gets another address, and its node is told.
    fn move_on(&mut self, i: usize) {
        if !self.fleet.is_on(i) || self.fleet.is_frozen(i) {
            return;
        }
        self.change_address(i);
        let home = self.fleet.address(i);
        self.note(format!("machine {i} moves to {home}"));
        self.happened.moved_on += 1;
        let ears = &mut self.ears;
        self.fleet.with(i, &mut |i, boots, at, seen| ears.hear(i, boots, at, &seen), |node, now| {
            node.set_address(now, home);
        });
    }

    /// A machine gets a fresh address, or one that another has given up.
    fn change_address(&mut self, i: usize) {
        self.lives[i].moves += 1;
        let fresh = another(i, self.lives[i].moves);
        let reused = self.luck.chance(0.3) && !self.free.is_empty();
        let place = self.luck.below(self.free.len().max(1) as u64) as usize;
        let home = if reused { self.free.swap_remove(place) } else { fresh };
        self.free.push(self.fleet.address(i));
        self.fleet.move_to(i, home);
        self.happened.moved += 1;
        self.ears.judge.addressed(i, home);
    }
}

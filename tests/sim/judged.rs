//! A fleet with a judge that knows all that is done to it, and hears all that its applications are told.

use serf_nostd::{Config, EventError};

use crate::fleet::{Fleet, Size};
use crate::judge::{Judge, Memory};

/// One second of virtual time.
pub const SECOND: u64 = 1_000_000;

/// A fleet and its judge.
pub struct Judged {
    /// The fleet. What its applications see while it runs by itself the judge does not hear.
    pub fleet: Fleet,
    /// The judge.
    pub judge: Judge,
}

impl Judged {
    /// `count` machines, all off, of which everybody who stays is to be handed every event.
    pub fn new(seed: u64, count: usize, size: Size, config: Config) -> Judged {
        let judge = Judge::new(count, config.clone());
        Judged { fleet: Fleet::new(seed, count, size, config), judge }
    }

    /// As [`Judged::new`], all on, and long enough for the judge to count them as there for every event.
    pub fn assembled(seed: u64, count: usize, size: Size, config: Config) -> Judged {
        let mut judged = Judged::new(seed, count, size, config);
        judged.assemble();
        judged
    }

    /// Switches everything on, and waits until the judge counts it as there for every event.
    pub fn assemble(&mut self) {
        (0..self.fleet.machines.len())
            .for_each(|i| self.judge.switched_on(i, self.fleet.now(), Memory::Forgets));
        let judge = &mut self.judge;
        self.fleet.assemble(&mut |i, _, at, seen| judge.saw(i, at, &seen));
        self.run(SECOND);
        self.run(20 * SECOND);
    }

    /// Runs for a span of virtual time.
    pub fn run(&mut self, span: u64) {
        let judge = &mut self.judge;
        self.fleet.run(span, &mut |i, _, at, seen| judge.saw(i, at, &seen));
        self.judge.look(&self.fleet);
    }

    /// Switches a machine on. `remembers`: its floor survived, and with it what it has been handed.
    pub fn boot(&mut self, i: usize, seeds: &[usize], remembers: bool) {
        self.judge.switched_off(i);
        let memory = if remembers { Memory::Remembers } else { Memory::Forgets };
        self.judge.switched_on(i, self.fleet.now(), memory);
        let judge = &mut self.judge;
        self.fleet.boot(i, seeds, remembers, &mut |i, _, at, seen| judge.saw(i, at, &seen));
    }

    /// Fires an event, with a serial number as its payload. `None` if the machine is off or frozen.
    pub fn fire(&mut self, i: usize, name: &str, coalesce: bool) -> Option<Result<u64, EventError>> {
        let serial = self.judge.serial();
        let mut heard = Vec::new();
        let fired = self.fleet.with(i, &mut |i, _, at, seen| heard.push((i, at, seen)), |node, now| {
            node.user_event(now, name.as_bytes(), serial.to_string().as_bytes(), coalesce)
        });
        if let Some(Ok(_)) = fired {
            self.judge.fired(&self.fleet, serial, name.as_bytes(), coalesce, i);
        }
        for (i, at, seen) in heard {
            self.judge.saw(i, at, &seen);
        }
        fired
    }

    /// What has gone wrong so far, if anything.
    ///
    /// # Errors
    /// What it is.
    pub fn verdict(&mut self) -> Result<(), String> {
        self.judge.verdict()
    }

    /// Whether everybody who stayed has been handed all, once, and everybody is shown as it is.
    ///
    /// # Errors
    /// What is missing, or has come twice.
    pub fn judge(&mut self) -> Result<(), String> {
        self.judge.judge(&self.fleet).map(|_| ())
    }
}

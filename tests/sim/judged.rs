//! A fleet with a judge that knows all events fired in it, and hears all that its applications are told.

use serf_nostd::{Config, EventError};

use crate::fleet::{Fleet, Size};
use crate::judge::{Judge, Memory};

/// One second of virtual time.
pub const SECOND: u64 = 1_000_000;
/// The judge looks so often.
const LOOK: u64 = SECOND / 10;

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
        let mut judge = Judge::new(count);
        (judge.strict, judge.events_only) = (true, true);
        Judged { fleet: Fleet::new(seed, count, size, config), judge }
    }

    /// As [`Judged::new`], all on, and long enough for the judge to count them as there for every event.
    pub fn assembled(seed: u64, count: usize, size: Size, config: Config) -> Judged {
        let mut judged = Judged::new(seed, count, size, config);
        judged.assemble();
        judged
    }

    /// Switches all on and waits until they agree, and for the judge to count them as there for every event.
    pub fn assemble(&mut self) {
        let judge = &mut self.judge;
        self.fleet.assemble(&mut |i, boots, at, seen| judge.saw(i, boots, at, &seen));
        self.run(20 * SECOND);
    }

    /// Runs for a span of virtual time.
    pub fn run(&mut self, span: u64) {
        let mut left = span;
        while left > 0 {
            let now = self.fleet.now();
            let frozen = (0..self.fleet.machines.len()).any(|i| self.fleet.is_frozen(i));
            if frozen || self.fleet.network.loses() {
                self.judge.cut(now);
            } else if !self.judge.is_whole() {
                self.judge.healed(now);
            }
            let step = left.min(LOOK);
            let judge = &mut self.judge;
            self.fleet.run(step, &mut |i, boots, at, seen| judge.saw(i, boots, at, &seen));
            self.judge.glance(&self.fleet);
            left -= step;
        }
    }

    /// Switches a machine on. `remembers`: its floor survived, and with it what it has been handed.
    pub fn boot(&mut self, i: usize, seeds: &[usize], remembers: bool) {
        let memory = if remembers { Memory::Remembers } else { Memory::Forgets };
        self.judge.switched_on(i, self.fleet.now(), memory);
        let judge = &mut self.judge;
        self.fleet.boot(i, seeds, remembers, &mut |i, boots, at, seen| judge.saw(i, boots, at, &seen));
    }

    /// Fires an event, with a serial number as its payload. `None` if the machine is off or frozen.
    pub fn fire(&mut self, i: usize, name: &str, coalesce: bool) -> Option<Result<u64, EventError>> {
        let serial = self.judge.serial();
        let (now, boots) = (self.fleet.now(), self.fleet.machines[i].boots);
        let mut heard = Vec::new();
        let hear = &mut |i, boots, at, seen| heard.push((i, boots, at, seen));
        let fired = self.fleet.with(i, hear, |node, now| {
            node.user_event(now, name.as_bytes(), serial.to_string().as_bytes(), coalesce)
        });
        if let Some(Ok(_)) = fired {
            self.judge.fired(serial, name.as_bytes(), coalesce, (i, boots), now);
        }
        for (i, boots, at, seen) in heard {
            self.judge.saw(i, boots, at, &seen);
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

    /// Whether everybody who stayed has been handed all, once.
    ///
    /// # Errors
    /// What is missing, or has come twice.
    pub fn judge(&mut self) -> Result<(), String> {
        self.judge.judge_events(&self.fleet)
    }
}

//! A fleet with a judge that knows all events fired in it, and hears all that are handed out.

use serf_nostd::{Config, EventError};

use crate::fleet::{Fleet, Size};
use crate::oracle::Oracle;

/// One second of virtual time.
pub const SECOND: u64 = 1_000_000;

/// A fleet and its judge.
pub struct Judged {
    /// The fleet. What its applications see while it runs by itself the judge does not hear.
    pub fleet: Fleet,
    /// The judge.
    pub oracle: Oracle,
}

impl Judged {
    /// `count` machines, all off, of which everybody who stays is to be handed every event.
    pub fn new(seed: u64, count: usize, size: Size, config: Config) -> Judged {
        Judged { fleet: Fleet::new(seed, count, size, config), oracle: Oracle::new(count) }
    }

    /// As [`Judged::new`], all on, and long enough for the judge to count them as there for every event.
    pub fn assembled(seed: u64, count: usize, size: Size, config: Config) -> Judged {
        let mut judged = Judged::new(seed, count, size, config);
        let oracle = &mut judged.oracle;
        judged.fleet.assemble(&mut |i, _, at, seen| oracle.saw(i, at, &seen));
        judged.run(20 * SECOND);
        judged
    }

    /// Runs for a span of virtual time.
    pub fn run(&mut self, span: u64) {
        let oracle = &mut self.oracle;
        self.fleet.run(span, &mut |i, _, at, seen| oracle.saw(i, at, &seen));
        oracle.look(&self.fleet);
    }

    /// Switches a machine on. `remembers`: its floor survived, and with it what it has been handed.
    pub fn boot(&mut self, i: usize, seeds: &[usize], remembers: bool) {
        self.oracle.booted(i, self.fleet.now(), remembers);
        let oracle = &mut self.oracle;
        self.fleet.boot(i, seeds, remembers, &mut |i, _, at, seen| oracle.saw(i, at, &seen));
    }

    /// Fires an event, with a serial number as its payload. `None` if the machine is off or frozen.
    pub fn fire(&mut self, i: usize, name: &str, coalesce: bool) -> Option<Result<u64, EventError>> {
        let serial = self.oracle.serial();
        let (now, boots) = (self.fleet.now(), self.fleet.machines[i].boots);
        let mut heard = Vec::new();
        let fired = self.fleet.with(i, &mut |i, _, at, seen| heard.push((i, at, seen)), |node, now| {
            node.user_event(now, name.as_bytes(), serial.to_string().as_bytes(), coalesce)
        });
        if let Some(Ok(_)) = fired {
            self.oracle.fired(serial, name.as_bytes(), coalesce, (i, boots), now);
        }
        for (i, at, seen) in heard {
            self.oracle.saw(i, at, &seen);
        }
        fired
    }

    /// What has gone wrong so far, if anything.
    ///
    /// # Errors
    /// What it is.
    pub fn verdict(&mut self) -> Result<(), String> {
        self.oracle.wrong.take().map_or(Ok(()), Err)
    }

    /// Whether everybody who stayed has been handed all, once.
    ///
    /// # Errors
    /// What is missing, or has come twice.
    pub fn judge(&mut self) -> Result<(), String> {
        self.oracle.judge(&self.fleet);
        self.verdict()
    }
}

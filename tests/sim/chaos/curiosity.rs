//! What is asked of the fleet.

use serf_nostd::{Ask, Duration};

use crate::judge::queries::{Filter, Posed};

use super::{Run, SECOND};

/// What applications do with these: see [`crate::fleet::Seen::Asked`].
const NAMES: [&str; 5] = ["load", "load", "load", "none", "silent"];
/// In peace answers have so long.
const PATIENCE: Duration = Duration::from_secs(20);

impl Run<'_> {
    /// Queries of this moment: one now and then, or more of them than a node has places for.
    pub(super) fn wonder(&mut self) {
        if !self.curiosity.chance(self.plan.queries / 10.0) {
            return;
        }
        let i = self.curiosity.below(self.plan.nodes as u64) as usize;
        let count = if self.curiosity.chance(0.1) { 6 } else { 1 };
        for _ in 0..count {
            let name = NAMES[self.curiosity.below(NAMES.len() as u64) as usize];
            let filter = self.draw_filter();
            let rng = &mut self.curiosity;
            let timeout = Duration::from_micros(rng.range(SECOND / 2..20 * SECOND));
            let mut ask = Ask::all(name, b"");
            (ask.timeout, ask.ack) = (Some(timeout), rng.chance(0.5));
            ask.wait_full_timeout = rng.chance(0.1);
            // It is off, or has no room.
            let _ = self.ask(i, &ask, filter, false);
        }
    }

    /// All, or a few by name, or some by their tag.
    fn draw_filter(&mut self) -> Filter {
        let rng = &mut self.curiosity;
        let nodes = self.plan.nodes as u64;
        let named = if rng.chance(0.25) { 1 + rng.below(3) } else { 0 };
        let nodes = (0..named).map(|_| rng.below(nodes) as usize).collect::<Vec<_>>();
        let digit = rng.chance(0.2).then(|| rng.range(b'1'.into()..b'9' as u64 + 1) as u8);
        Filter {
            nodes: nodes.into_iter().map(|i| self.fleet.machines[i].name().to_string()).collect(),
            digit,
        }
    }

    /// Everybody is to answer this. One after the other: a small node has places for two queries, and gives up the older ones.
    pub(super) fn ask_in_peace(&mut self, i: usize) -> Result<(), String> {
        if self.plan.queries == 0.0 {
            return Ok(());
        }
        self.advance(5 * self.pace())?;
        let mut ask = Ask::all("load", b"");
        ask.timeout = Some(PATIENCE);
        self.ask(i, &ask, Filter::default(), true)
    }

    /// Asks, with a serial number as the payload, if the machine is on, and its node takes it.
    fn ask(&mut self, i: usize, ask: &Ask<'_>, filter: Filter, peace: bool) -> Result<(), String> {
        self.queries += 1;
        let (serial, boots) = (self.queries, self.fleet.machines[i].boots);
        let payload = serial.to_string();
        let nodes: Vec<&str> = filter.nodes.iter().map(String::as_str).collect();
        let expression = filter.digit.map(|digit| format!("^{}", digit as char));
        let tags: Vec<(&str, &str)> = expression.iter().map(|expression| ("v", &**expression)).collect();
        let mut ask = *ask;
        (ask.payload, ask.nodes, ask.tags) = (payload.as_bytes(), &nodes, &tags);
        let mut heard = Vec::new();
        let asked = self.fleet.ask(i, &mut |i, boots, at, seen| heard.push((i, boots, at, seen)), &ask);
        let accepted = asked.and_then(Result::ok);
        if let Some(id) = accepted {
            let now = self.fleet.now();
            self.note(format!("machine {i} asks {serial}, {}, of {filter:?}", ask.name));
            let (name, ack, waits) = (ask.name.to_string(), ask.ack, ask.wait_full_timeout);
            let posed = Posed { id, asker: (i, boots), name, filter, ack, waits, peace };
            self.ears.judge.posed(serial, posed, now);
        }
        for (i, boots, at, seen) in heard {
            self.ears.hear(i, boots, at, &seen);
        }
        accepted.map(drop).ok_or_else(|| format!("node {i} refused a query: {asked:?}"))
    }
}

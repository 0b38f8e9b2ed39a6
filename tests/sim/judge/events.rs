//! Each event once, to everybody who was there; or a counter says where not.

use super::{Fired, Id, Judge, bounds, losses, own_losses};
use crate::fleet::{Fleet, Size};

/// Events that were fired so long before a machine booted are from before its join, whatever was under way then.
const BEFORE: u64 = 15_000_000;

/// Events and slots for them of a size that fits all machines of a fleet.
fn room(size: Size) -> usize {
    match size {
        Size::Tiny | Size::Boards => 16,
        Size::Small | Size::Mixed => 32,
        Size::Server => 1_024,
        Size::Agent => 4_096,
        Size::Members(_) | Size::FullMembers(_) => 64,
    }
}

impl Judge {
    /// An application was handed an event.
    pub(super) fn delivered(
        &mut self,
        i: usize,
        at: u64,
        id: Id,
        name: &[u8],
        payload: &[u8],
        coalesce: bool,
    ) {
        let serial = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
        let Some((serial, fired)) =
            serial.and_then(|serial| Some((serial, self.fired.get(&serial)?.clone())))
        else {
            if self.forged_until.is_none() {
                self.complain(format!("machine {i} was handed an event that nobody fired: {payload:?}"));
            }
            return;
        };
        self.identity(i, serial, id, &fired);
        let Some(life) = &mut self.machines[i].life else { return };
        let again = !life.heard.insert(serial);
        let since = life.since;
        if again {
            self.complain(format!("machine {i} was handed event {serial} twice, at {at}"));
        }
        if self.machines[i].remembered.contains(&serial) {
            self.complain(format!("machine {i} was handed event {serial} again in a later life, at {at}"));
        }
        self.from_before(i, serial, &fired, since);
        if coalesce {
            self.value(i, at, serial, id, name);
        }
    }

    /// An event has one identity, but for its origin, who may have fired it before it knew the fleet's clock; and no two have
    /// the same.
    fn identity(&mut self, i: usize, serial: u64, id: Id, fired: &Fired) {
        let ids = if fired.origin.0 == i { &mut self.own_ids } else { &mut self.ids };
        let known = *ids.entry(serial).or_insert(id);
        if known != id {
            let origin = fired.origin;
            self.complain(format!(
                "event {serial} of {origin:?} has two identities: {known:?}, and at machine {i} {id:?}"
            ));
        }
        let other = *self.serials.entry(id).or_insert(serial);
        if other != serial {
            self.complain(format!("events {serial} and {other} share the identity {id:?}"));
        }
    }

    /// Nothing is handed out from before a machine's time, unless it could not be told before: its origin was alone, or there
    /// was trouble.
    fn from_before(&mut self, i: usize, serial: u64, fired: &Fired, since: u64) {
        if fired.origin.0 == i && fired.at >= since || fired.at + BEFORE >= since {
            return;
        }
        if fired.fleet == 0 || self.troubled(fired.at, since + bounds::meeting(&self.config)) {
            return self.excuse("told late, as it could not be told before");
        }
        self.complain(format!(
            "machine {i}, on since {since}, was handed event {serial}, fired at {}",
            fired.at
        ));
    }

    pub(super) fn judge_events(&mut self, fleet: &Fleet) {
        if self.forged_until.is_some() {
            return;
        }
        let smallest = fleet.machines.iter().map(|machine| room(machine.size)).min().unwrap_or(0);
        let within = self.fired.len() <= smallest;
        let on: Vec<usize> = (0..self.machines.len()).filter(|i| fleet.is_on(*i)).collect();
        let events: Vec<(u64, Fired)> = self
            .fired
            .iter()
            .filter(|(_, event)| !event.coalesce)
            .map(|(s, event)| (*s, event.clone()))
            .collect();
        let mut missing = vec![0; self.machines.len()];
        for (serial, event) in &events {
            let known = on.iter().any(|i| self.has(*i, *serial));
            for i in &on {
                if self.owed(*i, event) && !self.has(*i, *serial) {
                    missing[*i] += 1;
                    self.missing(fleet, *i, (*serial, event), within, known, missing[*i]);
                }
            }
        }
    }

    fn has(&self, i: usize, serial: u64) -> bool {
        self.machines[i].life.as_ref().is_some_and(|life| life.heard.contains(&serial))
    }

    /// Whether a machine was there when an event was fired, with its origin in one fleet, and has been ever since.
    fn owed(&self, i: usize, event: &Fired) -> bool {
        let Some(life) = &self.machines[i].life else { return false };
        let there = life.fleet_at(event.at.saturating_sub(bounds::meeting(&self.config)));
        event.fleet != 0 && there == event.fleet && life.fleets.len() == 1
    }

    /// What excuses that an event has not come to somebody, if anything does: the `count`th that it lacks.
    fn missing(
        &mut self,
        fleet: &Fleet,
        i: usize,
        (serial, event): (u64, &Fired),
        within: bool,
        known: bool,
        count: u64,
    ) {
        let (origin, boots) = event.origin;
        let lives = fleet.node(origin).filter(|_| self.machines[origin].boots == boots);
        if lives.is_none() && !known {
            return self.excuse("died with its origin");
        }
        // Two histories that differ tell how much the longer one is longer: at least that is missing in the other.
        let counted = fleet.node(i).is_some_and(|node| 2 * losses(node.stats()) >= count);
        let told = known || lives.is_none_or(|node| own_losses(node.stats()) > 0);
        if counted && told && !within {
            return self.excuse("a loss that is counted");
        }
        if !known && lives.is_some_and(|node| node.stats().own_expired > 0) {
            return self.excuse("given up by its origin, which counts it");
        }
        let how = if within { "in a fleet within its bounds" } else { "and no counter says so" };
        let at = event.at;
        self.complain(format!("machine {i} lacks event {serial} of machine {origin}, fired at {at}, {how}"));
    }
}

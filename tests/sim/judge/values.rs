//! Last values: never backwards, and in the end the same everywhere.

use std::collections::BTreeMap;

use super::{Id, Judge, bounds};
use crate::fleet::Fleet;

impl Judge {
    /// An application was handed a value.
    pub(super) fn value(&mut self, i: usize, at: u64, serial: u64, id: Id, name: &[u8]) {
        let Some(life) = &mut self.machines[i].life else { return };
        let before = life.last.insert(name.to_vec(), (serial, id));
        if let Some((other, _)) = before.filter(|(_, before)| *before > id)
            && self.ordered
            && self.forged_until.is_none()
        {
            let name = String::from_utf8_lossy(name).into_owned();
            self.complain(format!("machine {i} was handed value {serial} of {name} after {other}, at {at}"));
        }
    }

    /// The identity by which all but its origin know a value.
    fn common(&self, serial: u64, own: Id) -> Id {
        self.ids.get(&serial).copied().unwrap_or(own)
    }

    pub(super) fn judge_values(&mut self, fleet: &Fleet) {
        if self.forged_until.is_some() || !self.ordered || self.namesakes {
            return;
        }
        let mut greatest: BTreeMap<Vec<u8>, (Id, u64)> = BTreeMap::new();
        let mut held: Vec<(usize, Vec<u8>, Id, u64)> = Vec::new();
        for (i, machine) in self.machines.iter().enumerate() {
            let Some(life) = machine.life.as_ref().filter(|_| fleet.is_on(i)) else { continue };
            for (name, (serial, own)) in &life.last {
                let value = (self.common(*serial, *own), *serial);
                held.push((i, name.clone(), value.0, value.1));
                let entry = greatest.entry(name.clone()).or_insert(value);
                *entry = value.max(*entry);
            }
        }
        for i in 0..self.machines.len() {
            let Some(node) = fleet.node(i) else { continue };
            let (stats, alone) = (*node.stats(), node.levels().fleet == 0);
            let Some(life) = self.machines[i].life.clone().filter(|_| !alone) else { continue };
            for (name, (id, serial)) in &greatest {
                let has = held.iter().find(|(at, held, ..)| *at == i && held == name).map(|held| held.2);
                let there =
                    life.settled().saturating_add(bounds::meeting(&self.config)) <= self.fired[serial].at;
                if has == Some(*id) || (has.is_none() && !there) {
                    continue;
                }
                if stats.pull_miss + stats.coalesce_forgotten > 0 {
                    self.excuse("a last value that nobody holds, or has no place");
                    continue;
                }
                let name = String::from_utf8_lossy(name).into_owned();
                self.complain(format!(
                    "machine {i} ends on {has:?} for {name}; the last value is {id:?}, event {serial}"
                ));
            }
        }
    }
}

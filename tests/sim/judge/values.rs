//! Coalesced events: the values of a name never go backwards, and all end on the same last one.

use std::collections::{BTreeMap, BTreeSet};

use super::bounds::Places;
use super::events::{Counted, Fired};
use super::excuse::{Excused, excuse};
use super::presence::Presence;
use super::{Id, Verdict};

/// What one machine's application has been handed of one name.
#[derive(Clone, Copy, Debug, Default)]
struct Value {
    greatest: Id,
    last: Id,
    /// When its last one was fired, and in which fleet.
    fired: u64,
    fleet: u32,
    /// The serial number of the greatest.
    best: u64,
}

#[derive(Debug)]
pub(super) struct Values {
    /// Of each machine, since its boot.
    held: Vec<BTreeMap<Vec<u8>, Value>>,
    /// All names that values have been fired for.
    names: BTreeSet<Vec<u8>>,
    /// The first that went backwards: wrong, unless there were more names than places.
    backwards: Option<String>,
}

impl Values {
    pub(super) fn new(machines: usize) -> Values {
        Values { held: vec![BTreeMap::new(); machines], names: BTreeSet::new(), backwards: None }
    }

    pub(super) fn switched_on(&mut self, i: usize) {
        self.held[i].clear();
    }

    pub(super) fn fired(&mut self, name: &[u8]) {
        self.names.insert(name.to_vec());
    }

    /// A value was handed out.
    pub(super) fn saw(&mut self, i: usize, at: u64, (serial, id): (u64, Id), fired: &Fired) {
        let value = self.held[i].entry(fired.name.clone()).or_default();
        if value.last > id {
            let name = String::from_utf8_lossy(&fired.name);
            let text = format!("node {i} was handed an older value of {name}: event {serial}, at {at}");
            self.backwards.get_or_insert(text);
        }
        let best = if id >= value.greatest { serial } else { value.best };
        let greatest = value.greatest.max(id);
        *value = Value { greatest, last: id, fired: fired.at, fleet: fired.fleet, best };
    }

    /// What has gone backwards, if so few names are in use that none may.
    pub(super) fn look(&mut self, least: Places) -> Verdict {
        match self.backwards.take() {
            Some(text) if self.names.len() <= least.names => Err(text),
            _ => Ok(()),
        }
    }

    /// Peace: all have the same last values.
    pub(super) fn judge(&self, presence: &Presence, counted: &Counted, excused: &mut Excused) -> Verdict {
        let ordered = self.names.len() <= counted.least.names;
        let living = presence.living();
        for name in &self.names {
            // Of two with one name nobody may ever have heard one.
            let heard = living.iter().filter(|i| !presence.lives[**i].shares_name);
            let known = heard.filter_map(|i| self.held[*i].get(name));
            let Some(last) = known.max_by_key(|value| value.greatest) else { continue };
            let greatest = last.greatest;
            let (fired, fleet) = if last.last == greatest { (last.fired, last.fleet) } else { (0, 0) };
            for i in &living {
                let held = self.held[*i].get(name).copied();
                let shown = held.map(|value| if ordered { value.last } else { value.greatest });
                let late = presence.there_since(*i, fired).is_none();
                // At home a value that was fired alone keeps its first time.
                let same = held.is_some_and(|value| {
                    value.best == last.best && (!ordered || value.last == value.greatest)
                });
                if shown == Some(greatest) || same || late && shown.is_none() {
                    continue;
                }
                if shown.is_none() && presence.fleet_at(*i, fired) != fleet {
                    // By its own fleet's clock it is from before it came.
                    excuse(excused, "of another fleet");
                } else if fired < counted.honest_since {
                    excuse(excused, "a member lied");
                } else if presence.lives[*i].shares_name {
                    excuse(excused, "one name for two");
                } else if !ordered && !counted.strict && (late || presence.fleet_at(*i, fired) != fleet) {
                    // It keeps what it had before it met those who know the last one.
                    excuse(excused, "more names than places, in two fleets");
                } else if !ordered && !counted.strict && (counted.losses)(*i) > 0 {
                    excuse(excused, "counted loss of a value");
                } else {
                    let name = String::from_utf8_lossy(name);
                    let shown = shown.unwrap_or_default();
                    return Err(format!(
                        "node {i} ends on {shown:?} for {name}; the last value is {greatest:?}, fired at {fired}"
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Counted, Excused, Fired, Places, Presence, Values};

    const SECOND: u64 = 1_000_000;
    const PLACES: Places = Places { members: 64, seen: 256, slots: 32, names: 1 };

    fn value(at: u64) -> Fired {
        Fired { name: b"v".to_vec(), coalesce: true, origin: (0, 1), at, fleet: 1 }
    }

    fn together(machines: usize) -> (Presence, Values) {
        let mut presence = Presence::new(machines);
        let mut values = Values::new(machines);
        for i in 0..machines {
            presence.begin(i, 1, 0);
            presence.is_in(i, 1, SECOND);
        }
        values.fired(b"v");
        (presence, values)
    }

    fn judge(values: &Values, presence: &Presence, losses: u64) -> Result<Excused, String> {
        let counted = Counted {
            losses: &|_| losses,
            own: &|_| 0,
            least: PLACES,
            strict: false,
            honest_since: 0,
            queries: 0,
        };
        let mut excused = Excused::default();
        values.judge(presence, &counted, &mut excused)?;
        Ok(excused)
    }

    #[test]
    fn values_go_backwards_only_where_there_are_more_names_than_places() {
        let (_, mut values) = together(1);
        values.saw(0, SECOND, (2, (9, 1)), &value(0));
        values.saw(0, SECOND, (1, (8, 1)), &value(0));
        assert!(values.look(PLACES).is_err());
        values.saw(0, SECOND, (2, (9, 1)), &value(0));
        values.saw(0, SECOND, (1, (8, 1)), &value(0));
        values.fired(b"w");
        assert!(values.look(PLACES).is_ok());
    }

    #[test]
    fn all_end_on_the_same_value() {
        let (presence, mut values) = together(2);
        for i in 0..2 {
            values.saw(i, 100 * SECOND, (1, (8, 1)), &value(100 * SECOND));
        }
        assert!(judge(&values, &presence, 0).is_ok());
        values.saw(1, 101 * SECOND, (2, (8, 2)), &value(100 * SECOND));
        assert!(judge(&values, &presence, 1).is_err(), "no counter excuses it");
        values.saw(0, 101 * SECOND, (2, (8, 2)), &value(100 * SECOND));
        assert!(judge(&values, &presence, 0).is_ok());
    }

    #[test]
    fn who_came_late_has_the_last_value_or_none() {
        let (mut presence, mut values) = together(2);
        values.saw(0, 100 * SECOND, (2, (9, 1)), &value(100 * SECOND));
        presence.begin(1, 2, 110 * SECOND);
        presence.is_in(1, 1, 111 * SECOND);
        assert!(judge(&values, &presence, 0).is_ok());
        values.saw(1, 120 * SECOND, (1, (8, 1)), &value(99 * SECOND));
        assert!(judge(&values, &presence, 0).is_err());
    }
}

//! What the lines of a snapshot add up to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serf_nostd::wire::message::EventId;

use super::line::{Fleet, Handed, Line, Text};
use crate::agent::memory::{NAMES, SEEN};

/// The state that a snapshot keeps: as much as the core remembers, and what scripts are still to run for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Other members that were alive.
    pub(super) members: BTreeMap<String, SocketAddr>,
    /// Lamport times of the last intent, event and query.
    pub(super) clocks: [u64; 3],
    pub(super) fleet: Fleet,
    pub(super) floor: EventId,
    /// What was handed out above the floor.
    pub(super) events: BTreeSet<EventId>,
    /// The last value that was handed out of each name.
    pub(super) values: BTreeMap<u64, EventId>,
    /// Events some of whose scripts have not begun: what these are told, and which have.
    pub(super) due: BTreeMap<EventId, Due>,
    /// The agent has left its fleet, and did not come back.
    pub(super) left: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) key: Option<u64>,
    pub(super) text: Text,
    pub(super) begun: BTreeSet<u64>,
}

impl Ledger {
    pub(super) fn apply(&mut self, line: Line) {
        match line {
            Line::Alive(name, addr) => {
                self.left = false;
                self.members.insert(name, addr);
            }
            Line::NotAlive(name) => drop(self.members.remove(&name)),
            Line::Clock(time) => self.clocks[0] = self.clocks[0].max(time),
            Line::EventClock(time) => {
                self.clocks[1] = self.clocks[1].max(time);
                // Serf's agent has been here: it does not say what it has handed out, but that nothing is to be any more.
                if time > self.latest() {
                    self.raise_floor(EventId { ltime: time, origin: u64::MAX });
                }
            }
            Line::QueryClock(time) => self.clocks[2] = self.clocks[2].max(time),
            Line::Leave => self.left = true,
            Line::Event(handed) => self.hand_out(handed),
            Line::Due(handed, text) => {
                self.hand_out(handed);
                self.due.insert(handed.id, Due { key: handed.key, text, begun: BTreeSet::new() });
            }
            Line::Begun(id, script) => {
                if let Some(due) = self.due.get_mut(&id) {
                    due.begun.insert(script);
                }
            }
            Line::Ran(id) => drop(self.due.remove(&id)),
            Line::Floor(id) => self.raise_floor(id),
            Line::Fleet(fleet) => self.fleet = fleet,
            Line::Other => {}
        }
    }

    fn hand_out(&mut self, handed: Handed) {
        let Handed { id, key } = handed;
        if let Some(key) = key {
            let value = self.values.entry(key).or_insert(id);
            *value = id.max(*value);
            if self.values.len() > NAMES {
                // The core has forgotten one as well.
                let oldest = self.values.iter().min_by_key(|(_, id)| **id).map(|(key, _)| *key);
                oldest.and_then(|key| self.values.remove(&key));
            }
        }
        if id > self.floor {
            self.events.insert(id);
        }
        if self.events.len() > SEEN
            && let Some(lowest) = self.events.pop_first()
        {
            self.floor = lowest;
        }
    }

    pub(super) fn raise_floor(&mut self, floor: EventId) {
        if floor > self.floor {
            self.floor = floor;
            self.events = self.events.split_off(&floor);
            self.events.remove(&floor);
        }
    }

    /// The greatest Lamport time of what was handed out, or may not be any more.
    pub(super) fn latest(&self) -> u64 {
        let values = self.values.values().max();
        self.events.last().into_iter().chain(values).map(|id| id.ltime).fold(self.floor.ltime, u64::max)
    }

    /// The fewest lines that say the same.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        let members = self.members.iter().map(|(name, addr)| Line::Alive(name.clone(), *addr));
        let keys: BTreeMap<EventId, u64> = self.values.iter().map(|(key, id)| (*id, *key)).collect();
        // Last values may be below the floor.
        let ids: BTreeSet<EventId> = self.events.iter().chain(keys.keys()).copied().collect();
        let events = ids.into_iter().filter(|id| !self.due.contains_key(id));
        let events = events.map(move |id| Line::Event(Handed { id, key: keys.get(&id).copied() }));
        let due = self.due.iter().flat_map(|(id, due)| {
            let begun = due.begun.iter().map(|script| Line::Begun(*id, *script));
            [Line::Due(Handed { id: *id, key: due.key }, due.text.clone())].into_iter().chain(begun)
        });
        let [member, event, query] = self.clocks;
        let clocks = [Line::Clock(member), Line::EventClock(event), Line::QueryClock(query)];
        let floor = [Line::Floor(self.floor), Line::Fleet(self.fleet)];
        let left = self.left.then_some(Line::Leave);
        members.chain(floor).chain(due).chain(events).chain(clocks).chain(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ltime: u64) -> EventId {
        EventId { ltime, origin: 9 }
    }

    fn handed(ltime: u64, key: Option<u64>) -> Handed {
        Handed { id: id(ltime), key }
    }

    fn read(lines: impl IntoIterator<Item = Line>) -> Ledger {
        let mut ledger = Ledger::default();
        lines.into_iter().for_each(|line| ledger.apply(line));
        ledger
    }

    #[test]
    fn the_fewest_lines_say_the_same() {
        let text = |name: &[u8]| Text { name: name.to_vec(), payload: b"1".to_vec() };
        let lines = vec![
            Line::Alive("a".to_owned(), "10.0.0.1:1".parse().unwrap()),
            Line::Alive("b".to_owned(), "10.0.0.2:1".parse().unwrap()),
            Line::NotAlive("a".to_owned()),
            Line::Fleet(Fleet { number: 5, born: 100, met: id(2) }),
            Line::Due(handed(10, Some(1)), text(b"x")),
            Line::Due(handed(11, None), text(b"y")),
            Line::Event(handed(12, Some(1))),
            Line::EventClock(12),
            Line::Begun(id(10), 0xabc),
            Line::Begun(id(11), 0xabc),
            Line::Ran(id(11)),
            Line::Event(handed(13, Some(7))),
            Line::Floor(id(13)),
            Line::Event(handed(14, None)),
            Line::Clock(3),
            Line::QueryClock(4),
        ];
        let ledger = read(lines.clone());
        assert_eq!(ledger.events, [id(14)].into());
        assert_eq!(ledger.values, [(1, id(12)), (7, id(13))].into());
        assert_eq!(ledger.due.keys().collect::<Vec<_>>(), [&id(10)]);
        let again: Vec<Line> = ledger.lines().collect();
        assert_eq!(read(again.clone()), ledger, "{again:?}");
        assert!(again.len() < lines.len());
    }

    #[test]
    fn no_more_is_kept_than_the_core_remembers() {
        let events = (1..=SEEN as u64 + 10).map(|n| Line::Event(handed(n, Some(n))));
        let ledger = read(events);
        assert_eq!((ledger.events.len(), ledger.values.len()), (SEEN, NAMES));
        assert_eq!((ledger.floor, ledger.latest()), (id(10), SEEN as u64 + 10));
        assert!(ledger.values.values().all(|value| *value > id(SEEN as u64 + 10 - NAMES as u64)));
    }

    #[test]
    fn an_event_clock_that_no_line_of_ours_has_is_serfs_and_ends_all_before_it() {
        let ours = [Line::Event(handed(10, None)), Line::EventClock(10)];
        assert_eq!(read(ours.clone()).floor, EventId::default());
        let and_serfs = ours.into_iter().chain([Line::EventClock(17)]);
        assert_eq!(read(and_serfs).floor, EventId { ltime: 17, origin: u64::MAX });
    }
}

//! What a node knows again of its former life: it goes on where it was, as one who was cut off, and fetches what it has missed.

use super::Events;
#[cfg(feature = "recall")]
use super::fleet::FleetState;
#[cfg(feature = "recall")]
use super::seen::Freshness;
use super::store::Pin;
#[cfg(feature = "recall")]
use crate::clock::LTIME_LIMIT;
#[cfg(feature = "recall")]
use crate::context::Cx;
use crate::time::{Duration, Instant};
use crate::wire::message::EventId;

/// What a node knew before its end, as far as it was kept: for [`crate::Node::recall`]. Of times from 2^60 on nothing is taken: nobody has
/// written them.
#[cfg(feature = "recall")]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Past<'p> {
    /// Lamport times of the next intent, event and query ([`crate::Gauges`]). Those of events and queries are raised by what follows.
    pub clocks: [u64; 3],
    /// In which fleet it was; `None` if in none.
    pub belonging: Option<Belonging>,
    /// At or below it nothing is handed out ([`crate::Node::event_floor`]).
    pub floor: EventId,
    /// What has been handed out above the floor, queries among it, in any order, and what else need not be fetched again
    /// ([`crate::Node::settled`]). Of more than the memory's `seen` the greatest count.
    pub events: &'p [EventId],
    /// The last value that was handed out of each name: [`crate::UserEvent::key`] and identity. Of more than the memory's `windows`
    /// the first ones count.
    pub values: &'p [(u64, EventId)],
}

/// In which fleet a node is, as far as events go: [`crate::Node::belonging`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Belonging {
    /// Its number, never 0.
    pub fleet: u32,
    /// How long there has been that fleet.
    pub age: Duration,
    /// What is at or below it was fired before this node had come.
    pub met: EventId,
}

impl Events<'_> {
    /// In which fleet this node is; `None` if in none, or alone in it.
    pub(crate) fn belonging(&self, now: Instant) -> Option<Belonging> {
        self.fleet.belonging(now)
    }

    /// What has been seen and is over: it does not wait for the application, and not in its name's window.
    pub(crate) fn settled(&self) -> impl Iterator<Item = EventId> + '_ {
        let waits =
            |slot| self.store.is_pinned(slot, Pin::Application) || self.store.is_pinned(slot, Pin::Coalescer);
        let seen = (0..self.seen.len()).map(|place| self.seen.get(place));
        seen.filter(move |id| !self.store.find(*id).is_some_and(waits))
    }

    /// See [`crate::Node::recall`].
    #[cfg(feature = "recall")]
    pub(crate) fn recall(&mut self, cx: &mut Cx<'_>, past: &Past<'_>) {
        let [member, event, query] = past.clocks;
        cx.clocks.adopt([member, event, query]);
        self.catching_up = true;
        self.hold();
        let is_sound = |id: &EventId| id.ltime < LTIME_LIMIT / 4;
        let mut latest = 0;
        if is_sound(&past.floor) {
            latest = past.floor.ltime;
            self.seen.raise_floor(past.floor);
        }
        for id in past.events.iter().filter(|id| is_sound(id)) {
            latest = latest.max(id.ltime);
            if self.seen.classify(*id) == Freshness::New {
                self.seen.insert(*id);
            }
        }
        for (key, id) in past.values.iter().filter(|(_, id)| is_sound(id)) {
            latest = latest.max(id.ltime);
            self.coalescer.recall(*key, *id);
        }
        cx.clocks.event.adopt(latest + 1);
        if let Some(belonging) = past.belonging {
            // What was signed before this node began may be new to it: it has been there.
            self.since = Instant::PAST;
            self.fleet = FleetState::again(cx.now, &belonging);
        }
    }
}

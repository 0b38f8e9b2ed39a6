//! Events of others: whether one is taken in, held, asked for, or given up; and own ones, until others have them.

use super::Node;
use crate::event::pull::{Announcer, LOST_AFTER};
use crate::event::seen::Sight;
use crate::event::store::{Pin, list};
use crate::hash;
use crate::member::table::SELF;
use crate::rules::Rule;
use crate::time::Instant;
use crate::wire::message::{Address, EventId, UserEvent};

/// From how many others an own event has to come back; one less where this node sends it to everybody itself.
const CONFIRMATIONS: usize = 3;

impl Node<'_> {
    pub(super) fn keep(&mut self, now: Instant, event: &UserEvent, into: u8) -> Option<u16> {
        let mut dropped = 0;
        let slot = self.store.put(event, now, into, &mut dropped);
        self.stats.store_dropped += dropped;
        slot
    }

    /// One event announced by somebody, with the token to ask for it. False if it is missing here and could not be noted.
    pub(super) fn announced(&mut self, now: Instant, from: Announcer, id: EventId) -> bool {
        match self.seen.judge(id) {
            Sight::Known => {
                self.confirm_own(id, from.addr);
            }
            Sight::Below => {
                self.confirm_own(id, from.addr);
                if id > self.seen.floor() && from.is_proven() {
                    // As many as this node remembers have overtaken it.
                    self.seen.raise_floor(id);
                    self.stats.event_gaps += 1;
                }
            }
            Sight::New if !self.takes_events() || !self.config.has(Rule::Pull) => {}
            Sight::New => {
                if let Some(slot) = self.store.find(id) {
                    // Held but left unrecorded while the application had no room.
                    let event = self.store.event(slot);
                    let len = event.name.len() + event.payload.len();
                    if !self.store.quota_full(Pin::Application, len) && self.rate.take(now, true) {
                        self.record(now, id);
                        self.hand_over(now, slot);
                    }
                } else {
                    // More would come in vain, and be asked for again.
                    let can_take = self.store.room(Pin::Application).min(self.rate.left(now));
                    let most = if self.config.has(Rule::PullRoom) { can_take } else { usize::MAX };
                    let noted = self.pulls.want(id, from, now, self.pull_overdue(), most);
                    self.stats.pulls_refused += !noted as u64;
                    return noted;
                }
            }
        }
        true
    }

    /// An own event came back from somebody. True if with this it has come back from enough of them.
    pub(super) fn confirm_own(&mut self, id: EventId, from: Address) -> bool {
        let Some(slot) = self.store.find(id).filter(|slot| self.store.is_pinned(*slot, Pin::Own)) else {
            return false;
        };
        let live = self.members.table.live();
        if live == 0 {
            // Nobody has been told it.
            return false;
        }
        let needed = (CONFIRMATIONS - self.origin_reaches_all() as usize).min(live);
        let enough = self.store.confirm(slot, from.hash()) as usize >= needed;
        if enough {
            self.store.release_own(slot);
        }
        enough
    }

    /// Whether events of others are taken in, and own ones told: what is new is only known when a fleet has been met.
    pub(super) fn takes_events(&self) -> bool {
        self.starting.is_none() && !self.founding && (self.fleet != 0 || !self.config.has(Rule::FirstContact))
    }

    /// The last value of a name, fetched although it is at or below the floor.
    pub(super) fn late_value(&mut self, now: Instant, event: &UserEvent) {
        let len = event.name.len() + event.payload.len();
        if len > self.event_limit() as usize {
            self.stats.events_too_long += 1;
            self.heal.lost_values ^= event.id.hash();
            return;
        }
        if !self.windows.remembers(hash::bytes(event.name)) {
            // It may be an older one than what was handed out of a name that was forgotten meanwhile.
            self.stats.too_old += 1;
            return;
        }
        if self.store.quota_full(Pin::Application, len) {
            self.stats.app_full += 1;
            return;
        }
        match self.store.find(event.id).or_else(|| self.keep(now, event, list::HELD)) {
            Some(slot) => self.hand_over(now, slot),
            None => self.stats.app_full += 1,
        }
    }

    /// Who has announced an event does not hold its payload, nor do so many others: the next one is asked, or it is lost.
    pub(super) fn ask_another(&mut self, now: Instant, id: EventId, asked: usize) {
        let (live, seeds) = (self.members.table.live(), self.heal.seeds.len());
        if asked < seeds + LOST_AFTER.min(live) && self.config.has(Rule::Lost) {
            // Seeds first: they are more often servers, which hold more. Then once around, in an order that stays.
            let whom = self.heal.seeds.get(asked).copied().or_else(|| {
                let place = (id.hash() as usize ^ self.secret as usize).wrapping_add(asked) % live;
                let table = &self.members.table;
                let others = table.iter().filter(|id| *id != SELF).map(|id| table.slot(id));
                others.filter(|slot| slot.is_live()).map(|slot| slot.addr).nth(place)
            });
            if let Some(whom) = whom {
                return self.pulls.turn_to(id, Announcer::unknowing(whom), now);
            }
        }
        self.pulls.done(id);
        self.stats.pull_miss += 1;
        // As slowly as events are taken in, and none from the future.
        let counts = self.seen.judge(id) == Sight::New && id.ltime < self.clocks.event.now();
        if counts && self.config.has(Rule::Lost) && self.rate.take(now, true) {
            self.record(now, id);
        } else if self.seen.judge(id) == Sight::Below {
            // It was to be the last value of some name.
            self.heal.lost_values ^= id.hash();
        }
        if self.pulls.is_empty() {
            self.pulled_all(now);
        }
    }
}

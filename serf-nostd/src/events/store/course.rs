//! The lists that slots go through, from their arrival until they are only held.

use super::{Kind, Pin, SHOWN, Store};
use crate::time::{Duration, Instant};
use crate::wire::message::EventId;

/// When an event's id is announced, after its arrival: each time to two members.
pub(crate) const ANNOUNCE_MS: [u64; 8] = [10, 20, 40, 80, 160, 320, 640, 1_280];

/// Which list a slot is in.
pub(crate) mod list {
    /// Not in use.
    pub const FREE: u8 = 0;
    /// Own events that have not been sent yet.
    pub const OWN: u8 = 1;
    /// Others' events that have not been passed on yet.
    pub const FRESH: u8 = 2;
    /// Others' events that need not be passed on unless their origin fails to say that all have them.
    pub const TOLD: u8 = 3;
    /// Announced once, twice, ... up to [`super::ANNOUNCE_MS`]: waiting for the next time.
    pub const ANNOUNCE: u8 = 4;
    /// Own events that have been sent to everybody, and wait for word that they have been received.
    pub const AWAIT: u8 = ANNOUNCE + super::ANNOUNCE_MS.len() as u8;
    /// Own events that have been announced and did not come back yet.
    pub const OWN_HELD: u8 = AWAIT + 1;
    /// Messages about members that the table does not hold: a quarter at most, given up before any event that is still told.
    pub const FOREIGN: u8 = OWN_HELD + 1;
    /// Answers to queries, until they are confirmed.
    pub const ANSWERS: u8 = FOREIGN + 1;
    /// Only held, as the last value of its name.
    pub const VALUES: u8 = ANSWERS + 1;
    /// Only held.
    pub const HELD: u8 = VALUES + 1;
    /// Only held, and pinned: apart, so that whoever looks for a slot that may go need not walk past them.
    pub const PINNED: u8 = HELD + 1;
    pub const COUNT: usize = PINNED as usize + 1;
}

impl Store<'_> {
    /// Own events that nobody has shown to have are sent anew.
    pub(crate) fn send_again(&mut self) {
        for which in list::ANNOUNCE..=list::OWN_HELD {
            let mut at = self.first(which);
            while let Some(slot) = at {
                at = self.after(which, slot);
                if self.is_pinned(slot, Pin::Own) {
                    self.move_to(slot, list::OWN);
                }
            }
        }
    }

    /// When the slot's id is to be announced next, for a slot in an announcing list.
    pub(crate) fn announce_at(&self, slot: u16) -> Instant {
        let s = &self.slots[slot as usize];
        s.at + Duration::from_millis(ANNOUNCE_MS[(s.list - list::ANNOUNCE) as usize])
    }

    /// The slot's id has been announced: on to the next time, or to rest after `stages` times.
    pub(crate) fn announced(&mut self, slot: u16, stages: u8) {
        let next = self.slots[slot as usize].list + 1;
        if next < list::ANNOUNCE + stages {
            self.move_to(slot, next);
        } else if self.is_pinned(slot, Pin::Own) {
            self.move_to(slot, list::OWN_HELD);
        } else {
            self.rest(slot);
        }
    }

    /// There is nothing more to do with a slot than to hold it.
    pub(crate) fn rest(&mut self, slot: u16) {
        let s = &self.slots[slot as usize];
        let to = match (s.pins, s.is_value) {
            (0, false) => list::HELD,
            (0, true) => list::VALUES,
            _ => list::PINNED,
        };
        self.move_to(slot, to);
    }

    /// An own event need not be kept for its own sake any more.
    pub(crate) fn release_own(&mut self, slot: u16) {
        self.unpin(slot, Pin::Own);
        if matches!(self.slots[slot as usize].list, list::OWN_HELD | list::OWN) {
            self.rest(slot);
        }
    }

    /// Nobody is told unasked any more of what is at or below `last`. Returns how many own events of these had not come back.
    pub(crate) fn quieten(&mut self, last: EventId) -> u64 {
        let mut own = 0;
        let told = [list::OWN, list::FRESH, list::TOLD].into_iter().chain(list::ANNOUNCE..=list::OWN_HELD);
        for which in told {
            let mut at = self.first(which);
            while let Some(slot) = at {
                at = self.after(which, slot);
                if self.id(slot) <= last {
                    own += self.is_pinned(slot, Pin::Own) as u64;
                    self.unpin(slot, Pin::Own);
                    self.rest(slot);
                }
            }
        }
        own
    }

    /// The first copies have gone out: from now on the id is announced.
    pub(crate) fn sent(&mut self, slot: u16, now: Instant) {
        let s = &mut self.slots[slot as usize];
        s.sends = 1;
        // A query's time runs from when it came.
        if s.kind != Kind::Query {
            s.at = now;
        }
        self.move_to(slot, list::ANNOUNCE);
    }

    /// An own event that has been sent waits for its batch to be received.
    #[cfg(feature = "batches")]
    pub(crate) fn await_in(&mut self, slot: u16, batch: u8) {
        self.set_batch(slot, batch);
        self.move_to(slot, list::AWAIT);
    }

    /// Which batch a slot in [`list::AWAIT`] or [`list::TOLD`] was sent in.
    pub(crate) fn batch(&self, slot: u16) -> u8 {
        self.slots[slot as usize].batch
    }

    pub(crate) fn set_batch(&mut self, slot: u16, batch: u8) {
        self.slots[slot as usize].batch = batch;
    }

    /// An event that somebody else has told of has come from its origin as well, in this batch.
    pub(crate) fn leave_to_origin(&mut self, slot: u16, batch: u8) {
        if self.slots[slot as usize].list == list::FRESH {
            self.set_batch(slot, batch);
            self.move_to(slot, list::TOLD);
        }
    }

    /// An event that has come since `first` is announced as others are; once even if all were said to have it.
    pub(crate) fn announce(&mut self, slot: u16, first: Instant) {
        let s = &mut self.slots[slot as usize];
        let once_more = matches!(s.list, list::VALUES..=list::PINNED) && s.confirmations == 0;
        if s.at >= first && (s.list == list::TOLD || once_more) {
            s.confirmations += once_more as u8;
            self.move_to(slot, list::ANNOUNCE);
        }
    }

    /// Whether what waits for its origin's word takes more than a quarter of the slots, or of their bytes.
    pub(crate) fn many_wait(&self) -> bool {
        let slots = self.lists[list::TOLD as usize].len();
        slots > self.slots.len() / 4 || self.told_bytes > self.arena.capacity() / 4
    }

    /// Somebody who asked for it is given it, before its turn to be sent as well.
    pub(crate) fn given(&mut self, slot: u16) {
        let s = &mut self.slots[slot as usize];
        s.sends = s.sends.max(1);
    }

    /// Whether somebody may have an event, under the identity that it goes by.
    pub(crate) fn was_sent(&self, slot: u16) -> bool {
        self.slots[slot as usize].sends > 0
    }

    /// How often a slot has gone out.
    pub(crate) fn sends(&self, slot: u16) -> u8 {
        self.slots[slot as usize].sends
    }

    pub(crate) fn since(&self, slot: u16) -> Instant {
        self.slots[slot as usize].at
    }

    /// An answer has gone out once more; it does so again at this time.
    pub(crate) fn answer_sent(&mut self, slot: u16, again: Instant) {
        let s = &mut self.slots[slot as usize];
        s.at = again;
        s.sends = s.sends.saturating_add(1);
    }

    /// Answers to a query that have not gone out are needed no more. Whether there were any.
    pub(crate) fn drop_unsent_answers(&mut self, query: EventId) -> bool {
        let mut any = false;
        let mut at = self.first(list::ANSWERS);
        while let Some(slot) = at {
            at = self.after(list::ANSWERS, slot);
            if self.id(slot) == query && !self.was_sent(slot) {
                self.drop_answer(slot);
                any = true;
            }
        }
        any
    }

    /// An answer is needed no more.
    pub(crate) fn drop_answer(&mut self, slot: u16) {
        self.unpin(slot, Pin::Answer);
        self.drop_slot(slot);
    }

    /// A foreign message has gone out once more; returns how often.
    pub(crate) fn foreign_sent(&mut self, slot: u16) -> u8 {
        let s = &mut self.slots[slot as usize];
        s.sends = s.sends.saturating_add(1);
        s.sends
    }

    /// An own event came back from this address, or is never taken there (not `shown`); returns of how many different ones that is known by
    /// now (3 at most are told apart).
    pub(crate) fn confirm(&mut self, slot: u16, from: u32, shown: bool) -> u8 {
        let s = &mut self.slots[slot as usize];
        let from = (from ^ from >> 16) as u16;
        let known = s.confirmations & !SHOWN;
        s.confirmations |= SHOWN * shown as u8;
        if s.confirmed_by[..known.min(2) as usize].contains(&from) {
            return known;
        }
        if let Some(place) = s.confirmed_by.get_mut(known as usize) {
            *place = from;
        }
        s.confirmations += (known < !SHOWN) as u8;
        s.confirmations & !SHOWN
    }

    /// Whether somebody has shown to have an own event.
    pub(crate) fn was_shown(&self, slot: u16) -> bool {
        self.slots[slot as usize].confirmations & SHOWN != 0
    }
}

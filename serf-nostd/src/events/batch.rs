//! Batches: whoever sends its events to everybody itself sees to it itself that all get them.
//!
//! Where nothing gets lost, most of what an event costs is telling others of it when they have it. So the events of one datagram
//! that their origin sends to all members it knows are a batch, with a number. Who gets it says once that it has received that
//! number, passes its events on once, and announces them no more ([`list::TOLD`]). To those who have not said so the origin
//! announces them itself, in growing intervals. Here is the origin's part, [`super::told`] is the others'.
//!
//! That holds while neither of both has lost a probe of late, and the receiver knows of no more members than the origin has sent it
//! to. Who gets an event from somebody else first does as ever; so does the origin when members come or go meanwhile. And if it
//! dies, what it has not sent is told by those who have it, in pings, and found by comparing, as ever.

use super::store::{Pin, list};
use super::told::MEMBERS;
use super::{Events, reaches_all};
use crate::context::Cx;
use crate::failure::Links;
use crate::membership::table::Table;
use crate::rules::Rule;
use crate::time::{Duration, Instant};
use crate::wire::message::{Address, Batch, Message};
use crate::wire::packet::Packet;

/// Batches under way at a time; what is sent meanwhile is announced as ever. A device needs few.
const UNDER_WAY: usize = if cfg!(target_pointer_width = "32") { 8 } else { 64 };
/// How often those who have not received it are told.
const REMINDERS: u8 = 4;

/// A batch of this node's that not all have received yet.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    /// What its receivers are told.
    told: Batch,
    /// By whom it has been received: bits by their places among the live members.
    received: u64,
    /// When the others are told, once all of it has been sent; and how long they have the next time.
    due: Instant,
    patience: Duration,
    reminders: u8,
}

/// This node's batches.
#[derive(Debug)]
pub(super) struct Batches {
    under_way: heapless::Vec<UnderWay, UNDER_WAY>,
    /// The number of the next one. The last byte, which slots hold, tells those under way apart.
    next: u32,
    /// How often members had come or gone when they were sent.
    changes: u32,
}

impl Batches {
    pub(super) const fn new(number: u32) -> Self {
        Batches { under_way: heapless::Vec::new(), next: number, changes: 0 }
    }

    fn place(&self, number: u32) -> Option<usize> {
        self.under_way.iter().position(|batch| batch.told.number == number)
    }

    pub(super) fn deadline(&self) -> Instant {
        self.under_way.iter().fold(Instant::FAR, |first, batch| first.min(batch.due))
    }
}

impl Events<'_> {
    /// The next own events are about to be sent to everybody: their batch, if they are to be one.
    pub(crate) fn begin_batch(&mut self, cx: &mut Cx<'_>, table: &Table<'_>, links: Links) -> Option<Batch> {
        self.drop_outdated(table);
        let first = self.store.first(list::OWN)?;
        let sees_all = links.live <= MEMBERS && reaches_all(&cx.config, links) && !table.partial;
        if !sees_all || !links.clean || self.fleet.is_for_former(self.store.id(first)) {
            return None;
        }
        let patience = cx.config.probe_timeout.scaled(1, 16).max(links.round_trip.times(2));
        let batches = &mut self.batches;
        // What was begun and came to nothing.
        batches.under_way.retain(|batch| batch.due < Instant::FAR);
        let told = Batch { number: batches.next, members: links.live as u16 };
        let due = Instant::FAR;
        // Slots could not tell it from an old one that somebody has not received.
        if batches.under_way.iter().any(|batch| batch.told.number as u8 == told.number as u8) {
            return None;
        }
        batches.under_way.push(UnderWay { told, received: 0, due, patience, reminders: 0 }).ok()?;
        batches.next = batches.next.wrapping_add(1);
        cx.stats.batches += 1;
        Some(told)
    }

    /// An own event has been sent to all: as part of this batch, if of any.
    pub(super) fn await_batch(&mut self, now: Instant, slot: u16, batch: Option<Batch>) {
        let under_way = &mut self.batches.under_way;
        if let Some(sent) = under_way.iter_mut().find(|sent| Some(sent.told) == batch) {
            sent.due = now + sent.patience;
            self.store.await_in(slot, sent.told.number as u8);
        }
    }

    /// A member has received a batch.
    pub(crate) fn received(
        &mut self,
        cx: &mut Cx<'_>,
        table: &Table<'_>,
        links: Links,
        from: Address,
        number: u32,
    ) {
        self.drop_outdated(table);
        let (Some(place), Some(member)) = (self.batches.place(number), table.live_from(&from)) else {
            return;
        };
        let received = &mut self.batches.under_way[place].received;
        let before = received.count_ones();
        *received |= 1 << member;
        let by = received.count_ones();
        if by as usize == links.live {
            self.batches.under_way.swap_remove(place);
        }
        if by > before && by as usize == self.returns_needed(&cx.config, links) {
            self.each_awaiting(number, |events, slot| {
                if events.store.is_pinned(slot, Pin::Own) {
                    events.store.release_own(slot);
                    cx.note_spread(events.store.since(slot));
                }
            });
        }
        if by as usize == links.live {
            self.each_awaiting(number, |events, slot| events.store.announced(slot, 0));
        }
    }

    /// A batch of which those are to be told now who have not received it.
    pub(crate) fn remind(&mut self, cx: &mut Cx<'_>, table: &Table<'_>) -> Option<Batch> {
        self.drop_outdated(table);
        loop {
            let under_way = &mut self.batches.under_way;
            let place = under_way.iter().position(|batch| batch.due <= cx.now)?;
            let batch = &mut under_way[place];
            if batch.reminders < REMINDERS && cx.config.has(Rule::Reminders) {
                batch.reminders += 1;
                batch.due = cx.now + batch.patience;
                batch.patience = batch.patience.times(2);
                return Some(batch.told);
            }
            let number = under_way.swap_remove(place).told.number;
            self.each_awaiting(number, |events, slot| events.store.announced(slot, 0));
        }
    }

    /// Whether the live member at this place need not be told of a batch.
    pub(crate) fn has_received(&self, number: u32, member: usize) -> bool {
        let place = self.batches.place(number);
        place.is_none_or(|place| self.batches.under_way[place].received & 1 << member != 0)
    }

    /// The ids of a batch, to somebody who has not received it.
    pub(crate) fn write_reminder(
        &mut self,
        cx: &mut Cx<'_>,
        packet: &mut Packet<'_>,
        to: Address,
        batch: Batch,
    ) {
        let before = packet.len();
        self.fleet.write_tag(packet, false);
        let _ = packet.push(&Message::Batch(batch));
        let Some(ids) = packet.i_have(self.token(to)) else { return };
        let empty = packet.len();
        self.each_awaiting(batch.number, |events, slot| {
            cx.stats.ids_sent += packet.push_item(&ids, &events.store.id(slot)) as u64;
        });
        cx.stats.reminders += 1;
        if packet.len() == empty {
            packet.truncate(before);
        }
    }

    /// What still waits for a batch to be received.
    fn each_awaiting(&mut self, number: u32, mut each: impl FnMut(&mut Self, u16)) {
        let mut at = self.store.first(list::AWAIT);
        while let Some(slot) = at {
            at = self.store.after(list::AWAIT, slot);
            if self.store.batch(slot) == number as u8 {
                each(self, slot);
            }
        }
    }

    /// Once members have come or gone their places are others: what is under way is announced as ever.
    fn drop_outdated(&mut self, table: &Table<'_>) {
        if core::mem::replace(&mut self.batches.changes, table.changes) == table.changes {
            return;
        }
        self.batches.under_way.clear();
        while let Some(slot) = self.store.first(list::AWAIT) {
            self.store.move_to(slot, list::ANNOUNCE);
        }
    }
}

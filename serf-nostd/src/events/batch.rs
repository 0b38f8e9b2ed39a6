//! Batches: whoever sends its events to everybody itself sees to it itself that all get them.
//!
//! Where nothing gets lost, most of what an event costs is telling others of it when they have it. So the events of one
//! datagram that their origin sends to all members it knows are a batch, with a number. Who gets it says once that it has
//! received it, and waits ([`list::TOLD`]). To those who have not said so the origin announces them itself; the second time
//! to all, which tells those who have them that somebody lacks them, so that they announce them as ever. When all have
//! received it the origin says so: in front of its next batch, or by itself when none follows soon. Who hears that needs to
//! tell nobody. Who hears neither in time, since the origin has died, announces the events as well.
//!
//! That holds while neither of both has lost a probe of late, and the receiver knows of no more members than the origin has
//! sent it to. Who gets an event from somebody else first does as ever; so does the origin when members come or go
//! meanwhile. A batch that somebody has never received counts as a lost probe: then there are none for a while.

use super::store::{Pin, list};
use super::told::{self, MEMBERS};
use super::{BatchDue, Events, reaches_all};
use crate::context::Cx;
use crate::failure::Links;
use crate::membership::table::Table;
use crate::rules::Rule;
use crate::time::{Duration, Instant};
use crate::wire::message::{Address, Batch, Message};
use crate::wire::packet::Packet;

/// Batches under way at a time; what is sent meanwhile is announced as ever. A device needs few.
const UNDER_WAY: usize = if cfg!(target_pointer_width = "32") { 8 } else { 64 };
/// How often those who have not received it are told, and which time all others are, too.
const REMINDERS: u8 = 4;
const TO_ALL: u8 = 2;

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
    /// All have been told that those before this one are complete; and when they are to be told of more.
    said: u32,
    say_at: Instant,
    /// How often members had come or gone when they were sent, and until when there are no others after that.
    changes: u32,
    paused: Instant,
}

impl Batches {
    pub(super) const fn new(number: u32) -> Self {
        let (say_at, paused) = (Instant::FAR, Instant::PAST);
        Batches { under_way: heapless::Vec::new(), next: number, said: number, say_at, changes: 0, paused }
    }

    fn place(&self, number: u32) -> Option<usize> {
        self.under_way.iter().position(|batch| batch.told.number == number)
    }

    pub(super) fn deadline(&self) -> Instant {
        self.under_way.iter().fold(self.say_at, |first, batch| first.min(batch.due))
    }

    /// All have those before this one, or have been told of them for so long that they have heard of them from others.
    fn complete(&self) -> u32 {
        self.under_way.first().map_or(self.next, |batch| batch.told.number)
    }

    /// All have been told that those before this one are complete.
    fn have_said(&mut self, number: u32) {
        self.said = number;
        if number == self.complete() {
            self.say_at = Instant::FAR;
        }
    }
}

impl Events<'_> {
    /// The next own events are about to be sent to everybody: their batch, if they are to be one.
    pub(crate) fn begin_batch(&mut self, cx: &mut Cx<'_>, table: &Table<'_>, links: Links) -> Option<Batch> {
        self.drop_outdated(cx, table);
        let first = self.store.first(list::OWN)?;
        let sees_all = links.live <= MEMBERS && reaches_all(&cx.config, links) && !table.partial;
        if !sees_all
            || !links.clean
            || cx.now < self.batches.paused
            || self.fleet.is_for_former(self.store.id(first))
        {
            return None;
        }
        let [least, most] = [16, 2].map(|part| cx.config.probe_timeout.scaled(1, part));
        let patience = least.max(links.round_trip.times(2));
        let batches = &mut self.batches;
        // What was begun and came to nothing.
        batches.under_way.retain(|batch| batch.due < Instant::FAR);
        let number = batches.next;
        let behind = number.wrapping_sub(batches.complete());
        // Somebody answers too slowly, or one of long ago is still under way: the last byte is to tell all of them apart.
        if patience > most || behind > UNDER_WAY as u32 {
            return None;
        }
        let behind = behind as u8;
        let told = Batch { number, answer: 0, behind, members: links.live as u16 };
        let due = Instant::FAR;
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
            let Batch { number, behind, .. } = sent.told;
            self.store.await_in(slot, number as u8);
            self.batches.have_said(number.wrapping_sub(behind as u32));
        }
    }

    /// A batch as this member is told of it: it alone knows what to answer.
    pub(crate) fn addressed(&self, batch: Batch, to: Address) -> Batch {
        Batch { answer: batch.number ^ self.token(to), ..batch }
    }

    /// A member has received a batch.
    pub(crate) fn received(
        &mut self,
        cx: &mut Cx<'_>,
        table: &Table<'_>,
        links: Links,
        from: Address,
        answer: u32,
    ) {
        self.drop_outdated(cx, table);
        let number = answer ^ self.token(from);
        let Some(place) = self.batches.place(number) else { return };
        let Some(member) = table.live_from(&from) else { return };
        let batch = &mut self.batches.under_way[place];
        let before = batch.received.count_ones();
        batch.received |= 1 << member;
        let by = batch.received.count_ones();
        if by as usize == links.live {
            self.batches.under_way.remove(place);
            let soon = cx.now + told::patience(&cx.config).scaled(1, 2);
            let more = self.batches.complete() != self.batches.said;
            self.batches.say_at = if more { self.batches.say_at.min(soon) } else { Instant::FAR };
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

    /// What is to be said of a batch now, if anything is.
    pub(crate) fn batch_due(&mut self, cx: &mut Cx<'_>, table: &Table<'_>) -> Option<BatchDue> {
        self.drop_outdated(cx, table);
        let batches = &mut self.batches;
        let Some(place) = batches.under_way.iter().position(|batch| batch.due <= cx.now) else {
            return (batches.say_at <= cx.now).then(|| BatchDue::Complete(batches.complete()));
        };
        let batch = &mut batches.under_way[place];
        if batch.reminders < REMINDERS && cx.config.has(Rule::Reminders) {
            batch.reminders += 1;
            batch.due = cx.now + batch.patience;
            batch.patience = batch.patience.times(2);
            return Some(BatchDue::Remind(batch.told));
        }
        self.drop_all(cx);
        Some(BatchDue::Lost)
    }

    /// Whether the live member at this place need not be told of a batch.
    pub(crate) fn has_received(&self, number: u32, member: usize) -> bool {
        let batch = self.batches.place(number).map(|place| &self.batches.under_way[place]);
        batch.is_none_or(|batch| batch.reminders != TO_ALL && batch.received & 1 << member != 0)
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
        let _ = packet.push(&Message::Batch(self.addressed(batch, to)));
        let Some(ids) = packet.i_have(self.token(to)) else { return };
        let empty = packet.len();
        self.each_awaiting(batch.number, |events, slot| {
            cx.stats.ids_sent += packet.push_item(&ids, &events.store.id(slot)) as u64;
        });
        if packet.len() == empty {
            packet.truncate(before);
        } else {
            cx.stats.reminders += 1;
        }
    }

    /// That all have the batches before this one. `last`: now all know it.
    pub(crate) fn write_complete(&mut self, packet: &mut Packet<'_>, number: u32, last: bool) {
        let _ = packet.push(&Message::Complete(number));
        if last {
            self.batches.have_said(number);
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

    /// Once members have come or gone their places are others.
    fn drop_outdated(&mut self, cx: &Cx<'_>, table: &Table<'_>) {
        if core::mem::replace(&mut self.batches.changes, table.changes) != table.changes {
            self.drop_all(cx);
        }
    }

    /// What is under way is announced as ever. Its receivers announce it, too, once they have waited; nobody is to think until
    /// then that all have it.
    fn drop_all(&mut self, cx: &Cx<'_>) {
        let batches = &mut self.batches;
        batches.under_way.clear();
        (batches.said, batches.say_at) = (batches.next, Instant::FAR);
        batches.paused = cx.now + told::patience(&cx.config).times(2);
        while let Some(slot) = self.store.first(list::AWAIT) {
            self.store.move_to(slot, list::ANNOUNCE);
        }
    }
}

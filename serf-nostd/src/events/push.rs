//! How events go out: eager push (the payload, at once), lazy push (the id, in growing intervals), pulls, and what rides along
//! in pings and acks.

use super::pull::Provider;
use super::pull::overdue;
use super::store::{ANNOUNCE_MS, UserEvent, list};
use super::{Events, reaches_all, seen, told};
use crate::context::Cx;
use crate::failure::Links;
use crate::hash;
use crate::membership::Membership;
use crate::rules::Settings;
use crate::time::{Duration, Instant};
use crate::wire::message::{self, Address, Batch, EventId, Message};
use crate::wire::packet::Packet;

/// How many recent ids ride in pings and acks, and how long after the last new one.
const RIDERS: usize = 8;
const RIDING: Duration = Duration::from_secs(10);

impl Events<'_> {
    /// Writes an event with its payload; false if it does not fit.
    pub(crate) fn write_event(&self, cx: &mut Cx<'_>, packet: &mut Packet<'_>, slot: u16) -> bool {
        let written = match self.store.query(slot) {
            // Its asker waits no longer for it than the time that is left.
            Some(query) => {
                let held = cx.now.since(self.store.since(slot)).as_micros();
                let timeout_us = query.timeout_us.saturating_sub(held);
                packet.push(&Message::Query(message::Query { timeout_us, ..query }))
            }
            None => {
                let UserEvent { id, name, payload, coalesce, filters } = self.store.event(slot);
                let event = message::UserEvent { id, coalesce, name, payload };
                packet.push(&match filters {
                    [] => Message::UserEvent(event),
                    _ => Message::TargetedEvent(event, filters),
                })
            }
        };
        cx.stats.payloads_sent += written as u64;
        written
    }

    /// Eager push: as many events from the head of a list as fit (`count`, once it is known), as a batch if it has got a number. `last`: to
    /// nobody else.
    pub(crate) fn write_eager(
        &mut self,
        cx: &mut Cx<'_>,
        packet: &mut Packet<'_>,
        from: u8,
        (count, batch): (u16, Option<Batch>),
        to: Address,
        last: bool,
    ) -> u16 {
        let most = match count {
            0 if batch.is_some() => told::LONGEST,
            0 => u16::MAX,
            count => count,
        };
        let mut written = 0;
        let before = packet.len();
        let mut at = self.store.first(from);
        let for_former = at.is_some_and(|slot| self.fleet.is_for_former(self.store.id(slot)));
        self.fleet.write_tag(packet, for_former);
        if let Some(batch) = batch {
            let _ = packet.push(&Message::Batch(self.addressed(batch, to)));
        }
        while let Some(slot) = at
            && written < most
            && self.fleet.is_for_former(self.store.id(slot)) == for_former
            && self.write_event(cx, packet, slot)
        {
            at = self.store.after(from, slot);
            written += 1;
        }
        if written == 0 {
            packet.truncate(before);
        }
        if last {
            for _ in 0..written {
                if let Some(slot) = self.store.first(from) {
                    self.store.sent(slot, cx.now);
                    self.await_batch(cx.now, slot, batch);
                }
            }
        }
        written
    }

    /// Nobody is there to pass events on to: others' are announced when somebody is; own ones wait unsent.
    pub(crate) fn pass_over_fresh(&mut self, now: Instant) {
        while let Some(slot) = self.store.first(list::FRESH) {
            self.store.sent(slot, now);
        }
    }

    /// When the next id is to be announced.
    pub(crate) fn announce_at(&self) -> Instant {
        (list::ANNOUNCE..list::AWAIT)
            .filter_map(|which| self.store.first(which))
            .fold(Instant::FAR, |first, slot| first.min(self.store.announce_at(slot)))
    }

    /// Lazy push: the ids whose time had come at `due`, as many as fit (`count`, once it is known). `last`: to nobody else.
    pub(crate) fn write_lazy(
        &mut self,
        cx: &mut Cx<'_>,
        links: Links,
        packet: &mut Packet<'_>,
        (to, due): (Address, Instant),
        count: u16,
        last: bool,
    ) -> u16 {
        let most = if count == 0 { u16::MAX } else { count };
        let limit = announce_stages(&cx.config, links);
        let token = self.token(to);
        let before = packet.len();
        let stages = || (list::ANNOUNCE..list::AWAIT).rev();
        let first = stages().filter_map(|which| self.store.first(which));
        let first = first.into_iter().find(|slot| self.store.announce_at(*slot) <= due);
        let for_former = first.is_some_and(|slot| self.fleet.is_for_former(self.store.id(slot)));
        self.fleet.write_tag(packet, for_former);
        let Some(ids) = packet.i_have(token) else { return 0 };
        let mut written = 0;
        // From the last stage down, so that what moves on is not met again.
        for which in stages() {
            let mut at = self.store.first(which);
            while let Some(slot) = at
                && written < most
                && self.store.announce_at(slot) <= due
            {
                at = self.store.after(which, slot);
                let id = self.store.id(slot);
                if self.fleet.is_for_former(id) != for_former {
                    continue;
                }
                if !packet.push_item(&ids, &id) {
                    break;
                }
                written += 1;
                cx.stats.ids_sent += 1;
                if last {
                    self.store.announced(slot, limit);
                }
            }
        }
        if written == 0 {
            packet.truncate(before);
        }
        written
    }

    /// Asks one provider for what it is to be asked for now, if anybody is.
    pub(crate) fn poll_pulls(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        links: Links,
        seeds: &[Address],
        tx: &mut [u8],
    ) -> Option<(Address, usize)> {
        let overdue = overdue(&cx.config, links);
        while let Some((id, asked)) = self.pulls.stuck(cx.now, overdue, links.answered) {
            self.ask_another(cx, members, seeds, id, asked);
        }
        let provider = self.pulls.whom(cx.now)?;
        let mut packet = cx.wire.packet(tx, usize::MAX);
        if !provider.is_proven() {
            // What it answers must not be what it has said before.
            cx.write_challenge(&mut packet, &provider.addr);
        }
        let ids = packet.i_want(provider.token)?;
        let mut room = true;
        cx.stats.pulls += self.pulls.ask(provider, cx.now, overdue, |id| {
            let fits = room && packet.push_item(&ids, &id);
            room = !Provider::is_unknowing(&provider);
            fits
        });
        Some((provider.addr, packet.finish(&mut cx.wire)))
    }

    /// What somebody has been asked for, and has answered with a challenge instead: behind the answer to that.
    pub(crate) fn write_wanted(&self, packet: &mut Packet<'_>, of: Address) {
        let mut asked = self.pulls.asked(of).peekable();
        let Some((token, _)) = asked.peek().copied() else { return };
        let Some(ids) = packet.i_want(token) else { return };
        // What does not fit is asked for again in its time.
        let _ = asked.filter(|(other, _)| *other == token).all(|(_, id)| packet.push_item(&ids, &id));
    }

    /// Of the greatest ids that were seen those of which this node has heard of late, and whose payload it holds: in pings
    /// and acks.
    pub(crate) fn write_riders(&self, cx: &mut Cx<'_>, packet: &mut Packet<'_>, to: Address) {
        let seen = &self.seen;
        let quiet = !self.backoff.moved_within(cx.now, RIDING);
        if seen.len() == 0 || quiet || !self.takes_events(&cx.config) {
            return;
        }
        let for_former = self.fleet.is_for_former(seen.get(seen.len() - 1));
        self.fleet.write_tag(packet, for_former);
        let Some(ids) = packet.i_have(self.token(to)) else { return };
        for place in (seen.len().saturating_sub(RIDERS)..seen.len()).rev() {
            let id = seen.get(place);
            let held = self.store.find(id).filter(|_| self.fleet.is_for_former(id) == for_former);
            let Some(slot) = held else { continue };
            if cx.now.since(self.store.since(slot)) <= RIDING && packet.push_item(&ids, &id) {
                cx.stats.ids_sent += 1;
            }
        }
    }

    /// As many messages about unknown members as fit; each goes out as often (`limit`) as other updates.
    pub(crate) fn write_relayed(&mut self, packet: &mut Packet<'_>, limit: usize) {
        let mut at = self.store.first(list::FOREIGN);
        while let Some(slot) = at {
            at = self.store.after(list::FOREIGN, slot);
            if packet.push_encoded(self.store.foreign(slot))
                && self.store.foreign_sent(slot) as usize >= limit
            {
                self.store.drop_slot(slot);
            }
        }
    }

    /// Whether there are any.
    pub(crate) fn has_relayed(&self) -> bool {
        self.store.first(list::FOREIGN).is_some()
    }

    // ---- what others compare theirs with ----

    /// Digest of the last values; what has been found to be lost, or can't be held, is counted as had. `None` if there were
    /// more names than places.
    pub(crate) fn value_digest(&self) -> Option<u32> {
        self.coalescer.digest().map(|digest| digest ^ self.lost_values)
    }

    /// Whether others may have this node's last values: before it has met a fleet its own have no lasting identity.
    fn tells_values(&self, config: &Settings) -> bool {
        self.takes_events(config) && config.coalesce_quantum > Duration::ZERO
    }

    /// The digest of last values, if others may have it.
    pub(crate) fn write_values(&self, config: &Settings, packet: &mut Packet<'_>) {
        if let Some(digest) = self.value_digest().filter(|_| self.tells_values(config)) {
            let _ = packet.push(&Message::Values(digest));
        }
    }

    /// A page of last values, from this place on. False if not even its head fits; so with the next one.
    pub(crate) fn write_value_ids(
        &self,
        config: &Settings,
        packet: &mut Packet<'_>,
        (nonce, token): (u32, u32),
        cursor: u32,
    ) -> bool {
        let Some(page) = packet.page(nonce) else { return false };
        let Some(ids) = packet.value_ids(token) else { return false };
        for (place, id) in self.coalescer.values(cursor as usize).filter(|_| self.tells_values(config)) {
            if !packet.push_item(&ids, &id) {
                packet.goes_on(&page, place as u32);
                break;
            }
        }
        true
    }

    /// A page of the seen events of these buckets, from an id on.
    pub(crate) fn write_entries(
        &self,
        packet: &mut Packet<'_>,
        (nonce, token): (u32, u32),
        from: EventId,
        buckets: u16,
    ) -> bool {
        // How far one page reaches is only known when it is full: passes go on until one ends where the one before did.
        let head = packet.len();
        let mut next = None;
        for _ in 0..4 {
            packet.truncate(head);
            let Some(ids) = packet.event_entries(nonce, token, next) else {
                return false;
            };
            let mut end = None;
            for place in self.seen.rank(from)..self.seen.len() {
                let id = self.seen.get(place);
                let listed = buckets & 1 << seen::bucket(id.hash()) != 0;
                if Some(id) == next || (listed && !packet.push_item(&ids, &id)) {
                    end = Some(id);
                    break;
                }
            }
            if end == next {
                return true;
            }
            next = end;
        }
        true
    }

    /// Digests of the seen events above `above`, as bytes.
    pub(crate) fn buckets_above(&self, above: EventId) -> [u8; 4 * seen::BUCKETS] {
        hash::digest_bytes(&self.seen.buckets_above(above))
    }

    /// Which buckets of events above `above` differ from a peer's, one bit each.
    pub(crate) fn differing_buckets(&self, above: EventId, theirs: &[u8]) -> u16 {
        let ours = self.seen.buckets_above(above);
        let (theirs, _) = theirs.as_chunks::<4>();
        ours.iter()
            .zip(theirs)
            .enumerate()
            .fold(0, |bits, (i, (ours, theirs))| bits | ((*ours != u32::from_le_bytes(*theirs)) as u16) << i)
    }
}

/// How often an id is announced: seldom where the origin reached everybody, since few lack the event then.
fn announce_stages(config: &Settings, links: Links) -> u8 {
    if links.lossy {
        ANNOUNCE_MS.len() as u8
    } else if reaches_all(config, links) {
        4
    } else {
        6
    }
}

//! What this table shows to others who compare theirs with it: digests, listings, records.

use super::Membership;
use super::digest::{BUCKETS, bucket};
use super::record::flag;
use super::updates::record;
use crate::outgoing::RECORDS;
use crate::slice::NIL;
use crate::time::Instant;
use crate::wire::message::{Entry, Message};
use crate::wire::packet::Packet;

impl Membership<'_> {
    /// Digests of this node's members, as bytes. Buckets with members that it does not hold are to be listed in any case.
    pub(crate) fn buckets(&self) -> [u8; 4 * BUCKETS] {
        let mut buckets = *self.table.digest().buckets();
        self.table.unheld().for_each(|entry| buckets[bucket(entry.name)] = !buckets[bucket(entry.name)]);
        crate::hash::digest_bytes(&buckets)
    }

    /// Which buckets differ from a peer's, one bit each.
    pub(crate) fn differing_buckets(&self, theirs: &[u8]) -> u32 {
        let (theirs, _) = theirs.as_chunks::<4>();
        let pairs = self.table.digest().buckets().iter().zip(theirs);
        pairs
            .enumerate()
            .fold(0, |bits, (i, (ours, theirs))| bits | ((*ours != u32::from_le_bytes(*theirs)) as u32) << i)
    }

    /// What is known of one member, for itself.
    pub(crate) fn write_record(&self, packet: &mut Packet<'_>, id: u16, now: Instant) {
        let _ = packet.push(&Message::Record(record(&self.table, id, now)));
    }

    /// A page of records, from this name hash on. False if not even its head fits; so with those that follow.
    pub(crate) fn write_page(&self, packet: &mut Packet<'_>, nonce: u32, cursor: u32, now: Instant) -> bool {
        let Some(page) = packet.page(nonce) else { return false };
        let table = &self.table;
        for id in table.hashed_from(cursor).filter(|id| !table.hot(*id).has(flag::UNADVERTISED)) {
            if !packet.push(&Message::Record(record(table, id, now))) {
                packet.goes_on(&page, table.hot(id).hash);
                break;
            }
        }
        true
    }

    /// A listing of these buckets, from this name hash on.
    pub(crate) fn write_entries(
        &self,
        packet: &mut Packet<'_>,
        nonce: u32,
        cursor: u32,
        buckets: u32,
    ) -> bool {
        let Some(page) = packet.page(nonce) else { return false };
        let Some(entries) = packet.entries() else { return false };
        let table = &self.table;
        // They are few: they stand on each page.
        for entry in table.unheld() {
            let _ = packet.push_item(&entries, &entry);
        }
        let mut from = cursor;
        // Bucket by bucket, so that those which agree are not even walked.
        while let Some(listed) = (bucket(from)..BUCKETS).find(|place| buckets & 1 << place != 0) {
            from = from.max((listed as u32) << 27);
            let mut beyond = None;
            for id in table.hashed_from(from) {
                let hot = table.hot(id);
                if bucket(hot.hash) != listed {
                    beyond = Some(hot.hash);
                    break;
                }
                let entry = Entry { name: hot.hash, version: hot.version() };
                if !hot.has(flag::UNADVERTISED) && !packet.push_item(&entries, &entry) {
                    packet.goes_on(&page, hot.hash);
                    return true;
                }
            }
            // What lies before the next member is not walked twice.
            let Some(next) = beyond else { break };
            from = next;
        }
        true
    }

    /// The records of these members.
    pub(crate) fn write_records(
        &self,
        packet: &mut Packet<'_>,
        nonce: u32,
        ids: &[u16; RECORDS],
        now: Instant,
    ) -> bool {
        let Some(page) = packet.page(nonce) else { return false };
        let table = &self.table;
        let named = ids.iter().filter(|id| **id != NIL).map(|id| table.hot(*id).hash);
        // Members whose names share a hash are all meant.
        let meant = named.flat_map(|hash| table.same_hash(hash));
        for id in meant.filter(|id| !table.hot(*id).has(flag::UNADVERTISED)) {
            if !packet.push(&Message::Record(record(table, id, now))) {
                packet.goes_on(&page, table.hot(id).hash);
                break;
            }
        }
        true
    }
}

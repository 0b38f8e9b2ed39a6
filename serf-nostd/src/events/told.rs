//! Events that have come from their origin, which sees to it that all get them: [`super::batch`].

use super::Events;
use super::seen::Freshness;
use crate::failure::Links;
use crate::membership::table::Table;
use crate::wire::message::{Address, Batch, EventId};

/// To how many members a batch goes at most: for its origin each is a bit.
pub(super) const MEMBERS: usize = u64::BITS as usize;
/// How many events are in one at most: all of their ids fit in a datagram.
pub(super) const LONGEST: u16 = 64;

impl Events<'_> {
    /// Whether the events of a batch from this address are its origin's care.
    pub(crate) fn are_seen_to(&self, table: &Table<'_>, links: Links, from: &Address, batch: &Batch) -> bool {
        let tells_all = (links.live..=MEMBERS).contains(&(batch.members as usize)) && !table.partial;
        tells_all && links.clean && table.live_from(from).is_some()
    }

    /// An event that has come before is its origin's care.
    pub(crate) fn leave_to_origin(&mut self, id: EventId) {
        if let Some(slot) = self.store.find(id) {
            self.store.leave_to_origin(slot);
        }
    }

    /// Whether this node has not seen an event, but may take it.
    pub(crate) fn lacks(&self, id: EventId) -> bool {
        self.seen.classify(id) == Freshness::New
    }
}

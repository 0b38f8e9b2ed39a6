//! Receipts: which members have handed an event to their applications.
//!
//! Whoever has fired the event asks for them with a query, right behind it. It stands at each receiver behind the event in the
//! queue to the application, and is answered at its turn; or later, once the event has come, and its window has ended. A later
//! event with which it was coalesced counts for it. Where nobody asks, an event costs nothing more.

use super::{Queries, QueryError, Sheet};
use crate::context::Cx;
use crate::events::Events;
use crate::events::store::{self, Pin};
use crate::failure::Links;
use crate::filter::{self, Target, passes};
use crate::membership::Membership;
use crate::membership::table::SELF;
use crate::time::Duration;
use crate::wire::message::{EventId, Receipt, answer_flag, query_flag};

/// An event that this node has fired.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Fired<'e> {
    /// Its Lamport time, as [`crate::Node::user_event`] has returned it.
    pub ltime: u64,
    /// For whom it is.
    pub target: Target<'e>,
    /// Its name.
    pub name: &'e [u8],
    /// Whether it may be coalesced.
    pub coalesce: bool,
    /// Its identity, if an operator has signed it.
    pub signed: Option<EventId>,
}

impl<'e> Fired<'e> {
    /// An event for all.
    pub const fn new(ltime: u64, name: &'e [u8], coalesce: bool) -> Fired<'e> {
        Fired { ltime, target: Target::new(&[], &[]), name, coalesce, signed: None }
    }

    /// The same for some members.
    pub const fn target(self, target: Target<'e>) -> Fired<'e> {
        Fired { target, ..self }
    }

    /// The same, signed by an operator under this identity.
    pub const fn signed(self, id: EventId) -> Fired<'e> {
        Fired { signed: Some(id), ..self }
    }
}

impl Queries<'_> {
    /// Asks for the receipts of an own event; see [`crate::Node::receipts`].
    #[allow(clippy::too_many_arguments)] // As to ask, and how long.
    pub(crate) fn ask_receipts(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        events: &mut Events<'_>,
        links: Links,
        cut_off: bool,
        fired: &Fired<'_>,
        timeout: Duration,
    ) -> Result<EventId, QueryError> {
        let Fired { ltime, target, name, coalesce, signed } = *fired;
        let filters = filter::encode(target.nodes, target.tags).ok_or(QueryError::Filters)?;
        let event = signed.unwrap_or(EventId { ltime, origin: cx.origin });
        let key = if coalesce { store::key(event, name, &filters) } else { 0 };
        let receipt = Receipt { event, key }.to_bytes();
        let sheet = Sheet {
            name: "",
            payload: &receipt,
            filters: &filters,
            flags: query_flag::RECEIPT,
            timeout,
            waits: false,
            reserved: None,
        };
        self.begin(cx, members, events, links, cut_off, &sheet)
    }

    /// Gives the receipts that can be given by now, and gives up those that nobody waits for any more.
    pub(super) fn give_receipts(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        events: &mut Events<'_>,
    ) {
        for place in 0..self.asked.len() {
            if !self.asked[place].wants_receipt {
                continue;
            }
            if self.asked[place].deadline > cx.now {
                self.give_receipt(cx, members, events, place);
            } else {
                self.want_no_receipt(events, place);
            }
        }
    }

    /// Gives a receipt, if the event has been handed out.
    pub(super) fn give_receipt(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        events: &mut Events<'_>,
        place: usize,
    ) {
        let asked = self.asked[place];
        let query = events.store.query(asked.slot);
        let receipt = query.and_then(|query| Some((Receipt::from_bytes(query.payload)?, query.filters)));
        let handed_out = receipt.map(|(receipt, filters)| {
            // Its tags may have changed since it was asked.
            let meant = passes(filters, members.candidate(SELF), cx.config.tag_matcher) == Some(true);
            meant && events.is_handed_out(&receipt)
        });
        let given = handed_out == Some(true) && {
            let flags = answer_flag::ACK | answer_flag::NO_ANSWER;
            self.send(cx, members, events, asked, flags, &[]).is_ok()
        };
        if given || handed_out.is_none() {
            self.want_no_receipt(events, place);
        }
    }

    /// What held the query is let go of.
    pub(super) fn want_no_receipt(&mut self, events: &mut Events<'_>, place: usize) {
        let asked = &mut self.asked[place];
        if core::mem::take(&mut asked.wants_receipt) {
            events.store.unpin(asked.slot, Pin::Query);
            self.wanted -= 1;
        }
    }
}

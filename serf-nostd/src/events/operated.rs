//! What operators have to say to events and queries ([`crate::authority`]), before anything of them is known, held or passed on.

use super::seen::Freshness;
use super::{Carried, EventError, Events, From};
use crate::authority::{Claim, Reserved, Stated, Verdict, signed_payload};
use crate::context::Cx;
use crate::time::{Duration, Instant};
use crate::wire::message::UserEvent as Told;
use crate::wire::message::{Address, EventId, Query, query_flag};
use crate::wire::seal::WRAPPED_KEY;

/// How often refused events are told of in the log.
const WARNED: Duration = Duration::from_secs(10);

/// So many other events may be fired while one waits for its signature: whoever remembers fewest takes it still.
const KEPT: u64 = 32;
/// How long nothing is checked of who has forged something.
const GRUDGE: Duration = Duration::from_secs(60);

/// How an event has come whose signature is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checked {
    /// It is this node's own.
    Own,
    Pushed,
    /// It was asked for.
    Pulled,
}

impl Events<'_> {
    /// Keeps an identity for a signed event; see [`crate::Node::reserve_event`].
    pub(crate) fn reserve(&self, cx: &mut Cx<'_>) -> Result<Reserved, EventError> {
        self.may_fire(cx)?;
        let id = EventId { ltime: cx.clocks.event.stamp(), origin: cx.signed_origin() };
        Ok(Reserved { id, cluster: cx.wire.cluster(), answers_to: Address::UNSET, timeout: 0 })
    }

    /// Whether operators, and what was reserved, allow this node's own.
    pub(super) fn authorize(&mut self, cx: &Cx<'_>, own: &Carried<'_>) -> Result<(), EventError> {
        let id = own.id();
        let ago = cx.clocks.event.now().checked_sub(id.ltime + 1);
        let is_kept = ago.is_some_and(|ago| ago <= KEPT) && self.seen.classify(id) == Freshness::New;
        if id.is_signed() && !is_kept {
            return Err(EventError::Outdated);
        }
        match self.judge(cx, own, Checked::Own, None) {
            Verdict::Unsigned => Err(EventError::Unsigned),
            Verdict::Forged | Verdict::Unreadable => Err(EventError::Forged),
            Verdict::Allowed | Verdict::Later => Ok(()),
        }
    }

    /// What operators have to say to it.
    #[inline]
    fn judge(&mut self, cx: &Cx<'_>, carried: &Carried<'_>, word: Checked, from: Option<Address>) -> Verdict {
        if !cfg!(feature = "authority") {
            return Verdict::Allowed;
        }
        let mut opened = [0; WRAPPED_KEY];
        let claim = match carried {
            Carried::Event(Told { id, coalesce, name, payload }, filters) => {
                let stated = Stated::Event { coalesce: *coalesce };
                Claim { id: *id, stated, answers_to: Address::UNSET, timeout: 0, name, filters, payload }
            }
            // Receipts are nobody's to forbid.
            Carried::Query(query) if query.flags & query_flag::RECEIPT != 0 => {
                let is_marked = cx.config.authority.keeps(query.event_id());
                return if is_marked { Verdict::Forged } else { Verdict::Allowed };
            }
            Carried::Query(query) => {
                let id = query.event_id();
                let payload = match signed_payload(&cx.wire.seal, query, &mut opened) {
                    None if cx.config.authority.keeps(id) => return Verdict::Unreadable,
                    payload => payload.unwrap_or(query.payload),
                };
                Claim {
                    id,
                    stated: Stated::Query { ack: query.flags & query_flag::ACK != 0 },
                    answers_to: query.addr,
                    timeout: (query.flags >> query_flag::TIMEOUT_SHIFT) as u16,
                    name: query.name.as_bytes(),
                    filters: query.filters,
                    payload,
                }
            }
        };
        let pushed = word == Checked::Pushed;
        let (may_check, now) = (&mut self.gates[pushed as usize], cx.now);
        // Whoever takes nothing that was fired before it came takes nothing that was signed before.
        let anew = cx.config.event_floor == 0 && !cx.config.replay && word != Checked::Own;
        let since = if anew { self.since } else { Instant::PAST };
        // Whoever has forged something has no share in what can be checked, for a while.
        let trusted = now >= self.forgiven || from != Some(self.forger);
        cx.config.authority.judge(cx.wire.cluster(), (since, now), &claim, |rate| {
            word == Checked::Own || trusted && may_check.may_check(rate, now)
        })
    }

    /// What operators have to say to what has come, if it may be taken otherwise.
    #[inline]
    pub(super) fn admit(
        &mut self,
        cx: &Cx<'_>,
        carried: &Carried<'_>,
        freshness: Freshness,
        from: &From,
    ) -> Verdict {
        if !cfg!(feature = "authority") {
            return Verdict::Allowed;
        }
        let id = carried.id();
        let asked = self.pulls.is_asked(id);
        let is_due = match freshness {
            Freshness::Known => false,
            Freshness::Below => asked,
            Freshness::New => self.takes_events(&cx.config) && (asked || self.fleet.takes(id, from.source)),
        };
        // Of whom nothing was asked this is no answer.
        let word = if self.pulls.is_asked_of(id, from.addr) { Checked::Pulled } else { Checked::Pushed };
        if is_due { self.judge(cx, carried, word, Some(from.addr)) } else { Verdict::Allowed }
    }

    /// What has come as it is to be taken: how long a signed query is to be answered is what was signed.
    pub(super) fn timed<'m>(&self, cx: &Cx<'_>, carried: Carried<'m>, from: &From) -> Carried<'m> {
        match carried {
            Carried::Query(query) if cx.config.authority.keeps(query.event_id()) => {
                let told = self.pulls.is_asked_of(query.event_id(), from.addr).then_some(query.timeout_us);
                let timeout_us = cx.config.authority.time_left(cx.now, &query, told);
                Carried::Query(Query { timeout_us, ..query })
            }
            carried => carried,
        }
    }

    /// A forgery ends no search but that at who has sent it, of which no more is looked at for a while.
    pub(super) fn refuse_forgery(&mut self, cx: &mut Cx<'_>, id: EventId, by: Address) {
        self.refuse(cx, id);
        self.pulls.refused(id, by);
        (self.forger, self.forgiven) = (by, cx.now + GRUDGE);
    }

    /// What no operator has signed is counted, and told of now and then.
    pub(super) fn refuse(&mut self, cx: &mut Cx<'_>, id: EventId) {
        cx.stats.events_unauthorized += 1;
        if cx.now >= self.warn_at {
            self.warn_at = cx.now + WARNED;
            warning!(
                "an event or query of Lamport time {}, origin {}, is refused: no operator has signed it (events_unauthorized counts them)",
                id.ltime,
                id.origin
            );
        }
    }
}

//! What comes back from whom was asked, page by page: of members, of events, of last values.

use super::session::{EventStep, MemberStep, PATIENCE, Session, ValueStep};
use super::{AntiEntropy, Engines};
use crate::clock::Word;
use crate::context::Cx;
use crate::events::pull::{Provider, asks};
use crate::events::seen::Freshness;
use crate::events::store::Pin;
use crate::membership::Membership;
use crate::membership::messages::{BOOT_JUMP, Claim};
use crate::membership::record::update;
use crate::membership::table::{SELF, settled_live};
use crate::outgoing::RECORDS;
use crate::rules::Rule;
use crate::time::Instant;
use crate::wire::message::{Address, Entry, EventEntries, EventId, Fleet, Items, Page, Record, Settled};

impl AntiEntropy {
    /// Whether the page with this nonce was asked for, as one of members or of last values.
    pub(crate) fn page_asked(&self, nonce: u32) -> (bool, bool) {
        let members = self.members.as_ref().is_some_and(|session| session.nonce == nonce);
        (members, !members && self.values.is_some_and(|session| session.nonce == nonce))
    }

    /// A page that was asked for has been read: on to the next.
    pub(crate) fn page_done(&mut self, cx: &mut Cx<'_>, page: &Page) {
        let Some(session) = &mut self.members else { return };
        let next = match session.step {
            MemberStep::Pages { cursor } if page.next > cursor => {
                Some(MemberStep::Pages { cursor: page.next })
            }
            MemberStep::List { cursor } if page.next > cursor => Some(MemberStep::List { cursor: page.next }),
            // What did not fit is listed again, and so is what comes behind it; unless nothing of it fits.
            MemberStep::Records { wanted, .. } if page.next > 0 => {
                let cursor = page.next.saturating_add((page.next <= wanted[0]) as u32);
                Some(MemberStep::List { cursor })
            }
            MemberStep::Records { resume, .. } if resume > 0 => Some(MemberStep::List { cursor: resume }),
            _ => None,
        };
        match next {
            Some(step) => session.advance(step, cx.random.next() as u32, cx.now),
            None => self.members = None,
        }
    }

    /// A listing: what differs from what is known here is fetched. False if nothing does.
    pub(crate) fn entries(
        &mut self,
        cx: &mut Cx<'_>,
        members: &mut Membership<'_>,
        entries: Items<'_, Entry>,
        next: u32,
    ) -> bool {
        let mut wanted = [0; RECORDS];
        let (count, resume) = members.differing(entries, next, &mut wanted);
        if let Some(Session { step: MemberStep::List { cursor }, .. }) = self.members {
            members.table.listed(cursor, resume, entries);
        }
        let Some(session) = self.members.as_mut().filter(|_| count > 0) else { return false };
        let step = MemberStep::Records { wanted, count: count as u8, resume };
        session.advance(step, cx.random.next() as u32, cx.now);
        true
    }

    /// What the fleet knows about this node: it goes on above it. `joining`: told in answer to its join.
    pub(crate) fn record_about_self(
        &mut self,
        cx: &mut Cx<'_>,
        e: &mut Engines<'_>,
        record: &Record<'_>,
        joining: bool,
    ) {
        if e.members.is_leaving() || !cx.config.has(Rule::JoinAbove) {
            return;
        }
        let hot = e.members.table.hot(SELF);
        let (theirs, ours) = ((record.alive.boot, record.alive.incarnation), hot.life());
        let (status_ltime, alive) = (hot.status_ltime, settled_live(record.state));
        if !joining && alive && record.alive.boot != hot.boot && record.alive.addr != hot.addr {
            return e.failure.namesake(cx, &e.members, Claim::of(&record.alive));
        }
        let otherwise = theirs == ours && hot.tells_otherwise(&record.alive);
        let said_leaving = record.state != Settled::Alive;
        if joining && ours.0 > theirs.0.saturating_add(BOOT_JUMP) {
            // The machine's clock was set since they last heard of it, and they would not follow so far.
            e.members.live_after(cx, theirs.0);
        } else if theirs > ours
            || (theirs == ours && !alive)
            || otherwise
            || (joining && theirs.1 >= ours.1 && theirs != ours)
        {
            // Asked for with a nonce, so believed further than gossip: however far above it is.
            e.failure.refute(cx, &mut e.members, record.alive.incarnation, record.alive.boot);
        }
        if record.status_ltime >= status_ltime && (said_leaving || record.status_ltime > status_ltime) {
            let ltime = cx.clocks.member.stamp();
            e.members.table.edit(SELF, |hot| hot.status_ltime = ltime);
            e.members.queue_update(SELF, update::JOIN);
        }
    }

    /// Events that a peer has: those that are missing here are pulled. False if it was not asked for them.
    pub(crate) fn event_entries(
        &mut self,
        cx: &mut Cx<'_>,
        e: &mut Engines<'_>,
        from: Address,
        entries: &EventEntries<'_>,
        fleet: Option<Fleet>,
    ) -> bool {
        let Some(session) = self.events.filter(|session| session.nonce == entries.nonce) else {
            return false;
        };
        e.failure.answered(cx, &mut e.members);
        if let Some(fleet) = fleet
            && !(fleet.id == e.events.fleet.compares_in() && fleet.id != 0)
        {
            // What either fleet has fired so far stays there; if this one has yielded, they are compared anew.
            let replay = cx.config.replay;
            e.events.meet_fleet(cx, &e.members, (fleet, None), Word::Answer, replay);
            self.events = None;
            return true;
        }
        let links = e.failure.links(&e.members);
        let provider = Provider { addr: from, token: entries.token, asks: asks::PROVEN };
        let mut next = entries.next.filter(|next| *next > session.step.cursor);
        let mut waits = false;
        for id in entries.ids {
            if !e.events.announced(cx, links, provider, id) {
                // As many as can be taken in are being pulled: listed again from here when those have come.
                (next, waits) = (Some(id), true);
                break;
            }
        }
        let Some(cursor) = next else {
            self.events = None;
            return true;
        };
        if waits && e.events.pulls.is_empty() {
            // None can be taken in for now.
            self.events = None;
            e.events.backoff.broken_off(cx.now);
            return true;
        }
        let step = EventStep { cursor, waits, ..session.step };
        let nonce = cx.random.next() as u32;
        if let Some(session) = &mut self.events {
            session.advance(step, nonce, cx.now);
            if waits {
                session.due = cx.now + PATIENCE;
            }
        }
        true
    }

    /// Everything that was asked for has come: a comparison that waited for it goes on.
    pub(crate) fn all_pulled(&mut self, now: Instant) {
        if let Some(session) = self.events.as_mut().filter(|session| session.step.waits) {
            session.due = now;
        }
    }

    /// Last values that a peer knows: those that are missing here are pulled.
    pub(crate) fn listed_values(
        &mut self,
        cx: &mut Cx<'_>,
        e: &mut Engines<'_>,
        from: Provider,
        ids: Items<'_, EventId>,
    ) {
        e.failure.answered(cx, &mut e.members);
        let links = e.failure.links(&e.members);
        let events = &mut e.events;
        for id in ids {
            match events.seen.classify(id) {
                _ if events.coalescer.is_last_value(id) => {}
                // It is superseded here, or lost, or too long: in any case there is nothing to fetch.
                Freshness::Known => events.lost_values ^= id.hash(),
                Freshness::New => {
                    let _ = events.announced(cx, links, from, id);
                }
                Freshness::Below => {
                    let room = events.store.room(Pin::Application);
                    let _ = events.want(cx, links, from, id, room);
                }
            }
        }
    }

    /// A page of last values has been read: on to the next.
    pub(crate) fn value_page_done(&mut self, cx: &mut Cx<'_>, page: &Page) {
        let nonce = cx.random.next() as u32;
        let Some(session) = &mut self.values else { return };
        if page.next > session.step.cursor {
            session.advance(ValueStep { cursor: page.next }, nonce, cx.now);
        } else {
            self.values = None;
        }
    }
}

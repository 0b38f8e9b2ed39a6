//! Pings, indirect pings and acks: who is there, and what that shows.

use super::Context;
use crate::failure::probe::Answered;
use crate::membership::journal::{By, What};
use crate::membership::record::{State, flag};
use crate::membership::table::SELF;
use crate::node::Node;
use crate::outgoing::Answer;
use crate::rules::Rule;
use crate::slice::NIL;
use crate::wire::message::{EventId, IndirectPing, Ping};
#[cfg(feature = "inquest")]
use crate::wire::packet::DATAGRAM_MAX;

impl Node<'_> {
    pub(super) fn ping(&mut self, c: &mut Context<'_>, ping: &Ping<'_>) {
        let (cx, e) = (&mut self.cx, &mut self.engines);
        let table = &e.members.table;
        if ping.node != table.name(SELF) {
            cx.stats.misaddressed += 1;
            // Whoever looks for somebody who was here once is no reason to ask.
            c.question = 0;
            return;
        }
        if core::mem::replace(&mut c.pinged, true) {
            cx.stats.answers_refused += 1;
            return;
        }
        let named = table.find(ping.source).filter(|id| *id != SELF);
        let source = named.filter(|id| table.hot(*id).addr == c.from);
        // Of one that is gone, or in doubt, from another address it has to hear as well: its word may be below that.
        let gone = |id: &u16| table.hot(*id).state() != State::Alive;
        let asker = source.or(named.filter(gone).filter(|_| cx.config.has(Rule::GoneElsewhere)));
        let asker = asker.unwrap_or(NIL);
        let elsewhere = source != named;
        let above = c.summary.map_or(EventId::LOWEST, |summary| summary.floor);
        if source.is_none() && table.live() == 0 && self.sync.meet(cx, e, c.from, c.budget) {
            (c.budget, c.question) = (0, 0);
            return;
        }
        let (values, history, outdated) = (c.values.is_some(), c.history.is_some(), c.outdated);
        let what = Answer::Ack { seq: ping.seq, above, asker, values, history, outdated, elsewhere };
        // Whether it has answered us at this address.
        if source.is_some_and(|id| table.hot(id).has(flag::VERIFIED)) && c.is_new() {
            c.verified = true;
            if let Some(theirs) = c.period.filter(|_| self.cx.config.has(Rule::Periods)) {
                self.engines.failure.detector.hear_period(theirs);
            }
            let reply = self.reply(c);
            self.cx.enqueue_reply(c.from, usize::MAX, reply, what);
            if outdated {
                // Or it knows of a life of this node's that this node does not.
                let own = self.engines.members.table.hot(SELF).hash;
                self.sync.fetch_record(&mut self.cx, &mut self.engines, c.from, own);
            }
        } else {
            self.answer_stranger(c, what);
        }
        let (cx, e) = (&mut self.cx, &mut self.engines);
        if let Some(id) = named.filter(|_| c.is_new()) {
            // Wherever it is.
            e.failure.lives(cx, id);
        }
        if let Some(id) = source.filter(|_| c.is_new()) {
            e.failure.found(id);
        }
        let doubted = |id: &u16| e.members.table.hot(*id).has(flag::LOCAL_ONLY) && c.is_new();
        if let Some(id) = source.filter(doubted) {
            e.failure.member_answered(cx, &mut e.members, id);
        }
    }

    pub(super) fn indirect_ping(&mut self, c: &mut Context<'_>, ping: &IndirectPing<'_>) {
        let (cx, e) = (&mut self.cx, &mut self.engines);
        let Some(target) = e.members.table.find(ping.node).filter(|id| *id != SELF) else {
            cx.stats.misaddressed += 1;
            return;
        };
        c.question = 0;
        if core::mem::replace(&mut c.relayed, true) {
            cx.stats.relays_refused += 1;
            return;
        }
        if !c.is_new() {
            // That draws enough.
            c.doubted = false;
        }
        if e.members.table.hot(target).addr != ping.target {
            // Who answers here is not who is meant there.
            if ping.nack {
                self.answer_stranger(c, Answer::Nack { seq: ping.seq });
            }
            return;
        }
        let seq = cx.random.next() as u32;
        if e.failure.detector.relay(cx.now, &cx.config, seq, (c.from, ping.seq), ping.nack) {
            cx.enqueue(ping.target, usize::MAX, Answer::RelayedPing { seq, target });
            #[cfg(feature = "inquest")]
            if e.failure.was_refused(cx, target) {
                cx.enqueue(c.from, DATAGRAM_MAX, Answer::Refused { seq: ping.seq });
            }
        } else {
            cx.stats.relays_refused += 1;
        }
    }

    pub(super) fn ack(&mut self, c: &mut Context<'_>, seq: u32, payload: &[u8]) {
        let (cx, e) = (&mut self.cx, &mut self.engines);
        match e.failure.detector.acked(cx.now, seq) {
            Answered::Target { id, took, doubted } => {
                e.failure.answered(cx, &mut e.members);
                if id != NIL {
                    if doubted {
                        e.members.note(cx, id, What::Answered, By::Nobody, 0);
                    }
                    // From elsewhere it came another way.
                    if let Some(took) = took.filter(|_| e.members.table.hot(id).addr == c.from) {
                        cx.note_round_trip(took);
                        e.failure.measured(cx, id, took, payload);
                    }
                    self.proves(c, id);
                    self.engines.failure.member_answered(&mut self.cx, &mut self.engines.members, id);
                }
            }
            Answered::Relayed { to, seq } => cx.enqueue(to, usize::MAX, Answer::RelayedAck { seq }),
            Answered::Nobody if e.failure.inquest_answered(cx, &mut e.members, seq) => {}
            Answered::Nobody => match self.sync.tried_answered(seq) {
                // What it then says of itself will show that it lives.
                Some(id) => {
                    e.failure.answered(cx, &mut e.members);
                    self.proves(c, id);
                }
                None => {
                    if let Some(verdict) = e.failure.dispute_answered(cx, &mut e.members, c.from, seq) {
                        self.sync.verdict(verdict);
                    }
                }
            },
        }
    }

    /// A member has answered; if it did so from its own address, what else it sends now is its own word.
    pub(super) fn proves(&mut self, c: &mut Context<'_>, id: u16) {
        let table = &mut self.engines.members.table;
        if table.hot(id).addr == c.from {
            (c.answers, c.acked) = (true, Some(id));
            table.hot_mut(id).set(flag::VERIFIED, true);
            if let Some(sender) = c.sender {
                self.cx.stats.proofs += self.cx.wire.seal.bind(id, &c.from, &sender) as u64;
            }
        }
    }
}

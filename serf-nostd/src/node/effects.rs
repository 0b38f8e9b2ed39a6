//! What one engine wants of the others: small values that they return, carried out here. `docs/architecture.md` lists them.

use super::Node;
use crate::context::Cx;
use crate::membership::Membership;
use crate::membership::journal::{By, What};
use crate::membership::messages::Effect;
use crate::membership::record::update;
use crate::membership::table::{SELF, settled_live};
use crate::sync;
use crate::wire::message::{Address, Message, Record};

impl Node<'_> {
    /// Carries out what follows from a message about a member.
    pub(super) fn apply(&mut self, effect: Effect, message: &Message<'_>) {
        let (cx, e) = (&mut self.cx, &mut self.engines);
        let (members, failure) = (&mut e.members, &mut e.failure);
        match effect {
            Effect::Nothing => {}
            Effect::Foreign => e.events.relay(cx, message),
            Effect::Evict(id) => {
                // Its end is told first; the newcomer is held when it is met again.
                if members.reaping.is_none() {
                    cx.stats.members_evicted += 1;
                    members.reaping = Some(crate::membership::Reaping::Show(id));
                }
            }
            Effect::Update(id, bits) => {
                if id != SELF {
                    self.sync.joins.joined = true;
                    let live = members.table.hot(id).is_live();
                    if bits & update::STATE != 0 && live {
                        // Somebody came, or came back: perhaps with other last values.
                        e.events.value_backoff.changed(cx.now);
                    }
                    if !live || bits & update::STATE != 0 {
                        failure.clear_doubts(id);
                    }
                    if !live {
                        members.updates.hurry(cx.now);
                    }
                }
                members.backoff.changed(cx.now);
                members.queue_update(id, bits);
                members.prune(cx, id);
            }
            Effect::Suspected(id) => failure.suspected(cx, members, id),
            Effect::Confirmed(id) => {
                if let Message::Suspect(accusation) = message {
                    failure.confirmed(cx, members, id, accusation.from);
                }
            }
            Effect::Contested(id, begins) => failure.contested(cx, members, id, begins),
            Effect::Refute { incarnation, boot } => failure.refute(cx, members, incarnation, boot),
            Effect::Contradict(ltime) => members.contradict(cx, ltime),
            Effect::Conflict(holder, claim) => failure.dispute(cx, members, holder, claim, None),
            Effect::Namesake(claim) => failure.namesake(cx, members, claim),
        }
    }

    /// What another node's table says, asked for by a comparison or (`joining`) as part of a join answer.
    pub(super) fn apply_record(&mut self, from: Address, record: &Record<'_>, joining: bool) {
        // Of the times in it none may lead the clocks astray.
        if !sync::witness_record(&mut self.cx, record) {
            return;
        }
        if self.engines.members.table.find(record.alive.node) == Some(SELF) {
            return self.sync.record_about_self(&mut self.cx, &mut self.engines, record, joining);
        }
        let own = self.engines.members.is_own_word(&record.alive, from);
        let effect = self.with_room(|members, cx| members.record(cx, record, own));
        let (cx, e) = (&mut self.cx, &mut self.engines);
        match effect {
            // They are to be told, not we.
            Effect::Update(id, bits) if bits & update::LEAVE != 0 => {
                e.members.queue_update(id, bits);
                e.members.prune(cx, id);
            }
            // A comparison tells many at once; everybody compares, so nobody needs to be told what was found.
            Effect::Update(id, _) => {
                e.members.prune(cx, id);
                e.events.value_backoff.changed(cx.now);
                e.members.backoff.changed(cx.now);
                self.sync.joins.joined = true;
                e.failure.clear_doubts(id);
            }
            // There is no place for it here: others may have one, and may never meet who has told us.
            Effect::Foreign if !settled_live(record.state) => {}
            effect => self.apply(effect, &Message::Alive(record.alive)),
        }
    }

    /// As `judge` says; if a newcomer wants the place of somebody of whose end the application need not be told, that one
    /// goes at once.
    pub(super) fn with_room(&mut self, judge: impl Fn(&mut Membership<'_>, &mut Cx<'_>) -> Effect) -> Effect {
        let effect = judge(&mut self.engines.members, &mut self.cx);
        let Effect::Evict(id) = effect else { return effect };
        let members = &mut self.engines.members;
        members.table.partial = true;
        if !members.app_ready {
            // Nobody can be told of an end.
            self.cx.stats.members_unheld += 1;
            return Effect::Foreign;
        }
        if !members.may_go_untold(id) {
            return effect;
        }
        self.cx.stats.members_evicted += 1;
        self.forget(id);
        judge(&mut self.engines.members, &mut self.cx)
    }

    /// Forgets the member whose end has been shown.
    pub(super) fn finish_reaping(&mut self) {
        if let Some(id) = self.engines.members.reaped(&self.cx) {
            self.forget(id);
            // There is room: whoever could not be held may be met again by comparing.
            self.engines.members.table.partial = false;
        }
    }

    fn forget(&mut self, id: u16) {
        self.engines.members.note(&self.cx, id, What::Forgotten, By::Nobody, 0);
        self.engines.failure.forget(id);
        self.sync.forget(id);
        self.engines.queries.forget(id);
        self.engines.members.forget(id);
        self.cx.wire.seal.forget(id);
    }

    /// Everything that was asked for has come: who waits for that goes on.
    pub(super) fn carry_pulled(&mut self) {
        if core::mem::take(&mut self.engines.events.all_pulled) {
            self.sync.all_pulled(self.cx.now);
        }
    }
}

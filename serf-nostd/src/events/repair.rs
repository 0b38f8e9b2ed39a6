//! What is announced and missing here: asked for, had from another one, or lost.

use super::Events;
use super::pull::{LOST_AFTER, Provider, overdue};
use super::seen::Freshness;
use super::store::Pin;
use crate::context::Cx;
use crate::failure::Links;
use crate::hash;
use crate::membership::Membership;
use crate::membership::table::SELF;
use crate::outgoing::Answer;
use crate::rules::{Rule, Settings};
use crate::wire::message::{Address, EventId};

impl Events<'_> {
    /// What entitles somebody at this address to payloads: only who gets our datagrams there knows it.
    pub(crate) fn token(&self, to: Address) -> u32 {
        (hash::mix(hash::mix(to.hash() as u64 ^ self.secret) ^ self.secret.rotate_left(32)) >> 32) as u32
    }

    /// One event announced by somebody, with the token to ask for it. False if it is missing here and could not be noted.
    pub(crate) fn announced(&mut self, cx: &mut Cx<'_>, links: Links, from: Provider, id: EventId) -> bool {
        match self.seen.classify(id) {
            Freshness::Known => {
                self.came_back(cx, links, id, from.addr);
            }
            Freshness::Below => {
                self.came_back(cx, links, id, from.addr);
                if id > self.seen.floor() && from.is_proven() {
                    // As many as this node remembers have overtaken it.
                    self.seen.raise_floor(id);
                    cx.stats.event_gaps += 1;
                }
            }
            Freshness::New if !self.takes_events(&cx.config) || !cx.config.has(Rule::Pull) => {}
            Freshness::New => {
                if let Some(slot) = self.store.find(id) {
                    // Held but left unrecorded while the application had no room.
                    let len = self.store.len(slot);
                    if !self.store.quota_full(Pin::Application, len) && self.rate.take(cx.now, true) {
                        self.record(cx, id);
                        self.hand_over(cx, slot);
                    }
                } else {
                    // More would come in vain, and be asked for again.
                    let can_take = self.store.room(Pin::Application).min(self.rate.left(cx.now));
                    let most = if cx.config.has(Rule::PullRoom) { can_take } else { usize::MAX };
                    return self.want(cx, links, from, id, most);
                }
            }
        }
        true
    }

    /// An event is to be asked for, if no more than `most` are. False if that could not be noted.
    pub(crate) fn want(
        &mut self,
        cx: &mut Cx<'_>,
        links: Links,
        from: Provider,
        id: EventId,
        most: usize,
    ) -> bool {
        let noted = self.pulls.want(id, from, cx.now, overdue(&cx.config, links), most);
        cx.stats.pulls_refused += !noted as u64;
        noted
    }

    /// Somebody asks for an event: what it is answered. `entitled`: with the token for its address.
    pub(crate) fn wanted(&self, config: &Settings, id: EventId, entitled: bool) -> Option<Answer> {
        match (self.store.find(id).is_some() && self.takes_events(config), entitled) {
            // Who has not seen it yet can't say that it is gone.
            (false, _) if self.seen.classify(id) == Freshness::New && config.has(Rule::Lost) => None,
            (false, _) => Some(Answer::DontHave { id }),
            (true, true) => Some(Answer::Event { id }),
            // Whoever has no token gets one, if it is here where it says.
            (true, false) => Some(Answer::IHave { id }),
        }
    }

    /// Somebody who was asked for an event does not hold it any more.
    pub(crate) fn missing_at(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        seeds: &[Address],
        id: EventId,
        from: Address,
    ) {
        if let Some(asked) = self.pulls.missing(id, from, cx.now) {
            self.ask_another(cx, members, seeds, id, asked);
        }
    }

    /// Who has announced an event does not hold its payload, nor do so many others: the next one is asked, or it is lost.
    pub(super) fn ask_another(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        seeds: &[Address],
        id: EventId,
        mut asked: usize,
    ) {
        let table = &members.table;
        let most = seeds.len() + LOST_AFTER.min(table.live()) + table.gone.len();
        while asked < most.min(u8::MAX as usize) && cx.config.has(Rule::Lost) {
            // Seeds first: they are more often servers, which hold more. Then once around, by the hashes of names: whoever dies or comes
            // back meanwhile keeps its place.
            let whom = seeds.get(asked).copied().or_else(|| {
                let around = table.hashed_from(id.hash() ^ self.secret as u32).chain(table.iter());
                let hot = around.filter(|id| *id != SELF).map(|id| table.hot(id)).nth(asked - seeds.len());
                hot.filter(|hot| hot.is_live()).map(|hot| hot.addr)
            });
            asked += 1;
            if let Some(whom) = whom {
                return self.pulls.turn_to(id, Provider::unknowing(whom), cx.now, asked);
            }
        }
        self.pulls.done(id);
        cx.stats.pull_miss += 1;
        // As slowly as events are taken in, and none from the future.
        let counts = self.seen.classify(id) == Freshness::New && id.ltime < cx.clocks.event.now();
        // Whoever speaks of a signed event before it is fired must not make it one that is lost.
        let counts = counts && !cx.config.authority.keeps(id);
        if counts && cx.config.has(Rule::Lost) && self.rate.take(cx.now, true) {
            self.record(cx, id);
        } else if self.seen.classify(id) == Freshness::Below {
            // It was to be the last value of some name.
            self.lost_values ^= id.hash();
        }
        self.all_pulled |= self.pulls.is_empty();
    }
}

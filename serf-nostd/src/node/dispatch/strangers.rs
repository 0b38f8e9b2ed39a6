//! Who has shown nothing yet: what is asked of such a one before its word counts, and what it is answered.

use super::{Context, QUESTION};
#[cfg(feature = "seal")]
use crate::membership::table::SELF;
use crate::node::Node;
use crate::outgoing::Answer;
use crate::rules::Rule;
use crate::wire::message::{Fleet, Message};
use crate::wire::seal::Reply;

impl Node<'_> {
    /// This node's challenge is answered: what the datagram says is new, and from now on so is what its sender says, if it is a member.
    #[cfg(feature = "seal")]
    pub(super) fn challenge_answered(&mut self, c: &mut Context<'_>, number: u32) {
        let (cx, e) = (&mut self.cx, &mut self.engines);
        if c.is_new() || !cx.wire.seal.has_challenged(&c.from, cx.now, number) {
            return;
        }
        c.answers = true;
        e.failure.answered(cx, &mut e.members);
        // Who is not held says who it is behind this.
        let table = &e.members.table;
        let here = |id: &u16| *id != SELF && table.hot(*id).addr == c.from;
        let live = table.iter().filter(here).find(|id| table.hot(*id).is_live());
        if let Some(id) = live.or_else(|| table.iter().find(here)) {
            self.proves(c, id);
            self.engines.failure.member_answered(&mut self.cx, &mut self.engines.members, id);
        }
    }

    /// At the end of a datagram: a challenge in it is answered, and its sender challenged if it may be a replay.
    pub(super) fn prove(&mut self, c: &mut Context<'_>) {
        if !self.cx.wire.seal.is_on() {
            return;
        }
        #[cfg(feature = "seal")]
        if c.lags
            && c.is_new()
            && self.cx.wire.seal.primary_since() > 0
            && !self.cx.config.authority.protects_keys()
        {
            self.cx.enqueue_reply(c.from, usize::MAX, Reply::to(c.sender, 0, false), Answer::NewKey);
        }
        if c.challenge != 0 && !c.challenge_answered {
            self.answer_stranger(c, Answer::Proof);
        } else if c.budget > 0 && self.challenges(c) {
            c.question = 0;
            let limit = core::mem::take(&mut c.budget);
            self.cx.enqueue_reply(c.from, limit, Reply::to(c.sender, 0, true), Answer::Proof);
        }
    }

    /// Whether the sender of a datagram that may be a replay is to be challenged: once, and not by who holds a part of the fleet,
    /// as it could not keep the answers of those that it does not hold. Who is in another fleet is
    /// asked something else.
    fn challenges(&mut self, c: &mut Context<'_>) -> bool {
        let partial = self.engines.members.table.partial && !c.insists;
        if !self.cx.wire.seal.is_on() || !c.doubted || c.answers || partial || self.is_elsewhere(c) {
            return false;
        }
        c.doubted = false;
        let challenges =
            self.cx.wire.seal.may_challenge(self.cx.now, 4 * self.cx.config.origin_fanout as u32);
        self.cx.stats.challenges += challenges as u64;
        challenges
    }

    /// Whether it tells of a life or an incarnation that is known to be over.
    pub(super) fn is_past(&self, message: &Message<'_>) -> bool {
        let table = &self.engines.members.table;
        let earlier = |node, life| table.find(node).is_some_and(|id| life < table.hot(id).life());
        match message {
            Message::Suspect(told) | Message::Dead(told) => earlier(told.node, (told.boot, told.incarnation)),
            Message::Alive(told) => earlier(told.node, (told.boot, told.incarnation)),
            // Who begins anew with an earlier boot number has to answer first.
            Message::Join(join) => table.find(join.node).is_some_and(|id| {
                let hot = table.hot(id);
                hot.addr != join.addr && join.boot < hot.boot
            }),
            _ => false,
        }
    }

    /// How an answer to this datagram is sealed, and what it begins with.
    pub(super) fn reply(&mut self, c: &mut Context<'_>) -> Reply {
        let challenges = self.challenges(c);
        c.challenge_answered = true;
        Reply::to(c.sender, c.challenge, challenges)
    }

    /// Whether nothing shows that who tells this is in a fleet with this node, or was asked. At such a one's word nobody is
    /// taken in, and nobody goes anywhere.
    pub(super) fn is_stranger(&self, c: &mut Context<'_>) -> bool {
        !self.is_asked(c) && (!c.is_new() || !self.company(c).1)
    }

    fn is_asked(&self, c: &Context<'_>) -> bool {
        c.answers || c.records.is_some() || !self.cx.config.has(Rule::Strangers)
    }

    /// Whether who tells this says that it is in a fleet that this node knows nothing of, and was not asked.
    pub(super) fn is_elsewhere(&self, c: &mut Context<'_>) -> bool {
        let (fleet, kin) = self.company(c);
        !self.is_asked(c) && fleet.is_some() && !kin
    }

    /// The same of one who tells of somebody who is not a live member here; counted.
    pub(super) fn is_strange(&mut self, c: &mut Context<'_>) -> bool {
        let strange = self.is_stranger(c);
        let counter = if c.is_new() { &mut self.cx.stats.strangers } else { &mut self.cx.stats.doubted };
        *counter += strange as u64;
        strange
    }

    pub(super) fn company(&self, c: &mut Context<'_>) -> (Option<Fleet>, bool) {
        *c.company.get_or_insert_with(|| {
            let (mut fleet, mut former) = (None, None);
            // It may stand behind what it is about.
            for message in c.messages.clone().flatten() {
                match message {
                    Message::Fleet(told) => fleet = Some(told),
                    Message::Former(told) => former = Some(told),
                    _ => {}
                }
            }
            let fleet = fleet.filter(|fleet| fleet.id != 0);
            let id = fleet.map_or(0, |fleet| fleet.id);
            (fleet, self.engines.events.fleet.is_kin(id, former))
        })
    }

    /// Notes an answer for somebody who may not be where the request says it came from: one, and no longer than it. Who is in
    /// another fleet is asked something as well, if there is room for both.
    pub(super) fn answer_stranger(&mut self, c: &mut Context<'_>, what: Answer) {
        let budget = core::mem::take(&mut c.budget);
        if budget == 0 {
            self.cx.stats.answers_refused += 1;
            return;
        }
        let asks = budget >= 2 * QUESTION && self.is_elsewhere(c);
        c.question = if asks { QUESTION } else { 0 };
        let reply = self.reply(c);
        self.cx.enqueue_reply(c.from, budget - c.question, reply, what);
    }
}

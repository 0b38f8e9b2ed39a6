//! What each message about a member means here: whom it is about, whether it is news, by whose word, and what follows.
//!
//! Each function takes one message, moves the member by [`super::transitions`], and says in an [`Effect`] what is for others to
//! do.

mod records;

use super::Membership;
use super::intents::Intent;
use super::journal::{By, What};
use super::record::{State, flag, update};
use super::table::{SELF, Unheld};
use super::transitions::{News, Next};
use crate::context::Cx;
use crate::rules::Rule;
use crate::time::Duration;
use crate::wire::message::{Accusation, Address, Alive, JoinIntent, LeaveIntent};

/// How far above the known one an incarnation may be.
const INCARNATION_JUMP: u32 = 1 << 20;

/// How far above the known one a boot may be: as milliseconds, with 16 bits of instance below them, 12 days, which is
/// longer than anybody is remembered. A member's own word at its own address, in answer to a question, goes further.
pub(crate) const BOOT_JUMP: u64 = 1 << 46;

/// Who wants a name that another holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) addr: Address,
    pub(crate) boot: u64,
    pub(crate) incarnation: u32,
}

impl Claim {
    /// Of whoever is told of.
    pub(crate) fn of(alive: &Alive<'_>) -> Claim {
        Claim { addr: alive.addr, boot: alive.boot, incarnation: alive.incarnation }
    }
}

/// What follows from a message, for the other engines.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effect {
    /// Nothing new.
    Nothing,
    /// To be passed on: these bits of [`update`] about this member.
    Update(u16, u8),
    /// A member has become suspect by another one's word: the suspicion is to run.
    Suspected(u16),
    /// A suspect was accused again.
    Confirmed(u16),
    /// Another table holds this live member for failed: it is suspect now, if it was not before (`true`), and is to hear of it.
    Contested(u16, bool),
    /// Something at or above this incarnation and boot was said against this node.
    Refute { incarnation: u32, boot: u64 },
    /// An intent to leave was told about this node, which has none.
    Contradict(u64),
    /// The name belongs to a member that is believed to live elsewhere, and somebody else claims it.
    Conflict(u16, Claim),
    /// Somebody at this address goes by this node's name.
    Namesake(Claim),
    /// About somebody this table does not hold: pass it on unread.
    Foreign,
    /// A newcomer wants the place of this failed or left member.
    Evict(u16),
}

impl Membership<'_> {
    // ---- alive ----

    /// Whether a member says this itself, if it has come from this address in answer to a question: from where it says that it is, or
    /// from where it was, of the same life.
    pub(crate) fn is_own_word(&self, alive: &Alive<'_>, from: Address) -> bool {
        let at = |id| {
            let hot = self.table.hot(id);
            hot.addr == from && hot.boot == alive.boot
        };
        alive.addr == from || self.table.find(alive.node).is_some_and(at)
    }

    /// A member lives, by somebody's word. `own`: by its own ([`Membership::is_own_word`]), in answer to a question.
    pub(crate) fn alive(&mut self, cx: &mut Cx<'_>, alive: &Alive<'_>, own: bool) -> Effect {
        let (id, new) = match self.table.find(alive.node) {
            Some(SELF) => return self.alive_about_self(cx, alive),
            Some(id) => (id, false),
            None => match self.newcomer(cx, alive.node) {
                Ok(id) => (id, true),
                Err(effect) => return effect,
            },
        };
        let hot = self.table.hot(id);
        if !new {
            let own = own && cx.config.has(Rule::OwnWord);
            let (theirs, ours) = ((alive.boot, alive.incarnation), hot.life());
            let far = out_of_reach(theirs, ours) && !own;
            cx.stats.incarnation_refused += far as u64;
            // Which life it is in a member knows best.
            let corrects = own && alive.boot != hot.boot;
            let lacks = theirs == ours && hot.has(flag::TAGS_WANTED);
            let newer = corrects || theirs > ours || lacks && alive.addr != hot.addr;
            // In one life a member moves by its own word.
            let same_life = alive.boot == hot.boot && cx.config.has(Rule::Moves);
            let moves = own && same_life && newer;
            let moved = alive.addr != hot.addr && hot.is_live() && !moves;
            let down = !hot.is_live() && out_of_reach(ours, theirs) && cx.config.has(Rule::ComeDown);
            let unheard = far || down && !own;
            if moved && same_life && !newer {
                // It was there once.
                return Effect::Nothing;
            }
            if moved || alive.boot != hot.boot && unheard {
                // Of somebody elsewhere others are not believed: it may be two nodes. An earlier boot may as well be a former life
                // of the holder's: whether it answers will tell. And who is far ahead, or was, has to say so itself.
                return Effect::Conflict(id, Claim::of(alive));
            }
            if far {
                return Effect::Nothing;
            }
            if !newer {
                if lacks && alive.tags.is_some() && self.table.set_tags(id, alive.tags) {
                    self.note_update(cx, id);
                }
                return Effect::Nothing;
            }
        }
        self.accept(cx, id, alive, new);
        Effect::Update(id, update::STATE)
    }

    /// Someone unknown: takes the name in, or says why not.
    ///
    /// A full table gives up its longest failed or left member; the caller is told who must go first.
    fn newcomer(&mut self, cx: &mut Cx<'_>, name: &str) -> Result<u16, Effect> {
        match self.table.admit(name) {
            Ok(id) => Ok(id),
            Err(Unheld::NameTooLong) => {
                cx.stats.names_unheld += 1;
                if !cx.config.has(Rule::Unheld) {
                    self.table.partial = true;
                }
                Err(Effect::Foreign)
            }
            Err(Unheld::Full) => {
                let evictable = self.table.evictable();
                let victim = if cx.config.has(Rule::EvictGone) {
                    evictable
                } else {
                    evictable.or((self.table.live() > 0).then(|| self.table.live_at(0)))
                };
                match victim {
                    Some(id) => Err(Effect::Evict(id)),
                    None => {
                        cx.stats.members_unheld += 1;
                        self.table.partial = true;
                        Err(Effect::Foreign)
                    }
                }
            }
        }
    }

    /// Takes over what a member says of itself.
    fn accept(&mut self, cx: &mut Cx<'_>, id: u16, alive: &Alive<'_>, new: bool) {
        debug_assert_eq!(self.next_state(id, News::Alive), Next::Becomes(State::Alive));
        let before = self.table.hot(id);
        let was_live = before.is_live();
        let moved = !new && before.addr != alive.addr;
        let what = match before.state() {
            _ if new => Some(What::Met),
            _ if before.boot != alive.boot => Some(What::Restarted),
            State::Suspect => Some(What::Contradicted),
            State::Failed | State::Left => Some(What::Returned),
            State::Alive => None,
        };
        if let Some(what) = what {
            self.note(cx, id, what, By::Nobody, alive.incarnation);
        }
        let kept = if was_live { None } else { self.intents.take(alive.node, cx.now) };
        self.mark_alive(id, |hot| {
            let new_life = hot.boot != alive.boot;
            if hot.addr != alive.addr {
                hot.set(flag::VERIFIED, false);
            }
            hot.take_over(alive);
            hot.set(flag::UNADVERTISED | flag::PRUNE, false);
            if !was_live || new_life {
                hot.set(flag::LEAVING, false);
            }
            if let Some(intent) = kept.filter(|intent| intent.ltime > hot.status_ltime) {
                hot.status_ltime = intent.ltime;
                hot.set(flag::LEAVING, intent.leave);
                hot.set(flag::PRUNE, intent.prune);
            }
        });
        let tags_changed = self.table.set_tags(id, alive.tags);
        let hot = self.table.hot(id);
        if alive.tags.is_some() && !hot.has(flag::TAGS_HELD) {
            cx.stats.tags_unheld += 1;
        }
        if tags_changed || moved {
            // Whoever has been told of its join, and not of its failure, is told of that.
            self.note_update(cx, id);
        } else if !was_live || new {
            self.notices.note(self.table.hot, id, cx.now);
        }
    }

    /// The application is to be told that a member is not what it was.
    pub(crate) fn note_update(&mut self, cx: &Cx<'_>, id: u16) {
        self.table.hot_mut(id).set(flag::TAGS_CHANGED, true);
        self.notices.note(self.table.hot, id, cx.now);
    }

    fn alive_about_self(&mut self, cx: &mut Cx<'_>, alive: &Alive<'_>) -> Effect {
        let hot = self.table.hot(SELF);
        let (theirs, ours) = ((alive.boot, alive.incarnation), hot.life());
        if hot.has(flag::LEAVING) {
            return Effect::Nothing;
        }
        if alive.boot != hot.boot && alive.addr != hot.addr {
            // Others ask us both, and our answers decide.
            return Effect::Namesake(Claim::of(alive));
        }
        if theirs < ours || (theirs == ours && !hot.tells_otherwise(alive)) {
            return Effect::Nothing;
        }
        if out_of_reach(theirs, ours) {
            cx.stats.incarnation_refused += 1;
            return Effect::Nothing;
        }
        Effect::Refute { incarnation: alive.incarnation, boot: alive.boot }
    }

    // ---- accusations ----

    pub(crate) fn suspect(&mut self, cx: &mut Cx<'_>, accusation: &Accusation<'_>) -> Effect {
        let id = match self.accused(cx, accusation) {
            Ok(id) => id,
            Err(effect) => return effect,
        };
        let effect = match self.next_state(id, News::Suspected) {
            Next::Becomes(_) => {
                let accuser = self.table.find(accusation.from);
                self.mark_suspect(id, accuser);
                self.note(cx, id, What::Suspected, By::Name(accusation.from), 0);
                Effect::Suspected(id)
            }
            Next::Confirmed => Effect::Confirmed(id),
            Next::Stays | Next::Ends => return Effect::Nothing,
        };
        let boot = self.table.hot(id).boot;
        self.raise(id, (boot, accusation.incarnation));
        effect
    }

    pub(crate) fn dead(&mut self, cx: &mut Cx<'_>, accusation: &Accusation<'_>) -> Effect {
        let id = match self.accused(cx, accusation) {
            Ok(id) => id,
            Err(effect) => return effect,
        };
        let left = accusation.from == accusation.node;
        let end = match self.next_state(id, if left { News::LeftItself } else { News::Dead }) {
            Next::Becomes(end) => end,
            Next::Ends => self.end_of(cx, id),
            Next::Stays | Next::Confirmed => return Effect::Nothing,
        };
        let accuser = self.table.find(accusation.from);
        let what = if left { What::Left } else { What::ToldFailed };
        self.note(cx, id, what, By::Name(accusation.from), 0);
        self.mark_gone(cx, id, end, Duration::ZERO);
        let boot = self.table.hot(id).boot;
        self.raise(id, (boot, accusation.incarnation));
        self.table.cold_mut(id).accuse(accuser);
        Effect::Update(id, update::STATE)
    }

    /// Somebody speaks of a life or an incarnation that may be later than what is known of a member: what it has said of itself since is
    /// wanted.
    fn raise(&mut self, id: u16, life: (u64, u32)) {
        if life > self.table.hot(id).life() {
            self.table.edit(id, |hot| {
                (hot.boot, hot.incarnation) = life;
                hot.set(flag::TAGS_WANTED, true);
            });
        }
    }

    /// Whom an accusation is about, if it is to be heard.
    fn accused(&mut self, cx: &mut Cx<'_>, accusation: &Accusation<'_>) -> Result<u16, Effect> {
        let Some(id) = self.table.find(accusation.node) else {
            return Err(if self.table.partial { Effect::Foreign } else { Effect::Nothing });
        };
        let hot = self.table.hot(id);
        let boot = if accusation.boot == 0 { hot.boot } else { accusation.boot };
        let meant = (boot, accusation.incarnation);
        if out_of_reach(meant, hot.life()) {
            cx.stats.incarnation_refused += 1;
            return Err(Effect::Nothing);
        }
        let earlier = meant < hot.life();
        if id == SELF {
            let leaving = hot.has(flag::LEAVING) || !cx.config.has(Rule::Refute);
            if leaving {
                return Err(Effect::Nothing);
            }
            // Of an earlier life or incarnation: nobody heeds it who has heard of this one. Say it again.
            return Err(if earlier {
                Effect::Update(SELF, update::STATE)
            } else {
                Effect::Refute { incarnation: accusation.incarnation, boot }
            });
        }
        if earlier || boot > hot.boot {
            // Of a life that is over, or of one that is not known here: comparing tells of that, with its address.
            return Err(Effect::Nothing);
        }
        Ok(id)
    }

    // ---- intents ----

    pub(crate) fn join_intent(&mut self, cx: &mut Cx<'_>, intent: &JoinIntent<'_>) -> Effect {
        let Some(id) = self.table.find(intent.node) else {
            let kept = Intent { ltime: intent.ltime, leave: false, prune: false };
            return self.keep_intent(cx, intent.node, kept);
        };
        if intent.ltime <= self.table.hot(id).status_ltime {
            return Effect::Nothing;
        }
        self.table.edit(id, |hot| {
            hot.status_ltime = intent.ltime;
            // Whom one is about to forget only its own word brings back.
            if !hot.is_pruned() {
                hot.set(flag::PRUNE, false);
            }
            if id != SELF && hot.is_live() {
                hot.set(flag::LEAVING, false);
            }
        });
        Effect::Update(id, update::JOIN)
    }

    pub(crate) fn leave_intent(&mut self, cx: &mut Cx<'_>, intent: &LeaveIntent<'_>) -> Effect {
        let Some(id) = self.table.find(intent.node) else {
            let kept = Intent { ltime: intent.ltime, leave: true, prune: intent.prune };
            return self.keep_intent(cx, intent.node, kept);
        };
        let hot = self.table.hot(id);
        if id == SELF && !hot.has(flag::LEAVING) {
            let contradicts = cx.config.has(Rule::Refute);
            return if contradicts { Effect::Contradict(intent.ltime) } else { Effect::Nothing };
        }
        // A record may have told of the intent, but not that it was to prune.
        let prunes = intent.prune && !hot.has(flag::PRUNE) && intent.ltime == hot.status_ltime;
        if intent.ltime <= hot.status_ltime && !prunes {
            return Effect::Nothing;
        }
        // Whom one has ordered to forget no other brings back by counting it as left; only it itself, by joining.
        let prune = intent.prune || hot.has(flag::PRUNE);
        let next = self.next_state(id, News::LeaveIntent);
        if hot.is_live() {
            self.note(cx, id, What::Leaving, By::Nobody, 0);
        }
        self.table.edit(id, |hot| {
            hot.status_ltime = intent.ltime;
            hot.set(flag::PRUNE, prune);
            if hot.is_live() {
                hot.set(flag::LEAVING, true);
            }
        });
        if let Next::Becomes(end) = next {
            let age = cx.now.since(self.table.cold(id).since);
            self.note(cx, id, What::ForcedToLeave, By::Nobody, 0);
            self.mark_gone(cx, id, end, age);
        }
        Effect::Update(id, update::LEAVE)
    }

    fn keep_intent(&mut self, cx: &mut Cx<'_>, node: &str, intent: Intent) -> Effect {
        let (news, forgotten) = self.intents.keep(node, intent, cx.now);
        cx.stats.intents_forgotten += forgotten as u64;
        if news { Effect::Foreign } else { Effect::Nothing }
    }
}

/// Whether a boot and incarnation are further along than any honest member can be by now that was last known at others.
pub(crate) fn out_of_reach((boot, incarnation): (u64, u32), (known_boot, known): (u64, u32)) -> bool {
    let known = if boot == known_boot { known } else { 0 };
    incarnation > known.saturating_add(INCARNATION_JUMP) || boot > known_boot.saturating_add(BOOT_JUMP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit;
    use crate::sync::Engines;
    use crate::wire::message::{Record, Settled};
    use State::{Alive as Lives, Failed, Left, Suspect};

    /// In which state a member may be, and whether that is known to this node alone.
    const STATES: [(State, bool); 5] =
        [(Lives, false), (Suspect, false), (Failed, false), (Failed, true), (Left, false)];

    /// `m1` (boot 5, incarnation 5) in this state.
    fn in_state((state, local): (State, bool)) -> (Cx<'static>, Engines<'static>, u16) {
        let (mut cx, mut e, _) = kit::fleet(2);
        let id = e.members.table.find("m1").expect("held");
        match state {
            Lives => {}
            Suspect => e.members.mark_suspect(id, Some(SELF)),
            Failed => {
                e.members.mark_suspect(id, Some(SELF));
                e.members.table.schedule(id, cx.now);
                e.members.timed_out(&mut cx, id, local);
            }
            Left => e.members.mark_gone(&cx, id, Left, Duration::ZERO),
        }
        assert_eq!(
            (e.members.table.hot(id).state(), e.members.table.hot(id).has(flag::LOCAL_ONLY)),
            (state, local)
        );
        (cx, e, id)
    }

    /// What a message makes of each of the states.
    fn leads(message: impl Fn(&mut Cx<'_>, &mut Membership<'_>) -> Effect) -> [State; 5] {
        STATES.map(|state| {
            let (mut cx, mut e, id) = in_state(state);
            let _ = message(&mut cx, &mut e.members);
            e.members.table.hot(id).state()
        })
    }

    const STAYS: [State; 5] = [Lives, Suspect, Failed, Failed, Left];

    fn accuses(from: &'static str, boot: u64, incarnation: u32) -> Accusation<'static> {
        Accusation { incarnation, boot, node: "m1", from }
    }

    fn gone(state: Settled, boot: u64, incarnation: u32) -> Record<'static> {
        Record { alive: kit::alive("m1", 1, boot, incarnation), state, status_ltime: 1, age: 5 }
    }

    #[test]
    fn every_message_in_every_state() {
        let alive = |boot, incarnation| {
            leads(move |cx, m| m.alive(cx, &kit::alive("m1", 1, boot, incarnation), false))
        };
        assert_eq!(alive(5, 6), [Lives; 5], "a later incarnation");
        assert_eq!(alive(6, 0), [Lives; 5], "a later life");
        assert_eq!(alive(5, 5), STAYS, "nothing new");
        assert_eq!(alive(5, 4), STAYS);
        assert_eq!(alive(4, 9), STAYS, "an earlier life");

        let suspect =
            |boot, incarnation| leads(move |cx, m| m.suspect(cx, &accuses("m2", boot, incarnation)));
        assert_eq!(suspect(5, 5), [Suspect, Suspect, Failed, Failed, Left]);
        assert_eq!(suspect(0, 5), [Suspect, Suspect, Failed, Failed, Left], "of whichever life is known");
        assert_eq!(suspect(5, 9), [Suspect, Suspect, Failed, Failed, Left]);
        assert_eq!(suspect(5, 4), STAYS, "it has contradicted that");
        assert_eq!(suspect(4, 9), STAYS, "of a life that is over");
        assert_eq!(suspect(6, 5), STAYS, "of one that is not known");

        let dead =
            |from, boot, incarnation| leads(move |cx, m| m.dead(cx, &accuses(from, boot, incarnation)));
        assert_eq!(dead("m2", 5, 5), [Failed, Failed, Failed, Failed, Left]);
        assert_eq!(dead("m1", 5, 5), [Left; 5], "by its own word");
        assert_eq!(dead("m2", 5, 4), STAYS);
        assert_eq!(dead("m1", 4, 9), STAYS);

        let leave =
            |ltime| leads(move |cx, m| m.leave_intent(cx, &LeaveIntent { ltime, node: "m1", prune: false }));
        assert_eq!(leave(3), [Lives, Suspect, Left, Left, Left]);
        assert_eq!(leave(0), STAYS, "an old one");
        assert_eq!(leads(|cx, m| m.join_intent(cx, &JoinIntent { ltime: 3, node: "m1" })), STAYS);

        let record = |state, boot, incarnation| {
            leads(move |cx, m| m.record(cx, &gone(state, boot, incarnation), false))
        };
        assert_eq!(
            record(Settled::Failed, 5, 5),
            [Suspect, Suspect, Failed, Failed, Left],
            "it may contradict"
        );
        assert_eq!(record(Settled::Failed, 5, 6), [Suspect, Suspect, Failed, Failed, Failed]);
        assert_eq!(record(Settled::Failed, 5, 4), STAYS);
        assert_eq!(record(Settled::Left, 5, 5), [Left; 5]);
        assert_eq!(record(Settled::Left, 5, 4), STAYS);
        assert_eq!(record(Settled::Alive, 5, 6), [Lives; 5]);
        assert_eq!(record(Settled::Alive, 5, 5), STAYS);
    }

    #[test]
    fn who_has_said_that_it_leaves_and_dies_has_left() {
        for state in [(Lives, false), (Suspect, false)] {
            let (mut cx, mut e, id) = in_state(state);
            let intent = LeaveIntent { ltime: 3, node: "m1", prune: false };
            assert!(matches!(e.members.leave_intent(&mut cx, &intent), Effect::Update(_, update::LEAVE)));
            let _ = e.members.dead(&mut cx, &accuses("m2", 5, 5));
            assert_eq!(e.members.table.hot(id).state(), Left);
        }
    }

    #[test]
    fn what_is_said_of_this_node_changes_nothing_but_is_contradicted() {
        let (mut cx, mut e, _) = kit::fleet(2);
        let boot = e.members.boot;
        let mut said = |incarnation, boot| {
            let accusation = Accusation { incarnation, boot, node: "self", from: "m1" };
            [e.members.suspect(&mut cx, &accusation), e.members.dead(&mut cx, &accusation)]
        };
        for effect in said(1, boot) {
            assert!(matches!(effect, Effect::Refute { incarnation: 1, .. }), "{effect:?}");
        }
        for effect in said(0, boot) {
            assert!(matches!(effect, Effect::Update(SELF, update::STATE)), "said again: {effect:?}");
        }
        for effect in said(1 << 21, boot) {
            assert!(matches!(effect, Effect::Nothing), "nobody honest is so far: {effect:?}");
        }
        let intent = LeaveIntent { ltime: 9, node: "self", prune: false };
        assert!(matches!(e.members.leave_intent(&mut cx, &intent), Effect::Contradict(9)));
        assert_eq!(e.members.table.hot(SELF).state(), Lives);
    }

    #[test]
    fn two_addresses_in_one_life_are_two_nodes() {
        let (mut cx, mut e, id) = in_state((Lives, false));
        let other = kit::alive("m1", 9, 5, 6);
        assert!(matches!(e.members.alive(&mut cx, &other, false), Effect::Conflict(of, _) if of == id));
        assert_eq!(e.members.table.hot(id).addr, kit::addr(1));
        let own = kit::alive("self", 9, 77, 6);
        assert!(matches!(e.members.alive(&mut cx, &own, false), Effect::Namesake(_)));
    }

    #[test]
    fn in_one_life_a_member_moves_by_its_own_word_from_where_it_was_or_goes_to() {
        let there = kit::alive("m1", 9, 5, 6);
        for (from, own) in [(kit::addr(1), true), (kit::addr(9), true), (kit::addr(2), false)] {
            let (mut cx, mut e, id) = in_state((Lives, false));
            assert_eq!(e.members.is_own_word(&there, from), own, "{from:?}");
            let effect = e.members.alive(&mut cx, &there, own);
            assert_eq!(matches!(effect, Effect::Update(..)), own, "{effect:?}");
            assert_eq!(e.members.table.hot(id).addr, kit::addr(if own { 9 } else { 1 }));
        }
        let (mut cx, mut e, _) = in_state((Lives, false));
        assert!(!e.members.is_own_word(&kit::alive("m1", 9, 4, 6), kit::addr(1)), "of another life");
        let old = kit::alive("m1", 9, 5, 4);
        assert!(matches!(e.members.alive(&mut cx, &old, false), Effect::Nothing), "it was there once");
    }

    #[test]
    fn a_full_table_gives_up_who_is_gone_and_nobody_else() {
        let (mut cx, mut e, _) = kit::fleet(7);
        let newcomer = kit::alive("new", 99, 1, 1);
        assert!(matches!(e.members.alive(&mut cx, &newcomer, false), Effect::Foreign));
        assert!(e.members.table.partial && cx.stats.members_unheld == 1);
        let _ = e.members.dead(&mut cx, &accuses("m2", 5, 5));
        let gone = e.members.table.find("m1");
        assert!(matches!(e.members.alive(&mut cx, &newcomer, false), Effect::Evict(id) if Some(id) == gone));
        e.members.table.check();
    }
}

//! The member state machine: Serf's states over SWIM's, with incarnations, boots and intents.
//!
//! Each function takes one piece of news, changes the table, and says in an [`Effect`] what follows from it; what
//! follows (gossip, timers, refutation) is the node's business.

use super::intents::{Early, Intent};
use super::record::{State, Told, flag, say};
use super::table::{SELF, Table, Unheld, settled_live};
use super::told::Telling;
use crate::config::Config;
use crate::gossip::heal::Claim;
use crate::random::Random;
use crate::rules::{Rule, Settings};
use crate::stats::Stats;
use crate::time::{Duration, Instant};
use crate::wire::message::{Accusation, Alive, JoinIntent, LeaveIntent, Record, Settled};

/// How far above the known one an incarnation may be.
const INCARNATION_JUMP: u32 = 1 << 20;

/// How far above the known one a boot may be: as milliseconds, with 16 bits of instance below them, 12 days, which is
/// longer than anybody is remembered. A member's own word at its own address, in answer to a question, goes further.
pub(crate) const BOOT_JUMP: u64 = 1 << 46;

/// What the state machine needs to know of the moment, and where it counts.
pub(crate) struct Moment<'m> {
    pub now: Instant,
    pub config: &'m Settings,
    pub stats: &'m mut Stats,
    pub random: &'m mut Random,
}

/// What follows from a piece of news.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effect {
    /// Nothing new.
    Nothing,
    /// To be passed on: these bits of [`say`] about this member.
    Say(u16, u8),
    /// A member has become suspect.
    Suspected(u16),
    /// A suspect was accused again.
    Confirmed(u16),
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
    Erase(u16),
    /// Another node holds this live member for failed.
    Doubted(u16),
}

pub(crate) struct Members<'a> {
    pub(crate) table: Table<'a>,
    pub(crate) early: Early<'a>,
    pub(crate) telling: Telling,
}

impl Members<'_> {
    /// Someone unknown: takes the name in, or says why not.
    ///
    /// A full table gives up its longest failed or left member; the caller is told who must go first.
    fn newcomer(&mut self, m: &mut Moment, name: &str) -> Result<u16, Effect> {
        match self.table.admit(name) {
            Ok(id) => Ok(id),
            Err(Unheld::NameTooLong) => {
                m.stats.names_unheld += 1;
                if !m.config.has(Rule::Unheld) {
                    self.table.partial = true;
                }
                Err(Effect::Foreign)
            }
            Err(Unheld::Full) => {
                let evictable = self.table.evictable();
                let victim = if m.config.has(Rule::EvictGone) {
                    evictable
                } else {
                    evictable.or((self.table.live() > 0).then(|| self.table.live_at(0)))
                };
                match victim {
                    Some(id) => Err(Effect::Erase(id)),
                    None => {
                        m.stats.members_unheld += 1;
                        self.table.partial = true;
                        Err(Effect::Foreign)
                    }
                }
            }
        }
    }

    /// A member lives, by somebody's word. `own`: by its own, at this address, in answer to a question.
    pub(crate) fn alive(&mut self, m: &mut Moment, alive: &Alive, own: bool) -> Effect {
        let (id, new) = match self.table.find(alive.node) {
            Some(SELF) => return self.alive_about_self(m, alive),
            Some(id) => (id, false),
            None => match self.newcomer(m, alive.node) {
                Ok(id) => (id, true),
                Err(effect) => return effect,
            },
        };
        let slot = self.table.slot(id);
        if !new {
            let own = own && m.config.has(Rule::OwnWord);
            let (theirs, ours) = ((alive.boot, alive.incarnation), (slot.boot, slot.incarnation));
            let far = out_of_reach(theirs, ours) && !own;
            m.stats.incarnation_refused += far as u64;
            // Which life it is in a member knows best.
            let corrects = own && alive.boot != slot.boot;
            let newer = corrects || theirs > ours;
            let moved = alive.addr != slot.addr && slot.is_live();
            let down = !slot.is_live() && out_of_reach(ours, theirs) && m.config.has(Rule::ComeDown);
            let unheard = far || down && !own;
            if moved || alive.boot != slot.boot && unheard {
                // In one life nobody moves; an earlier boot may as well be a former life of the holder's: whether it answers
                // will tell. And who is far ahead, or was, has to say so itself.
                return Effect::Conflict(id, Claim::of(alive));
            }
            if far {
                return Effect::Nothing;
            }
            if !newer {
                let fills = theirs == ours && slot.has(flag::TAGS_WANTED) && alive.tags.is_some();
                if fills && self.table.set_tags(id, alive.tags) {
                    self.note_tags(m, id);
                }
                return Effect::Nothing;
            }
        }
        self.accept(m, id, alive, new);
        Effect::Say(id, say::STATE)
    }

    /// Takes over what a member says of itself.
    fn accept(&mut self, m: &mut Moment, id: u16, alive: &Alive, new: bool) {
        self.table.untime(id);
        let was_live = self.table.slot(id).is_live();
        let moved = !new && self.table.slot(id).addr != alive.addr;
        let early = if was_live { None } else { self.early.take(alive.node, m.now) };
        self.table.edit(id, |slot| {
            let new_life = slot.boot != alive.boot;
            if slot.addr != alive.addr {
                slot.set(flag::VERIFIED, false);
            }
            (slot.boot, slot.incarnation, slot.addr, slot.versions) =
                (alive.boot, alive.incarnation, alive.addr, alive.versions);
            slot.state = State::Alive;
            slot.set(flag::PRIVATE | flag::FADED | flag::PRUNE, false);
            if !was_live || new_life {
                slot.set(flag::LEAVING, false);
            }
            if let Some(intent) = early.filter(|intent| intent.ltime > slot.status_ltime) {
                slot.status_ltime = intent.ltime;
                slot.set(flag::LEAVING, intent.leave);
                slot.set(flag::PRUNE, intent.prune);
            }
        });
        self.table.acquit(id);
        self.table.make_live(id, m.random);
        let tags_changed = self.table.set_tags(id, alive.tags);
        let slot = self.table.slot(id);
        if alive.tags.is_some() && !slot.has(flag::TAGS_HELD) {
            m.stats.tags_unheld += 1;
        }
        if tags_changed || moved {
            // Whoever has been told of its join, and not of its failure, is told of that.
            self.note_tags(m, id);
        } else if !was_live || new {
            self.telling.note(self.table.slots, id, m.now);
        }
    }

    fn note_tags(&mut self, m: &Moment, id: u16) {
        self.table.slot_mut(id).set(flag::TAGS_CHANGED, true);
        self.telling.note(self.table.slots, id, m.now);
    }

    fn alive_about_self(&mut self, m: &mut Moment, alive: &Alive) -> Effect {
        let slot = self.table.slot(SELF);
        let (theirs, ours) = ((alive.boot, alive.incarnation), (slot.boot, slot.incarnation));
        if slot.has(flag::LEAVING) {
            return Effect::Nothing;
        }
        if alive.boot != slot.boot && alive.addr != slot.addr {
            // Others ask us both, and our answers decide.
            return Effect::Namesake(Claim::of(alive));
        }
        if theirs < ours || (theirs == ours && !slot.tells_otherwise(alive)) {
            return Effect::Nothing;
        }
        if out_of_reach(theirs, ours) {
            m.stats.incarnation_refused += 1;
            return Effect::Nothing;
        }
        Effect::Refute { incarnation: alive.incarnation, boot: alive.boot }
    }

    pub(crate) fn suspect(&mut self, m: &mut Moment, accusation: &Accusation) -> Effect {
        let id = match self.accused(m, accusation) {
            Ok(id) => id,
            Err(effect) => return effect,
        };
        let accuser = self.table.find(accusation.from);
        match self.table.slot(id).state {
            State::Failed | State::Left => Effect::Nothing,
            State::Suspect => {
                self.table.edit(id, |slot| slot.incarnation = slot.incarnation.max(accusation.incarnation));
                Effect::Confirmed(id)
            }
            State::Alive => {
                self.table.edit(id, |slot| {
                    slot.state = State::Suspect;
                    slot.incarnation = slot.incarnation.max(accusation.incarnation);
                });
                self.table.case_mut(id).accuse(accuser);
                Effect::Suspected(id)
            }
        }
    }

    pub(crate) fn dead(&mut self, m: &mut Moment, accusation: &Accusation) -> Effect {
        let id = match self.accused(m, accusation) {
            Ok(id) => id,
            Err(effect) => return effect,
        };
        let left = accusation.from == accusation.node;
        match self.table.slot(id).state {
            State::Left => return Effect::Nothing,
            State::Failed if !left && !self.table.slot(id).has(flag::PRIVATE) => return Effect::Nothing,
            _ => {}
        }
        let accuser = self.table.find(accusation.from);
        self.bury(m, id, if left { State::Left } else { self.end_of(m, id) }, Duration::ZERO);
        self.table.edit(id, |slot| slot.incarnation = slot.incarnation.max(accusation.incarnation));
        self.table.case_mut(id).accuse(accuser);
        Effect::Say(id, say::STATE)
    }

    /// Whom an accusation is about, if it is to be heard.
    fn accused(&mut self, m: &mut Moment, accusation: &Accusation) -> Result<u16, Effect> {
        let Some(id) = self.table.find(accusation.node) else {
            return Err(if self.table.partial { Effect::Foreign } else { Effect::Nothing });
        };
        let slot = self.table.slot(id);
        let boot = if accusation.boot == 0 { slot.boot } else { accusation.boot };
        if out_of_reach((boot, accusation.incarnation), (slot.boot, slot.incarnation)) {
            m.stats.incarnation_refused += 1;
            return Err(Effect::Nothing);
        }
        let earlier = (boot, accusation.incarnation) < (slot.boot, slot.incarnation);
        if id == SELF {
            let leaving = slot.has(flag::LEAVING) || !m.config.has(Rule::Refute);
            if leaving {
                return Err(Effect::Nothing);
            }
            // Of an earlier life or incarnation: nobody heeds it who has heard of this one. Say it again.
            return Err(if earlier {
                Effect::Say(SELF, say::STATE)
            } else {
                Effect::Refute { incarnation: accusation.incarnation, boot }
            });
        }
        if earlier || boot > slot.boot {
            // Of a life that is over, or of one that is not known here: comparing tells of that, with its address.
            return Err(Effect::Nothing);
        }
        Ok(id)
    }

    /// What becomes of a member that does not answer any more: who has said that it leaves has left.
    pub(crate) fn end_of(&self, m: &Moment, id: u16) -> State {
        let left = self.table.slot(id).has(flag::LEAVING) && m.config.has(Rule::LeaverLeft);
        if left { State::Left } else { State::Failed }
    }

    /// Moves a member to failed or left.
    pub(crate) fn bury(&mut self, m: &mut Moment, id: u16, state: State, age: Duration) {
        self.table.untime(id);
        self.table.edit(id, |slot| {
            slot.state = state;
            slot.set(flag::PRIVATE | flag::LEAVING, false);
        });
        self.table.acquit(id);
        self.table.make_gone(id);
        let since = m.now.minus(age);
        self.table.case_mut(id).since = since;
        self.table.time(id, since + fades(m.config, state));
        self.telling.note(self.table.slots, id, m.now);
    }

    /// A verdict reached while hearing nobody: shown here, told to nobody.
    pub(crate) fn bury_privately(&mut self, m: &mut Moment, id: u16) {
        self.bury(m, id, State::Failed, Duration::ZERO);
        self.table.edit(id, |slot| slot.set(flag::PRIVATE, true));
        m.stats.private_verdicts += 1;
    }

    /// The member has answered in person: suspicion and private verdicts fall.
    pub(crate) fn answered(&mut self, m: &mut Moment, id: u16) {
        let slot = self.table.slot(id);
        let falls = match slot.state {
            State::Suspect => true,
            State::Failed => slot.has(flag::PRIVATE),
            State::Alive | State::Left => false,
        };
        if !falls {
            return;
        }
        let was_live = slot.is_live();
        self.table.untime(id);
        self.table.edit(id, |slot| {
            slot.state = State::Alive;
            slot.set(flag::PRIVATE, false);
        });
        self.table.acquit(id);
        if !was_live {
            self.table.make_live(id, m.random);
            self.telling.note(self.table.slots, id, m.now);
        }
    }

    pub(crate) fn join_intent(&mut self, m: &mut Moment, intent: &JoinIntent) -> Effect {
        let Some(id) = self.table.find(intent.node) else {
            return self.unknown(m, intent.node, Intent { ltime: intent.ltime, leave: false, prune: false });
        };
        if intent.ltime <= self.table.slot(id).status_ltime {
            return Effect::Nothing;
        }
        self.table.edit(id, |slot| {
            slot.status_ltime = intent.ltime;
            // Whom one is about to forget only its own word brings back.
            if !slot.is_pruned() {
                slot.set(flag::PRUNE, false);
            }
            if id != SELF && slot.is_live() {
                slot.set(flag::LEAVING, false);
            }
        });
        Effect::Say(id, say::JOIN)
    }

    pub(crate) fn leave_intent(&mut self, m: &mut Moment, intent: &LeaveIntent) -> Effect {
        let Some(id) = self.table.find(intent.node) else {
            return self.unknown(
                m,
                intent.node,
                Intent { ltime: intent.ltime, leave: true, prune: intent.prune },
            );
        };
        let slot = self.table.slot(id);
        if id == SELF && !slot.has(flag::LEAVING) {
            return if m.config.has(Rule::Refute) {
                Effect::Contradict(intent.ltime)
            } else {
                Effect::Nothing
            };
        }
        // A record may have told of the intent, but not that it was to prune.
        let prunes = intent.prune && !slot.has(flag::PRUNE) && intent.ltime == slot.status_ltime;
        if intent.ltime <= slot.status_ltime && !prunes {
            return Effect::Nothing;
        }
        let state = slot.state;
        // Whom one has ordered to forget no other brings back by counting it as left; only it itself, by joining.
        let prune = intent.prune || slot.has(flag::PRUNE);
        self.table.edit(id, |slot| {
            slot.status_ltime = intent.ltime;
            slot.set(flag::PRUNE, prune);
            if slot.is_live() {
                slot.set(flag::LEAVING, true);
            }
        });
        if state == State::Failed {
            let age = m.now.since(self.table.case(id).since);
            self.bury(m, id, State::Left, age);
        }
        Effect::Say(id, say::LEAVE)
    }

    fn unknown(&mut self, m: &mut Moment, node: &str, intent: Intent) -> Effect {
        let (news, forgotten) = self.early.keep(node, intent, m.now);
        m.stats.intents_forgotten += forgotten as u64;
        if news { Effect::Foreign } else { Effect::Nothing }
    }

    /// What another node's table says about a member. Not for records about this node.
    pub(crate) fn record(&mut self, m: &mut Moment, record: &Record, own: bool) -> Effect {
        if self.table.is_too_long(record.alive.node) {
            m.stats.names_unheld += 1;
            self.table.note_unheld(record);
            return Effect::Nothing;
        }
        let effect = if settled_live(record.state) {
            self.alive(m, &record.alive, own)
        } else {
            self.gone_record(m, record)
        };
        if let Some(id) = self.table.find(record.alive.node)
            && id != SELF
        {
            let slot = self.table.slot(id);
            let live = slot.is_live();
            let alive = &record.alive;
            let earlier =
                matches!(effect, Effect::Nothing) && alive.boot < slot.boot && alive.addr == slot.addr;
            if earlier && live && settled_live(record.state) && m.config.has(Rule::OwnWord) {
                // They or this node do not know in which life it is.
                return Effect::Conflict(id, Claim::of(alive));
            }
            let later = record.status_ltime > slot.status_ltime;
            let tie = record.status_ltime == slot.status_ltime && record.state == Settled::Leaving;
            if later || tie {
                self.table.edit(id, |slot| {
                    slot.status_ltime = record.status_ltime;
                    if live && settled_live(record.state) {
                        let leaving = record.state == Settled::Leaving;
                        slot.set(flag::LEAVING, leaving);
                        slot.set(flag::PRUNE, leaving && slot.has(flag::PRUNE));
                    }
                });
            }
        }
        effect
    }

    fn gone_record(&mut self, m: &mut Moment, record: &Record) -> Effect {
        let alive = &record.alive;
        let state = if record.state == Settled::Left { State::Left } else { State::Failed };
        let age = Duration::from_secs(record.age as u64);
        if age >= fades(m.config, state) {
            return Effect::Nothing;
        }
        let Some(id) = self.table.find(alive.node) else {
            if self.table.is_full() {
                m.stats.members_unheld += 1;
                self.table.partial = true;
                return Effect::Nothing;
            }
            let Ok(id) = self.newcomer(m, alive.node) else { return Effect::Nothing };
            let order = self.early.take(alive.node, m.now);
            let order = order.filter(|order| order.leave && order.ltime > record.status_ltime);
            self.table.edit(id, |slot| {
                (slot.boot, slot.incarnation, slot.addr, slot.versions) =
                    (alive.boot, alive.incarnation, alive.addr, alive.versions);
                if let Some(order) = order {
                    slot.status_ltime = order.ltime;
                    slot.set(flag::PRUNE, order.prune);
                }
            });
            self.table.set_tags(id, alive.tags);
            self.bury(m, id, if order.is_some() { State::Left } else { state }, age);
            // Old news for everybody else: not an event here either.
            self.telling.drop(self.table.slots, id);
            self.table.slot_mut(id).told = Told::Unmet;
            // Whoever has told does not know that.
            return if order.is_some() { Effect::Say(id, say::LEAVE) } else { Effect::Nothing };
        };
        let slot = self.table.slot(id);
        let (theirs, ours) = ((alive.boot, alive.incarnation), (slot.boot, slot.incarnation));
        if slot.is_pruned() && theirs <= ours {
            // They were away when it was pruned.
            return Effect::Say(id, say::LEAVE);
        }
        // Whoever is gone cannot say any more how far it was. What others would never follow to is given up.
        let comes_down = !slot.is_live() && out_of_reach(ours, theirs) && m.config.has(Rule::ComeDown);
        if theirs < ours && !comes_down
            || (slot.has(flag::PRUNE) && theirs == ours)
            || out_of_reach(theirs, ours)
        {
            return Effect::Nothing;
        }
        match (slot.state, state) {
            (State::Alive | State::Suspect, State::Failed) => {
                // It has to contradict what they say, wherever they have last seen it.
                self.table.edit(id, |slot| (slot.boot, slot.incarnation) = theirs);
                Effect::Doubted(id)
            }
            (State::Left, _) if theirs == ours => Effect::Nothing,
            (State::Failed, State::Failed) if theirs == ours => {
                self.table.edit(id, |slot| slot.set(flag::PRIVATE, false));
                Effect::Nothing
            }
            _ => {
                let age = if slot.is_live() { Duration::ZERO } else { age };
                self.bury(m, id, state, age);
                if theirs != ours {
                    self.table.edit(id, |slot| {
                        slot.set(flag::PRUNE | flag::FADED, false);
                        (slot.boot, slot.incarnation, slot.addr, slot.versions) =
                            (alive.boot, alive.incarnation, alive.addr, alive.versions);
                    });
                    self.table.set_tags(id, alive.tags);
                }
                Effect::Say(id, say::STATE)
            }
        }
    }
}

/// When a failed or left member is told to nobody any more: in the last tenth of its timeout.
pub(crate) fn fades(config: &Config, state: State) -> Duration {
    timeout(config, state).scaled(9, 10)
}

/// When a failed or left member is forgotten.
pub(crate) fn timeout(config: &Config, state: State) -> Duration {
    if state == State::Left { config.tombstone_timeout } else { config.reconnect_timeout }
}

/// Whether a boot and incarnation are further along than any honest member can be by now that was last known at others.
fn out_of_reach((boot, incarnation): (u64, u32), (known_boot, known): (u64, u32)) -> bool {
    let known = if boot == known_boot { known } else { 0 };
    incarnation > known.saturating_add(INCARNATION_JUMP) || boot > known_boot.saturating_add(BOOT_JUMP)
}

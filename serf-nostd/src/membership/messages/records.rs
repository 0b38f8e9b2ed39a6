//! What other tables say of members, and in which members they differ.

use super::{Claim, Effect, out_of_reach};
use crate::context::Cx;
use crate::membership::journal::{By, What};
use crate::membership::record::{LastNotified, State, flag, update};
use crate::membership::table::{SELF, settled_live};
use crate::membership::transitions::{News, Next};
use crate::membership::{Membership, unadvertised_after};
use crate::rules::Rule;
use crate::time::Duration;
use crate::wire::message::{Entry, Items, Record, Settled};

impl Membership<'_> {
    /// What another node's table says about a member. Not for records about this node.
    pub(crate) fn record(&mut self, cx: &mut Cx<'_>, record: &Record<'_>, own: bool) -> Effect {
        if self.table.is_too_long(record.alive.node) {
            cx.stats.names_unheld += 1;
            self.table.note_unheld(record);
            return Effect::Nothing;
        }
        let effect = if settled_live(record.state) {
            self.alive(cx, &record.alive, own)
        } else {
            self.gone_record(cx, record)
        };
        if let Some(id) = self.table.find(record.alive.node)
            && id != SELF
        {
            let hot = self.table.hot(id);
            let live = hot.is_live();
            let alive = &record.alive;
            let earlier =
                matches!(effect, Effect::Nothing) && alive.boot < hot.boot && alive.addr == hot.addr;
            if earlier && live && settled_live(record.state) && cx.config.has(Rule::OwnWord) {
                // They or this node do not know in which life it is.
                return Effect::Conflict(id, Claim::of(alive));
            }
            let later = record.status_ltime > hot.status_ltime;
            let tie = record.status_ltime == hot.status_ltime && record.state == Settled::Leaving;
            if later || tie {
                self.table.edit(id, |hot| {
                    hot.status_ltime = record.status_ltime;
                    if live && settled_live(record.state) {
                        let leaving = record.state == Settled::Leaving;
                        hot.set(flag::LEAVING, leaving);
                        hot.set(flag::PRUNE, leaving && hot.has(flag::PRUNE));
                    }
                });
            }
        }
        effect
    }

    /// Another table says that a member has failed or left.
    fn gone_record(&mut self, cx: &mut Cx<'_>, record: &Record<'_>) -> Effect {
        let alive = &record.alive;
        let state = if record.state == Settled::Left { State::Left } else { State::Failed };
        let age = Duration::from_secs(record.age as u64);
        if age >= unadvertised_after(&cx.config, state) {
            return Effect::Nothing;
        }
        let Some(id) = self.table.find(alive.node) else {
            return self.gone_newcomer(cx, record, state, age);
        };
        let hot = self.table.hot(id);
        let (theirs, ours) = ((alive.boot, alive.incarnation), hot.life());
        if hot.is_pruned() && theirs <= ours {
            // They were away when it was pruned.
            return Effect::Update(id, update::LEAVE);
        }
        // Whoever is gone cannot say any more how far it was. What others would never follow to is given up.
        let comes_down = !hot.is_live() && out_of_reach(ours, theirs) && cx.config.has(Rule::ComeDown);
        if theirs < ours && !comes_down
            || (hot.has(flag::PRUNE) && theirs == ours)
            || out_of_reach(theirs, ours)
        {
            return Effect::Nothing;
        }
        let (live, later) = (hot.is_live(), theirs != ours);
        let fuller = alive.tags.is_some() || alive.addr > hot.addr;
        if !live && !later && hot.has(flag::TAGS_WANTED) && fuller {
            // Where nobody knows what it said last, all go by one address.
            self.table.edit(id, |hot| hot.take_over(alive));
            self.take_last_tags(id, alive.tags);
        }
        let news = match state {
            State::Left => News::RecordLeft { later },
            _ => News::RecordFailed { later },
        };
        let next = self.next_state(id, news);
        if live && state == State::Failed {
            // It has to contradict what they say, wherever they have last seen it.
            self.raise(id, theirs);
            let begins = next != Next::Stays;
            if begins {
                self.mark_suspect(id, Some(SELF));
                self.note(cx, id, What::ContestedByTable, By::Nobody, 0);
            }
            return Effect::Contested(id, begins);
        }
        let Next::Becomes(end) = next else {
            if state == State::Failed {
                // Others have found the same.
                self.table.edit(id, |hot| hot.set(flag::LOCAL_ONLY, false));
            }
            return Effect::Nothing;
        };
        self.note(cx, id, by_table(state), By::Nobody, 0);
        self.mark_gone(cx, id, end, if live { Duration::ZERO } else { age });
        if later {
            self.table.edit(id, |hot| {
                hot.set(flag::PRUNE | flag::UNADVERTISED, false);
                hot.take_over(alive);
            });
            self.take_last_tags(id, alive.tags);
        }
        Effect::Update(id, update::STATE)
    }

    /// The tags of somebody who is gone. If it is back before that is told, they are news.
    fn take_last_tags(&mut self, id: u16, tags: Option<&[u8]>) {
        if self.table.set_tags(id, tags) {
            self.table.hot_mut(id).set(flag::TAGS_CHANGED, true);
        }
    }

    /// Another table tells of somebody who is gone, and has never been known here.
    fn gone_newcomer(&mut self, cx: &mut Cx<'_>, record: &Record<'_>, state: State, age: Duration) -> Effect {
        let alive = &record.alive;
        if self.table.is_full() {
            cx.stats.members_unheld += 1;
            self.table.partial = true;
            return Effect::Nothing;
        }
        let Ok(id) = self.newcomer(cx, alive.node) else { return Effect::Nothing };
        let order = self.intents.take(alive.node, cx.now);
        let order = order.filter(|order| order.leave && order.ltime > record.status_ltime);
        self.table.edit(id, |hot| {
            hot.take_over(alive);
            if let Some(order) = order {
                hot.status_ltime = order.ltime;
                hot.set(flag::PRUNE, order.prune);
            }
        });
        self.table.set_tags(id, alive.tags);
        self.note(cx, id, by_table(state), By::Nobody, 0);
        self.mark_gone(cx, id, if order.is_some() { State::Left } else { state }, age);
        // Old news for everybody else: not an event here either.
        self.notices.drop(self.table.hot, id);
        self.table.hot_mut(id).last_notified = LastNotified::Unmet;
        // Whoever has told does not know that.
        if order.is_some() { Effect::Update(id, update::LEAVE) } else { Effect::Nothing }
    }

    /// What of a listing differs from what is known here, in the order of its hashes, as many as `wanted` has places for.
    /// Returns how many, and where the listing goes on behind them (`next`, if all fit).
    pub(crate) fn differing(&self, entries: Items<'_, Entry>, next: u32, wanted: &mut [u32]) -> (usize, u32) {
        let table = &self.table;
        let mut count = 0;
        for entry in entries {
            // Who tells of a pruned one was away when it was pruned, and is to hear of it.
            let held = table.same_hash(entry.name).any(|id| {
                let hot = table.hot(id);
                hot.version() == entry.version && !hot.is_pruned()
            });
            if held || table.unheld().any(|unheld| unheld == entry) {
                continue;
            }
            let Some(place) = wanted.get_mut(count) else { return (count, entry.name) };
            *place = entry.name;
            count += 1;
        }
        (count, next)
    }
}

/// What another table has said.
fn by_table(state: State) -> What {
    if state == State::Left { What::LeftByTable } else { What::FailedByTable }
}

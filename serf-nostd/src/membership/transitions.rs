//! A member's life as one table: which state what is learnt of it leads to. Nothing else changes a member's state.
//!
//! Whether something is news at all (of which life and incarnation, by whose word) is judged before, in
//! [`super::messages`]; here it is.

use super::journal::{By, What};
use super::record::{State, flag};
use super::table::{SELF, Unheld};
use super::{Identity, Membership, unadvertised_after};
use crate::context::Cx;
use crate::rules::Rule;
use crate::time::Duration;

/// What is learnt of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It lives: in a later life or incarnation than was known (SWIM, section 4.2: only the member itself raises it).
    Alive,
    /// Somebody suspects it.
    Suspected,
    /// It has not answered this node, in all its tries.
    Silent,
    /// Somebody holds it for dead.
    Dead,
    /// It says itself that it has left.
    LeftItself,
    /// Nobody has contradicted a suspicion in its time, or whoever holds a disputed name does not answer.
    TimedOut,
    /// It has answered in person.
    Answered,
    /// It, or an operator for it, says that it means to leave.
    LeaveIntent,
    /// Another table says that it has failed. `later`: in a later life or incarnation than was known.
    RecordFailed { later: bool },
    /// Likewise, that it has left.
    RecordLeft { later: bool },
}

/// What becomes of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// What it was.
    Stays,
    /// This.
    Becomes(State),
    /// Failed; left, if it had said that it means to leave.
    Ends,
    /// It is suspect already: one more says so.
    Confirmed,
}

/// The table. `local`: it has failed for this node alone, which heard nobody then, and told nobody.
pub(crate) const fn next(state: State, local: bool, news: News) -> Next {
    use Next::{Becomes, Confirmed, Ends, Stays};
    use State::{Alive, Failed, Left, Suspect};
    match (news, state) {
        // SWIM, section 4.2: a later incarnation overrides whatever was said of an earlier one. Serf: who has failed or left
        // joins again.
        (News::Alive, _) => Becomes(Alive),

        // SWIM, section 4.2: suspicion comes before death, and does not bring back. Lifeguard, section IV-B: further accusers
        // shorten it.
        (News::Suspected | News::Silent, Alive) => Becomes(Suspect),
        (News::Suspected | News::Silent, Suspect) => Confirmed,
        (News::Suspected | News::Silent, Failed | Left) => Stays,

        // SWIM, section 4.2: death overrides life and suspicion of its incarnation. What this node alone has found is now
        // everybody's.
        (News::Dead, Alive | Suspect) => Ends,
        (News::Dead, Failed) if local => Ends,
        (News::Dead, Failed | Left) => Stays,

        // Memberlist: dead by its own word is left; that is more than failed.
        (News::LeftItself, Alive | Suspect | Failed) => Becomes(Left),
        (News::LeftItself, Left) => Stays,

        (News::TimedOut, Alive | Suspect) => Ends,
        (News::TimedOut, Failed | Left) => Stays,

        // Its own answer clears what this node holds against it; what others have been told it has to contradict itself.
        (News::Answered, Suspect) => Becomes(Alive),
        (News::Answered, Failed) if local => Becomes(Alive),
        (News::Answered, Alive | Failed | Left) => Stays,

        // Serf: an intent about who has failed makes it left (`force-leave`); who lives is leaving, which is a flag.
        (News::LeaveIntent, Failed) => Becomes(Left),
        (News::LeaveIntent, Alive | Suspect | Left) => Stays,

        // Serf: another table's "failed" is a suspicion here, so that whoever lives can contradict.
        (News::RecordFailed { .. }, Alive) => Becomes(Suspect),
        (News::RecordFailed { .. }, Suspect) => Stays,
        (News::RecordFailed { later }, Failed | Left) => {
            if later {
                Becomes(Failed)
            } else {
                Stays
            }
        }

        (News::RecordLeft { .. }, Alive | Suspect | Failed) => Becomes(Left),
        (News::RecordLeft { later }, Left) => {
            if later {
                Becomes(Left)
            } else {
                Stays
            }
        }
    }
}

impl Membership<'_> {
    /// Where what is learnt of a member leads.
    pub(super) fn next_state(&self, id: u16, news: News) -> Next {
        let hot = self.table.hot(id);
        next(hot.state(), hot.has(flag::LOCAL_ONLY), news)
    }

    /// Failed, or left: what becomes of a member that does not live any more.
    pub(crate) fn end_of(&self, cx: &Cx<'_>, id: u16) -> State {
        let left = self.table.hot(id).has(flag::LEAVING) && cx.config.has(Rule::LeaverLeft);
        if left { State::Left } else { State::Failed }
    }

    /// Moves a member to alive. `change`: what else it says of itself.
    pub(super) fn mark_alive(&mut self, id: u16, change: impl FnOnce(&mut super::record::Hot)) {
        self.table.cancel(id);
        self.table.edit(id, |hot| {
            hot.set_state(State::Alive);
            hot.set(flag::LOCAL_ONLY, false);
            change(hot);
        });
        self.table.clear_accusers(id);
        self.table.make_live(id);
    }

    /// Moves a living member to suspect, accused by this node or another one, if it is held.
    pub(super) fn mark_suspect(&mut self, id: u16, accuser: Option<u16>) {
        self.table.edit(id, |hot| hot.set_state(State::Suspect));
        self.table.cold_mut(id).accuse(accuser);
    }

    /// Moves a member to failed or left, as it has been for `age`.
    pub(super) fn mark_gone(&mut self, cx: &Cx<'_>, id: u16, state: State, age: Duration) {
        self.table.cancel(id);
        self.table.edit(id, |hot| {
            hot.set_state(state);
            hot.set(flag::LOCAL_ONLY | flag::LEAVING, false);
        });
        self.table.clear_accusers(id);
        self.table.make_gone(id);
        let since = cx.now.minus(age);
        self.table.cold_mut(id).since = since;
        self.table.schedule(id, since + unadvertised_after(&cx.config, state));
        self.notices.note(self.table.hot, id, cx.now);
    }

    /// This node is the first to be taken in: it lives.
    pub(crate) fn admit_self(&mut self, cx: &Cx<'_>, identity: &Identity<'_>) -> Result<(), Unheld> {
        let id = self.table.admit(identity.name)?;
        debug_assert_eq!(id, SELF);
        let boot = self.boot;
        self.table.edit(SELF, |hot| {
            hot.set_state(State::Alive);
            (hot.boot, hot.incarnation) = (boot, 1);
            (hot.addr, hot.versions) = (identity.addr.into(), identity.versions);
        });
        self.table.set_tags(SELF, Some(identity.tags));
        self.notices.note(self.table.hot, SELF, cx.now);
        Ok(())
    }

    /// This node has left.
    pub(super) fn leave_self(&mut self, cx: &Cx<'_>) {
        self.table.edit(SELF, |hot| hot.set_state(State::Left));
        self.notices.note(self.table.hot, SELF, cx.now);
    }

    // ---- what this node itself has found ----

    /// A member has not answered this node: whether it was alive (and is suspect now), or suspect already.
    pub(crate) fn silent(&mut self, id: u16) -> Next {
        let next = self.next_state(id, News::Silent);
        if next == Next::Becomes(State::Suspect) {
            self.mark_suspect(id, Some(SELF));
        }
        next
    }

    /// A suspicion has run out, or a disputed name's holder does not answer. `local`: this may be this node's own fault.
    /// True if others are to be told.
    pub(crate) fn timed_out(&mut self, cx: &mut Cx<'_>, id: u16, local: bool) -> bool {
        if self.next_state(id, News::TimedOut) != Next::Ends {
            return false;
        }
        let end = self.end_of(cx, id);
        self.mark_gone(cx, id, end, Duration::ZERO);
        if local && end == State::Failed {
            self.table.edit(id, |hot| hot.set(flag::LOCAL_ONLY, true));
            cx.stats.local_verdicts += 1;
            return false;
        }
        self.table.cold_mut(id).accuse(Some(SELF));
        true
    }

    /// A member has answered in person. True if that has brought it back to life.
    pub(crate) fn answered(&mut self, cx: &mut Cx<'_>, id: u16) -> bool {
        let was_live = self.table.hot(id).is_live();
        let revives = self.next_state(id, News::Answered) == Next::Becomes(State::Alive);
        if revives {
            self.note(cx, id, What::Answered, By::Nobody, 0);
            self.mark_alive(id, |_| {});
            if !was_live {
                self.notices.note(self.table.hot, id, cx.now);
            }
        }
        revives
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Next::{Becomes, Confirmed, Ends, Stays};
    use State::{Alive, Failed, Left, Suspect};

    /// Every pair: news, then what it makes of alive, suspect, failed, failed for this node alone, left.
    #[test]
    fn every_pair_of_state_and_news() {
        let (to_alive, to_suspect, to_failed, to_left) =
            (Becomes(Alive), Becomes(Suspect), Becomes(Failed), Becomes(Left));
        let table = [
            (News::Alive, [to_alive; 5]),
            (News::Suspected, [to_suspect, Confirmed, Stays, Stays, Stays]),
            (News::Silent, [to_suspect, Confirmed, Stays, Stays, Stays]),
            (News::Dead, [Ends, Ends, Stays, Ends, Stays]),
            (News::LeftItself, [to_left, to_left, to_left, to_left, Stays]),
            (News::TimedOut, [Ends, Ends, Stays, Stays, Stays]),
            (News::Answered, [Stays, to_alive, Stays, to_alive, Stays]),
            (News::LeaveIntent, [Stays, Stays, to_left, to_left, Stays]),
            (News::RecordFailed { later: false }, [to_suspect, Stays, Stays, Stays, Stays]),
            (News::RecordFailed { later: true }, [to_suspect, Stays, to_failed, to_failed, to_failed]),
            (News::RecordLeft { later: false }, [to_left, to_left, to_left, to_left, Stays]),
            (News::RecordLeft { later: true }, [to_left; 5]),
        ];
        let states = [(Alive, false), (Suspect, false), (Failed, false), (Failed, true), (Left, false)];
        for (news, expected) in table {
            for ((state, local), expected) in states.into_iter().zip(expected) {
                assert_eq!(next(state, local, news), expected, "{news:?} of {state:?}, local: {local}");
            }
        }
    }

    /// What only the member itself may say, in a later incarnation.
    #[test]
    fn nothing_but_its_own_word_brings_back_who_is_gone_for_all() {
        let others = [
            News::Suspected,
            News::Silent,
            News::Dead,
            News::LeftItself,
            News::TimedOut,
            News::Answered,
            News::LeaveIntent,
            News::RecordFailed { later: true },
            News::RecordLeft { later: true },
        ];
        for news in others {
            for state in [Failed, Left] {
                let next = next(state, false, news);
                assert!(!matches!(next, Becomes(Alive | Suspect) | Confirmed), "{news:?} of {state:?}");
            }
        }
    }
}

//! Who is in the fleet: the table, the rules by which what is heard changes it, what others are told of that, and what the
//! application is.
//!
//! A member's life, in the order of these files: a message about it is judged ([`messages`]), moves it from one state to
//! another ([`transitions`]), is passed on ([`updates`]), shown to the application ([`notices`]), and, when it has been gone
//! long enough, makes room ([`Membership::age_gone`]).

pub(crate) mod digest;
pub(crate) mod identity;
pub(crate) mod intents;
pub(crate) mod journal;
pub(crate) mod listing;
pub(crate) mod messages;
pub(crate) mod notices;
pub(crate) mod observed;
pub(crate) mod record;
pub(crate) mod table;
pub(crate) mod transitions;
pub(crate) mod updates;

use crate::backoff::Backoff;
use crate::clock::LTIME_LIMIT;
use crate::config::{Config, log10_ceil};
use crate::context::Cx;
use crate::filter::Candidate;
use crate::rules::Rule;
use crate::time::{Duration, Instant};
use crate::wire::message::TAGS_MAX;

pub use identity::Identity;
use intents::{EarlyIntent, Intents};
use notices::MemberEventCoalescer;
use observed::Observed;
use record::{Hot, LastNotified, State, flag, update};
pub use record::{Member, MemberChange, Status};
use table::{SELF, Table};
use updates::UpdateQueue;

/// How long the word that a member is pruned may take to reach everybody.
const PRUNE_SPREADS: Duration = Duration::from_secs(5);

/// A member whose time is over is shown to the application as reaped before its place is given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaping {
    /// Its end is still to be shown.
    Show(u16),
    /// That has been done.
    Shown(u16),
}

/// Leaving, step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The intent is spreading.
    Intent(Instant),
    /// The word that we have left is spreading.
    Left(Instant),
    /// Time for the others to pass it on.
    Linger(Instant),
    /// Done, and told.
    Done,
}

pub(crate) struct Membership<'a> {
    pub(crate) table: Table<'a>,
    intents: Intents<'a>,
    /// What the application is to be told.
    pub(crate) notices: MemberEventCoalescer,
    /// What others are to be told.
    pub(crate) updates: UpdateQueue,
    /// When this table last changed, and when it may be compared with others'.
    pub(crate) backoff: Backoff,
    /// Which life of this node it is.
    pub(crate) boot: u64,
    /// Where others have seen it.
    observed: Option<Observed>,
    /// This node's own leaving.
    pub(crate) leave: Option<Leave>,
    /// Whether the application takes events.
    pub(crate) app_ready: bool,
    pub(crate) reaping: Option<Reaping>,
    /// What has happened to members of late.
    #[cfg(feature = "journal")]
    pub(crate) journal: journal::Journal<'a>,
}

/// The slices that membership works on.
pub(crate) struct Parts<'a> {
    pub(crate) table: table::Parts<'a>,
    pub(crate) intents: &'a mut [EarlyIntent],
    #[cfg(feature = "journal")]
    pub(crate) journal: &'a mut [journal::Entry],
}

impl<'a> Membership<'a> {
    pub(crate) fn new(parts: Parts<'a>, boot: u64) -> Self {
        Membership {
            table: Table::new(parts.table),
            intents: Intents::new(parts.intents),
            notices: MemberEventCoalescer::new(),
            updates: UpdateQueue::new(),
            backoff: Backoff::new(),
            boot,
            observed: None,
            leave: None,
            app_ready: true,
            reaping: None,
            #[cfg(feature = "journal")]
            journal: journal::Journal::new(parts.journal),
        }
    }

    pub(crate) fn release(self) -> Parts<'a> {
        Parts {
            table: self.table.release(),
            intents: self.intents.release(),
            #[cfg(feature = "journal")]
            journal: self.journal.release(),
        }
    }

    /// A member, as filters look at it.
    pub(crate) fn candidate(&self, member: u16) -> Candidate<'_> {
        Candidate { name: self.table.name(member), tags: self.table.tags(member).unwrap_or(&[]) }
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leave.is_some()
    }

    // ---- time ----

    /// When something ends by itself. `notifies`: the application is told of members now.
    pub(crate) fn deadline(&self, cx: &Cx<'_>, notifies: bool) -> Instant {
        let (quantum, quiescent) = cx.member_window();
        let notices = self.notices.deadline(quantum, quiescent);
        let notices = if notifies && self.app_ready { notices } else { Instant::FAR };
        let gone = self.table.gone.first().filter(|_| self.app_ready);
        let gone = gone.map_or(Instant::FAR, |id| self.table.cold(id).deadline);
        notices.min(gone).min(self.leave_deadline())
    }

    /// What has been failed or left for long fades, then is reaped: one at a time, as the end of a member is told, and waits
    /// for the application.
    pub(crate) fn expire(&mut self, cx: &mut Cx<'_>) {
        while self.app_ready
            && self.reaping.is_none()
            && let Some(id) = self.table.gone.first()
        {
            if self.table.cold(id).deadline > cx.now {
                break;
            }
            self.age_gone(cx, id);
        }
    }

    /// A failed or left member is first no longer told of and compared, then forgotten.
    fn age_gone(&mut self, cx: &mut Cx<'_>, id: u16) {
        let hot = self.table.hot(id);
        let end = self.table.cold(id).since + gone_timeout(&cx.config, hot.state());
        if !hot.has(flag::UNADVERTISED) && end > cx.now && !hot.has(flag::PRUNE) {
            self.unadvertise(id, end);
        } else {
            cx.stats.members_reaped += 1;
            self.reaping = Some(Reaping::Show(id));
        }
    }

    /// From now on it is told to nobody and compared with nobody, until `end`.
    fn unadvertise(&mut self, id: u16, end: Instant) {
        self.table.cancel(id);
        self.table.edit(id, |hot| hot.set(flag::UNADVERTISED, true));
        self.table.schedule(id, end);
    }

    /// Erases a member that an intent to prune has reached, once it is no longer live and the word has spread. Until then
    /// it is told to nobody and compared with nobody, so that none brings it back.
    pub(crate) fn prune(&mut self, cx: &Cx<'_>, id: u16) {
        let hot = self.table.hot(id);
        if id != SELF && hot.has(flag::PRUNE) && !hot.is_live() && !hot.has(flag::UNADVERTISED) {
            self.unadvertise(id, cx.now + PRUNE_SPREADS);
        }
    }

    /// The member to be forgotten, now that its end has been shown.
    pub(crate) fn reaped(&mut self, cx: &Cx<'_>) -> Option<u16> {
        let Some(Reaping::Shown(id)) = self.reaping else { return None };
        self.reaping = None;
        let end = self.table.cold(id).since + cx.config.tombstone_timeout;
        if self.table.hot(id).is_pruned() && end > cx.now && cx.config.has(Rule::Tombstone) {
            // Hidden, and remembered as long as those who were away may bring it back.
            self.table.hot_mut(id).last_notified = LastNotified::Nothing;
            self.table.schedule(id, end);
            return None;
        }
        Some(id)
    }

    /// Forgets a member altogether.
    pub(crate) fn forget(&mut self, id: u16) {
        self.updates.drop(self.table.cold, id);
        self.notices.drop(self.table.hot, id);
        for place in 0..self.table.suspects.len() {
            let suspect = self.table.suspects.ids()[place];
            let cold = self.table.cold_mut(suspect);
            if cold.accuser() == Some(id) {
                cold.set_accuser(Some(SELF));
            }
        }
        self.table.erase(id);
    }

    // ---- what the application is told ----

    /// What is to be shown of a member whose time is over, before anything else.
    pub(crate) fn next_reaped(&mut self, cx: &Cx<'_>) -> Option<(u16, MemberChange)> {
        let Some(Reaping::Show(id)) = self.reaping else { return None };
        if self.table.hot(id).is_live() && cx.config.has(Rule::EvictGone) {
            // It came back just now.
            self.reaping = None;
            return None;
        }
        // That it is gone comes before its end; it is erased when that has been shown.
        if let Some(change) = self.notices.tell_now(self.table.hot, id) {
            return Some((id, change));
        }
        self.reaping = Some(Reaping::Shown(id));
        let known = !matches!(self.table.hot(id).last_notified, LastNotified::Nothing | LastNotified::Unmet);
        known.then_some((id, MemberChange::Reap))
    }

    /// The next member of whom the application is to be told, when its window has ended.
    pub(crate) fn next_notice(&mut self, cx: &Cx<'_>) -> Option<(u16, MemberChange)> {
        let (quantum, quiescent) = cx.member_window();
        self.notices.next(self.table.hot, cx.now, quantum, quiescent)
    }

    /// Whether the end of a member may come without a word: of it the application has not been told, or has been told all.
    pub(crate) fn may_go_untold(&self, id: u16) -> bool {
        let hot = self.table.hot(id);
        let reaping = matches!(self.reaping, Some(Reaping::Show(gone) | Reaping::Shown(gone)) if gone == id);
        hot.last_notified != LastNotified::Joined && !hot.has_notice() && !reaping
    }

    // ---- this node's own life ----

    /// Begins another life, after this one: under the next boot number that ends in this machine's instance, so that two
    /// machines of one name that are both driven there do not meet.
    pub(crate) fn live_after(&mut self, cx: &mut Cx<'_>, boot: u64) {
        let instance = self.boot & u16::MAX as u64;
        let same = boot & !(u16::MAX as u64) | instance;
        let next = if same > boot { same } else { same.saturating_add(1 << u16::BITS) };
        self.live_as(cx, next.min(LTIME_LIMIT - 1), 1);
    }

    /// Goes by this boot and incarnation from now on, and tells everybody.
    pub(crate) fn live_as(&mut self, cx: &mut Cx<'_>, boot: u64, incarnation: u32) {
        self.boot = boot;
        cx.begin_life(self.table.name(SELF), boot);
        self.table.edit(SELF, |hot| (hot.boot, hot.incarnation) = (boot, incarnation));
        self.queue_update(SELF, update::STATE);
    }

    /// Somebody has said that this node leaves, which it does not: it says so with a later time.
    pub(crate) fn contradict(&mut self, cx: &mut Cx<'_>, ltime: u64) {
        // The clock is past it: it was witnessed before the intent was looked at.
        debug_assert!(cx.clocks.member.now() > ltime);
        let ltime = cx.clocks.member.stamp();
        self.table.edit(SELF, |hot| hot.status_ltime = ltime);
        cx.stats.refuted += 1;
        self.queue_update(SELF, update::JOIN);
    }

    /// Replaces this node's tags and spreads them. False if they are too long; the old ones stay.
    pub(crate) fn set_tags(&mut self, cx: &Cx<'_>, tags: &[u8]) -> bool {
        if tags.len() > TAGS_MAX.min(self.table.tags_room()) {
            return false;
        }
        if self.table.set_tags(SELF, Some(tags)) {
            self.say_anew(cx, |_| {});
        }
        true
    }

    /// What this node says of itself has changed.
    pub(super) fn say_anew(&mut self, cx: &Cx<'_>, change: impl FnOnce(&mut Hot)) {
        self.table.edit(SELF, |hot| {
            change(hot);
            hot.incarnation = hot.incarnation.saturating_add(1);
        });
        self.note_update(cx, SELF);
        self.queue_update(SELF, update::STATE);
    }

    /// Begins to leave; false if it does so already.
    pub(crate) fn begin_leave(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.is_leaving() {
            return false;
        }
        let ltime = cx.clocks.member.stamp();
        self.table.edit(SELF, |hot| {
            hot.status_ltime = ltime;
            hot.set(flag::LEAVING, true);
        });
        self.leave = Some(if self.table.live() == 0 {
            // Nobody has to hear of it.
            self.leave_self(cx);
            Leave::Linger(cx.now)
        } else {
            self.queue_update(SELF, update::LEAVE);
            Leave::Intent(cx.now + cx.config.leave_propagate)
        });
        true
    }

    /// Takes the next step of leaving, when its time has come. True once there is none left: all have had time to hear of it.
    pub(crate) fn advance_leave(&mut self, cx: &Cx<'_>) -> bool {
        let said = self.table.cold(SELF).update == 0;
        match self.leave {
            Some(Leave::Intent(until)) if said || cx.now >= until => {
                self.leave_self(cx);
                self.queue_update(SELF, update::STATE);
                self.leave = Some(Leave::Left(cx.now + cx.config.leave_propagate));
                false
            }
            Some(Leave::Left(until)) if said || cx.now >= until => {
                self.leave = Some(Leave::Linger(cx.now + cx.config.leave_propagate));
                false
            }
            Some(Leave::Linger(until)) => cx.now >= until,
            _ => false,
        }
    }

    fn leave_deadline(&self) -> Instant {
        match self.leave {
            Some(Leave::Intent(until) | Leave::Left(until)) if self.table.cold(SELF).update != 0 => until,
            Some(Leave::Intent(_) | Leave::Left(_)) => Instant::PAST,
            Some(Leave::Linger(until)) => until,
            Some(Leave::Done) | None => Instant::FAR,
        }
    }

    /// How often an update is sent: Serf's `retransmit_mult * ceil(log10(n + 1))`.
    pub(crate) fn transmissions(&self, config: &Config) -> usize {
        let n = self.table.len();
        (config.retransmit_mult as usize * log10_ceil(n) as usize).clamp(1, u8::MAX as usize)
    }
}

/// When a failed or left member is told to nobody any more: in the last tenth of its timeout.
pub(crate) fn unadvertised_after(config: &Config, state: State) -> Duration {
    gone_timeout(config, state).scaled(9, 10)
}

/// When a failed or left member is forgotten.
fn gone_timeout(config: &Config, state: State) -> Duration {
    if state == State::Left { config.tombstone_timeout } else { config.reconnect_timeout }
}

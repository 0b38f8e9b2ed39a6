//! Member events: what the application has been told about each member, and what it is to be told next.
//!
//! Changes within a window are told as one: a join that is followed by an update is a join with the new tags, and of
//! several changes the last state is told. Nothing is repeated; who comes and fails within one window is not told of.

use super::record::{Hot, LastNotified, MemberChange, NOTICES, Status, flag};
use crate::slice::List;
use crate::time::{Duration, Instant};

/// Members with news, in the order in which it came, and the window they wait in.
pub(crate) struct MemberEventCoalescer {
    waiting: List<NOTICES>,
    first: Instant,
    last: Instant,
    /// The window has ended: everything waiting is handed out before a new one begins.
    flushing: bool,
}

impl MemberEventCoalescer {
    pub(crate) const fn new() -> Self {
        let (first, last) = (Instant::PAST, Instant::PAST);
        MemberEventCoalescer { waiting: List::new(), first, last, flushing: false }
    }

    /// Something changed about a member.
    pub(crate) fn note(&mut self, members: &mut [Hot], id: u16, now: Instant) {
        if self.waiting.is_empty() {
            self.first = now;
        }
        self.last = now;
        if !members[id as usize].has_notice() {
            self.waiting.push_back(members, id);
        }
    }

    /// When the window ends.
    pub(crate) fn deadline(&self, quantum: Duration, quiescent: Duration) -> Instant {
        if self.waiting.is_empty() {
            Instant::FAR
        } else if self.flushing {
            Instant::PAST
        } else {
            (self.first + quantum).min(self.last + quiescent)
        }
    }

    /// The next member with news, once the window has ended.
    pub(crate) fn next(
        &mut self,
        members: &mut [Hot],
        now: Instant,
        quantum: Duration,
        quiescent: Duration,
    ) -> Option<(u16, MemberChange)> {
        while now >= self.deadline(quantum, quiescent) {
            self.flushing = true;
            let Some(id) = self.waiting.pop_front(members) else { break };
            if let Some(change) = change(&mut members[id as usize]) {
                return Some((id, change));
            }
        }
        self.flushing = false;
        None
    }

    /// What is new about a member, at once and out of turn.
    pub(crate) fn tell_now(&mut self, members: &mut [Hot], id: u16) -> Option<MemberChange> {
        self.drop(members, id);
        change(&mut members[id as usize])
    }

    /// A member leaves the list, whatever there was to tell.
    pub(crate) fn drop(&mut self, members: &mut [Hot], id: u16) {
        if members[id as usize].has_notice() {
            self.waiting.remove(members, id);
        }
    }
}

/// What is new about a member since the application was last told; from then on it is told.
fn change(member: &mut Hot) -> Option<MemberChange> {
    use LastNotified::{Failed, Joined, Left, Nothing, Unmet};
    let (notified, change) = match (member.status(), member.last_notified) {
        (Status::Alive | Status::Leaving, Joined) => {
            (Joined, member.has(flag::TAGS_CHANGED).then_some(MemberChange::Update))
        }
        (Status::Alive | Status::Leaving, _) => (Joined, Some(MemberChange::Join)),
        // Nobody was told that it was there.
        (Status::Failed | Status::Left, Nothing | Unmet) => (Unmet, None),
        (Status::Failed, Failed) => (Failed, None),
        // Others do not know that it left: no news for who does.
        (Status::Failed, Left) => (Left, None),
        (Status::Failed, _) => (Failed, Some(MemberChange::Failed)),
        (Status::Left, Left) => (Left, None),
        (Status::Left, _) => (Left, Some(MemberChange::Leave)),
    };
    member.last_notified = notified;
    member.set(flag::TAGS_CHANGED, false);
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(1));

    struct Told {
        members: [Hot; 3],
        notices: MemberEventCoalescer,
        now: Instant,
    }

    impl Told {
        fn new() -> Self {
            let members = core::array::from_fn(|i| Hot::named(i as u32, 1));
            Told { members, notices: MemberEventCoalescer::new(), now: Instant::from_millis(0) }
        }

        /// A member comes to this state; half a second passes.
        fn becomes(&mut self, id: u16, state: super::super::record::State) {
            self.members[id as usize].set_state(state);
            self.notices.note(&mut self.members, id, self.now);
            self.now += Duration::from_millis(500);
        }

        fn next(&mut self) -> Option<(u16, MemberChange)> {
            self.notices.next(&mut self.members, self.now, WINDOW.0, WINDOW.1)
        }
    }

    #[test]
    fn the_last_state_of_a_window_is_told_once_it_has_been_quiet() {
        use super::super::record::State::{Alive, Failed, Left, Suspect};
        let mut told = Told::new();
        told.becomes(1, Alive);
        told.becomes(0, Alive);
        assert_eq!(told.next(), None, "it was not quiet for a second");
        told.now += Duration::from_millis(500);
        assert_eq!(told.next(), Some((1, MemberChange::Join)));
        assert_eq!(told.next(), Some((0, MemberChange::Join)));
        assert_eq!(told.next(), None);
        for state in [Failed, Alive, Failed, Alive] {
            told.becomes(0, state);
        }
        told.now += WINDOW.1;
        assert_eq!(told.next(), None, "it is as it was told");
        told.becomes(0, Failed);
        told.becomes(0, Left);
        told.becomes(2, Failed);
        told.now += WINDOW.1;
        assert_eq!(told.next(), Some((0, MemberChange::Leave)));
        assert_eq!(told.next(), None, "nobody was told that it was there");
        told.becomes(0, Suspect);
        told.now += WINDOW.1;
        assert_eq!(told.next(), Some((0, MemberChange::Join)));
    }

    #[test]
    fn a_window_that_is_never_quiet_ends_after_its_quantum() {
        use super::super::record::State::{Alive, Failed};
        let mut told = Told::new();
        told.becomes(0, Alive);
        let mut after = 0;
        while told.next().is_none() {
            told.becomes(1, if after % 2 == 0 { Alive } else { Failed });
            after += 1;
        }
        assert_eq!(after, 5, "half a second each");
    }

    #[test]
    fn tags_that_change_are_an_update_of_whom_was_told_and_nothing_more_of_a_join() {
        use super::super::record::State::Alive;
        let mut told = Told::new();
        told.members[0].set(flag::TAGS_CHANGED, true);
        told.becomes(0, Alive);
        told.now += WINDOW.1;
        assert_eq!(told.next(), Some((0, MemberChange::Join)), "with the tags of now");
        told.members[0].set(flag::TAGS_CHANGED, true);
        told.becomes(0, Alive);
        assert_eq!(told.notices.tell_now(&mut told.members, 0), Some(MemberChange::Update));
        told.now += WINDOW.1;
        assert_eq!(told.next(), None);
    }
}

//! Member events: what the application has been told about each member, and what it is to be told next.
//!
//! Changes within a window are told as one: a join that is followed by an update is a join with the new tags, and of
//! several changes the last state is told. Nothing is repeated, and no join is lost.

use super::record::{MemberChange, Slot, Status, TOLD, Told, flag};
use crate::slice::List;
use crate::time::{Duration, Instant};

/// Members with news, in the order in which it came, and the window they wait in.
pub(crate) struct Telling {
    waiting: List<TOLD>,
    first: Instant,
    last: Instant,
    /// The window has ended: everything waiting is handed out before a new one begins.
    flushing: bool,
}

impl Telling {
    pub(crate) const fn new() -> Self {
        Telling { waiting: List::new(), first: Instant::PAST, last: Instant::PAST, flushing: false }
    }

    /// Something changed about a member.
    pub(crate) fn note(&mut self, slots: &mut [Slot], id: u16, now: Instant) {
        if self.waiting.is_empty() {
            self.first = now;
        }
        self.last = now;
        if !slots[id as usize].is_to_be_told() {
            self.waiting.push_back(slots, id);
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
        slots: &mut [Slot],
        now: Instant,
        quantum: Duration,
        quiescent: Duration,
    ) -> Option<(u16, MemberChange)> {
        while now >= self.deadline(quantum, quiescent) {
            self.flushing = true;
            let Some(id) = self.waiting.pop_front(slots) else { break };
            if let Some(change) = change(&mut slots[id as usize]) {
                return Some((id, change));
            }
        }
        self.flushing = false;
        None
    }

    /// What is new about a member, at once and out of turn.
    pub(crate) fn tell_now(&mut self, slots: &mut [Slot], id: u16) -> Option<MemberChange> {
        self.drop(slots, id);
        change(&mut slots[id as usize])
    }

    /// There is nothing to tell about a member.
    pub(crate) fn drop(&mut self, slots: &mut [Slot], id: u16) {
        if slots[id as usize].is_to_be_told() {
            self.waiting.remove(slots, id);
        }
    }
}

/// What is new about a member since the application was last told; from then on it is told.
fn change(slot: &mut Slot) -> Option<MemberChange> {
    let (told, change) = match (slot.status(), slot.told) {
        (Status::Alive | Status::Leaving, Told::Joined) => {
            (Told::Joined, slot.has(flag::TAGS_CHANGED).then_some(MemberChange::Update))
        }
        (Status::Alive | Status::Leaving, _) => (Told::Joined, Some(MemberChange::Join)),
        // Nobody was told that it was there.
        (Status::Failed | Status::Left, Told::Nothing | Told::Unmet) => (Told::Unmet, None),
        (Status::Failed, Told::Failed) => (Told::Failed, None),
        // Others do not know that it left: no news for who does.
        (Status::Failed, Told::Left) => (Told::Left, None),
        (Status::Failed, _) => (Told::Failed, Some(MemberChange::Failed)),
        (Status::Left, Told::Left) => (Told::Left, None),
        (Status::Left, _) => (Told::Left, Some(MemberChange::Leave)),
    };
    slot.told = told;
    slot.set(flag::TAGS_CHANGED, false);
    change
}

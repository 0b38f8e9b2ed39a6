//! News about members. A member stands in the queue at most once, so the queue is bounded by the table: newer news
//! about it replaces the older. Least-sent first.

use crate::member::record::{Case, GOSSIP, say};
use crate::slice::List;
use crate::time::Instant;

/// Most transmissions of one piece of news: `retransmit_mult * ceil(log10(n + 1))` is cut to it.
pub(crate) const SENDS_MAX: usize = 24;

pub(crate) struct Queue {
    /// By the number of sends so far.
    lists: [List<GOSSIP>; SENDS_MAX],
    /// When the next round of gossip is due, while there is something to say.
    pub(crate) next: Instant,
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Queue { lists: [const { List::new() }; SENDS_MAX], next: Instant::PAST }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lists.iter().all(|list| list.is_empty())
    }

    pub(crate) fn len(&self) -> usize {
        self.lists.iter().map(|list| list.len()).sum()
    }

    /// There is news about a member: bits of [`say`].
    pub(crate) fn say(&mut self, cases: &mut [Case], id: u16, bits: u8) {
        let waiting = cases[id as usize].say;
        self.drop(cases, id);
        let case = &mut cases[id as usize];
        // Of the intents the later one counts.
        let kept = if bits & (say::JOIN | say::LEAVE) != 0 { waiting & say::STATE } else { waiting };
        (case.say, case.sends) = (kept | bits, 0);
        self.lists[0].push_back(cases, id);
    }

    /// There is nothing more to say about a member.
    pub(crate) fn drop(&mut self, cases: &mut [Case], id: u16) {
        let case = &mut cases[id as usize];
        if case.say != 0 {
            let sends = case.sends as usize;
            case.say = 0;
            self.lists[sends].remove(cases, id);
        }
    }

    /// How many items stand at each number of sends: what one datagram may take from.
    pub(crate) fn counts(&self) -> [u16; SENDS_MAX] {
        core::array::from_fn(|sends| self.lists[sends].len() as u16)
    }

    pub(crate) fn head(&self, sends: usize) -> Option<u16> {
        self.lists[sends].head()
    }

    pub(crate) fn after(&self, cases: &mut [Case], sends: usize, id: u16) -> Option<u16> {
        self.lists[sends].after(cases, id)
    }

    /// An item has been sent once more; it leaves after `limit` times.
    pub(crate) fn sent(&mut self, cases: &mut [Case], id: u16, limit: usize) {
        let bits = cases[id as usize].say;
        let sends = cases[id as usize].sends as usize + 1;
        self.drop(cases, id);
        if sends < limit.min(SENDS_MAX) {
            (cases[id as usize].say, cases[id as usize].sends) = (bits, sends as u8);
            self.lists[sends].push_back(cases, id);
        }
    }
}

//! What has happened to members, as this node has learnt it: the latest changes of all of them, in one ring.
//!
//! Engines note facts with [`Membership::note`]; without the feature `journal` that is nothing at all.

use super::Membership;
use crate::context::Cx;
#[cfg(feature = "journal")]
use crate::hash;
#[cfg(feature = "journal")]
use crate::time::Instant;

/// Something that has happened to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
#[non_exhaustive]
#[repr(u8)]
pub enum What {
    /// It was heard of for the first time.
    Met,
    /// It has begun another life: it was started anew.
    Restarted,
    /// It contradicts what was said against it. The number is its incarnation from then on.
    Contradicted,
    /// It has come back, after it had failed or left.
    Returned,
    /// It has not answered a probe of this node's, directly or through others.
    Unanswered,
    /// This node has probed it once more before it says so to others.
    ProbedAgain,
    /// It is suspect from now on, by this member's word.
    Suspected,
    /// One more member accuses it. The number is how many have, after the first one.
    Accused,
    /// Another table holds it for failed, which makes it suspect here.
    ContestedByTable,
    /// It has answered this node in person, which clears it.
    Answered,
    /// This node has declared it failed: nobody has contradicted in time. The number is how many had confirmed the suspicion.
    DeclaredFailed,
    /// Likewise, while nobody was heard: this node's own link may be at fault, and nobody is told.
    DeclaredFailedAlone,
    /// Its host has refused a datagram of this node's: it is inquired into.
    #[cfg(feature = "inquest")]
    Refused,
    /// This node has declared it failed: its host refuses what is sent there. The number is how many others were refused as well.
    #[cfg(feature = "inquest")]
    FoundGone,
    /// This member has said that it has failed.
    ToldFailed,
    /// Another table says so.
    FailedByTable,
    /// It has said that it leaves, or an operator has for it.
    Leaving,
    /// It has left by its own word.
    Left,
    /// It had failed, and an operator has declared it as left.
    ForcedToLeave,
    /// Another table says that it has left.
    LeftByTable,
    /// It is forgotten: its time is over, it was pruned, or its place was needed.
    Forgotten,
}

#[cfg(feature = "journal")]
impl What {
    /// Its name, in lower case with hyphens.
    pub const fn as_str(self) -> &'static str {
        match self {
            What::Met => "met",
            What::Restarted => "restarted",
            What::Contradicted => "contradicted",
            What::Returned => "returned",
            What::Unanswered => "unanswered",
            What::ProbedAgain => "probed-again",
            What::Suspected => "suspected",
            What::Accused => "accused",
            What::ContestedByTable => "contested-by-table",
            What::Answered => "answered",
            What::DeclaredFailed => "declared-failed",
            What::DeclaredFailedAlone => "declared-failed-alone",
            #[cfg(feature = "inquest")]
            What::Refused => "refused",
            #[cfg(feature = "inquest")]
            What::FoundGone => "found-gone",
            What::ToldFailed => "told-failed",
            What::FailedByTable => "failed-by-table",
            What::Leaving => "leaving",
            What::Left => "left",
            What::ForcedToLeave => "forced-to-leave",
            What::LeftByTable => "left-by-table",
            What::Forgotten => "forgotten",
        }
    }
}

/// One entry of the ring. Opaque outside the core.
#[cfg(feature = "journal")]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Entry {
    pub(crate) at: Instant,
    /// Hashes of names: the member's, and of whoever says it; 0: nobody.
    pub(crate) member: u32,
    pub(crate) by: u32,
    pub(crate) number: u32,
    pub(crate) what: What,
}

#[cfg(feature = "journal")]
impl Entry {
    /// A free place.
    pub const EMPTY: Entry = Entry { at: Instant::PAST, member: 0, by: 0, number: 0, what: What::Met };
}

/// What has happened to a member.
#[cfg(feature = "journal")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change<'a> {
    /// When this node learnt it.
    pub at: Instant,
    /// What.
    pub what: What,
    /// By whose word, if it was a member's that is still known; this node's own as well.
    pub by: Option<&'a str>,
    /// See [`What`]; else 0.
    pub number: u32,
}

/// The ring.
#[cfg(feature = "journal")]
pub(crate) struct Journal<'a> {
    entries: &'a mut [Entry],
    /// How many were ever written.
    written: u64,
}

#[cfg(feature = "journal")]
impl<'a> Journal<'a> {
    /// `entries`: none keeps nothing.
    pub(crate) fn new(entries: &'a mut [Entry]) -> Self {
        Journal { entries, written: 0 }
    }

    pub(crate) fn release(self) -> &'a mut [Entry] {
        self.entries
    }

    fn write(&mut self, entry: Entry) {
        let places = self.entries.len() as u64;
        if places > 0 {
            self.entries[(self.written % places) as usize] = entry;
            self.written += 1;
        }
    }

    /// What is held of a member, by its name's hash, the oldest first.
    pub(crate) fn of(&self, member: u32) -> impl Iterator<Item = &Entry> {
        let places = self.entries.len() as u64;
        let from = self.written.saturating_sub(places);
        let all = (from..self.written).map(move |number| &self.entries[(number % places) as usize]);
        all.filter(move |entry| entry.member == member)
    }
}

/// By whose word.
#[cfg_attr(not(feature = "journal"), allow(dead_code))]
#[derive(Clone, Copy)]
pub(crate) enum By<'n> {
    Nobody,
    /// Who is held at this place.
    Member(u16),
    /// Whose name has this hash.
    Hash(u32),
    Name(&'n str),
}

impl Membership<'_> {
    /// Notes what has happened to a member.
    #[cfg(feature = "journal")]
    pub(crate) fn note(&mut self, cx: &Cx<'_>, id: u16, what: What, by: By<'_>, number: u32) {
        let by = match by {
            By::Nobody => 0,
            By::Member(id) => self.table.hot(id).hash,
            By::Hash(hash) => hash,
            By::Name(name) => hash::name(name),
        };
        let (at, member) = (cx.now, self.table.hot(id).hash);
        self.journal.write(Entry { at, member, by, number, what });
    }

    #[cfg(not(feature = "journal"))]
    #[inline(always)]
    pub(crate) fn note(&mut self, _: &Cx<'_>, _: u16, _: What, _: By<'_>, _: u32) {}
}

#[cfg(all(test, feature = "journal"))]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn the_oldest_make_room_and_each_member_s_are_found() {
        let mut places = [Entry::EMPTY; 4];
        let mut journal = Journal::new(&mut places);
        assert_eq!(journal.of(0).count(), 0);
        for number in 0..6 {
            journal.write(Entry { member: number % 2, number, ..Entry::EMPTY });
        }
        assert_eq!(journal.of(0).map(|entry| entry.number).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(journal.of(1).map(|entry| entry.number).collect::<Vec<_>>(), [3, 5]);
        let mut none = Journal::new(&mut []);
        none.write(Entry::EMPTY);
        assert_eq!(none.of(0).count(), 0);
    }
}

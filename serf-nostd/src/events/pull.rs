//! Events that others have and this node lacks: asked for one provider at a time, the next one when an answer is overdue,
//! with more and more patience.
//!
//! Who has seen an event may hold its payload no longer. Then other members are asked whether they do, one by one; if so
//! many do not, nobody does: the event is lost, and counts as seen, or it would be asked for for ever.

use crate::failure::Links;
use crate::rules::Settings;
use crate::time::{Duration, Instant};
use crate::wire::message::{Address, EventId};

/// How often somebody may be asked, by what is known of it. Forged announcements draw no more than twice their size; honest
/// ones come from several members.
pub(crate) mod asks {
    /// Nobody knows whether it is where it seems to be, and it gets an answer to something else as well.
    pub const BESIDE: u8 = 1;
    /// Nobody knows whether it is where it seems to be.
    pub const STRANGER: u8 = 2;
    /// It has announced nothing, but may be the only one that has the payload, over links that lose much.
    pub const UNKNOWING: u8 = 4;
    /// It has answered us at its address.
    pub const PROVEN: u8 = 8;
}

/// A token that nobody has been given: as long as one, so that the answer, which has one, is no longer than the question.
const NO_TOKEN: u32 = u32::MAX;

/// Who has an event, and the token that entitles to ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub(crate) struct Provider {
    pub(crate) addr: Address,
    pub(crate) token: u32,
    /// How often it may be asked before its next word is waited for: one of [`asks`].
    pub(crate) asks: u8,
}

impl Provider {
    const NOBODY: Provider = Provider { addr: Address::UNSET, token: 0, asks: 0 };

    fn is_somebody(&self) -> bool {
        self.asks > 0
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.asks == asks::PROVEN
    }

    /// Somebody who has announced nothing, and is asked whether it has the event: without a token, for a token.
    pub(crate) fn unknowing(addr: Address) -> Provider {
        Provider { addr, token: NO_TOKEN, asks: asks::UNKNOWING }
    }

    /// Somebody who has sent it, without showing that it is new.
    pub(crate) fn doubted(addr: Address, asks: u8) -> Provider {
        Provider { addr, token: NO_TOKEN, asks }
    }

    /// Whether it is only asked whether it has an event: such a question is answered for one event.
    pub(crate) fn is_unknowing(&self) -> bool {
        self.asks == asks::UNKNOWING
    }
}

/// So many members (or all there are), and all seeds, must say that they do not hold a payload before it counts as lost: in a
/// small fleet everybody, in a large one as many as find a holder with 99.7 % if one member in six is one.
pub(crate) const LOST_AFTER: usize = 32;

/// One event that is being asked for. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Pull {
    id: EventId,
    /// Whom to ask.
    from: Provider,
    /// Who else has announced it.
    other: Provider,
    /// When to ask (again); in the past: now.
    due: Instant,
    tries: u8,
    /// How many more there may be.
    left: u8,
    /// How many members hold it no longer, or say nothing to that.
    missed: u8,
    /// Of those who had not announced it so many places have been gone through.
    asked: u8,
    /// Somebody who has answered us has announced it: it is no stranger's invention.
    real: bool,
}

impl Pull {
    /// A free place.
    pub const EMPTY: Pull = Pull {
        id: EventId { ltime: 0, origin: 0 },
        from: Provider::NOBODY,
        other: Provider::NOBODY,
        due: Instant::PAST,
        tries: 0,
        left: 0,
        missed: 0,
        asked: 0,
        real: false,
    };
}

/// How long the next answer may take, after so many without one. The second one as long as the first: either may just have been lost.
fn patience(overdue: Duration, tries: u8) -> Duration {
    overdue.times(1 << tries.saturating_sub(1).min(2))
}

/// How long somebody who has announced nothing is asked, and how long it is waited each time for anybody's answer, both by the patience for a
/// first answer.
const ASKING: u32 = 1 + 1 + 2 + 4;
const WAITING: u32 = 4;

/// Pulls in flight; the newest is refused when there is no room, since its next announcement comes.
pub(crate) struct Pulls<'a> {
    cells: &'a mut [Pull],
    len: usize,
}

impl<'a> Pulls<'a> {
    pub(crate) fn new(cells: &'a mut [Pull]) -> Self {
        Pulls { cells, len: 0 }
    }

    pub(crate) fn release(self) -> &'a mut [Pull] {
        self.cells
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `from` has an event that this node lacks, of which `most` may be asked for at once. False if it was not noted: there
    /// was no room, or it would be too many.
    ///
    /// If another member has been asked for it for `overdue`, the new one is asked at once.
    #[must_use]
    pub(crate) fn want(
        &mut self,
        id: EventId,
        from: Provider,
        now: Instant,
        overdue: Duration,
        most: usize,
    ) -> bool {
        if let Some(place) = self.find(id) {
            let pull = &mut self.cells[place];
            pull.left = pull.left.max(from.asks);
            pull.real |= from.is_proven();
            if pull.from.addr == from.addr {
                if pull.from.token == NO_TOKEN {
                    // It has it: asked at once, and before anybody else.
                    (pull.due, pull.tries) = (now, 0);
                }
                // Where this node was known by another address the token was another one.
                pull.from = from;
            } else {
                pull.other = from;
                if pull.tries > 0 && now + patience(overdue, pull.tries - 1) >= pull.due + overdue {
                    pull.due = now;
                }
            }
            return true;
        }
        let real = from.is_proven();
        let place = if self.len < self.cells.len().min(most) {
            self.len += 1;
            self.len - 1
        } else {
            // What may be a stranger's invention gives way.
            let invented = self.cells[..self.len].iter().position(|pull| !pull.real);
            let Some(place) = invented.filter(|_| real) else { return false };
            place
        };
        self.cells[place] = Pull { id, from, due: now, left: from.asks, real, ..Pull::EMPTY };
        true
    }

    /// Whoever is being asked for it answers with something else. Others' words end no question.
    pub(crate) fn refused(&mut self, id: EventId, by: Address) {
        if let Some(place) = self.find(id).filter(|place| self.cells[*place].from.addr == by) {
            self.remove(place);
        }
    }

    /// Whether an event is being asked for.
    pub(crate) fn is_asked(&self, id: EventId) -> bool {
        self.find(id).is_some()
    }

    /// Whether somebody at this address has been asked for it, and not yet answered.
    pub(crate) fn is_asked_of(&self, id: EventId, addr: Address) -> bool {
        let pull = self.find(id).map(|place| &self.cells[place]);
        pull.is_some_and(|pull| pull.tries > 0 && pull.from.addr == addr)
    }

    /// The event has come. Returns whether it was asked for.
    pub(crate) fn done(&mut self, id: EventId) -> bool {
        let place = self.find(id);
        if let Some(place) = place {
            self.remove(place);
        }
        place.is_some()
    }

    #[inline(never)]
    fn find(&self, id: EventId) -> Option<usize> {
        self.cells[..self.len].iter().position(|pull| pull.id == id)
    }

    /// The asked member does not hold it any more. If nobody else is known to, tells how many others have been asked. What
    /// only strangers have announced ends with that.
    pub(crate) fn missing(&mut self, id: EventId, from: Address, now: Instant) -> Option<usize> {
        let place = self.find(id).filter(|place| self.cells[*place].from.addr == from)?;
        let pull = &mut self.cells[place];
        pull.missed = pull.missed.saturating_add(1);
        if pull.other.is_somebody() {
            pull.from = core::mem::replace(&mut pull.other, Provider::NOBODY);
            (pull.due, pull.left) = (now, pull.from.asks);
            return None;
        }
        if !pull.real {
            self.remove(place);
            return None;
        }
        Some(pull.asked as usize)
    }

    /// One that at least one member does not hold, and the one that is asked now does not answer: counts as one more, once anybody has
    /// `answered` this node since then. It may be this node that nobody hears.
    pub(crate) fn stuck(
        &mut self,
        now: Instant,
        overdue: Duration,
        answered: Instant,
    ) -> Option<(EventId, usize)> {
        for pull in &mut self.cells[..self.len] {
            if pull.missed == 0 || pull.left > 0 || pull.due > now {
                continue;
            }
            let waited = pull.tries.saturating_sub(asks::UNKNOWING) as u32;
            if answered + overdue.times(ASKING + WAITING * waited) >= pull.due {
                pull.missed = pull.missed.saturating_add(1);
                return Some((pull.id, pull.asked as usize));
            }
            (pull.due, pull.tries) = (now + overdue.times(WAITING), pull.tries.saturating_add(1));
        }
        None
    }

    /// Somebody else is asked, who has this place among those that may be.
    pub(crate) fn turn_to(&mut self, id: EventId, whom: Provider, now: Instant, place: usize) {
        if let Some(at) = self.find(id) {
            let pull = &mut self.cells[at];
            (pull.from, pull.due, pull.tries, pull.left) = (whom, now, 0, whom.asks);
            pull.asked = place as u8;
        }
    }

    /// What somebody at this address has been asked for and has not answered, each with the token that entitles to it.
    pub(crate) fn asked(&self, of: Address) -> impl Iterator<Item = (u32, EventId)> {
        let asked = self.cells[..self.len].iter().filter(move |pull| pull.from.addr == of && pull.tries > 0);
        asked.map(|pull| (pull.from.token, pull.id))
    }

    fn remove(&mut self, i: usize) {
        self.len -= 1;
        self.cells[i] = self.cells[self.len];
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.cells[..self.len].iter().fold(Instant::FAR, |first, pull| first.min(pull.due))
    }

    /// Whom to ask now, if anybody. Pulls without an answer so far turn to the next provider, or end.
    pub(crate) fn whom(&mut self, now: Instant) -> Option<Provider> {
        let mut i = 0;
        while i < self.len {
            let pull = &mut self.cells[i];
            if pull.due > now {
                i += 1;
            } else if pull.left == 0 && pull.missed == 0 {
                self.remove(i);
            } else {
                if pull.tries > 0 && pull.other.is_somebody() {
                    // Its answer may have been lost: it has its turn again.
                    core::mem::swap(&mut pull.from, &mut pull.other);
                }
                return Some(pull.from);
            }
        }
        None
    }

    /// Goes through what `from` is to be asked for now; `take` returns false when there is no more room.
    pub(crate) fn ask(
        &mut self,
        from: Provider,
        now: Instant,
        overdue: Duration,
        mut take: impl FnMut(EventId) -> bool,
    ) -> u64 {
        let mut asked = 0;
        for pull in &mut self.cells[..self.len] {
            if pull.from == from && pull.due <= now && pull.left > 0 {
                if !take(pull.id) {
                    break;
                }
                pull.due = now + patience(overdue, pull.tries);
                pull.tries = pull.tries.saturating_add(1);
                pull.left -= 1;
                asked += 1;
            }
        }
        asked
    }
}

/// How long an answer to a pull may take before it is asked for again, at first. Over long links two thirds of what probes took at most of
/// late: where datagrams get lost, somebody among many lacks several answers in a row, and it costs the others a copy at most.
pub(super) fn overdue(config: &Settings, links: Links) -> Duration {
    config.probe_timeout.scaled(1, 10).max(links.round_trip.scaled(2, 3))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::kit::{addr, id};

    const OVERDUE: Duration = Duration::from_millis(50);

    fn provider(i: u8, asks: u8) -> Provider {
        Provider { addr: addr(i), token: i.into(), asks }
    }

    /// Who is asked at which time (ms), for as long as anything is left.
    fn asked(pulls: &mut Pulls<'_>) -> Vec<(u64, Address)> {
        let mut asked = Vec::new();
        let mut now = Instant::from_millis(0);
        while !pulls.is_empty() && asked.len() < 20 {
            if let Some(from) = pulls.whom(now) {
                assert!(pulls.ask(from, now, OVERDUE, |_| true) > 0);
                asked.push((now.as_micros() / 1_000, from.addr));
            }
            now = now.max(pulls.deadline());
        }
        asked
    }

    #[test]
    fn providers_take_turns_with_more_and_more_patience() {
        let mut cells = [Pull::EMPTY; 2];
        let mut pulls = Pulls::new(&mut cells);
        let now = Instant::from_millis(0);
        assert!(pulls.want(id(1, 1), provider(1, asks::PROVEN), now, OVERDUE, 9));
        assert!(pulls.want(id(1, 1), provider(2, asks::PROVEN), now, OVERDUE, 9));
        let asked = asked(&mut pulls);
        assert_eq!(asked.len(), asks::PROVEN as usize);
        let expected = [(0, 1), (50, 2), (100, 1), (200, 2), (400, 1)].map(|(at, i)| (at, addr(i)));
        assert_eq!(asked[..5], expected);
    }

    #[test]
    fn a_stranger_is_asked_twice_and_gives_way_to_whom_is_proven() {
        let mut cells = [Pull::EMPTY; 1];
        let mut pulls = Pulls::new(&mut cells);
        let now = Instant::from_millis(0);
        assert!(pulls.want(id(1, 1), provider(1, asks::STRANGER), now, OVERDUE, 9));
        assert!(!pulls.want(id(2, 1), provider(2, asks::STRANGER), now, OVERDUE, 9), "no room");
        assert!(pulls.want(id(3, 1), provider(3, asks::PROVEN), now, OVERDUE, 9));
        assert!(!pulls.done(id(1, 1)) && pulls.done(id(3, 1)));
        assert!(pulls.want(id(1, 1), provider(1, asks::STRANGER), now, OVERDUE, 9));
        assert_eq!(asked(&mut pulls).len(), 2);
    }

    #[test]
    fn who_does_not_hold_it_is_followed_by_who_may_and_strangers_by_nobody() {
        let mut cells = [Pull::EMPTY; 2];
        let mut pulls = Pulls::new(&mut cells);
        let now = Instant::from_millis(0);
        assert!(pulls.want(id(1, 1), provider(1, asks::PROVEN), now, OVERDUE, 9));
        assert!(pulls.want(id(1, 1), provider(2, asks::PROVEN), now, OVERDUE, 9));
        assert_eq!(pulls.missing(id(1, 1), addr(9), now), None, "nobody has asked it");
        assert_eq!(pulls.whom(now).map(|from| from.addr), Some(addr(1)));
        assert_eq!(pulls.missing(id(1, 1), addr(1), now), None, "the other one is asked");
        assert_eq!(pulls.whom(now).map(|from| from.addr), Some(addr(2)));
        assert_eq!(pulls.missing(id(1, 1), addr(2), now), Some(0), "nobody else is known to");
        pulls.turn_to(id(1, 1), Provider::unknowing(addr(3)), now, 1);
        assert_eq!(pulls.missing(id(1, 1), addr(3), now), Some(1));
        assert!(pulls.want(id(2, 1), provider(4, asks::STRANGER), now, OVERDUE, 9));
        assert_eq!(pulls.missing(id(2, 1), addr(4), now), None);
        assert!(!pulls.done(id(2, 1)), "it ends with that");
    }
}

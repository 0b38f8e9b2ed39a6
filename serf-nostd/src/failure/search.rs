//! The search for those who are left.
//!
//! One probe in a period finds who has died in a fleet that lives. Where most have died at once nearly every probe finds
//! nobody, those who are asked to help are dead as well, and what is told goes to the dead. So who has heard nobody for two
//! periods and a half, or has had two probes to which nobody said anything, probes [`WIDEST`] members in each period, until
//! three of eight answer. Whoever answers, or asks, is preferred meanwhile when a few are to be told something, or to help.
//!
//! A node whose own link comes and goes, or loses most of what it sends, finds nobody either. So a search proves nothing in a period of
//! which not both halves have brought an answer, nor of a member of which no helper has said that it does not answer. Only a
//! node that has heard nobody at all for as long as a suspicion may take comes to conclusions, which it keeps to itself
//! ([`Failure::is_proof`](super::Failure)).

use crate::time::Instant;

/// Probes that run at once at most.
pub(super) const WIDEST: usize = 8;

/// As many in the first period of a search: it may have been bad luck.
const FIRST: usize = 4;

/// Members that have been found, at most.
const FOUND: usize = 16;

/// So many probes to which nobody says anything begin a search, if none between them is answered.
const MISSED: u8 = 2;

#[derive(Debug)]
pub(super) struct Search {
    /// Probes of a period, one but in a search; and whether this period began in one.
    width: usize,
    own_period: bool,
    /// Probes to which nobody has said anything since one was answered.
    missed: u8,
    /// This period's probes, and how many of them have been answered.
    begun: u8,
    answered: u8,
    /// Where the second half of this period begins, and in which halves there was an answer of any kind.
    half: Instant,
    halves: [bool; 2],
    /// Who has answered or asked, the latest last.
    found: heapless::Vec<u16, FOUND>,
}

impl Search {
    pub(super) const fn new() -> Self {
        Search {
            width: 1,
            own_period: false,
            missed: 0,
            begun: 0,
            answered: 0,
            half: Instant::PAST,
            halves: [false; 2],
            found: heapless::Vec::new(),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.width > 1
    }

    /// A search begins with the next period. False if one is on.
    pub(super) fn begin(&mut self) -> bool {
        let begins = !self.is_on();
        self.width = self.width.max(FIRST);
        begins
    }

    /// A period begins: how many are probed in it.
    pub(super) fn next_period(&mut self, half: Instant) -> usize {
        // The period in which it began was none of its own.
        if self.own_period {
            let ends = self.answered * 8 >= self.begun * 3;
            self.width = if ends { 1 } else { WIDEST };
            self.missed = 0;
        }
        if !self.is_on() {
            self.found.clear();
        }
        self.own_period = self.is_on();
        (self.begun, self.answered, self.half, self.halves) = (0, 0, half, [false; 2]);
        self.width
    }

    /// A probe of this period has been sent.
    pub(super) fn begun(&mut self) {
        self.begun += 1;
    }

    /// A probe has not been answered; `alone`: none of those who were asked to help has said anything either. Returns whether
    /// there have been so many of these that a search is due.
    pub(super) fn unanswered(&mut self, id: u16, alone: bool) -> bool {
        self.missed = self.missed.saturating_add(alone as u8);
        self.forget(id);
        alone && self.missed >= MISSED
    }

    /// A probe has been answered.
    pub(super) fn answered(&mut self, id: u16) {
        (self.missed, self.answered) = (0, self.answered.saturating_add(1));
        self.finds(id);
    }

    /// A member has been heard that can be answered.
    pub(super) fn finds(&mut self, id: u16) {
        if self.is_on() && !self.found.contains(&id) {
            if self.found.is_full() {
                self.found.remove(0);
            }
            let _ = self.found.push(id);
        }
    }

    /// A member is no longer there.
    pub(super) fn forget(&mut self, id: u16) {
        self.found.retain(|found| *found != id);
    }

    /// Those that have been found.
    pub(super) fn found(&self) -> &[u16] {
        &self.found
    }

    /// Somebody has answered a question of any kind.
    pub(super) fn hears_answer(&mut self, now: Instant) {
        self.halves[(now >= self.half) as usize] = true;
    }

    /// Whether both halves of this period have brought an answer.
    pub(super) fn hears_answers(&self) -> bool {
        self.halves == [true; 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A period with so many probes, of which so many are answered: how many the next one has.
    fn period(search: &mut Search, begun: usize, answered: u16) -> usize {
        (0..begun).for_each(|_| search.begun());
        (0..answered).for_each(|id| search.answered(id));
        search.next_period(Instant::PAST)
    }

    #[test]
    fn two_misses_in_a_row_begin_it_and_three_answers_of_eight_end_it() {
        let mut search = Search::new();
        assert_eq!(period(&mut search, 1, 0), 1);
        assert!(!search.unanswered(1, true));
        search.answered(2);
        assert!(!search.unanswered(1, true) && !search.unanswered(2, false) && search.unanswered(3, true));
        assert!(search.begin() && !search.begin());
        assert_eq!(period(&mut search, 1, 0), FIRST, "the period in which it began says nothing");
        assert_eq!(period(&mut search, FIRST, 1), WIDEST);
        assert_eq!(period(&mut search, WIDEST, 2), WIDEST);
        assert_eq!(search.found(), [0, 1]);
        assert_eq!(period(&mut search, WIDEST, 3), 1);
        assert!(!search.is_on() && search.found().is_empty());
    }

    #[test]
    fn who_was_found_last_is_remembered_until_it_does_not_answer() {
        let mut search = Search::new();
        search.finds(1);
        assert!(search.found().is_empty(), "nobody is looked for");
        search.begin();
        (0..=FOUND as u16).chain([FOUND as u16]).for_each(|id| search.finds(id));
        assert_eq!((search.found().len(), search.found()[0]), (FOUND, 1));
        search.unanswered(1, false);
        assert_eq!(search.found()[0], 2);
    }

    #[test]
    fn it_proves_something_when_both_halves_of_a_period_bring_an_answer() {
        let (mut search, half) = (Search::new(), Instant::from_millis(500));
        search.next_period(half);
        search.hears_answer(Instant::from_millis(499));
        assert!(!search.hears_answers());
        search.hears_answer(half);
        assert!(search.hears_answers());
        search.next_period(half);
        assert!(!search.hears_answers());
    }
}

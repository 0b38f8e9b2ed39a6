//! When what this node knows may be compared with others': not while things are moving, and less often while nothing comes of
//! it.

use crate::time::{Duration, Instant};

/// Rest after a comparison that found nothing new: doubled each time, up to the second figure.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(64));

/// Of comparisons of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// What this node knows last changed then.
    changed: Instant,
    /// No comparison before this.
    next: Instant,
    rest: Duration,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Backoff { changed: Instant::PAST, next: Instant::PAST, rest: REST.0 }
    }

    /// Something new is known.
    pub(crate) fn changed(&mut self, now: Instant) {
        self.changed = now;
        self.rest = REST.0;
        self.next = self.next.min(now + REST.0);
    }

    /// Whether the last change was no longer ago than `span`.
    pub(crate) fn moved_within(&self, now: Instant, span: Duration) -> bool {
        now.since(self.changed) <= span
    }

    /// Whether the last change was longer ago than `span`.
    pub(crate) fn is_quiet(&self, now: Instant, span: Duration) -> bool {
        now.since(self.changed) >= span
    }

    /// Whether a comparison may begin: `quiet` after the last change, or if the last one was a while ago.
    pub(crate) fn may_begin(&self, now: Instant, quiet: Duration) -> bool {
        now >= self.next && (self.is_quiet(now, quiet) || now.since(self.next) >= REST.0.times(3))
    }

    /// A comparison was not answered to its end: it has not shown that there is nothing new.
    pub(crate) fn broken_off(&mut self, now: Instant) {
        self.rest = REST.0;
        self.next = now + REST.0;
    }

    /// A comparison begins.
    pub(crate) fn begun(&mut self, now: Instant) {
        self.next = now + self.rest;
        self.rest = self.rest.times(2).min(REST.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_rest_is_compared_less_and_less_often_and_a_change_ends_that() {
        let mut backoff = Backoff::new();
        let mut rests = std::vec::Vec::new();
        let mut now = Instant::from_millis(1_000_000);
        for _ in 0..8 {
            assert!(backoff.may_begin(now, Duration::ZERO));
            backoff.begun(now);
            let rest = (0..).find(|s| backoff.may_begin(now + Duration::from_secs(*s), Duration::ZERO));
            rests.push(rest.expect("some time"));
            now += Duration::from_secs(rests[rests.len() - 1]);
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 64, 64]);
        backoff.begun(now);
        backoff.changed(now);
        assert!(!backoff.may_begin(now, Duration::ZERO), "not at once");
        assert!(backoff.may_begin(now + Duration::from_secs(1), Duration::ZERO));
    }

    #[test]
    fn while_things_move_nothing_is_compared_but_not_for_ever() {
        let at = Instant::from_millis;
        let (mut backoff, quiet) = (Backoff::new(), Duration::from_millis(500));
        backoff.begun(at(1_000));
        let begins = (1_000..10_000).step_by(100).find(|ms| {
            backoff.changed(at(*ms));
            backoff.may_begin(at(*ms), quiet)
        });
        assert_eq!(begins, Some(5_000), "three rests after it might have begun");
        backoff.begun(at(5_000));
        backoff.broken_off(at(5_500));
        assert!(!backoff.may_begin(at(6_400), Duration::ZERO));
        assert!(backoff.may_begin(at(6_500), Duration::ZERO), "one without an end counts for nothing");
    }
}

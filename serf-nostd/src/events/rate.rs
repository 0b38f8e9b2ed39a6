//! How many new events are taken in: M / 4 a second, in bursts of M, whoever fires them. A flood then moves the floor no
//! faster than what is missing can be repaired.
//!
//! Others do the same and see the same events, so an origin knows what they can take. It stops at half of a burst: the
//! other half is for what is under way to it. And as it hears of others' events only when they have come, it fires in
//! each beat no more than its share of what all may fire at once; a beat is as long as a question and its answer take. Who
//! has used up its share, and has heard of nobody else's events for some beats, may take twice as much in the next one.

use crate::time::{Duration, Instant};

/// Within this time an event has come to most others where links are short.
const BEAT: Duration = Duration::from_millis(10);
/// So many beats without others' events, and nobody else fires.
const QUIET: u32 = 4;
/// Of what may be taken in at once one origin takes no more than one in so many in a beat.
const MOST: u32 = 8;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// M.
    capacity: u32,
    /// New events that may be taken in now.
    taken: u32,
    /// New events that all together may fire now: what this node only catches up with, others have long had. At least as
    /// many as may be taken in.
    fired: u32,
    /// Since when time has not been counted.
    since: Instant,
    /// Own events in the beat that began then.
    own: (u32, Instant),
    /// How often the share has been doubled.
    doubled: u8,
    /// When an event of somebody else came.
    heard: Instant,
    /// When one will do, since an own event was refused.
    retry: Instant,
}

impl Rate {
    pub(crate) fn new(capacity: usize, now: Instant) -> Self {
        let capacity = capacity as u32;
        Rate {
            capacity,
            taken: capacity,
            fired: capacity,
            since: now,
            own: (0, now),
            doubled: 0,
            heard: now,
            retry: Instant::FAR,
        }
    }

    /// Takes a new event in; false if it comes too fast. `late`: it was asked for, because it did not come by itself.
    pub(crate) fn take(&mut self, now: Instant, late: bool) -> bool {
        self.refill(now);
        if self.taken == 0 {
            return false;
        }
        self.taken -= 1;
        self.fired -= !late as u32;
        if !late {
            self.heard = now;
        }
        true
    }

    /// How many new events may be taken in now.
    pub(crate) fn left(&mut self, now: Instant) -> usize {
        self.refill(now);
        self.taken as usize
    }

    /// Takes an own event in, in a fleet of `live` whose members answer within `round_trip`, over links that may be `lossy`; false if
    /// others might shed it.
    pub(crate) fn fire(&mut self, now: Instant, live: usize, round_trip: Duration, lossy: bool) -> bool {
        self.refill(now);
        let beat = BEAT.max(round_trip);
        let least = (self.capacity / 4 / live as u32).max(1);
        let most = least.max(self.capacity / MOST);
        let share = |doubled: u8| (least << doubled).min(most);
        if now.since(self.own.1) >= beat {
            let alone = now.since(self.heard) >= beat.times(QUIET);
            let goes_on = now.since(self.own.1) < beat.times(QUIET) && self.own.0 >= share(self.doubled);
            let doubles = alone && goes_on && !lossy;
            self.doubled = if doubles { (self.doubled + 1).min(16) } else { 0 };
            self.own = (0, now);
        }
        if self.own.0 >= share(self.doubled) {
            self.retry = self.own.1 + beat;
            return false;
        }
        if self.fired <= self.capacity / 2 {
            self.retry = self.since + self.gain(self.capacity / 2 + 1 - self.fired);
            return false;
        }
        self.own.0 += 1;
        self.fired -= 1;
        self.taken = self.taken.saturating_sub(1);
        self.retry = Instant::FAR;
        true
    }

    /// When an own event that was refused may be tried again; nothing to wait for once that has come.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        if self.retry > now { self.retry } else { Instant::FAR }
    }

    /// How long until `count` more may be taken in.
    fn gain(&self, count: u32) -> Duration {
        Duration::from_micros((count as u64 * 4_000_000).div_ceil(self.capacity as u64))
    }

    fn refill(&mut self, now: Instant) {
        let gained = now.since(self.since).as_micros().saturating_mul(self.capacity as u64) / 4_000_000;
        if gained >= (self.capacity - self.taken) as u64 {
            (self.taken, self.fired, self.since) = (self.capacity, self.capacity, now);
        } else {
            self.taken = self.capacity.min(self.taken + gained as u32);
            self.fired = self.capacity.min(self.fired + gained as u32);
            self.since += Duration::from_micros(gained * 4_000_000 / self.capacity as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_m_then_a_quarter_of_it_each_second() {
        let at = Instant::from_millis;
        let mut rate = Rate::new(400, at(0));
        assert_eq!((0..500).filter(|_| rate.take(at(0), false)).count(), 400);
        // However often it is asked, nothing of the time is lost.
        assert_eq!(
            (0..10_000).filter(|micros| rate.take(Instant::from_micros(100 * micros), false)).count(),
            99
        );
        assert_eq!((0..500).filter(|_| rate.take(at(60_000), false)).count(), 400);
    }

    #[test]
    fn own_events_keep_to_their_share_of_half_a_burst_and_are_told_when_to_come_again() {
        let mut now = Instant::from_millis(1_000);
        let mut rate = Rate::new(400, now);
        let mut fired = 0;
        let mut beats = 0;
        while fired < 300 {
            let before = fired;
            // Others fire as well.
            rate.heard = now;
            while rate.fire(now, 10, Duration::ZERO, false) {
                fired += 1;
            }
            assert!(fired - before <= 10, "a tenth of a quarter of M in each beat");
            beats += (fired - before == 10) as u32;
            let next = rate.deadline(now);
            assert_eq!(rate.deadline(next), Instant::FAR);
            now = next;
        }
        assert!(beats >= 20, "half of a burst at once");
        assert!(now.since(Instant::from_millis(1_000)) >= Duration::from_millis(800), "then as time goes");
        assert_eq!((0..500).filter(|_| rate.take(now, false)).count(), 201, "others find their half free");
    }

    /// What is fired in each of twelve beats by who fires as much as it may: others are heard in the eighth.
    fn beats(lossy: bool) -> [u32; 12] {
        let mut rate = Rate::new(4_000, Instant::from_millis(0));
        core::array::from_fn(|beat| {
            let now = Instant::from_millis(1_000 + 10 * beat as u64);
            if beat == 7 {
                assert!(rate.take(now, false));
            }
            (0..4_000).take_while(|_| rate.fire(now, 50, Duration::ZERO, lossy)).count() as u32
        })
    }

    #[test]
    fn who_fires_alone_doubles_its_share_until_it_hears_somebody() {
        assert_eq!(beats(false), [20, 40, 80, 160, 320, 500, 500, 20, 20, 20, 20, 40]);
        assert_eq!(beats(true), [20; 12], "where packets get lost others may not be heard");
    }

    #[test]
    fn who_catches_up_may_fire_all_the_same() {
        let now = Instant::from_millis(1_000);
        let mut rate = Rate::new(400, now);
        assert_eq!((0..500).filter(|_| rate.take(now, true)).count(), 400);
        assert!(rate.fire(now, 10, Duration::ZERO, false), "the others have long had all that");
        assert!(!rate.take(now, false), "but it can take no more in");
    }
}

//! An alarm that is a descriptor of the system's: tokio's timers wake an idle process two or three times before they go off, and cost more
//! where one is set anew far more often than that.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustix::time::{timerfd_create, timerfd_settime};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::descriptor::register;

/// It goes off up to so much later than it was to.
const SLACK: Duration = Duration::from_millis(1);
/// One that goes off so soon is left to do so, also if that is too early by now.
const SOON: Duration = Duration::from_millis(4);

/// An alarm.
#[derive(Debug)]
pub(crate) struct Timer {
    descriptor: AsyncFd<OwnedFd>,
    /// When it goes off, if it is set.
    due: Option<Instant>,
}

impl Timer {
    /// One that is not set.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = register(timerfd_create(TimerfdClockId::Monotonic, flags)?, Interest::READABLE)?;
        Ok(Timer { descriptor, due: None })
    }

    /// Has it go off then, or a little later, or perhaps some ms too early.
    pub(crate) fn set(&mut self, due: Instant) {
        let now = Instant::now();
        if let Some(set) = self.due {
            let early = set <= due && set <= now + SOON;
            let late = due <= set && set <= due + SLACK;
            if early || late {
                return;
            }
        }
        // To a whole millisecond, so that what is due in one is done at once; 0 would be never.
        let millis = due.saturating_duration_since(now).as_micros().div_ceil(1_000).max(1) as u64;
        let wait = Duration::from_millis(millis);
        let spec = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: never, it_value: spec };
        // It takes every span that a clock can show.
        let set = timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &spec);
        self.due = set.is_ok().then_some(now + wait);
    }

    /// Waits until it goes off. May be dropped while waiting.
    pub(crate) async fn fired(&mut self) {
        while let Ok(mut ready) = self.descriptor.readable().await {
            let read = ready.try_io(|descriptor| Ok(rustix::io::read(descriptor, &mut [0; 8])?));
            if matches!(read, Ok(Ok(_))) {
                // It is read, and not set anew: there is nothing more.
                ready.clear_ready();
                self.due = None;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_off_no_earlier_than_it_was_set_to_at_first_and_can_be_set_again() {
        let mut timer = Timer::new().unwrap();
        let began = Instant::now();
        timer.set(began + Duration::from_secs(3_600));
        timer.set(began + Duration::from_millis(20));
        timer.fired().await;
        assert!(began.elapsed() >= Duration::from_millis(20));
        let again = Instant::now();
        timer.set(again);
        timer.fired().await;
        assert_eq!(timer.due, None);
    }

    #[tokio::test]
    async fn who_is_to_go_off_soon_is_left_alone() {
        let mut timer = Timer::new().unwrap();
        let now = Instant::now();
        timer.set(now + Duration::from_millis(2));
        let set = timer.due;
        timer.set(now + Duration::from_secs(10));
        assert_eq!(timer.due, set);
        timer.fired().await;
        timer.set(now + Duration::from_secs(10));
        assert!(timer.due > set);
        timer.set(now + Duration::from_secs(10));
        timer.set(now + Duration::from_secs(5));
        assert!(timer.due < Some(now + Duration::from_secs(6)));
    }
}

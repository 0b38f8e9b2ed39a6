//! Whoever has missed events gets them in any order, the newest first. So what it hands out waits while it catches up, and is put in
//! order meanwhile. With the feature `recall`: a board hands out what comes.

use super::Events;
use super::store::Pin;
use crate::time::{Duration, Instant};
use crate::wire::packet::DATAGRAM_MAX;

/// How long that may take, from when there is somebody to catch up with.
const LONGEST: Duration = Duration::from_secs(5);
/// How long nobody may have shown to have seen more, after somebody has shown to have seen no more: that one may have begun just now, too.
const CALM: Duration = Duration::from_secs(1);

/// Whether what is to be handed out waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Off,
    /// As soon as there is somebody to catch up with.
    Begins,
    /// Until the second one at the latest.
    Until(Instant, Instant),
}

impl Events<'_> {
    /// It has missed events, which are wanted.
    pub(crate) fn hold(&mut self) {
        self.hold = Hold::Begins;
    }

    /// What holds: nothing without the feature, and then nothing of this is compiled.
    pub(super) fn held(&self) -> Hold {
        if cfg!(feature = "recall") { self.hold } else { Hold::Off }
    }

    /// Another member has seen what this one has seen, or (`differs`) has not, or more.
    pub(crate) fn compared(&mut self, now: Instant, differs: bool) {
        self.catching_up &= differs;
        if let Hold::Until(end, latest) = self.held() {
            self.hold = Hold::Until(if differs { latest } else { (now + CALM).min(end) }, latest);
        }
    }

    /// Whether what is to be handed out waits, as far as is known.
    pub(crate) fn is_held(&self) -> bool {
        self.hold_deadline() < Instant::FAR
    }

    /// Nothing is to wait any more, for others or for later values. Whether anything has.
    pub(crate) fn end_windows(&mut self) -> bool {
        let held = self.held() != Hold::Off && self.waiting.len() > 0;
        self.hold = Hold::Off;
        let windows = self.coalescer.held() > 0;
        while let Some(slot) = self.coalescer.oldest() {
            self.window_ended(slot);
        }
        held || windows
    }

    /// Whether what is to be handed out waits. `accompanied`: there are others.
    pub(crate) fn holds(&mut self, now: Instant, accompanied: bool) -> bool {
        match self.held() {
            Hold::Begins if accompanied => self.hold = Hold::Until(now + LONGEST, now + LONGEST),
            // What waits must not be in the way of what comes.
            Hold::Until(end, _) if now >= end || self.store.quota_full(Pin::Application, DATAGRAM_MAX) => {
                self.hold = Hold::Off
            }
            _ => {}
        }
        matches!(self.held(), Hold::Until(..))
    }

    pub(super) fn hold_deadline(&self) -> Instant {
        match self.held() {
            Hold::Until(end, _) if self.waiting.len() > 0 => end,
            _ => Instant::FAR,
        }
    }
}

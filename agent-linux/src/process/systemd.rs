//! What systemd is told of an agent that it has started with `Type=notify`: when it is ready, when it reads its configuration again, and that it
//! is alive. Without systemd nothing is told to anybody.

use std::env;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::{sleep, timeout};

use crate::agent::handle::Handle;

/// Where news for systemd goes: to a thread of its own, as whoever should read it may not.
#[derive(Clone, Debug)]
pub(super) struct Systemd {
    news: Option<Sender<Vec<NotifyState<'static>>>>,
}

impl Systemd {
    /// If it has started this process.
    pub(super) fn new() -> Systemd {
        let (news, told) = mpsc::channel::<Vec<NotifyState<'static>>>();
        let tell = move || {
            for news in told {
                if let Err(error) = notify(&news) {
                    log::debug!(target: "agent", "systemd could not be told {news:?}: {error}");
                }
            }
        };
        let is_there = env::var_os("NOTIFY_SOCKET").is_some();
        // Without a thread nobody is told; an agent that cannot have one has other troubles.
        let thread = is_there.then(|| thread::Builder::new().name("systemd".to_owned()).spawn(tell));
        Systemd { news: matches!(thread, Some(Ok(_))).then_some(news) }
    }

    /// It may be used: it has joined, or is not to join anybody.
    pub(super) fn ready(&self) {
        self.tell(vec![NotifyState::Ready, NotifyState::Status("running")]);
    }

    /// It is not ready before it has joined.
    pub(super) fn joining(&self) {
        self.tell(vec![NotifyState::Status("joining")]);
    }

    /// It reads its configuration again; [`Systemd::ready`] follows.
    pub(super) fn reloading(&self) {
        // Without a clock systemd would not believe it.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.tell(vec![NotifyState::Reloading, now]);
        }
    }

    /// It ends.
    pub(super) fn stopping(&self) {
        self.tell(vec![NotifyState::Stopping]);
    }

    /// Says twice in each time that systemd allows that the run loop does its work, as long as it does.
    pub(super) async fn feed_watchdog(self, handle: Handle) {
        let Some(allowed) = watchdog_enabled() else { return };
        let pause = (allowed / 2).max(Duration::from_millis(1));
        loop {
            // Whatever it answers: it answers.
            if let Ok(Ok(_)) = timeout(allowed, handle.why(String::new())).await {
                self.tell(vec![NotifyState::Watchdog]);
            }
            sleep(pause).await;
        }
    }

    fn tell(&self, news: Vec<NotifyState<'static>>) {
        if let Some(to) = &self.news {
            // The thread ends with the process.
            let _ = to.send(news);
        }
    }
}

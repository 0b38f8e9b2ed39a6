//! What SIGINT, SIGTERM, SIGHUP and SIGUSR1 do to the agent.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{self, SignalKind};

/// How long a graceful leave may take before the agent gives up on it. Serf cuts it off after 3 s although its own
/// waits add up to 11 s, so that nodes of large clusters end as failed; this is above that sum.
pub const LEAVE_LIMIT: Duration = Duration::from_secs(15);

/// A signal the agent acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP.
    Hangup,
    /// SIGUSR1.
    User1,
}

impl Signal {
    /// The name that Serf prints behind `Caught signal:`.
    pub fn as_str(self) -> &'static str {
        match self {
            Signal::Interrupt => "interrupt",
            Signal::Terminate => "terminated",
            Signal::Hangup => "hangup",
            Signal::User1 => "user defined signal 1",
        }
    }
}

/// The settings that bear on signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// SIGTERM leaves the cluster in good order.
    pub leave_on_terminate: bool,
    /// SIGINT does not.
    pub skip_leave_on_interrupt: bool,
}

/// What the agent is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Print the counters, keep running.
    Dump,
    /// Read the configuration again, keep running.
    Reload,
    /// Leave the cluster; exit code 0 once that is done, 1 if it takes longer than [`LEAVE_LIMIT`].
    Leave,
    /// End at once with exit code 1; the others will see this node as failed.
    Exit,
}

/// Serf's rules. While the node is `leaving`, any further signal ends the agent at once, but for SIGUSR1.
pub fn decide(signal: Signal, policy: Policy, leaving: bool) -> Action {
    match signal {
        Signal::User1 => Action::Dump,
        _ if leaving => Action::Exit,
        Signal::Hangup => Action::Reload,
        Signal::Interrupt if !policy.skip_leave_on_interrupt => Action::Leave,
        Signal::Terminate if policy.leave_on_terminate => Action::Leave,
        Signal::Interrupt | Signal::Terminate => Action::Exit,
    }
}

/// The signals of this process, caught from [`Signals::listen`] on.
#[derive(Debug)]
pub struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
    user1: unix::Signal,
    /// Caught and passed over, as by Go's programs: SIGUSR2, SIGALRM; and that a file has reached its greatest length, such as the log
    /// under `ulimit -f`: the write fails, and nothing else.
    _passed_over: [unix::Signal; 3],
}

impl Signals {
    /// Starts to catch them; needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// Whatever the system refuses.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hangup: unix::signal(SignalKind::hangup())?,
            user1: unix::signal(SignalKind::user_defined1())?,
            _passed_over: [
                unix::signal(SignalKind::user_defined2())?,
                unix::signal(SignalKind::alarm())?,
                unix::signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
            ],
        })
    }

    /// The next signal. Equal ones that arrive before it is asked for count once. May be dropped while waiting.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.hangup.recv() => Signal::Hangup,
            _ = self.user1.recv() => Signal::User1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_leave_or_exit_as_the_settings_say() {
        use Action::*;
        use Signal::*;
        for (signal, leave_on_terminate, skip_leave_on_interrupt, leaving, action) in [
            (Interrupt, false, false, false, Leave),
            (Interrupt, false, true, false, Exit),
            (Interrupt, true, true, false, Exit),
            (Terminate, false, false, false, Exit),
            (Terminate, true, false, false, Leave),
            (Terminate, true, true, false, Leave),
            (Hangup, false, false, false, Reload),
            (Hangup, true, true, false, Reload),
            (Interrupt, false, false, true, Exit),
            (Terminate, true, false, true, Exit),
            (Hangup, false, false, true, Exit),
            (User1, false, false, false, Dump),
            (User1, true, true, true, Dump),
        ] {
            let policy = Policy { leave_on_terminate, skip_leave_on_interrupt };
            assert_eq!(decide(signal, policy, leaving), action, "{signal:?} {policy:?} leaving: {leaving}");
        }
    }

    #[tokio::test]
    async fn a_signal_sent_to_the_process_arrives() {
        let mut signals = Signals::listen().unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
        let next = tokio::time::timeout(Duration::from_secs(60), signals.next()).await;
        assert_eq!(next, Ok(Signal::Hangup));
    }
}

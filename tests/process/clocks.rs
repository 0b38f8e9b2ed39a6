//! The machine's clock is set while agents run, and between two runs. libfaketime shows the agents another wall clock
//! than the machine has: whatever decides by it would be led astray.

use std::env;
use std::fs;
use std::path::PathBuf;

use crate::harness::{Agent, Scratch, Setup, fleet, ours, run, wait_until};

/// A wall clock that can be set. The monotonic clock is left alone, as it is when a machine's clock is set.
struct Clock {
    offset: PathBuf,
    library: PathBuf,
    _scratch: Scratch,
}

impl Clock {
    /// `None` without libfaketime, which `tests/run` fetches.
    fn new() -> Option<Clock> {
        let Some(library) = env::var_os("SERF_FAKETIME").map(PathBuf::from) else {
            eprintln!("SERF_FAKETIME does not name libfaketime (`tests/run process` fetches it): not tried");
            return None;
        };
        let scratch = Scratch::new();
        let offset = scratch.write("offset", "+0");
        Some(Clock { offset, library, _scratch: scratch })
    }

    /// From now on that much off, such as `-400d`.
    fn set(&self, offset: &str) {
        fs::write(&self.offset, offset).expect("the scratch folder can be written");
    }

    fn show(&self, setup: Setup) -> Setup {
        setup.through([
            "env".into(),
            variable("LD_PRELOAD=", &self.library),
            variable("FAKETIME_TIMESTAMP_FILE=", &self.offset),
            "FAKETIME_NO_CACHE=1".into(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".into(),
        ])
    }
}

fn variable(name: &str, path: &PathBuf) -> std::ffi::OsString {
    let mut variable = std::ffi::OsString::from(name);
    variable.push(path);
    variable
}

/// The year of an agent's last log line.
fn year(agent: &Agent) -> i32 {
    let printed = agent.printed();
    let last = printed.lines().rev().find_map(|line| line.trim().get(..4)?.parse().ok());
    last.expect("lines of the log begin with the date")
}

#[test]
fn a_clock_that_is_set_while_agents_run_changes_nothing() {
    let Some(clock) = Clock::new() else { return };
    let first = clock.show(Setup::new("n1")).start();
    let second = clock.show(Setup::new("n2")).join(&first).start();
    let third = Setup::new("n3").join(&first).start();
    let agents = [&first, &second, &third];
    for agent in agents {
        for name in ["n1", "n2", "n3"] {
            agent.wait_sees(name, "alive");
        }
    }
    let today = year(&third);
    for (number, offset) in ["+1000d", "-1000d", "+5000d", "+0"].into_iter().enumerate() {
        clock.set(offset);
        for (agent, coalesce) in [(&first, "true"), (&third, "false")] {
            let payload = format!("{number} {coalesce}");
            let sent = agent.cli(["event", &format!("-coalesce={coalesce}"), "set", &payload]);
            assert_eq!(sent.code, 0, "{}", sent.text());
            for agent in agents {
                wait_until("the event at every handler", || {
                    agent.recorder().payloads("set").contains(&payload)
                });
            }
        }
        assert_eq!(year(&first) == today, offset == "+0", "the agent is shown a clock that is {offset} off");
    }
    for agent in agents {
        for name in ["n1", "n2", "n3"] {
            assert_eq!(agent.members()[name], "alive");
            assert_eq!(agent.recorder().count("member-failed", name), 0, "{name} was there all the time");
        }
    }
}

/// It starts two days behind, and learns the time: signatures of today are today's then.
#[test]
fn an_agent_whose_clock_is_set_after_its_start_takes_what_is_signed() {
    let Some(clock) = Clock::new() else { return };
    let scratch = Scratch::new();
    let (key, config) = (scratch.file("operator.key"), scratch.file("authority.json"));
    let sign = format!("-sign={}", key.display());
    let public = run(ours(), ["keygen", &sign]).stdout;
    let settings = format!(r#"{{"event_authority":{{"{}":["reboot"]}}}}"#, public.trim_end());
    fs::write(&config, settings).expect("the scratch folder can be written");
    let config = format!("-config-file={}", config.display());
    let first = Setup::new("n1").arg(&*config).start();
    clock.set("-2d");
    let late = clock.show(Setup::new("n2")).arg(&*config).join(&first).start();
    first.wait_sees("n2", "alive");
    assert_eq!(late.cli(["event", "-coalesce=false", "log", "now"]).code, 0);
    let refused = late.cli(["event", "-coalesce=false", &sign, "reboot", "early"]);
    assert!(refused.code == 1 && refused.stdout.contains("within a day"), "{}", refused.text());
    clock.set("+0");
    wait_until("the time to be known", || {
        late.cli(["event", "-coalesce=false", &sign, "reboot", "own"]).code == 0
    });
    assert_eq!(first.cli(["event", "-coalesce=false", &sign, "reboot", "another's"]).code, 0);
    wait_until("both", || late.recorder().payloads("reboot") == ["own", "another's"]);
}

/// A machine without a battery for its clock: it starts in 1970 or so, and later learns the time.
#[test]
fn an_agent_whose_clock_was_set_between_two_runs_is_let_in_again() {
    let Some(clock) = Clock::new() else { return };
    let others = fleet(3);
    let mut setup = clock.show(Setup::new("late")).join(&others[0]);
    for (number, offset) in ["-10000d", "+0", "-10000d", "+400d"].into_iter().enumerate() {
        clock.set(offset);
        let agent = setup.start();
        let payload = number.to_string();
        for other in &others {
            other.wait_sees("late", "alive");
            agent.wait_sees(other.name(), "alive");
        }
        assert_eq!(
            year(&agent) == year(&others[0]),
            offset == "+0",
            "it is shown a clock that is {offset} off"
        );
        agent.rpc().event(b"up", payload.as_bytes(), false).expect("accepted");
        for other in &others {
            wait_until("the event at the others", || other.recorder().payloads("up").contains(&payload));
        }
        setup = agent.crash();
        for other in &others {
            other.wait_sees("late", "failed");
        }
    }
}

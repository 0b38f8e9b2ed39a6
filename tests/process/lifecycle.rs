//! Crash, return, leave: what the others see, what their handlers are told, how the process ends.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::harness::{Agent, Scratch, Setup, fleet, fleet_of, met, run, wait_until};

#[test]
fn a_crashed_agent_fails_returns_and_leaves_as_everyone_is_told() {
    let mut agents = met(4);
    let crashed = agents.pop().expect("four were started").crash();
    for agent in &agents {
        agent.wait_sees("n4", "failed");
        wait_until("member-failed at the handler", || agent.recorder().count("member-failed", "n4") == 1);
    }

    // The same name and address again.
    let mut returned = crashed.join(&agents[0]).start();
    for agent in &agents {
        agent.wait_sees("n4", "alive");
        wait_until("a second member-join at the handler", || {
            agent.recorder().count("member-join", "n4") == 2
        });
    }

    let end = returned.end_by("INT");
    assert_eq!(end.code, 0, "{}", end.text());
    for agent in &agents {
        agent.wait_sees("n4", "left");
        wait_until("member-leave at the handler", || agent.recorder().count("member-leave", "n4") == 1);
        assert_eq!(agent.recorder().count("member-failed", "n4"), 1, "leaving is not failing");
    }
}

#[test]
fn sigterm_ends_without_leaving() {
    let mut agents = fleet(3);
    let end = agents[2].end_by("TERM");
    assert_eq!(end.code, 1, "{}", end.text());
    for agent in &agents[..2] {
        agent.wait_sees("n3", "failed");
        assert_eq!(agent.recorder().count("member-leave", "n3"), 0);
    }
}

/// As Go Serf tells its metrics.
#[test]
fn sigusr1_tells_the_counters_and_ends_nothing() {
    let agents = fleet(2);
    agents[0].signal("USR1");
    wait_until("the counters on stderr", || agents[0].printed().contains("\tdatagrams_in = "));
    assert_eq!(agents[1].members()["n1"], "alive");
    assert_eq!(agents[0].members()["n2"], "alive", "it answers as before");
}

#[test]
fn signals_that_mean_nothing_end_nothing() {
    let agent = Setup::new("n1").start();
    for name in ["USR2", "ALRM"] {
        agent.signal(name);
    }
    assert_eq!(agent.cli(["info"]).code, 0);
}

/// The system sends it when a file that the agent writes would grow beyond `ulimit -f`: its log, say.
#[test]
fn sigxfsz_ends_nothing() {
    let agents = fleet(2);
    agents[0].signal("XFSZ");
    assert_eq!(agents[0].cli(["event", "after"]).code, 0, "it answers as before");
    wait_until("the event at the other one", || agents[1].user_events().len() == 1);
    assert_eq!(agents[1].members()["n1"], "alive");
}

#[test]
fn serf_leave_ends_the_agent_in_good_order() {
    let mut agents = fleet(3);
    let left = agents[2].cli(["leave"]);
    assert_eq!((left.stdout.as_str(), left.code), ("Graceful leave complete\n", 0));
    assert_eq!(agents[2].process().wait().code, 0);
    for agent in &agents[..2] {
        agent.wait_sees("n3", "left");
    }
}

/// Whether somebody is there to be told or not: its own handlers are.
#[test]
fn an_agent_that_leaves_alone_runs_its_own_handlers() {
    let leave: [fn(&Agent); 2] =
        [|agent| assert_eq!(agent.cli(["leave"]).code, 0), |agent| agent.signal("INT")];
    for leave in leave {
        let mut agents = met(2);
        let mut other = agents.remove(1);
        other.process().kill();
        let mut lone = agents.remove(0);
        lone.wait_sees("n2", "failed");
        leave(&lone);
        assert_eq!(lone.process().wait().code, 0);
        assert_eq!(lone.recorder().count("member-leave", "n1"), 1);
    }
}

/// Who is asked twice does not wait for scripts; the others have been told that it leaves.
#[test]
fn a_second_signal_ends_an_agent_that_waits_for_its_scripts() {
    let scratch = Scratch::new();
    let (begun, done) = (scratch.file("begun"), scratch.file("done"));
    let script = format!("touch {}; sleep 30; touch {}", begun.display(), done.display());
    let mut agents = fleet_of(2, |name| match name {
        "n1" => Setup::new(name).arg(format!("-event-handler=user:slow={script}")),
        _ => Setup::new(name),
    });
    agents[1].wait_sees("n1", "alive");
    assert_eq!(agents[0].cli(["event", "-coalesce=false", "slow"]).code, 0);
    wait_until("its script to run", || begun.exists());
    agents[0].signal("INT");
    wait_until("it to wait", || agents[0].printed().contains("Waiting up to 5 s for "));
    agents[1].wait_sees("n1", "left");
    let end = agents[0].end_by("INT");
    assert_eq!((end.code, done.exists()), (1, false), "{}", end.text());
    assert!(end.text().contains("Ended with 1 scripts still running"), "{}", end.text());
}

/// Impatience is no failure: an agent that is killed after it has said that it leaves has left.
#[test]
fn an_agent_that_is_killed_while_it_leaves_has_left() {
    for count in [2, 3] {
        let mut agents = fleet(count);
        let mut leaver = agents.remove(count - 1);
        let name = leaver.name().to_owned();
        leaver.signal("INT");
        wait_until("the others to hear that it leaves", || {
            agents.iter().all(|agent| ["leaving", "left"].contains(&agent.members()[&name].as_str()))
        });
        leaver.process().kill();
        for agent in &agents {
            agent.wait_sees(&name, "left");
            assert_eq!(agent.recorder().count("member-failed", &name), 0);
        }
    }
}

/// Also where it is back before anybody was told that it had failed: whoever keeps its address needs the new one.
#[test]
fn an_agent_that_comes_back_elsewhere_is_told_of() {
    let mut agents = met(3);
    agents.remove(2).crash();
    let _moved = Setup::new("n3").join(&agents[0]).start();
    for agent in &agents {
        wait_until("its return at the handler", || {
            let told = ["member-join", "member-update"].map(|event| agent.recorder().count(event, "n3"));
            told.iter().sum::<usize>() >= 2
        });
    }
}

#[test]
fn force_leave_turns_failed_into_left() {
    let mut agents = met(3);
    agents.pop().expect("three were started").crash();
    for agent in &agents {
        agent.wait_sees("n3", "failed");
    }
    let forced = agents[0].cli(["force-leave", "n3"]);
    assert_eq!((forced.text().as_str(), forced.code), ("", 0));
    for agent in &agents {
        agent.wait_sees("n3", "left");
        wait_until("member-leave at the handler", || agent.recorder().count("member-leave", "n3") == 1);
    }
}

/// In the words that Serf's users look for.
#[test]
fn a_crash_and_what_follows_can_be_read_in_the_log() {
    let mut agents = met(3);
    agents.pop().expect("three were started").crash();
    let told = |line: &str| agents.iter().any(|agent| agent.printed().contains(line));
    for line in [
        "[INFO] memberlist: Marking n3 as failed, its host refuses datagrams for it (1 peers were refused as well)",
        "[INFO] serf: EventMemberFailed: n3 127.",
        "[INFO] serf: attempting reconnect to n3 127.",
    ] {
        wait_until(line, || told(line));
    }
    assert_eq!(agents[0].cli(["force-leave", "-prune", "n3"]).code, 0);
    for line in
        ["[INFO] agent: Force leaving node (prune): n3", "[INFO] serf: EventMemberLeave (forced): n3 127."]
    {
        wait_until(line, || told(line));
    }
    assert_eq!(agents[1].cli(["leave"]).code, 0);
    assert!(told("[INFO] agent.ipc: Graceful leave triggered"));
}

/// What can be changed is, though something else can't.
#[test]
fn sighup_with_tags_that_are_too_long_says_so_and_changes_the_rest() {
    let scratch = Scratch::new();
    let file = scratch.write("serf.json", r#"{"tags": {"role": "web"}}"#);
    let agent = Setup::new("n1").arg(format!("-config-file={}", file.display())).start();
    agent.wait_sees("n1", "alive");
    let long = "x".repeat(600);
    scratch.write("serf.json", &format!(r#"{{"tags": {{"role": "{long}"}}, "log_level": "debug"}}"#));
    agent.signal("HUP");
    let told = "==> Failed to update tags: Encoded length of tags exceeds limit of 512 bytes";
    wait_until("what is wrong", || agent.printed().contains(told));
    assert!(agent.cli(["members"]).stdout.contains("role=web"));
    agent.rpc().event(b"deploy", b"", true).expect("it goes on");
    wait_until("a line of the new level", || {
        agent.printed().contains("[DEBUG] agent: Requesting user event send")
    });
}

/// Nobody writes to it yet: the agent goes on meanwhile, and takes the configuration when it comes.
#[test]
fn sighup_with_a_fifo_as_configuration_stops_nothing() {
    let scratch = Scratch::new();
    let file = scratch.write("serf.json", r#"{"tags": {"role": "web"}}"#);
    let mut agents = fleet_of(2, |name| match name {
        "n1" => Setup::new(name).arg(format!("-config-file={}", file.display())),
        _ => Setup::new(name),
    });
    fs::remove_file(&file).expect("it is ours");
    assert_eq!(run(Path::new("mkfifo"), [&file]).code, 0);
    agents[0].signal("HUP");
    agents[1].rpc().event(b"meanwhile", b"", false).expect("it is up");
    wait_until("the event at n1's handler", || !agents[0].user_events().is_empty());
    assert_eq!(agents[0].members()["n2"], "alive");

    // Opens when the agent has it open, too.
    fs::write(&file, r#"{"tags": {"role": "db"}}"#).expect("the agent reads it");
    wait_until("the new tag", || agents[1].cli(["members"]).stdout.contains("role=db"));

    // Nor does it keep the agent from ending.
    agents[0].signal("HUP");
    let end = agents[0].end_by("INT");
    assert_eq!(end.code, 0, "{}", end.text());
    agents[1].wait_sees("n1", "left");
}

/// What they have to say waits in a pipe that is full. The agent has other things to do, and ends when it is told to.
#[test]
fn counters_that_nobody_reads_hold_nothing_up() {
    let scratch = Scratch::new();
    let pipe = scratch.file("errors");
    assert_eq!(run(Path::new("mkfifo"), [&pipe]).code, 0);
    let script = format!("exec 2<>'{}'; exec \"$0\" \"$@\"", pipe.display());
    let mut agent = Setup::new("n1").through_script(&script).start();
    agent.wait_sees("n1", "alive");
    for _ in 0..1_000 {
        agent.signal("USR1");
        sleep(Duration::from_millis(2));
    }
    let joined = agent.cli(["join", "localhost:1"]);
    assert!(!joined.text().contains("i/o timeout"), "names are looked up: {}", joined.text());
    assert_eq!(agent.end_by("INT").code, 0);
}

#[test]
fn a_monitor_ends_with_its_agent() {
    let agents = fleet(1);
    let mut monitor = agents[0].start_cli(["monitor", "-log-level=debug"]);
    wait_until("the log at the monitor", || monitor.printed().contains("EventMemberJoin: n1"));
    assert_eq!(agents[0].cli(["event", "watched", "payload"]).code, 0);
    wait_until("the event at the monitor", || monitor.printed().contains("\"watched\""));
    drop(agents);
    let end = monitor.wait();
    assert_eq!(end.code, 1);
    assert!(end.text().contains("Remote side ended the monitor!"), "{}", end.text());
}

/// Ours only: Go's Serf has no such command.
#[test]
fn the_demo_runs_once_and_succeeds() {
    let demo = crate::harness::run(crate::harness::ours(), ["demo", "-once"]);
    assert_eq!(demo.code, 0, "{}", demo.text());
}

#[test]
fn sighup_changes_limits_as_well() {
    let scratch = Scratch::new();
    let file = scratch.write("serf.json", r#"{"event_handlers": ["user:slow=sleep 600"]}"#);
    let agent = Setup::new("n1").arg(format!("-config-file={}", file.display())).start();
    let long = "x".repeat(900);
    let fire = |payload: &str| agent.cli(["event", "-coalesce=false", "e", payload]);
    assert!(fire(&long).stdout.contains("exceeds configured limit of 512 bytes"));
    scratch.write(
        "serf.json",
        r#"{"user_event_size_limit": 1000, "handler_timeout": "100ms", "event_handlers": ["user:slow=sleep 600"]}"#,
    );
    agent.signal("HUP");
    wait_until("the new limit", || fire(&long).code == 0);
    assert_eq!(agent.cli(["event", "slow"]).code, 0);
    wait_until("the end of the script", || agent.info("handlers", "timed_out") == 1);
}

/// Handlers change, again and again, while events come in and wait for them.
#[test]
fn sighup_in_a_storm_of_events_loses_none_and_repeats_none() {
    let scratch = Scratch::new();
    let ran = scratch.file("ran");
    let settings = |label: &str| {
        let script = format!("read -r n; echo $n {label} >>'{}'", ran.display());
        scratch.write(
            "serf.json",
            &serde_json::json!({ "event_handlers": [format!("user:e={script}")] }).to_string(),
        )
    };
    let file = settings("a");
    let agents = fleet_of(2, |name| match name {
        "n1" => Setup::new(name).unhandled().arg(format!("-config-file={}", file.display())),
        _ => Setup::new(name),
    });
    let mut rpc = agents[1].rpc();
    for n in 0..600 {
        rpc.event(b"e", n.to_string().as_bytes(), false).expect("accepted");
        if n % 20 == 0 {
            settings(if n % 40 == 0 { "b" } else { "a" });
            agents[0].signal("HUP");
        }
    }
    let lines =
        || fs::read_to_string(&ran).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    wait_until("all", || lines().len() >= 600);
    let numbers: Vec<usize> =
        lines().iter().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    assert_eq!(numbers, (0..600).collect::<Vec<_>>(), "in order, each once");
    assert!(lines().iter().any(|line| line.ends_with(" b")), "the settings have changed meanwhile");
}

#[test]
fn sighup_joins_seeds_that_are_new() {
    let scratch = Scratch::new();
    let other = Setup::new("n2").start();
    let file = scratch.write("serf.json", "{}");
    let agent = Setup::new("n1").arg(format!("-config-file={}", file.display())).start();
    scratch.write(
        "serf.json",
        &serde_json::json!({ "retry_join": [other.address().gossip.to_string()] }).to_string(),
    );
    agent.signal("HUP");
    other.wait_sees("n1", "alive");
}

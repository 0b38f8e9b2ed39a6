//! Disks that are full: the agent goes on, and says what it could not write.

use std::fs;

use crate::harness::{Scratch, Setup, fleet_of, wait_until};

/// A handler whose disk has no more room fails each time; so says the log, and a count.
#[test]
fn a_handler_whose_disk_is_full_fails_and_is_counted() {
    let setup = |name: &str| match name {
        "n2" => Setup::new(name).unhandled().arg("-event-handler=user:save=cat >/dev/full"),
        _ => Setup::new(name),
    };
    let agents = fleet_of(2, setup);
    for number in 0..20 {
        agents[0].rpc().event(b"save", number.to_string().as_bytes(), false).expect("accepted");
    }
    wait_until("twenty failures", || agents[1].info("handlers", "failed") == 20);
    assert!(agents[1].printed().contains("Error invoking script 'cat >/dev/full'"));
    assert_eq!(agents[1].members()["n1"], "alive");
}

/// The log's disk fills, and later has room again.
#[test]
fn a_log_whose_disk_is_full_says_how_much_is_missing_once_there_is_room() {
    let scratch = Scratch::new();
    let disk = scratch.folder("disk");
    // Appended to, as service managers and shells do: others may then shorten it.
    let script = format!(
        "mount -t tmpfs -o size=16k tmpfs '{0}' && exec \"$0\" \"$@\" >>'{0}/log' 2>&1",
        disk.display()
    );
    let Some(setup) = Setup::new("n1").arg("-log-level=debug").through_mounting(&script) else {
        eprintln!("no namespaces for this user here: a full disk is not tried");
        return;
    };
    let full = setup.start();
    let other = Setup::new("n2").join(&full).start();
    let fire = |name: &str| full.rpc().event(name.as_bytes(), b"payload", false).expect("accepted");
    wait_until("lines to be lost", || {
        fire("filler");
        full.info("counters", "log_lines_lost") > 0
    });
    fire("full");
    for agent in [&full, &other] {
        wait_until("the event at the handler", || agent.recorder().payloads("full") == ["payload"]);
    }
    assert_eq!(other.members()["n1"], "alive");

    let log = format!("/proc/{}/root{}/log", full.pid(), disk.display());
    let emptied = fs::File::options().write(true).truncate(true).open(&log);
    emptied.expect("the agent's root is where its process is");
    fire("roomy");
    wait_until("the log to tell", || {
        fs::read_to_string(&log).is_ok_and(|log| log.contains("earlier log lines dropped"))
    });
}

#[test]
fn an_agent_whose_output_cannot_be_written_at_all_works() {
    let setup = |name: &str| match name {
        "n1" => Setup::new(name).through_script("exec \"$0\" \"$@\" >/dev/full 2>&1"),
        _ => Setup::new(name),
    };
    let mut agents = fleet_of(2, setup);
    assert_eq!(agents[1].cli(["event", "-coalesce=false", "still", "here"]).code, 0);
    for agent in &agents {
        wait_until("the event at the handler", || agent.recorder().payloads("still") == ["here"]);
    }
    assert!(agents[0].info("counters", "log_lines_lost") > 0);
    assert_eq!(agents[0].end_by("INT").code, 0);
}

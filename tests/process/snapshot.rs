//! Agents that are killed and come back: nothing twice, nothing lost, and among those they knew.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::harness::{Agent, Scratch, Setup, wait_until};

fn with_snapshot(name: &str, path: &Path) -> Setup {
    Setup::new(name).arg(format!("-snapshot={}", path.display()))
}

fn fire(agent: &Agent, name: &str, payload: &str) {
    agent.rpc().event(name.as_bytes(), payload.as_bytes(), false).expect("accepted");
}

/// Whether the handler has run for each of so many payloads, and for which ones not just once.
fn not_once(agent: &Agent, name: &str, count: usize) -> Vec<String> {
    let ran = agent.recorder().payloads(name);
    let times = |n: usize| ran.iter().filter(|payload| **payload == n.to_string()).count();
    (0..count).filter(|n| times(*n) != 1).map(|n| format!("{n}: {} times", times(n))).collect()
}

/// Events come all the time, from another agent and its own users, and it is killed in the midst of them, also of its scripts' starts.
#[test]
fn who_is_killed_again_and_again_runs_its_scripts_once_for_each_event() {
    let scratch = Scratch::new();
    let seed = Setup::new("n1").start();
    let mut killed = with_snapshot("n2", &scratch.file("snapshot")).join(&seed).start();
    seed.wait_sees("n2", "alive");
    let mut fired = 0;
    for life in 0..12 {
        for n in 0..40 {
            let from = if n % 8 == 7 { &killed } else { &seed };
            fire(from, "deploy", &fired.to_string());
            fired += 1;
        }
        // Not before it has shown what its own users fired, or that ends with it.
        wait_until("own events at the other one", || {
            let had = seed.recorder().payloads("deploy");
            (0..fired).filter(|n| n % 8 == 7).all(|n| had.contains(&n.to_string()))
        });
        std::thread::sleep(Duration::from_millis(13 * life % 60));
        killed = killed.crash().start();
    }
    wait_until("all events at the other one", || not_once(&seed, "deploy", fired).is_empty());
    wait_until("the last of them", || killed.recorder().payloads("deploy").len() >= fired - 1);
    fire(&seed, "end", "0");
    wait_until("what is fired at last", || killed.recorder().payloads("end") == ["0"]);
    assert_eq!(not_once(&killed, "deploy", fired), Vec::<String>::new());
}

/// A slow script, and a queue before it.
#[test]
fn scripts_that_had_not_begun_are_run_by_the_next_life_and_those_that_had_are_not() {
    let scratch = Scratch::new();
    let (begun, gate) = (scratch.file("begun"), scratch.file("gate"));
    let slow = format!(
        "read -r payload; echo \"$payload\" >>'{}'; while [ ! -e '{}' ]; do sleep 0.05; done",
        begun.display(),
        gate.display()
    );
    let setup = with_snapshot("n1", &scratch.file("snapshot"));
    let agent = setup.unhandled().arg(format!("-event-handler=user:slow={slow}")).start();
    let lines =
        || fs::read_to_string(&begun).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    for n in 0..10 {
        fire(&agent, "slow", &n.to_string());
    }
    wait_until("the first script", || lines() == ["0"]);
    wait_until("all to be taken in", || agent.info("handlers", "waiting") == 9);
    let agent = agent.crash().start();
    wait_until("the second script, by the next life", || lines() == ["0", "1"]);
    fs::write(&gate, "").expect("ours");
    wait_until("all", || lines().len() == 10);
    assert_eq!(lines(), (0..10).map(|n| n.to_string()).collect::<Vec<_>>(), "in order, each once");
    fire(&agent, "slow", "10");
    wait_until("news", || lines().len() == 11);
}

#[test]
fn who_comes_back_finds_the_others_by_itself_and_has_what_was_fired_meanwhile() {
    let scratch = Scratch::new();
    let path = scratch.file("snapshot");
    let others = crate::harness::fleet(2);
    let gone = with_snapshot("n3", &path).start();
    let joined = gone.cli(["join", &others[0].address().gossip.to_string()]);
    assert_eq!(joined.code, 0, "{}", joined.text());
    gone.wait_sees("n2", "alive");
    wait_until("both in its snapshot", || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        text.contains("alive: n1 ") && text.contains("alive: n2 ") && !text.contains("alive: n3")
    });
    let setup = gone.crash();
    others[0].wait_sees("n3", "failed");
    for n in 0..20 {
        fire(&others[0], "missed", &n.to_string());
    }
    assert_eq!(others[0].cli(["event", "value", "2"]).code, 0);
    let back = setup.start();
    assert!(back.printed().contains("Snapshot: true"));
    back.wait_sees("n1", "alive");
    wait_until("what it has missed", || not_once(&back, "missed", 20).is_empty());
    assert_eq!(
        back.recorder().payloads("missed"),
        Vec::from_iter((0..20).map(|n| n.to_string())),
        "in order"
    );
    wait_until("the last value", || back.recorder().payloads("value") == ["2"]);
    wait_until("the log's line", || back.printed().contains("serf: Re-joined to previously known nodes"));
}

/// What waits for later values when an agent ends, and nobody else has, is run by its next life.
#[test]
fn who_ends_forgets_nothing_that_waits_for_later_values() {
    for end in ["TERM", "INT"] {
        let scratch = Scratch::new();
        let mut agent = with_snapshot("n1", &scratch.file("snapshot")).start();
        assert_eq!(agent.cli(["event", "deploy", "v1"]).code, 0);
        let _ = agent.end_by(end);
        let agent = agent.crash().start();
        wait_until("its script", || agent.recorder().payloads("deploy") == ["v1"]);
    }
}

#[test]
fn who_has_left_comes_back_only_if_it_is_to() {
    let scratch = Scratch::new();
    let path = scratch.file("snapshot");
    let seed = Setup::new("n1").start();
    let mut gone = with_snapshot("n2", &path).join(&seed).start();
    gone.wait_sees("n1", "alive");
    wait_until("its snapshot", || fs::read_to_string(&path).is_ok_and(|text| text.contains("alive: n1 ")));
    assert_eq!(gone.cli(["leave"]).code, 0);
    assert_eq!(gone.process().wait().code, 0);
    let setup = gone.crash().without_seeds();
    let kept = fs::read(&path).expect("written");
    let alone = setup.clone().start();
    assert_eq!(alone.members().len(), 1);
    alone.crash();
    fs::write(&path, &kept).expect("ours");
    let back = setup.arg("-rejoin").start();
    back.wait_sees("n1", "alive");
    assert!(back.printed().contains("Ignoring previous leave in snapshot"));
}

/// A small disk that fills up, has room again, and fills up before a kill.
#[test]
fn a_full_disk_stops_nothing_and_is_used_again_when_there_is_room() {
    let scratch = Scratch::new();
    let disk = scratch.folder("disk");
    let script = format!(
        "mountpoint -q '{0}' || mount -t tmpfs -o size=256k tmpfs '{0}' && exec \"$0\" \"$@\"",
        disk.display()
    );
    let setup = with_snapshot("n1", &disk.join("snapshot"));
    let Some(setup) = setup.through_mounting(&script) else {
        eprintln!("no namespaces for this user here: a full disk is not tried");
        return;
    };
    let agent = setup.start();
    let other = Setup::new("n2").join(&agent).start();
    let inside = format!("/proc/{}/root{}", agent.pid(), disk.display());
    fire(&other, "first", "0");
    wait_until("an event", || agent.recorder().payloads("first") == ["0"]);
    let filler = format!("{inside}/filler");
    let fill = || {
        let mut file = fs::File::create(&filler).expect("the agent's root is where its process is");
        while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
    };
    fill();
    let errors = || agent.info("counters", "snapshot_errors");
    for n in 0..400 {
        fire(&other, "full", &n.to_string());
    }
    wait_until("events in spite of it", || not_once(&agent, "full", 400).is_empty());
    wait_until("it to be told of", || errors() > 0);
    assert!(agent.printed().contains("Failed to update snapshot: no space left on device"));
    let state = || fs::read_to_string(format!("{inside}/snapshot")).unwrap_or_default();
    assert!(state().lines().next().is_some_and(|line| line.contains(" behind ")), "{}", state());
    fs::remove_file(&filler).expect("there");
    wait_until("all to be written again", || {
        agent.printed().contains("all of it is written again") && state().contains(" open ")
    });
    fire(&other, "roomy", "0");
    wait_until("an event", || agent.recorder().payloads("roomy") == ["0"]);
    wait_until("it in the snapshot", || state().contains("\"roomy\" \"0\""));
}

#[test]
fn what_is_no_snapshot_is_refused_with_what_to_do_and_an_agent_that_has_it_as_well() {
    let scratch = Scratch::new();
    let wrong = scratch.write("passwd", "root:x:0:0:root:/root:/bin/bash\n");
    let run = |path: &Path| {
        let output = with_snapshot("n1", path).command().output().expect("it ends at once");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = run(&wrong);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("Failed to setup snapshot: failed to open snapshot")
            && said.contains("it is no snapshot"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&wrong).expect("there"), "root:x:0:0:root:/root:/bin/bash\n");
    let path = scratch.file("snapshot");
    let _first = with_snapshot("n1", &path).start();
    let (code, said) = run(&path);
    assert!(code == Some(1) && said.contains("another agent uses it"), "{said}");
    assert!(run(&scratch.file("none/snapshot")).1.contains("no such file or directory"));
}

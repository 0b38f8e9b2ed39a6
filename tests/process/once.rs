//! Handlers that run once in the fleet, on agents that die.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use crate::harness::{Agent, Scratch, Setup, fleet_of, wait_until};

/// Members that note their names and the payload of `job` in one file, once per fleet, after a while.
fn fleet(count: usize, out: &Path, pause: &str) -> Vec<Agent> {
    let script = format!(
        "read work; echo $SERF_SELF_NAME $work began >>'{0}'; sleep {pause}; echo $SERF_SELF_NAME $work done >>'{0}'",
        out.display()
    );
    fleet_of(count, |name| Setup::new(name).arg(format!("-event-handler=once:user:job={script}")))
}

fn file(name: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("serf-once-{name}-{}", std::process::id()));
    let _ = fs::remove_file(&file);
    file
}

/// Lines of the file that end like this: who, what.
fn noted(out: &Path, what: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(out).unwrap_or_default();
    let words = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        Some((words.next()?, words.next()?)).filter(|_| line.ends_with(what))
    };
    text.lines().filter_map(words).collect()
}

/// Whether all know that nothing is left to do.
fn settled(agents: &[Agent]) -> bool {
    agents.iter().all(|agent| agent.info("levels", "once_waiting") == 0)
}

fn taken_over(agents: &[Agent]) -> u64 {
    agents.iter().map(|agent| agent.info("counters", "once_taken_over")).sum()
}

#[test]
fn each_event_is_handled_by_one_member_and_not_always_the_same_one() {
    let out = file("spread");
    let agents = fleet(4, &out, "0");
    let marked = agents[0].cli(["members", "-tag=_serf_once=job"]).stdout;
    assert_eq!(marked.lines().count(), 4, "{marked}");
    for number in 0..40 {
        let fired = agents[number % 4].cli(["event", "-coalesce=false", "job", &number.to_string()]);
        assert_eq!(fired.code, 0);
    }
    wait_until("all to be handled", || noted(&out, "done").len() >= 40);
    wait_until("all to know", || settled(&agents));
    let done = noted(&out, "done");
    let mut events: Vec<u32> = done.iter().map(|(_, event)| event.parse().expect("a number")).collect();
    events.sort();
    assert_eq!(events, (0..40).collect::<Vec<_>>());
    for agent in &agents {
        assert!(
            done.iter().any(|(name, _)| name == agent.name()),
            "{} has done nothing: {done:?}",
            agent.name()
        );
    }
    assert_eq!(taken_over(&agents), 0);
    // Other handlers run everywhere.
    wait_until("all to be noted", || agents.iter().all(|agent| agent.user_events().len() == 40));
    fs::remove_file(out).expect("it is there");
}

#[test]
fn if_the_one_in_turn_dies_the_next_one_does_it() {
    let out = file("killed");
    let mut agents = fleet(3, &out, "3");
    assert_eq!(agents[0].cli(["event", "-coalesce=false", "job", "x"]).code, 0);
    wait_until("it to begin", || !noted(&out, "began").is_empty());
    let (first, _) = noted(&out, "began")[0].clone();
    let at = agents.iter().position(|agent| agent.name() == first).expect("one of them");
    let dead = agents.remove(at).crash();
    wait_until("another one to do it", || noted(&out, "done").iter().any(|(name, _)| *name != first));
    wait_until("both to know", || settled(&agents));
    let began = noted(&out, "began");
    assert_eq!(began.len(), 2, "{began:?}");
    assert_eq!(taken_over(&agents), 1);
    drop(dead);
    fs::remove_file(out).expect("it is there");
}

#[test]
fn if_the_one_in_turn_dies_and_is_back_at_once_the_next_one_does_it() {
    let out = file("restarted");
    let mut agents = fleet(3, &out, "6");
    assert_eq!(agents[0].cli(["event", "-coalesce=false", "job", "x"]).code, 0);
    wait_until("it to begin", || !noted(&out, "began").is_empty());
    let (first, _) = noted(&out, "began")[0].clone();
    let at = agents.iter().position(|agent| agent.name() == first).expect("one of them");
    // Once the others have been told that it takes long, they wait for it.
    sleep(Duration::from_secs(3));
    let seed = agents[(at + 1) % 3].address().gossip.to_string();
    let back = agents.remove(at).crash().arg(format!("-join={seed}")).start();
    wait_until("another one to begin", || noted(&out, "began").iter().any(|(name, _)| *name != first));
    agents.push(back);
    wait_until("it to be done", || noted(&out, "done").iter().any(|(name, _)| *name != first));
    fs::remove_file(out).expect("it is there");
}

#[test]
fn of_a_thousand_in_a_row_each_is_handled_once() {
    let out = file("burst");
    let agents = fleet(3, &out, "0");
    let events: Vec<_> = (0..1_000).map(|number| (&b"job"[..], number.to_string().into_bytes())).collect();
    let answers = agents[0].rpc().burst(events.into_iter()).expect("the agent stays");
    assert!(answers.iter().all(Result::is_ok));
    wait_until("all to be handled", || noted(&out, "done").len() >= 1_000);
    wait_until("all to know", || settled(&agents));
    let done: BTreeSet<String> = noted(&out, "done").into_iter().map(|(_, event)| event).collect();
    assert_eq!((done.len(), noted(&out, "done").len(), taken_over(&agents)), (1_000, 1_000, 0));
    fs::remove_file(out).expect("it is there");
}

#[test]
fn a_reload_changes_who_has_the_mark() {
    let scratch = Scratch::new();
    let file = scratch.write("serf.json", r#"{"event_handlers": ["once:user:a=true", "user:b=true"]}"#);
    let agent = Setup::new("n1").arg(format!("-config-file={}", file.display())).start();
    agent.wait_sees("n1", "alive");
    let info = agent.cli(["info"]).stdout;
    assert!(info.contains("_serf_once = a\n") && info.contains("once:user:a = true\n"), "{info}");
    scratch.write("serf.json", r#"{"event_handlers": ["user:a=true", "once:user:b=true"]}"#);
    agent.signal("HUP");
    wait_until("the other mark", || agent.cli(["info"]).stdout.contains("_serf_once = b\n"));
    // Nobody else writes it.
    assert_eq!(agent.cli(["tags", "-set", "_serf_once=x", "-set", "own=1"]).code, 0);
    assert!(agent.cli(["info"]).stdout.contains("tags:\n\t_serf_once = b\n\town = 1\n"));
}

//! Tags that change while an agent runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Agent, Process, Scratch, Setup, fleet, fleet_of, wait_until};

/// Whether this agent shows `n1` with these tags and no others.
fn shows(agent: &Agent, tags: &[&str]) -> bool {
    let shown = agent.cli(["members", "-name=n1"]).stdout;
    let last = shown.trim_end().rsplit("  ").next().unwrap_or_default();
    let mut shown: Vec<_> = last.split(',').filter(|tag| tag.contains('=')).collect();
    shown.sort_unstable();
    shown == tags
}

#[test]
fn all_members_see_them_and_run_their_handlers_for_it() {
    let agents = fleet(5);
    let joined = || agents.iter().all(|agent| agent.recorder().count("member-join", "n1") == 1);
    wait_until("the join at every handler, as what follows at once is part of it", joined);
    let changed = agents[0].cli(["tags", "-set=role=db", "--set", "zone=a"]);
    assert_eq!((changed.code, &*changed.stdout), (0, "Successfully updated agent tags\n"));
    let all = |tags: &[&str]| agents.iter().all(|agent| shows(agent, tags));
    wait_until("the tags everywhere", || all(&["role=db", "zone=a"]));
    let told = || agents.iter().all(|agent| agent.recorder().count("member-update", "n1") == 1);
    wait_until("the update at every handler", told);
    assert_eq!(agents[0].cli(["tags", "-delete=zone", "-delete=absent", "-set=role=web"]).code, 0);
    wait_until("the tags everywhere", || all(&["role=web"]));

    let long = agents[0].cli(["tags", &format!("-set=long={}", "x".repeat(600))]);
    let said = "Error setting tags: Encoded length of tags exceeds limit of 512 bytes\n";
    assert_eq!((long.code, &*long.stdout), (1, said));
    let nul = agents[0].cli(["tags", "-set=a=b", "-set", "c"]);
    assert_eq!((nul.code, &*nul.stdout), (1, "Error: Invalid tag: 'c'\n"));
    assert!(all(&["role=web"]), "nothing has changed");
}

#[test]
fn a_tags_file_brings_them_back_after_a_kill_and_a_reload_keeps_them() {
    let scratch = Scratch::new();
    let file = scratch.file("tags.json");
    let agents = fleet_of(2, |name| match name {
        "n1" => Setup::new(name).arg(format!("-tags-file={}", file.display())),
        _ => Setup::new(name),
    });
    assert_eq!(agents[0].cli(["tags", "-set=role=db", "-set=zone=a"]).code, 0);
    let text = fs::read_to_string(&file).expect("it was answered once it is there");
    assert_eq!(text, "{\n  \"role\": \"db\",\n  \"zone\": \"a\"\n}\n");
    let mode = fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    agents[0].signal("HUP");
    wait_until("the reload", || agents[0].printed().contains("Reloading configuration..."));
    assert_eq!(agents[0].cli(["tags", "-delete=zone"]).code, 0);
    assert_eq!(fs::read_to_string(&file).expect("still there"), "{\n  \"role\": \"db\"\n}\n");

    let mut agents = agents;
    let again = agents.remove(0).crash().start();
    wait_until("the tags of before", || shows(&again, &["role=db"]));

    // A disk that is full or gone: the tags are set, and the operator is told what that means.
    let folder = scratch.file("gone");
    fs::create_dir(&folder).expect("ours");
    let lost = Setup::new("n3").arg(format!("-tags-file={}/tags.json", folder.display())).start();
    lost.wait_sees("n3", "alive");
    fs::remove_dir_all(&folder).expect("ours");
    let said = lost.cli(["tags", "-set=role=db"]);
    assert!(said.code == 1 && said.stdout.contains("the next start will not know them"), "{}", said.stdout);
    assert!(lost.cli(["members"]).stdout.contains("role=db"));
}

#[test]
fn what_was_set_by_hand_outlives_a_reload_that_changes_something_else() {
    let scratch = Scratch::new();
    let file = scratch.write("serf.json", r#"{"tags": {"role": "web", "old": "1"}}"#);
    let agent = Setup::new("n1").arg(format!("-config-file={}", file.display())).start();
    agent.wait_sees("n1", "alive");
    assert_eq!(agent.cli(["tags", "-set=zone=a"]).code, 0);
    scratch.write("serf.json", r#"{"tags": {"role": "db"}}"#);
    agent.signal("HUP");
    wait_until("what has changed in the file", || shows(&agent, &["role=db", "zone=a"]));
}

/// What an agent says that does not start.
fn refused(setup: Setup) -> String {
    let end = Process::start(&mut setup.command()).wait();
    assert_eq!(end.code, 1, "{}", end.text());
    end.text()
}

#[test]
fn a_tags_file_that_is_none_is_named_and_nothing_starts() {
    let scratch = Scratch::new();
    for (text, why) in [("{", "Failed to decode tags file: "), ("[1]", "Failed to decode tags file: ")] {
        let file = scratch.write("tags.json", text);
        let said = refused(Setup::new("n1").arg(format!("-tags-file={}", file.display())));
        assert!(said.contains(why), "{said}");
        assert_eq!(fs::read_to_string(&file).expect("it is there"), text, "it is left as it is");
    }
    let file = scratch.file("tags.json");
    let said = refused(Setup::new("n1").arg(format!("-tags-file={}", file.display())).arg("-tag=a=b"));
    assert!(said.contains("Tags config not allowed while using tag files"), "{said}");
}

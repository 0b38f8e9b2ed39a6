//! Fleets with a key, and what outsiders see of them.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::harness::{Agent, Scratch, Setup, fleet_of, ours, run, wait_until};

/// What `serf keygen` makes.
fn keygen() -> String {
    let made = run(ours(), ["keygen"]);
    assert_eq!((made.code, made.stdout.trim_end().len()), (0, 44));
    made.stdout.trim_end().to_owned()
}

/// Agents that all have this key.
fn sealed(count: usize, key: &str) -> Vec<Agent> {
    fleet_of(count, |name| Setup::new(name).arg(format!("-encrypt={key}")))
}

fn keyring(path: &Path, keys: &[&str]) {
    fs::write(path, serde_json::to_string(keys).expect("texts")).expect("a scratch folder");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("ours");
}

/// The lines of `serf keys -list` behind what it says first.
fn listed(agent: &Agent) -> Vec<String> {
    let listed = agent.cli(["keys", "-list"]);
    assert_eq!(listed.code, 0, "{}", listed.stdout);
    let head = "==> Asking all members for installed keys...\n==> Keys gathered, listing cluster keys...\n\n";
    let rest = listed.stdout.strip_prefix(head).expect("what Serf says first");
    let mut lines: Vec<String> = rest.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn of(keys: &[(&str, &str)]) -> Vec<String> {
    let mut lines: Vec<String> = keys.iter().map(|(key, count)| format!("{key}  [{count}]")).collect();
    lines.sort();
    lines
}

#[test]
fn events_and_queries_reach_all_and_nothing_is_said_in_the_clear() {
    let key = keygen();
    let agents = sealed(3, &key);
    assert_eq!(agents[0].cli(["event", "-coalesce=false", "deploy", "a secret payload"]).code, 0);
    let all = || agents.iter().all(|agent| agent.recorder().payloads("deploy") == ["a secret payload"]);
    wait_until("the event at every handler", all);
    assert!(agents[1].cli(["reachability"]).stdout.contains("Successfully contacted all live nodes"));
    assert!(agents[0].printed().contains("Encrypted: true"));
    assert!(agents[0].cli(["info"]).stdout.contains("encrypted = true"));
    assert!(agents.iter().all(|agent| !agent.printed().contains(&key)), "no log shows it");
    for counter in ["refused_key", "refused_forged", "refused_unsealed", "clones"] {
        assert!(agents.iter().all(|agent| agent.info("counters", counter) == 0), "{counter}");
    }
}

#[test]
fn keys_are_rotated_under_a_stream_of_events_and_kept_before_it_is_confirmed() {
    let scratch = Scratch::new();
    let (old, new) = (keygen(), keygen());
    let file = |name: &str| scratch.file(&format!("{name}.json"));
    let agents = fleet_of(3, |name| {
        keyring(&file(name), &[&old]);
        Setup::new(name).arg(format!("-keyring-file={}", file(name).display()))
    });
    let mut fired = Vec::new();
    let mut fire = |count: usize| {
        for _ in 0..count {
            let payload = fired.len().to_string();
            assert_eq!(agents[2].cli(["event", "-coalesce=false", "tick", &payload]).code, 0);
            fired.push(payload);
        }
        fired.clone()
    };
    fire(10);
    assert_eq!(listed(&agents[0]), of(&[(&old, "3/3")]));
    let install = agents[0].cli(["keys", "-install", &new]);
    let said = "==> Installing key on all members...\n==> Successfully installed key!\n";
    assert_eq!((install.code, &*install.stdout), (0, said));
    for name in ["n1", "n2", "n3"] {
        let text = fs::read_to_string(file(name)).expect("kept");
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).expect("JSON"), [&*old, &*new]);
        assert_eq!(fs::metadata(file(name)).expect("there").permissions().mode() & 0o777, 0o600);
    }
    fire(10);
    assert_eq!(agents[1].cli(["keys", "-use", &new]).code, 0);
    fire(10);
    let primary = agents[0].cli(["keys", "-remove", &new]);
    assert!(primary.code == 1 && primary.stdout.contains("Removing the primary key is not allowed"));
    assert_eq!(agents[2].cli(["keys", "-remove", &old]).code, 0);
    let fired = fire(10);
    assert_eq!(listed(&agents[1]), of(&[(&new, "3/3")]));
    for agent in &agents {
        wait_until("every event at every handler", || agent.recorder().payloads("tick").len() == fired.len());
        assert_eq!(agent.info("serf", "failed"), 0);
    }
    // After a kill it comes back with what was confirmed.
    let mut agents = agents;
    let again = agents.remove(1).crash().start();
    again.wait_sees("n1", "alive");
    agents[0].wait_sees("n2", "alive");
    assert_eq!(listed(&again), of(&[(&new, "3/3")]));
}

#[test]
fn who_was_away_during_a_rotation_gets_the_key_and_who_would_be_left_behind_is_named() {
    let scratch = Scratch::new();
    let (old, new) = (keygen(), keygen());
    let file = scratch.file("n3.json");
    keyring(&file, &[&old]);
    let mut agents = fleet_of(3, |name| match name {
        "n3" => Setup::new(name).arg(format!("-keyring-file={}", file.display())),
        _ => Setup::new(name).arg(format!("-encrypt={old}")),
    });
    let away = agents.remove(2).crash();
    // Whether or not it is seen to be gone before the time for answers is over.
    let at_once = agents[0].cli(["keys", "-use", &old]);
    assert!(at_once.code == 1 && at_once.stdout.contains("; nothing is known of n3; with -force"));
    agents[0].wait_sees("n3", "failed");
    let early = agents[0].cli(["keys", "-use", &new]);
    assert!(
        early.code == 1 && early.stdout.contains("Requested key is not in the keyring"),
        "{}",
        early.stdout
    );
    for order in ["-install", "-use"] {
        assert_eq!(agents[0].cli(["keys", order, &new]).code, 0);
    }
    let back = away.start();
    back.wait_sees("n1", "alive");
    wait_until("the new key with who was away", || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains(&new))
    });
    wait_until("all with both keys", || listed(&agents[0]) == of(&[(&old, "3/3"), (&new, "3/3")]));
    // A fourth one has the old key only, and cannot write the new one down.
    let folder = scratch.folder("gone");
    keyring(&folder.join("keys.json"), &[&new, &old]);
    let stuck =
        Setup::new("n4").arg(format!("-keyring-file={}/keys.json", folder.display())).join(&agents[0]);
    let stuck = stuck.start();
    stuck.wait_sees("n1", "alive");
    wait_until("four members", || agents[0].members().len() == 4);
    fs::remove_dir_all(&folder).expect("ours");
    let third = keygen();
    let lost = agents[0].cli(["keys", "-install", &third]);
    assert_eq!(lost.code, 1);
    assert!(lost.stdout.contains("failed:  n4  cannot write"), "{}", lost.stdout);
    let note = "Without a -keyring-file, and so not after a restart: n1, n2\n";
    assert!(lost.stderr.contains(note), "{}", lost.text());
    assert!(lost.stdout.ends_with("Error installing key: 1/4 nodes reported failure\n"), "{}", lost.stdout);
    assert!(stuck.printed().contains("The next start will not know the keys of now: cannot write"));
    // What could not be kept is kept by the same order again, though it changes nothing any more.
    fs::create_dir(&folder).expect("ours");
    keyring(&folder.join("keys.json"), &[&new, &old]);
    let again = agents[0].cli(["keys", "-install", &third]);
    assert!(again.code == 0, "{}", again.stdout);
    let kept = fs::read_to_string(folder.join("keys.json")).expect("it is there again");
    assert!(kept.contains(&third), "{kept}");
}

#[test]
fn a_fleet_half_of_which_is_sealed_is_two_and_each_names_the_other_once() {
    let key = keygen();
    let agents = sealed(2, &key);
    let open = Setup::new("open").join(&agents[0]).start();
    let other = Setup::new("other").arg(format!("-encrypt={}", keygen())).join(&agents[0]).start();
    wait_until("refusals", || {
        agents[0].info("counters", "refused_unsealed") > 4 && agents[0].info("counters", "refused_key") > 4
    });
    let printed = agents[0].printed();
    for (from, why) in
        [(&open, "it is not sealed, as all"), (&other, "with a key that this node does not have")]
    {
        let line = format!("Refused a datagram from {}: ", from.address().gossip);
        let told: Vec<&str> = printed.lines().filter(|text| text.contains(&line)).collect();
        assert!(told.len() == 1 && told[0].contains(why), "{told:?}");
    }
    for agent in &agents {
        assert_eq!(agent.members().len(), 2, "nobody else came in");
    }
    assert_eq!(open.members().len(), 1);
    assert_eq!(other.members().len(), 1);
}

#[test]
fn what_an_outsider_sends_again_does_nothing_also_after_a_restart() {
    let key = keygen();
    let agents = sealed(3, &key);
    // Between two of them sits somebody who hears all that is said to a fourth.
    let tap = UdpSocket::bind("127.0.0.1:0").expect("a port");
    tap.set_read_timeout(Some(Duration::from_millis(200))).expect("a time");
    let at = tap.local_addr().expect("bound");
    let mirror = Setup::new("n4").arg(format!("-encrypt={key}")).arg(format!("-advertise={at}"));
    let mirror = mirror.join(&agents[0]).start();
    mirror.wait_sees("n1", "alive");
    agents[0].wait_sees("n4", "alive");
    assert_eq!(agents[0].cli(["event", "-coalesce=false", "old", "1"]).code, 0);
    let mut heard = Vec::new();
    let mut buf = [0; 2_048];
    while let Ok((len, _)) = tap.recv_from(&mut buf) {
        heard.push(buf[..len].to_vec());
        if heard.len() == 200 {
            break;
        }
    }
    assert!(heard.len() > 3, "it is said to the fourth one, too: {}", heard.len());
    let mut agents = agents;
    let again = agents.remove(1).crash().start();
    again.wait_sees("n1", "alive");
    let before = again.recorder().count("user", "old");
    for _ in 0..5 {
        for datagram in &heard {
            tap.send_to(datagram, again.address().gossip).expect("loopback");
            tap.send_to(datagram, agents[0].address().gossip).expect("loopback");
        }
    }
    assert_eq!(agents[0].cli(["event", "-coalesce=false", "new", "1"]).code, 0);
    wait_until("the new event", || again.recorder().count("user", "new") == 1);
    assert_eq!(again.recorder().count("user", "old"), before);
    assert_eq!(agents[0].recorder().count("user", "old"), 1);
}

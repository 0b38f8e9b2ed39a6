//! Ways into a fleet.

use crate::harness::{Address, Agent, Process, Scratch, Setup, run, wait_until};

/// One name, two seeds that do not know each other: joining contacts both and so makes one fleet of the three.
#[test]
fn all_seeds_behind_one_name_are_joined() {
    let (first, second) = (Setup::new("first").start(), Setup::new("second").start());

    // A name with two addresses needs a hosts file of its own, and that a namespace of its own.
    let scratch = Scratch::new();
    let [a, b] = [&first, &second].map(|seed| seed.address().gossip.ip());
    let hosts = scratch.write("hosts", &format!("{a} seeds.example\n{b} seeds.example\n"));
    let script = format!("mount --bind '{}' /etc/hosts && exec \"$0\" \"$@\"", hosts.display());
    let Some(joiner) = Setup::new("joiner").through_mounting(&script) else {
        eprintln!("no namespaces for this user here: joining through a name of two addresses is not tried");
        return;
    };

    let joiner = joiner.arg("-join=seeds.example").start();
    for agent in [&first, &second, &joiner] {
        for name in ["first", "second", "joiner"] {
            agent.wait_sees(name, "alive");
        }
    }
    wait_until("the number of contacts in the log", || joiner.printed().contains("2 nodes"));
}

#[test]
fn a_host_name_and_a_dead_seed_are_no_obstacle() {
    let address = Address::unused_localhost();
    let seed = Setup::new("seed").at(address).start();
    let other = Setup::new("other").start();

    let dead = Address::unused().gossip.to_string();
    let joined = other.cli(["join", &dead, &format!("localhost:{}", address.gossip.port())]);
    assert_eq!(joined.stdout, "Successfully joined cluster by contacting 1 nodes.\n", "{}", joined.text());
    assert_eq!(joined.code, 0);
    seed.wait_sees("other", "alive");

    let failed = other.cli(["join", &dead]);
    assert_eq!(failed.code, 1);
    assert!(failed.text().starts_with("Error joining the cluster: "), "{}", failed.text());
}

#[test]
fn two_agents_meet_over_ipv6() {
    let addresses = [Address::unused_v6(), Address::unused_v6()];
    let [Some(first), Some(second)] = addresses else {
        eprintln!("no IPv6 on this machine's loopback: not tried");
        return;
    };
    let first = Setup::new("first").at(first).start();
    let second = Setup::new("second").at(second).join(&first).start();
    first.wait_sees("second", "alive");
    second.wait_sees("first", "alive");
    assert_eq!(second.cli(["event", "-coalesce=false", "over", "ipv6"]).code, 0);
    wait_until("the event at the other side", || first.recorder().payloads("over") == ["ipv6"]);
    assert!(first.cli(["members"]).stdout.contains(&second.address().gossip.to_string()));
}

#[test]
fn retry_join_waits_for_a_seed_that_does_not_exist_yet() {
    let seed = Setup::new("seed");
    let flag = format!("-retry-join={}", seed.address().gossip);
    let early = Setup::new("early").arg(flag).arg("-retry-interval=1s").start();
    wait_until("a failed attempt in the log", || early.printed().contains("[WARN]"));
    let seed = seed.start();
    early.wait_sees("seed", "alive");
    seed.wait_sees("early", "alive");
}

#[test]
fn config_files_are_merged_in_order_and_flags_win() {
    let scratch = Scratch::new();
    let seed = Setup::new("seed").start();
    let first =
        format!(r#"{{"tags": {{"role": "web", "zone": "a"}}, "start_join": ["{}"]}}"#, seed.address().gossip);
    let first = scratch.write("1.json", &first);
    let second =
        scratch.write("2.json", r#"{"tags": {"zone": "b"}, "node_name": "ignored", "profile": "wan"}"#);
    let agent = Setup::new("flagged")
        .arg(format!("-config-file={}", first.display()))
        .arg(format!("-config-file={}", second.display()))
        .arg("-profile=local")
        .start();
    seed.wait_sees("flagged", "alive");
    wait_until("the banner", || agent.printed().contains("Profile: local"));
    for expression in ["role=web", "zone=b"] {
        let found = seed.cli(["members", "-tag", expression, "-name=flagged"]);
        assert!(found.stdout.starts_with("flagged  "), "{expression}: {}", found.text());
    }
}

#[test]
fn of_a_folder_of_settings_all_files_count_and_a_check_tells_before() {
    let scratch = Scratch::new();
    let folder = scratch.folder("serf.d");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a scratch folder");
    write("20.json", r#"{"tags": {"zone": "b"}, "role": "web"}"#);
    write("10.json", r#"{"tags": {"zone": "a"}, "user_event_size_limit": 600, "enable_compression": true}"#);
    write("notes.txt", "no settings");
    let config = format!("-config-dir={}", folder.display());
    let check = |args: &[&str]| run(crate::harness::ours(), [&["agent", &*config], args].concat());
    let sound = check(&["-check"]);
    assert_eq!((sound.code, sound.stdout.lines().last()), (0, Some("==> The configuration is sound")));
    let shown = check(&["-print-config", "-encrypt=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="]);
    assert_eq!(shown.code, 0);
    assert!(shown.stdout.contains(r#""encrypt_key": "(hidden)""#), "{}", shown.stdout);
    let json: serde_json::Value = serde_json::from_str(&shown.stdout).expect("JSON, and nothing else");
    assert_eq!(json["tags"], serde_json::json!({ "role": "web", "zone": "b" }));
    std::fs::write(scratch.file("shown.json"), r#"{"rpc_auth": "(hidden)"}"#).expect("a scratch folder");
    let hidden = format!("-config-file={}", scratch.file("shown.json").display());
    for (args, why) in [
        (["-check", "-keyring-file=/nowhere"], "/nowhere: no such file or directory"),
        (["-check", "-protocol=9"], "Protocol version '9' too high"),
        (["-check", "-config-dir=/nowhere"], "Error reading '/nowhere'"),
        (["-check", &*hidden], "Invalid rpc_auth: '(hidden)' is what -print-config shows"),
        (["-check", "-http-addr=7374"], "listen tcp 7374: address 7374: missing port"),
        (["-check", &*format!("-node={}", "n".repeat(129))], "Failed to start the Serf agent"),
        (["-check", "-snapshot=/nowhere/s"], "/nowhere/s"),
        (["-check", "-snapshot=/etc"], "/etc"),
        (["-check", "-snapshot=/etc/hostname"], "it is no snapshot"),
        (["-check", "-rpc-addr=unix:/nowhere/s"], "there is no folder /nowhere"),
        (["-check", "-join=[::1"], "Invalid address to join: '[::1'"),
    ] {
        let refused = check(&args);
        assert!(refused.code == 1 && refused.stdout.contains(why), "{args:?}: {}", refused.stdout);
    }
    let agent = Setup::new("n1").arg(&*config).start();
    let listed = agent.cli(["members", "-tag", "role=web", "-tag", "zone=b"]);
    assert!(listed.stdout.starts_with("n1  "), "{}", listed.text());
    assert_eq!(agent.cli(["event", "e", &"x".repeat(540)]).code, 0);
    assert_eq!(agent.cli(["event", "e", &"x".repeat(600)]).code, 1);
    // What is wrong in one file is told, and nothing of the others is applied.
    write("15.json", r#"{"bogus_key": "s", "log_level": "debug"}"#);
    agent.signal("HUP");
    wait_until("the refusal", || agent.printed().contains("'' has invalid keys: bogus_key"));
}

#[test]
fn a_name_that_is_taken_is_refused_or_given_up() {
    let holder = Setup::new("same").start();
    let witness = Setup::new("witness").join(&holder).start();
    holder.wait_sees("witness", "alive");
    // Go lets the majority vote and the loser shut down; ours is told at once that the name is taken. Either way it ends.
    let mut intruder = Process::start(&mut Setup::new("same").join(&holder).command());
    intruder.wait();
    witness.wait_sees("same", "alive");
    let members =
        run(crate::harness::ours(), ["members", &format!("-rpc-addr={}", witness.address().rpc)]).stdout;
    assert!(members.contains(&holder.address().gossip.to_string()), "{members}");
}

/// It can never work, so nobody has to wait for it.
#[test]
fn an_address_of_the_other_family_is_refused_with_the_reason() {
    let agent = Setup::new("n1").start();
    let joined = agent.cli(["join", "[::1]:7946"]);
    assert_eq!(joined.code, 1);
    let text = "Failed to join [::1]:7946: this agent is bound to an IPv4 address";
    assert!(joined.text().contains(text), "{}", joined.text());
}

/// Two fleets by one network, one of which somebody adds to the other by mistake.
#[test]
fn clusters_of_other_names_do_not_merge_and_both_sides_say_which_they_are() {
    let named = |name: &str, cluster: &str| Setup::new(name).arg(format!("-cluster={cluster}")).start();
    let (blue, green, none) = (named("b1", "blue"), named("g1", "green"), Setup::new("n1").start());
    let second = Setup::new("b2").arg("-cluster=blue").join(&blue).start();
    blue.wait_sees("b2", "alive");
    let join = |from: &Agent, to: &Agent| from.cli(["join", &to.address().gossip.to_string()]);
    let refused = join(&green, &blue);
    let said = "it belongs to cluster \"blue\", this agent to cluster \"green\" (-cluster)";
    assert!(refused.code == 1 && refused.stdout.contains(said), "{}", refused.text());
    let log = |agent: &Agent, said: &str| wait_until(said, || agent.printed().matches(said).count() == 1);
    log(&green, &format!("Refused {}: {said}", blue.address().gossip));
    let gossip = green.address().gossip;
    log(&blue, &format!("Refused {gossip}: it belongs to cluster \"green\", this agent to cluster \"blue\""));
    let refused = join(&none, &blue);
    let said = "it belongs to cluster \"blue\", this agent to a cluster without a name";
    assert!(refused.code == 1 && refused.stdout.contains(said), "{}", refused.text());
    let refused = join(&second, &none);
    let said = "it belongs to a cluster without a name, this agent to cluster \"blue\"";
    assert!(refused.code == 1 && refused.stdout.contains(said), "{}", refused.text());
    assert_eq!((blue.members().len(), green.members().len(), none.members().len()), (2, 1, 1));
}

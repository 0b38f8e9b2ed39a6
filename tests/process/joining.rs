//! Ways into a fleet.

use crate::harness::{Address, Process, Scratch, Setup, run, wait_until};

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

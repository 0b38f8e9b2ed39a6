//! Processes that end without leaving: what their hosts say of them, how the others take that, and that who is soon back is not missed.

use std::thread::sleep;
use std::time::Duration;

use crate::harness::rpc::Stream;
use crate::harness::{Agent, Setup, fleet_of, in_a_network, met, wait_until};

/// A counter of the core's.
fn counted(agents: &[Agent], name: &str) -> u64 {
    let count = |agent: &Agent| {
        let info = agent.cli(["info"]).stdout;
        let line = info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(" = "));
        line.and_then(|value| value.parse::<u64>().ok()).unwrap_or_else(|| panic!("{name}: {info}"))
    };
    agents.iter().map(count).sum()
}

fn printed(agents: &[Agent], text: &str) -> bool {
    agents.iter().any(|agent| agent.printed().contains(text))
}

#[test]
fn who_is_killed_is_found_by_what_its_host_refuses() {
    let mut agents = met(5);
    agents.pop().expect("five were started").crash();
    for agent in &agents {
        agent.wait_sees("n5", "failed");
        wait_until("member-failed at the handler", || agent.recorder().count("member-failed", "n5") == 1);
    }
    assert!(counted(&agents, "refusals") > 0);
    assert!(counted(&agents, "inquests") > 0 && counted(&agents, "inquests_gone") > 0);
    assert!(!printed(&agents, "suspect timeout reached"), "nobody had to wait for that");
    // By two or three others: all who were asked until then.
    let told = |count| {
        format!(
            "Marking n5 as failed, its host refuses datagrams for it ({count} peers were refused as well)"
        )
    };
    assert!([2, 3].iter().any(|count| printed(&agents, &told(count))), "in the log");
    let why: String = agents.iter().map(|agent| agent.cli(["why", "n5"]).stdout).collect();
    let told =
        |count| format!("  is failed: its host refuses datagrams for it, to {count} other members as well");
    assert!([2, 3].iter().any(|count| why.contains(&told(count))), "{why}");
}

/// Whoever ends by SIGTERM says so: others look before they would have.
#[test]
fn who_is_ended_says_so_and_is_looked_at() {
    let mut agents = met(3);
    let mut ended = agents.pop().expect("three were started");
    assert_eq!(ended.end_by("TERM").code, 1);
    for agent in &agents {
        agent.wait_sees("n3", "failed");
    }
    assert!(!printed(&agents, "suspect timeout reached"), "nobody had to wait for that");
}

#[test]
fn what_hosts_say_can_be_passed_over() {
    let mut agents = fleet_of(3, |name| Setup::new(name).arg("-refused-grace=0"));
    agents.pop().expect("three were started").crash();
    for agent in &agents {
        agent.wait_sees("n3", "failed");
    }
    assert_eq!(counted(&agents, "inquests"), 0);
    assert!(printed(&agents, "[INFO] memberlist: Suspect n3 has failed, no acks received"));
    assert!(printed(&agents, "[INFO] memberlist: Marking n3 as failed, suspect timeout reached ("));
}

/// A service manager starts again at once what was killed.
#[test]
fn who_is_back_at_once_is_not_called_failed() {
    let mut agents = fleet_of(4, |name| Setup::new(name).arg("-refused-grace=3s"));
    let streams: Vec<Stream> = agents[..3]
        .iter()
        .map(|agent| agent.rpc().stream("member-failed").expect("the agent takes streams"))
        .collect();
    for _ in 0..5 {
        let crashed = agents.pop().expect("the last one is back").crash();
        // Until somebody has asked for it.
        sleep(Duration::from_millis(300));
        agents.push(crashed.join(&agents[0]).start());
        for agent in &agents[..3] {
            agent.wait_sees("n4", "alive");
        }
    }
    // What was to be told would have been.
    sleep(Duration::from_secs(4));
    assert_eq!(streams.iter().flat_map(|stream| stream.events.try_iter()).count(), 0);
    assert!(counted(&agents[..3], "refusals") > 0, "nobody was asked for");
}

/// Machines of their own on one Ethernet, with the limits that Linux has for what it refuses.
#[test]
fn machines_tell_of_each_other_s_dead_processes_within_linux_s_limits() {
    let script = r#"
        ip link add bridge type bridge
        ip link set bridge up
        for m in 1 2 3 4 5 6; do
            unshare -n sleep 1000 &
            machine=$!
            until [ "$(readlink /proc/$machine/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
            ip link add e$m type veth peer name eth0 netns $machine
            ip link set e$m master bridge up
            nsenter -n -t $machine sh -c "ip link set lo up; ip link set eth0 up; ip address add 10.9.0.$m/24 dev eth0"
            nsenter -n -t $machine "$0" agent -node=m$m -bind=10.9.0.$m -rpc-addr="unix:$1/m$m" \
                -retry-join=10.9.0.1 -retry-interval=1s >"$1/m$m.log" &
            eval "agent$m=\$!"
        done
        for m in 1 2 3 4 5 6; do
            until [ "$("$0" members -status=alive -rpc-addr="unix:$1/m$m" | grep -c alive)" = 6 ]; do sleep 0.1; done
        done
        sleep 2
        kill -9 $agent6
        for m in 1 2 3 4 5; do
            until "$0" members -rpc-addr="unix:$1/m$m" | grep -q 'm6 .*failed'; do sleep 0.05; done
        done
        cat "$1"/m*.log
        "#;
    let Some(output) = in_a_network(script) else {
        eprintln!("no namespaces for this user here: limits of what hosts refuse are not tried");
        return;
    };
    assert_eq!(output.code, 0, "{}", output.text());
    assert!(
        output.stdout.contains("Marking m6 as failed, its host refuses datagrams for it"),
        "{}",
        output.text()
    );
    assert!(!output.stdout.contains("suspect timeout reached"), "{}", output.text());
}

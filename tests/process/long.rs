//! Real agents over minutes: what only time and many deaths show.

mod harness;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use harness::{Agent, fleet, in_a_network, wait_quiet, wait_until};

/// Three agents stay while the others crash and return one after the other, and events go on all the time.
#[test]
fn those_who_stay_miss_no_event_while_others_crash_and_return() {
    const ROUNDS: usize = 3;
    let mut agents = fleet(7);
    let mut crashing = agents.split_off(3);
    let staying = agents;

    let over = AtomicBool::new(false);
    let fired = scope(|threads| {
        let firing = threads.spawn(|| fire_until(&over, &staying[0]));
        for _ in 0..ROUNDS {
            for _ in 0..crashing.len() {
                let agent = crashing.remove(0);
                let name = agent.name().to_owned();
                let setup = agent.crash();
                wait_all_see(&staying, &name, "failed");
                crashing.push(setup.without_seeds().join(&staying[1]).start());
                wait_all_see(&staying, &name, "alive");
            }
        }
        over.store(true, Ordering::Relaxed);
        firing.join().expect("every event is accepted")
    });

    let counts = || staying.iter().map(|agent| agent.recorder().payloads("tick").len()).collect::<Vec<_>>();
    wait_quiet("the handlers to fall silent", Duration::from_secs(10), counts);
    let everything: BTreeSet<_> = (0..fired).map(|number| number.to_string()).collect();
    for agent in &staying {
        let payloads = agent.recorder().payloads("tick");
        assert_eq!(payloads.len(), fired, "deliveries at {}", agent.name());
        assert_eq!(payloads.into_iter().collect::<BTreeSet<_>>(), everything, "events at {}", agent.name());
        for other in &staying {
            let accused = agent.recorder().count("member-failed", other.name());
            assert_eq!(
                accused,
                0,
                "{} called {} failed, which was there all the time",
                agent.name(),
                other.name()
            );
        }
    }
}

/// Nobody tells it to join: the others keep asking the address of a failed member.
#[test]
fn a_crashed_agent_that_returns_without_a_seed_is_found_again() {
    let mut agents = fleet(4);
    let setup = agents.pop().expect("four were started").crash().without_seeds();
    wait_all_see(&agents, "n4", "failed");
    let returned = setup.start();
    wait_all_see(&agents, "n4", "alive");
    for agent in &agents {
        returned.wait_sees(agent.name(), "alive");
    }
}

/// To a stopped process it is the others who fell silent; woken, it must not tell everyone so, and hears what it missed.
#[test]
fn agents_frozen_for_long_are_failed_and_come_back_without_accusing_anyone() {
    const EVENTS: usize = 500;
    let agents = fleet(5);
    let (awake, frozen) = agents.split_at(3);
    for agent in frozen {
        agent.signal("STOP");
    }
    let mut rpc = awake[0].rpc();
    for number in 0..EVENTS {
        rpc.event(b"meanwhile", number.to_string().as_bytes(), false).expect("the event is accepted");
    }
    for agent in frozen {
        wait_all_see(awake, agent.name(), "failed");
    }
    for agent in frozen {
        agent.signal("CONT");
    }
    for agent in &agents {
        wait_all_see(&agents, agent.name(), "alive");
    }
    for agent in &agents {
        wait_until(&format!("{} to hear what it missed", agent.name()), || {
            agent.recorder().payloads("meanwhile").len() >= EVENTS
        });
        let payloads = agent.recorder().payloads("meanwhile");
        assert_eq!(payloads.len(), payloads.iter().collect::<BTreeSet<_>>().len(), "an event came twice");
        for other in awake {
            let accused = agent.recorder().count("member-failed", other.name());
            assert_eq!(accused, 0, "{} accused {}", agent.name(), other.name());
        }
    }
}

/// Fires about 20 events per second; tells how many.
fn fire_until(over: &AtomicBool, agent: &Agent) -> usize {
    let mut rpc = agent.rpc();
    let mut fired = 0;
    while !over.load(Ordering::Relaxed) {
        rpc.event(b"tick", fired.to_string().as_bytes(), false).expect("the event is accepted");
        fired += 1;
        sleep(Duration::from_millis(50));
    }
    fired
}

#[track_caller]
fn wait_all_see(agents: &[Agent], name: &str, status: &str) {
    wait_until(&format!("everyone to see {name} as {status}"), || {
        agents.iter().all(|agent| agent.members().get(name).is_some_and(|seen| seen == status))
    });
}

/// What is said to find others is little: less than a datagram a second of five agents together, their start included (serf#229: 6,000).
#[test]
fn five_agents_that_have_found_each_other_by_mdns_say_little() {
    const MINUTE: u64 = 60;
    let counted = in_a_network(
        r#"
        ip link set lo up
        ip link add v0 type veth peer name v1
        ip link set v1 addrgenmode none up
        ip link set v0 addrgenmode none up
        for n in 1 2 3 4 5; do
            ip address add 10.9.0.$n/24 dev v0
            "$0" agent -node=n$n -bind=10.9.0.$n -rpc-addr="unix:$1/$n" -discover=web >"$1/log$n" &
        done
        for n in 1 2 3 4 5; do
            until [ "$("$0" members -status=alive -rpc-addr="unix:$1/$n" | grep -c alive)" = 5 ]; do sleep 0.1; done
        done
        sleep 60
        # What has left one end of the cable has come to the other; their gossip stays on this machine.
        awk '$1 == "v1:" { print $3 }' /proc/net/dev
        "#,
    );
    let Some(counted) = counted else {
        eprintln!("no namespaces for this user here: mDNS is not counted");
        return;
    };
    let packets: u64 = counted.stdout.trim().parse().unwrap_or_else(|_| panic!("{}", counted.text()));
    assert!((1..MINUTE).contains(&packets), "{packets} in a minute");
    eprintln!("{packets} packets of five agents in their first minute");
}

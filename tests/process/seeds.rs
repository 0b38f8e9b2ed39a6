//! Whom to join, looked up anew at each try: by commands, by names, and after all are gone.

use std::fs;

use crate::harness::{Address, Agent, Dns, DnsRecord, Scratch, Setup, ours, run, wait_until};

/// An agent that is told by a command, again each second.
fn told_by(name: &str, command: &str) -> Setup {
    Setup::new(name)
        .arg(format!("-retry-join=exec:{command}"))
        .arg("-retry-interval=1s")
        .arg("-profile=local")
}

/// An agent with this server, and no other, if that is allowed.
fn asking(dns: &Dns, name: &str, seed: &str) -> Option<Setup> {
    let mount = format!("mount --bind '{}' /etc/resolv.conf", dns.resolv_conf().display());
    let setup = Setup::new(name).arg(format!("-retry-join={seed}")).arg("-retry-interval=1s");
    setup.through_mounting(&format!("{mount} && exec \"$0\" \"$@\""))
}

fn at(agent: &Agent) -> String {
    agent.address().gossip.to_string()
}

fn wait_says(agent: &Agent, text: &str) {
    wait_until(text, || agent.printed().contains(text));
}

#[test]
fn a_command_is_asked_again_at_each_try_until_somebody_answers() {
    let scratch = Scratch::new();
    let list = scratch.file("list");
    let agent = told_by("n1", &format!("cat {}", list.display())).start();
    // What it prints to stderr stands in the log, and why it is of no use.
    wait_says(&agent, "No such file or directory");
    wait_says(&agent, "exit status 1");
    fs::write(&list, format!("\n{} ", Address::unused().gossip)).expect("a scratch file");
    wait_says(&agent, "no answer");
    let seed = Setup::new("seed").start();
    fs::write(&list, format!("{}\nnobody.invalid {}\n", Address::unused().gossip, at(&seed)))
        .expect("a scratch file");
    agent.wait_sees("seed", "alive");
    seed.wait_sees("n1", "alive");
}

#[test]
fn a_command_that_hangs_is_killed_with_what_it_has_started() {
    let scratch = Scratch::new();
    let started = scratch.file("started");
    let command = format!("sleep 1000 & echo $! >{}; wait", started.display());
    let agent = told_by("n1", &command).start();
    wait_says(&agent, "killed, it ran longer than 30s");
    let pid = fs::read_to_string(&started).expect("it was started");
    let of_it = format!("/proc/{}/cmdline", pid.trim());
    // Whoever has adopted it may not have collected it.
    wait_until("its end", || fs::read(&of_it).map_or(true, |command| command.is_empty()));
}

/// The cluster has been replaced, and nobody who was known is there any more.
#[test]
fn who_is_left_alone_asks_again_and_finds_those_who_came_instead() {
    let scratch = Scratch::new();
    let list = scratch.file("list");
    let mut seed = Setup::new("first").start();
    fs::write(&list, at(&seed)).expect("a scratch file");
    let agent = told_by("n1", &format!("cat {}", list.display())).start();
    agent.wait_sees("first", "alive");
    for next in ["second", "third"] {
        seed.crash();
        seed = Setup::new(next).start();
        fs::write(&list, at(&seed)).expect("a scratch file");
        agent.wait_sees(next, "alive");
        seed.wait_sees("n1", "alive");
    }
}

#[test]
fn who_may_talk_to_an_agent_cannot_have_it_run_commands() {
    let scratch = Scratch::new();
    let made = scratch.file("made");
    let agent = Setup::new("n1").start();
    let refused = agent.cli(["join", &format!("exec:touch {}", made.display())]);
    assert_eq!(refused.code, 1);
    let why = "commands are for the agent's own settings only (-join, -retry-join)";
    assert!(refused.text().contains(why), "{}", refused.text());
    // Nor can what a command prints.
    let printed = told_by("n2", &format!("echo exec:touch {0}", made.display())).start();
    wait_says(&printed, "Join failed");
    assert!(!made.exists());
}

#[test]
fn an_agent_whose_command_fails_at_the_start_ends_and_says_why() {
    let args = ["agent", "-bind=127.0.0.1:0", "-rpc-addr=127.0.0.1:0", "-join=exec:exit 7"];
    let ended = run(ours(), args);
    assert_eq!(ended.code, 1);
    assert!(ended.stdout.contains("Failed to run 'exec:exit 7': exit status 7"), "{}", ended.text());
}

#[test]
fn a_service_is_joined_at_the_ports_that_its_records_name_as_they_are_now() {
    let Some(dns) = Dns::start() else {
        eprintln!("the port of DNS may not be used here: services are not tried");
        return;
    };
    let Some(setup) = asking(&dns, "n1", "srv:_serf._udp.example.org") else {
        eprintln!("no namespaces for this user here: services are not tried");
        return;
    };
    let agent = setup.start();
    wait_says(&agent, "lookup _serf._udp.example.org: no such service");
    let seeds =
        [Setup::new("first"), Setup::new("second")].map(|seed| seed.at(Address::unused_localhost()).start());
    let target = |place: usize| format!("host{place}.example.org");
    for (place, seed) in seeds.iter().enumerate() {
        dns.tell(&target(place), vec![DnsRecord::Address(seed.address().gossip.ip())]);
    }
    let service =
        |(place, seed): (usize, &Agent)| DnsRecord::Service(seed.address().gossip.port(), target(place));
    dns.tell("_serf._udp.example.org", seeds.iter().enumerate().map(service).collect());
    agent.wait_sees("first", "alive");
    agent.wait_sees("second", "alive");
}

/// A command leaves a child behind that has its output.
#[test]
fn a_command_that_has_ended_is_not_waited_for() {
    let seed = Setup::new("n1").start();
    let agent = told_by("n2", &format!("sleep 45 & echo {}", at(&seed))).start();
    seed.wait_sees("n2", "alive");
    assert!(!agent.printed().contains("Failed to run"), "{}", agent.printed());
}

//! Agents that cannot start say why, and exit with 1.

use std::net::{TcpListener, TcpStream, UdpSocket};

use crate::harness::{Address, Process, Scratch, Setup, run, wait_until};

/// Starts an agent that must fail, and tells what it said.
fn refused(setup: &Setup) -> String {
    let end = Process::start(&mut setup.command()).wait();
    assert_eq!(end.code, 1, "{}", end.text());
    end.text()
}

#[test]
fn bad_flags_are_named() {
    let cases = [
        ("-tag=bad", "Invalid tag: 'bad'"),
        ("-profile=bogus", "Unknown profile: bogus"),
        ("-log-level=bogus", "Invalid log level: BOGUS. Valid log levels are: [TRACE DEBUG INFO WARN ERR]"),
        ("-event-handler=bogus=foo.sh", "Invalid event script: Event 'bogus' invoking 'foo.sh'"),
    ];
    for (flag, text) in cases {
        let said = refused(&Setup::new("n1").arg(flag));
        assert!(said.contains(text), "{flag}: {said}");
    }
    let unknown = refused(&Setup::new("n1").arg("-bogus"));
    assert!(unknown.contains("-bogus"), "{unknown}");
}

#[test]
fn taken_ports_are_named() {
    let address = Address::unused();
    let rpc = TcpListener::bind(address.rpc).expect("the address was free");
    let said = refused(&Setup::new("n1").at(address));
    assert!(said.contains(&format!("listen tcp {}: bind: address already in use", address.rpc)), "{said}");
    drop(rpc);

    let _gossip = UdpSocket::bind(address.gossip).expect("the address was free");
    let said = refused(&Setup::new("n1").at(address));
    assert!(said.contains("address already in use"), "{said}");
}

#[test]
fn too_little_memory_for_so_many_members_is_told_with_the_flag_that_helps() {
    let said = refused(&Setup::new("n1").through_script("ulimit -v 16000 && exec \"$0\" \"$@\""));
    assert!(said.contains("not enough memory for 16384 members; ask for fewer with -max-members"), "{said}");
    let fewer =
        Setup::new("n1").through_script("ulimit -v 16000 && exec \"$0\" \"$@\"").arg("-max-members=64");
    fewer.start().wait_sees("n1", "alive");
}

#[test]
fn too_few_file_descriptors_are_told_of() {
    for allowed in [4, 6, 7, 23] {
        let script = format!("ulimit -n {allowed} && exec \"$0\" \"$@\"");
        let said = refused(&Setup::new("n1").through_script(&script));
        let text = format!("{allowed} file descriptors are allowed (`ulimit -n`), 24 are needed");
        assert!(said.contains(&text), "{said}");
    }
}

/// Few are allowed, and clients that say nothing would take them all: others are served, and scripts run.
#[test]
fn few_file_descriptors_are_shared() {
    let agent = Setup::new("n1").through_script("ulimit -n 24 && exec \"$0\" \"$@\"").start();
    agent.wait_sees("n1", "alive");
    let rpc = agent.address().rpc;
    let _held: Vec<_> = (0..40).map(|_| TcpStream::connect(rpc).expect("loopback works")).collect();
    assert_eq!(agent.cli(["event", "-coalesce=false", "one"]).code, 0);
    wait_until("its handler to run", || agent.user_events().len() == 1);
}

#[test]
fn a_file_without_an_end_and_tags_that_no_script_can_have_are_refused() {
    let said = refused(&Setup::new("n1").arg("-config-file=/dev/zero"));
    assert!(said.contains("it is longer than 1048576 bytes"), "{said}");
    let scratch = Scratch::new();
    let file = scratch.write("serf.json", r#"{"tags": {"a": "b\u0000"}}"#);
    let said = refused(&Setup::new("n1").arg(format!("-config-file={}", file.display())));
    assert!(said.contains("Invalid tag: \"a\" has no name, or a NUL byte"), "{said}");
}

#[test]
fn an_unreachable_seed_is_fatal() {
    let nobody = Address::unused().gossip;
    let said = refused(&Setup::new("n1").arg(format!("-join={nobody}")));
    assert!(said.contains(&nobody.to_string()), "{said}");
}

#[test]
fn retries_end_with_the_last_attempt() {
    let nobody = Address::unused().gossip;
    let flags = [format!("-retry-join={nobody}"), "-retry-interval=1s".into(), "-retry-max=1".into()];
    let said = refused(&flags.into_iter().fold(Setup::new("n1"), Setup::arg));
    assert!(said.contains("running"), "it had started before: {said}");
}

#[test]
fn bad_config_files_are_named() {
    let scratch = Scratch::new();
    let cases = [
        ("unknown.json", r#"{"bogus_key": 1}"#, "invalid keys: bogus_key"),
        ("broken.json", r#"{"node_name": "#, "broken.json"),
        ("duration.json", r#"{"retry_interval": "soon"}"#, "soon"),
    ];
    for (file, content, text) in cases {
        let path = scratch.write(file, content);
        let said = refused(&Setup::new("n1").arg(format!("-config-file={}", path.display())));
        assert!(said.contains(text), "{file}: {said}");
    }
    let said = refused(&Setup::new("n1").arg("-config-file=/nowhere/serf.json"));
    assert!(said.contains("/nowhere/serf.json"), "{said}");
}

#[test]
fn commands_without_an_agent_fail() {
    let binary = crate::harness::ours();
    let nobody = format!("-rpc-addr={}", Address::unused().rpc);
    for command in ["members", "info", "leave", "monitor"] {
        let output = run(binary, [command, &nobody]);
        assert_eq!(output.code, 1, "{command}");
        assert!(output.text().contains("Error connecting to Serf agent: "), "{command}: {}", output.text());
    }
}

#[test]
fn unknown_commands_exit_with_127() {
    let binary = crate::harness::ours();
    assert_eq!(run(binary, ["bogus"]).code, 127);
    assert_eq!(run(binary, [""; 0]).code, 127);
    assert_eq!(run(binary, ["--help"]).code, 0);
    let version = run(binary, ["version"]);
    assert_eq!(version.code, 0);
    assert!(version.stdout.ends_with("Agent Protocol: 5 (Understands back to: 2)\n"), "{}", version.stdout);
}

/// Keys that Go's agent takes and does nothing with.
#[test]
fn what_a_configuration_switches_off_is_off() {
    let scratch = Scratch::new();
    let with = |name: &str, file: &str, text: &str| {
        let file = scratch.write(file, text);
        Setup::new(name).arg(format!("-config-file={}", file.display()))
    };
    let seed = Setup::new("n1").start();
    let quiet = with("n2", "quiet.json", r#"{"disable_coordinates": true}"#).join(&seed).start();
    let third = Setup::new("n3").join(&seed).start();
    let rtt = |of: &str| seed.cli(["rtt", of]);
    wait_until("a coordinate of n3", || rtt("n3").code == 0);
    third.wait_sees("n2", "alive");
    let none = rtt("n2");
    assert!(
        none.code == 1 && none.stdout.contains("Could not find a coordinate for node \"n2\""),
        "{}",
        none.text()
    );
    assert_eq!(quiet.cli(["rtt", "n1"]).code, 1);

    let refused =
        with("a_b", "names.json", r#"{"validate_node_names": true}"#).command().output().expect("runs");
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("invalid characters \"_\""), "{said}");

    let twin = with("n1", "twin.json", r#"{"disable_name_resolution": true}"#).start();
    assert_eq!(twin.cli(["join", &seed.address().gossip.to_string()]).code, 1);
    wait_until("a word about the name", || twin.printed().contains("Name conflict for 'n1'"));
    assert_eq!(twin.cli(["info"]).code, 0, "it goes on");
}

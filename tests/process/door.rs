//! Who may command an agent: sockets in the file system, tokens in files, addresses that others can reach.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::rpc::Rpc;
use crate::harness::{Output, Process, Scratch, Setup, ours, wait_until};

fn at(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// An agent that answers at a socket.
fn start_at(setup: &Setup, path: &Path) -> Process {
    let mut agent = Process::start(&mut setup.clone().arg(format!("-rpc-addr={}", at(path))).command());
    wait_until("the agent's socket", || {
        assert!(agent.ended().is_none(), "{}", agent.printed());
        ask(path, &["members"]).code == 0
    });
    agent
}

fn ask(path: &Path, args: &[&str]) -> Output {
    Process::start(Command::new(ours()).args(args).env("SERF_RPC_ADDR", at(path))).wait()
}

fn secret(scratch: &Scratch, name: &str, text: &str) -> PathBuf {
    let path = scratch.write(name, text);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("ours");
    path
}

/// Though a token is asked for over TCP.
#[test]
fn commands_reach_an_agent_through_its_socket_and_need_no_token_there() {
    let scratch = Scratch::new();
    let path = scratch.file("rpc.sock");
    let token = secret(&scratch, "token", "secret\n");
    let setup = Setup::new("n1").arg(format!("-rpc-auth-file={}", token.display()));
    let mut agent = start_at(&setup, &path);
    assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o7777, 0o660);
    let flag = format!("-rpc-addr={}", at(&path));
    let listed = Process::start(Command::new(ours()).args(["members", &flag, "-rpc-auth=any"])).wait();
    assert_eq!(listed.code, 0, "{}", listed.text());
    assert!(listed.stdout.starts_with("n1 "), "{}", listed.stdout);
    let mut monitor = Process::start(Command::new(ours()).args(["monitor", &flag]));
    wait_until("the monitor", || monitor.printed().contains("agent.ipc: Accepted client: user "));
    assert_eq!(ask(&path, &["event", "-coalesce=false", "deploy", "1"]).code, 0);
    wait_until("the event", || monitor.printed().contains("\"deploy\""));
    assert!(agent.printed().contains(&format!("RPC addr: '{}'", at(&path))), "{}", agent.printed());
    assert_eq!(ask(&path, &["leave"]).code, 0);
    assert_eq!(agent.wait().code, 0);
    monitor.wait();
    assert!(!path.exists(), "it has gone with its agent");
    let gone = ask(&path, &["members"]);
    assert!(gone.text().contains("connect: no such file or directory"), "{}", gone.text());
}

#[test]
fn a_killed_agents_socket_is_replaced_and_a_living_ones_is_not() {
    let scratch = Scratch::new();
    let path = scratch.file("rpc.sock");
    start_at(&Setup::new("n1"), &path).kill();
    assert!(path.exists(), "nobody has removed it");
    let mut second = start_at(&Setup::new("n2"), &path);
    let third =
        Process::start(&mut Setup::new("n3").arg(format!("-rpc-addr={}", at(&path))).command()).wait();
    assert_eq!(third.code, 1);
    let told =
        format!("listen unix {}: bind: address already in use: an agent answers there", path.display());
    assert!(third.text().contains(&told), "{}", third.text());
    assert!(ask(&path, &["members"]).stdout.starts_with("n2 "));
    second.signal("TERM");
    second.wait();
    assert!(!path.exists());
}

/// As root alone can try it.
#[test]
fn others_are_kept_out_by_the_system() {
    if fs::metadata("/proc/self").expect("Linux").uid() != 0 {
        eprintln!("not root here: another user's commands are not tried");
        return;
    }
    let scratch = Scratch::new();
    // The scratch folder itself may be closed to others: this is about the socket.
    let folder = Path::new("/tmp").join(format!("serf-door-{}", std::process::id()));
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(&folder, Permissions::from_mode(0o2755)).expect("ours");
    std::os::unix::fs::chown(&folder, None, Some(60_000)).expect("root may");
    let path = folder.join("rpc.sock");
    let _agent = start_at(&Setup::new("n1"), &path);
    assert_eq!(fs::metadata(&path).expect("it is there").gid(), 60_000, "of the folder, which is setgid");
    let serf = folder.join("serf");
    fs::copy(ours(), &serf).expect("there is room");
    let as_other = |groups: &str| {
        let mut other = Command::new("setpriv");
        other.args(["--reuid=60001", "--regid=60001", groups]).arg(&serf);
        Process::start(other.args(["members", &format!("-rpc-addr={}", at(&path))])).wait()
    };
    let refused = as_other("--clear-groups");
    assert_eq!(refused.code, 1);
    assert!(
        refused.text().contains("connect: permission denied (root, its owner and its group may)"),
        "{}",
        refused.text()
    );
    let member = as_other("--groups=60000");
    assert_eq!(member.code, 0, "{}", member.text());
    fs::remove_dir_all(&folder).expect("ours");
    drop(scratch);
}

#[test]
fn an_agent_that_everybody_could_command_does_not_start() {
    let refused = Process::start(&mut Setup::new("n1").arg("-rpc-addr=0.0.0.0:1").command()).wait();
    assert_eq!(refused.code, 1);
    let said = refused.text();
    for way_out in ["-rpc-auth-file=PATH", "127.0.0.1", "-rpc-addr=unix:/", "-rpc-allow-unauthenticated"] {
        assert!(said.contains(way_out), "{said}");
    }
    assert!(!said.contains("Starting Serf agent"), "nobody has heard of it: {said}");
    let scratch = Scratch::new();
    let token = format!("-rpc-auth-file={}", secret(&scratch, "token", "secret").display());
    for way_out in [&token, "-rpc-allow-unauthenticated"] {
        let setup = Setup::new("n1").arg("-rpc-addr=0.0.0.0:1").arg("-check").arg(way_out);
        let checked = Process::start(&mut setup.command()).wait();
        assert_eq!(checked.code, 0, "{}", checked.text());
    }
}

#[test]
fn a_new_token_counts_from_the_reload_on_and_a_bad_file_changes_nothing() {
    let scratch = Scratch::new();
    let file = secret(&scratch, "token", "first\n");
    let agent = Setup::new("n1").arg(format!("-rpc-auth-file={}", file.display())).start();
    let with = |token: &str| agent.cli(["members", &format!("-rpc-auth={token}")]).code == 0;
    let mut admitted = Rpc::connect(agent.address().rpc).expect("it answers");
    assert_eq!(admitted.members().unwrap_err().to_string(), "Authentication required");
    admitted.authenticate("first").expect("it is the token");
    fs::write(&file, "second\n").expect("ours");
    agent.signal("HUP");
    wait_until("the new token", || with("second"));
    assert!(!with("first"));
    assert!(admitted.members().is_ok(), "who was admitted stays so");
    for (before, broken) in ["", "two\nlines\n"].into_iter().enumerate() {
        fs::write(&file, broken).expect("ours");
        agent.signal("HUP");
        wait_until("the refusal", || {
            let refusal = "Failed to reload configs: Failed to read RPC token file";
            agent.printed().matches(refusal).count() > before
        });
        assert!(with("second"));
    }
}

#[test]
fn files_with_secrets_that_others_can_read_are_told_of() {
    let scratch = Scratch::new();
    let settings = scratch.write("serf.json", r#"{"rpc_auth": "secret"}"#);
    fs::set_permissions(&settings, Permissions::from_mode(0o644)).expect("ours");
    let agent = Setup::new("n1").arg(format!("-config-file={}", settings.display())).start();
    let shown = settings.display();
    let told =
        format!("Warning: configuration file {shown} is open to others (mode 0644): chmod 600 {shown}");
    assert!(agent.printed().contains(&told), "{}", agent.printed());
}

//! The examples do what they say.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

/// A running program, ended when it is dropped.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(path: impl AsRef<Path>, args: &[&str]) -> Program {
        let mut command = Command::new(path.as_ref());
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child =
            command.spawn().expect("`cargo test` builds examples, unless it is told to build something only");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Program { child, lines }
    }

    /// Reads on until a line is this one.
    async fn wait_for(&mut self, line: &str) {
        let read =
            async { while self.lines.next_line().await.expect("text").expect("it goes on") != line {} };
        timeout(Duration::from_secs(60), read)
            .await
            .unwrap_or_else(|_| panic!("waited in vain for {line:?}"));
    }
}

fn example(name: &str) -> PathBuf {
    // Beside this test's folder; cargo has built both.
    let mut path = std::env::current_exe().expect("a test has a path");
    path.pop();
    path.with_file_name("examples").join(name)
}

/// An address of this machine that nobody uses.
fn unused() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback works");
    socket.local_addr().expect("it is bound").to_string()
}

#[tokio::test]
async fn an_embedded_agent_handles_what_others_fire_and_leaves() {
    let (one, other) = (unused(), unused());
    let mut first = Program::start(example("embedded"), &["one", &one]);
    first.wait_for("deploying version 1").await;
    let mut second = Program::start(example("embedded"), &["two", &other, &one]);
    second.wait_for("1 have answered").await;
    second.wait_for("member-join: one").await;
    first.wait_for("member-join: two").await;
    let pid = second.child.id().expect("it runs").to_string();
    Command::new("kill").args(["-INT", &pid]).status().await.expect("kill is there");
    second.wait_for("Left").await;
    assert!(second.child.wait().await.expect("it ends").success());
}

#[tokio::test]
async fn a_client_sees_members_and_its_own_event() {
    let (gossip, rpc) = (unused(), unused());
    let agent = ["agent", "-node=one", &format!("-bind={gossip}"), &format!("-rpc-addr={rpc}")];
    let _agent = Program::start(env!("CARGO_BIN_EXE_serf"), &agent);
    let served = async {
        while tokio::net::TcpStream::connect(&rpc).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), served).await.expect("the agent serves");
    let mut client = Program::start(example("rpc"), &[&rpc]);
    client.wait_for("one is alive").await;
    client.wait_for("greeting: hello").await;
    assert!(client.child.wait().await.expect("it ends").success());
}

//! The examples do what they say.

use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running example, ended when it is dropped.
struct Example(Child, BufReader<ChildStdout>);

impl Example {
    fn start(name: &str, args: &[&str]) -> Example {
        // Beside this test's folder; cargo has built both.
        let mut path: PathBuf = std::env::current_exe().expect("a test has a path");
        path.pop();
        path.set_file_name("examples");
        let mut command = Command::new(path.join(name));
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child =
            command.spawn().expect("`cargo test` builds examples, unless it is told to build something only");
        let stdout = child.stdout.take().expect("it is piped");
        Example(child, BufReader::new(stdout))
    }

    /// Reads on until a line is this one.
    fn wait_for(&mut self, line: &str) {
        let mut read = String::new();
        while read.trim_end() != line {
            read.clear();
            assert_ne!(self.1.read_line(&mut read).expect("text"), 0, "it has ended without {line:?}");
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address of this machine that nobody uses.
fn unused() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback works");
    socket.local_addr().expect("it is bound").to_string()
}

#[test]
fn a_line_typed_at_one_member_is_printed_by_the_other() {
    let (one, other) = (unused(), unused());
    let mut a = Example::start("udp", &["a", &one]);
    let mut b = Example::start("udp", &["b", &other, &one]);
    b.wait_for("Join: a");
    let typed = b.0.stdin.as_mut().expect("it is piped").write_all(b"hello\n");
    typed.expect("it reads");
    a.wait_for("hello");
    b.wait_for("hello");
}

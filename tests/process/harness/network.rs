//! Networks of their own, without a thread of this process in them.

use std::process::Command;

use super::{Output, Process, Scratch, ours};

/// Runs a script of the shell to its end as root of a new network. `$0` is our binary, `$1` a folder; what it has started ends with
/// it. `None` where that is not allowed.
#[track_caller]
pub fn in_a_network(script: &str) -> Option<Output> {
    let apart = ["-rn", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let tried = Command::new("unshare").args(apart).arg("true").status();
    if !tried.is_ok_and(|status| status.success()) {
        return None;
    }
    let scratch = Scratch::new();
    let folder = scratch.folder("here");
    let mut command = Command::new("unshare");
    command.args(apart).args(["sh", "-ec", script]).arg(ours()).arg(folder);
    Some(Process::start(&mut command).wait())
}

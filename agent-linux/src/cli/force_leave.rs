//! `serf force-leave`.

use std::ffi::OsString;
use std::process::ExitCode;

use super::connect::{RpcFlags, failed};
use super::flags;

/// Declares a failed member as left, so that the cluster no longer tries to reach it.
///
/// A member that is in fact alive will object and stay.
#[derive(clap::Parser)]
#[command(override_usage = "serf force-leave [options] name")]
pub(super) struct Flags {
    /// Erase the member from the list of members too
    #[arg(long, action = clap::ArgAction::Set, default_value_t = false)]
    prune: bool,
    #[command(flatten)]
    rpc: RpcFlags,
    #[arg(hide = true)]
    args: Vec<OsString>,
}

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let Flags { prune, rpc, args } = match flags::parse(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let [node] = &args[..] else {
        return flags::misused::<Flags>("A node name must be specified to force leave.");
    };
    let node = node.to_string_lossy();
    rpc.run(async |client| match client.force_leave(&node, prune).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed("force leaving", error),
    })
}

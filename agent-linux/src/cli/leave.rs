//! `serf leave`.

use std::ffi::OsString;
use std::process::ExitCode;

use super::connect::{RpcFlags, failed};
use super::{flags, ui};

/// Makes a running agent leave its cluster in good order and exit.
#[derive(clap::Parser)]
#[command(override_usage = "serf leave [options]")]
pub(super) struct Flags {
    #[command(flatten)]
    rpc: RpcFlags,
    #[arg(hide = true)]
    _ignored: Vec<OsString>,
}

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let flags: Flags = match flags::parse(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    flags.rpc.run(async |client| match client.leave().await {
        Ok(()) => {
            ui::say("Graceful leave complete");
            ExitCode::SUCCESS
        }
        Err(error) => failed("leaving", error),
    })
}

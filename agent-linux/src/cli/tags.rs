//! `serf tags`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;

use super::connect::{RpcFlags, failed};
use super::{connect, flags, ui};

/// Changes the tags of a running agent, and with them what all members know of it.
///
/// Tags that are not named stay. One that is both deleted and set has the new value.
#[derive(clap::Parser)]
#[command(override_usage = "serf tags [options]")]
pub(super) struct Flags {
    /// A tag to set, which may be there already. May be repeated
    #[arg(long, value_name = "<key>=<value>")]
    set: Vec<String>,
    /// A tag to delete; one that is not there is no error. May be repeated
    #[arg(long, value_name = "<key>")]
    delete: Vec<String>,
    #[command(flatten)]
    rpc: RpcFlags,
    #[arg(hide = true)]
    _ignored: Vec<OsString>,
}

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let Flags { set, delete, rpc, .. } = match flags::parse(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    if set.is_empty() && delete.is_empty() {
        ui::say(flags::usage(&Flags::command()));
        return ExitCode::FAILURE;
    }
    let set = match connect::tags(&set) {
        Ok(tags) => tags,
        Err(code) => return code,
    };
    rpc.run(async |client| match client.tags(set, delete).await {
        Ok(()) => {
            ui::say("Successfully updated agent tags");
            ExitCode::SUCCESS
        }
        Err(error) => failed("setting tags", error),
    })
}

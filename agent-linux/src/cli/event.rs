//! `serf event`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use super::connect::{RpcFlags, failed};
use super::{flags, ui};

/// Sends a user event to every member of the cluster. The name and the payload may be any bytes.
#[derive(clap::Parser)]
#[command(override_usage = "serf event [options] name [payload]")]
struct Flags {
    /// Whether members may coalesce it: of several events of one name in short succession, only the last one is then
    /// handed out. Default is true
    #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
    coalesce: bool,
    #[command(flatten)]
    rpc: RpcFlags,
    #[arg(hide = true)]
    args: Vec<OsString>,
}

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let Flags { coalesce, rpc, args } = match flags::parse(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let (name, payload) = match &args[..] {
        [] => return flags::misused::<Flags>("An event name must be specified."),
        [name] => (name.as_bytes(), &b""[..]),
        [name, payload] => (name.as_bytes(), payload.as_bytes()),
        _ => {
            return flags::misused::<Flags>(
                "Too many command line arguments. Only a name and payload must be specified.",
            );
        }
    };
    rpc.run(async |client| match client.event(name, payload, coalesce).await {
        Ok(()) => {
            let tail = format!("' dispatched! Coalescing enabled: {coalesce}");
            ui::say([b"Event '", name, tail.as_bytes()].concat());
            ExitCode::SUCCESS
        }
        Err(error) => failed("sending event", error),
    })
}

//! `serf join`.

use std::ffi::OsString;
use std::process::ExitCode;

use super::connect::{RpcFlags, failed};
use super::{flags, ui};

/// Makes a running agent join a cluster through the addresses of one or more members, each as [name/]host[:port], or as srv:name,
/// which are all targets of a DNS service.
#[derive(clap::Parser)]
#[command(override_usage = "serf join [options] address ...")]
pub(super) struct Flags {
    /// Deliver the cluster's past user events too
    #[arg(long, action = clap::ArgAction::Set, default_value_t = false)]
    replay: bool,
    #[command(flatten)]
    rpc: RpcFlags,
    #[arg(hide = true)]
    addresses: Vec<OsString>,
}

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let Flags { replay, rpc, addresses } = match flags::parse(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    if addresses.is_empty() {
        return flags::misused::<Flags>("At least one address to join must be specified.");
    }
    let addresses = addresses.iter().map(|address| address.to_string_lossy().into_owned()).collect();
    rpc.run(async |client| match client.join(addresses, replay).await {
        Ok(contacted) => {
            ui::say(format!("Successfully joined cluster by contacting {contacted} nodes."));
            ExitCode::SUCCESS
        }
        Err(error) => failed("joining the cluster", error),
    })
}

//! `serf event`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use super::connect::{RpcFlags, failed};
use super::{connect, flags, ui};
use crate::rpc::client::{Client, Error};
use crate::rpc::message::TargetedEvent;

/// Sends a user event to every member of the cluster, or to some. The name and the payload may be any bytes.
#[derive(clap::Parser)]
#[command(override_usage = "serf event [options] name [payload]")]
struct Flags {
    /// Whether members may coalesce it: of several events of one name in short succession, only the last one is then
    /// handed out. Default is true
    #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
    coalesce: bool,
    /// Only for this member. May be repeated
    #[arg(long, value_name = "<name>")]
    node: Vec<String>,
    /// Only for members in whose tag the regular expression is found; a missing tag counts as empty. May be given for several
    /// tags
    #[arg(long, value_name = "<key>=<regexp>")]
    tag: Vec<String>,
    #[command(flatten)]
    rpc: RpcFlags,
    #[arg(hide = true)]
    args: Vec<OsString>,
}

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let Flags { coalesce, node, tag, rpc, args } = match flags::parse(args) {
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
    let tags = match connect::tags(&tag) {
        Ok(tags) => tags,
        Err(code) => return code,
    };
    let event = TargetedEvent {
        filter_nodes: node,
        filter_tags: tags,
        name: name.to_vec(),
        payload: payload.to_vec(),
        coalesce,
    };
    rpc.run(async |client| match send(&client, &event).await {
        Ok(()) => {
            let tail = format!("' dispatched! Coalescing enabled: {coalesce}");
            ui::say([b"Event '", name, tail.as_bytes()].concat());
            ExitCode::SUCCESS
        }
        Err(error) => failed("sending event", error),
    })
}

/// An event for all goes to agents of any kind.
async fn send(client: &Client, event: &TargetedEvent) -> Result<(), Error> {
    match event.filter_nodes.is_empty() && event.filter_tags.is_empty() {
        true => client.event(&event.name, &event.payload, event.coalesce).await,
        false => client.targeted_event(event).await,
    }
}

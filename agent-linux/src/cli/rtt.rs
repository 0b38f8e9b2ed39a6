//! `serf rtt`.

use std::ffi::OsString;
use std::process::ExitCode;

use super::connect::{RpcFlags, failed};
use super::{flags, ui};
use crate::agent::log::in_one_line;
use crate::rpc::client::{Client, Error};

/// Estimates the round trip time between two nodes, from where they are in the space of round trips that the cluster has
/// measured. They need not have measured each other.
///
/// Without the second one it is that of the agent. Names are those that `serf members` shows.
#[derive(clap::Parser)]
#[command(override_usage = "serf rtt [options] node1 [node2]")]
pub(super) struct Flags {
    #[command(flatten)]
    rpc: RpcFlags,
    #[arg(hide = true)]
    names: Vec<OsString>,
}

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let Flags { rpc, names } = match flags::parse(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let names: Vec<String> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    rpc.run(async |client| {
        let (first, second) = match &names[..] {
            [first, second] => (first.clone(), second.clone()),
            [first] => match own_name(&client).await {
                Ok(own) => (first.clone(), own),
                Err(error) => return failed("querying agent", error),
            },
            _ => return flags::misused::<Flags>("One or two node names must be specified"),
        };
        estimate(&client, [first, second]).await
    })
}

async fn own_name(client: &Client) -> Result<String, Error> {
    let mut stats = client.stats().await?;
    let name = stats.get_mut("agent").and_then(|agent| agent.remove("name"));
    name.ok_or_else(|| Error::Protocol("the agent does not tell its name".to_owned()))
}

async fn estimate(client: &Client, names: [String; 2]) -> ExitCode {
    let mut places = Vec::new();
    for name in &names {
        match client.coordinate(name).await {
            Ok(Some(place)) => places.push(place),
            Ok(None) => {
                ui::say(format!("Could not find a coordinate for node \"{}\"", in_one_line(name)));
                return ExitCode::FAILURE;
            }
            Err(error) => return failed("getting coordinates", error),
        }
    }
    let millis = places[0].distance(&places[1]) * 1e3;
    let [first, second] = names.map(|name| in_one_line(&name).into_owned());
    ui::say(format!("Estimated {first} <-> {second} rtt: {millis:.3} ms"));
    ExitCode::SUCCESS
}

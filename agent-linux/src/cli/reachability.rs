//! `serf reachability`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use super::connect::{RpcFlags, failed, next_reply};
use super::{flags, ui};
use crate::agent::log::in_one_line;
use crate::rpc::client::Client;
use crate::rpc::message::Query;

/// Tests whether all members that are believed to live can be reached: each is asked to acknowledge that it was.
#[derive(clap::Parser)]
#[command(override_usage = "serf reachability [options]")]
pub(super) struct Flags {
    /// Show who answers, and how long it took
    #[arg(long, action = clap::ArgAction::Set, default_value_t = false)]
    verbose: bool,
    #[command(flatten)]
    rpc: RpcFlags,
    #[arg(hide = true)]
    _ignored: Vec<OsString>,
}

const HINTS: &str = "\
What can be behind this:
* a firewall that lets UDP through in one direction only, or not from everywhere
* a member that advertises an address that others do not reach: see -advertise
* members whose names are the same: see `serf info` for conflicts in the log
* a member that has failed in the last seconds: try again";

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let Flags { verbose, rpc, .. } = match flags::parse(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    rpc.run(async |client| test(client, verbose).await)
}

async fn test(client: Client, verbose: bool) -> ExitCode {
    let members = match client.members().await {
        Ok(members) => members,
        Err(error) => return failed("getting members", error),
    };
    let live: Vec<&str> =
        members.iter().filter(|member| member.status == "alive").map(|member| &*member.name).collect();
    ui::say(format!("Total members: {}, live members: {}", members.len(), live.len()));
    ui::say("Starting reachability test...");
    let (name, wait_full_timeout) = ("_serf_ping".to_owned(), Some(false));
    let ping = Query { request_ack: true, name, wait_full_timeout, ..Query::default() };
    let start = Instant::now();
    let mut records = match client.query(&ping).await {
        Ok(records) => records,
        Err(error) => return failed("sending query", error),
    };
    let mut acks = BTreeMap::<String, usize>::new();
    let mut last = start;
    loop {
        let record = match next_reply(&mut records).await {
            Ok(Some(record)) => record,
            Ok(None) => break,
            Err(error) => return failed("receiving answers", error),
        };
        last = Instant::now();
        if verbose {
            ui::say(format!("\tAck from '{}'", in_one_line(&record.from)));
        }
        *acks.entry(record.from).or_default() += 1;
    }
    if verbose {
        let (whole, last) = (start.elapsed().as_secs_f64(), (last - start).as_secs_f64());
        ui::say(format!("Query time: {whole:.2} sec, time to last response: {last:.2} sec"));
    }
    verdict(&live, &acks)
}

fn verdict(live: &[&str], acks: &BTreeMap<String, usize>) -> ExitCode {
    let listed = |names: Vec<&str>| names.into_iter().map(in_one_line).collect::<Vec<_>>().join(", ");
    let silent: Vec<&str> = live.iter().copied().filter(|name| !acks.contains_key(*name)).collect();
    let unknown: Vec<&str> = acks.keys().map(String::as_str).filter(|name| !live.contains(name)).collect();
    let twice: Vec<&str> = acks.iter().filter(|(_, count)| **count > 1).map(|(name, _)| &**name).collect();
    if silent.is_empty() && unknown.is_empty() && twice.is_empty() {
        ui::say("Successfully contacted all live nodes");
        return ExitCode::SUCCESS;
    }
    if !silent.is_empty() {
        ui::say(format!("Not reached, though believed alive: {}", listed(silent)));
    }
    if !unknown.is_empty() {
        ui::say(format!("Reached, though not believed alive: {}", listed(unknown)));
    }
    if !twice.is_empty() {
        ui::say(format!("Acknowledged more than once: {}", listed(twice)));
    }
    ui::say(HINTS);
    ExitCode::FAILURE
}

//! `serf info`.

use std::ffi::OsString;
use std::process::ExitCode;

use super::connect::{RpcFlags, failed};
use super::{flags, ui};
use crate::agent::model::stats_text;

/// Shows what a running agent knows of itself: versions, queues, clocks, counters, tags and handlers.
#[derive(clap::Parser)]
#[command(override_usage = "serf info [options]")]
pub(super) struct Flags {
    /// Format of the output, 'text' or 'json'. Default is text
    #[arg(long, value_name = "text", default_value = "text")]
    format: String,
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
    flags.rpc.run(async |client| match client.stats().await {
        Ok(stats) => ui::print(&flags.format, &stats, || stats_text(&stats)),
        Err(error) => failed("querying agent", error),
    })
}

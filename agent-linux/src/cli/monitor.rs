//! `serf monitor`.

use std::ffi::OsString;
use std::process::ExitCode;

use super::connect::{RpcFlags, failed};
use super::{flags, go_syntax, ui};
use crate::rpc::client::{Client, Error};

/// Shows the latest log lines of a running agent and follows its log and its events, until interrupted.
///
/// The level is independent of the agent's own: an agent that logs at INFO can be watched at DEBUG.
#[derive(clap::Parser)]
#[command(override_usage = "serf monitor [options]")]
pub(super) struct Flags {
    /// Least serious level to show: trace, debug, info, warn or err
    #[arg(long, value_name = "info", default_value = "INFO")]
    log_level: String,
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
    flags.rpc.run(async |client| {
        tokio::select! {
            code = follow(client, &flags.log_level) => code,
            _ = tokio::signal::ctrl_c() => ExitCode::SUCCESS,
        }
    })
}

async fn follow(client: Client, level: &str) -> ExitCode {
    let mut events = match client.observe("*").await {
        Ok(events) => events,
        Err(error) => return failed("starting stream", error),
    };
    let mut lines = match client.monitor(level).await {
        Ok(lines) => lines,
        Err(error) => return failed("starting monitor", error),
    };
    let (mut more_lines, mut more_events) = (true, true);
    while more_lines || more_events {
        let (text, missed, what) = tokio::select! {
            line = lines.next(), if more_lines => match line {
                Ok(Some(line)) => (line.record, line.missed, "log lines"),
                Ok(None) => { more_lines = false; continue }
                Err(error) => (unreadable(&error), 0, ""),
            },
            event = events.next(), if more_events => match event {
                Ok(Some(event)) => {
                    (format!("Event Info:\n{}", go_syntax::fields(&event.record)), event.missed, "events")
                }
                Ok(None) => { more_events = false; continue }
                Err(error) => (unreadable(&error), 0, ""),
            },
        };
        if missed > 0 {
            ui::say(format!("({missed} {what} were lost here: reading them was too slow)"));
        }
        if !ui::say(text) {
            // Nobody reads any more.
            return ExitCode::SUCCESS;
        }
    }
    ui::say(
        "\nRemote side ended the monitor! This usually means that the\nremote side has exited or crashed.",
    );
    ExitCode::FAILURE
}

fn unreadable(error: &Error) -> String {
    format!("Error reading record: {error}")
}

//! `serf why`.

use std::ffi::OsString;
use std::process::ExitCode;

use chrono::{DateTime, Local, SecondsFormat};
use serde::Serialize;

use super::connect::{RpcFlags, failed};
use super::{flags, ui};
use crate::agent::log::in_one_line;
use crate::rpc::client::{Client, Error};
use crate::rpc::message::{Change, Why};

/// Tells how members came to their states, as the agent has learnt it: who accused them, which probes they did not answer, what
/// brought them back. Without names: all that have failed.
#[derive(clap::Parser)]
#[command(override_usage = "serf why [options] [name ...]")]
pub(super) struct Flags {
    /// Format of the output, 'text' or 'json'. Default is text
    #[arg(long, value_name = "text", default_value = "text")]
    format: String,
    #[command(flatten)]
    rpc: RpcFlags,
    #[arg(hide = true)]
    names: Vec<OsString>,
}

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let Flags { format, rpc, names } = match flags::parse(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    if !["text", "json"].contains(&&*format) {
        ui::say(format!("Invalid format: {format}"));
        return ExitCode::FAILURE;
    }
    let names = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    rpc.run(async |client| match histories(&client, names).await {
        Ok(members) if format == "json" => ui::print("json", &Histories { members }, String::new),
        Ok(members) if members.is_empty() => {
            ui::say("No member has failed");
            ExitCode::SUCCESS
        }
        Ok(members) => {
            members.iter().for_each(show);
            ExitCode::SUCCESS
        }
        Err(Unknown::Member(name)) => {
            ui::say(format!("There is no member '{}'", in_one_line(&name)));
            ExitCode::FAILURE
        }
        Err(Unknown::Other(error)) => failed("asking the agent", error),
    })
}

enum Unknown {
    Member(String),
    Other(Error),
}

/// What JSON shows.
#[derive(Serialize)]
struct Histories {
    members: Vec<History>,
}

#[derive(Serialize)]
struct History {
    name: String,
    status: String,
    changes: Vec<Happened>,
}

#[derive(Serialize)]
struct Happened {
    at: String,
    what: String,
    by: String,
    number: u32,
}

async fn histories(client: &Client, mut names: Vec<String>) -> Result<Vec<History>, Unknown> {
    if names.is_empty() {
        let members = client.members().await.map_err(Unknown::Other)?;
        let failed = members.into_iter().filter(|member| member.status == "failed");
        names = failed.map(|member| member.name).collect();
    }
    let mut histories = Vec::new();
    for name in names {
        let Some(Why { changes, status }) = client.why(&name).await.map_err(Unknown::Other)? else {
            return Err(Unknown::Member(name));
        };
        let happened = |Change { at, by, number, what }| {
            let at = DateTime::from_timestamp_micros(at).unwrap_or_default();
            let at = at.with_timezone(&Local).to_rfc3339_opts(SecondsFormat::Millis, false);
            Happened { at, what, by, number }
        };
        histories.push(History { name, status, changes: changes.into_iter().map(happened).collect() });
    }
    Ok(histories)
}

/// As text. What has happened several times in a row is told once.
fn show(history: &History) {
    ui::say(format!("{} is {}", in_one_line(&history.name), history.status));
    if history.changes.is_empty() {
        ui::say("  nothing is remembered of how it came to that");
    }
    let same = |a: &Happened, b: &Happened| (&a.what, &a.by) == (&b.what, &b.by);
    for alike in history.changes.chunk_by(same) {
        let first = &alike[0];
        let times = if alike.len() > 1 { format!(" ({} times)", alike.len()) } else { String::new() };
        ui::say(format!("  {}  {}{times}", first.at, words(first)));
    }
}

fn words(Happened { what, by, number, .. }: &Happened) -> String {
    let by = if by.is_empty() { "a member that is not known any more".into() } else { in_one_line(by) };
    match &**what {
        "met" => "was heard of for the first time".into(),
        "restarted" => "was started anew".into(),
        "contradicted" => format!("contradicts what was said against it (incarnation {number})"),
        "returned" => "has come back".into(),
        "unanswered" => "has not answered a probe of this agent's, directly or through others".into(),
        "probed-again" => "was probed once more".into(),
        "suspected" => format!("is suspected by {by}"),
        "accused" => format!("is accused by {by}, too: {number} by now have confirmed the suspicion"),
        "contested-by-table" => "is held for failed by another member's table, and suspected for that".into(),
        "answered" => "has answered this agent, which clears it".into(),
        "declared-failed" => {
            format!("is failed: it has not contradicted in time; {number} had confirmed the suspicion")
        }
        "declared-failed-alone" => {
            "is failed for this agent alone, which heard nobody: its own link may be at fault".into()
        }
        "refused" => "its host has refused a datagram: others are asked".into(),
        "found-gone" => {
            format!("is failed: its host refuses datagrams for it, to {number} other members as well")
        }
        "told-failed" => format!("is failed, says {by}"),
        "failed-by-table" => "is failed, says another member's table".into(),
        "leaving" => "is to leave, says it or an operator".into(),
        "left" => "has left".into(),
        "forced-to-leave" => "was declared as left by an operator".into(),
        "left-by-table" => "has left, says another member's table".into(),
        "forgotten" => "was forgotten".into(),
        // Of an agent that knows more.
        other => in_one_line(other).into_owned(),
    }
}

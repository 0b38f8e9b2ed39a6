//! `serf query`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::connect::{RpcFlags, failed, next_reply};
use super::{flags, ui};
use crate::agent::log::{in_one_line, printable};
use crate::agent::operators;
use crate::process::config::{self, duration};
use crate::rpc::client::Client;
use crate::rpc::message::{Query, QueryRecord, refusal};

/// Asks the whole cluster and shows what its members answer: what their handlers for `query` print.
///
/// It ends when all who are asked have answered, or have none to give, or when time is over.
#[derive(clap::Parser)]
#[command(override_usage = "serf query [options] name [payload]")]
pub(super) struct Flags {
    /// Format of the output, 'text' or 'json'. Default is text
    #[arg(long, value_name = "text", default_value = "text")]
    format: String,
    /// Ask this member. May be repeated; without it all are asked
    #[arg(long, value_name = "<name>")]
    node: Vec<String>,
    /// Ask only members in whose tag the regular expression is found; a missing tag counts as empty. May be given for several
    /// tags
    #[arg(long, value_name = "<key>=<regexp>")]
    tag: Vec<String>,
    /// How long to wait for answers, e.g. 500ms or 1m. Default is what suits the cluster's size, 3.2s in a small one
    #[arg(long, value_name = "15s", default_value = "0s", value_parser = duration::parse)]
    timeout: i64,
    /// Do not ask for acknowledgements
    #[arg(long, action = clap::ArgAction::Set, default_value_t = false)]
    no_ack: bool,
    /// Through how many others Go's members send their answers a second time, up to 255. Those of this kind send theirs
    /// until it is confirmed, whatever is said here
    #[arg(long, value_name = "0", default_value = "0")]
    relay_factor: i64,
    /// Wait for all of the time even if all have answered
    #[arg(long, action = clap::ArgAction::Set, default_value_t = false)]
    wait_full_timeout: bool,
    /// Sign it with the private key in this file, which serf keygen -sign has written: for queries that only operators may ask. The key
    /// stays with this command
    #[arg(long, value_name = "<path>")]
    sign: Option<PathBuf>,
    #[command(flatten)]
    rpc: RpcFlags,
    #[arg(hide = true)]
    args: Vec<OsString>,
}

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let flags: Flags = match flags::parse(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let (name, payload) = match &flags.args[..] {
        [] => return flags::misused::<Flags>("A query name must be specified."),
        [name] => (name, &OsString::new()),
        [name, payload] => (name, payload),
        _ => {
            return flags::misused::<Flags>(
                "Too many command line arguments. Only a name and payload must be specified.",
            );
        }
    };
    let key = match flags.sign.as_deref().map(operators::load).transpose() {
        Err(error) => return failed("signing query", error),
        Ok(key) => key,
    };
    let mut query = match query(&flags, name, payload) {
        Ok(query) => query,
        Err(error) => {
            ui::say(error);
            return ExitCode::FAILURE;
        }
    };
    let json = flags.format == "json";
    flags.rpc.run(async |client| {
        if let Some(key) = &key {
            match client.reserve_query(query.timeout).await {
                Ok(reservation) => query.sign(reservation, key),
                Err(error) => return failed("sending query", error),
            }
        }
        tokio::select! {
            code = ask(client, &query, json) => code,
            _ = tokio::signal::ctrl_c() => ExitCode::FAILURE,
        }
    })
}

fn query(flags: &Flags, name: &OsString, payload: &OsString) -> Result<Query, String> {
    let relay_factor =
        u8::try_from(flags.relay_factor).map_err(|_| "Relay factor must be between 0 and 255".to_owned())?;
    if !["text", "json"].contains(&&*flags.format) {
        return Err(format!("Invalid format: {}", flags.format));
    }
    if flags.timeout < 0 {
        return Err(refusal::NEGATIVE_TIMEOUT.to_owned());
    }
    let name = name.to_str().ok_or("The name of a query must be UTF-8")?;
    Ok(Query {
        filter_nodes: flags.node.clone(),
        filter_tags: config::tags(&flags.tag).map_err(|error| format!("Error: {error}"))?,
        request_ack: !flags.no_ack,
        relay_factor,
        timeout: flags.timeout,
        name: name.to_owned(),
        payload: payload.as_bytes().to_vec(),
        wait_full_timeout: Some(flags.wait_full_timeout),
        signed: None,
    })
}

/// What JSON shows.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answers {
    /// Absent (null) rather than empty, as Go has it.
    acks: Option<Vec<String>>,
    responses: BTreeMap<String, String>,
}

async fn ask(client: Client, query: &Query, json: bool) -> ExitCode {
    let mut records = match client.query(query).await {
        Ok(records) => records,
        Err(error) => return failed("sending query", error),
    };
    let show = |line: String| if json { true } else { ui::say(line) };
    let mut answers = Answers::default();
    let mut listening = show(format!("Query '{}' dispatched", query.name));
    while listening {
        let QueryRecord { from, payload, r#type } = match next_reply(&mut records).await {
            Ok(Some(record)) => record,
            Ok(None) => break,
            Err(error) => return failed("receiving answers", error),
        };
        if r#type == "ack" {
            listening = show(format!("Ack from '{}'", in_one_line(&from)));
            answers.acks.get_or_insert_default().push(from);
        } else {
            let text = String::from_utf8_lossy(&payload).into_owned();
            let shown = text.strip_suffix('\n').unwrap_or(&text);
            listening = show(format!("Response from '{}': {}", in_one_line(&from), printable(shown)));
            answers.responses.insert(from, text);
        }
    }
    if json {
        return ui::print("json", &answers, String::new);
    }
    if query.request_ack {
        ui::say(format!("Total Acks: {}", answers.acks.unwrap_or_default().len()));
    }
    ui::say(format!("Total Responses: {}", answers.responses.len()));
    ExitCode::SUCCESS
}

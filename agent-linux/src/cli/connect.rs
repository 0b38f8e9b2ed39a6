//! What all commands share that talk to an agent.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use super::{runtime, ui};
use crate::agent::log::printable;
use crate::process::config;
use crate::rpc::client::{Client, Config, Error, Records};
use crate::rpc::message::QueryRecord;
use crate::rpc::token;

/// Where the agent is.
#[derive(clap::Args, Debug)]
pub(super) struct RpcFlags {
    /// RPC address of the agent, HOST:PORT or unix:PATH. Default is SERF_RPC_ADDR, else 127.0.0.1:7373
    #[arg(long, value_name = "127.0.0.1:7373")]
    rpc_addr: Option<String>,
    /// RPC token of the agent. Default is SERF_RPC_AUTH, else none
    #[arg(long, value_name = "\"\"")]
    rpc_auth: Option<String>,
    /// The same, in a file that other users cannot read. Default is SERF_RPC_AUTH_FILE
    #[arg(long, value_name = "PATH", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    rpc_auth_file: Option<String>,
}

impl RpcFlags {
    /// Connects, does the work, and gives back its exit code.
    pub(super) fn run(self, work: impl AsyncFnOnce(Client) -> ExitCode) -> ExitCode {
        let auth = match self.token() {
            Ok(auth) => auth,
            Err(why) => return failed("connecting to Serf agent", why),
        };
        let address =
            self.rpc_addr.or_else(|| from_env("SERF_RPC_ADDR")).unwrap_or("127.0.0.1:7373".to_owned());
        let code = runtime::run(async {
            match Client::connect(&address, Config { auth, ..Config::default() }).await {
                Ok(client) => work(client).await,
                Err(error) => failed("connecting to Serf agent", error),
            }
        });
        code.unwrap_or_else(|error| failed("starting", error))
    }

    /// The token, empty for none: what the flags say, else what the environment says.
    fn token(&self) -> Result<String, String> {
        let (flag, flag_file) = (self.rpc_auth.clone(), self.rpc_auth_file.clone());
        let (token, file, names) = if flag.is_some() || flag_file.is_some() {
            (flag, flag_file, "-rpc-auth and -rpc-auth-file")
        } else {
            let [token, file] = ["SERF_RPC_AUTH", "SERF_RPC_AUTH_FILE"].map(from_env);
            (token, file, "SERF_RPC_AUTH and SERF_RPC_AUTH_FILE")
        };
        match (token, file) {
            (Some(_), Some(_)) => Err(format!("{names} both give a token: take one out")),
            (token, None) => Ok(token.unwrap_or_default()),
            (None, Some(file)) => token::read(Path::new(&file)),
        }
    }
}

fn from_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What flags `key=value` say; if one is none that is told, and there is an exit code for it.
pub(super) fn tags(flags: &[String]) -> Result<BTreeMap<String, String>, ExitCode> {
    config::tags(flags).map_err(|error| {
        ui::say(format!("Error: {error}"));
        ExitCode::FAILURE
    })
}

/// The next thing that the cluster says to a query; `None` once it has said all.
pub(super) async fn next_reply(replies: &mut Records<QueryRecord>) -> Result<Option<QueryRecord>, Error> {
    let record = replies.next().await?.ok_or(Error::Closed)?.record;
    // Go's agents can send records of nobody before the last one.
    Ok(Some(record).filter(|record| record.r#type != "done" && !record.from.is_empty()))
}

/// Tells what went wrong; the exit code for it. Part of the text may come from whoever answers at the agent's address.
pub(super) fn failed(doing: &str, error: impl Display) -> ExitCode {
    ui::say(printable(&format!("Error {doing}: {error}")).as_bytes());
    ExitCode::FAILURE
}

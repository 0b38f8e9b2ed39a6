//! `serf keygen`.

use std::ffi::OsString;
use std::process::ExitCode;

use super::connect::failed;
use super::{flags, ui};
use crate::agent::keys;

/// Makes a key, of 32 random bytes in base64, for the -encrypt flag of all agents of a cluster, or for their keyring
/// files.
#[derive(clap::Parser)]
#[command(override_usage = "serf keygen")]
struct Flags {
    #[arg(hide = true)]
    _ignored: Vec<OsString>,
}

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    if let Err(code) = flags::parse::<Flags>(args) {
        return code;
    }
    match keys::generate() {
        Ok(key) => {
            ui::say(keys::encode(&key));
            ExitCode::SUCCESS
        }
        Err(error) => failed("reading random data", error),
    }
}

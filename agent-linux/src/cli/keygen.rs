//! `serf keygen`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use super::connect::failed;
use super::{flags, ui};
use crate::agent::{keys, operators};

/// Makes a key, of 32 random bytes in base64, for the -encrypt flag of all agents of a cluster, or for their keyring
/// files.
///
/// With -sign it makes an operator's key pair: the private key goes into a new file, the public one is shown, for event_authority in the
/// agents' configuration.
#[derive(clap::Parser)]
#[command(override_usage = "serf keygen [options]")]
pub(super) struct Flags {
    /// Write a private key for serf event -sign to this file, and show its public key
    #[arg(long, value_name = "<path>")]
    sign: Option<PathBuf>,
    /// Show the public key to the private one in this file
    #[arg(long, value_name = "<path>")]
    public: Option<PathBuf>,
    #[arg(hide = true)]
    _ignored: Vec<OsString>,
}

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let Flags { sign, public, .. } = match flags::parse(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    if let Some(path) = sign {
        return match operators::create(&path) {
            Ok(public) => show(&public),
            Err(error) => failed("making a key pair", error),
        };
    }
    if let Some(path) = public {
        return match operators::load(&path) {
            Ok(private) => show(&operators::public(&private)),
            Err(error) => failed("reading a private key", error),
        };
    }
    match keys::generate() {
        Ok(key) => show(&keys::encode(&key)),
        Err(error) => failed("reading random data", error),
    }
}

/// A key that nobody reads is lost.
fn show(key: &str) -> ExitCode {
    if ui::say(key) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

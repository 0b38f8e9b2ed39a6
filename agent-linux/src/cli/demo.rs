//! `serf demo`.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command.
pub fn run(_args: Vec<OsString>) -> ExitCode {
    ExitCode::FAILURE
}

//! The `serf` command line.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command line (without the program's name).
pub fn main(_args: impl Iterator<Item = OsString>) -> ExitCode {
    ExitCode::from(127)
}

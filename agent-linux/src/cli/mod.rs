//! The `serf` command line.

pub mod agent;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command line (without the program's name).
pub fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    match args.next() {
        Some(command) if command == "agent" => agent::run(args.collect()),
        _ => ExitCode::from(127),
    }
}

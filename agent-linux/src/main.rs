//! The `serf` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    agent_linux::cli::main(std::env::args_os().skip(1))
}

//! `serf version`.

use std::ffi::OsString;
use std::process::ExitCode;

use super::{flags, ui};

/// The lowest and the highest version of Serf's protocol that the agent speaks.
const PROTOCOL: (u8, u8) = (2, 5);

/// None; but it has a help.
pub(super) fn flags() -> clap::Command {
    let about = "Shows the version of this program and of the protocols that it speaks";
    clap::Command::new("version").override_usage("serf version").about(about)
}

/// Shows the version; other arguments are ignored, as Serf does.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    if args.iter().any(flags::is_help) {
        ui::complain(&flags::usage(&flags()));
        return ExitCode::SUCCESS;
    }
    ui::say(env!("CARGO_PKG_VERSION"));
    ui::say(format!("Agent Protocol: {} (Understands back to: {})", PROTOCOL.1, PROTOCOL.0));
    ExitCode::SUCCESS
}

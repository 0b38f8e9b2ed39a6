//! The `serf` command line: one file per command.
//!
//! Flags are Go's (`flags`), all output goes to standard output, errors included, and exit codes are Serf's: 0 for
//! success, 1 for any failure, 127 for an unknown command.

use std::ffi::OsString;
use std::process::ExitCode;

mod agent;
mod connect;
mod demo;
mod event;
pub(crate) mod flags;
mod force_leave;
mod go_syntax;
mod info;
mod join;
mod keygen;
mod keys;
mod leave;
mod members;
mod monitor;
mod query;
mod reachability;
mod rtt;
mod runtime;
mod tags;
pub(crate) mod ui;
mod version;
mod why;

struct Command {
    name: &'static str,
    about: &'static str,
    run: fn(Vec<OsString>) -> ExitCode,
}

const COMMANDS: [Command; 17] = [
    Command { name: "agent", about: "Run an agent, the node of a cluster", run: agent::run },
    Command { name: "demo", about: "Watch a small cluster at work on this machine", run: demo::run },
    Command { name: "event", about: "Send a user event to the whole cluster", run: event::run },
    Command { name: "force-leave", about: "Declare a failed member as left", run: force_leave::run },
    Command { name: "info", about: "Show what an agent knows of itself", run: info::run },
    Command { name: "join", about: "Make an agent join a cluster", run: join::run },
    Command { name: "keygen", about: "Make a key to encrypt a cluster with", run: keygen::run },
    Command { name: "keys", about: "Change or list the keys of all members", run: keys::run },
    Command { name: "leave", about: "Make an agent leave its cluster and exit", run: leave::run },
    Command { name: "members", about: "List the members of the cluster", run: members::run },
    Command { name: "monitor", about: "Follow the log and the events of an agent", run: monitor::run },
    Command { name: "query", about: "Ask the whole cluster", run: query::run },
    Command {
        name: "reachability",
        about: "Test whether all members can be reached",
        run: reachability::run,
    },
    Command { name: "rtt", about: "Estimate the round trip time between two nodes", run: rtt::run },
    Command { name: "tags", about: "Change the tags of an agent", run: tags::run },
    Command { name: "version", about: "Show the version", run: version::run },
    Command { name: "why", about: "Tell how members came to their states", run: why::run },
];

/// Runs the command line (without the program's name).
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut args: Vec<OsString> = args.collect();
    if options(&args).any(|arg| arg == "-v" || arg == "--version") {
        return version::run(Vec::new());
    }
    let first = args.iter().position(|arg| !arg.is_empty() && !arg.as_encoded_bytes().starts_with(b"-"));
    let after = args.split_off(first.unwrap_or(args.len()));
    let wants_help = args.iter().any(flags::is_help);
    let Some((name, after)) = after.split_first() else {
        usage();
        return ExitCode::from(if wants_help { 0 } else { 127 });
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        usage();
        return ExitCode::from(127);
    };
    if wants_help {
        return (command.run)(vec!["-h".into()]);
    }
    if !args.is_empty() {
        ui::complain("Flags that come before the command are not known. If they are meant for the");
        ui::complain("command, please put them behind it.\n");
        (command.run)(vec!["-h".into()]);
        return ExitCode::FAILURE;
    }
    (command.run)(after.to_vec())
}

/// What may be a flag: everything before `--`.
fn options(args: &[OsString]) -> impl Iterator<Item = &OsString> {
    args.iter().take_while(|arg| *arg != "--")
}

fn usage() {
    ui::complain("Usage: serf [--version] [--help] <command> [<args>]\n\nAvailable commands are:");
    for Command { name, about, .. } in &COMMANDS {
        ui::complain(&format!("    {name:<15} {about}"));
    }
    ui::complain("");
}

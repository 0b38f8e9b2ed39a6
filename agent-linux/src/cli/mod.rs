//! The `serf` command line: one file per command.
//!
//! Flags are Go's (`flags`), all output goes to standard output, errors included, and exit codes are Serf's: 0 for
//! success, 1 for any failure, 127 for an unknown command.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Arg, ArgAction, CommandFactory};

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

pub use flags::label;

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

const ABOUT: &str = "\
serf agent runs one node of a cluster: it keeps in touch with the others by gossip, and runs scripts for what happens in \
the cluster. The other commands talk to an agent over RPC.

Flags are written with one dash or two, -name=x or -name x, and before all other arguments; -name and -name=false turn \
one on and off. What went well ends with 0, what failed with 1, an unknown command with 127.";

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

/// All commands and their flags, for man pages and completions. A flag has its name as `long` and is written with one dash, as
/// [`label`] shows it; one that is on or off takes no value.
pub fn command() -> clap::Command {
    // Not part of the table above: the program, which has no use for them there, would be 10 KiB larger.
    let flags = [
        agent::Args::command(),
        demo::Flags::command(),
        event::Flags::command(),
        force_leave::Flags::command(),
        info::Flags::command(),
        join::Flags::command(),
        keygen::Flags::command(),
        keys::Flags::command(),
        leave::Flags::command(),
        members::Flags::command(),
        monitor::Flags::command(),
        query::Flags::command(),
        reachability::Flags::command(),
        rtt::Flags::command(),
        tags::Flags::command(),
        version::flags(),
        why::Flags::command(),
    ];
    let documented = |(row, flags): (&Command, _)| flags::documented(flags, row.name, row.about);
    clap::Command::new("serf")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Cluster membership and events")
        .long_about(ABOUT)
        .override_usage("serf <command> [options]")
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .arg(Arg::new("version").short('v').action(ArgAction::SetTrue).help("Show the version."))
        .subcommands(COMMANDS.iter().zip(flags).map(documented))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_flags_are_defined_without_contradiction() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_its_own_flags() {
        for command in command().get_subcommands() {
            let usage = command.get_overridden_usage().expect("each has one").to_string();
            assert_eq!(usage.split(' ').take(2).collect::<Vec<_>>(), ["serf", command.get_name()]);
        }
    }

    #[test]
    fn flags_are_shown_with_one_dash_and_all_their_names() {
        let command = command();
        let shown = |of: &str, name: &str| {
            let mut flags = command.find_subcommand(of).expect("there is one").get_arguments();
            label(flags.find(|flag| flag.get_long() == Some(name)).expect("there is one"))
        };
        assert_eq!(shown("event", "coalesce"), "-coalesce=true/false");
        assert_eq!(shown("agent", "replay"), "-replay");
        assert_eq!(shown("agent", "config-file"), "-config-file=PATH, -config-dir=PATH");
    }
}

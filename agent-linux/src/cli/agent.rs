//! `serf agent`: its flags, and what is said when it cannot start.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser};

use crate::agent::config::{Config, Settings, Source, duration, tag};
use crate::agent::console::say;
use crate::agent::run;

/// Runs one node of a cluster until it is told to stop.
///
/// The agent keeps in touch with the other members by gossip, runs scripts for what happens in the cluster, and
/// answers the other `serf` commands over RPC. Ctrl-C leaves the cluster in good order; SIGTERM stops at once;
/// SIGHUP reads the configuration again.
#[derive(Debug, Parser)]
#[command(
    name = "serf agent",
    override_usage = "serf agent [options]",
    args_override_self = true,
    max_term_width = 100
)]
#[command(disable_help_flag = true, after_help = HANDLERS)]
#[command(help_template = "Usage: {usage}\n\n{about-with-newline}\nOptions:\n{options}{after-help}")]
struct Args {
    /// Name of this node, unique in the cluster. Default: the host's name
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    node: String,
    /// Where to listen for gossip: IP or host name, perhaps with a port; write IPv6 as [::1] or [::1]:7946. Port 0
    /// takes a free one. Default: 0.0.0.0:7946, every address
    #[arg(long, value_name = "ADDR", default_value = "", hide_default_value = true)]
    bind: String,
    /// What to tell the others instead of the bound address, for a node behind NAT. Needed when bound to every
    /// address of a machine that has no private one
    #[arg(long, value_name = "ADDR", default_value = "", hide_default_value = true)]
    advertise: String,
    /// Where to listen for the other serf commands. Default: 127.0.0.1:7373
    #[arg(long, value_name = "ADDR", default_value = "", hide_default_value = true)]
    rpc_addr: String,
    /// A member to join at the start: [NAME/]HOST[:PORT]. May be repeated; the agent ends if none of them answers
    #[arg(long, value_name = "ADDR")]
    join: Vec<String>,
    /// As -join, but tried again until it works. May be repeated
    #[arg(long, value_name = "ADDR")]
    retry_join: Vec<String>,
    /// Pause between two attempts of -retry-join, such as 30s or 2m; at least 1s. Default: 30s
    #[arg(long, value_name = "DURATION", default_value = "", hide_default_value = true)]
    retry_interval: String,
    /// Give up on -retry-join after so many further attempts, and end with exit code 1. Default: 0, never
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true)]
    retry_max: String,
    /// Ask for the user events from before the join as well
    #[arg(long, value_name = "BOOL", default_value = "false", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    replay: String,
    /// A tag of this node, KEY=VALUE. May be repeated; all of them together take at most 512 bytes
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,
    /// Timing: lan, wan (slower, more patient) or local (faster). Default: lan
    #[arg(long, value_name = "PROFILE", default_value = "", hide_default_value = true)]
    profile: String,
    /// A script to run for events, see below. May be repeated
    #[arg(long, value_name = "[FILTER=]SCRIPT")]
    event_handler: Vec<String>,
    /// Kill a script, and what it started, that runs longer than this. Default: 0, never
    #[arg(long, value_name = "DURATION", default_value = "", hide_default_value = true)]
    handler_timeout: String,
    /// How many scripts may run at once. Above 1, events of one name keep their order, and so do member events;
    /// others may overtake each other. Default: 1
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true)]
    handler_concurrency: String,
    /// How many members this node can hold; their memory is taken at the start. Default: 16384
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true)]
    max_members: String,
    /// Least severe lines to log: trace, debug, info, warn or err. Default: info
    #[arg(long, value_name = "LEVEL", default_value = "", hide_default_value = true)]
    log_level: String,
    /// A JSON file of settings. May be repeated: later files override earlier ones, flags override files
    #[arg(long, value_name = "FILE")]
    config_file: Vec<PathBuf>,
}

const HANDLERS: &str = "\
Event handlers:
  -event-handler=SCRIPT                  for every event
  -event-handler=member-join=SCRIPT      also member-leave, member-failed, member-update, member-reap
  -event-handler=user=SCRIPT             for every user event
  -event-handler=user:deploy=SCRIPT      for the user event `deploy`
  -event-handler=user:a,member-join=...  for either

  /bin/sh runs the script. It finds the event in SERF_EVENT, this node in SERF_SELF_NAME, SERF_SELF_ROLE and
  SERF_TAG_<NAME>, a user event in SERF_USER_EVENT and SERF_USER_LTIME. It reads the payload, or a line
  NAME<tab>ADDRESS<tab>ROLE<tab>TAGS for each member. A script that contains `=` needs a filter: `*=A=1 run.sh`.
  Scripts run one at a time, in order; up to 4096 events wait for each.";

/// What the flags ask for.
#[derive(Debug)]
enum Asked {
    /// To run with these settings.
    Agent(Box<Source>),
    /// For help.
    Help,
}

/// Why the flags are no good.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// Not as flags are written; the usage is shown below it.
    Syntax(String),
    /// A value of no use.
    Value(String),
}

/// Runs `serf agent` with these arguments (those after `agent`).
pub fn run(args: Vec<OsString>) -> ExitCode {
    let source = match parse(args) {
        Ok(Asked::Agent(source)) => *source,
        Ok(Asked::Help) => {
            eprintln!("{}", help());
            return ExitCode::SUCCESS;
        }
        Err(Refusal::Syntax(message)) => {
            eprintln!("{message}");
            say(help());
            return ExitCode::FAILURE;
        }
        Err(Refusal::Value(message)) => return refuse(&message),
    };
    let config = match Config::load(source, |warning| say(warning)) {
        Ok(config) => config,
        Err(message) => return refuse(&message),
    };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => ExitCode::from(runtime.block_on(run::run(config))),
        Err(error) => refuse(&format!("Failed to start the Serf agent: {error}")),
    }
}

fn refuse(message: &str) -> ExitCode {
    say(message);
    ExitCode::FAILURE
}

fn help() -> String {
    // Serf's flags have one dash.
    Args::command().render_long_help().to_string().replace(" --", " -")
}

fn parse(args: Vec<OsString>) -> Result<Asked, Refusal> {
    let Some(args) = go_flags(args)? else { return Ok(Asked::Help) };
    let args = Args::command()
        .no_binary_name(true)
        .try_get_matches_from(args)
        .and_then(|matches| Args::from_arg_matches(&matches))
        .map_err(|error| Refusal::Syntax(error.to_string()))?;
    let mut flags = Settings {
        node_name: args.node,
        bind: args.bind,
        advertise: args.advertise,
        rpc_addr: args.rpc_addr,
        start_join: args.join,
        retry_join: args.retry_join,
        retry_max_attempts: count("retry-max", &args.retry_max)?,
        replay_on_join: switch("replay", &args.replay)?,
        profile: args.profile,
        event_handlers: args.event_handler,
        handler_concurrency: count("handler-concurrency", &args.handler_concurrency)?,
        max_members: count("max-members", &args.max_members)?,
        log_level: args.log_level,
        ..Settings::default()
    };
    for text in &args.tag {
        let (key, value) = tag(text).map_err(|error| Refusal::Value(format!("Error: {error}")))?;
        flags.tags.insert(key, value);
    }
    flags.retry_interval = nanoseconds(&args.retry_interval)?;
    flags.handler_timeout = nanoseconds(&args.handler_timeout)?;
    Ok(Asked::Agent(Box::new(Source { files: args.config_file, flags })))
}

fn nanoseconds(text: &str) -> Result<i64, Refusal> {
    if text.is_empty() {
        return Ok(0);
    }
    duration::parse(text).map_err(|error| Refusal::Value(format!("Error: {error}")))
}

fn count(flag: &str, text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::Syntax(format!("invalid value {text:?} for flag -{flag}: parse error")))
}

fn switch(flag: &str, text: &str) -> Result<bool, Refusal> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Refusal::Syntax(format!("invalid boolean value {text:?} for -{flag}: parse error"))),
    }
}

/// Go's way of writing flags (`-x v`, `-x=v`, `--x=v`; the first other argument ends them) as clap reads them.
/// `None` if help is asked for.
fn go_flags(args: Vec<OsString>) -> Result<Option<Vec<OsString>>, Refusal> {
    let command = Args::command();
    let mut flags = Vec::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let Some(flag) = text.strip_prefix('-').filter(|flag| !flag.is_empty() && *flag != "-") else {
            break;
        };
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        if flag.starts_with(['-', '=']) {
            return Err(Refusal::Syntax(format!("bad flag syntax: {text}")));
        }
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.into())),
            None => (flag, None),
        };
        if matches!(name, "h" | "help") {
            return Ok(None);
        }
        let known = command.get_arguments().find(|known| known.get_long() == Some(name));
        let known =
            known.ok_or_else(|| Refusal::Syntax(format!("flag provided but not defined: -{name}")))?;
        let is_switch = known.get_num_args().is_some_and(|values| values.min_values() == 0);
        let value: Option<OsString> = match value {
            None if !is_switch => {
                Some(args.next().ok_or_else(|| Refusal::Syntax(format!("flag needs an argument: -{name}")))?)
            }
            value => value,
        };
        let mut flag = OsString::from(format!("--{name}"));
        if let Some(value) = value {
            flag.push("=");
            flag.push(value);
        }
        flags.push(flag);
    }
    Ok(Some(flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Source, Refusal> {
        match parse(args.iter().map(OsString::from).collect())? {
            Asked::Agent(source) => Ok(*source),
            Asked::Help => panic!("no help was asked for"),
        }
    }

    #[test]
    fn the_flags_are_defined_without_contradiction() {
        Args::command().debug_assert();
    }

    #[test]
    fn flags_may_be_written_in_each_of_gos_ways_and_the_last_one_counts() {
        for args in [["-node=a", "-bind=b"].as_slice(), &["--node", "x", "-node", "a", "--bind=b"]] {
            let flags = parsed(args).unwrap().flags;
            assert_eq!((flags.node_name.as_str(), flags.bind.as_str()), ("a", "b"));
        }
        for (args, on) in [
            (["-replay"].as_slice(), true),
            (&["--replay=T"], true),
            (&["-replay", "false"], true),
            (&["-replay=false"], false),
            (&["-replay", "-replay=0"], false),
            (&["x", "-replay"], false),
            (&["--", "-replay"], false),
        ] {
            assert_eq!(parsed(args).unwrap().flags.replay_on_join, on, "{args:?}");
        }
    }

    #[test]
    fn every_flag_becomes_its_setting() {
        let source = parsed(&[
            "-node=n",
            "-bind=b",
            "-advertise=a",
            "-rpc-addr=r",
            "-join=j1",
            "-join",
            "j2",
            "-retry-join=k1",
            "-retry-join=k2",
            "-retry-interval=2s",
            "-retry-max=3",
            "-replay",
            "-tag=a=1",
            "-tag",
            "b==",
            "-profile=wan",
            "-event-handler=-x",
            "-event-handler",
            "--y",
            "-handler-timeout=4s",
            "-handler-concurrency=5",
            "-max-members=6",
            "-log-level=warn",
            "-config-file=f1",
            "-config-file",
            "f2",
        ])
        .unwrap();
        let texts = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        let flags = Settings {
            node_name: "n".into(),
            bind: "b".into(),
            advertise: "a".into(),
            rpc_addr: "r".into(),
            start_join: texts(&["j1", "j2"]),
            retry_join: texts(&["k1", "k2"]),
            retry_interval: 2_000_000_000,
            retry_max_attempts: 3,
            replay_on_join: true,
            tags: [("a".into(), "1".into()), ("b".into(), "=".into())].into(),
            profile: "wan".into(),
            event_handlers: texts(&["-x", "--y"]),
            handler_timeout: 4_000_000_000,
            handler_concurrency: 5,
            max_members: 6,
            log_level: "warn".into(),
            ..Settings::default()
        };
        assert_eq!(source, Source { files: vec!["f1".into(), "f2".into()], flags });
        assert_eq!(parsed(&[]).unwrap(), Source::default());
    }

    /// Compared with Serf 0.9.4.
    #[test]
    fn bad_flags_are_refused_in_gos_words() {
        for (args, message) in [
            (["-bogus=1"].as_slice(), "flag provided but not defined: -bogus"),
            (&["---x"], "bad flag syntax: ---x"),
            (&["-=x"], "bad flag syntax: -=x"),
            (&["-tag"], "flag needs an argument: -tag"),
            (&["-retry-max=x"], "invalid value \"x\" for flag -retry-max: parse error"),
            (&["-replay=maybe"], "invalid boolean value \"maybe\" for -replay: parse error"),
        ] {
            assert_eq!(parsed(args), Err(Refusal::Syntax(message.into())), "{args:?}");
        }
        for (args, message) in [
            (["-tag=bad"].as_slice(), "Error: Invalid tag: 'bad'"),
            (&["-retry-interval=10x"], "Error: time: unknown unit \"x\" in duration \"10x\""),
            (&["-retry-interval=10x", "-tag==x"], "Error: Invalid tag: '=x'"),
        ] {
            assert_eq!(parsed(args), Err(Refusal::Value(message.into())), "{args:?}");
        }
    }

    #[test]
    fn help_names_every_flag_with_one_dash() {
        let help = help();
        for argument in Args::command().get_arguments() {
            let flag = format!(" -{} ", argument.get_long().unwrap());
            assert!(help.contains(&flag) || help.contains(&flag.replace("y ", "y[=")), "{flag} in {help}");
        }
    }
}

//! `serf agent`: its flags, and what is said when it cannot start.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Parser};

use super::{flags, runtime, ui};
use crate::process::config::{Config, Mdns, Secret, Settings, Source, duration, tag};
use crate::process::console::say;
use crate::process::run;

/// Runs one node of a cluster until it is told to stop.
///
/// The agent keeps in touch with the other members by gossip, runs scripts for what happens in the cluster, and
/// answers the other `serf` commands over RPC. Ctrl-C leaves the cluster in good order; SIGTERM stops at once;
/// SIGHUP reads the configuration again.
#[derive(Debug, Parser)]
#[command(override_usage = "serf agent [options]", after_help = HANDLERS)]
pub(super) struct Args {
    /// Name of this node, unique in the cluster. Default: the host's name
    #[arg(long, value_name = "NAME", default_value = "")]
    node: String,
    /// What the cluster is called. Agents with other names, or without one, are refused, and told so: fleets do not merge by accident
    #[arg(long, value_name = "NAME", default_value = "")]
    cluster: String,
    /// Where to listen for gossip: IP or host name, perhaps with a port; write IPv6 as [::1] or [::1]:7946, a link-local address with its
    /// interface, [fe80::1%eth0]. Port 0 takes a free one. Default: 0.0.0.0:7946, every address
    #[arg(long, value_name = "ADDR", default_value = "")]
    bind: String,
    /// What to tell the others instead of the bound address, for a node behind NAT. Needed when bound to every
    /// address of a machine that has no private one
    #[arg(long, value_name = "ADDR", default_value = "")]
    advertise: String,
    /// Tell the others to reach this agent where they see its datagrams come from: behind a router that translates addresses and lets
    /// in what is sent to the port that it has chosen
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    advertise_observed: bool,
    /// Network interface to listen at for gossip: at its first address that is not link-local, or at -bind, which it must have
    #[arg(long, value_name = "NAME", default_value = "")]
    iface: String,
    /// Where to listen for the other serf commands: HOST:PORT, or unix:PATH for a socket that this user, its group and root may
    /// use. Default: 127.0.0.1:7373
    #[arg(long, value_name = "ADDR", default_value = "")]
    rpc_addr: String,
    /// Ask commands that come over TCP for the token in this file. SIGHUP reads it again
    #[arg(long, value_name = "PATH", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    rpc_auth_file: Option<String>,
    /// Listen without a token also where other machines may reach it
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    rpc_allow_unauthenticated: bool,
    /// Where to answer GET of /metrics, /healthz, /v1/members and /v1/info over HTTP, to anybody: IP and port, such as
    /// 127.0.0.1:7374. Default: nowhere
    #[arg(long, value_name = "ADDR", default_value = "")]
    http_addr: String,
    /// Whom to join at the start: a member's [NAME/]HOST[:PORT], srv:NAME for a DNS service's targets, or exec:COMMAND for those that a
    /// command prints, in 30 s, one a line. May be repeated; the agent ends if none of them answers
    #[arg(long, value_name = "ADDR")]
    join: Vec<String>,
    /// As -join, but tried again until it works, with names looked up and commands run anew each time. May be repeated
    #[arg(long, value_name = "ADDR")]
    retry_join: Vec<String>,
    /// Pause between two attempts of -retry-join, such as 30s or 2m; at least 1s. Default: 30s
    #[arg(long, value_name = "DURATION", default_value = "")]
    retry_interval: String,
    /// Give up on -retry-join after so many further attempts, and end with exit code 1. Default: 0, never
    #[arg(long, value_name = "N", default_value_t = 0)]
    retry_max: u64,
    /// Find the cluster of this name by mDNS: join agents with the same -discover on the networks that this machine is in. At most 25
    /// letters, digits, - and _
    #[arg(long, value_name = "NAME", default_value = "")]
    discover: String,
    /// With -discover: use this network interface only
    #[arg(long, value_name = "NAME", default_value = "")]
    mdns_iface: String,
    /// With -discover: do not use IPv4
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    mdns_disable_ipv4: bool,
    /// With -discover: do not use IPv6
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    mdns_disable_ipv6: bool,
    /// Ask for the user events from before the join as well
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    replay: bool,
    /// A tag of this node, KEY=VALUE. May be repeated; all of them together take at most 512 bytes
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,
    /// Keep tags that 'serf tags' sets in this file, and begin with those in it. Not beside -tag
    #[arg(long, value_name = "PATH", default_value = "")]
    tags_file: String,
    /// Seal all that is said in the cluster with this key, 32 bytes in base64 as 'serf keygen' makes; all members need it.
    /// Others can see it in this machine's list of processes: better in a file, as encrypt_key or with -keyring-file
    #[arg(long, value_name = "KEY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    encrypt: Option<String>,
    /// Seal with the first of the keys in this file, open what is sealed with the others, and keep what 'serf keys' changes
    /// there. A JSON array of keys in base64. Not beside -encrypt
    #[arg(long, value_name = "PATH", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    keyring_file: Option<String>,
    /// Keep members, clocks and what was handed out in this file, in Serf's format. The next start joins those members again, hands
    /// nothing out twice, and runs scripts that had not begun
    #[arg(long, value_name = "PATH", default_value = "")]
    snapshot: String,
    /// With -snapshot: join the members again even if the agent has left them
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    rejoin: bool,
    /// Timing: lan, wan (slower, more patient) or local (faster). Default: lan
    #[arg(long, value_name = "PROFILE", default_value = "")]
    profile: String,
    /// How long the host of a member that has crashed has to refuse datagrams (ICMP port unreachable) before the member has
    /// failed: more, where agents take longer to restart. 0: what hosts say is passed over. Default: 500ms, with -profile=wan 1s
    #[arg(long, value_name = "DURATION", default_value = "")]
    refused_grace: String,
    /// A script to run for events, see below. May be repeated
    #[arg(long, value_name = "[FILTER=]SCRIPT")]
    event_handler: Vec<String>,
    /// Kill a script, and what it started, that runs longer than this. Default: 0, never
    #[arg(long, value_name = "DURATION", default_value = "")]
    handler_timeout: String,
    /// How many scripts may run at once. Above 1, events of one name keep their order, and so do member events;
    /// others may overtake each other. Default: 1
    #[arg(long, value_name = "N", default_value_t = 0)]
    handler_concurrency: u64,
    /// How many members this node can hold; their memory is taken at the start. Default: 16384
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_members: u64,
    /// Least severe lines to log: trace, debug, info, warn or err. Changed in a file, it takes effect with SIGHUP. Default: info
    #[arg(long, value_name = "LEVEL", default_value = "")]
    log_level: String,
    /// What all that the agent says looks like: text; json, an object on each line with time, level, target, node and message;
    /// or journald, the log as fields for systemd's journal. Default: journald where standard output goes there, else text
    #[arg(long, value_name = "FORMAT", default_value = "")]
    log_format: String,
    /// Tell the system's log as well, at /dev/log; syslog_facility in a file says as what. Default: LOCAL0
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    syslog: bool,
    /// A JSON file of settings, or a folder, of which the files *.json are read in the order of their names. May be repeated: later ones
    /// override earlier ones, flags override all
    #[arg(long, value_name = "PATH", visible_alias = "config-dir")]
    config_file: Vec<PathBuf>,
    /// Read and check all settings and the files that they name, say what is wrong, and end
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    check: bool,
    /// Print what comes of all files, flags and defaults, as one file of settings would say it, and end. Secrets are not shown
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    print_config: bool,
    /// Deprecated: -tag role=ROLE
    #[arg(long, value_name = "ROLE", default_value = "")]
    role: String,
    /// Version of Go's protocol, 2 to 5: checked, and none is spoken here
    #[arg(long, value_name = "N", default_value_t = 0)]
    protocol: u64,
    /// For scripts written for Go's agent: nothing here waits for a broadcast. Checked, and raised to 1s
    #[arg(long, value_name = "DURATION", default_value = "")]
    broadcast_timeout: String,
    /// For scripts written for Go's agent: nothing is compressed here
    #[arg(long = "disable-compression", action = ArgAction::Set, default_value_t = false)]
    _disable_compression: bool,
    #[arg(hide = true)]
    _ignored: Vec<OsString>,
}

const HANDLERS: &str = "\
Event handlers:
  -event-handler=SCRIPT                  for every event
  -event-handler=member-join=SCRIPT      also member-leave, member-failed, member-update, member-reap
  -event-handler=user=SCRIPT             for every user event
  -event-handler=user:deploy=SCRIPT      for the user event `deploy`
  -event-handler=user:a,member-join=...  for either
  -event-handler=once:user:backup=SCRIPT on one member of those with such a handler

  /bin/sh runs the script. It finds the event in SERF_EVENT, this node in SERF_SELF_NAME, SERF_SELF_ROLE and
  SERF_TAG_<NAME>, a user event in SERF_USER_EVENT and SERF_USER_LTIME. It reads the payload, or a line
  NAME<tab>ADDRESS<tab>ROLE<tab>TAGS for each member. A script that contains `=` needs a filter: `*=A=1 run.sh`.
  Scripts run one at a time, in order; up to 65,536 events (32 MiB) wait for each.";

/// Runs `serf agent` with these arguments (those after `agent`).
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let args: Args = match flags::parse_saying(args, say) {
        Ok(args) => args,
        Err(code) => return code,
    };
    let (check, print) = (args.check, args.print_config);
    let source = match args.source() {
        Ok(source) => source,
        Err(message) => return refuse(&message),
    };
    if print {
        // On its own, so that it can be a file.
        return match Config::shown(source, ui::complain) {
            Ok(text) => ui::hand_over(&(text + "\n")),
            Err(message) => {
                ui::complain(&message);
                ExitCode::FAILURE
            }
        };
    }
    let config = match Config::load(source, |warning| say(warning)) {
        Ok(config) => config,
        Err(message) => return refuse(&message),
    };
    if check {
        return match runtime::run(run::check(&config, |warning| say(warning))) {
            Ok(Ok(())) => {
                say("The configuration is sound");
                ExitCode::SUCCESS
            }
            Ok(Err(message)) => refuse(&message),
            Err(error) => refuse(&error.to_string()),
        };
    }
    match runtime::run(run::run(config)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => refuse(&format!("Failed to start the Serf agent: {error}")),
    }
}

fn refuse(message: &str) -> ExitCode {
    say(message);
    ExitCode::FAILURE
}

impl Args {
    fn source(self) -> Result<Source, String> {
        let mut tags = BTreeMap::new();
        for text in &self.tag {
            let (key, value) = tag(text).map_err(|error| format!("Error: {error}"))?;
            tags.insert(key, value);
        }
        let flags = Settings {
            node_name: self.node,
            cluster: self.cluster,
            bind: self.bind,
            advertise: self.advertise,
            advertise_observed: self.advertise_observed,
            interface: self.iface,
            rpc_addr: self.rpc_addr,
            rpc_auth_file: self.rpc_auth_file.unwrap_or_default(),
            rpc_allow_unauthenticated: self.rpc_allow_unauthenticated,
            http_addr: self.http_addr,
            start_join: self.join,
            retry_join: self.retry_join,
            retry_interval: nanoseconds(&self.retry_interval)?,
            retry_max_attempts: self.retry_max,
            discover: self.discover,
            mdns: Mdns {
                interface: self.mdns_iface,
                disable_ipv4: self.mdns_disable_ipv4,
                disable_ipv6: self.mdns_disable_ipv6,
            },
            replay_on_join: self.replay,
            tags,
            tags_file: self.tags_file,
            encrypt_key: Secret(self.encrypt.unwrap_or_default()),
            keyring_file: self.keyring_file.unwrap_or_default(),
            snapshot_path: self.snapshot,
            rejoin_after_leave: self.rejoin,
            profile: self.profile,
            event_handlers: self.event_handler,
            refused_grace: match self.refused_grace.as_str() {
                "" => None,
                text => Some(nanoseconds(text)?),
            },
            handler_timeout: nanoseconds(&self.handler_timeout)?,
            handler_concurrency: self.handler_concurrency,
            max_members: self.max_members,
            log_level: self.log_level,
            log_format: self.log_format,
            enable_syslog: self.syslog,
            role: self.role,
            protocol: self.protocol,
            broadcast_timeout: nanoseconds(&self.broadcast_timeout)?,
            ..Settings::default()
        };
        Ok(Source { files: self.config_file, flags })
    }
}

fn nanoseconds(text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    duration::parse(text).map_err(|error| format!("Error: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Source, String> {
        flags::read::<Args>(args.iter().map(OsString::from).collect())?.source()
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
            "-advertise-observed",
            "-iface=i",
            "-rpc-addr=r",
            "-rpc-auth-file=s",
            "-rpc-allow-unauthenticated",
            "-http-addr=h",
            "-join=j1",
            "-join",
            "j2",
            "-retry-join=k1",
            "-retry-join=k2",
            "-retry-interval=2s",
            "-retry-max=3",
            "-discover=d",
            "-mdns-iface=m",
            "-mdns-disable-ipv4",
            "-mdns-disable-ipv6",
            "-replay",
            "-tag=a=1",
            "-tag",
            "b==",
            "-encrypt=e",
            "-keyring-file=f",
            "-profile=wan",
            "-event-handler=-x",
            "-event-handler",
            "--y",
            "-handler-timeout=4s",
            "-refused-grace=0",
            "-handler-concurrency=5",
            "-max-members=6",
            "-cluster=c",
            "-broadcast-timeout=2s",
            "-snapshot=s",
            "-rejoin",
            "-log-level=warn",
            "-log-format=json",
            "-syslog",
            "-config-file=f1",
            "-config-file",
            "f2",
        ])
        .unwrap();
        let texts = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        let flags = Settings {
            node_name: "n".into(),
            cluster: "c".into(),
            bind: "b".into(),
            advertise: "a".into(),
            advertise_observed: true,
            interface: "i".into(),
            rpc_addr: "r".into(),
            rpc_auth_file: "s".into(),
            rpc_allow_unauthenticated: true,
            http_addr: "h".into(),
            start_join: texts(&["j1", "j2"]),
            retry_join: texts(&["k1", "k2"]),
            retry_interval: 2_000_000_000,
            retry_max_attempts: 3,
            discover: "d".into(),
            mdns: Mdns { interface: "m".into(), disable_ipv4: true, disable_ipv6: true },
            replay_on_join: true,
            tags: [("a".into(), "1".into()), ("b".into(), "=".into())].into(),
            encrypt_key: Secret("e".into()),
            keyring_file: "f".into(),
            snapshot_path: "s".into(),
            rejoin_after_leave: true,
            profile: "wan".into(),
            event_handlers: texts(&["-x", "--y"]),
            broadcast_timeout: 2_000_000_000,
            refused_grace: Some(0),
            handler_timeout: 4_000_000_000,
            handler_concurrency: 5,
            max_members: 6,
            log_level: "warn".into(),
            log_format: "json".into(),
            enable_syslog: true,
            ..Settings::default()
        };
        assert_eq!(source, Source { files: vec!["f1".into(), "f2".into()], flags });
        assert_eq!(parsed(&[]).unwrap(), Source::default());
    }

    /// Compared with Serf 0.9.4.
    #[test]
    fn bad_values_are_refused_in_serfs_words() {
        for (args, message) in [
            (["-retry-max=x"].as_slice(), "invalid value \"x\" for flag -retry-max: parse error"),
            (
                &["-retry-max=18446744073709551616"],
                "invalid value \"18446744073709551616\" for flag -retry-max: value out of range",
            ),
            (&["-tag=bad"], "Error: Invalid tag: 'bad'"),
            (&["-retry-interval=10x"], "Error: time: unknown unit \"x\" in duration \"10x\""),
            (&["-retry-interval=10x", "-tag==x"], "Error: Invalid tag: '=x'"),
        ] {
            assert_eq!(parsed(args), Err(message.into()), "{args:?}");
        }
    }
}

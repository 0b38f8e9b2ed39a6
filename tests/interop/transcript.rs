//! What a command line answers over one fixed script, freed from what differs between any two runs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Address, Agent, Output, Process, Scratch, Setup, fleet_of, wait_until};

/// Keys of 32 bytes.
const OLD: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const NEW: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=";

/// One command of the script and its result.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    command: String,
    code: i32,
    said: String,
}

/// Both agents see each other; `n1` is the one that is asked.
struct Scene<'a> {
    cli: &'a Path,
    agents: Vec<Agent>,
    entries: Vec<Entry>,
}

/// Runs the script.
pub fn record(cli: &Path, agent: &Path) -> Vec<Entry> {
    let scratch = Scratch::new();
    let agents = fleet_of(2, |name| {
        let keyring = scratch.write(&format!("{name}.json"), &format!("[\"{OLD}\"]"));
        fs::set_permissions(&keyring, Permissions::from_mode(0o600)).expect("ours");
        Setup::new(name)
            .binary(agent)
            .arg(format!("-keyring-file={}", keyring.display()))
            .arg("-tag=role=web")
            .arg(format!("-tag=own={name}"))
            .arg("-event-handler=query:load=printf 'load of %s\\n' $SERF_SELF_NAME; cat")
            .arg("-event-handler=query:broken=echo something; exit 3")
    });
    let mut scene = Scene { cli, agents, entries: Vec::new() };
    scene.members();
    scene.events();
    scene.tags();
    scene.queries();
    scene.keys();
    scene.round_trips();
    scene.monitor();
    scene.join_and_leave();
    scene.entries
}

impl Scene<'_> {
    fn members(&mut self) {
        self.run(&["members"]);
        self.run(&["members", "-detailed"]);
        self.run(&["members", "-format=json"]);
        self.run(&["members", "-format", "json", "-status=failed"]);
        self.run(&["members", "--status=failed"]);
        self.run(&["members", "-name=n[13]"]);
        self.run(&["members", "-tag", "own=n2", "-tag=role=w.*"]);
        self.run(&["members", "-tag=absent="]);
        self.run(&["members", "-tag=bad"]);
        self.run(&["members", "-format=xml"]);
        self.run_silent(&["members", "-bogus"]);
        self.run_silent(&["members", "-h"]);
    }

    fn events(&mut self) {
        self.run(&["event", "deploy", "1"]);
        self.run(&["event", "-coalesce=false", "deploy", "2"]);
        self.run(&["event", "-coalesce=false", "bare"]);
        self.run(&["event", "too", "many", "words"]);
        self.run(&["event", "large", &"x".repeat(600)]);
        self.run(&["event", "large", &"x".repeat(500)]);
        self.run(&["event"]);
        let n2 = &self.agents[1];
        wait_until("the events at the other agent", || n2.user_events().len() == 3);
    }

    fn tags(&mut self) {
        self.run(&["tags", "-set", "zone=a", "--set=role=db=1"]);
        self.run(&["tags", "-delete=own", "-set", "own=again", "-delete", "absent"]);
        let n2 = &self.agents[1];
        wait_until("the tags at the other agent", || {
            n2.cli(["members", "-tag=own=again"]).stdout.contains("n1")
        });
        self.run(&["members", "-tag=zone=a"]);
        self.run(&["tags", "-set=bad"]);
        self.run(&["tags", "-set", &format!("long={}", "x".repeat(600))]);
        self.run_silent(&["tags"]);
        self.run(&["tags", "-delete=zone", "-delete=own", "-set=role=web"]);
        self.run(&["members", "-name=n1"]);
    }

    fn queries(&mut self) {
        // Debian's agent always waits so long.
        let brief = "-timeout=1s";
        self.run(&["query", brief, "load", "pay\nload"]);
        self.run(&["query", brief, "-no-ack", "load"]);
        self.run(&["query", "-format=json", brief, "--node=n2", "load", "<&>"]);
        self.run(&["query", "-format=json", brief, "-node=absent", "load"]);
        self.run(&["query", brief, "-tag=own=^n.$", "-tag", "role=we", "-relay-factor=1", "load"]);
        self.run(&["query", brief, "-tag=role=^e", "load"]);
        self.run(&["query", brief, "broken"]);
        self.run(&["query", brief, "unheard"]);
        self.run(&["query", brief, "load", &"x".repeat(1100)]);
        self.run(&["query", "-relay-factor=300", "load"]);
        self.run(&["query", "-format=xml", "load"]);
        self.run(&["query", "_serf_ping", "payload"]);
        self.run(&["query", "_serf_x"]);
        self.run(&["query"]);
        self.run(&["query", "too", "many", "words"]);
        self.run_silent(&["query", "-timeout=soon", "load"]);
        self.run(&["reachability"]);
    }

    fn keys(&mut self) {
        self.run(&["keys", "-list"]);
        for args in [["-install", "*"], ["-install", NEW], ["-install", NEW], ["-use", NEW], ["-remove", OLD]]
        {
            self.run(&["keys", args[0], args[1]]);
        }
        self.run(&["keys", "-list"]);
        self.run(&["keys", "-install=x", "-use=y"]);
        self.run(&["keys", "-remove", OLD]);
        self.run_silent(&["keys"]);
    }

    fn round_trips(&mut self) {
        self.run(&["rtt", "absent"]);
        self.run(&["rtt", "n1", "absent"]);
        self.run(&["rtt"]);
        self.run(&["rtt", "too", "many", "names"]);
        for names in [&["n1"][..], &["n2"], &["n2", "n1"], &["n1", "n2"]] {
            let args = [&["rtt"], names].concat();
            // Known after the first probe.
            wait_until("a coordinate", || self.start(&args).wait().code == 0);
            let Output { stdout, code, .. } = self.start(&args).wait();
            let (head, time) = stdout.rsplit_once(": ").expect("a time");
            let (number, unit) = time.split_once(' ').expect("with a unit");
            let decimals = number.split_once('.').map(|(_, decimals)| decimals.len());
            let said = format!("{head}, {decimals:?} decimals, {unit}");
            self.entries.push(Entry { command: args.join(" "), code, said });
        }
    }

    /// Of a monitor's output only the user event is comparable: the rest are the agent's log lines.
    fn monitor(&mut self) {
        let mut monitor = self.start(&["monitor", "-log-level=warn"]);
        // It does not say when it listens, so an event may come too early for it. Never two at once, though: Debian's agent
        // crashes when a stream ends while it has an event for it.
        wait_until("an event at the monitor", || {
            self.agents[0].rpc().event(b"watched", b"seen", false).expect("the event is accepted");
            let seen = || monitor.printed().contains("watched");
            (0..100).any(|_| {
                sleep(Duration::from_millis(20));
                seen()
            })
        });
        monitor.signal("INT");
        let Output { stdout, code, .. } = monitor.wait();
        let start = stdout.find("\"watched\"").and_then(|name| stdout[..name].rfind("Event Info:\n"));
        let block = stdout[start.expect("the block begins before its lines")..].lines().skip(1);
        let fields = block.take_while(|line| line.starts_with('\t'));
        let mut lines: Vec<_> = fields.filter(|line| !line.contains("LTime")).collect();
        lines.sort_unstable();
        self.entries.push(Entry { command: "monitor".into(), code, said: lines.join("\n") });

        let mut refused = self.start(&["monitor", "-log-level=bogus"]);
        let refused = refused.wait();
        self.push("monitor -log-level=bogus", refused);
    }

    fn join_and_leave(&mut self) {
        let seed = self.agents[1].address().gossip.to_string();
        let nobody = Address::unused().gossip.to_string();
        self.run(&["join", &seed]);
        self.run(&["join", "-replay", &seed]);
        self.run(&["join", &nobody, &seed]);
        self.run(&["join"]);
        // The reason is the operating system's, in the language of the implementation.
        let failed = self.start(&["join", &nobody]).wait();
        let (prefix, _) = failed.stdout.split_once(": ").unwrap_or((&failed.stdout, ""));
        self.entries.push(Entry { command: "join NOBODY".into(), code: failed.code, said: prefix.into() });

        self.run(&["force-leave", "unknown"]);
        self.run(&["force-leave"]);
        self.agents.remove(1).crash();
        self.agents[0].wait_sees("n2", "failed");
        self.run(&["force-leave", "n2"]);
        self.agents[0].wait_sees("n2", "left");
        self.run(&["members", "-status=left", "-name=n2", "-format=json"]);
        self.run(&["force-leave", "-prune", "n2"]);
        wait_until("the pruned row to be gone", || self.agents[0].members().len() == 1);
        self.run(&["leave"]);
        let end = self.agents[0].process().wait();
        self.entries.push(Entry { command: "the agent's end".into(), code: end.code, said: String::new() });
        self.run(&["members"]);
    }

    fn start(&self, args: &[&str]) -> Process {
        self.agents[0].start_cli_of(self.cli, args)
    }

    fn run(&mut self, args: &[&str]) {
        let output = self.start(args).wait();
        let shown: Vec<String> = args.iter().map(|arg| self.anonymous(arg)).collect();
        self.push(&shown.join(" "), output);
    }

    /// For help and usage, which each writes in its own words: only whether it counts as a success.
    fn run_silent(&mut self, args: &[&str]) {
        let code = self.start(args).wait().code;
        self.entries.push(Entry { command: args.join(" "), code, said: String::new() });
    }

    fn push(&mut self, command: &str, output: Output) {
        let code = output.code;
        let said = if code == 0 { self.comparable(&output) } else { self.first_line(&output) };
        self.entries.push(Entry { command: command.into(), code, said });
    }

    /// Of a failure the first line: what follows are hints and usage, which each writes in its own words.
    fn first_line(&self, output: &Output) -> String {
        let text = output.text();
        let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        self.anonymous(line)
    }

    /// Rows in one order, without what is this run's.
    fn comparable(&self, output: &Output) -> String {
        let text = output.text();
        if let Ok(mut value) = serde_json::from_str::<Value>(&text) {
            if let Some(members) = value["members"].as_array_mut() {
                members.sort_by_key(|member| member["name"].to_string());
            }
            if let Some(acks) = value["Acks"].as_array_mut() {
                acks.sort_by_key(Value::to_string);
            }
            return self.anonymous(&format!("{value:#}"));
        }
        let mut lines: Vec<String> = text.lines().map(|line| self.row(line)).collect();
        lines.sort();
        lines.join("\n")
    }

    /// A line of `members` with its tags in one order; any other line as it is.
    fn row(&self, line: &str) -> String {
        // How far columns are apart depends on the lengths of addresses, which differ from pair to pair.
        let columns = line.trim_end().split("  ").map(str::trim_start).filter(|column| !column.is_empty());
        let columns = columns.map(|column| {
            let mut parts: Vec<_> = column.split(',').collect();
            if column.contains('=') && !column.contains(' ') {
                parts.sort_unstable();
            }
            parts.join(",")
        });
        self.anonymous(&columns.collect::<Vec<_>>().join("  "))
    }

    fn anonymous(&self, text: &str) -> String {
        let replaced = self.agents.iter().fold(text.to_owned(), |text, agent| {
            let Address { gossip, rpc } = agent.address();
            text.replace(&gossip.to_string(), &format!("<{}>", agent.name()))
                .replace(&rpc.to_string(), "<rpc>")
        });
        // What is left are agents that never were, or are no more.
        let digits = |word: &str| word.split(['.', ':']).all(|part| part.parse::<u16>().is_ok());
        let words = replaced.split_inclusive(char::is_whitespace).map(|word| {
            let bare = word.trim_end().trim_end_matches(',').trim_matches('"');
            if bare.starts_with("127.") && digits(bare) { word.replace(bare, "<gone>") } else { word.into() }
        });
        words.collect()
    }
}

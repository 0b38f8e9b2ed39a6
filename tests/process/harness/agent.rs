//! Agents and small fleets of them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command;

use super::rpc::{Rpc, Stream};
use super::{Address, Output, Process, Record, Recorder, ours, wait_for, wait_until};

/// How an agent is to be started; kept by the agent, so that it can be started again as it was.
#[derive(Clone, Debug)]
pub struct Setup {
    name: String,
    binary: PathBuf,
    address: Address,
    args: Vec<OsString>,
    wrapper: Vec<OsString>,
    handled: bool,
    recorder: Recorder,
}

impl Setup {
    /// Our binary, a free address, a recording handler.
    pub fn new(name: &str) -> Setup {
        Setup {
            name: name.to_owned(),
            binary: ours().to_owned(),
            address: Address::unused(),
            args: Vec::new(),
            wrapper: Vec::new(),
            handled: true,
            recorder: Recorder::new(),
        }
    }

    /// Another `serf`.
    pub fn binary(mut self, binary: impl Into<PathBuf>) -> Setup {
        self.binary = binary.into();
        self
    }

    /// Another address.
    pub fn at(mut self, address: Address) -> Setup {
        self.address = address;
        self
    }

    /// Joins nobody at the start, whatever was said before.
    pub fn without_seeds(mut self) -> Setup {
        self.args.retain(|arg| !arg.as_encoded_bytes().starts_with(b"-join="));
        self
    }

    /// No handler, where its processes would be measured too.
    pub fn unhandled(mut self) -> Setup {
        self.handled = false;
        self
    }

    /// A command that is given the agent's command line and becomes it, such as `unshare -n`.
    pub fn through<S: Into<OsString>>(mut self, wrapper: impl IntoIterator<Item = S>) -> Setup {
        self.wrapper = wrapper.into_iter().map(Into::into).collect();
        self
    }

    /// A script of the shell that ends in `exec "$0" "$@"`, which is the agent.
    pub fn through_script(self, script: &str) -> Setup {
        self.through(["sh", "-c", script])
    }

    /// Likewise, where it is root and what it mounts nobody else sees. `None` where that is not allowed.
    pub fn through_mounting(self, script: &str) -> Option<Setup> {
        let tried = Command::new("unshare").args(["-rm", "true"]).status();
        let allowed = tried.is_ok_and(|status| status.success());
        allowed.then(|| self.through(["unshare", "-rm", "sh", "-c", script]))
    }

    /// A further flag of `serf agent`.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Setup {
        self.args.push(arg.into());
        self
    }

    /// Joins `other` at the start.
    pub fn join(self, other: &Agent) -> Setup {
        let flag = format!("-join={}", other.address().gossip);
        self.arg(flag)
    }

    /// Where it will be.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The command that starts it, for agents of which nothing is expected to come.
    pub fn command(&self) -> Command {
        let mut words = self.wrapper.iter().map(OsString::as_os_str).chain([self.binary.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .arg("agent")
            .arg(format!("-node={}", self.name))
            .arg(format!("-bind={}", self.address.gossip))
            .arg(format!("-rpc-addr={}", self.address.rpc))
            .args(&self.args);
        if self.handled {
            command.arg(format!("-event-handler={}", self.recorder.handler()));
        }
        command
    }

    /// Starts it and waits until its RPC answers.
    #[track_caller]
    pub fn start(self) -> Agent {
        let mut process = Process::start(&mut self.command());
        wait_for(&format!("the RPC of {}", self.name), || {
            if let Some(status) = process.ended() {
                panic!("{} ended at once ({status}):\n{}", self.name, process.printed());
            }
            Rpc::connect(self.address.rpc).ok()
        });
        Agent { setup: self, process }
    }
}

/// A running agent, killed on drop.
#[derive(Debug)]
pub struct Agent {
    setup: Setup,
    process: Process,
}

impl Agent {
    /// `-node`
    pub fn name(&self) -> &str {
        &self.setup.name
    }

    /// Where it gossips and answers.
    pub fn address(&self) -> Address {
        self.setup.address
    }

    /// What its handler was told, over all starts of this agent.
    pub fn recorder(&self) -> &Recorder {
        &self.setup.recorder
    }

    /// The user events among it.
    pub fn user_events(&self) -> Vec<Record> {
        self.recorder().records().into_iter().filter(|record| record.event == "user").collect()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        self.process.printed()
    }

    /// A new RPC connection.
    #[track_caller]
    pub fn rpc(&self) -> Rpc {
        Rpc::connect(self.setup.address.rpc).unwrap_or_else(|error| panic!("RPC of {}: {error}", self.name()))
    }

    /// Its user events from now on.
    #[track_caller]
    pub fn stream(&self) -> Stream {
        self.rpc().stream("user").unwrap_or_else(|error| panic!("stream of {}: {error}", self.name()))
    }

    /// Members as it sees them, and their status.
    #[track_caller]
    pub fn members(&self) -> BTreeMap<String, String> {
        self.rpc().members().unwrap_or_else(|error| panic!("members of {}: {error}", self.name()))
    }

    /// A number that `serf info` shows.
    ///
    /// # Panics
    /// If it shows no such number.
    #[track_caller]
    pub fn info(&self, section: &str, key: &str) -> u64 {
        let shown = self.cli(["info", "-format=json"]);
        let all: serde_json::Value = serde_json::from_str(&shown.stdout)
            .unwrap_or_else(|error| panic!("serf info: {error}: {}", shown.text()));
        let number = all[section][key].as_str().and_then(|text| text.parse().ok());
        number.unwrap_or_else(|| panic!("serf info has no number {section}.{key}: {all}"))
    }

    /// Runs the same binary's command line against it.
    #[track_caller]
    pub fn cli<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.start_cli(args).wait()
    }

    /// Starts the command line against it, for commands that go on.
    pub fn start_cli<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Process {
        self.start_cli_of(&self.setup.binary, args)
    }

    /// Likewise with another `serf`.
    pub fn start_cli_of<S: AsRef<OsStr>>(
        &self,
        binary: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = S>,
    ) -> Process {
        let rpc = self.setup.address.rpc.to_string();
        Process::start(Command::new(binary).args(args).env("SERF_RPC_ADDR", rpc))
    }

    /// Waits until it sees `name` as `status`.
    #[track_caller]
    pub fn wait_sees(&self, name: &str, status: &str) {
        wait_until(&format!("{} to see {name} as {status}", self.name()), || {
            self.members().get(name).is_some_and(|seen| seen == status)
        });
    }

    /// Ends it at once, without a word to the others.
    pub fn crash(mut self) -> Setup {
        self.process.kill();
        self.setup
    }

    /// Sends a signal on which it should end, and tells how it ended.
    #[track_caller]
    pub fn end_by(&mut self, signal: &str) -> Output {
        self.process.signal(signal);
        self.process.wait()
    }
}

/// `count` agents of our binary called n1, n2 and so on, which all see each other.
#[track_caller]
pub fn fleet(count: usize) -> Vec<Agent> {
    fleet_of(count, Setup::new)
}

/// Likewise, and every handler has been told of all: who crashes before that neither joins nor fails, for handlers.
#[track_caller]
pub fn met(count: usize) -> Vec<Agent> {
    let agents = fleet(count);
    for agent in &agents {
        wait_until("member-join at the handler", || {
            (1..=count).all(|number| agent.recorder().count("member-join", &format!("n{number}")) == 1)
        });
    }
    agents
}

/// As [`fleet`], each as `setup` says; the first one is the seed.
#[track_caller]
pub fn fleet_of(count: usize, setup: impl Fn(&str) -> Setup) -> Vec<Agent> {
    let mut agents: Vec<Agent> = Vec::with_capacity(count);
    for number in 1..=count {
        let setup = setup(&format!("n{number}"));
        let setup = agents.first().into_iter().fold(setup, Setup::join);
        agents.push(setup.start());
    }
    wait_until("the agents to see each other", || {
        agents.iter().all(|agent| {
            let members = agent.members();
            members.len() == count && members.values().all(|status| status == "alive")
        })
    });
    agents
}

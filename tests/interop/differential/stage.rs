//! Where one kind of `serf` plays.

use std::env;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::{normal, rpc};
use crate::harness::{Address, Agent, Process, Scratch};

/// Places for agents: those that run from the start have the first ones.
const PLACES: usize = 4;

/// What lines may call.
const FUNCTIONS: &str = include_str!("functions.sh");

/// A `serf` of one kind, agents of it, and a folder in which lines run.
pub struct Stage {
    folder: Scratch,
    agents: Vec<Agent>,
    places: Vec<Address>,
}

impl Stage {
    /// With agents that run already.
    pub fn new(binary: &Path, agents: Vec<Agent>) -> Stage {
        let folder = Scratch::new();
        symlink(binary, folder.folder("bin").join("serf")).expect("the scratch folder can be written");
        folder.folder("work");
        let mut places: Vec<_> = agents.iter().map(Agent::address).collect();
        places.resize_with(PLACES, Address::unused);
        Stage { folder, agents, places }
    }

    /// What comes of a line: standard output, standard error line by line, the exit code if it is not 0; or what the first agent
    /// says to RPC requests.
    pub fn answer(&self, line: &str) -> String {
        let answer = match line.strip_prefix("rpc ") {
            Some(requests) => rpc::answer(self.places[0].rpc, requests),
            None => self.run(line),
        };
        normal::without_what_differs(&answer, &self.places)
    }

    /// For the shell, which finds `serf` first in its path, and in variables `$n1`, `$ip1`, `$rpc1`, `$pid1` to `$n4`, `$ip4`, `$rpc4`
    /// where agents are, or may be.
    fn run(&self, line: &str) -> String {
        let mut shell = Command::new("sh");
        let path = env::var("PATH").unwrap_or_default();
        shell
            .args(["-c", &format!("{FUNCTIONS}\n{line}")])
            .env_clear()
            .current_dir(self.folder.file("work"))
            .env("PATH", format!("{}:{path}", self.folder.file("bin").display()))
            .env("SERF_RPC_ADDR", self.places[0].rpc.to_string());
        for (number, place) in (1..).zip(&self.places) {
            shell
                .env(format!("n{number}"), place.gossip.to_string())
                .env(format!("ip{number}"), place.gossip.ip().to_string())
                .env(format!("rpc{number}"), place.rpc.to_string());
        }
        for (number, agent) in (1..).zip(&self.agents) {
            shell.env(format!("pid{number}"), agent.pid().to_string());
        }
        let output = Process::start(&mut shell).wait();
        let complaints = output.stderr.lines().map(|line| format!("stderr: {line}\n"));
        let code = (output.code != 0).then(|| format!("exit code {}\n", output.code));
        [output.stdout].into_iter().chain(complaints).chain(code).collect()
    }
}

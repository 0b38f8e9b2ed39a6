//! One fleet of one binary, in the network namespace that this process runs in, and what every phase needs of it.

use std::path::Path;
use std::thread::scope;
use std::time::Instant;

use crate::harness::rpc::{Rpc, Stream};
use crate::harness::{Agent, Setup, wait_until};
use crate::proc::{Traffic, cpu_seconds};

pub struct Fleet {
    pub agents: Vec<Agent>,
    /// User events of each.
    pub streams: Vec<Stream>,
    /// From the first start until all saw all alive, in seconds.
    pub converged: f64,
}

impl Fleet {
    /// The seed first, the others all at once; returns when every agent sees every agent alive.
    pub fn start(binary: &Path, count: usize) -> Fleet {
        Fleet::start_with(binary, count, |_| None)
    }

    /// The same, each with another flag.
    pub fn start_with(binary: &Path, count: usize, flag: impl Fn(usize) -> Option<String>) -> Fleet {
        let started = Instant::now();
        let setup = |number: usize| {
            let setup = Setup::new(&format!("n{number}")).binary(binary).unhandled();
            let setup = setup.arg("-event-handler=query:bench=echo 1");
            flag(number).into_iter().fold(setup, Setup::arg)
        };
        let seed = setup(1).start();
        let mut agents = scope(|threads| {
            let starting: Vec<_> = (2..=count)
                .map(|number| {
                    let setup = setup(number).join(&seed);
                    threads.spawn(|| setup.start())
                })
                .collect();
            starting.into_iter().map(|thread| thread.join().expect("the agent starts")).collect::<Vec<_>>()
        });
        agents.insert(0, seed);

        let mut waiting: Vec<Rpc> = agents.iter().map(Agent::rpc).collect();
        wait_until("all agents to see all others", || {
            waiting.retain_mut(|rpc| {
                let members = rpc.members().expect("the agents stay");
                members.values().filter(|status| *status == "alive").count() < count
            });
            waiting.is_empty()
        });
        let converged = started.elapsed().as_secs_f64();
        let streams = agents.iter().map(Agent::stream).collect();
        Fleet { agents, streams, converged }
    }

    /// What it has used so far.
    pub fn usage(&self) -> Usage {
        let cpu = self.agents.iter().map(|agent| cpu_seconds(agent.pid())).sum();
        Usage { at: Instant::now(), cpu, traffic: Traffic::now() }
    }

    /// Mean over the agents, in MiB.
    pub fn mean_mib(&self, kib: fn(u32) -> f64) -> f64 {
        let sum: f64 = self.agents.iter().map(|agent| kib(agent.pid())).sum();
        sum / self.agents.len() as f64 / 1024.0
    }
}

/// What a whole fleet has used.
pub struct Usage {
    pub at: Instant,
    /// Seconds.
    pub cpu: f64,
    pub traffic: Traffic,
}

/// The upper one if there are two in the middle; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

//! A Linux host with an agent.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::harness::{Address, Agent, Setup, wait_until};
use crate::lab::{Lab, Linux};

/// An agent on a host of its own, where alone its RPC can be reached.
pub struct Server {
    /// The host.
    pub host: Linux,
    agent: Agent,
}

impl Server {
    /// An agent that is called `name` and joins `seed`, if there is one.
    pub fn start(lab: &Lab, name: &str, seed: Option<&Server>) -> Server {
        Server::start_with(lab, name, seed, &[])
    }

    /// The same with further arguments.
    pub fn start_with(lab: &Lab, name: &str, seed: Option<&Server>, args: &[String]) -> Server {
        let host = lab.linux();
        let gossip = SocketAddr::from((host.ip, 7946));
        let setup = Setup::new(name).at(Address { gossip, rpc: SocketAddr::from(([127, 0, 0, 1], 7373)) });
        let setup = args.iter().fold(setup, |setup, arg| setup.arg(arg));
        let setup = seed.iter().fold(setup, |setup, seed| setup.join(&seed.agent));
        let agent = host.run(|| setup.start());
        Server { host, agent }
    }

    /// `-node`
    pub fn name(&self) -> &str {
        self.agent.name()
    }

    /// Members as it sees them, and their status.
    pub fn members(&self) -> BTreeMap<String, String> {
        self.host.run(|| self.agent.members())
    }

    /// Waits until it sees `name` as `status`.
    pub fn wait_sees(&self, name: &str, status: &str) {
        self.host.run(|| self.agent.wait_sees(name, status));
    }

    /// What `serf query` shows, with an end only once all have answered.
    pub fn query(&self, args: &[&str]) -> String {
        self.cli(&[&["query", "-timeout=24h"], args].concat())
    }

    /// What a command shows.
    pub fn cli(&self, args: &[&str]) -> String {
        self.host.run(|| self.agent.cli(args)).stdout
    }

    /// Fires events in quick succession; one that is refused for want of room is fired again.
    pub fn fire<P: AsRef<[u8]>>(
        &self,
        event: &str,
        payloads: impl IntoIterator<Item = P> + Send,
        coalesce: bool,
    ) {
        self.host.run(|| {
            let mut rpc = self.agent.rpc();
            for payload in payloads {
                wait_until("an event to be accepted", || {
                    rpc.event(event.as_bytes(), payload.as_ref(), coalesce).is_ok()
                });
            }
        });
    }

    /// Payloads of the events of this name that its handler was called with.
    pub fn heard(&self, event: &str) -> Vec<String> {
        self.agent.recorder().payloads(event)
    }

    /// How often its handler was told of `change`, such as `member-failed`, about a member.
    pub fn told(&self, change: &str, member: &str) -> usize {
        self.agent.recorder().count(change, member)
    }
}

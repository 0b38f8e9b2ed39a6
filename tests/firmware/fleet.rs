//! Agents and boards that know each other.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use crate::board::Board;
use crate::harness::wait_until;
use crate::lab::Lab;
use crate::server::Server;

/// A fleet on one hub: agents `s1`, `s2` and so on, and boards `b1`, `b2`.
pub struct Fleet {
    /// The agents; the first two are whom the boards join.
    pub servers: Vec<Server>,
    /// The boards.
    pub boards: Vec<Board>,
    /// Their network.
    pub lab: Lab,
}

impl Fleet {
    /// Starts it, with this firmware on the boards.
    pub fn start(seed: u64, servers: usize, firmware: &str, boards: usize) -> Fleet {
        let lab = Lab::new(seed);
        let mut agents: Vec<Server> = Vec::new();
        for number in 1..=servers {
            let server = Server::start(&lab, &format!("s{number}"), agents.first());
            agents.push(server);
        }
        let peers: Vec<_> = agents.iter().take(2).map(|server| format!("{}:7946", server.host.ip)).collect();
        let peers = format!("peers={}", peers.join("/"));
        let board = |number| lab.board(firmware, &format!("b{number}"), &[&peers]);
        let mut boards: Vec<_> = (1..=boards).map(board).collect();
        boards.iter_mut().for_each(Board::switch_on);
        Fleet { servers: agents, boards, lab }
    }

    /// The names of all.
    pub fn names(&self) -> BTreeSet<String> {
        let servers = self.servers.iter().map(Server::name);
        servers.chain(self.boards.iter().map(Board::name)).map(str::to_owned).collect()
    }

    /// Waits until every agent sees all as alive.
    #[track_caller]
    pub fn wait_servers_agree(&self) {
        let names = self.names();
        for server in &self.servers {
            wait_until(&format!("{} to see all alive", server.name()), || {
                let members = server.members();
                names.iter().all(|name| members.get(name).is_some_and(|status| status == "alive"))
            });
        }
    }

    /// Waits until everyone sees all as alive.
    #[track_caller]
    pub fn wait_agree(&mut self) {
        self.wait_servers_agree();
        let names = self.names();
        for board in &mut self.boards {
            wait_until(&format!("{} to see all alive", board.name()), || {
                let members = board.report().members;
                names.iter().all(|name| members.get(name).is_some_and(|status| status == "Alive"))
            });
        }
    }

    /// Waits until everyone has heard these payloads, in whatever order; nobody ever hears one twice, or another.
    #[track_caller]
    pub fn wait_heard<P: AsRef<str>>(&self, event: &str, payloads: &[P]) {
        let mut expected: Vec<_> = payloads.iter().map(AsRef::as_ref).collect();
        expected.sort_unstable();
        for (name, heard) in self.listeners(event) {
            wait_until(&format!("{name} to hear all of {event}"), || heard().len() >= expected.len());
        }
        self.check_heard(event, &expected);
        // A second copy would be on its way by now.
        sleep(Duration::from_secs(2));
        self.check_heard(event, &expected);
    }

    #[track_caller]
    fn check_heard(&self, event: &str, expected: &[&str]) {
        for (name, heard) in self.listeners(event) {
            let mut heard = heard();
            heard.sort_unstable();
            assert_eq!(heard, expected, "what {name} heard of {event}");
        }
    }

    fn listeners<'f>(&'f self, event: &'f str) -> Vec<(&'f str, Box<dyn Fn() -> Vec<String> + 'f>)> {
        let mut all: Vec<(_, Box<dyn Fn() -> _>)> = Vec::new();
        for server in &self.servers {
            all.push((server.name(), Box::new(move || server.heard(event))));
        }
        for board in &self.boards {
            all.push((board.name(), Box::new(move || board.heard(event))));
        }
        all
    }
}

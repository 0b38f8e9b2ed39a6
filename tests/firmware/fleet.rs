//! Agents and boards that know each other.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::Duration;

use crate::board::Board;
use crate::harness::wait_complete;
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
        Fleet::start_with(seed, servers, (firmware, boards), None)
    }

    /// Starts a fleet that has this key.
    pub fn sealed(seed: u64, servers: usize, boards: usize, key: &str) -> Fleet {
        Fleet::start_with(seed, servers, ("sealed", boards), Some(key))
    }

    /// Starts two agents and a board whose processor does 62.5 million instructions in a second, all with this key.
    pub fn sealed_slow(seed: u64, key: &str) -> Fleet {
        let mut fleet = Fleet::start_with(seed, 2, ("sealed", 0), Some(key));
        let peers = format!("peers={}:7946", fleet.servers[0].host.ip);
        let mut board = fleet.lab.board("sealed", "b1", &[&format!("key={key}"), &peers]);
        board.set_pace("shift=4");
        board.switch_on();
        fleet.boards.push(board);
        fleet
    }

    fn start_with(seed: u64, servers: usize, (firmware, boards): (&str, usize), key: Option<&str>) -> Fleet {
        let lab = Lab::new(seed);
        let mut agents: Vec<Server> = Vec::new();
        for number in 1..=servers {
            let key: Vec<String> = key.iter().map(|key| format!("-encrypt={key}")).collect();
            let server = Server::start_with(&lab, &format!("s{number}"), agents.first(), &key);
            agents.push(server);
        }
        let peers: Vec<_> = agents.iter().take(2).map(|server| format!("{}:7946", server.host.ip)).collect();
        let peers = format!("peers={}", peers.join("/"));
        let key: Vec<String> = key.iter().map(|key| format!("key={key}")).collect();
        let settings: Vec<&str> = key.iter().chain([&peers]).map(String::as_str).collect();
        let board = |number| lab.board(firmware, &format!("b{number}"), &settings);
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
        for server in &self.servers {
            wait_complete(&format!("{} to see all alive", server.name()), || {
                self.missing(&server.members(), "alive")
            });
        }
    }

    /// Waits until everyone sees all as alive.
    #[track_caller]
    pub fn wait_agree(&mut self) {
        self.wait_servers_agree();
        for i in 0..self.boards.len() {
            wait_complete(&format!("{} to see all alive", self.boards[i].name()), || {
                let members = self.boards[i].report().members;
                let mut missing = self.missing(&members, "Alive");
                if !missing.is_empty() {
                    missing.insert(0, format!("itself\n    {}", last_lines(&self.boards[i])));
                }
                missing
            });
        }
    }

    /// Who is not shown as it is to be: how instead, and what a board has said last.
    fn missing(&self, members: &BTreeMap<String, String>, right: &str) -> Vec<String> {
        let others =
            self.names().into_iter().filter(|name| members.get(name).is_none_or(|shown| shown != right));
        let log = |name: &str| self.boards.iter().find(|board| board.name() == name).map(last_lines);
        others
            .map(|name| {
                format!("{name} (shown: {:?})\n    {}", members.get(&name), log(&name).unwrap_or_default())
            })
            .collect()
    }

    /// Waits until everyone has heard these payloads, in whatever order; nobody ever hears one twice, or another.
    #[track_caller]
    pub fn wait_heard<P: AsRef<str>>(&self, event: &str, payloads: &[P]) {
        let mut expected: Vec<_> = payloads.iter().map(AsRef::as_ref).collect();
        expected.sort_unstable();
        let what = |name| format!("{name} to hear all of {event}");
        let missing = |heard: Vec<String>| {
            let missing = expected.iter().filter(|payload| !heard.iter().any(|heard| heard == *payload));
            missing.map(|payload| format!("{payload:?}")).collect::<Vec<_>>()
        };
        for server in &self.servers {
            wait_complete(&what(server.name()), || missing(server.heard(event)));
        }
        for board in &self.boards {
            wait_complete(&what(board.name()), || {
                let mut missing = missing(board.heard(event));
                if !missing.is_empty() {
                    missing.push(last_lines(board));
                }
                missing
            });
        }
        // A second copy would be on its way by now.
        sleep(Duration::from_secs(2));
        let servers = self.servers.iter().map(|server| (server.name(), server.heard(event)));
        let boards = self.boards.iter().map(|board| (board.name(), board.heard(event)));
        for (name, mut heard) in servers.chain(boards) {
            heard.sort_unstable();
            assert_eq!(heard, expected, "what {name} has heard of {event}");
        }
    }

    /// How often anybody has been told that somebody failed.
    pub fn failures(&self) -> usize {
        let names = self.names();
        let told =
            |server: &Server| names.iter().map(|name| server.told("member-failed", name)).sum::<usize>();
        let servers: usize = self.servers.iter().map(told).sum();
        servers + self.boards.iter().map(|board| board.count("Failed: ")).sum::<usize>()
    }
}

/// What a board has said last.
fn last_lines(board: &Board) -> String {
    let lines = board.lines();
    lines[lines.len().saturating_sub(12)..].join("\n    ")
}

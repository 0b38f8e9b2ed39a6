//! PyPI's clients against agents of either kind: one script is told the same by Debian's and by ours.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use crate::harness::{Agent, Process, Setup, debian, fleet_of, ours, wait_until};

/// A client, by the variable in which `tests/run` tells the folder that it has fetched it to.
#[derive(Clone, Copy)]
struct Client(&'static str);

const SERFCLIENT: Client = Client("SERF_SERFCLIENT");
const ASYNCSERF: Client = Client("SERF_ASYNCSERF");

impl Client {
    /// Runs `clients/SCRIPT.py` beside three agents and expects what stands in `clients/SCRIPT.txt`, with agents of either
    /// kind. `then` looks at the agents.
    #[track_caller]
    fn assert_told(self, script: &str, then: impl Fn(&[Agent])) {
        let Client(variable) = self;
        let client = variable.trim_start_matches("SERF_").to_lowercase();
        let folder = env::var_os(variable)
            .unwrap_or_else(|| panic!("`tests/run interop` fetches {client} and sets {variable}"));
        let file =
            |kind| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("interop/clients/{script}.{kind}"));
        let expected = fs::read_to_string(file("txt")).expect("each script has its lines beside it");
        for binary in [debian(), ours()] {
            let agents = fleet(binary);
            let mut python = Command::new("python3");
            // It uses what its libraries are about to drop.
            python.args(["-W", "ignore"]).arg(file("py")).env("PYTHONPATH", &folder);
            python.args(agents.iter().map(|agent| agent.address().rpc.to_string()));
            python.arg(binary).arg(agents[1].address().gossip.to_string());
            let told = Process::start(&mut python).wait();
            assert_eq!(told.code, 0, "{client} beside {}: {}", binary.display(), told.text());
            assert_eq!(told.stdout, expected, "{client} beside {} (left)", binary.display());
            then(&agents);
        }
    }
}

/// Members with tags, and a handler that answers, whose joins are news no more.
#[track_caller]
fn fleet(binary: &Path) -> Vec<Agent> {
    let agents = fleet_of(3, |name| {
        Setup::new(name)
            .binary(binary)
            .arg("-tag=role=web")
            .arg(format!("-tag=own={name}"))
            .arg("-event-handler=query:load=printf 'load of %s ' $SERF_SELF_NAME; cat")
    });
    let told =
        |agent: &Agent| agents.iter().all(|other| agent.recorder().count("member-join", other.name()) == 1);
    wait_until("the joins, as what follows at once is part of them", || agents.iter().all(told));
    agents
}

#[test]
fn serfclient_fires_events_lists_members_and_sets_tags() {
    SERFCLIENT.assert_told("members_by_serfclient", |agents| {
        for agent in agents {
            wait_until("python's events at the handler", || {
                let payloads = agent.recorder().payloads("from python");
                payloads.len() == 2 && payloads.iter().any(|payload| payload == "payload")
            });
        }
    });
}

#[test]
fn serfclient_asks_whom_it_names_and_answers_on_its_stream() {
    SERFCLIENT.assert_told("queries_by_serfclient", |_| ());
}

#[test]
fn asyncserf_asks_much_at_one_time_and_hears_acks_answers_and_the_end_of_each() {
    ASYNCSERF.assert_told("queries_by_asyncserf", |_| ());
}

#[test]
fn asyncserf_hears_events_and_queries_on_its_streams_and_answers() {
    ASYNCSERF.assert_told("streams_by_asyncserf", |_| ());
}

#[test]
fn asyncserf_lists_members_hears_of_their_changes_and_reads_numbers_and_the_log() {
    ASYNCSERF.assert_told("members_by_asyncserf", |_| ());
}

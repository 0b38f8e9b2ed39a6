//! How soon all know that an agent is gone: killed on a machine that goes on, ended, or with its machine; on loopback, and on machines of
//! their own with the kernel's usual limits for what it refuses. And whether anybody is missed who is soon back.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fleet_tests::rng::Rng;

use crate::fleet::median;
use crate::harness::rpc::{Rpc, Stream};
use crate::harness::{Address, Agent, Setup, wait_for, wait_until};
use crate::phases::Figures;
use crate::table::Goal::{AtMost, None};
use crate::table::{head, judged, number, row};

/// So many end one after the other, half a second to one and a half apart, before they are started again.
const AT_ONCE: usize = 3;
/// Whoever is known later than that was not found by what its host refused.
const SLOW: f64 = 3.0;
/// How long those that have been started again are left alone.
const SETTLE: Duration = Duration::from_secs(3);
/// An agent that is killed is started again within this time; and how often that is done.
const BACK: std::ops::Range<u64> = 0..350;
const RESTARTS: usize = 100;

/// How an agent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Terminated,
    /// Its machine has no network any more.
    Cut,
}

/// One fleet that is measured.
#[derive(Clone, Copy, Debug)]
struct Trial {
    name: &'static str,
    /// What is told of it.
    title: &'static str,
    agents: usize,
    /// Each on a machine of its own, on one Ethernet.
    machines: bool,
    end: End,
    /// How many end, of Go's agents and of ours.
    ends: [usize; 2],
    /// The median's bound in seconds, or in Go's medians.
    median: Bound,
    /// Of the time within which nine in ten are known.
    most: Bound,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    Seconds(f64),
    TimesGo(f64),
    Open,
}
use Bound::{Open, Seconds, TimesGo};

const TRIALS: [Trial; 6] = [
    Trial {
        name: "loopback-20",
        title: "20 on one machine, kill -9",
        agents: 20,
        machines: false,
        end: End::Killed,
        ends: [27, 51],
        median: Seconds(1.2),
        most: Seconds(2.5),
    },
    Trial {
        name: "loopback-50",
        title: "50 on one machine, kill -9",
        agents: 50,
        machines: false,
        end: End::Killed,
        ends: [27, 51],
        median: Seconds(1.2),
        most: Seconds(2.5),
    },
    Trial {
        name: "terminated-20",
        title: "20 on one machine, SIGTERM",
        agents: 20,
        machines: false,
        end: End::Terminated,
        ends: [27, 27],
        median: Open,
        most: Open,
    },
    Trial {
        name: "machines-20",
        title: "20 machines, kill -9",
        agents: 20,
        machines: true,
        end: End::Killed,
        ends: [27, 51],
        median: Seconds(1.2),
        most: Seconds(2.5),
    },
    Trial {
        name: "cut-20",
        title: "20 machines, of which some vanish",
        agents: 20,
        machines: true,
        end: End::Cut,
        ends: [27, 27],
        median: TimesGo(0.85),
        most: Open,
    },
    Trial {
        name: "cut-50",
        title: "50 machines, of which some vanish",
        agents: 50,
        machines: true,
        end: End::Cut,
        ends: [27, 27],
        median: TimesGo(0.85),
        most: Open,
    },
];

/// Has each trial measured by `measure`, given the binary's place among `[Go's, ours]` and the trial's name; and the restarts.
pub fn report(mut measure: impl FnMut(usize, &str) -> Option<Figures>) -> Option<String> {
    let columns = [
        "until all know that one is gone (s)",
        "ends",
        "Go Serf: median",
        "90 %",
        "ours: median",
        "90 %",
        "goal",
        "met",
        "slow",
    ];
    let mut text = head("Crashes, listed as failed by all others", 1, &columns);
    for trial in TRIALS {
        let figures = [measure(0, trial.name)?, measure(1, trial.name)?];
        let value = |which: usize, key: &str| figures[which].get(key).copied().unwrap_or(f64::NAN);
        let goal = |bound, key| match bound {
            Seconds(seconds) => AtMost(seconds),
            TimesGo(times) => AtMost(value(0, key) * times),
            Open => None,
        };
        let ((wanted, met), (most_wanted, most_met)) = {
            let [a, b] = judged(value(1, "median"), goal(trial.median, "median"));
            let [c, d] = judged(value(1, "most"), goal(trial.most, "most"));
            ((a, b), (c, d))
        };
        text += &row(&[
            trial.title.into(),
            format!("{} / {}", value(0, "ends"), value(1, "ends")),
            number(value(0, "median")),
            number(value(0, "most")),
            number(value(1, "median")),
            number(value(1, "most")),
            format!("{wanted}, {most_wanted}"),
            format!("{met} {most_met}"),
            if trial.end == End::Cut { "–".into() } else { number(value(1, "slow")) },
        ]);
    }
    let restarts = measure(1, RESTARTED)?;
    text += &format!(
        "\nEnds half a second to one and a half apart, the others listed over RPC each 30 ms or so; slow: later than {SLOW} s. Of {} \
         agents of ours that were killed and started again within {} ms, {} were told to have failed (goal: 0); the others had been \
         refused {} times.\n",
        restarts["restarts"], BACK.end, restarts["failed"], restarts["refusals"]
    );
    Some(text)
}

/// The last of what is measured.
const RESTARTED: &str = "restarts";

/// Measures `binary`, the first (Go's) or the second of `[Go's, ours]`, in the network namespace that this process runs in.
pub fn measure(binary: &Path, which: usize, name: &str) -> Figures {
    let Some(trial) = TRIALS.into_iter().find(|trial| trial.name == name) else { return restarts(binary) };
    let mut fleet = Fleet::start(binary, which == 1, trial);
    let mut rng = Rng::new(7);
    let mut times = Vec::new();
    while times.len() < trial.ends[which] {
        times.extend(fleet.end_some(trial.end, &mut rng));
    }
    times.sort_unstable_by(f64::total_cmp);
    let most = times[(times.len() * 9).div_ceil(10) - 1];
    let slow = times.iter().filter(|time| **time > SLOW).count();
    let all =
        [("ends", times.len() as f64), ("median", median(&times)), ("most", most), ("slow", slow as f64)];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

struct Fleet {
    agents: Vec<Option<Agent>>,
    rpcs: Vec<Option<Rpc>>,
    machines: Vec<Machine>,
}

impl Fleet {
    fn start(binary: &Path, ours: bool, trial: Trial) -> Fleet {
        let mut machines = Vec::new();
        if trial.machines {
            ip("link add bridge type bridge");
            ip("address add 10.9.255.254/16 dev bridge");
            ip("link set bridge up");
            machines.extend((0..trial.agents).map(Machine::new));
        }
        let mut fleet = Fleet { agents: Vec::new(), rpcs: Vec::new(), machines };
        for i in 0..trial.agents {
            let mut setup = Setup::new(&format!("n{i}")).binary(binary).unhandled();
            if let Some(machine) = fleet.machines.get(i) {
                setup = setup.at(machine.address()).through(machine.command());
                // Of its own network only this process is.
                if ours {
                    setup = setup.arg("-rpc-allow-unauthenticated");
                }
            }
            if let Some(Some(seed)) = fleet.agents.first() {
                setup = setup.join(seed);
            }
            let agent = setup.start();
            fleet.rpcs.push(Some(agent.rpc()));
            fleet.agents.push(Some(agent));
        }
        fleet.settle();
        fleet
    }

    /// Waits until all see all alive, and a while longer.
    fn settle(&mut self) {
        let count = self.agents.len();
        wait_until("all agents to see all others", || {
            sleep(Duration::from_millis(100));
            let mut lists = self.rpcs.iter_mut().flatten().map(|rpc| rpc.members().expect("the agents stay"));
            lists.all(|list| list.len() == count && list.values().all(|status| status == "alive"))
        });
        sleep(SETTLE);
    }

    /// Ends some, waits until all others know, and starts them again: how long it took for each, in seconds.
    fn end_some(&mut self, end: End, rng: &mut Rng) -> Vec<f64> {
        let mut ended: BTreeMap<String, (usize, Instant)> = BTreeMap::new();
        let mut setups = Vec::new();
        let mut known: BTreeMap<String, f64> = BTreeMap::new();
        let mut due = Instant::now();
        while ended.len() < AT_ONCE || known.len() < ended.len() {
            if ended.len() < AT_ONCE && Instant::now() >= due {
                due += Duration::from_millis(rng.range(500..1_500));
                // Never the seed of all others.
                let i = wait_for("one that lives", || {
                    let i = rng.range(1..self.agents.len() as u64) as usize;
                    self.agents[i].is_some().then_some(i)
                });
                let mut agent = self.agents[i].take().expect("it lives");
                self.rpcs[i] = Option::None;
                let name = agent.name().to_owned();
                let at = Instant::now();
                match end {
                    End::Killed => setups.push((i, agent.crash())),
                    End::Terminated => {
                        let _ = agent.end_by("TERM");
                        setups.push((i, agent.crash()));
                    }
                    End::Cut => {
                        self.machines[i].cut(true);
                        setups.push((i, agent.crash()));
                    }
                }
                ended.insert(name, (i, at));
            }
            let mut failed: BTreeMap<&String, usize> = BTreeMap::new();
            let mut lists = 0;
            for rpc in self.rpcs.iter_mut().flatten() {
                let list = rpc.members().expect("the others stay");
                lists += 1;
                for name in
                    ended.keys().filter(|name| list.get(*name).is_some_and(|status| status == "failed"))
                {
                    *failed.entry(name).or_default() += 1;
                }
            }
            for (name, _) in failed.into_iter().filter(|(_, count)| *count == lists) {
                let took = ended[name].1.elapsed().as_secs_f64();
                known.entry(name.clone()).or_insert(took);
            }
            sleep(Duration::from_millis(10));
        }
        for (i, setup) in setups {
            if end == End::Cut {
                self.machines[i].cut(false);
            }
            let agent = setup.start();
            self.rpcs[i] = Some(agent.rpc());
            self.agents[i] = Some(agent);
        }
        self.settle();
        known.into_values().collect()
    }
}

/// Kills agents and starts them again at once.
fn restarts(binary: &Path) -> Figures {
    let trial = Trial { agents: 20, machines: false, ..TRIALS[0] };
    let mut fleet = Fleet::start(binary, true, trial);
    let streams: Vec<Stream> = fleet.agents[..10]
        .iter()
        .flatten()
        .map(|agent| agent.rpc().stream("member-failed").expect("the agent takes streams"))
        .collect();
    let mut rng = Rng::new(7);
    for turn in 0..RESTARTS {
        let i = 10 + turn % 10;
        sleep(Duration::from_millis(rng.range(300..1_300)));
        let setup = fleet.agents[i].take().expect("it lives").crash();
        sleep(Duration::from_millis(rng.range(BACK)));
        fleet.agents[i] = Some(setup.start());
    }
    sleep(Duration::from_secs(5));
    let failed: usize = streams.iter().map(|stream| stream.events.try_iter().count()).sum();
    let refusals: u64 =
        fleet.agents[..10].iter().flatten().map(|agent| agent.info("counters", "refusals")).sum();
    let all = [("restarts", RESTARTS), ("failed", failed), ("refusals", refusals as usize)];
    all.into_iter().map(|(name, value)| (name.to_owned(), value as f64)).collect()
}

/// A network namespace with a cable to the bridge.
struct Machine {
    number: usize,
    holder: Child,
}

impl Machine {
    fn new(number: usize) -> Machine {
        let holder =
            Command::new("unshare").args(["-n", "sleep", "100000"]).spawn().expect("there are namespaces");
        let machine = Machine { number, holder };
        let own = std::fs::read_link("/proc/self/ns/net").expect("it is in one");
        wait_until("a namespace", || {
            std::fs::read_link(format!("/proc/{}/ns/net", machine.holder.id()))
                .is_ok_and(|theirs| theirs != own)
        });
        let pid = machine.holder.id();
        ip(&format!("link add e{number} type veth peer name eth0 netns {pid}"));
        ip(&format!("link set e{number} master bridge up"));
        let inside = |words: String| {
            let status = Command::new("nsenter")
                .args(["-n", "-t", &pid.to_string(), "ip"])
                .args(words.split(' '))
                .status();
            assert!(status.is_ok_and(|status| status.success()), "ip {words}");
        };
        inside("link set lo up".into());
        inside("link set eth0 up".into());
        inside(format!("address add {}/16 dev eth0", machine.ip()));
        machine
    }

    fn ip(&self) -> IpAddr {
        Ipv4Addr::new(10, 9, 0, 1 + self.number as u8).into()
    }

    fn address(&self) -> Address {
        Address { gossip: (self.ip(), 7946).into(), rpc: (self.ip(), 7373).into() }
    }

    fn command(&self) -> Vec<String> {
        ["nsenter", "-n", "-t", &self.holder.id().to_string()].map(str::to_owned).into()
    }

    /// Pulls its cable, or plugs it in.
    fn cut(&self, out: bool) {
        ip(&format!("link set e{} {}", self.number, if out { "down" } else { "up" }));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status();
    assert!(status.is_ok_and(|status| status.success()), "ip {words}");
}

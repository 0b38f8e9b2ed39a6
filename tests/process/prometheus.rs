//! The alerts and the dashboard that are shipped, in a real Prometheus that watches real agents.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::http::{ask, get};
use crate::harness::{Address, Process, Scratch, fleet_of, run, wait_until};
use crate::seen::{of, seen};

/// `prometheus` or `promtool`.
fn tool(name: &str) -> PathBuf {
    let folder = env::var_os("SERF_PROMETHEUS");
    let folder =
        folder.expect("SERF_PROMETHEUS names Prometheus' folder; `tests/run` fetches it and sets this");
    Path::new(&folder).join(name)
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("packaging").join(name)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of metrics in an expression, those of a histogram's parts as well.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("serf_")).map(str::to_owned).collect()
}

/// All expressions of the dashboard, for the agents of one job.
fn dashboard() -> Vec<String> {
    let board: Value = serde_json::from_str(&read(&shipped("grafana/serf.json"))).expect("JSON");
    let targets =
        board["panels"].as_array().expect("panels").iter().flat_map(|panel| panel["targets"].as_array());
    let exprs = targets.flatten().map(|target| target["expr"].as_str().expect("an expression"));
    exprs.map(|expr| expr.replace("$job", "serf").replace("$__rate_interval", "10s")).collect()
}

/// A server that scrapes agents each second.
struct Prometheus {
    at: SocketAddr,
    _process: Process,
    _scratch: Scratch,
}

impl Prometheus {
    fn start(agents: &[SocketAddr]) -> Prometheus {
        let scratch = Scratch::new();
        let targets: Vec<String> = agents.iter().map(|agent| format!("{:?}", agent.to_string())).collect();
        let config = scratch.write(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{:?}]\n\
             scrape_configs: [{{job_name: serf, static_configs: [{{targets: [{}]}}]}}]\n",
                shipped("prometheus/alerts.yml"),
                targets.join(", ")
            ),
        );
        let at = SocketAddr::new(Address::unused().rpc.ip(), 9090);
        let mut command = Command::new(tool("prometheus"));
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", scratch.file("data").display()));
        command.arg(format!("--web.listen-address={at}"));
        let process = Process::start(&mut command);
        wait_until("Prometheus", || ask(at, "GET", "/-/ready", "").is_ok_and(|answer| answer.status == 200));
        Prometheus { at, _process: process, _scratch: scratch }
    }

    fn api(&self, path: &str) -> Value {
        let answer = get(self.at, path);
        let answered: Value =
            serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
        assert_eq!(answered["status"], "success", "{path}: {answered}");
        answered["data"].clone()
    }

    /// Labels and value of each result.
    fn query(&self, expr: &str) -> Vec<(Value, String)> {
        let encoded: String = expr.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let data = self.api(&format!("/api/v1/query?query={encoded}"));
        let results = data["result"].as_array().cloned().unwrap_or_default();
        let value = |result: &Value| result["value"][1].as_str().unwrap_or_default().to_owned();
        results.iter().map(|result| (result["metric"].clone(), value(result))).collect()
    }
}

#[test]
fn the_alerts_that_are_shipped_fire_when_they_should() {
    let alerts = shipped("prometheus/alerts.yml");
    let checked = run(&tool("promtool"), ["check".as_ref(), "rules".as_ref(), alerts.as_os_str()]);
    assert_eq!(checked.code, 0, "{}", checked.text());
    // Its rules are found from where it is.
    let scratch = Scratch::new();
    scratch.write("alerts.yml", &read(&alerts));
    let test = Path::new(env!("CARGO_MANIFEST_DIR")).join("process/alerts.yml");
    let test = scratch.write("test.yml", &read(&test));
    let tested = run(&tool("promtool"), ["test".as_ref(), "rules".as_ref(), test.as_os_str()]);
    assert_eq!(tested.code, 0, "{}", tested.text());
}

#[test]
fn prometheus_reads_agents_and_knows_all_that_alerts_and_dashboard_ask_for() {
    let agents = fleet_of(2, seen);
    let prometheus = Prometheus::start(&[of(&agents[0]), of(&agents[1])]);
    let values = |expr: &str| prometheus.query(expr).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
    wait_until("both agents to be scraped", || values("up") == ["1", "1"]);
    wait_until("what they say", || values("serf_members") == ["2", "2"]);
    wait_until("two scrapes of each", || values("min(count_over_time(serf_members[1m])) >= 2").len() == 1);

    let known = prometheus.api("/api/v1/label/__name__/values");
    let known: BTreeSet<&str> = known.as_array().expect("names").iter().filter_map(Value::as_str).collect();
    let asked = dashboard().into_iter().chain([read(&shipped("prometheus/alerts.yml"))]);
    let asked: BTreeSet<String> = asked.flat_map(|text| metrics_in(&text)).collect();
    assert!(asked.len() > 30, "{asked:?}");
    let unknown: Vec<_> = asked.iter().filter(|name| !known.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    for expr in dashboard() {
        assert!(!prometheus.query(&expr).is_empty(), "nothing comes of {expr}");
    }

    let rules =
        || prometheus.api("/api/v1/rules")["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
    wait_until("all rules to be evaluated", || rules().iter().all(|rule| rule["health"] == "ok"));
    drop(agents);
    wait_until("an alert", || {
        values("ALERTS{alertname=\"SerfAgentDown\",alertstate=\"pending\"}").len() == 2
    });
}

#[test]
fn promtool_finds_nothing_wrong_with_a_scrape() {
    let agent = seen("n1").start();
    let scratch = Scratch::new();
    let metrics = scratch.write("metrics", &get(of(&agent), "/metrics").body);
    let mut check = Command::new("sh");
    check.args(["-c", "exec \"$0\" check metrics < \"$1\""]).arg(tool("promtool")).arg(metrics);
    let checked = Process::start(&mut check).wait();
    assert_eq!((checked.code, checked.text().as_str()), (0, ""));
}

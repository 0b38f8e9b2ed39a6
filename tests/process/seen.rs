//! Agents seen from outside, over HTTP.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use serde_json::Value;

use crate::harness::http::{Answer, ask, get};
use crate::harness::memory::Memory;
use crate::harness::{Agent, Process, Setup, fleet_of, wait_for, wait_until};

/// An agent that can be seen.
pub fn seen(name: &str) -> Setup {
    let setup = Setup::new(name);
    let ip = setup.address().rpc.ip();
    setup.arg(format!("-http-addr={ip}:7374"))
}

/// Where it answers.
pub fn of(agent: &Agent) -> SocketAddr {
    (agent.address().rpc.ip(), 7374).into()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A number in the text of `/metrics`.
fn number(metrics: &str, name: &str) -> Option<f64> {
    let values = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    values.filter_map(|value| value.parse().ok()).next()
}

#[test]
fn members_and_info_are_what_the_commands_print() {
    let agents = fleet_of(2, |name| seen(name).arg("-tag=role=<web>"));
    let members = get(of(&agents[0]), "/v1/members");
    assert_eq!(members.status, 200);
    assert!(members.head.contains("content-type: application/json"), "{}", members.head);
    assert_eq!(members.body, agents[0].cli(["members", "-format=json"]).stdout);

    let shape = |info: &str| {
        let sections = json(info);
        let keys = |section: &Value| section.as_object().map(|keys| keys.keys().cloned().collect::<Vec<_>>());
        sections
            .as_object()
            .expect("sections")
            .iter()
            .map(|(name, keys_of)| (name.clone(), keys(keys_of)))
            .collect::<Vec<_>>()
    };
    let info = get(of(&agents[0]), "/v1/info").body;
    assert_eq!(shape(&info), shape(&agents[0].cli(["info", "-format=json"]).stdout));
    assert_eq!(json(&info)["serf"]["members"], "2");
    assert_eq!(json(&info)["tags"]["role"], "<web>");
}

#[test]
fn every_number_of_info_is_a_metric() {
    let agent = seen("n1").start();
    let metrics = get(of(&agent), "/metrics").body;
    let info = json(&get(of(&agent), "/v1/info").body);
    for section in ["counters", "handlers", "levels"] {
        for key in info[section].as_object().expect("a section").keys() {
            let name =
                if section == "handlers" { format!("serf_handlers_{key}") } else { format!("serf_{key}") };
            let there = number(&metrics, &name).or_else(|| number(&metrics, &format!("{name}_total")));
            assert!(there.is_some(), "{section}.{key}: {metrics}");
        }
    }
    assert_eq!(number(&metrics, "serf_members"), Some(1.0));
    assert!(metrics.contains("serf_agent_info{node=\"n1\",version="), "{metrics}");
}

/// A row for each metric, from what stands above its values.
fn rows(metrics: &str) -> String {
    let mut rows = String::new();
    let mut meaning = "";
    for line in metrics.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            meaning = help.split_once(' ').map_or("", |(_, meaning)| meaning);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|of| of.split_once(' ')) {
            rows += &format!("| `{name}` | {kind} | {meaning} |\n");
        }
    }
    rows
}

#[test]
fn the_page_of_metrics_names_all_of_them() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("metrics.md");
    let text = fs::read_to_string(&page).expect("the page is there");
    let agent = seen("n1").start();
    let (before, written) = text.split_once("|---|---|---|\n").expect("a table");
    let rows = rows(&get(of(&agent), "/metrics").body);
    if env::var_os("METRICS").is_some_and(|what| what == "write") {
        fs::write(&page, format!("{before}|---|---|---|\n{rows}")).expect("the page can be written");
    } else {
        assert_eq!(written, rows, "METRICS=write writes it anew");
    }
}

#[test]
fn what_takes_time_is_counted() {
    let agents = fleet_of(3, seen);
    for _ in 0..3 {
        assert_eq!(agents[0].cli(["event", "-coalesce=false", "deploy"]).code, 0);
    }
    for timing in ["probe_round_trip", "event_spread", "handler_wait", "handler_run"] {
        let name = format!("serf_{timing}_seconds");
        let metrics = wait_for(timing, || {
            let metrics = get(of(&agents[0]), "/metrics").body;
            (number(&metrics, &format!("{name}_count"))? >= 1.0).then_some(metrics)
        });
        assert!(number(&metrics, &format!("{name}_sum")) > Some(0.0), "{metrics}");
        let all = format!("{name}_bucket{{le=\"+Inf\"}}");
        assert_eq!(number(&metrics, &all), number(&metrics, &format!("{name}_count")), "{metrics}");
    }
    wait_until("three events to have come back", || {
        number(&get(of(&agents[0]), "/metrics").body, "serf_event_spread_seconds_count") == Some(3.0)
    });
}

#[test]
fn scrapers_get_the_format_that_they_can_read() {
    let agent = seen("n1").start();
    let scrape = |accept: &str| {
        ask(of(&agent), "GET", "/metrics", &format!("Accept: {accept}\r\n")).expect("an answer")
    };
    let open = scrape("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2");
    assert!(open.head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{}", open.head);
    assert!(open.body.ends_with("# EOF\n"));
    let old = scrape("text/plain");
    assert!(old.head.contains("content-type: text/plain; version=0.0.4"), "{}", old.head);
    assert!(!old.body.contains("# EOF"));
}

#[test]
fn an_agent_that_is_well_says_what_it_sees() {
    let one = seen("n1").start();
    let health = get(of(&one), "/healthz");
    assert_eq!(
        (health.status, &*health.body),
        (
            200,
            "running\nmembers: 1 alive, 0 failed, 0 left\njoined: no, it knows of no other member that lives\n"
        )
    );
    let other = Setup::new("n2").join(&one).start();
    let text = |agent: &Agent| get(of(agent), "/healthz").body;
    wait_until("the other one", || {
        text(&one) == "running\nmembers: 2 alive, 0 failed, 0 left\njoined: yes\n"
    });
    drop(other);
    wait_until("its end", || {
        text(&one).starts_with("running\nmembers: 1 alive, 1 failed, 0 left\njoined: no")
    });
}

#[test]
fn nothing_else_is_there_and_nothing_can_be_changed() {
    let agent = seen("n1").start();
    let Answer { status, body, .. } = get(of(&agent), "/");
    assert_eq!((status, &*body), (404, "There are /metrics, /healthz, /v1/members and /v1/info\n"));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let answer = ask(of(&agent), method, "/v1/members", "Content-Length: 5\r\n").expect("an answer");
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.head.contains("allow: GET, HEAD"), "{}", answer.head);
        assert!(answer.body.starts_with("Only GET and HEAD are answered"), "{}", answer.body);
    }
    let head = ask(of(&agent), "HEAD", "/v1/members", "").expect("an answer");
    let length = format!("content-length: {}", get(of(&agent), "/v1/members").body.len());
    assert_eq!((head.status, &*head.body), (200, ""));
    assert!(head.head.contains(&length), "{}", head.head);
}

#[test]
fn without_the_flag_nobody_listens_and_a_taken_port_is_named() {
    let agent = Setup::new("n1").start();
    assert!(TcpStream::connect(of(&agent)).is_err());
    let setup = seen("n2").arg(format!("-http-addr={}", agent.address().rpc));
    let end = Process::start(&mut setup.command()).wait();
    let told = format!(
        "Error starting HTTP listener: listen tcp {}: bind: address already in use; see -http-addr",
        agent.address().rpc
    );
    assert!(end.code == 1 && end.text().contains(&told), "{}", end.text());
}

/// Clients that say nothing, never come to an end, or do not read take no places from others, and leave nothing.
#[test]
fn hostile_clients_cost_nothing() {
    let agent = seen("n1").start();
    assert_eq!(get(of(&agent), "/metrics").status, 200);
    let before = Memory::of(agent.pid()).resident();
    let connect = || TcpStream::connect(of(&agent)).expect("it listens");
    let mut held = Vec::new();
    for round in 0..300 {
        let mut client = connect();
        // It may have been closed for the next one already.
        let _ = match round % 3 {
            0 => Ok(()),
            1 => client.write_all(b"GET /metrics HTTP/1.1\r\nX: "),
            _ => client.write_all(b"GET /v1/info HTTP/1.1\r\n\r\n"),
        };
        held.push(client);
        if round % 50 == 0 {
            assert_eq!(get(of(&agent), "/healthz").status, 200);
            assert_eq!(agent.cli(["event", "-coalesce=false", "deploy"]).code, 0);
        }
    }
    let peak = Memory::of(agent.pid()).peak() - before;
    assert!(peak < 4.0, "{peak} MiB for clients that do not read");

    let mut long = connect();
    let endless = [b"GET /metrics HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat();
    // It stops reading, which may end the writing as well.
    let _ = long.write_all(&endless);
    let mut answer = Vec::new();
    let _ = long.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));

    drop(held);
    wait_until("memory to come back", || Memory::of(agent.pid()).resident() <= before + 1.0);
    assert_eq!(get(of(&agent), "/healthz").status, 200);
}

/// A client that sends its request a byte a second is not waited for.
#[test]
fn a_slow_client_is_hung_up_on() {
    let agent = seen("n1").start();
    let mut slow = TcpStream::connect(of(&agent)).expect("it listens");
    slow.write_all(b"GET /metr").expect("a connection");
    let mut answer = String::new();
    // To the end that the agent makes: this side makes none.
    slow.read_to_string(&mut answer).expect("text, or nothing");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

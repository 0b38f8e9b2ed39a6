//! The examples in `docs/` do what is written there.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Agent, Setup, fleet_of, wait_until};

/// The lines of all fenced blocks of this kind.
fn blocks(text: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}");
    let mut lines = Vec::new();
    let mut within = false;
    for line in text.lines() {
        match within {
            false => within = line == fence,
            true if line == "```" => within = false,
            true => lines.push(line.to_owned()),
        }
    }
    lines
}

/// The words of a command line, as a shell sees them.
fn words(line: &str) -> Vec<String> {
    let script = format!("for word in {line}; do printf '%s\\0' \"$word\"; done");
    let output = Command::new("sh").args(["-c", &script]).output().expect("there is a shell");
    let text = String::from_utf8(output.stdout).expect("the page is text");
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// Commands, and what they print.
fn examples(text: &str) -> Vec<(String, Vec<String>)> {
    let mut examples: Vec<(String, Vec<String>)> = Vec::new();
    for line in blocks(text, "console") {
        match (line.strip_prefix("$ serf "), examples.last_mut()) {
            (Some(command), _) => examples.push((command.to_owned(), Vec::new())),
            (None, Some((_, printed))) => printed.push(line),
            (None, None) => panic!("a command comes first, not {line:?}"),
        }
    }
    examples
}

/// A line without how long something took.
fn timeless(line: &str) -> String {
    let time = |word: &str| word.parse::<f64>().is_ok() && word.contains('.');
    let moment = |word: &str| word.len() == 29 && word.contains('T') && word.contains(':');
    let words: Vec<_> = line.split(' ').collect();
    let mut shown: Vec<_> = words.iter().map(|word| if moment(word) { "then" } else { word }).collect();
    for at in 1..words.len() {
        if ["ms", "s"].contains(&words[at]) && time(words[at - 1]) {
            (shown[at - 1], shown[at]) = ("some", "time");
        }
    }
    shown.join(" ")
}

fn check(agents: &[Agent], command: &str, printed: Vec<String>) {
    let said = agents[0].cli(words(command)).stdout;
    let mut lines: Vec<_> = said.lines().map(timeless).collect();
    let mut printed: Vec<_> = printed.iter().map(|line| timeless(line)).collect();
    lines.sort_unstable();
    printed.sort_unstable();
    assert_eq!(lines, printed, "serf {command}");
    if command.starts_with("tags") {
        let tags = |agent: &Agent| agent.cli(["members", "-name=n1"]).stdout;
        wait_until("the tags at all", || agents.iter().all(|agent| tags(agent) == tags(&agents[0])));
    }
}

/// Runs the examples of a page on three agents that were started as it says.
fn check_page(name: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    let text = fs::read_to_string(page).expect("the page is there");
    let [start] = &blocks(&text, "sh")[..] else { panic!("one way to start an agent") };
    let args = words(start.strip_prefix("serf agent").expect("it starts an agent"));
    let agents = fleet_of(3, |name| args.iter().fold(Setup::new(name), |setup, arg| setup.arg(arg)));
    let examples = examples(&text);
    assert!(!examples.is_empty(), "{name} has examples");
    for (command, printed) in examples {
        check(&agents, &command, printed);
    }
}

#[test]
fn the_page_of_queries_is_true() {
    check_page("queries.md");
}

#[test]
fn the_page_of_receipts_is_true() {
    check_page("receipts.md");
}

#[test]
fn the_page_of_coordinates_is_true() {
    check_page("coordinates.md");
}

#[test]
fn the_page_of_why_is_true() {
    check_page("why.md");
}

#[test]
fn the_page_of_handlers_that_run_once_is_true() {
    check_page("once.md");
}

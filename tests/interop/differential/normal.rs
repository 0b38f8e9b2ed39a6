//! What no two runs, or no two programs, can have in common, and is taken away before answers are compared.

use crate::harness::Address;

/// A text without
/// - addresses, which each agent has for itself: they become the names of the variables that lines have for them;
/// - help: each explains in its own words. That there is help is left;
/// - versions and times, which are another program's, and another moment's;
/// - the width of a table's columns: it is that of the longest address;
/// - records of nobody, of which Go's agents send some around the last one of a query, or none;
/// - the order of members, acks, answers and tags, which is random with Go, and does not matter.
pub fn without_what_differs(answer: &str, places: &[Address]) -> String {
    let named = addresses(&somebodys(answer), places);
    let mut lines: Vec<String> = help(&named).map(|line| times(&versions(&columns(line)))).collect();
    let places: Vec<usize> = (0..lines.len()).filter(|&at| is_unordered(&lines[at])).collect();
    let mut unordered: Vec<String> = places.iter().map(|&at| lines[at].clone()).collect();
    unordered.sort();
    for (at, line) in places.into_iter().zip(unordered) {
        lines[at] = line;
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Without those records, each behind its header.
fn somebodys(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.split_inclusive('\n') {
        match line.starts_with("{From: \"\",") && !line.contains("\"done\"") {
            true => drop(lines.pop()),
            false => lines.push(line),
        }
    }
    lines.concat()
}

fn addresses(text: &str, places: &[Address]) -> String {
    let mut names = Vec::new();
    for (number, Address { gossip, rpc }) in (1..).zip(places) {
        names.push((gossip.to_string(), format!("$n{number}")));
        names.push((rpc.to_string(), format!("$rpc{number}")));
        names.push((gossip.ip().to_string(), format!("$ip{number}")));
    }
    // One may begin another.
    names.sort_by_key(|(address, _)| std::cmp::Reverse(address.len()));
    names.iter().fold(text.to_owned(), |text, (address, name)| text.replace(address, name))
}

/// It ends with the stream that it is on, or where an agent's exit code follows.
fn help(text: &str) -> impl Iterator<Item = &str> {
    let mut on = None;
    text.lines().filter_map(move |line| {
        let stream = line.strip_prefix("stderr: ").map_or("", |_| "stderr: ");
        let is_code = line.starts_with("exit code ");
        if on == Some(stream) && !is_code {
            return None;
        }
        let begins = line[stream.len()..].trim_start_matches("==> ").starts_with("Usage: serf");
        on = begins.then_some(stream);
        Some(if begins { if stream.is_empty() { "(help)" } else { "stderr: (help)" } } else { line })
    })
}

/// Rows of `serf members` with the tags in one order.
fn columns(line: &str) -> String {
    let is_row = STATES.iter().any(|state| line.contains(&format!("  {state}")));
    if !is_row {
        return line.to_owned();
    }
    let columns = line.split("  ").map(str::trim).filter(|column| !column.is_empty());
    let columns = columns.map(|column| {
        let mut parts: Vec<_> = column.split(',').collect();
        if column.contains('=') {
            parts.sort_unstable();
        }
        parts.join(",")
    });
    columns.collect::<Vec<_>>().join("  ")
}

const STATES: [&str; 5] = ["alive", "leaving", "left", "failed", "none"];

fn is_unordered(line: &str) -> bool {
    let is_answer =
        ["Ack from", "Response from", "\tAck from", "failed: "].iter().any(|start| line.starts_with(start));
    is_answer || STATES.iter().any(|state| line.contains(&format!("  {state}")))
}

/// A line that is nothing but one.
fn versions(line: &str) -> String {
    let parts: Vec<_> = line.trim_end_matches("-dev").split('.').collect();
    let is_version = parts.len() == 3 && parts.iter().all(|part| is_number(part));
    if is_version { "(version)".to_owned() } else { line.to_owned() }
}

/// Numbers with decimals, all of which are seconds or milliseconds: how many decimals there are is left.
fn times(line: &str) -> String {
    let words = line.split_inclusive(' ').map(|word| match word.trim_end().split_once('.') {
        Some((whole, decimals)) if is_number(whole) && is_number(decimals) => {
            format!("N.{}{}", "N".repeat(decimals.len()), if word.ends_with(' ') { " " } else { "" })
        }
        _ => word.to_owned(),
    });
    words.collect()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

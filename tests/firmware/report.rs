//! What a board tells about itself when its button is held.

use std::collections::BTreeMap;

/// One report.
#[derive(Clone, Debug)]
pub struct Report {
    /// Members and their status.
    pub members: BTreeMap<String, String>,
    /// Most bytes of the stack that have been in use.
    pub stack: usize,
    numbers: BTreeMap<String, u64>,
}

impl Report {
    /// The last one in a board's log.
    pub fn parse(lines: &[String]) -> Report {
        let begin =
            lines.iter().rposition(|line| line.contains("stack: ")).expect("it begins with the stack");
        let lines = &lines[begin..];
        let after = |start| lines.iter().filter_map(move |line| Some(line.split_once(start)?.1));
        let status =
            |line: &str| line.split_once(": ").map(|(name, status)| (name.to_owned(), status.to_owned()));
        let number = |field: &str| {
            let (name, value) = field.trim().split_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        let fields = |line: &'_ str| {
            let (_, fields) = line.split_once(" { ").expect("a structure");
            fields.trim_end_matches('}').split(',').filter_map(number).collect::<Vec<_>>()
        };
        let frames = |line: &str| Some(("frames".to_owned(), line.split_once(' ')?.0.parse().ok()?));
        Report {
            members: after(" member ").filter_map(status).collect(),
            stack: stack_used(lines),
            numbers: after(" levels: ")
                .chain(after(" counted: "))
                .flat_map(fields)
                .chain(after(" frames: ").filter_map(frames))
                .collect(),
        }
    }

    /// A field of the node's levels or statistics; `frames`: Ethernet frames that have come.
    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        *self.numbers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.numbers))
    }
}

/// The last answer of the stack in a board's log.
pub fn stack_used(lines: &[String]) -> usize {
    let (_, answer) = lines.iter().rev().find_map(|line| line.split_once("stack: ")).expect("it answers");
    answer.split_once(' ').and_then(|(used, _)| used.parse().ok()).expect("a number comes first")
}

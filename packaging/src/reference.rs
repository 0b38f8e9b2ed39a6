//! The reference of configuration files and of the agent's flags, as it stands in `docs/configuration.md`.

use std::fmt::Write;

use agent_linux::cli::{command, label};
use agent_linux::process::config::reference::{KEYS, Key};
use clap::{Arg, Command};

/// What stands before the tables.
const HEAD: &str = "\
# Configuration of `serf agent`

<!-- Written by `cargo run -p packaging -- --configuration docs/configuration.md`. -->

What an agent is told comes from JSON files, then from flags. Files are read in the order in which `-config-file` and `-config-dir` name them; of a
folder the files `*.json`, in the order of their names. Later ones override earlier ones, lists are appended, maps are merged by their keys, and what is true
stays true. Keys are the same in upper and lower case. What is unknown, or of a wrong type, is refused with the file's name.

- `serf agent -config-dir=/etc/serf -check` reads and checks all of it, and ends.
- `serf agent -config-dir=/etc/serf -print-config` prints what comes of it, as one file would say it, without secrets.
- SIGHUP reads it again. Keys marked with * take effect then, as a whole or, if something is wrong, not at all; the others with the next start.
";

/// The page.
///
/// # Panics
/// If a key names a flag that the agent does not have.
pub fn page() -> String {
    let mut serf = command();
    serf.build();
    let agent = serf.find_subcommand("agent").expect("there is one");
    let mut page = HEAD.to_owned();
    let mut told = Vec::new();
    for (about, keys) in KEYS {
        // Writing to a text does not fail.
        let _ = write!(
            page,
            "\n## {about}\n\n| key | flag | takes | default | what it is |\n|---|---|---|---|---|\n"
        );
        for key in *keys {
            let flag = key.flag.map(|name| flag(agent, name));
            told.extend(key.flag);
            let _ = writeln!(page, "{}", row(key, flag));
        }
    }
    let _ = write!(page, "\n## Flags that no key has\n\n| flag | what it does |\n|---|---|\n");
    let others =
        agent.get_arguments().filter(|flag| flag.get_long().is_some_and(|name| !told.contains(&name)));
    for flag in others {
        let _ = writeln!(page, "| `{}` | {} |", label(flag), help(flag));
    }
    page
}

fn flag<'a>(agent: &'a Command, name: &str) -> &'a Arg {
    let found = agent.get_arguments().find(|flag| flag.get_long() == Some(name));
    found.unwrap_or_else(|| panic!("there is no flag -{name}"))
}

fn row(key: &Key, flag: Option<&Arg>) -> String {
    let star = if key.reloads { " *" } else { "" };
    let (label, help) =
        flag.map_or(("".to_owned(), String::new()), |flag| (format!("`{}`", label(flag)), help(flag)));
    let meaning = [help, key.meaning.to_owned()]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(". ");
    format!("| `{}`{star} | {label} | {} | {} | {meaning} |", key.name, key.kind.as_str(), key.default)
}

/// In one line of a table.
fn help(flag: &Arg) -> String {
    let text = flag.get_help().map(ToString::to_string).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn the_page_in_docs_is_this_one() {
        let written = include_str!("../../docs/configuration.md");
        assert!(
            written == page(),
            "write it anew: cargo run -p packaging -- --configuration docs/configuration.md"
        );
    }
}

//! Completions for bash, zsh and fish.

use agent_linux::cli::command;
use clap::Command;
use clap_complete::Shell;

/// The scripts, by the names under which shells look for them.
pub fn scripts() -> Vec<(String, Vec<u8>)> {
    let script = |(shell, name): (Shell, &str)| {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut definition(), "serf", &mut script);
        let script = String::from_utf8(script).expect("clap writes text");
        (name.to_owned(), with_one_dash(shell, &script).into_bytes())
    };
    [(Shell::Bash, "serf"), (Shell::Zsh, "_serf"), (Shell::Fish, "serf.fish")].map(script).to_vec()
}

/// The commands, for shells: zsh takes what stands behind a colon in a value's name for a function of its own.
fn definition() -> Command {
    command().mut_subcommands(|command| {
        command.mut_args(|flag| match flag.get_value_names() {
            Some([name]) if name.contains(':') => flag.value_name("ADDR"),
            _ => flag,
        })
    })
}

/// What clap has written, whose flags have two dashes.
fn with_one_dash(shell: Shell, script: &str) -> String {
    if shell == Shell::Fish {
        // -o is for flags of one dash and more than one letter.
        let line = |line: &str| match line.starts_with("complete ") {
            true => line.replace(" -l ", " -o ") + "\n",
            false => line.to_owned() + "\n",
        };
        return script.lines().map(line).collect();
    }
    let mut pieces = script.split("--");
    let mut mended = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        mended += if piece.starts_with(|first: char| first.is_ascii_lowercase()) { "-" } else { "--" };
        mended += piece;
    }
    // zsh's -s takes the letters behind one dash for a flag each.
    mended.replace("_arguments_options=(-s ", "_arguments_options=(")
}

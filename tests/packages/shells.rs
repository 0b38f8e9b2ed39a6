//! Man pages and completions, as `man` and the shells make use of them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::run;
use crate::unpacked::{ask, names, unpacked_deb};

/// The commands, and the flags of each, as help shows them: with one dash, without their values.
fn commands(serf: &Path) -> Vec<(String, Vec<String>)> {
    let help = run(serf, ["-h"]).stderr;
    let commands = help.lines().filter_map(|line| line.strip_prefix("    ")?.split(' ').next());
    let flags = |command: &str| {
        let help = run(serf, [command, "-h"]).stderr;
        let labels =
            help.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with('-'));
        let label = |label: &str| label.split(['=', ' ', ',']).next().expect("a name").to_owned();
        labels.map(label).collect()
    };
    commands.map(|command| (command.to_owned(), flags(command))).collect()
}

#[test]
fn each_command_has_a_man_page_with_all_its_flags() {
    let (_scratch, root) = unpacked_deb();
    let commands = commands(&root.join("usr/bin/serf"));
    let pages = root.join("usr/share/man/man1");
    let mut expected: Vec<_> = commands.iter().map(|(name, _)| format!("serf-{name}.1.gz")).collect();
    expected.push("serf.1.gz".to_owned());
    assert_eq!(names(&pages), expected.into_iter().collect());
    for (command, flags) in commands {
        let page = pages.join(format!("serf-{command}.1.gz"));
        let mut man = Command::new("man");
        man.env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8").args(["--warnings", "-l"]).arg(page);
        let output = man.output().expect("man is installed: apt-get install man-db");
        let (text, warnings) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!((output.status.success(), &*warnings), (true, ""), "{command}");
        for flag in flags {
            // Names of flags stand at the depth of a paragraph, what is said of them deeper.
            let name =
                |line: &str| line.strip_prefix("       ")?.split(['=', ' ', ',']).next().map(str::to_owned);
            let shown = |line: &str| name(line).as_ref() == Some(&flag);
            assert!(text.lines().any(shown), "{flag} in\n{text}");
        }
    }
}

/// What bash offers for the last of these words.
fn bash_offers(script: &Path, words: &[&str]) -> Vec<String> {
    const COMPLETE: &str = "source \"$1\"; shift; COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)); \
                            _serf \"$1\" \"${@: -1}\" \"${@: -2:1}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let script = script.to_str().expect("it is text");
    let line = [&["--norc", "-c", COMPLETE, "bash", script], words].concat();
    ask("bash", line).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_flags_of_one_dash() {
    let (_scratch, root) = unpacked_deb();
    let script = root.join("usr/share/bash-completion/completions/serf");
    assert_eq!(bash_offers(&script, &["serf", "rea"]), ["reachability"]);
    for (command, flags) in commands(&root.join("usr/bin/serf")) {
        let offered = bash_offers(&script, &["serf", &command, "-"]);
        for flag in flags {
            assert!(offered.contains(&flag), "serf {command} {flag}: {offered:?}");
        }
    }
}

#[test]
fn fish_completes_commands_and_flags_of_one_dash() {
    let (_scratch, root) = unpacked_deb();
    let script = root.join("usr/share/fish/vendor_completions.d/serf.fish");
    let offers = |line: &str| {
        let script = format!("source {}; complete -C '{line}'", script.display());
        let offered = ask("fish", ["-N", "-c", &script]);
        offered.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(offers("serf rea"), ["reachability"]);
    assert_eq!(offers("serf event -coal"), ["-coalesce"]);
    assert_eq!(offers("serf agent -config-d"), ["-config-dir"]);
}

/// What is typed at a terminal of zsh's, tabulators as keys, becomes these words.
#[test]
fn zsh_completes_commands_and_flags_of_one_dash() {
    let (scratch, root) = unpacked_deb();
    let folder = root.join("usr/share/zsh/vendor-completions");
    let typed = format!(
        "serf() {{ echo \"typed: $*\" }}; fpath=({} $fpath); autoload -Uz compinit; compinit -D -u\n\
         serf rea\t\nserf event -coal\t\nserf agent -config-f\tx -rpc-ad\ty\nexit\n",
        folder.display()
    );
    let mut zsh = Command::new("script");
    zsh.args(["-qec", "zsh -f -i", "/dev/null"]).env("TERM", "dumb").env("HOME", scratch.folder("home"));
    let mut zsh = zsh
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script is part of Debian's bsdutils");
    let mut keys = zsh.stdin.take().expect("it is a pipe");
    keys.write_all(typed.as_bytes()).expect("it reads");
    let shown = zsh.wait_with_output().expect("it ends when it is told");
    let shown = String::from_utf8_lossy(&shown.stdout);
    for words in ["reachability", "event -coalesce", "agent -config-file=x -rpc-addr=y"] {
        assert!(
            shown.lines().any(|line| line.trim_end() == format!("typed: {words}")),
            "{words} in\n{shown}"
        );
    }
}

//! The examples in `docs/` do what is written there.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Agent, Scratch, Setup, fleet_of, ours, wait_until};

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

/// Three machines on a network of their own, `m1` to `m3`, whose addresses are those of the page.
const MACHINES: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mkdir /run/netns
ip link add lan type bridge
ip link set lan up
for n in 1 2 3; do
    ip netns add m$n
    ip link add up$n type veth peer name eth0 netns m$n
    ip link set up$n master lan up
    ip -n m$n addr add 10.0.0.$n/24 dev eth0
    ip -n m$n link set eth0 up
    ip -n m$n link set lo up
    mkdir m$n
done
# on MACHINE COMMANDS: until they print what is expected, if that is told.
on() {
    local said i
    for i in $(seq 300); do
        said=$(cd "$1" && ip netns exec "$1" bash -c "$2" 2>&1) || true
        if [[ $# -lt 3 || $said == "$3" ]]; then return; fi
        # An event is fired once.
        [[ $2 == serf\ members* || $2 == cat* ]] || break
        sleep 0.2
    done
    printf 'on %s: %s\nsaid:\n%s\ninstead of:\n%s\n' "$1" "$2" "$said" "$3"
    tail -n 5 m*/log
    exit 1
}
# agent MACHINE COMMAND: goes on, until all of this ends.
agent() {
    (cd "$1" && exec ip netns exec "$1" timeout 300 $BASH -c "exec $2" >log 2>&1) &
    until ip netns exec "$1" serf info >/dev/null 2>&1; do sleep 0.1; done
}
trap 'kill $(jobs -p) 2>/dev/null' EXIT
"#;

/// What the page says, as a script for these machines.
fn followed(page: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let mut script = MACHINES.to_owned();
    let mut blocks = page.split("\n```").skip(1).step_by(2).peekable();
    while let Some(block) = blocks.next() {
        let block = block.strip_prefix("sh\n# on ").expect("a block for a machine");
        let (machines, commands) = block.split_once('\n').expect("commands");
        let expected = blocks.next_if(|next| next.starts_with("text\n"));
        for machine in machines.split(" and ") {
            let machine = machine.replace("10.0.0.", "m");
            match (commands.strip_prefix("serf agent "), expected) {
                (Some(flags), _) => {
                    script += &format!("agent {machine} {}\n", quoted(&format!("serf agent {flags}")));
                }
                (None, None) => script += &format!("on {machine} {}\n", quoted(commands)),
                (None, Some(text)) => {
                    let text = text.strip_prefix("text\n").unwrap_or_default();
                    script += &format!("on {machine} {} {}\n", quoted(commands), quoted(text));
                }
            }
        }
    }
    script + "echo followed\n"
}

/// A newcomer has three machines talking, by doing what stands there.
#[test]
fn getting_started_can_be_followed_to_the_letter() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/getting-started.md");
    let text = fs::read_to_string(page).expect("the page is there");
    let scratch = Scratch::new();
    let script = scratch.write("follow.sh", &followed(&text));
    let serf = ours().parent().expect("a folder").to_owned();
    let path =
        std::env::join_paths([serf, "/usr/sbin".into(), "/sbin".into(), "/usr/bin".into(), "/bin".into()]);
    let mut command = Command::new("unshare");
    command
        .args(["-Urnm", "--fork", "--kill-child", "bash"])
        .arg(&script)
        .env("PATH", path.expect("no colons"));
    let output =
        command.current_dir(script.parent().expect("its folder")).output().expect("unshare is there");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare failed") {
        eprintln!("no namespaces for this user here: the page is not followed");
        return;
    }
    assert!(said.trim_end().ends_with("followed"), "{said}");
}

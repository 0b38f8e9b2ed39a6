//! What Debian's `serf` and ours answer to the same lines, one scene of agents at a time.
//!
//! The lines stand in `cases/*.txt`, one file a scene. Both kinds have a stage of their own, with agents, addresses and a folder,
//! and are given the lines of a scene in the same order. What they answer, but for what `normal` takes away, is the same, or the
//! case names the difference: one that `docs/differences.md` tells with its reason, and what ours answers instead.

mod cases;
mod normal;
mod rpc;
mod stage;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use crate::harness::{Agent, Scratch, Setup, debian, fleet_of, ours};
use cases::{Case, lines};
use stage::Stage;

/// Plays a scene on both stages, with agents that `agents` starts of a binary.
#[track_caller]
fn assert_alike(scene: &str, agents: impl Fn(&Path) -> Vec<Agent> + Sync) {
    let cases = cases::of(scene);
    let play = |binary| {
        let stage = Stage::new(binary, agents(binary));
        cases.iter().map(|case| stage.answer(&case.command)).collect::<Vec<_>>()
    };
    let (theirs, ours) = thread::scope(|scope| {
        let theirs = scope.spawn(|| play(debian()));
        let ours = play(ours());
        (theirs.join().unwrap_or_else(|_| panic!("Debian's agents have not played {scene}")), ours)
    });
    let answers = theirs.iter().zip(&ours);
    let wrong: Vec<_> =
        cases.iter().zip(answers).filter_map(|(case, (theirs, ours))| verdict(case, theirs, ours)).collect();
    assert!(
        wrong.is_empty(),
        "{} of the {} cases in {scene}:\n\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n\n")
    );
}

/// What is wrong about the answers, if anything is.
fn verdict(case: &Case, theirs: &str, ours: &str) -> Option<String> {
    let why = match &case.difference {
        None if theirs == ours => return None,
        None => "differs from Debian's".to_owned(),
        Some(id) if theirs == ours => format!("is no difference any more: {id}"),
        Some(_) if lines(ours).eq(case.ours.iter().map(String::as_str)) => return None,
        Some(id) => format!("differs otherwise than is recorded: {id}"),
    };
    let shown = |text| lines(text).map(|line| format!("    | {line}\n")).collect::<String>();
    Some(format!(
        "{} {why}\n{}\nours:\n{}Debian's:\n{}",
        case.place,
        case.command,
        shown(ours),
        shown(theirs)
    ))
}

fn nobody(_: &Path) -> Vec<Agent> {
    Vec::new()
}

fn fleet(binary: &Path, setup: impl Fn(Setup, &str) -> Setup) -> Vec<Agent> {
    fleet_of(2, |name| setup(Setup::new(name).binary(binary).unhandled(), name))
}

fn alone(binary: &Path, setup: impl Fn(Setup) -> Setup) -> Vec<Agent> {
    vec![setup(Setup::new("n1").binary(binary).unhandled()).start()]
}

#[test]
fn command_lines_without_an_agent_end_alike() {
    assert_alike("commands", nobody);
}

#[test]
fn agents_take_and_refuse_the_same_settings() {
    assert_alike("settings", nobody);
}

#[test]
fn agents_read_the_same_out_of_files() {
    assert_alike("files", nobody);
}

#[test]
fn agents_end_alike() {
    assert_alike("ends", nobody);
}

#[test]
fn members_and_tags_are_shown_alike() {
    assert_alike("members", |binary| {
        fleet(binary, |setup, name| {
            setup
                .arg("-tag=role=web")
                .arg(format!("-tag=own=of-{name}"))
                .arg("-event-handler=user:x,query:y=true")
        })
    });
}

#[test]
fn handlers_are_told_of_events_alike() {
    assert_alike("events", |binary| alone(binary, |setup| setup.arg("-tag=role=web").arg("-tag=my-tag.x=1")));
}

#[test]
fn queries_go_to_the_same_members() {
    assert_alike("queries", |binary| {
        fleet(binary, |setup, name| {
            let load = "-event-handler=query:load=printf 'load of %s ' $SERF_SELF_NAME; cat";
            setup.arg(format!("-tag=own={name}")).arg(load)
        })
    });
}

#[test]
fn answers_are_shown_alike() {
    assert_alike("answers", |binary| {
        fleet(binary, |setup, _| {
            setup
                .arg("-event-handler=query:load=printf 'load of %s ' $SERF_SELF_NAME; cat")
                .arg("-event-handler=query:fails=echo something; exit 3")
                .arg("-event-handler=query:silent=true")
                .arg("-event-handler=query:asks=echo $SERF_EVENT $SERF_QUERY_NAME $SERF_USER_EVENT; echo told >&2; wc -c")
        })
    });
}

#[test]
fn members_are_reached_and_watched_alike() {
    assert_alike("reach", |binary| fleet(binary, |setup, _| setup));
}

#[test]
fn keys_are_changed_alike() {
    let key = "-encrypt=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    assert_alike("keys", |binary| fleet(binary, |setup, _| setup.arg(key)));
}

#[test]
fn clients_are_answered_alike() {
    assert_alike("rpc", |binary| {
        alone(binary, |setup| setup.arg("-tag=role=web").arg("-event-handler=query:load=cat"))
    });
}

#[test]
fn tokens_are_asked_for_alike() {
    let scratch = Scratch::new();
    let file = scratch.write("token.json", r#"{"rpc_auth": "secret"}"#);
    assert_alike("token", |binary| {
        alone(binary, |setup| setup.arg(format!("-config-file={}", file.display())))
    });
}

/// `docs/differences.md` has them in the first column of its table.
#[test]
fn each_difference_that_a_case_names_is_told_in_the_docs_and_those_told_with_a_name_are_shown() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/differences.md");
    let page = fs::read_to_string(path).expect("the page is there");
    let ids = page.lines().filter_map(|row| row.strip_prefix("| `")?.split_once("` |"));
    let told: BTreeSet<_> = ids.map(|(id, _)| id.to_owned()).collect();
    let shown: BTreeSet<_> = cases::all().into_iter().filter_map(|case| case.difference).collect();
    assert_eq!(shown, told, "named by cases (left), told in docs/differences.md (right)");
}

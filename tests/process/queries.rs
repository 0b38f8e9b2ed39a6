//! Questions to a fleet of processes.

use crate::harness::{Agent, Output, Setup, fleet_of, wait_until};

/// Members with a handler that answers.
fn fleet(count: usize) -> Vec<Agent> {
    fleet_of(count, |name| {
        Setup::new(name)
            .arg(format!("-tag=own={name}"))
            .arg("-event-handler=query:load=printf '%s %s' $SERF_SELF_NAME $SERF_QUERY_NAME; cat")
            .arg("-event-handler=query:large=head -c 1100 /dev/zero | tr '\\0' x")
    })
}

/// The lines that a query shows, in one order.
fn ask(agent: &Agent, args: &[&str]) -> Vec<String> {
    let Output { stdout, code, .. } = agent.cli(args);
    assert_eq!(code, 0, "{stdout}");
    let mut lines: Vec<_> = stdout.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn all_members_answer_and_who_is_dead_is_waited_for_until_it_has_failed() {
    let mut agents = fleet(5);
    // Longer than any test runs: it ends as all have answered.
    let whole = ["query", "-timeout=24h", "load", "!"];
    let mut expected: Vec<_> = (1..=5).map(|n| format!("Ack from 'n{n}'")).collect();
    expected.push("Query 'load' dispatched".to_owned());
    expected.extend((1..=5).map(|n| format!("Response from 'n{n}': n{n} load!")));
    expected.extend(["Total Acks: 5".to_owned(), "Total Responses: 5".to_owned()]);
    for agent in &agents {
        assert_eq!(ask(agent, &whole), expected);
    }
    let some = ask(&agents[0], &["query", "-timeout=24h", "-no-ack", "-node=n2", "-node=n3", "load"]);
    assert_eq!(
        some[1..],
        ["Response from 'n2': n2 load", "Response from 'n3': n3 load", "Total Responses: 2"]
    );
    let tagged = ask(&agents[0], &["query", "-timeout=24h", "-no-ack", "-tag=own=[45]", "load"]);
    assert_eq!(tagged[1..3], ["Response from 'n4': n4 load", "Response from 'n5': n5 load"]);

    let dead = agents.remove(4).crash();
    let without = ask(&agents[0], &whole);
    assert!(without.contains(&"Total Responses: 4".to_owned()), "{without:?}");
    agents.push(dead.start());
    agents[0].wait_sees("n5", "alive");
    assert_eq!(ask(&agents[0], &whole), expected);
}

#[test]
fn an_answer_that_is_too_long_is_told_to_the_operator_and_nobody_waits_for_it() {
    let agents = fleet(2);
    let lines = ask(&agents[0], &["query", "-timeout=24h", "large"]);
    assert!(lines.contains(&"Total Responses: 0".to_owned()), "{lines:?}");
    let said = "[WARN] agent: Failed to respond to query 'large': failed to respond to key query: \
                response exceeds limit of 1024 bytes";
    wait_until("the warning", || agents.iter().all(|agent| agent.printed().contains(said)));
}

#[test]
fn reachability_names_who_does_not_answer() {
    let agents = fleet(3);
    let well = agents[0].cli(["reachability", "-verbose"]);
    assert_eq!(well.code, 0, "{}", well.stdout);
    assert!(
        well.stdout
            .starts_with("Total members: 3, live members: 3\nStarting reachability test...\n\tAck from")
    );
    assert!(well.stdout.ends_with("Successfully contacted all live nodes\n"), "{}", well.stdout);
    agents[2].signal("STOP");
    let ill = agents[0].cli(["reachability"]);
    agents[2].signal("CONT");
    assert_eq!(ill.code, 1, "{}", ill.stdout);
    assert!(ill.stdout.contains("Not reached, though believed alive: n3\n"), "{}", ill.stdout);
}

#[test]
fn events_for_some_run_the_handlers_of_those_and_coalesce_among_themselves() {
    let agents = fleet(4);
    let fire = |args: &[&str]| assert_eq!(agents[0].cli([&["event"], args].concat()).code, 0, "{args:?}");
    fire(&["-node=n2", "-node=n3", "deploy", "old"]);
    fire(&["-tag=own=n[34]", "deploy", "tagged"]);
    fire(&["-node=n2", "-node=n3", "deploy", "new"]);
    fire(&["deploy", "all"]);
    let heard = |agent: &Agent| {
        let mut payloads = agent.recorder().payloads("deploy");
        payloads.sort_unstable();
        payloads
    };
    let expected: [&[&str]; 4] = [&["all"], &["all", "new"], &["all", "new", "tagged"], &["all", "tagged"]];
    wait_until("each to hear what is for it", || agents.iter().map(heard).eq(expected));
    fire(&["-coalesce=false", "-tag=own=1", "each", "once"]);
    fire(&["-coalesce=false", "last"]);
    wait_until("the last one", || agents.iter().all(|agent| agent.recorder().count("user", "last") == 1));
    let each: Vec<_> = agents.iter().map(|agent| agent.recorder().payloads("each").len()).collect();
    assert_eq!(each, [1, 0, 0, 0]);
    for (args, said) in [
        (["event", "-tag=bad", "e"], "Error: Invalid tag: 'bad'\n"),
        (["event", "-tag=a=(", "e"], "Error sending event: Invalid regular expression '(': unclosed group\n"),
    ] {
        let refused = agents[0].cli(args);
        assert_eq!((refused.code, &*refused.stdout), (1, said));
    }
}

#[test]
fn receipts_name_who_has_not_handed_an_event_out() {
    let agents = fleet(4);
    let fire = |args: &[&str]| {
        let Output { stdout, code, .. } = agents[0].cli([&["event", "-coalesce=false"], args].concat());
        let reached = stdout.split(" after ").next().unwrap_or_default().to_owned();
        (code, reached, stdout.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
    };
    let whole = (0, "Event 'deploy' reached 4 of 4 members".to_owned(), Vec::new());
    assert_eq!(fire(&["-wait", "-wait-timeout=1h", "deploy"]), whole);
    // One that is stopped hands nothing out; nor does it say so.
    agents[3].signal("STOP");
    let named = vec!["No receipt from 'n4'".to_owned()];
    let missing = (2, "Event 'deploy' reached 3 of 4 members".to_owned(), named);
    assert_eq!(fire(&["-wait", "-wait-timeout=1s", "deploy"]), missing);
    let enough = fire(&["-wait=75%", "-wait-timeout=1h", "deploy"]);
    assert_eq!((enough.0, enough.1), (0, missing.1));
    // After it has failed it is no living member any more.
    agents[0].wait_sees("n4", "failed");
    let rest = (0, "Event 'deploy' reached 3 of 3 members".to_owned(), Vec::new());
    assert_eq!(fire(&["-wait", "-wait-timeout=1h", "deploy"]), rest);
    agents[3].signal("CONT");
}

#[test]
fn why_a_killed_member_has_failed_is_known_to_the_others() {
    let mut agents = fleet(4);
    assert_eq!(agents[0].cli(["why"]).stdout, "No member has failed\n");
    let dead = agents.remove(3).crash();
    for agent in &agents {
        agent.wait_sees("n4", "failed");
        let Output { stdout, code, .. } = agent.cli(["why"]);
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!((code, lines[0]), (0, "n4 is failed"), "{stdout}");
        assert!(lines[1].ends_with("  was heard of for the first time"), "{stdout}");
        assert!(lines[lines.len() - 1].contains("  is failed"), "{stdout}");
    }
    agents.push(dead.start());
    agents[0].wait_sees("n4", "alive");
    let Output { stdout, .. } = agents[0].cli(["why", "-format=json", "n4"]);
    assert!(stdout.contains("\"restarted\"") && stdout.contains("\"status\": \"alive\""), "{stdout}");
}

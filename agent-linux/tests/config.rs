//! `serf agent` that cannot start: what it prints where, and its exit code.

use std::process::{Command, Output};

fn agent(args: &[&str]) -> Output {
    let agent = Command::new(env!("CARGO_BIN_EXE_serf")).arg("agent").args(args).output();
    agent.expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Compared with Serf 0.9.4.
#[test]
fn what_keeps_it_from_starting_is_told_on_standard_output_with_exit_code_1() {
    let folder = std::env::temp_dir().join(format!("serf-start-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("bad.json").display().to_string();
    std::fs::write(&file, r#"{"bogus_key":1}"#).unwrap();
    let invalid_key =
        format!("==> Error decoding '{file}': 1 error(s) decoding:\n\n* '' has invalid keys: bogus_key\n");
    for (args, message) in [
        (["-tag=bad"].as_slice(), "==> Error: Invalid tag: 'bad'\n"),
        (
            &["-log-level", "bogus"],
            "==> Invalid log level: BOGUS. Valid log levels are: [TRACE DEBUG INFO WARN ERR]\n",
        ),
        (&["-profile=bogus"], "==> Unknown profile: bogus\n"),
        (&["-event-handler", "bogus=foo.sh"], "==> Invalid event script: Event 'bogus' invoking 'foo.sh'\n"),
        (&["-bind=a:b:c"], "==> Invalid bind address: address a:b:c: too many colons in address\n"),
        (&["-retry-interval=10x"], "==> Error: time: unknown unit \"x\" in duration \"10x\"\n"),
        (
            &["-retry-interval=1ms", "-profile=bogus"],
            "==> Warning: 'RetryInterval' is too low. Setting to 1s\n==> Unknown profile: bogus\n",
        ),
        (&["-config-file", &file], &invalid_key),
    ] {
        let output = agent(args);
        assert_eq!(text(&output.stdout), message, "{args:?}");
        assert_eq!(text(&output.stderr), "", "{args:?}");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_bad_flag_is_told_on_standard_error_and_the_usage_on_standard_output() {
    let output = agent(&["-bogus"]);
    assert_eq!(text(&output.stderr), "flag provided but not defined: -bogus\n");
    assert!(text(&output.stdout).starts_with("==> Usage: serf agent [options]\n"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn help_is_told_on_standard_error_with_exit_code_0() {
    for flag in ["-h", "-help", "--help"] {
        let output = agent(&["-node=x", flag]);
        assert!(text(&output.stderr).starts_with("Usage: serf agent [options]\n"), "{flag}");
        assert!(text(&output.stderr).contains("-event-handler=user:deploy=SCRIPT"), "{flag}");
        assert_eq!((text(&output.stdout), output.status.code()), ("", Some(0)), "{flag}");
    }
}

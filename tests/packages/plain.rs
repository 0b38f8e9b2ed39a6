//! The static program, its archive, its image, and the list of what is compiled into it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Scratch, run};
use crate::unpacked::{ask, built};

/// The largest image, in bytes.
const LARGEST: u64 = 5 << 20;

fn from_cargo(args: &[&str]) -> String {
    let cargo = Command::new(env!("CARGO")).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = cargo.expect("cargo built this test, so it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn the_image_holds_a_fleet_and_nothing_else() {
    let context = built("container", "");
    let recipe = fs::read_to_string(context.join("Containerfile")).expect("it is built");
    assert!(recipe.contains("FROM scratch\n"), "{recipe}");
    let scratch = Scratch::new();
    let root = scratch.folder("root");
    let mut size = 0;
    for line in recipe.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let (from, to) = line.split_once(' ').expect("what is copied, and where");
        let to = root.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("it is in a folder")).expect("a scratch folder");
        size += fs::copy(context.join(from), to).unwrap_or_else(|error| panic!("{from}: {error}"));
    }
    assert!(size <= LARGEST, "{size} bytes");
    // Nothing of this machine is seen from there, no library among it.
    let within = |args: &[&str]| {
        run(Path::new("chroot"), [&[root.to_str().expect("it is text"), "/usr/bin/serf"], args].concat())
    };
    let version = within(&["version"]);
    assert!(version.stdout.starts_with(env!("CARGO_PKG_VERSION")), "{}", version.text());
    let check = within(&["agent", "-config-dir=/etc/serf", "-check"]);
    assert_eq!(check.code, 0, "{}", check.text());
    let demo = within(&["demo", "-once"]);
    assert_eq!(demo.code, 0, "{}", demo.text());
}

/// A template of cargo-binstall's, filled in.
fn filled(template: &str, package: &Value, target: &str) -> String {
    let version = package["version"].as_str().expect("it has one");
    let known = [("version", version), ("target", target), ("bin", "serf")];
    known.iter().fold(template.to_owned(), |text, (key, value)| text.replace(&format!("{{ {key} }}"), value))
}

#[test]
fn cargo_binstall_finds_the_program_in_the_archive() {
    let metadata: Value =
        serde_json::from_str(&from_cargo(&["metadata", "--no-deps", "--format-version=1"])).expect("JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    let package =
        packages.iter().find(|package| package["name"] == "agent-linux").expect("it is one of ours");
    let archive = built("serf-", "-linux-musl.tgz");
    let name = archive.file_name().and_then(|name| name.to_str()).expect("it is text");
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let settings = |key: &str| {
        let template = package["metadata"]["binstall"][key].as_str().unwrap_or_else(|| panic!("{key}"));
        filled(template, package, &target)
    };
    assert!(settings("pkg-url").ends_with(&format!("/{name}")), "{} for {name}", settings("pkg-url"));
    let listed = ask("tar", ["-tzf", archive.to_str().expect("it is text")]);
    assert!(listed.lines().any(|path| path == settings("bin-dir")), "{} in\n{listed}", settings("bin-dir"));
    assert!(listed.contains("/man/serf.1.gz\n") && listed.contains("/LICENSE-MIT\n"), "{listed}");
}

#[test]
fn the_list_of_parts_names_every_crate_of_the_program_and_none_of_tests_tools_and_other_systems() {
    let listed: Value =
        serde_json::from_str(&fs::read_to_string(built("serf-", ".cdx.json")).expect("it is built"))
            .expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let components = listed["components"].as_array().expect("a list");
    let listed: BTreeSet<_> = components
        .iter()
        .map(|part| format!("{} v{}", text(&part["name"]), text(&part["version"])))
        .collect();
    let tree = from_cargo(&["tree", "-p", "agent-linux", "-e", "normal", "--prefix=none", "--format={p}"]);
    let named = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let mut crates: BTreeSet<String> = tree.lines().map(named).collect();
    crates.remove(concat!("agent-linux v", env!("CARGO_PKG_VERSION")));
    let missing: Vec<_> = crates.difference(&listed).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let archive = built("serf-", "-linux-musl.tgz");
    let notices = ask("tar", ["-xOzf", archive.to_str().expect("it is text"), "--wildcards", "*/NOTICES"]);
    for part in crates.iter().filter(|part| !part.starts_with("serf-nostd ")) {
        let named = format!("    {}: ", part.replace(" v", " "));
        assert!(notices.contains(&named), "no licence of {part}");
    }
    assert!(notices.contains("Permission is hereby granted"), "the texts themselves");
    for other in ["foca", "clap_mangen", "embassy-net", "windows-sys"] {
        assert!(!listed.iter().any(|part| part.starts_with(&format!("{other} "))), "{other} in {listed:?}");
    }
}

//! What the licences of the crates that are compiled into the program ask whoever passes it on to pass on as well: their texts, each once,
//! with the crates that it is of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What files with such texts are called, at the beginning.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// All of them, for a program that is built for `target`.
///
/// # Errors
/// `cargo metadata` fails, or a file cannot be read.
pub fn text(target: &str) -> io::Result<String> {
    let args = ["metadata", "--format-version=1", "--locked", "--filter-platform", target];
    let output = Command::new("cargo").args(args).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages: BTreeMap<&str, &Value> =
        items(&metadata["packages"]).map(|package| (string(&package["id"]), package)).collect();
    // Crates of the registry only: the others are this workspace's own.
    let parts = linked(&metadata)
        .into_iter()
        .filter_map(|id| packages.get(id))
        .filter(|part| !part["source"].is_null());
    let (mut texts, mut all) = (BTreeMap::<String, BTreeSet<String>>::new(), BTreeSet::new());
    for part in parts {
        let name = format!("{} {}", string(&part["name"]), string(&part["version"]));
        let manifest = Path::new(string(&part["manifest_path"]));
        for text in texts_in(manifest.parent().unwrap_or(manifest))? {
            texts.entry(text).or_default().insert(name.clone());
        }
        let (licence, place) = (string(&part["license"]), string(&part["repository"]));
        all.insert(format!("{name}: {licence}, {place}"));
    }
    all.insert(
        "std: MIT OR Apache-2.0, https://github.com/rust-lang/rust (the standard library of Rust)".to_owned(),
    );
    if target.ends_with("musl") {
        all.insert("musl: MIT, https://musl.libc.org (in the static program)".to_owned());
    }
    let mut written = String::from("What is compiled into this program, and under which licences:\n\n");
    all.iter().for_each(|part| written += &format!("    {part}\n"));
    for (text, of) in texts {
        let of: Vec<String> = of.into_iter().collect();
        written += &format!("\n{}\n{}:\n\n{}\n", "-".repeat(80), of.join(", "), text);
    }
    Ok(written)
}

/// The ids of what the program is made of: its dependencies but for those of builds and tests, and theirs.
fn linked(metadata: &Value) -> BTreeSet<&str> {
    let nodes: BTreeMap<&str, &Value> =
        items(&metadata["resolve"]["nodes"]).map(|node| (string(&node["id"]), node)).collect();
    let program = |id: &&str| id.contains("/agent-linux#");
    let mut found: BTreeSet<&str> = nodes.keys().copied().filter(program).collect();
    let mut open: Vec<&str> = found.iter().copied().collect();
    while let Some(id) = open.pop() {
        for dependency in items(&nodes[id]["deps"]) {
            let linked = items(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null());
            let id = string(&dependency["pkg"]);
            if linked && found.insert(id) {
                open.push(id);
            }
        }
    }
    found
}

fn texts_in(folder: &Path) -> io::Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        if NAMES.iter().any(|begins| name.starts_with(begins)) && path.is_file() {
            let text = String::from_utf8_lossy(&fs::read(&path)?).replace("\r\n", "\n");
            texts.push(text.trim_end().to_owned());
        }
    }
    Ok(texts)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

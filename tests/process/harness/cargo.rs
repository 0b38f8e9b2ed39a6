//! What cargo says of what it builds.

use std::process::Command;

/// With which features this build command builds the core, by cargo's own word.
///
/// # Panics
/// If it does not build.
pub fn core_features(build: &mut Command) -> Vec<String> {
    let output = build.arg("--message-format=json").output().expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let artifacts = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut cores = artifacts.filter(|artifact| artifact["target"]["name"] == "serf_nostd");
    let core = cores.next().expect("the core is among what is built");
    assert!(cores.next().is_none(), "the core is built once");
    let features = core["features"].as_array().expect("cargo lists them");
    features.iter().filter_map(|feature| feature.as_str()).map(str::to_owned).collect()
}

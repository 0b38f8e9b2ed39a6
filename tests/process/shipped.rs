//! What a user who builds from source gets.

use std::path::Path;
use std::process::Command;

use crate::harness::core_features;

/// Features of the core with which rules of the protocol can be left out are for its tests alone: whatever way README names
/// builds `serf` without them.
#[test]
fn the_core_in_serf_keeps_all_rules() {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the workspace");
    for which in [&[][..], &["-p", "agent-linux"], &["-p", "agent-linux", "--bin", "serf"]] {
        let mut build = Command::new(env!("CARGO"));
        let features = core_features(build.args(["build", "--release"]).args(which).current_dir(root));
        let shipped = [
            "authority",
            "batches",
            "default",
            "coordinates",
            "inquest",
            "journal",
            "log",
            "recall",
            "seal",
            "timings",
            "zeroed",
        ];
        assert!(
            features.iter().all(|feature| shipped.contains(&feature.as_str())),
            "{which:?}: {features:?}"
        );
    }
}

//! Which `serf` is under test.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Our `serf`: `SERF_BIN` if set, else built now as it is shipped.
pub fn ours() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| env::var_os("SERF_BIN").map_or_else(build, PathBuf::from))
}

/// Debian's Go `serf`: `SERF_DEBIAN`, which `tests/run` sets.
///
/// # Panics
/// If it is not set.
pub fn debian() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let path = env::var_os("SERF_DEBIAN")
            .expect("SERF_DEBIAN names the real serf; `tests/run` fetches it and sets this");
        PathBuf::from(path)
    })
}

fn build() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "-p", "agent-linux", "--bin", "serf"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo built this test, so it can be started");
    assert!(built.success(), "the agent does not build");
    // CARGO_TARGET_TMPDIR is `<target folder>/tmp`, wherever the target folder is.
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("release").join("serf")
}

//! What was built, and what is in it.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Scratch, run};

/// The one file or folder that was built whose name begins and ends like this.
///
/// # Panics
/// If there is none, or more than one.
pub fn built(begin: &str, end: &str) -> PathBuf {
    let folder = env::var_os("SERF_PACKAGES").expect("`tests/run package` builds them and sets this");
    let named = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.starts_with(begin) && name.ends_with(end)
    };
    let entries =
        fs::read_dir(&folder).expect("they have been built").map(|entry| entry.expect("it is there").path());
    let found: Vec<PathBuf> = entries.filter(named).collect();
    let [one] = &found[..] else { panic!("one {begin}*{end} in {}: {found:?}", folder.display()) };
    one.clone()
}

/// Runs a command that has to work; what it prints.
#[track_caller]
pub fn ask<S: AsRef<OsStr>>(command: &str, args: impl IntoIterator<Item = S>) -> String {
    let output = run(Path::new(command), args);
    assert_eq!(output.code, 0, "{command}: {}", output.text());
    output.stdout
}

/// The files of the .deb, without installing it.
pub fn unpacked_deb() -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    let folder = scratch.folder("unpacked");
    ask("dpkg-deb", [OsStr::new("-x"), built("serf-agent_", ".deb").as_os_str(), folder.as_os_str()]);
    (scratch, folder)
}

/// The names of the files of a folder.
pub fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("it is there").file_name().into_string().expect("it is text")).collect()
}

//! The cases as text.
//!
//! ```text
//! # What follows a hash is for readers.
//! serf members -format=xml
//!
//! serf force-leave ''
//!     differs: force-leave-name
//!     | what ours answers: standard output, standard error, exit code
//! ```

use std::fs;
use std::path::{Path, PathBuf};

/// One line that both are given.
pub struct Case {
    /// File and line.
    pub place: String,
    /// For the shell, or for [`super::rpc`].
    pub command: String,
    /// How `docs/differences.md` calls the difference that is meant.
    pub difference: Option<String>,
    /// With a difference, the lines that ours answers.
    pub ours: Vec<String>,
}

/// Those of all scenes.
pub fn all() -> Vec<Case> {
    let files = fs::read_dir(folder()).expect("the cases are here");
    let scenes = files.filter_map(|file| file.ok()?.path().file_stem()?.to_str().map(str::to_owned));
    scenes.flat_map(|scene| of(&scene)).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/differential/cases")
}

/// The cases of a scene.
#[track_caller]
pub fn of(scene: &str) -> Vec<Case> {
    let path = folder().join(format!("{scene}.txt"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{scene}.txt:{}:", number + 1);
        let beside = line.strip_prefix("    ").and_then(|beside| Some((cases.last_mut()?, beside)));
        match beside {
            Some((case, beside)) => match (beside.strip_prefix("differs: "), beside.strip_prefix('|')) {
                (Some(id), _) => case.difference = Some(id.to_owned()),
                (None, Some(answer)) => case.ours.push(answer.strip_prefix(' ').unwrap_or(answer).to_owned()),
                (None, None) => panic!("{place} neither `differs:` nor an answer"),
            },
            None if line.is_empty() || line.starts_with('#') => {}
            None => cases.push(Case { place, command: line.to_owned(), difference: None, ours: Vec::new() }),
        }
    }
    cases
}

/// The lines of an answer as a file of cases has them, where no line ends in a space.
pub fn lines(answer: &str) -> impl Iterator<Item = &str> {
    answer.lines().map(str::trim_end)
}

//! Files with secrets, and who else can read them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::process::geteuid;

/// What to tell of the file if it is open to others, and what to do. `what`: what it is.
///
/// As with sshd, a file of this process's user is its own alone. One of another user has to be open to somebody: to the group.
pub(super) fn openness(what: &str, path: &Path) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    let mode = found.permissions().mode() & 0o777;
    let own = found.uid() == geteuid().as_raw();
    let (others, remedy) = if own { (0o077, "600") } else { (0o007, "o=") };
    let shown = path.display();
    (mode & others != 0).then(|| {
        format!("Warning: {what} {shown} is open to others (mode {mode:04o}): chmod {remedy} {shown}")
    })
}

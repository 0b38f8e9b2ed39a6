//! Files that an agent keeps over its own end: written whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Reads a text of at most `longest` bytes; `None` if it is longer: some devices have no end.
///
/// # Errors
/// What the system says.
pub(crate) fn read(path: &Path, longest: u64) -> io::Result<Option<String>> {
    let mut text = String::new();
    let read = File::open(path)?.take(longest + 1).read_to_string(&mut text)?;
    Ok(Some(text).filter(|_| read as u64 <= longest))
}

/// The folder that a file is in, or is to be in.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Writes a file anew, to where a link leads. `secret`: it is readable by this user only, whatever it was; else it keeps its rights, and
/// only a new one is.
///
/// # Errors
/// What the system says; what was there is there still.
pub(super) fn store(path: &Path, bytes: &[u8], secret: bool) -> io::Result<()> {
    let (path, mode) = match fs::canonicalize(path) {
        Ok(path) => {
            let there = fs::metadata(&path)?;
            if !there.is_file() {
                return Err(io::Error::other("it is no regular file"));
            }
            (path, there.permissions().mode() & 0o777)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), 0o600),
        Err(error) => return Err(error),
    };
    let mode = if secret { 0o600 } else { mode };
    let beside = beside(&path);
    let written = write(&beside, mode, bytes).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // It may not be there, or may be none of ours; the first error tells what is wrong.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Where a file is written that is to take this one's place.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    beside.into()
}

/// A new file that this user only can read, in the place of what an earlier agent may have left, with rights of its own.
pub(super) fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    // Whatever the umask is.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

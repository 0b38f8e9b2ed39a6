//! The file in which an agent keeps tags that are set at run time, over its own end: a JSON object, as Serf writes it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::error::words;
use super::tags::is_tag;

/// The longest file that is read, in bytes: tags take 512 when they travel, and some devices have no end.
const LONGEST: u64 = 64 << 10;

/// The tags in a file; none if there is no such file yet.
///
/// # Errors
/// The text that Serf prints, with what to do.
pub fn load(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let shown = path.display();
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text)) {
        Ok(read) if read as u64 > LONGEST => {
            return Err(format!("Failed to read tags file: {shown} is longer than {LONGEST} bytes"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(format!("Failed to read tags file: open {shown}: {}", words(&error))),
    }
    let tags: BTreeMap<String, String> = serde_json::from_str(&text).map_err(|error| {
        format!("Failed to decode tags file: {shown}: {error}. It holds one object, as {{\"role\": \"web\"}}")
    })?;
    // No script's environment could hold it.
    match tags.iter().find(|(tag, value)| !is_tag(tag, value)) {
        Some((tag, _)) => {
            Err(format!("Failed to decode tags file: {shown}: tag {tag:?} has no name, or a NUL byte"))
        }
        None => Ok(tags),
    }
}

/// Writes the tags, whole or not at all: to where a link leads, with the rights of the file that is there; a new one is readable by
/// this user only.
///
/// # Errors
/// What the system says.
pub fn store(path: &Path, tags: &BTreeMap<String, String>) -> io::Result<()> {
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
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let written = write(Path::new(&beside), mode, tags).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // It may not be there, or may be none of ours; the first error tells what is wrong.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn write(path: &Path, mode: u32, tags: &BTreeMap<String, String>) -> io::Result<()> {
    // What an earlier agent may have left, with rights of its own.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    serde_json::to_writer_pretty(&mut file, tags)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_stored_is_loaded_and_nobody_else_reads_it() {
        let folder = std::env::temp_dir().join(format!("serf-tags-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("tags.json");
        assert_eq!(load(&path), Ok(BTreeMap::new()), "there is none yet");
        for role in ["web", "\u{e9}\n\"", ""] {
            let tags = BTreeMap::from([("role".to_owned(), role.to_owned())]);
            store(&path, &tags).unwrap();
            assert_eq!(load(&path), Ok(tags));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!folder.join("tags.json.new").exists());
        for (text, why) in
            [("{", "decode"), ("[]", "decode"), ("{\"a\": 1}", "decode"), ("{\"a\": \"\\u0000\"}", "NUL")]
        {
            fs::write(&path, text).unwrap();
            let error = load(&path).unwrap_err();
            assert!(error.contains(why) && error.contains("tags.json"), "{error}");
        }
        // A link leads to where the tags are, and those keep their rights.
        let link = folder.join("link.json");
        symlink("tags.json", &link).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let tags = BTreeMap::from([("role".to_owned(), "db".to_owned())]);
        store(&link, &tags).unwrap();
        assert_eq!(load(&path), Ok(tags));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(store(&folder, &BTreeMap::new()).is_err());
        assert!(load(&folder).unwrap_err().starts_with("Failed to read tags file: "));
        assert!(load(Path::new("/dev/zero")).unwrap_err().contains("longer than"));
        assert!(store(&folder.join("none/tags.json"), &BTreeMap::new()).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}

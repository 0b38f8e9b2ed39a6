//! The file in which an agent keeps tags that are set at run time, over its own end: a JSON object, as Serf writes it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::error::words;
use super::kept_file;
use super::tags::is_tag;

/// The longest file that is read, in bytes: tags take 512 when they travel, and some devices have no end.
const LONGEST: u64 = 64 << 10;

/// The tags in a file; none if there is no such file yet.
///
/// # Errors
/// The text that Serf prints, with what to do.
pub fn load(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let shown = path.display();
    let text = match kept_file::read(path, LONGEST) {
        Ok(Some(text)) => text,
        Ok(None) => return Err(format!("Failed to read tags file: {shown} is longer than {LONGEST} bytes")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(format!("Failed to read tags file: open {shown}: {}", words(&error))),
    };
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
    let mut bytes = serde_json::to_vec_pretty(tags)?;
    bytes.push(b'\n');
    kept_file::store(path, &bytes, false)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

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

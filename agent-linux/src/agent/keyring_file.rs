//! The file in which an agent keeps its keys, as Serf writes it: a JSON array of keys in base64, the one that it seals with first.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serf_nostd::Key;

use super::error::words;
use super::kept_file;
use super::keys::{decode, encode};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 64 << 10;

/// The keys in a file. `warn` is given what should be told.
///
/// # Errors
/// The text that Serf prints, with what to do.
pub fn load(path: &Path, mut warn: impl FnMut(&str)) -> Result<Vec<Key>, String> {
    let shown = path.display();
    let unreadable =
        |error: io::Error| format!("Failed to read keyring file: open {shown}: {}", words(&error));
    let found = fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() {
        return Err(format!("Failed to read keyring file: {shown} is no file"));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(format!(
            "Failed to read keyring file: {shown} can be written by others (mode {mode:04o}): chmod 600 {shown}"
        ));
    }
    if mode & 0o044 != 0 {
        warn(&format!(
            "Warning: keyring file {shown} can be read by others (mode {mode:04o}): chmod 600 {shown}"
        ));
    }
    let text = kept_file::read(path, LONGEST).map_err(unreadable)?;
    let text =
        text.ok_or_else(|| format!("Failed to read keyring file: {shown} is longer than {LONGEST} bytes"))?;
    // The parser would quote what is wrong, and that may be a key.
    let keys: Vec<String> = serde_json::from_str(&text).map_err(|error| {
        format!(
            "Failed to decode keyring file: {shown}, line {}: it is no JSON array of keys, as [\"...\", \"...\"]",
            error.line()
        )
    })?;
    if keys.is_empty() {
        return Err("Keyring file contains no keys".to_owned());
    }
    let key = |(at, text): (usize, &String)| {
        decode(text)
            .map_err(|error| format!("Failed to decode key {} from keyring file {shown}: {error}", at + 1))
    };
    keys.iter().enumerate().map(key).collect()
}

/// Writes the keys, the first one first: whole or not at all, readable by this user only.
///
/// # Errors
/// What the system says.
pub fn store(path: &Path, keys: &[Key]) -> io::Result<()> {
    let texts: Vec<String> = keys.iter().map(encode).collect();
    let mut bytes = serde_json::to_vec_pretty(&texts)?;
    bytes.push(b'\n');
    kept_file::store(path, &bytes, true)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn keys_come_back_and_what_is_no_keyring_is_told() {
        let folder = std::env::temp_dir().join(format!("serf-keyring-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("keyring.json");
        let load = |path: &Path| {
            let mut warnings = Vec::new();
            load(path, |warning| warnings.push(warning.to_owned())).map(|keys| (keys, warnings))
        };
        let error = |path: &Path| load(path).map(|_| ()).unwrap_err();
        assert!(error(&path).ends_with("no such file or directory"));
        let keys = [Key::new([1; 32]), Key::new([2; 32])];
        store(&path, &keys).unwrap();
        assert_eq!(load(&path), Ok((keys.to_vec(), vec![])));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(load(&path).unwrap().1[0].contains("can be read by others (mode 0644): chmod 600"));
        store(&path, &keys[..1]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "now it is");
        fs::set_permissions(&path, Permissions::from_mode(0o620)).unwrap();
        assert!(error(&path).contains("can be written by others"));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        for cut in 0..whole.len() - 2 {
            fs::write(&path, &whole[..cut]).unwrap();
            let error = error(&path);
            assert!(error.contains("keyring file") && !error.contains("AQEB"), "{cut}: {error}");
        }
        for (text, what) in
            [("[]", "no keys"), ("{}", "no JSON array"), ("[\"x\"]", "key 1 from"), ("[1]", "no JSON array")]
        {
            fs::write(&path, text).unwrap();
            assert!(error(&path).contains(what), "{text}");
        }
        assert!(error(&folder).starts_with("Failed to read keyring file: "));
        fs::remove_dir_all(&folder).unwrap();
    }
}

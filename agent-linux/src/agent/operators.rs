//! Operators: whose signatures are asked for, and the private keys that they sign with.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serf_nostd::{Authority, Key, Signed, Statement, is_public_key, public_key};

use super::error::words;
use super::{kept_file, keys};

/// Signatures that an agent checks in a second, at most.
const RATE: u16 = 500;

/// The longest name that an event may have, in bytes.
const LONGEST_NAME: usize = 1_327;

/// The longest file of a private key, in bytes.
const LONGEST: u64 = 4 << 10;

/// An operator, and what it alone may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its public key.
    pub key: [u8; 32],
    /// Names of events, those of queries behind `query:`, `keys:install`, `keys:use` and `keys:remove`; or the beginning of some and a `*`.
    pub patterns: Vec<String>,
}

/// Reads `event_authority`: public keys in base64, each with its patterns.
///
/// # Errors
/// What is wrong, and what to do.
pub fn parse(settings: &BTreeMap<String, Vec<String>>) -> Result<Vec<Operator>, String> {
    let operator = |(text, patterns): (&String, &Vec<String>)| {
        let key = keys::decode(text).ok().filter(|key| is_public_key(key.as_bytes())).ok_or_else(|| {
            format!("Invalid event_authority: {text:?} is no public key, as serf keygen -sign=FILE prints it")
        })?;
        if let Some(why) = patterns.iter().find_map(|pattern| wrong(pattern)) {
            return Err(format!("Invalid event_authority: {why}"));
        }
        if patterns.is_empty() {
            return Err(format!("Invalid event_authority: {text:?} has no patterns, such as \"deploy/*\""));
        }
        Ok(Operator { key: *key.as_bytes(), patterns: patterns.clone() })
    };
    settings.iter().map(operator).collect()
}

/// What is wrong with a pattern.
fn wrong(pattern: &str) -> Option<String> {
    let name = pattern.strip_suffix('*').unwrap_or(pattern);
    match () {
        () if pattern.is_empty() => {
            Some("a pattern is empty; \"*\" stands for all but those of agents among themselves".to_owned())
        }
        () if name.contains('*') => Some(format!("in {pattern:?} a * stands elsewhere than at the end")),
        () if pattern.trim() != pattern => Some(format!("{pattern:?} begins or ends with blanks")),
        () if name.contains(',') => {
            Some(format!("{pattern:?} has a comma: each name is a pattern of its own"))
        }
        () if ["query:", "keys:"].contains(&pattern) => Some(format!("{pattern:?} names nothing")),
        () if name.len() > LONGEST_NAME => {
            Some(format!("a pattern is longer than {LONGEST_NAME} bytes, and no name is"))
        }
        () if ["user:", "event:", "once:"].iter().any(|prefix| name.starts_with(prefix)) => {
            Some(format!("{pattern:?}: events stand here by their names alone, such as \"reboot\""))
        }
        () if name.strip_prefix("query:").unwrap_or(name).starts_with("_serf_") => {
            Some(format!("{pattern:?} would forbid what agents say among themselves, which nobody signs"))
        }
        () if name == "force-leave" => Some(format!(
            "{pattern:?} cannot be kept: members have no keys of their own, so who has the fleet's can say in any member's name that it leaves"
        )),
        () => match pattern.strip_prefix("keys:") {
            Some(order) if !["*", "install", "use", "remove"].contains(&order) => Some(format!(
                "{pattern:?}: there are \"keys:install\", \"keys:use\", \"keys:remove\", and \"keys:*\" for all three"
            )),
            _ => None,
        },
    }
}

/// Unix time, in seconds.
pub(in crate::agent) fn now() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as u32
}

/// Signs with an operator's private key.
pub(super) fn sign(statement: &Statement<'_>, key: &Key) -> Signed {
    Signed { reserved: statement.reserved, signature: statement.sign(key.as_bytes()) }
}

/// What an operator of this fleet reads in the log, so that it is seen what is protected.
pub fn told(operators: &[Operator]) -> String {
    let patterns: usize = operators.iter().map(|operator| operator.patterns.len()).sum();
    match operators.len() {
        0 => "No operators: all may fire, ask and order everything".to_owned(),
        count => format!("Operators: {count}; only they may do what {patterns} patterns cover"),
    }
}

/// What the core is told. It lives as long as the process.
pub fn authority(operators: &[Operator]) -> Authority {
    let leak = |operator: &Operator| {
        let patterns = operator.patterns.iter().map(|pattern| &*pattern.clone().leak());
        serf_nostd::Operator { key: operator.key, patterns: patterns.collect::<Vec<_>>().leak() }
    };
    match operators {
        [] => Authority::NONE,
        _ => Authority::new(operators.iter().map(leak).collect::<Vec<_>>().leak(), RATE),
    }
}

/// Writes a private key, of the system's random numbers, to a new file that this user alone can read. Returns its public key, in base64.
///
/// # Errors
/// What is wrong, and what to do.
pub fn create(path: &Path) -> Result<String, String> {
    let key = keys::generate().map_err(|error| format!("reading random data: {error}"))?;
    let shown = path.display();
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{shown} is there already, and may be in use: name another file")
        }
        _ => format!("{shown}: {}", words(&error)),
    })?;
    let written =
        file.write_all(format!("{}\n", keys::encode(&key)).as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        let _ = fs::remove_file(path);
        format!("{shown}: {}", words(&error))
    })?;
    Ok(public(&key))
}

/// The public key to a private one, in base64.
pub fn public(private: &Key) -> String {
    STANDARD.encode(public_key(private.as_bytes()))
}

/// Reads a private key.
///
/// # Errors
/// What is wrong, and what to do.
pub fn load(path: &Path) -> Result<Key, String> {
    let shown = path.display();
    let unreadable = |error: io::Error| format!("{shown}: {}", words(&error));
    let found = fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() {
        return Err(format!("{shown} is no file. Make one with: serf keygen -sign=FILE"));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("{shown} is open to others (mode {mode:04o}): chmod 600 {shown}"));
    }
    let text = kept_file::read(path, LONGEST).map_err(unreadable)?;
    let text = text.ok_or_else(|| format!("{shown} is longer than {LONGEST} bytes"))?;
    keys::decode(text.trim())
        .map_err(|_| format!("{shown} is no private key. Make one with: serf keygen -sign=FILE"))
}

#[cfg(test)]
mod tests {
    use serf_nostd::Stated;

    use super::*;

    #[test]
    fn patterns_that_cannot_be_kept_are_refused() {
        let public = public_key(&[7; 32]);
        let (key, weak) = (STANDARD.encode(public), STANDARD.encode([0; 32]));
        let parsed = |key: &str, patterns: &[&str]| {
            let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            parse(&BTreeMap::from([(key.to_owned(), patterns)]))
        };
        let operators = parsed(&key, &["reboot", "deploy/*", "*"]).expect("sound");
        assert_eq!((operators[0].key, operators[0].patterns.len()), (public, 3));
        let event = Stated::Event { coalesce: true };
        assert!(authority(&operators).protects(event, b"anything"));
        assert!(!authority(&operators).protects(event, b"_serf_once"), "nobody could sign the agents' own");
        assert!(!authority(&[]).protects(event, b"reboot"));
        let operators = parsed(&key, &["query:ps", "keys:*"]).expect("sound");
        let query = Stated::Query { ack: true };
        assert!(authority(&operators).protects(query, b"ps"));
        assert!(!authority(&operators).protects(event, b"ps"));
        for (key, patterns, why) in [
            ("AAAA", &["x"][..], "is no public key"),
            (&weak, &["x"], "is no public key"),
            (&key, &[], "has no patterns"),
            (&key, &[""], "is empty"),
            (&key, &["a*b"], "elsewhere than at the end"),
            (&key, &["user:reboot"], "by their names alone"),
            (&key, &[" reboot"], "with blanks"),
            (&key, &["a,b"], "has a comma"),
            (&key, &["query:"], "names nothing"),
            (&key, &["force-leave"], "members have no keys of their own"),
            (&key, &["query:_serf_*"], "what agents say among themselves"),
            (&key, &["_serf_once"], "what agents say among themselves"),
            (&key, &["keys:list"], "there are \"keys:install\""),
            (&key, &["keys:"], "names nothing"),
        ] {
            let error = parsed(key, patterns).expect_err("refused");
            assert!(error.starts_with("Invalid event_authority: ") && error.contains(why), "{error}");
        }
    }

    #[test]
    fn private_keys_are_for_one_user_and_never_written_over() {
        let folder = std::env::temp_dir().join(format!("serf-operators-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("operator.key");
        let public = create(&path).expect("a new file");
        let private = load(&path).expect("it is there");
        assert_eq!(public, STANDARD.encode(public_key(private.as_bytes())));
        assert!(create(&path).expect_err("it is there").contains("name another file"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it is ours");
        assert!(load(&path).expect_err("too open").contains("chmod 600"));
        fs::write(&path, "no key").expect("it is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        assert!(load(&path).expect_err("damaged").contains("serf keygen -sign"));
        assert!(load(&folder.join("none")).is_err());
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}

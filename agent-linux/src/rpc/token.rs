//! The token that clients have to bring over TCP, and the file that it is kept in.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::agent::error::words;
use crate::agent::kept_file;

/// The longest token that is read from a file, in bytes: a client that has not shown it yet may send no more than 4 KiB.
const LONGEST: u64 = 1024;

/// What `auth` has to bring; empty: nothing is needed. Clones are the same one.
#[derive(Clone, Default)]
pub struct Token(Arc<Mutex<String>>);

impl Token {
    /// This text.
    pub fn new(text: impl Into<String>) -> Token {
        Token(Arc::new(Mutex::new(text.into())))
    }

    /// Asks for another one from now on. Who has been admitted stays so.
    pub fn set(&self, text: impl Into<String>) {
        *self.text() = text.into();
    }

    pub(super) fn is_needed(&self) -> bool {
        !self.text().is_empty()
    }

    /// Whether `given` is the token, in a time that tells nothing of the bytes, only of the lengths.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        let expected = self.text();
        let expected = expected.as_bytes();
        let differing = given.iter().zip(expected).fold(0, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
        given.len() == expected.len() && differing == 0
    }

    fn text(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_needed() { "Token(hidden)" } else { "Token(none)" })
    }
}

/// Reads a token of at most 1,024 bytes from a file of one line; the end of the line is none of it.
///
/// # Errors
/// What is wrong with the file, and what to do.
pub fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let failed = |why: String| format!("Failed to read RPC token file: {why}");
    let text = kept_file::read(path, LONGEST)
        .map_err(|error| failed(format!("open {shown}: {}", words(&error))))?
        .ok_or_else(|| failed(format!("{shown} is longer than {LONGEST} bytes")))?;
    let token = text.strip_suffix('\n').unwrap_or(&text);
    let token = token.strip_suffix('\r').unwrap_or(token);
    if token.is_empty() {
        return Err(failed(format!("{shown} is empty; write a token into it, as: serf keygen > {shown}")));
    }
    if token.contains('\n') {
        return Err(failed(format!("{shown} has more than one line, and all of one is the token")));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_holds_one_line_which_is_the_token() {
        let path = std::env::temp_dir().join(format!("serf-token-{}", std::process::id()));
        let of = |text: &str| {
            fs::write(&path, text).unwrap();
            read(&path)
        };
        for text in ["a b=", "a b=\n", "a b=\r\n"] {
            assert_eq!(of(text).as_deref(), Ok("a b="));
        }
        assert_eq!(of(" a ").as_deref(), Ok(" a "), "spaces are its own");
        for text in ["", "\n", "\r\n"] {
            assert!(of(text).unwrap_err().contains("is empty; write a token into it, as: serf keygen > "));
        }
        assert!(of("a\n\n").unwrap_err().ends_with("has more than one line, and all of one is the token"));
        assert!(of(&"x".repeat(1025)).unwrap_err().ends_with("is longer than 1024 bytes"));
        assert_eq!(of(&"x".repeat(1024)).map(|token| token.len()), Ok(1024));
        fs::remove_file(&path).unwrap();
        let gone = read(&path).unwrap_err();
        assert!(gone.starts_with("Failed to read RPC token file: open "), "{gone}");
        assert!(gone.ends_with(": no such file or directory"), "{gone}");
    }

    #[test]
    fn a_token_is_the_whole_of_it_and_nothing_shows_it() {
        let token = Token::new("secret");
        for (given, right) in
            [("secret", true), ("secre", false), ("secrets", false), ("", false), ("Secret", false)]
        {
            assert_eq!(token.is(given.as_bytes()), right, "{given}");
        }
        assert!(!format!("{token:?}").contains("secret"));
        let same = token.clone();
        same.set("");
        assert!(token.is(b"") && !token.is_needed());
    }
}

//! What the system says is wrong, in the words that Serf's users know.

use std::io;

/// The system's text in Go's manner: `connection refused`, not `Connection refused (os error 111)`.
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

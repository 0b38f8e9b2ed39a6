//! Where the commands write. A reader that has gone (`serf members | head -1`) is no failure of the command.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::agent::error::words;
use crate::agent::go_json;

/// Writes a line to standard output, where Serf's users expect everything, errors too. False if nobody reads it.
pub(crate) fn say(line: impl AsRef<[u8]>) -> bool {
    let mut out = io::stdout().lock();
    out.write_all(line.as_ref()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).is_ok()
}

/// Prints what is to be kept; if that fails says so.
pub(crate) fn hand_over(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("Standard output: {}", words(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to standard error: help that was asked for, and flags that are none.
pub(crate) fn complain(line: &str) {
    // There is nowhere else to say it.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints the value in the format that the user named; text without blank space around it.
pub(crate) fn print<T: Serialize>(format: &str, value: &T, as_text: impl FnOnce() -> String) -> ExitCode {
    match format {
        "text" => say(as_text().trim()),
        "json" => say(go_json::encode(value)),
        _ => {
            say(format!("Encoding error: Invalid output format {format:?}"));
            return ExitCode::FAILURE;
        }
    };
    ExitCode::SUCCESS
}

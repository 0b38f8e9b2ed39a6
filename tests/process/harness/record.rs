//! A script handler that writes down what it is called with.

use std::fs;
use std::path::{Path, PathBuf};

use super::Scratch;

/// Its lines have tabs between the fields. Handlers of one agent run one after the other, so lines do not mix.
/// A payload loses its NUL bytes and trailing newlines on the way through the shell.
const SCRIPT: &str = r#"
if [ "$SERF_EVENT" = user ]; then
    printf 'user\t%s\t%s\t%s\n' "$SERF_USER_EVENT" "$SERF_USER_LTIME" "$(cat)"
else
    while IFS='	' read -r name rest; do printf '%s\t%s\t\t\n' "$SERF_EVENT" "$name"; done
fi >>"$1"
"#;

/// One call of the handler for a user event, or one member of a member event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `SERF_EVENT`.
    pub event: String,
    /// The user event's name, or the member's.
    pub name: Vec<u8>,
    /// `SERF_USER_LTIME`; 0 for member events.
    pub ltime: u64,
    /// The user event's payload.
    pub payload: Vec<u8>,
}

/// The handler of one agent and its file.
#[derive(Clone, Debug)]
pub struct Recorder {
    script: PathBuf,
    file: PathBuf,
    _scratch: Scratch,
}

impl Recorder {
    /// A handler with an empty file.
    pub fn new() -> Recorder {
        let scratch = Scratch::new();
        Recorder {
            script: scratch.write("record.sh", SCRIPT),
            file: scratch.file("records"),
            _scratch: scratch,
        }
    }

    /// The value for `-event-handler`, for all events.
    pub fn handler(&self) -> String {
        let quoted = |path: &Path| format!("'{}'", path.display());
        format!("*=sh {} {}", quoted(&self.script), quoted(&self.file))
    }

    /// Everything so far, in the order of the calls.
    pub fn records(&self) -> Vec<Record> {
        let text = fs::read(&self.file).unwrap_or_default();
        // What follows the last newline is still being written.
        let complete = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        text[..complete].split(|byte| *byte == b'\n').filter_map(parse).collect()
    }

    /// Payloads of the user events called `name`.
    pub fn payloads(&self, name: &str) -> Vec<String> {
        let of_name = |record: &Record| record.event == "user" && record.name == name.as_bytes();
        let payload = |record: Record| String::from_utf8_lossy(&record.payload).into_owned();
        self.records().into_iter().filter(of_name).map(payload).collect()
    }

    /// How often `event` was told about the member `name`.
    pub fn count(&self, event: &str, name: &str) -> usize {
        self.records().iter().filter(|record| record.event == event && record.name == name.as_bytes()).count()
    }
}

/// `None` for a line that the script has not begun: names and payloads may contain any bytes, line ends too.
fn parse(line: &[u8]) -> Option<Record> {
    let mut fields = line.splitn(4, |byte| *byte == b'\t').map(<[u8]>::to_vec);
    let (event, name, ltime, payload) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let event = String::from_utf8(event).ok()?;
    let ltime = String::from_utf8(ltime).ok()?.parse().unwrap_or(0);
    Some(Record { event, name, ltime, payload })
}

//! One run of one script: what it is told, what becomes of its output, and how it is ended.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::sync::oneshot;

use crate::agent::error::words;
use crate::agent::model::{Event, Member};
use crate::agent::snapshot::{Gate, Ticket};

/// Of a script's output, so many of the last bytes are kept.
const OUTPUT_LIMIT: usize = 8 * 1024;

/// A script that runs longer is told of in the log.
const SLOW: Duration = Duration::from_secs(1);

/// How long to wait for a killed script to be gone: one that hangs in the kernel must not hold up the others.
const REAP_LIMIT: Duration = Duration::from_secs(1);

/// What scripts are told about the node they run on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The node's name.
    pub name: String,
    /// Its tags as they are now.
    pub tags: BTreeMap<String, String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeded,
    Failed,
    TimedOut,
}

/// The variables that a script gets beside those of the agent.
pub(super) type Environment = Vec<(OsString, OsString)>;

pub(super) fn environment(event: &Event, own: &Identity) -> Environment {
    let mut variables: Vec<(OsString, OsString)> = vec![
        ("SERF_EVENT".into(), event_name(event).into()),
        ("SERF_SELF_NAME".into(), own.name.clone().into()),
        ("SERF_SELF_ROLE".into(), role(&own.tags).into()),
    ];
    for (name, value) in &own.tags {
        variables.push((tag_variable(name).into(), value.into()));
    }
    if let Event::User { ltime, name, .. } = event {
        variables.push(("SERF_USER_EVENT".into(), OsString::from_vec(name.clone())));
        variables.push(("SERF_USER_LTIME".into(), ltime.to_string().into()));
    }
    if let Event::Query(question) = event {
        variables.push(("SERF_QUERY_NAME".into(), question.name.clone().into()));
        variables.push(("SERF_QUERY_LTIME".into(), question.ltime().to_string().into()));
    }
    variables
}

/// What no script is to inherit: the event of a handler that has started this agent, and where it reports to systemd.
const INHERITED: [&str; 7] = [
    "SERF_USER_EVENT",
    "SERF_USER_LTIME",
    "SERF_QUERY_NAME",
    "SERF_QUERY_LTIME",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// `/bin/sh` in a process group of its own, which inherits nothing of that.
pub(in crate::agent) fn shell() -> Command {
    let mut command = Command::new("/bin/sh");
    INHERITED.iter().for_each(|name| _ = command.env_remove(name));
    command.process_group(0);
    command
}

fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Member { kind, .. } => kind.as_str(),
        Event::User { .. } => "user",
        Event::Query(_) => "query",
    }
}

fn role(tags: &BTreeMap<String, String>) -> &str {
    tags.get("role").map_or("", String::as_str)
}

/// `my-tag.x` becomes `SERF_TAG_MY_TAG_X`.
fn tag_variable(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_uppercase() || c.is_ascii_digit() { c } else { '_' };
    format!("SERF_TAG_{}", name.to_uppercase().chars().map(plain).collect::<String>())
}

/// What the script reads: a line per member, or the payload with a line's end if it has none.
fn input(event: &Event) -> Vec<u8> {
    match event {
        Event::Member { members, .. } => members.iter().map(member_line).collect::<String>().into_bytes(),
        Event::User { payload, .. } => line(payload),
        Event::Query(question) => line(&question.payload),
    }
}

fn line(payload: &[u8]) -> Vec<u8> {
    let mut line = payload.to_vec();
    if line.last().is_some_and(|last| *last != b'\n') {
        line.push(b'\n');
    }
    line
}

fn member_line(member: &Member) -> String {
    let escaped = |text: &str| text.replace('\t', "\\t").replace('\n', "\\n");
    let tags: Vec<String> = member.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let (name, role, tags) = (escaped(&member.name), escaped(role(&member.tags)), escaped(&tags.join(",")));
    format!("{name}\t{}\t{role}\t{tags}\n", member.addr)
}

/// Runs `script` for `event` with `/bin/sh -c`, in a process group of its own, and logs as Serf does. Returns when
/// the script has ended and nobody holds its output open any more, or when it was killed after `limit`. What it printed is the
/// answer to a query, if it has succeeded. `recorded`: it begins when the snapshot says so.
pub(super) async fn run(
    script: &str,
    event: &Event,
    environment: Environment,
    limit: Option<Duration>,
    recorded: Option<(&Ticket, u64)>,
) -> Outcome {
    let mut output = Tail::default();
    let ended = execute(script, input(event), environment, limit, &mut output, recorded).await;
    if let (Some((ticket, script)), Err(_) | Ok(Ended::Unstarted(_))) = (recorded, &ended) {
        // The next life would fare no better.
        ticket.begin(script, None);
    }
    if output.dropped > 0 {
        let total = output.dropped + output.kept.len() as u64;
        log::warn!(
            target: "agent",
            "Script '{script}' generated {total} bytes of output, truncated to {OUTPUT_LIMIT}"
        );
    }
    if !matches!(ended, Ok(Ended::Unstarted(_))) {
        let text = String::from_utf8_lossy(&output.kept);
        log::debug!(target: "agent", "Event '{}' script output: {text}", event_name(event));
    }
    let (outcome, reason) = match ended {
        Ok(Ended::Exited(status)) if status.success() => {
            answer(event, output.kept).await;
            return Outcome::Succeeded;
        }
        Ok(Ended::Exited(status)) => (Outcome::Failed, describe(status)),
        Ok(Ended::Killed(limit)) => (Outcome::TimedOut, format!("killed, it ran longer than {limit:?}")),
        Ok(Ended::Unstarted(reason)) => (Outcome::Failed, reason),
        Err(error) => (Outcome::Failed, words(&error)),
    };
    log::error!(target: "agent", "Error invoking script '{script}': {reason}");
    outcome
}

/// An answer whose beginning is lost is too long for every limit, and is refused like others that are.
async fn answer(event: &Event, output: Vec<u8>) {
    let Event::Query(question) = event else { return };
    if output.is_empty() {
        return;
    }
    if let Err(refusal) = question.respond(output).await {
        log::warn!(target: "agent", "Failed to respond to query '{}': {refusal}", question.name);
    }
}

enum Ended {
    Exited(ExitStatus),
    Killed(Duration),
    Unstarted(String),
}

/// Waits for a line before it becomes the script: without one the agent has been killed before the script stood in its snapshot.
const GATED: &str = r#"read -r SERF_GATE || exit; exec /bin/sh -c "$0""#;

async fn execute(
    script: &str,
    mut input: Vec<u8>,
    environment: Environment,
    limit: Option<Duration>,
    output: &mut Tail,
    recorded: Option<(&Ticket, u64)>,
) -> io::Result<Ended> {
    if let Some((name, _)) = environment.iter().find(|(_, value)| value.as_bytes().contains(&0)) {
        let name = name.to_string_lossy();
        return Ok(Ended::Unstarted(format!(
            "{name} would contain a NUL byte, which no environment can hold"
        )));
    }
    let (reader, writer) = io::pipe()?;
    let reader = pipe::Receiver::from_owned_fd(reader.into())?;
    let mut command = shell();
    let gate =
        recorded.map(|recorded| io::pipe().map(|(stdin, gate)| (stdin, gate, recorded))).transpose()?;
    let mut opening = None;
    match gate {
        None => drop(command.arg("-c").arg(script).stdin(Stdio::piped())),
        Some((stdin, gate, recorded)) => {
            command.arg("-c").arg(GATED).arg(script).stdin(stdin);
            opening = Some((gate, recorded));
        }
    }
    command.envs(environment).stdout(writer.try_clone()?).stderr(writer);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(Ended::Unstarted(format!("/bin/sh: {}", words(&error)))),
    };
    // The command holds our copies of the pipe's writing end; with them the reader would never see the end.
    drop(command);
    let group = child.id().and_then(|id| Pid::from_raw(id as i32));
    let stdin = child.stdin.take();
    if let Some((stdin, (ticket, number))) = opening {
        input.insert(0, b'\n');
        let (opened, is_open) = oneshot::channel();
        ticket.begin(number, Some(Gate { stdin, input: std::mem::take(&mut input), opened }));
        // Its time begins when it may begin. If that is never, it ends at once.
        let _ = is_open.await;
    }
    {
        let mut work = pin!(async {
            let feed = async {
                if let Some(mut stdin) = stdin {
                    // A script need not read what it is given.
                    let _ = stdin.write_all(&input).await;
                }
            };
            // The script is reaped only after its output ended: until then its process id, and with it that of its
            // group, cannot be taken by others, and killing the group hits nobody else.
            let ((), read) = tokio::join!(feed, output.fill(reader));
            read?;
            child.wait().await
        });
        let mut slow = pin!(tokio::time::sleep(SLOW));
        let mut overdue = pin!(elapsed(limit));
        let mut told = false;
        loop {
            tokio::select! {
                biased;
                () = &mut slow, if !told => {
                    told = true;
                    log::warn!(target: "agent", "Script '{script}' slow, execution exceeding 1s");
                }
                status = &mut work => return status.map(Ended::Exited),
                () = &mut overdue => break,
            }
        }
    }
    if let Some(group) = group {
        // It may have ended just now; then there is nobody to kill.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = tokio::time::timeout(REAP_LIMIT, child.wait()).await;
    Ok(Ended::Killed(limit.unwrap_or_default()))
}

async fn elapsed(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Go's words for how a process ended.
pub(in crate::agent) fn describe(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        return format!("exit status {}", status.code().unwrap_or_default());
    };
    let name = match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        10 => "user defined signal 1",
        11 => "segmentation fault",
        12 => "user defined signal 2",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        other => return format!("signal: signal {other}"),
    };
    format!("signal: {name}")
}

/// The last [`OUTPUT_LIMIT`] bytes of a stream.
#[derive(Default)]
struct Tail {
    kept: Vec<u8>,
    dropped: u64,
}

impl Tail {
    async fn fill(&mut self, mut from: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut chunk = [0; 4096];
        loop {
            let read = from.read(&mut chunk).await?;
            if read == 0 {
                return Ok(());
            }
            self.kept.extend_from_slice(&chunk[..read]);
            let excess = self.kept.len().saturating_sub(OUTPUT_LIMIT);
            self.kept.drain(..excess);
            self.dropped += excess as u64;
        }
    }
}

//! A command that prints whom to join.

use std::io;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::agent::error::words;
use crate::agent::handler::{describe, shell};

/// How long it may run.
const LIMIT: Duration = Duration::from_secs(30);

/// How long what it has printed is read when it has ended.
const GRACE: Duration = Duration::from_millis(500);

/// What it may print, in bytes, to each of its outputs: more than as many addresses as a join may have.
const MOST: u64 = 64 * 1024;

/// Runs `command` with `/bin/sh -c` for 30 s at most, and logs what it prints to stderr; the addresses that it prints, one a line or
/// with blanks between.
///
/// # Errors
/// It cannot be run, fails, takes too long, or prints no address, or more than 64 KiB.
pub(super) async fn run(command: String) -> Result<Vec<String>, String> {
    let printed = execute(&command).await;
    printed.map_err(|why| format!("Failed to run 'exec:{command}': {why}"))
}

async fn execute(command: &str) -> Result<Vec<String>, String> {
    let mut shell = shell();
    shell.arg("-c").arg(command).kill_on_drop(true);
    let started = shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| format!("/bin/sh: {}", words(&error)))?;
    let group = child.id().and_then(|id| Pid::from_raw(id as i32));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (mut printed, mut complaints) = (Vec::new(), Vec::new());
        let ended = {
            let mut reading =
                pin!(async { tokio::try_join!(read(stdout, &mut printed), read(stderr, &mut complaints)) });
            tokio::select! {
                read = &mut reading => {
                    read?;
                    None
                }
                status = child.wait() => {
                    // Its own children may have its outputs, and stay.
                    let _ = timeout(GRACE, &mut reading).await;
                    Some(status?)
                }
            }
        };
        // Whoever is not read to the end is not waited for either.
        let status = match ended {
            _ if printed.len() as u64 > MOST => None,
            None => Some(child.wait().await?),
            ended => ended,
        };
        let [stdout, stderr] =
            [printed, complaints].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok::<_, io::Error>((status, stdout, stderr))
    };
    let ended = timeout(LIMIT, work).await;
    if !matches!(ended, Ok(Ok((Some(_), ..))))
        && let Some(group) = group
    {
        // It may have ended just now; then there is nobody to kill.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let ended = ended.map_err(|_| format!("killed, it ran longer than {LIMIT:?}"))?;
    let (status, stdout, stderr) = ended.map_err(|error| words(&error))?;
    for line in stderr.lines() {
        log::warn!(target: "agent", "'exec:{command}': {line}");
    }
    match status {
        None => Err(format!("it printed more than {} KiB", MOST / 1024)),
        Some(status) if !status.success() => Err(describe(status)),
        Some(_) => {
            let addresses: Vec<String> = stdout.split_whitespace().map(str::to_owned).collect();
            if addresses.is_empty() { Err("it printed no address".to_owned()) } else { Ok(addresses) }
        }
    }
}

/// What it prints; of more than [`MOST`] bytes the beginning, and one byte more.
async fn read(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> io::Result<()> {
    if let Some(from) = from {
        from.take(MOST + 1).read_to_end(into).await?;
    }
    Ok(())
}

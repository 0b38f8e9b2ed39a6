//! `serf event`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use serf_nostd::{EventError, Key};

use super::connect::{RpcFlags, failed};
use super::{connect, flags, ui};
use crate::agent::log::in_one_line;
use crate::agent::operators;
use crate::agent::receipts::is_share;
use crate::process::config::duration;
use crate::rpc::client::{Client, Error};
use crate::rpc::message::{EventReceipts, Receipts, TargetedEvent, refusal};

/// How often an event is signed, while others take its reservation's time.
const ATTEMPTS: u8 = 8;

/// The exit code if not as many have got it in time as were waited for.
const NOT_REACHED: u8 = 2;

/// Sends a user event to every member of the cluster, or to some. The name and the payload may be any bytes.
#[derive(clap::Parser)]
#[command(override_usage = "serf event [options] name [payload]")]
pub(super) struct Flags {
    /// Whether members may coalesce it: of several events of one name in short succession, only the last one is then
    /// handed out. Default is true
    #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
    coalesce: bool,
    /// Only for this member. May be repeated
    #[arg(long, value_name = "<name>")]
    node: Vec<String>,
    /// Only for members in whose tag the regular expression is found; a missing tag counts as empty. May be given for several
    /// tags
    #[arg(long, value_name = "<key>=<regexp>")]
    tag: Vec<String>,
    /// Wait until so many of the living members have handed it to their handlers and streams, and tell how long that took; without
    /// a share, all. If they do not in time, those who have not are named, and the exit code is 2
    #[arg(long, value_name = "95%", num_args = 0..=1, require_equals = true, default_missing_value = "100%",
        value_parser = share)]
    wait: Option<u8>,
    /// How long to wait for that. Default is 5s; with coalescing, each member waits for a quiet second first
    #[arg(long, value_name = "5s", default_value = "5s", value_parser = duration::parse)]
    wait_timeout: i64,
    /// Sign it with the private key in this file, which serf keygen -sign has written: for events that only operators may fire. The key
    /// stays with this command
    #[arg(long, value_name = "<path>")]
    sign: Option<PathBuf>,
    #[command(flatten)]
    rpc: RpcFlags,
    #[arg(hide = true)]
    args: Vec<OsString>,
}

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let Flags { coalesce, node, tag, wait, wait_timeout, sign, rpc, args } = match flags::parse(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let (name, payload) = match &args[..] {
        [] => return flags::misused::<Flags>("An event name must be specified."),
        [name] => (name.as_bytes(), &b""[..]),
        [name, payload] => (name.as_bytes(), payload.as_bytes()),
        _ => {
            return flags::misused::<Flags>(
                "Too many command line arguments. Only a name and payload must be specified.",
            );
        }
    };
    let tags = match connect::tags(&tag) {
        Ok(tags) => tags,
        Err(code) => return code,
    };
    let key = match sign.map(|path| operators::load(&path)).transpose() {
        Err(error) => return failed("signing event", error),
        Ok(key) => key,
    };
    let mut event = TargetedEvent {
        filter_nodes: node,
        filter_tags: tags,
        name: name.to_vec(),
        payload: payload.to_vec(),
        coalesce,
        signed: None,
    };
    if wait_timeout < 0 {
        ui::say(refusal::NEGATIVE_TIMEOUT);
        return ExitCode::FAILURE;
    }
    rpc.run(async |client| {
        if let (Some(key), Some(_)) = (&key, wait)
            && let Err(error) = sign_with(&client, &mut event, key).await
        {
            return failed("sending event", error);
        }
        match wait {
            Some(share) => wait_for(&client, EventReceipts::of(event, share, wait_timeout)).await,
            None => match sign_and_send(&client, &mut event, key.as_ref()).await {
                Ok(()) => {
                    let tail = format!("' dispatched! Coalescing enabled: {coalesce}");
                    ui::say([b"Event '", name, tail.as_bytes()].concat());
                    ExitCode::SUCCESS
                }
                Err(error) => failed("sending event", error),
            },
        }
    })
}

/// Percent.
fn share(text: &str) -> Result<u8, String> {
    let digits = text.strip_suffix('%').filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let percent = digits.and_then(|number| number.parse().ok());
    percent.filter(|percent| (1..=100).contains(percent)).ok_or("a share is 1% to 100%".to_owned())
}

/// Sends it, and shows who has got it.
async fn wait_for(client: &Client, request: EventReceipts) -> ExitCode {
    let Receipts { members, missing, took } = match client.event_with_receipts(&request).await {
        Ok(receipts) => receipts,
        Err(error) => return failed("sending event", error),
    };
    let reached = members.saturating_sub(missing.len() as u64);
    let name = &request.name;
    let tail = format!("' reached {reached} of {members} members after {}", spoken(took));
    ui::say([b"Event '", &name[..], tail.as_bytes()].concat());
    if is_share(reached as usize, members as usize, request.share) {
        return ExitCode::SUCCESS;
    }
    for name in missing {
        ui::say(format!("No receipt from '{}'", in_one_line(&name)));
    }
    ExitCode::from(NOT_REACHED)
}

/// Nanoseconds as people say them.
fn spoken(nanos: u64) -> String {
    let millis = nanos as f64 / 1e6;
    if millis < 1_000.0 { format!("{millis:.1} ms") } else { format!("{:.3} s", millis / 1e3) }
}

async fn sign_with(client: &Client, event: &mut TargetedEvent, key: &Key) -> Result<(), Error> {
    event.sign(client.reserve_event().await?, key);
    Ok(())
}

/// Signs it once more if so many others were fired meanwhile that what was reserved for it is over.
async fn sign_and_send(client: &Client, event: &mut TargetedEvent, key: Option<&Key>) -> Result<(), Error> {
    let Some(key) = key else { return send(client, event).await };
    let mut left = ATTEMPTS;
    loop {
        sign_with(client, event, key).await?;
        left -= 1;
        match send(client, event).await {
            Err(Error::Refused(why)) if left > 0 && why == EventError::Outdated.to_string() => {}
            sent => return sent,
        }
    }
}

/// An event for all goes to agents of any kind.
async fn send(client: &Client, event: &TargetedEvent) -> Result<(), Error> {
    match event.filter_nodes.is_empty() && event.filter_tags.is_empty() && event.signed.is_none() {
        true => client.event(&event.name, &event.payload, event.coalesce).await,
        false => client.targeted_event(event).await,
    }
}

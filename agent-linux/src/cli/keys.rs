//! `serf keys`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory};
use serf_nostd::Key;

use super::connect::{RpcFlags, failed};
use super::{flags, ui};
use crate::agent::keys::KeyRequest;
use crate::agent::log::{in_one_line, printable};
use crate::agent::operators;
use crate::rpc::client::{Client, Error};
use crate::rpc::message::{Keys, Signed};

/// Changes the keys of all members of a cluster that is encrypted, or lists them.
///
/// To get from one key to another: install the new one, use it, remove the old one, each when all members have done the
/// step before. Boards and servers write their keys down before they say that it is done.
#[derive(clap::Parser)]
#[command(override_usage = "serf keys [options]")]
pub(super) struct Flags {
    /// Add a key: all members can then read what is encrypted with it
    #[arg(long, value_name = "<key>", default_value = "")]
    install: String,
    /// Encrypt with this key from now on, which all members must have
    #[arg(long, value_name = "<key>", default_value = "")]
    r#use: String,
    /// Forget a key, which no member may encrypt with any more
    #[arg(long, value_name = "<key>", default_value = "")]
    remove: String,
    /// List the keys, each with how many of the members have it, and who does not
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    list: bool,
    /// Use or remove a key even where a member would be left behind
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    force: bool,
    /// Sign the order with the private key in this file, which serf keygen -sign has written: where only operators may change keys. The
    /// file's key stays with this command
    #[arg(long, value_name = "<path>")]
    sign: Option<PathBuf>,
    #[command(flatten)]
    rpc: RpcFlags,
    #[arg(hide = true)]
    _ignored: Vec<OsString>,
}

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let Flags { install, r#use, remove, list, force, sign, rpc, .. } = match flags::parse(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let given = |text: String, order: fn(String) -> KeyRequest| (!text.is_empty()).then(|| order(text));
    let mut orders = [
        given(install, KeyRequest::Install),
        given(r#use, KeyRequest::Use),
        given(remove, KeyRequest::Remove),
        list.then_some(KeyRequest::List),
    ]
    .into_iter()
    .flatten();
    let order = match (orders.next(), orders.next()) {
        (Some(order), None) => order,
        (None, _) => {
            ui::say(flags::usage(&Flags::command()));
            return ExitCode::FAILURE;
        }
        (Some(_), Some(_)) => {
            ui::say("Only one of -install, -use, -remove, or -list allowed");
            return ExitCode::FAILURE;
        }
    };
    let key = match sign.as_deref().map(operators::load).transpose() {
        Err(error) => return failed("signing order", error),
        Ok(key) => key,
    };
    rpc.run(async |client| {
        let words = Words::of(&order);
        ui::say(format!("==> {}", words.begun));
        let behind = if force { Ok(None) } else { behind(&client, &order).await };
        match behind {
            Ok(None) => {}
            Ok(Some(why)) => {
                return words.tell(&Keys::default(), format!("{why}; with -force it is done all the same"));
            }
            Err(error) => return words.tell(&Keys::default(), error),
        }
        let signed = match signed(&client, &order, key.as_ref()).await {
            Ok(signed) => signed,
            Err(error) => return words.tell(&Keys::default(), error),
        };
        match client.keys(&order, signed).await {
            Err(error) => words.tell(&Keys::default(), error),
            Ok((keys, Some(error))) => words.tell(&keys, error),
            Ok((keys, None)) => {
                ui::say(format!("==> {}", words.done));
                note_unkept(&keys);
                if order == KeyRequest::List {
                    ui::say("");
                    list_keys(&keys, &away(&client).await.unwrap_or_default());
                }
                ExitCode::SUCCESS
            }
        }
    })
}

/// That an operator has signed an order, if one is to.
async fn signed(client: &Client, order: &KeyRequest, key: Option<&Key>) -> Result<Option<Signed>, String> {
    let Some(key) = key else { return Ok(None) };
    let reservation = client.reserve_query(0).await.map_err(|error| error.to_string())?;
    Ok(order.sign(reservation.try_into()?, key)?.map(Signed::from))
}

/// What is said of an order.
struct Words {
    begun: &'static str,
    done: &'static str,
    failed: &'static str,
}

impl Words {
    fn of(order: &KeyRequest) -> Words {
        let [begun, done, failed] = match order {
            KeyRequest::Install(_) => {
                ["Installing key on all members...", "Successfully installed key!", "Error installing key"]
            }
            KeyRequest::Use(_) => [
                "Changing primary key on all members...",
                "Successfully changed primary key!",
                "Error changing primary key",
            ],
            KeyRequest::Remove(_) => {
                ["Removing key on all members...", "Successfully removed key!", "Error removing key"]
            }
            KeyRequest::List => [
                "Asking all members for installed keys...",
                "Keys gathered, listing cluster keys...",
                "Failed to gather member keys",
            ],
        };
        Words { begun, done, failed }
    }

    /// Who could not do it, and what is wrong as a whole; the exit code for it.
    fn tell(&self, keys: &Keys, error: impl Display) -> ExitCode {
        let messages = keys.messages.iter().flatten();
        let width = messages.clone().map(|(name, _)| in_one_line(name).chars().count()).max().unwrap_or(0);
        for (name, message) in messages {
            ui::say(format!("failed:  {:<width$}  {}", in_one_line(name), in_one_line(message)));
        }
        note_unkept(keys);
        ui::say("");
        ui::say(printable(&format!("{}: {error}", self.failed)).as_bytes());
        ExitCode::FAILURE
    }
}

/// Whom an order would leave behind: who does not have the key that is to be used, or uses the one that is to be removed. What else
/// may be wrong, the order itself shows.
async fn behind(client: &Client, order: &KeyRequest) -> Result<Option<String>, Error> {
    let (KeyRequest::Use(key) | KeyRequest::Remove(key)) = order else { return Ok(None) };
    let (keys, error) = client.keys(&KeyRequest::List, None).await?;
    let names = |names: &[String]| in_one_line(&names.join(", ")).into_owned();
    if keys.num_err == keys.num_nodes {
        return Ok(None);
    }
    if let Some(error) = error {
        let missing: Vec<String> = keys.messages.unwrap_or_default().into_keys().collect();
        return Ok(Some(format!("{error}; nothing is known of {}", names(&missing))));
    }
    let of = |all: Option<BTreeMap<String, Vec<String>>>| {
        all.and_then(|mut all| all.remove(key)).filter(|names| !names.is_empty())
    };
    Ok(match order {
        KeyRequest::Use(_) => {
            of(keys.lacking).map(|lacking| format!("{} does not have it: install it first", names(&lacking)))
        }
        _ => match of(keys.primary) {
            Some(users) => Some(format!("{} encrypts with it still: use the new one first", names(&users))),
            None => Some(away(client).await?)
                .filter(|away| !away.is_empty())
                .map(|away| format!("failed, and perhaps without another key: {}", names(&away))),
        },
    })
}

/// Who keeps keys nowhere: with the first start all is as it was.
fn note_unkept(keys: &Keys) {
    if let Some(names) = &keys.unkept {
        let names = in_one_line(&names.join(", ")).into_owned();
        // Where no script reads what Serf says.
        ui::complain(&format!("Without a -keyring-file, and so not after a restart: {names}"));
    }
}

/// Members that have failed: nobody asks them, and they may come back with the keys that they had.
async fn away(client: &Client) -> Result<Vec<String>, Error> {
    let failed = client.members().await?.into_iter().filter(|member| member.status == "failed");
    let mut names: Vec<String> = failed.map(|member| member.name).collect();
    names.sort();
    Ok(names)
}

fn list_keys(keys: &Keys, away: &[String]) {
    for (key, count) in keys.keys.iter().flatten() {
        ui::say(format!("{}  [{count}/{}]", in_one_line(key), keys.num_resp));
        if let Some(names) = keys.lacking.as_ref().and_then(|lacking| lacking.get(key)) {
            ui::say(format!("  not on: {}", in_one_line(&names.join(", "))));
        }
    }
    for (key, names) in keys.primary.iter().flatten() {
        ui::say(format!("  {} encrypt with {}", in_one_line(&names.join(", ")), in_one_line(key)));
    }
    if !away.is_empty() {
        ui::say(format!("  failed, and not asked: {}", in_one_line(&away.join(", "))));
    }
}

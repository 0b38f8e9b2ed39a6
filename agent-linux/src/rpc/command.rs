//! The commands of the RPC: their names, which have a body, and what follows when one is refused.

use std::collections::BTreeMap;

use super::message::{Found, Joined, Keys, Members, Receipts, Reservation, Stats, Why};
use super::wire;

/// A command of Serf's RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Handshake,
    Auth,
    Event,
    TargetedEvent,
    EventReceipts,
    ReserveEvent,
    ReserveQuery,
    Query,
    Respond,
    Join,
    Members,
    MembersFiltered,
    Leave,
    ForceLeave,
    Tags,
    Coordinate,
    Why,
    Stream,
    Monitor,
    Stop,
    Stats,
    InstallKey,
    UseKey,
    RemoveKey,
    ListKeys,
}

impl Command {
    /// The command of this name.
    pub(super) fn named(name: &str) -> Option<Command> {
        Some(match name {
            "handshake" => Command::Handshake,
            "auth" => Command::Auth,
            "event" => Command::Event,
            "targeted-event" => Command::TargetedEvent,
            "event-receipts" => Command::EventReceipts,
            "reserve-event" => Command::ReserveEvent,
            "reserve-query" => Command::ReserveQuery,
            "join" => Command::Join,
            "members" => Command::Members,
            "members-filtered" => Command::MembersFiltered,
            "leave" => Command::Leave,
            "force-leave" => Command::ForceLeave,
            "stream" => Command::Stream,
            "monitor" => Command::Monitor,
            "stop" => Command::Stop,
            "stats" => Command::Stats,
            "tags" => Command::Tags,
            "query" => Command::Query,
            "respond" => Command::Respond,
            "install-key" => Command::InstallKey,
            "use-key" => Command::UseKey,
            "remove-key" => Command::RemoveKey,
            "list-keys" => Command::ListKeys,
            "why" => Command::Why,
            "get-coordinate" => Command::Coordinate,
            _ => return None,
        })
    }

    /// Whether a body follows the request's header.
    pub(super) fn has_body(self) -> bool {
        use Command::*;
        !matches!(self, Members | Leave | Stats | ListKeys | ReserveEvent)
    }

    /// What follows the header of a refusal. A Go client that waits for an answer with a body waits for it also after
    /// an error, unless that is `Authentication required`.
    pub(super) fn empty_answer(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Command::EventReceipts => wire::encode(&mut bytes, &Receipts::default()),
            Command::ReserveEvent | Command::ReserveQuery => {
                wire::encode(&mut bytes, &Reservation::default());
            }
            Command::Join => wire::encode(&mut bytes, &Joined::default()),
            Command::Members | Command::MembersFiltered => wire::encode(&mut bytes, &Members::default()),
            Command::Stats => wire::encode(&mut bytes, &Stats::new()),
            Command::InstallKey | Command::UseKey | Command::RemoveKey | Command::ListKeys => {
                wire::encode(&mut bytes, &Keys { messages: Some(BTreeMap::new()), ..Keys::default() })
            }
            Command::Why => wire::encode(&mut bytes, &Why::default()),
            Command::Coordinate => wire::encode(&mut bytes, &Found::default()),
            _ => {}
        }
        bytes
    }
}

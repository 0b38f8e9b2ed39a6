//! What the agent shows to its users: members and events, owned, as the RPC, the handlers and the CLI need them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serf_nostd::What;

use super::log::in_one_line;
use super::query::Question;

/// Serf's member states, with the names that Serf prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Known by name only.
    None,
    /// Answers, or is believed to.
    Alive,
    /// Has announced that it leaves.
    Leaving,
    /// Has left.
    Left,
    /// Stopped answering.
    Failed,
}

impl Status {
    /// The word that `serf members` prints.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::None => "none",
            Status::Alive => "alive",
            Status::Leaving => "leaving",
            Status::Left => "left",
            Status::Failed => "failed",
        }
    }
}

/// One member as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node's name, unique in the cluster.
    pub name: String,
    /// Advertised address.
    pub addr: IpAddr,
    /// Advertised port.
    pub port: u16,
    /// The node's tags.
    pub tags: BTreeMap<String, String>,
    /// What this node believes about it.
    pub status: Status,
    /// Versions: memberlist min, max, current, then Serf min, max, current.
    pub versions: [u8; 6],
}

/// How a member came to its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// As it is now.
    pub status: Status,
    /// What has happened to it, the oldest first: the latest 8,192 changes of all members are remembered.
    pub changes: Vec<Change>,
}

/// Something that has happened to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When this agent learnt it, by the system's clock as it is now.
    pub at: SystemTime,
    /// What.
    pub what: What,
    /// By whose word.
    pub by: Option<String>,
    /// See [`What`].
    pub number: u32,
}

/// The sections of `serf info`, all values as text.
pub type Stats = BTreeMap<String, BTreeMap<String, String>>;

/// Those sections as `serf info` prints them.
pub fn stats_text(stats: &Stats) -> String {
    let mut text = String::new();
    for (section, values) in stats {
        text += &format!("{section}:\n");
        for (key, value) in values {
            text += &format!("\t{} = {}\n", in_one_line(key), in_one_line(value));
        }
    }
    text
}

/// What happened to members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberEventKind {
    /// Came, or came back.
    Join,
    /// Left in good order.
    Leave,
    /// Was declared failed.
    Failed,
    /// Changed its tags.
    Update,
    /// Was erased after its timeout.
    Reap,
}

impl MemberEventKind {
    /// Serf's name of the event, as in `SERF_EVENT` and on RPC streams.
    pub fn as_str(self) -> &'static str {
        match self {
            MemberEventKind::Join => "member-join",
            MemberEventKind::Leave => "member-leave",
            MemberEventKind::Failed => "member-failed",
            MemberEventKind::Update => "member-update",
            MemberEventKind::Reap => "member-reap",
        }
    }
}

/// What the core hands out, for handlers and RPC streams.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A change of one or more members.
    Member {
        /// What happened.
        kind: MemberEventKind,
        /// To whom; never empty.
        members: Vec<Member>,
    },
    /// A user event.
    User {
        /// Lamport time it was stamped with.
        ltime: u64,
        /// Name, any bytes.
        name: Vec<u8>,
        /// Payload, any bytes.
        payload: Vec<u8>,
        /// Whether the sender allowed coalescing.
        coalesce: bool,
    },
    /// Somebody asks, and this node is meant.
    Query(Arc<Question>),
}

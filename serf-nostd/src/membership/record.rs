//! One member: what is held about it, and how it is shown.

use core::net::SocketAddr;

use crate::filter;
use crate::slice::{Link, Linked, Timed};
use crate::time::Instant;
use crate::wire::message::{Address, Alive, Settled, Versions};

/// What failure detection believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
#[repr(u8)]
pub(crate) enum State {
    Alive,
    Suspect,
    Failed,
    Left,
}

/// Serf's member states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Status {
    /// Answers, or is believed to.
    Alive,
    /// Has announced that it leaves.
    Leaving,
    /// Has left.
    Left,
    /// Stopped answering.
    Failed,
}

/// What happened to a member, in Serf's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MemberChange {
    /// Came, or came back.
    Join,
    /// Left in good order.
    Leave,
    /// Was declared failed.
    Failed,
    /// Changed its tags.
    Update,
    /// Was forgotten after its timeout.
    Reap,
}

/// A member as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Member<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its advertised address.
    pub addr: SocketAddr,
    /// Its tags, encoded as on Go Serf's wire (0xff, then a MessagePack map); empty if they are too long to be held.
    pub tags: &'a [u8],
    /// What this node believes about it.
    pub status: Status,
    /// Its incarnation.
    pub incarnation: u32,
    /// Versions it speaks.
    pub versions: Versions,
}

impl Member<'_> {
    /// The value of a tag; `None` if it has none of this name, or what stands there is no text.
    pub fn tag(&self, name: &str) -> Option<&str> {
        filter::value(self.tags, name)
    }
}

/// Bits of [`Hot::flags`].
pub(crate) mod flag {
    /// Has said that it leaves, or was told to.
    pub const LEAVING: u8 = 1;
    /// Its tags stand in the table; else they were too long, or not told.
    pub const TAGS_HELD: u8 = 2;
    /// Its tags were left out by the teller: a fuller record is wanted.
    pub const TAGS_WANTED: u8 = 4;
    /// The verdict was reached while hearing nobody: shown, not told.
    pub const LOCAL_ONLY: u8 = 8;
    /// It has answered us at its address.
    pub const VERIFIED: u8 = 16;
    /// To be erased with its leave.
    pub const PRUNE: u8 = 32;
    /// Too old to be told or compared; about to be forgotten.
    pub const UNADVERTISED: u8 = 64;
    /// Its tags have changed since the application was last told of it.
    pub const TAGS_CHANGED: u8 = 128;
}

/// What is waiting to be said about a member; bits of [`Cold::update`].
pub(crate) mod update {
    /// Its state: alive, suspect, dead or left.
    pub const STATE: u8 = 1;
    /// A join intent with its status time.
    pub const JOIN: u8 = 2;
    /// A leave intent with its status time.
    pub const LEAVE: u8 = 4;
}

/// What the application was last told, and whether more is waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
#[repr(u8)]
pub(crate) enum LastNotified {
    Nothing,
    /// Nothing either, though it has failed or left: its history begins with its next join.
    Unmet,
    Joined,
    Left,
    Failed,
}

/// One place in the table: a member without its texts, in 64 bytes. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Hot {
    pub(crate) boot: u64,
    pub(crate) status_ltime: u64,
    pub(crate) hash: u32,
    pub(crate) incarnation: u32,
    /// Of the tags as the member told them, whether they are held or not.
    pub(crate) tags_hash: u32,
    pub(crate) addr: Address,
    pub(crate) tags_len: u16,
    /// Among those of whom the application is to be told; of a free place: among the free ones.
    pub(crate) notice_link: Link,
    pub(crate) versions: Versions,
    pub(crate) name_len: u8,
    state: State,
    pub(crate) flags: u8,
    pub(crate) last_notified: LastNotified,
}

/// What is held about a member only while it does not simply live: while it is suspected, failed or left, or there is
/// news about it to pass on. A healthy fleet's cold records are empty, and memory that comes zeroed stays untouched. Opaque
/// outside the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Cold {
    /// Suspect: when it fails. Failed or left: when it is told of no more, then when it is forgotten.
    pub(crate) deadline: Instant,
    /// Since when it has been suspect, has failed or left.
    pub(crate) since: Instant,
    /// Who last accused it, plus one; 0: nobody.
    accuser: u16,
    heap_place: u16,
    pub(crate) gossip_link: Link,
    pub(crate) update: u8,
    pub(crate) sends: u8,
    /// Distinct accusers behind the first.
    pub(crate) confirmations: u8,
}

// One line of a server's cache; and what a device pays for each member, texts aside.
const _: () = assert!(size_of::<Hot>() == 64 && size_of::<Cold>() == 32);

impl Hot {
    /// A free place.
    pub const EMPTY: Hot = Hot {
        boot: 0,
        status_ltime: 0,
        hash: 0,
        incarnation: 0,
        tags_hash: 0,
        addr: Address::UNSET,
        tags_len: 0,
        notice_link: Link::LOOSE,
        versions: [0; 6],
        name_len: 0,
        state: State::Alive,
        flags: 0,
        last_notified: LastNotified::Nothing,
    };

    /// A place just taken, by somebody of whom no more than the name is known.
    pub(crate) fn named(hash: u32, name_len: u8) -> Hot {
        Hot { hash, name_len, state: State::Left, ..Hot::EMPTY }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// For [`super::transitions`] alone.
    pub(super) fn set_state(&mut self, state: State) {
        self.state = state;
    }

    /// In which life and incarnation it is known to be.
    pub(crate) fn life(&self) -> (u64, u32) {
        (self.boot, self.incarnation)
    }

    /// Takes over what it says of itself, but for its tags.
    pub(super) fn take_over(&mut self, alive: &Alive<'_>) {
        (self.boot, self.incarnation, self.addr, self.versions) =
            (alive.boot, alive.incarnation, alive.addr, alive.versions);
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn set(&mut self, flag: u8, on: bool) {
        if on { self.flags |= flag } else { self.flags &= !flag }
    }

    /// Alive or suspect: probed, and a receiver of gossip.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, State::Alive | State::Suspect)
    }

    /// Whether the application is to be told something about it.
    pub(crate) fn has_notice(&self) -> bool {
        !self.notice_link.is_loose()
    }

    /// To be erased: shown to nobody any more, and remembered so that others do not bring it back.
    pub(crate) fn is_pruned(&self) -> bool {
        self.has(flag::PRUNE) && self.has(flag::UNADVERTISED)
    }

    pub(crate) fn status(&self) -> Status {
        match self.state {
            State::Alive | State::Suspect if self.has(flag::LEAVING) => Status::Leaving,
            State::Alive | State::Suspect => Status::Alive,
            State::Failed => Status::Failed,
            State::Left => Status::Left,
        }
    }

    /// The state as it is compared and told: without suspicion, and without private verdicts.
    pub(crate) fn settled(&self) -> Settled {
        match self.status() {
            Status::Failed if self.has(flag::LOCAL_ONLY) => Settled::Alive,
            Status::Alive => Settled::Alive,
            Status::Leaving => Settled::Leaving,
            Status::Failed => Settled::Failed,
            Status::Left => Settled::Left,
        }
    }

    /// Whether somebody tells another address or other tags of it.
    pub(crate) fn tells_otherwise(&self, alive: &Alive<'_>) -> bool {
        let other_tags = |tags| crate::hash::bytes(tags) as u32 != self.tags_hash;
        alive.addr != self.addr || alive.tags.is_some_and(other_tags)
    }

    /// Hash of the last that it has said of itself, as far as it is held, and of whether it leaves.
    pub(crate) fn known(&self) -> [u8; 4] {
        let incarnation = self.incarnation ^ (self.has(flag::LEAVING) as u32) << 31;
        let said = crate::hash::mix(self.boot ^ (incarnation as u64).rotate_right(32));
        if self.has(flag::TAGS_WANTED) { [0; 4] } else { (said as u32).to_le_bytes() }
    }

    /// Hash of everything that two nodes must agree on about this member.
    pub(crate) fn version(&self) -> u32 {
        let state = (self.incarnation as u64) << 8 | self.settled() as u64;
        let mut hash = crate::hash::mix(state ^ (self.hash as u64) << 32);
        hash = crate::hash::mix(hash ^ self.boot);
        hash = crate::hash::mix(hash ^ self.status_ltime);
        // Tags that nobody has told yet count as none that there could be.
        let tags = if self.has(flag::TAGS_WANTED) { u32::MAX as u64 + 1 } else { self.tags_hash as u64 };
        (crate::hash::mix(hash ^ tags << 31 ^ self.addr.hash() as u64) >> 32) as u32
    }
}

impl Cold {
    /// Nothing held.
    pub const EMPTY: Cold = Cold {
        deadline: Instant::PAST,
        since: Instant::PAST,
        accuser: 0,
        heap_place: 0,
        gossip_link: Link::LOOSE,
        update: 0,
        sends: 0,
        confirmations: 0,
    };

    /// Who last accused it.
    pub(crate) fn accuser(&self) -> Option<u16> {
        self.accuser.checked_sub(1)
    }

    pub(crate) fn set_accuser(&mut self, accuser: Option<u16>) {
        self.accuser = accuser.map_or(0, |id| id + 1);
    }

    /// A first accusation, or none.
    pub(crate) fn accuse(&mut self, accuser: Option<u16>) {
        self.set_accuser(accuser);
        self.confirmations = 0;
    }

    pub(crate) fn is_accused(&self) -> bool {
        (self.accuser, self.confirmations) != (0, 0)
    }

    pub(crate) fn is_timed(&self) -> bool {
        self.heap_place != 0
    }
}

impl Timed for Cold {
    fn deadline(&self) -> Instant {
        self.deadline
    }
    fn place(&mut self) -> &mut u16 {
        &mut self.heap_place
    }
}

/// Which list: what is to be gossiped.
pub(crate) const GOSSIP: usize = 0;
/// Which list: what the application is to be told.
pub(crate) const NOTICES: usize = 1;

impl Linked<GOSSIP> for Cold {
    fn link(&mut self) -> &mut Link {
        &mut self.gossip_link
    }
}

impl Linked<NOTICES> for Hot {
    fn link(&mut self) -> &mut Link {
        &mut self.notice_link
    }
}

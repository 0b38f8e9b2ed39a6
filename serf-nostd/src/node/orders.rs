//! What the application can order: events, joining, leaving, tags.

use core::error::Error;
use core::fmt;
use core::net::SocketAddr;

use super::{Joined, Leave, Node};
use crate::event::store::{Pin, list};
use crate::gossip::heal::{JOINS, Joining};
use crate::member::record::{State, flag, say};
use crate::member::table::SELF;
use crate::rules::Rule;
use crate::time::{Duration, Instant};
use crate::wire::message::{Address, EventId, Message, TAGS_MAX, UserEvent};
use crate::wire::packet::DATAGRAM_MAX;

/// Why an event was not accepted. Nothing of it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EventError {
    /// Name and payload together are longer than this many bytes.
    TooLong(u16),
    /// Encoded (as Go Serf encodes it) it is longer than this many bytes.
    TooLongEncoded(u16),
    /// As many own events as may be are still on their way, or the fleet can take no more for now: try again each time
    /// that [`Node::poll`] asks to be called.
    Full,
    /// The first join has not been answered yet: try again.
    Starting,
    /// The event clock has come to its end: forged times have used up 2^62. Only a new fleet helps.
    ClockExhausted,
    /// The node is leaving or has left.
    Left,
}

/// Why a join was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum JoinError {
    /// Too many joins are running (8): try again when one has been told of.
    Busy,
    /// The node is leaving or has left.
    Left,
}

/// Why a leave was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LeaveError {
    /// It is leaving already, or has left.
    AlreadyLeaving,
}

/// Why tags were not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TagsError {
    /// Longer than 512 bytes, or than this storage holds.
    TooLong,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventError::TooLong(limit) => write!(f, "name and payload are longer than {limit} bytes"),
            EventError::TooLongEncoded(limit) => write!(f, "encoded it is longer than {limit} bytes"),
            EventError::Full => f.write_str("too many events are on their way: try again later"),
            EventError::Starting => f.write_str("the first join has not been answered yet: try again later"),
            EventError::ClockExhausted => {
                f.write_str("the event clock has come to its end: only a new fleet helps")
            }
            EventError::Left => f.write_str("the node is leaving or has left"),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinError::Busy => "too many joins are running: try again when one has been told of",
            JoinError::Left => "the node is leaving or has left",
        })
    }
}

impl fmt::Display for LeaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LeaveError::AlreadyLeaving => "the node is leaving already, or has left",
        })
    }
}

impl fmt::Display for TagsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TagsError::TooLong => "the tags are longer than 512 bytes, or than the storage's",
        })
    }
}

impl Error for EventError {}
impl Error for JoinError {}
impl Error for LeaveError {}
impl Error for TagsError {}

/// How long the word that a member is pruned may take to reach everybody.
const PRUNE_SPREADS: Duration = Duration::from_secs(5);

impl Node<'_> {
    /// Fires a user event and returns its Lamport time. It is handed to this node's application at once (or coalesced),
    /// sent by the next polls, and held until others have shown that they have it. If this node ends before those polls, or
    /// before any of their datagrams has come, the event ends with it; afterwards the others spread it without it.
    ///
    /// # Errors
    /// [`EventError`]; see there what to do.
    pub fn user_event(
        &mut self,
        now: Instant,
        name: &[u8],
        payload: &[u8],
        coalesce: bool,
    ) -> Result<u64, EventError> {
        self.finish_erasing(now);
        self.wake(now);
        if self.leave.is_some() {
            return Err(EventError::Left);
        }
        if self.starting.is_some() {
            return Err(EventError::Starting);
        }
        let len = name.len() + payload.len();
        if self.clocks.event.is_exhausted() {
            return Err(EventError::ClockExhausted);
        }
        let limit = self.event_limit();
        if len > limit as usize {
            return Err(EventError::TooLong(limit));
        }
        if go_encoded_len(self.clocks.event.now(), name, payload) > limit as usize {
            return Err(EventError::TooLongEncoded(limit));
        }
        let quarters = if self.is_cut_off(now) { 3 } else { 1 };
        let room = !self.store.quota_full(Pin::Application, len)
            && (!self.store.quarters_full(Pin::Own, quarters, len) || self.expire_own(now));
        let beat = if self.config.has(Rule::RoundTrip) { self.detector.round_trip() } else { Duration::ZERO };
        // Last, as it counts what it lets pass.
        if !room || (self.config.has(Rule::SourceRate) && !self.rate.fire(now, self.live(), beat)) {
            self.stats.events_full += 1;
            return Err(EventError::Full);
        }
        let id = EventId { ltime: self.clocks.event.now(), origin: self.origin };
        let event = UserEvent { id, coalesce, name, payload };
        let mut dropped = 0;
        let Some(slot) = self.store.put(&event, now, list::OWN, &mut dropped) else {
            self.stats.events_full += 1;
            return Err(EventError::Full);
        };
        self.stats.store_dropped += dropped;
        self.clocks.event.stamp();
        self.stats.events_fired += 1;
        self.store.pin(slot, Pin::Own);
        self.record(now, id);
        self.hand_over(now, slot);
        if !self.config.has(Rule::OriginHold) {
            self.store.release_own(slot);
        }
        Ok(id.ltime)
    }

    /// Longest event, name and payload together, that this node takes: by its settings, and by its memory.
    pub(super) fn event_limit(&self) -> u16 {
        self.config.event_size_limit.min(self.store.longest().min(u16::MAX as usize) as u16)
    }

    /// With nobody there to hear, the oldest own event makes room for a new one.
    fn expire_own(&mut self, now: Instant) -> bool {
        if self.members.table.live() > 0 {
            return false;
        }
        let oldest = self.store.first(list::OWN_HELD).or_else(|| self.store.first(list::OWN));
        let Some(slot) = oldest.filter(|slot| now > self.store.since(*slot)) else { return false };
        self.store.release_own(slot);
        self.stats.own_expired += 1;
        true
    }

    /// Starts as a member of an existing fleet: joins through `seeds` (8 at most are used), and neither accepts nor
    /// delivers events before the first answer, or until the join timeout has passed and it starts alone. The seeds are
    /// tried again for ever, so that a fleet that was cut in two finds together.
    pub fn start(&mut self, now: Instant, seeds: &[SocketAddr]) {
        if seeds.is_empty() {
            return;
        }
        self.starting = Some(now + self.config.join_timeout);
        for seed in seeds.iter().take(JOINS) {
            let _ = self.join(now, *seed, self.config.replay);
        }
        if self.heal.joins.is_empty() {
            // Its own address only: there is nobody to wait for.
            self.starting = None;
        }
    }

    /// Joins a fleet through one of its members. [`super::Event::Joined`] or [`super::Event::JoinFailed`] follows.
    /// `replay`: events from before the join are wanted; a node that is in a fleet with others already gets none. The address is
    /// remembered as a seed.
    ///
    /// # Errors
    /// [`JoinError`]; nothing was begun.
    pub fn join(&mut self, now: Instant, addr: SocketAddr, replay: bool) -> Result<(), JoinError> {
        if self.leave.is_some() {
            return Err(JoinError::Left);
        }
        let to = Address::from(addr);
        if to == self.members.table.slot(SELF).addr {
            return self.told_joins.push_back(Joined::Yes(to)).map_err(|_| JoinError::Busy);
        }
        let nonce = self.random.next() as u32;
        let deadline = now + self.config.join_timeout;
        let (quiet, named, limit) = (false, true, DATAGRAM_MAX as u16);
        let joining = Joining { to, nonce, replay, quiet, named, limit, due: now, deadline };
        if self.heal.joins.is_full()
            && let Some(quiet) = self.heal.joins.iter().position(|join| join.quiet)
        {
            // Nobody waits for that one, and it is tried again.
            self.heal.joins.swap_remove(quiet);
        }
        self.heal.joins.push(joining).map_err(|_| JoinError::Busy)?;
        if !self.heal.seeds.contains(&to) {
            if self.heal.seeds.is_full() {
                self.heal.seeds.remove(0);
            }
            let _ = self.heal.seeds.push(to);
        }
        Ok(())
    }

    /// Gives up what [`Node::join`] has begun with this address and nobody has answered: nothing follows. It stays a seed.
    pub fn cancel_join(&mut self, addr: SocketAddr) {
        let to = Address::from(addr);
        self.heal.joins.retain(|join| join.quiet || join.to != to);
    }

    /// Leaves the fleet in good order. [`super::Event::Left`] follows when the word has spread; then the node can be
    /// released.
    ///
    /// # Errors
    /// [`LeaveError`] if it is leaving already.
    pub fn leave(&mut self, now: Instant) -> Result<(), LeaveError> {
        if self.leave.is_some() {
            return Err(LeaveError::AlreadyLeaving);
        }
        self.finish_erasing(now);
        let ltime = self.clocks.member.stamp();
        self.members.table.edit(SELF, |slot| {
            slot.status_ltime = ltime;
            slot.set(flag::LEAVING, true);
        });
        if self.members.table.live() == 0 {
            // Nobody has to hear of it.
            self.has_left(now);
            self.leave = Some(Leave::Linger(now));
        } else {
            self.say(SELF, say::LEAVE);
            self.leave = Some(Leave::Intent(now + self.config.leave_propagate));
        }
        Ok(())
    }

    /// Declares a failed member as left, or (if it lives after all) asks it to say so. Unknown names are no error.
    /// `prune`: its record is erased everywhere.
    pub fn force_leave(&mut self, now: Instant, name: &str, prune: bool) {
        self.finish_erasing(now);
        let ltime = self.clocks.member.stamp();
        let intent = crate::wire::message::LeaveIntent { ltime, node: name, prune };
        let (members, mut moment) = self.moment(now);
        let effect = members.leave_intent(&mut moment, &intent);
        // Others may know whom this node does not.
        self.follow_about(now, effect, &Message::LeaveIntent(intent));
    }

    /// Erases a member that an intent to prune has reached, once it is no longer live and the word has spread. Until then
    /// it is told to nobody and compared with nobody, so that none brings it back.
    pub(super) fn prune(&mut self, now: Instant, id: u16) {
        let slot = self.members.table.slot(id);
        if id != SELF && slot.has(flag::PRUNE) && !slot.is_live() && !slot.has(flag::FADED) {
            self.members.table.untime(id);
            self.members.table.edit(id, |slot| slot.set(flag::FADED, true));
            self.members.table.time(id, now + PRUNE_SPREADS);
        }
    }

    /// Replaces this node's tags (encoded, as in [`super::Identity`]) and spreads them.
    ///
    /// # Errors
    /// [`TagsError`]; the old ones stay.
    pub fn set_tags(&mut self, now: Instant, tags: &[u8]) -> Result<(), TagsError> {
        if tags.len() > TAGS_MAX.min(self.members.table.tags_room()) {
            return Err(TagsError::TooLong);
        }
        if self.members.table.set_tags(SELF, Some(tags)) {
            self.members.table.slot_mut(SELF).set(flag::TAGS_CHANGED, true);
            self.members.table.edit(SELF, |slot| slot.incarnation = slot.incarnation.saturating_add(1));
            self.members.telling.note(self.members.table.slots, SELF, now);
            self.say(SELF, say::STATE);
        }
        Ok(())
    }

    /// Takes the next step of leaving, when its time has come. True once there is none left: all have had time to hear of it.
    pub(super) fn advance_leave(&mut self, now: Instant) -> bool {
        let said = self.members.table.case(SELF).say == 0;
        match self.leave {
            Some(Leave::Intent(until)) if said || now >= until => {
                self.has_left(now);
                self.say(SELF, say::STATE);
                self.leave = Some(Leave::Left(now + self.config.leave_propagate));
                false
            }
            Some(Leave::Left(until)) if said || now >= until => {
                self.leave = Some(Leave::Linger(now + self.config.leave_propagate));
                false
            }
            Some(Leave::Linger(until)) => now >= until,
            _ => false,
        }
    }

    fn has_left(&mut self, now: Instant) {
        self.members.table.edit(SELF, |slot| slot.state = State::Left);
        self.members.telling.note(self.members.table.slots, SELF, now);
    }

    pub(super) fn leave_deadline(&self) -> Instant {
        match self.leave {
            Some(Leave::Intent(until) | Leave::Left(until)) if self.members.table.case(SELF).say != 0 => {
                until
            }
            Some(Leave::Intent(_) | Leave::Left(_)) => Instant::PAST,
            Some(Leave::Linger(until)) => until,
            Some(Leave::Done) | None => Instant::FAR,
        }
    }
}

/// How long Go Serf's encoding of an event is, in bytes: its limit is on this, on every wire.
fn go_encoded_len(ltime: u64, name: &[u8], payload: &[u8]) -> usize {
    let int = match ltime {
        0..128 => 1,
        128..256 => 2,
        256..65_536 => 3,
        65_536..4_294_967_296 => 5,
        _ => 9,
    };
    let raw = |len: usize| match len {
        0..32 => 1 + len,
        32..65_536 => 3 + len,
        _ => 5 + len,
    };
    // Type byte, map head, then CC, LTime, Name, Payload with their keys.
    2 + (3 + 1) + (6 + int) + (5 + raw(name.len())) + (8 + raw(payload.len()))
}

#[cfg(test)]
mod tests {
    use super::go_encoded_len;

    #[test]
    fn the_encoded_length_is_that_of_go() {
        // Captured: 08 03 84 a2CC c3 a5LTime 01 a4Name a6"deploy" a7Payload a3"123", without the leading 08.
        assert_eq!(go_encoded_len(1, b"deploy", b"123"), 37);
        // 30 bytes over name and payload while LTime < 128 and the payload is long.
        assert_eq!(go_encoded_len(1, b"x", &[0; 481]), 512);
        assert_eq!(go_encoded_len(u64::MAX, b"x", &[0; 473]), 512);
    }
}

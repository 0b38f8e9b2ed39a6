//! What others are told about members: SWIM's dissemination, in which each update rides in a bounded number of datagrams.
//!
//! A member stands in the queue at most once, so the queue is bounded by the table: a newer update about it replaces the
//! older. Least-sent first (SWIM, section 4.1).

use super::Membership;
use super::record::{Cold, GOSSIP, State, flag, update};
use super::table::{SELF, Table};
use crate::config::Config;
use crate::slice::List;
use crate::time::{Duration, Instant};
use crate::wire::message::{Accusation, Alive, JoinIntent, LeaveIntent, Message, Ping, Record};
use crate::wire::packet::Packet;

/// Most transmissions of one update: `retransmit_mult * ceil(log10(n + 1))` is cut to it.
const SENDS_MAX: usize = 24;
/// Verdicts of this node's that wait for their round.
pub(crate) const VERDICTS: usize = 4;
/// When somebody has failed so many rounds follow each other quickly: as many datagrams as ever, but sooner.
const HURRIED: u8 = 3;
const QUICK: Duration = Duration::from_millis(30);
/// How many updates that don't fit end the search for one that does.
const PASSED_OVER: u32 = 4;
/// With less room than this a datagram is full.
const SHORTEST: usize = 24;

pub(crate) struct UpdateQueue {
    /// By the number of sends so far.
    lists: [List<GOSSIP>; SENDS_MAX],
    /// When the next round of gossip is due, while there is something to say.
    pub(crate) next: Instant,
    /// What this node has to say of itself (bits of [`update`]) goes to many members at once, besides the usual gossip: who
    /// joins, leaves or contradicts wants to be heard before timers run out.
    pub(crate) urgent: u8,
    /// So do its verdicts: members that it has declared failed.
    pub(crate) verdicts: heapless::Vec<u16, VERDICTS>,
    /// Not before this: whoever provokes it must not draw a flood.
    pub(crate) urgent_after: Instant,
    /// How many of the next rounds follow each other quickly.
    hurried: u8,
    /// When the last round was.
    last: Instant,
}

impl UpdateQueue {
    pub(crate) const fn new() -> Self {
        let lists = [const { List::new() }; SENDS_MAX];
        UpdateQueue {
            lists,
            next: Instant::PAST,
            urgent: 0,
            verdicts: heapless::Vec::new(),
            urgent_after: Instant::PAST,
            hurried: 0,
            last: Instant::PAST,
        }
    }

    /// Somebody has failed, as was not known here: that is passed on at once.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.hurried = HURRIED;
        self.next = self.next.min(now.max(self.last + QUICK));
    }

    /// A round begins.
    pub(crate) fn begin_round(&mut self, now: Instant, interval: Duration) {
        let quick = self.hurried > 0;
        self.hurried = self.hurried.saturating_sub(1);
        (self.last, self.next) = (now, now + if quick { QUICK.min(interval) } else { interval });
    }

    /// Whether something is to be told to many at once.
    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent != 0 || !self.verdicts.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lists.iter().all(|list| list.is_empty())
    }

    pub(crate) fn len(&self) -> usize {
        self.lists.iter().map(|list| list.len()).sum()
    }

    /// There is something to say about a member: bits of [`update`].
    fn push(&mut self, members: &mut [Cold], id: u16, bits: u8) {
        let waiting = members[id as usize].update;
        self.drop(members, id);
        let member = &mut members[id as usize];
        // Of the intents the later one counts.
        let kept = if bits & (update::JOIN | update::LEAVE) != 0 { waiting & update::STATE } else { waiting };
        (member.update, member.sends) = (kept | bits, 0);
        self.lists[0].push_back(members, id);
    }

    /// There is nothing more to say about a member.
    pub(crate) fn drop(&mut self, members: &mut [Cold], id: u16) {
        let member = &mut members[id as usize];
        if member.update != 0 {
            let sends = member.sends as usize;
            member.update = 0;
            self.lists[sends].remove(members, id);
        }
    }

    /// An update has been sent once more; it leaves after `limit` times.
    fn sent(&mut self, members: &mut [Cold], id: u16, limit: usize) {
        let bits = members[id as usize].update;
        let sends = members[id as usize].sends as usize + 1;
        self.drop(members, id);
        if sends < limit.min(SENDS_MAX) {
            (members[id as usize].update, members[id as usize].sends) = (bits, sends as u8);
            self.lists[sends].push_back(members, id);
        }
    }
}

impl Membership<'_> {
    /// Others are to be told of a member: these bits of [`update`].
    pub(crate) fn queue_update(&mut self, id: u16, bits: u8) {
        self.updates.push(self.table.cold, id, bits);
        if id == SELF {
            self.updates.urgent |= bits;
        }
    }

    /// This node has declared a member failed: many are told at once.
    pub(crate) fn queue_verdict(&mut self, id: u16, now: Instant) {
        self.queue_update(id, update::STATE);
        self.updates.hurry(now);
        // Beyond that gossip does.
        let _ = self.updates.verdicts.push(id);
    }

    /// As many updates as fit, least-sent first; counted as sent.
    pub(crate) fn write_updates(&mut self, packet: &mut Packet<'_>, config: &Config) {
        let limit = self.transmissions(config);
        // Those of this datagram: what is sent moves on to the next list, and is not met there again.
        let counts: [u16; SENDS_MAX] = core::array::from_fn(|sends| self.updates.lists[sends].len() as u16);
        // A few that are too long may be passed over for shorter ones; not the whole queue.
        let mut passed_over = 0;
        for (sends, count) in counts.into_iter().enumerate() {
            let mut at = self.updates.lists[sends].head();
            for _ in 0..count {
                let Some(id) = at else { break };
                at = self.updates.lists[sends].after(self.table.cold, id);
                let bits = self.table.cold(id).update;
                if !write_update(packet, &self.table, id, bits) {
                    passed_over += 1;
                    if passed_over == PASSED_OVER {
                        return;
                    }
                    continue;
                }
                self.updates.sent(self.table.cold, id, limit);
                if packet.room() < SHORTEST {
                    return;
                }
            }
        }
    }

    /// What this node has to say of itself, and its verdicts; not counted as sent.
    pub(crate) fn write_urgent(&self, packet: &mut Packet<'_>, bits: u8, verdicts: &[u16]) {
        let _ = write_update(packet, &self.table, SELF, bits);
        // It may be back, or forgotten.
        let gone = |id: &&u16| !self.table.hot(**id).is_live() && self.table.cold(**id).is_timed();
        for id in verdicts.iter().filter(gone) {
            let _ = write_update(packet, &self.table, *id, update::STATE);
        }
    }

    /// Who this node is.
    pub(crate) fn write_self(&self, packet: &mut Packet<'_>) {
        let _ = packet.push(&Message::Alive(alive(&self.table, SELF)));
    }

    /// Who this node is and means to be, to somebody who may not hold it yet: as much of that as fits.
    pub(crate) fn write_proof(&self, packet: &mut Packet<'_>) {
        let whole = write_update(packet, &self.table, SELF, update::STATE | update::JOIN);
        if !whole && self.table.hot(SELF).state() == State::Alive {
            let _ = packet.push(&Message::Alive(Alive { tags: None, ..alive(&self.table, SELF) }));
        }
    }

    /// A ping, and nothing else.
    pub(crate) fn write_ping(&self, packet: &mut Packet<'_>, seq: u32, target: u16) {
        let (node, source) = (self.table.name(target), self.table.name(SELF));
        let _ = packet.push(&Message::Ping(Ping { seq, node, source, source_addr: None }));
    }

    /// What is held against a member, to be said to itself: that it does not live, or leaves. Says whether it is held for gone.
    pub(crate) fn write_held_against(&self, packet: &mut Packet<'_>, id: u16) -> bool {
        let hot = self.table.hot(id);
        if hot.state() != State::Alive && !hot.has(flag::LOCAL_ONLY) {
            let _ = packet.push(&accusation(&self.table, id));
            return !hot.is_live();
        }
        if hot.has(flag::LEAVING) {
            let (ltime, node, prune) = (hot.status_ltime, self.table.name(id), hot.has(flag::PRUNE));
            let _ = packet.push(&Message::LeaveIntent(LeaveIntent { ltime, node, prune }));
        }
        false
    }
}

/// Writes what is to be said about a member; false (and nothing written) if it does not fit.
fn write_update(packet: &mut Packet<'_>, table: &Table<'_>, id: u16, bits: u8) -> bool {
    let hot = table.hot(id);
    let before = packet.len();
    let mut whole = true;
    if bits & update::STATE != 0 {
        whole &= match hot.state() {
            State::Alive => packet.push(&Message::Alive(alive(table, id))),
            State::Failed if hot.has(flag::LOCAL_ONLY) => true,
            _ => packet.push(&accusation(table, id)),
        };
    }
    let (ltime, node) = (hot.status_ltime, table.name(id));
    if bits & update::JOIN != 0 {
        whole &= packet.push(&Message::JoinIntent(JoinIntent { ltime, node }));
    }
    if bits & update::LEAVE != 0 {
        let prune = hot.has(flag::PRUNE);
        whole &= packet.push(&Message::LeaveIntent(LeaveIntent { ltime, node, prune }));
    }
    if !whole {
        packet.truncate(before);
    }
    whole
}

/// A member as it is told.
fn alive<'t>(table: &'t Table<'_>, id: u16) -> Alive<'t> {
    let hot = table.hot(id);
    Alive {
        node: table.name(id),
        addr: hot.addr,
        incarnation: hot.incarnation,
        boot: hot.boot,
        // Those that are held may be of a former incarnation.
        tags: table.tags(id).filter(|_| !hot.has(flag::TAGS_WANTED)),
        versions: hot.versions,
    }
}

/// The same with what has become of it.
pub(super) fn record<'t>(table: &'t Table<'_>, id: u16, now: Instant) -> Record<'t> {
    let hot = table.hot(id);
    let age = if hot.is_live() { 0 } else { now.since(table.cold(id).since).as_secs() };
    Record {
        alive: alive(table, id),
        state: hot.settled(),
        status_ltime: hot.status_ltime,
        age: age.min(u32::MAX as u64) as u32,
    }
}

fn accusation<'t>(table: &'t Table<'_>, id: u16) -> Message<'t> {
    let hot = table.hot(id);
    let accuser = table.cold(id).accuser().filter(|accuser| *accuser != id).unwrap_or(SELF);
    let from = if hot.state() == State::Left { id } else { accuser };
    let (incarnation, boot) = (hot.incarnation, hot.boot);
    let accusation = Accusation { incarnation, boot, node: table.name(id), from: table.name(from) };
    if hot.state() == State::Suspect { Message::Suspect(accusation) } else { Message::Dead(accusation) }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::kit;
    use crate::wire::packet::DATAGRAM_MAX;

    /// Names in the order in which a datagram of so many bytes tells of them.
    fn written(
        members: &mut Membership<'_>,
        wire: &mut crate::wire::packet::Wire<'_>,
        limit: usize,
    ) -> Vec<std::string::String> {
        let mut tx = [0; DATAGRAM_MAX];
        let mut packet = wire.packet(&mut tx, limit);
        members.write_updates(&mut packet, &Config::LAN);
        let len = packet.finish(wire);
        let named = |message: Message<'_>| match message {
            Message::Alive(alive) => alive.node.into(),
            Message::Suspect(accusation) | Message::Dead(accusation) => accusation.node.into(),
            Message::JoinIntent(intent) => intent.node.into(),
            other => unreachable!("{other:?} is no update"),
        };
        let opened = wire.open(&mut tx[..len]).expect("our own");
        opened.messages.map(|message| named(message.expect("our own"))).collect()
    }

    #[test]
    fn the_least_sent_goes_first_and_each_as_often_as_serf_sends_it() {
        let (mut cx, mut e, _) = kit::fleet(4);
        for i in 1..=4 {
            let id = e.members.table.find(&std::format!("m{i}")).expect("held");
            e.members.queue_update(id, update::STATE);
        }
        let limit = e.members.transmissions(&cx.config);
        assert_eq!(limit, 4, "4 x ceil(log10(5 + 1))");
        let short = written(&mut e.members, &mut cx.wire, 48);
        assert_eq!(short, ["m1"]);
        assert_eq!(written(&mut e.members, &mut cx.wire, DATAGRAM_MAX), ["m2", "m3", "m4", "m1"]);
        let mut sent = vec![];
        while !e.members.updates.is_empty() {
            sent.extend(written(&mut e.members, &mut cx.wire, DATAGRAM_MAX));
        }
        let times = |name| 1 + (name == "m1") as usize + sent.iter().filter(|sent| *sent == name).count();
        assert_eq!(["m1", "m2", "m3", "m4"].map(times), [limit; 4]);
    }

    #[test]
    fn a_newer_update_replaces_the_older_and_begins_anew() {
        let (mut cx, mut e, _) = kit::fleet(1);
        let id = e.members.table.find("m1").expect("held");
        e.members.queue_update(id, update::STATE);
        written(&mut e.members, &mut cx.wire, DATAGRAM_MAX);
        e.members.queue_update(id, update::JOIN);
        assert_eq!(
            (e.members.updates.len(), e.members.table.cold(id).update),
            (1, update::STATE | update::JOIN)
        );
        assert_eq!(e.members.table.cold(id).sends, 0);
        e.members.queue_update(id, update::LEAVE);
        assert_eq!(
            e.members.table.cold(id).update,
            update::STATE | update::LEAVE,
            "of the intents the later one"
        );
        assert_eq!(e.members.updates.urgent, 0);
        e.members.queue_update(SELF, update::STATE);
        assert_eq!(e.members.updates.urgent, update::STATE, "its own word is in a hurry");
    }
}

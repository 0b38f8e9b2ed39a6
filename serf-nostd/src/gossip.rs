//! Rounds of gossip: what this node says of its own accord, to distinct live members drawn without memory, one datagram each.
//!
//! News about members, when its time has come, goes before events, which have their own rounds at once: neither can starve the
//! other. Of events own ones go first, then others', then what is to be said of own batches, then ids.

use crate::context::Cx;
use crate::events::fleet::INTRODUCTION;
use crate::events::store::list;
use crate::events::{BatchDue, reaches_all};
use crate::failure::Links;
use crate::membership::updates::VERDICTS;
use crate::random::Targets;
use crate::rules::Rule;
use crate::slice::NIL;
use crate::sync::Engines;
use crate::time::Instant;
use crate::wire::message::{Address, Batch};

/// Members that an id is announced to at a time.
const LAZY_FANOUT: usize = 2;

/// What is being sent to several members.
#[derive(Clone, Copy, Debug)]
struct Round {
    kind: Kind,
    targets: Targets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// What this node has to say about itself (bits of `update`), and whom it has just declared failed.
    Urgent(u8, [u16; VERDICTS]),
    /// Updates about members.
    Members,
    /// The payloads of own events: this many from the head of their list, once the first datagram is written; and their batch.
    Own(u16, Option<Batch>),
    /// Those of others' events, likewise.
    Forward(u16),
    /// The ids of a batch, to those who have not received it.
    Remind(Batch),
    /// That all have the batches before this number.
    Complete(u32),
    /// Ids whose time had come at this moment, likewise counted.
    Announce { due: Instant, count: u16 },
}

/// The round that is running.
pub(crate) struct Gossip {
    round: Option<Round>,
}

impl Gossip {
    pub(crate) const fn new() -> Self {
        Gossip { round: None }
    }

    /// When the next round is due, but for those of events, which are due at once or told by their engine.
    pub(crate) fn deadline(&self, cx: &Cx<'_>, e: &Engines<'_>) -> Instant {
        let updates = &e.members.updates;
        let regular = has_member_news(e) && cx.config.has(Rule::MemberRounds);
        let regular = if regular { updates.next } else { Instant::FAR };
        let urgent = if updates.is_urgent() { updates.urgent_after } else { Instant::FAR };
        if e.members.table.live() > 0 { regular.min(urgent) } else { Instant::FAR }
    }

    /// The next datagram. `waits`: own events do, for word of where the others have gone.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Cx<'_>,
        e: &mut Engines<'_>,
        waits: bool,
        tx: &mut [u8],
    ) -> Option<(Address, usize)> {
        let links = e.failure.links(&e.members);
        if links.live == 0 {
            e.events.pass_over_fresh(cx.now);
            return None;
        }
        loop {
            if self.round.is_none() {
                self.round = next_round(cx, e, links, waits);
            }
            let round = self.round?;
            let sent = self.datagram(cx, e, links, round, tx);
            if sent.is_some() {
                return sent;
            }
            // Nothing was left to say in it: on to the next, unless the caller's buffer is too short for what waits.
            let stuck = round.targets.left() > 0 && !matches!(round.kind, Kind::Members | Kind::Urgent(..));
            self.round = None;
            if stuck {
                return None;
            }
        }
    }

    /// The next datagram of a round; `None` if there is nothing left to say, or nobody to say it to.
    fn datagram(
        &mut self,
        cx: &mut Cx<'_>,
        e: &mut Engines<'_>,
        links: Links,
        mut round: Round,
        tx: &mut [u8],
    ) -> Option<(Address, usize)> {
        let (last, id) = loop {
            let last = round.targets.at_last();
            if let Kind::Remind(batch) = round.kind {
                let place = round.targets.next(links.live)?;
                if !e.events.has_received(batch.number, place) {
                    break (last, e.members.table.live_at(place));
                }
            } else {
                let id = e.failure.next_drawn(&e.members, &mut round.targets)?;
                if last || !e.failure.is_accused(id) {
                    break (last, id);
                }
            }
        };
        let to = e.members.table.hot(id).addr;
        let mut packet = cx.wire.packet(tx, usize::MAX);
        round.kind = match round.kind {
            Kind::Urgent(bits, verdicts) => {
                let limit = packet.reserve(INTRODUCTION);
                let count = verdicts.iter().take_while(|id| **id != NIL).count();
                e.members.write_urgent(&mut packet, bits, &verdicts[..count]);
                e.events.fleet.introduce(cx, &mut packet, limit);
                round.kind
            }
            Kind::Members => {
                let limit = packet.reserve(INTRODUCTION);
                e.members.write_updates(&mut packet, &cx.config);
                let transmissions = e.members.transmissions(&cx.config);
                e.events.write_relayed(&mut packet, transmissions);
                e.events.fleet.introduce(cx, &mut packet, limit);
                e.events.fleet.news = e.events.fleet.news.saturating_sub(last as u8);
                Kind::Members
            }
            Kind::Own(count, batch) => {
                match e.events.write_eager(cx, &mut packet, list::OWN, (count, batch), to, last) {
                    // An event may be so long that it has no room beside that.
                    0 if batch.is_some() => {
                        Kind::Own(e.events.write_eager(cx, &mut packet, list::OWN, (0, None), to, last), None)
                    }
                    count => Kind::Own(count, batch),
                }
            }
            Kind::Forward(count) => {
                Kind::Forward(e.events.write_eager(cx, &mut packet, list::FRESH, (count, None), to, last))
            }
            Kind::Remind(batch) => {
                e.events.write_reminder(cx, &mut packet, to, batch);
                round.kind
            }
            Kind::Complete(number) => {
                e.events.write_complete(&mut packet, number, last);
                round.kind
            }
            Kind::Announce { due, count } => {
                let count = e.events.write_lazy(cx, links, &mut packet, (to, due), count, last);
                Kind::Announce { due, count }
            }
        };
        self.round = (!last).then_some(round);
        if packet.is_empty() {
            return None;
        }
        let len = packet.finish(&mut cx.wire);
        e.failure.sent(cx, &tx[..len], 0, id);
        Some((to, len))
    }
}

fn next_round(cx: &mut Cx<'_>, e: &mut Engines<'_>, links: Links, waits: bool) -> Option<Round> {
    let updates = &mut e.members.updates;
    let to_all = cx.config.origin_fanout as usize;
    if updates.is_urgent() && updates.urgent_after <= cx.now {
        updates.urgent_after = cx.now + cx.config.gossip_interval;
        let mut verdicts = [NIL; VERDICTS];
        verdicts[..updates.verdicts.len()].copy_from_slice(&updates.verdicts);
        updates.verdicts.clear();
        let bits = core::mem::take(&mut updates.urgent);
        return Some(round(cx, links, Kind::Urgent(bits, verdicts), to_all));
    }
    if has_member_news(e) && e.members.updates.next <= cx.now && cx.config.has(Rule::MemberRounds) {
        e.members.updates.begin_round(cx.now, cx.config.gossip_interval);
        let fanout = cx.config.gossip_nodes as usize;
        return Some(round(cx, links, Kind::Members, fanout));
    }
    // Who has met no fleet, or founded one that is empty yet, does not know at which time others take its events.
    if e.events.takes_events(&cx.config) && !waits && e.events.store.first(list::OWN).is_some() {
        let batch = e.events.begin_batch(cx, &e.members.table, links);
        return Some(round(cx, links, Kind::Own(0, batch), to_all));
    }
    e.events.tell_overdue(&cx.config, cx.now);
    if e.events.store.first(list::FRESH).is_some() {
        let more = !reaches_all(&cx.config, links) || links.lossy;
        let fanout = cx.config.forward_fanout as usize + more as usize;
        return Some(round(cx, links, Kind::Forward(0), fanout));
    }
    match e.events.batch_due(cx, &e.members.table) {
        Some(BatchDue::Remind(batch)) => return Some(round(cx, links, Kind::Remind(batch), links.live)),
        Some(BatchDue::Complete(number)) => {
            return Some(round(cx, links, Kind::Complete(number), links.live));
        }
        Some(BatchDue::Lost) => e.failure.batch_lost(),
        None => {}
    }
    if e.events.announce_at() <= cx.now {
        let announce = Kind::Announce { due: cx.now, count: 0 };
        return Some(round(cx, links, announce, LAZY_FANOUT));
    }
    None
}

fn round(cx: &mut Cx<'_>, links: Links, kind: Kind, fanout: usize) -> Round {
    Round { kind, targets: Targets::draw(&mut cx.random, links.live, fanout.max(1)) }
}

fn has_member_news(e: &Engines<'_>) -> bool {
    !e.members.updates.is_empty() || e.events.has_relayed() || e.events.fleet.news > 0
}

//! What goes out: one output at a time, until there is nothing to do but sleep.

use super::fleet::INTRODUCTION;
use super::repair::Ask;
use super::{Event, Joined, Leave, Node, Output};
use crate::detect::probe::Due;
use crate::event::store::{ANNOUNCE_MS, Pin, list};
use crate::gossip::owed::Answer;
use crate::gossip::round::{Round, RoundKind, Targets};
use crate::member::record::{Told, flag};
use crate::member::table::SELF;
use crate::member::{MemberChange, machine};
use crate::rules::Rule;
use crate::slice::NIL;
use crate::time::{Duration, Instant};
use crate::wire::message::Address;
use crate::wire::packet::{DATAGRAM_MAX, Packet};

/// How long an own event is held for its return.
const OWN_PATIENCE: Duration = Duration::from_secs(30);
/// Own probe loss, in 1/64, above which one more copy and more announcements are sent: 10 %.
const LOSSY: u32 = 6;

/// Something shown to the application, without its texts.
enum Shown {
    User(u16),
    Member(u16, MemberChange),
    Joined(Joined),
    Left,
}

impl Node<'_> {
    /// The next thing to do. To be called again until it says [`Output::Sleep`], with the same `now` or a later one.
    ///
    /// `tx` takes the datagrams: at least [`DATAGRAM_MAX`] bytes, or what does not fit is not sent.
    pub fn poll<'o>(&'o mut self, now: Instant, tx: &'o mut [u8]) -> Output<'o> {
        self.finish_erasing(now);
        self.wake(now);
        self.expire(now);
        if let Some(shown) = self.next_event(now) {
            return Output::Event(self.show(shown));
        }
        if tx.len() >= 64
            && self.leave != Some(Leave::Done)
            && let Some((to, len)) = self.next_datagram(now, tx)
        {
            self.stats.datagrams_out += 1;
            self.stats.bytes_out += len as u64;
            return Output::Datagram { to: to.into(), bytes: &tx[..len] };
        }
        // A join that is given up is news of its own.
        if let Some(told) = self.told_joins.pop_front() {
            return Output::Event(self.show(Shown::Joined(told)));
        }
        self.promised = self.deadline(now);
        Output::Sleep(self.promised)
    }

    fn deadline(&self, now: Instant) -> Instant {
        if self.leave == Some(Leave::Done) {
            return Instant::FAR;
        }
        let (quantum, quiescent) = self.telling_window();
        let mut first = self.detector.deadline(&self.config, self.members.table.live() > 0);
        let telling = self.members.telling.deadline(quantum, quiescent);
        let tells = self.taking && self.starting.is_none();
        first = first.min(if tells { telling } else { Instant::FAR });
        first = first.min(self.windows.deadline(&self.config));
        first = first.min(self.repair_deadline()).min(self.pulls.deadline()).min(self.leave_deadline());
        let timed = |id: Option<u16>| id.map_or(Instant::FAR, |id| self.members.table.case(id).deadline);
        first = first.min(timed(self.members.table.suspects.first()));
        first = first.min(timed(self.members.table.gone.first().filter(|_| self.taking)));
        if self.members.table.live() > 0 {
            if self.has_member_news() && self.config.has(Rule::MemberRounds) {
                first = first.min(self.queue.next);
            }
            if self.shout != 0 {
                first = first.min(self.next_shout);
            }
            first = first.min(self.announce_at());
        }
        first = first.min(self.rate.deadline(now));
        let own = self.store.first(list::OWN_HELD).filter(|_| !self.cut_off);
        first = first.min(own.map_or(Instant::FAR, |slot| self.store.since(slot) + OWN_PATIENCE));
        // A deadline that has passed is one that waits for room: soon, but not in a spin.
        first.max(now + Duration::from_micros(1))
    }

    // ---- time ----

    /// What ends by itself: suspicions, failed and left members, unconfirmed own events.
    fn expire(&mut self, now: Instant) {
        while let Some(id) = self.members.table.suspects.first() {
            if self.members.table.case(id).deadline > now {
                break;
            }
            self.declare_failed(now, id);
        }
        // The end of a member is told, so it waits for the application.
        while self.taking
            && self.erasing.is_none()
            && let Some(id) = self.members.table.gone.first()
        {
            if self.members.table.case(id).deadline > now {
                break;
            }
            self.age_gone(now, id);
        }
        // While nobody answers, own events wait; then they are sent again.
        let alone = self.is_cut_off(now);
        let finding_back = self.is_finding_back();
        if alone && !finding_back {
            self.way_back = 0;
        }
        let cut_off = alone || self.cut_off && finding_back;
        if core::mem::replace(&mut self.cut_off, cut_off) && !cut_off && self.config.has(Rule::SendAgain) {
            self.store.send_again();
        }
        while let Some(slot) = self.store.first(list::OWN_HELD) {
            if self.store.since(slot) + OWN_PATIENCE > now || (cut_off && self.config.has(Rule::SendAgain)) {
                break;
            }
            self.store.release_own(slot);
            self.stats.own_unconfirmed += 1;
        }
        while let Some(slot) = self.windows.due(now, &self.config) {
            self.store.unpin(slot, Pin::Coalescer);
            self.deliver(slot);
        }
    }

    /// A failed or left member first fades from what is told and compared, then is forgotten.
    fn age_gone(&mut self, now: Instant, id: u16) {
        let slot = self.members.table.slot(id);
        let end = self.members.table.case(id).since + machine::timeout(&self.config, slot.state);
        if !slot.has(flag::FADED) && end > now && !slot.has(flag::PRUNE) {
            self.members.table.untime(id);
            self.members.table.edit(id, |slot| slot.set(flag::FADED, true));
            self.members.table.time(id, end);
        } else {
            self.stats.members_reaped += 1;
            self.erasing = Some((id, false));
        }
    }

    // ---- events ----

    fn telling_window(&self) -> (Duration, Duration) {
        if self.config.coalesce_members {
            (self.config.coalesce_quantum, self.config.coalesce_quiescent)
        } else {
            (Duration::ZERO, Duration::ZERO)
        }
    }

    fn next_event(&mut self, now: Instant) -> Option<Shown> {
        if let Some((id, false)) = self.erasing {
            if self.members.table.slot(id).is_live() && self.config.has(Rule::EvictGone) {
                // It came back just now.
                self.erasing = None;
            } else {
                // That it is gone comes before its end; it is erased when that has been shown.
                if let Some(change) = self.members.telling.tell_now(self.members.table.slots, id) {
                    return Some(Shown::Member(id, change));
                }
                self.erasing = Some((id, true));
                if !matches!(self.members.table.slot(id).told, Told::Nothing | Told::Unmet) {
                    return Some(Shown::Member(id, MemberChange::Reap));
                }
                self.finish_erasing(now);
            }
        }
        if let Some(told) = self.told_joins.pop_front() {
            return Some(Shown::Joined(told));
        }
        if self.taking && self.starting.is_none() {
            let (quantum, quiescent) = self.telling_window();
            let next = self.members.telling.next(self.members.table.slots, now, quantum, quiescent);
            if let Some((id, change)) = next {
                return Some(Shown::Member(id, change));
            }
        }
        if self.taking
            && let Some(slot) = self.waiting.pop_front()
        {
            self.store.unpin(slot, Pin::Application);
            self.stats.events_delivered += 1;
            return Some(Shown::User(slot));
        }
        if self.advance_leave(now) {
            // That this node has left waits for no window.
            if let Some(change) = self.members.telling.tell_now(self.members.table.slots, SELF) {
                return Some(Shown::Member(SELF, change));
            }
            self.leave = Some(Leave::Done);
            return Some(Shown::Left);
        }
        None
    }

    fn show(&self, shown: Shown) -> Event<'_> {
        match shown {
            Shown::User(slot) => Event::User(self.store.event(slot)),
            Shown::Member(id, change) => Event::Member(change, self.members.table.member(id)),
            Shown::Joined(Joined::Yes(addr)) => Event::Joined(addr.into()),
            Shown::Joined(Joined::No(addr)) => Event::JoinFailed(addr.into()),
            Shown::Joined(Joined::NameTaken(addr)) => Event::NameTaken(addr.into()),
            Shown::Joined(Joined::Conflict(addr)) => Event::NameConflict(addr.into()),
            Shown::Left => Event::Left,
        }
    }

    // ---- datagrams ----

    fn next_datagram(&mut self, now: Instant, tx: &mut [u8]) -> Option<(Address, usize)> {
        self.answers(now, tx)
            .or_else(|| self.probes(now, tx))
            .or_else(|| self.repairs(now, tx))
            .or_else(|| self.pulls(now, tx))
            .or_else(|| self.rounds(now, tx))
    }

    fn answers(&mut self, now: Instant, tx: &mut [u8]) -> Option<(Address, usize)> {
        while let Some(first) = self.owed.front() {
            let mut packet = Packet::new(tx, self.cluster, first.limit as usize);
            while let Some(owed) = self.owed.front() {
                let same = owed.to == first.to && owed.limit == first.limit;
                if !same || !self.write_answer(&mut packet, &owed, now) {
                    break;
                }
                self.owed.pop_front();
            }
            if !packet.is_empty() {
                return Some((first.to, packet.close()));
            }
        }
        None
    }

    fn probes(&mut self, now: Instant, tx: &mut [u8]) -> Option<(Address, usize)> {
        let anybody = self.members.table.live() > 0;
        while let Some(due) = self.detector.due(now, &self.config, anybody) {
            match due {
                Due::Next if self.leave == Some(Leave::Done) => self.detector.skip(now, &self.config),
                Due::Next => {
                    let Some(target) = self.members.table.next_probe(&mut self.random) else {
                        self.detector.skip(now, &self.config);
                        continue;
                    };
                    let seq = self.random.next() as u32;
                    self.detector.begin(now, &self.config, target, seq);
                    return Some(self.probe(now, tx, target, seq));
                }
                Due::AskOthers { target: NIL, .. } | Due::Unanswered { target: NIL, .. } => {}
                Due::AskOthers { target, seq } => self.ask_others(target, seq),
                Due::Unanswered { target, seq } => self.unanswered(now, target, seq),
                Due::Again { target, seq } => {
                    self.ask_others(target, seq);
                    return Some(self.probe(now, tx, target, seq));
                }
                Due::Silent { target, since } => self.silent(now, target, since),
                Due::Nack { to, seq } => self.owe(to, DATAGRAM_MAX, Answer::Nack { seq }),
            }
        }
        self.answers(now, tx)
    }

    fn probe(&mut self, now: Instant, tx: &mut [u8], target: u16, seq: u32) -> (Address, usize) {
        self.stats.probes += 1;
        let mut packet = Packet::new(tx, self.cluster, DATAGRAM_MAX);
        self.write_ping(&mut packet, now, seq, target);
        (self.members.table.slot(target).addr, packet.close())
    }

    /// Asks a few others to probe a target that has not answered.
    pub(super) fn ask_others(&mut self, target: u16, seq: u32) {
        let live = self.members.table.live();
        let mut targets = Targets::draw(&mut self.random, live, self.config.indirect_checks as usize + 1);
        let mut asked = 0;
        while let Some(place) = targets.next(live) {
            let helper = self.members.table.live_at(place);
            if helper != target && asked < self.config.indirect_checks {
                asked += 1;
                self.detector.asked_helper(seq);
                self.owe_member(helper, Answer::IndirectPing { seq, target });
            }
        }
    }

    fn repairs(&mut self, now: Instant, tx: &mut [u8]) -> Option<(Address, usize)> {
        let ask = self.repair_due(now)?;
        let mut packet = Packet::new(tx, self.cluster, DATAGRAM_MAX);
        let to = match ask {
            Ask::Join(join) => {
                packet = Packet::new(tx, self.cluster, join.limit as usize);
                self.write_join(&mut packet, now, &join);
                join.to
            }
            Ask::Members(session) => {
                self.write_member_session(&mut packet, now, &session);
                session.peer
            }
            Ask::Events(session) => {
                self.write_event_session(&mut packet, &session);
                session.peer
            }
            Ask::Values(session) => {
                self.write_value_session(&mut packet, &session);
                session.peer
            }
            Ask::Conflict { name, to, seq } => {
                self.write_bare_ping(&mut packet, seq, name);
                to
            }
            Ask::Failed { target, seq } => {
                self.write_ping(&mut packet, now, seq, target);
                self.members.table.slot(target).addr
            }
        };
        Some((to, packet.close()))
    }

    fn pulls(&mut self, now: Instant, tx: &mut [u8]) -> Option<(Address, usize)> {
        while let Some((id, asked)) = self.pulls.stuck(now) {
            self.ask_another(now, id, asked);
        }
        let announcer = self.pulls.whom(now)?;
        let mut packet = Packet::new(tx, self.cluster, DATAGRAM_MAX);
        let ids = packet.pull(announcer.token)?;
        let overdue = self.pull_overdue();
        let mut room = true;
        self.stats.pulls += self.pulls.ask(announcer, now, overdue, |id| {
            let fits = room && packet.push_item(&ids, &id);
            room = !announcer.is_unknowing();
            fits
        });
        Some((announcer.addr, packet.close()))
    }

    /// How long an answer to a pull may take before it is asked for again, at first.
    pub(super) fn pull_overdue(&self) -> Duration {
        self.config.probe_timeout.scaled(1, 10).max(self.detector.round_trip().times(2))
    }

    // ---- rounds ----

    fn rounds(&mut self, now: Instant, tx: &mut [u8]) -> Option<(Address, usize)> {
        let live = self.members.table.live();
        if live == 0 {
            self.pass_over_fresh(now);
            return None;
        }
        loop {
            if self.round.is_none() {
                self.round = self.next_round(now, live);
            }
            let round = self.round?;
            let sent = self.round_datagram(round, live, now, tx);
            if sent.is_some() {
                return sent;
            }
            // Nothing was left to say in it: on to the next, unless the caller's buffer is too short for what waits.
            let stuck =
                round.targets.left() > 0 && !matches!(round.kind, RoundKind::Members | RoundKind::OwnNews(_));
            self.round = None;
            if stuck {
                return None;
            }
        }
    }

    /// The next datagram of a round; `None` if there is nothing left to say, or nobody to say it to.
    fn round_datagram(
        &mut self,
        mut round: Round,
        live: usize,
        now: Instant,
        tx: &mut [u8],
    ) -> Option<(Address, usize)> {
        let last = round.targets.at_last();
        let place = round.targets.next(live)?;
        let to = self.members.table.slot(self.members.table.live_at(place)).addr;
        let mut packet = Packet::new(tx, self.cluster, DATAGRAM_MAX);
        round.kind = match round.kind {
            RoundKind::Own(count) => {
                RoundKind::Own(self.write_batch(&mut packet, list::OWN, count, last, now))
            }
            RoundKind::Forward(count) => {
                RoundKind::Forward(self.write_batch(&mut packet, list::FRESH, count, last, now))
            }
            RoundKind::Announce { due, count } => {
                let count = self.write_announcements(&mut packet, to, due, count, last);
                RoundKind::Announce { due, count }
            }
            RoundKind::OwnNews(bits) => {
                let limit = packet.reserve(INTRODUCTION);
                self.write_own_news(&mut packet, bits);
                self.introduce(&mut packet, now, limit);
                RoundKind::OwnNews(bits)
            }
            RoundKind::Members => {
                let limit = packet.reserve(INTRODUCTION);
                self.write_members(&mut packet);
                self.write_foreign(&mut packet);
                self.introduce(&mut packet, now, limit);
                self.fleet_news = self.fleet_news.saturating_sub(last as u8);
                RoundKind::Members
            }
        };
        self.round = (!last).then_some(round);
        (!packet.is_empty()).then(|| (to, packet.close()))
    }

    /// News about members, when its time has come, goes before events, which have their own rounds at once: neither
    /// can starve the other.
    fn next_round(&mut self, now: Instant, live: usize) -> Option<Round> {
        if self.shout != 0 && self.next_shout <= now {
            self.next_shout = now + self.config.gossip_interval;
            let bits = core::mem::take(&mut self.shout);
            let fanout = self.config.origin_fanout as usize;
            return Some(self.round_of(RoundKind::OwnNews(bits), live, fanout));
        }
        if self.has_member_news() && self.queue.next <= now && self.config.has(Rule::MemberRounds) {
            self.queue.next = now + self.config.gossip_interval;
            return Some(self.round_of(RoundKind::Members, live, self.config.gossip_nodes as usize));
        }
        // Who has met no fleet, or founded one that is empty yet, does not know at which time others take its events.
        if self.takes_events() && !self.is_finding_back() && self.store.first(list::OWN).is_some() {
            let fanout = self.config.origin_fanout as usize;
            return Some(self.round_of(RoundKind::Own(0), live, fanout));
        }
        if self.store.first(list::FRESH).is_some() {
            let more = !self.origin_reaches_all() || self.lossy();
            let fanout = self.config.forward_fanout as usize + more as usize;
            return Some(self.round_of(RoundKind::Forward(0), live, fanout));
        }
        if self.announce_at() <= now {
            return Some(self.round_of(RoundKind::Announce { due: now, count: 0 }, live, 2));
        }
        None
    }

    fn has_member_news(&self) -> bool {
        !self.queue.is_empty() || self.store.first(list::FOREIGN).is_some() || self.fleet_news > 0
    }

    fn round_of(&mut self, kind: RoundKind, live: usize, wanted: usize) -> Round {
        Round { kind, targets: Targets::draw(&mut self.random, live, wanted.max(1)) }
    }

    /// Nobody is there to pass events on to: others' are announced when somebody is; own ones wait unsent.
    fn pass_over_fresh(&mut self, now: Instant) {
        while let Some(slot) = self.store.first(list::FRESH) {
            self.store.sent(slot, now);
        }
    }

    /// The first copies of as many events from the head of a list as fit (`count`, once it is known).
    fn write_batch(
        &mut self,
        packet: &mut Packet<'_>,
        from: u8,
        count: u16,
        last: bool,
        now: Instant,
    ) -> u16 {
        let most = if count == 0 { u16::MAX } else { count };
        let mut written = 0;
        let before = packet.len();
        let mut at = self.store.first(from);
        let for_former = at.is_some_and(|slot| self.is_for_former(self.store.id(slot)));
        self.write_tag(packet, for_former);
        while let Some(slot) = at
            && written < most
            && self.is_for_former(self.store.id(slot)) == for_former
            && self.write_event(packet, slot)
        {
            at = self.store.after(from, slot);
            written += 1;
        }
        if written == 0 {
            packet.truncate(before);
        }
        if last {
            for _ in 0..written {
                if let Some(slot) = self.store.first(from) {
                    self.store.sent(slot, now);
                }
            }
        }
        written
    }

    /// When the next id is to be announced.
    fn announce_at(&self) -> Instant {
        (list::ANNOUNCE..list::OWN_HELD)
            .filter_map(|which| self.store.first(which))
            .fold(Instant::FAR, |first, slot| first.min(self.store.announce_at(slot)))
    }

    /// How often an id is announced: seldom where the origin reached everybody, since few lack the event then.
    fn announce_stages(&self) -> u8 {
        if self.lossy() {
            ANNOUNCE_MS.len() as u8
        } else if self.origin_reaches_all() {
            4
        } else {
            6
        }
    }

    /// Whether an origin like this node sends an event to everybody itself.
    pub(super) fn origin_reaches_all(&self) -> bool {
        self.members.table.live() <= self.config.origin_fanout as usize
    }

    /// Whether packets get lost, by this node's own probes.
    fn lossy(&self) -> bool {
        self.detector.loss() > LOSSY
    }

    fn write_announcements(
        &mut self,
        packet: &mut Packet<'_>,
        to: Address,
        due: Instant,
        count: u16,
        last: bool,
    ) -> u16 {
        let most = if count == 0 { u16::MAX } else { count };
        let limit = self.announce_stages();
        let token = self.token(to);
        let before = packet.len();
        let stages = || (list::ANNOUNCE..list::OWN_HELD).rev();
        let first = stages().filter_map(|which| self.store.first(which));
        let first = first.into_iter().find(|slot| self.store.announce_at(*slot) <= due);
        let for_former = first.is_some_and(|slot| self.is_for_former(self.store.id(slot)));
        self.write_tag(packet, for_former);
        let Some(ids) = packet.ids(token) else { return 0 };
        let mut written = 0;
        // From the last stage down, so that what moves on is not met again.
        for which in stages() {
            let mut at = self.store.first(which);
            while let Some(slot) = at
                && written < most
                && self.store.announce_at(slot) <= due
            {
                at = self.store.after(which, slot);
                let id = self.store.id(slot);
                if self.is_for_former(id) != for_former {
                    continue;
                }
                if !packet.push_item(&ids, &id) {
                    break;
                }
                written += 1;
                self.stats.ids_sent += 1;
                if last {
                    self.store.announced(slot, limit);
                }
            }
        }
        if written == 0 {
            packet.truncate(before);
        }
        written
    }
}

//! Anti-entropy: whatever got lost on its way is found by comparing what two nodes know (Demers et al., section 1.3).
//!
//! Every ping and ack carries a [`Summary`]: digests of members and events. Who sees a difference begins a [`session`] with the
//! other one: of members, events, or last values, page by page, with a [`crate::backoff`] of its own. Joining ([`join`]) is how
//! a node comes to know anybody at all; failed members and seeds are tried again ([`AntiEntropy::reconnect_due`]).

mod answers;
pub(crate) mod join;
pub(crate) mod session;

use crate::clock::{Lamport, Word};
use crate::context::Cx;
use crate::events::Events;
use crate::failure::Failure;
use crate::failure::dispute::{Question, Verdict};
use crate::membership::Membership;
use crate::membership::record::{State, flag};
use crate::outgoing::RECORDS;
use crate::queries::Queries;
use crate::rules::Rule;
use crate::time::{Duration, Instant};
use crate::wire::message::{
    Address, DigestRequest, EventDigestRequest, EventId, History, Message, PageRequest, Record, Summary,
    ValuesRequest,
};
use crate::wire::packet::{DATAGRAM_MAX, Packet};

use join::{Joining, Joins};
use session::{EventStep, MemberStep, Session, ValueStep};

/// How long a member table must have been at rest before it is compared, in gossip intervals: news that is under way is
/// no difference.
const MEMBERS_QUIET: u32 = 3;
/// The same for events, which travel faster.
const EVENTS_QUIET: Duration = Duration::from_millis(500);
/// So many members with a part of the fleet are asked what they hold.
const PARTS: u8 = 8;
/// So many differences below the floor are remembered as counted.
const GAPS: usize = 8;
/// How often a failed member is looked for among all who are gone.
const FAILED_DRAWS: u32 = 16;
/// Once in so many times whoever has left may be tried first: others may have said so of it.
const LEFT_TRIES: u32 = 8;

/// The engines whose knowledge is compared.
pub(crate) struct Engines<'a> {
    pub(crate) members: Membership<'a>,
    pub(crate) failure: Failure<'a>,
    pub(crate) events: Events<'a>,
    pub(crate) queries: Queries<'a>,
}

/// A question that is due.
pub(crate) enum Ask {
    Join(Joining),
    Members(Session<MemberStep>),
    Events(Session<EventStep>),
    Values(Session<ValueStep>),
    /// Whoever has this name is to answer at this address.
    Name(Question),
    /// A failed member is tried again.
    Failed {
        target: u16,
        seq: u32,
    },
}

impl Ask {
    /// To whom it goes, and how long it may be.
    pub(crate) fn address(&self, members: &Membership<'_>) -> (Address, usize) {
        match self {
            Ask::Join(join) => (join.to, join.limit as usize),
            Ask::Members(session) => (session.peer, DATAGRAM_MAX),
            Ask::Events(session) => (session.peer, DATAGRAM_MAX),
            Ask::Values(session) => (session.peer, DATAGRAM_MAX),
            Ask::Name(question) => (question.to, DATAGRAM_MAX),
            Ask::Failed { target, .. } => (members.table.hot(*target).addr, DATAGRAM_MAX),
        }
    }
}

pub(crate) struct AntiEntropy {
    pub(crate) joins: Joins,
    /// Who answered a join while another comparison was running: they may belong to another fleet, so their tables are
    /// next.
    met: heapless::Vec<Address, { join::JOINS }>,
    /// So many more of those whose tables are parts of the fleet are listed, while nobody with a whole one has been.
    parts: u8,
    members: Option<Session<MemberStep>>,
    events: Option<Session<EventStep>>,
    values: Option<Session<ValueStep>>,
    /// What others have seen below this node's floor and it has not, or the other way round, has been counted: hashes of the
    /// events, XORed for each of them.
    gaps: heapless::Vec<u32, GAPS>,
    /// How many events there had been, modulo 256, when one more than fit in there was counted last.
    gaps_at: u8,
    /// The failed member that was tried last, and under which number.
    tried: Option<(u16, u32)>,
    /// When a failed member or seed is tried again.
    reconnect: Instant,
}

impl AntiEntropy {
    pub(crate) fn new(now: Instant, reconnect: Duration) -> Self {
        AntiEntropy {
            joins: Joins::new(),
            met: heapless::Vec::new(),
            parts: PARTS,
            members: None,
            events: None,
            values: None,
            gaps: heapless::Vec::new(),
            gaps_at: 0,
            tried: None,
            reconnect: now + reconnect,
        }
    }

    /// A member is forgotten altogether.
    pub(crate) fn forget(&mut self, id: u16) {
        self.tried.take_if(|(tried, _)| *tried == id);
    }

    /// Whether this is the answer of a failed member that was tried again: whose.
    pub(crate) fn tried_answered(&mut self, seq: u32) -> Option<u16> {
        self.tried.take_if(|(_, tried)| *tried == seq).map(|(id, _)| id)
    }

    /// A dispute about a name is decided.
    pub(crate) fn verdict(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Namesake(addr) => self.joins.tell(join::JoinResult::Conflict(addr)),
            Verdict::Compare(addr) => {
                let _ = self.met.push(addr);
            }
        }
    }

    // ---- who compares, and when ----

    /// A peer's side has come: if it differs, and things are at rest here, the difference is looked for.
    pub(crate) fn compare(&mut self, cx: &mut Cx<'_>, e: &mut Engines<'_>, peer: Address, theirs: &Summary) {
        if e.members.is_leaving() {
            return;
        }
        let table = &e.members.table;
        let known = theirs.members.filter(|_| !e.events.fleet.is_starting() && !table.partial);
        // From those who hold a part only there may be something to learn, until somebody who holds all has been met.
        let part = theirs.members.is_none() && self.parts > 0 && !table.partial;
        let differ = known.is_some_and(|root| root != table.digest().root())
            || part && cx.config.has(Rule::PartHealing);
        let quiet = cx.config.gossip_interval.times(MEMBERS_QUIET);
        if differ
            && cx.config.has(Rule::MemberHealing)
            && self.members.is_none()
            && e.members.backoff.may_begin(cx.now, quiet)
        {
            self.parts = if part { self.parts - 1 } else { 0 };
            self.begin_members(cx, e, peer, MemberStep::List { cursor: 0 });
        }
        // Only above both floors: whose floor is lower sees the difference; the other will in its next answer.
        let comparable = theirs.floor >= e.events.seen.floor();
        let differ = theirs.events != events_above(e, theirs.floor);
        let links = e.failure.links(&e.members);
        e.events.confirm_all(cx, links, theirs.floor, comparable && !differ, peer);
        e.events.compared(cx.now, !comparable || differ);
        if comparable && differ {
            self.begin_events(cx, e, peer, theirs.floor);
        }
    }

    /// Begins a comparison of the events above a floor, if it is time for one.
    fn begin_events(&mut self, cx: &mut Cx<'_>, e: &mut Engines<'_>, peer: Address, above: EventId) {
        if cx.config.has(Rule::EventHealing)
            && self.events.is_none()
            && e.events.backoff.may_begin(cx.now, EVENTS_QUIET)
        {
            e.events.backoff.begun(cx.now);
            cx.stats.event_syncs += 1;
            let step = EventStep { above, cursor: above, waits: false };
            let nonce = cx.random.next() as u32;
            self.events = Some(Session::new(peer, nonce, step, cx.now));
        }
    }

    /// Somebody asks for a list of what is in these buckets, which are not the same there. Whoever holds a part of the fleet
    /// may never ask him otherwise: it does so instead of answering, once, and the other one asks again. True if it does.
    pub(crate) fn asks_back(
        &mut self,
        cx: &mut Cx<'_>,
        e: &mut Engines<'_>,
        peer: Address,
        above: EventId,
        buckets: u16,
    ) -> bool {
        let part = e.members.table.partial && cx.config.has(Rule::PartHealing);
        let able = e.events.takes_events(&cx.config) && !e.members.is_leaving() && self.events.is_none();
        if buckets == 0 || !part || !able {
            return false;
        }
        let above = above.max(e.events.seen.floor());
        self.begin_events(cx, e, peer, above);
        self.events = self.events.map(Session::once);
        self.events.is_some()
    }

    /// A member says what it goes by: if it is known by something else here, its record is fetched.
    pub(crate) fn outdated(&mut self, cx: &mut Cx<'_>, e: &mut Engines<'_>, id: u16, known: [u8; 4]) {
        let hot = e.members.table.hot(id);
        if known != hot.known() {
            let (addr, hash) = (hot.addr, hot.hash);
            self.fetch_record(cx, e, addr, hash);
        }
    }

    /// Asks for one member's record, unless a comparison runs that may bring it. Once: what has led to it will do so again.
    pub(crate) fn fetch_record(&mut self, cx: &mut Cx<'_>, e: &mut Engines<'_>, peer: Address, hash: u32) {
        if self.members.is_none() && e.members.backoff.may_begin(cx.now, Duration::ZERO) {
            let mut wanted = [0; RECORDS];
            wanted[0] = hash;
            self.ask_for_members(cx, e, peer, MemberStep::Records { wanted, count: 1, resume: 0 });
            self.members = self.members.map(Session::once);
        }
    }

    /// Begins a comparison of all members.
    fn begin_members(&mut self, cx: &mut Cx<'_>, e: &mut Engines<'_>, peer: Address, step: MemberStep) {
        cx.stats.member_syncs += 1;
        self.ask_for_members(cx, e, peer, step);
    }

    fn ask_for_members(&mut self, cx: &mut Cx<'_>, e: &mut Engines<'_>, peer: Address, step: MemberStep) {
        e.members.backoff.begun(cx.now);
        let nonce = cx.random.next() as u32;
        self.members = Some(Session::new(peer, nonce, step, cx.now));
    }

    /// A peer's digest of last values has come: if it differs, they are listed.
    pub(crate) fn compare_values(
        &mut self,
        cx: &mut Cx<'_>,
        e: &mut Engines<'_>,
        peer: Address,
        theirs: u32,
    ) {
        let events = &mut e.events;
        let Some(ours) = events.value_digest() else { return };
        if ours != theirs
            && events.takes_events(&cx.config)
            && !events.fleet.enters_silently()
            && cx.config.coalesce_quantum > Duration::ZERO
            && cx.config.has(Rule::ValueHealing)
            && self.values.is_none()
            && events.value_backoff.may_begin(cx.now, EVENTS_QUIET)
        {
            events.value_backoff.begun(cx.now);
            cx.stats.value_syncs += 1;
            let nonce = cx.random.next() as u32;
            // What is still lost will be found to be so again.
            events.lost_values = 0;
            self.values = Some(Session::new(peer, nonce, ValueStep { cursor: 0 }, cx.now));
        }
    }

    /// What a peer has seen at or below this node's floor, beside what it has: a difference is counted, once as long as it is
    /// remembered. `joining`: it tells what there was before this node's time.
    pub(crate) fn compare_history(
        &mut self,
        cx: &mut Cx<'_>,
        events: &mut Events<'_>,
        joining: bool,
        theirs: &History,
    ) {
        if events.catching_up {
            return;
        }
        let ours = events.seen.history(theirs.at).filter(|_| !joining);
        let Some((count, digest)) = ours else {
            return events.seen.set_history(theirs.at, (theirs.count, theirs.digest));
        };
        // As both see what comes later, it stays the same; what is on its way to either is none.
        let difference = digest ^ theirs.digest;
        let quiet = events.backoff.is_quiet(cx.now, EVENTS_QUIET);
        let more = theirs.count.wrapping_sub(count) as i32;
        // Where its floor is no hindrance, what others lack they count.
        let lacks = (theirs.at == events.seen.floor() || more > 0) && quiet && cx.config.has(Rule::History);
        if difference == 0 || !lacks || self.gaps.contains(&difference) {
            return;
        }
        // Of more than are remembered one more is counted for each event that comes: none at rest.
        let so_far = cx.stats.events_new as u8;
        if self.gaps.is_full() && core::mem::replace(&mut self.gaps_at, so_far) == so_far {
            return;
        }
        cx.stats.event_gaps += more.clamp(1, events.seen.capacity() as i32) as u64;
        debug!("{} or more events at or below the floor are not the same here and there", more);
        if self.gaps.is_full() {
            self.gaps.remove(0);
        }
        let _ = self.gaps.push(difference);
    }

    // ---- what is due ----

    pub(crate) fn deadline(&self, e: &Engines<'_>) -> Instant {
        let members = self.members.as_ref().map_or(Instant::FAR, |session| session.due);
        let events = self.events.as_ref().map_or(Instant::FAR, |session| session.due);
        let values = self.values.as_ref().map_or(Instant::FAR, |session| session.due);
        let sessions = members.min(events).min(values).min(self.reconnect);
        sessions.min(self.joins.deadline()).min(e.failure.disputes.deadline()).min(e.events.fleet.deadline())
    }

    /// The next question that is due.
    pub(crate) fn due(&mut self, cx: &mut Cx<'_>, e: &mut Engines<'_>) -> Option<Ask> {
        e.events.end_grace(cx);
        if e.events.fleet.starting.is_some_and(|until| until <= cx.now) {
            // Nobody answered: alone, until somebody does.
            e.events.started(&cx.config, &e.members);
        }
        self.joins
            .due(cx)
            .or_else(|| e.failure.dispute_due(cx, &mut e.members).map(Ask::Name))
            .or_else(|| self.sessions_due(cx, e))
            .or_else(|| self.reconnect_due(cx, e))
    }

    fn sessions_due(&mut self, cx: &mut Cx<'_>, e: &mut Engines<'_>) -> Option<Ask> {
        let now = cx.now;
        if let Some(session) = self.members.as_mut().filter(|session| session.due <= now) {
            if session.ask(now) {
                return Some(Ask::Members(*session));
            }
            self.members = None;
            e.members.backoff.broken_off(now);
        }
        if self.members.is_none()
            && let Some(peer) = self.met.pop()
        {
            self.begin_members(cx, e, peer, MemberStep::List { cursor: 0 });
            return self.sessions_due(cx, e);
        }
        if let Some(session) = self.events.as_mut().filter(|session| session.due <= now) {
            session.step.waits = false;
            if session.ask(now) {
                return Some(Ask::Events(*session));
            }
            self.events = None;
            e.events.backoff.broken_off(now);
        }
        if let Some(session) = self.values.as_mut().filter(|session| session.due <= now) {
            if session.ask(now) {
                return Some(Ask::Values(*session));
            }
            self.values = None;
            e.events.value_backoff.broken_off(now);
        }
        None
    }

    /// Every reconnect interval one failed member, or one seed, is tried again.
    fn reconnect_due(&mut self, cx: &mut Cx<'_>, e: &mut Engines<'_>) -> Option<Ask> {
        if cx.now < self.reconnect {
            return None;
        }
        self.reconnect = cx.now + cx.config.reconnect_interval;
        if e.members.is_leaving() || !cx.config.has(Rule::Reconnect) {
            return None;
        }
        self.joins.try_seed(cx);
        if e.members.table.partial && cx.config.has(Rule::PartHealing) {
            self.ask_about_gone(cx, e);
        }
        let Some(target) = draw_failed(cx, &e.members) else { return self.joins.due(cx) };
        let seq = cx.random.next() as u32;
        self.tried = Some((target, seq));
        info!(
            "serf",
            "attempting reconnect to {} {}",
            e.members.table.name(target),
            core::net::SocketAddr::from(e.members.table.hot(target).addr)
        );
        Some(Ask::Failed { target, seq })
    }

    /// Who compares its table with nobody asks another, or a seed, about one of those who are gone: it may be back, elsewhere.
    fn ask_about_gone(&mut self, cx: &mut Cx<'_>, e: &mut Engines<'_>) {
        let table = &e.members.table;
        let (gone, live) = (table.gone.len() as u32, table.live() as u32);
        if gone == 0 || live == 0 {
            return;
        }
        let about = table.hot(table.gone_at(cx.random.below(gone) as usize)).hash;
        let peer = match self.joins.draw_seed(cx, 2) {
            Some(seed) => seed,
            None => table.hot(table.live_at(cx.random.below(live) as usize)).addr,
        };
        self.fetch_record(cx, e, peer, about);
    }

    // ---- what it sends ----

    /// Writes a question, but for a [`Ask::Failed`], which is a ping like others.
    pub(crate) fn write(&self, cx: &Cx<'_>, e: &Engines<'_>, packet: &mut Packet<'_>, ask: &Ask) {
        match ask {
            Ask::Join(join) => join.write(cx, e, packet),
            Ask::Members(session) => write_member_session(cx, e, packet, session),
            Ask::Events(Session { nonce, step, .. }) => {
                let EventStep { above, cursor, .. } = *step;
                write_history(e, packet, above);
                let buckets = &e.events.buckets_above(above);
                let request = EventDigestRequest { nonce: *nonce, above, buckets, cursor };
                let _ = packet.push(&Message::EventDigestRequest(request));
                packet.pad();
            }
            Ask::Values(Session { nonce, step, .. }) => {
                let request = ValuesRequest { nonce: *nonce, cursor: step.cursor };
                let _ = packet.push(&Message::ValuesRequest(request));
                packet.pad();
            }
            Ask::Name(Question { name, seq, .. }) => e.members.write_ping(packet, *seq, *name),
            Ask::Failed { .. } => {}
        }
    }
}

/// This node's side of a comparison, above a peer's floor.
pub(crate) fn summary(cx: &Cx<'_>, e: &Engines<'_>, above: EventId) -> Summary {
    let table = &e.members.table;
    let floor = e.events.seen.floor().max(above);
    Summary {
        clock: cx.clocks.member.now(),
        event_clock: cx.clocks.event.now(),
        query_clock: cx.clocks.query.now(),
        members: (!table.partial).then(|| table.digest().root()),
        events: events_above(e, floor),
        floor,
    }
}

/// Digest of the fleet and the events above a floor: fleets that have not become one differ in any case.
fn events_above(e: &Engines<'_>, floor: EventId) -> u32 {
    e.events.seen.root_above(floor) ^ e.events.fleet.compares_in()
}

/// What this node has seen up to its floor, or up to a peer's, if it can tell.
pub(crate) fn write_history(e: &Engines<'_>, packet: &mut Packet<'_>, at: EventId) {
    let at = at.max(e.events.seen.floor());
    if let Some((count, digest)) = e.events.seen.history(at) {
        let _ = packet.push(&Message::History(History { at, count, digest }));
    }
}

/// Who this node is, and in which fleet.
pub(crate) fn write_introduction(cx: &Cx<'_>, e: &Engines<'_>, packet: &mut Packet<'_>) {
    e.members.write_self(packet);
    if e.events.fleet.id != 0 {
        e.events.fleet.write(cx, packet);
    }
}

fn write_member_session(
    cx: &Cx<'_>,
    e: &Engines<'_>,
    packet: &mut Packet<'_>,
    session: &Session<MemberStep>,
) {
    let nonce = session.nonce;
    // The answerer is to know us, too: it does not look for what it lacks at a stranger's.
    write_introduction(cx, e, packet);
    match session.step {
        MemberStep::Pages { cursor } => {
            let _ = packet.push(&Message::PageRequest(PageRequest { nonce, cursor }));
        }
        MemberStep::List { cursor } => {
            let buckets = &e.members.buckets();
            let _ = packet.push(&Message::DigestRequest(DigestRequest { nonce, cursor, buckets }));
        }
        MemberStep::Records { wanted, count, .. } => {
            if let Some(hashes) = packet.records_request(nonce) {
                for hash in &wanted[..count as usize] {
                    let _ = packet.push_item(&hashes, hash);
                }
            }
        }
    }
    packet.pad();
}

/// Takes the Lamport time over that a record was told with; false if it is out of reach.
pub(crate) fn witness_record(cx: &mut Cx<'_>, record: &Record<'_>) -> bool {
    record.status_ltime == 0 || cx.witness(Lamport::Member, Word::Answer, record.status_ltime)
}

/// A failed member, looked for among those that have left as well: a few times, so that many of those do not keep the
/// others from coming back. Where none is found, and now and then where there are some, one that has left.
fn draw_failed(cx: &mut Cx<'_>, members: &Membership<'_>) -> Option<u16> {
    let gone = members.table.gone.len() as u32;
    let draws = if cx.config.has(Rule::FailedFirst) { FAILED_DRAWS } else { 1 };
    let left_first = cx.random.below(LEFT_TRIES) == 0;
    let mut left = None;
    for _ in 0..draws.min(gone) {
        let id = members.table.gone_at(cx.random.below(gone) as usize);
        let hot = members.table.hot(id);
        if hot.state() == State::Failed {
            return Some(id);
        }
        left = Some(id).filter(|_| !hot.has(flag::UNADVERTISED)).or(left);
        if left_first && left.is_some() {
            return left;
        }
    }
    left.filter(|_| cx.config.has(Rule::LeftToo))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit;
    use crate::wire::message::{Fleet, JoinAnswer};

    /// What a peer says who knows as much as this node, and one more member (`members`) or event (`events`).
    fn summary_of(cx: &Cx<'_>, e: &Engines<'_>, members: bool, events: bool) -> Summary {
        let ours = summary(cx, e, EventId::LOWEST);
        let other = |digest: u32, differs| if differs { !digest } else { digest };
        let root = ours.members.expect("a whole table");
        Summary { members: Some(other(root, members)), events: other(ours.events, events), ..ours }
    }

    #[test]
    fn a_difference_is_looked_for_once_things_are_at_rest_and_seldom_while_nothing_comes_of_it() {
        for (members, events) in [(false, false), (true, false), (false, true)] {
            let (mut cx, mut e, mut sync) = kit::fleet(3);
            e.events.found_fleet(&mut cx);
            cx.now += Duration::from_secs(60);
            let mut begun = 0;
            for _ in 0..600 {
                let theirs = summary_of(&cx, &e, members, events);
                sync.compare(&mut cx, &mut e, kit::addr(1), &theirs);
                begun += sync.members.take().is_some() as u32 + sync.events.take().is_some() as u32;
                cx.now += Duration::from_secs(1);
            }
            let expected = if members || events { 6..=16 } else { 0..=0 };
            assert!(expected.contains(&begun), "{begun} in 600 s: {members}, {events}");
        }
    }

    #[test]
    fn only_who_was_asked_answers_a_join() {
        let (mut cx, mut e, mut sync) = kit::node();
        sync.start(&mut cx, &mut e, [kit::addr(1)].into_iter());
        let Some(Ask::Join(_)) = sync.due(&mut cx, &mut e) else { unreachable!("it asks at once") };
        assert!(e.events.fleet.is_starting());
        let answer = |nonce| JoinAnswer { nonce, clock: 5, event_clock: 6, query_clock: 7 };
        assert_eq!(sync.join_answer(&mut cx, &mut e, kit::addr(1), &answer(1), None), None);
        let nonce = sync.joins.running_nonce().expect("one runs");
        let fleet = Fleet { id: 3, event_clock: 6, age: 100 };
        let asked = sync.join_answer(&mut cx, &mut e, kit::addr(1), &answer(nonce), Some(fleet));
        assert_eq!((asked, e.events.fleet.is_starting(), e.events.fleet.id), (Some(true), false, 3));
        assert_eq!(cx.clocks.event.now(), 6);
        assert!(matches!(sync.due(&mut cx, &mut e), Some(Ask::Members(_))), "all members are asked for");
    }

    #[test]
    fn a_seed_that_nobody_answers_at_is_tried_for_ever_and_a_join_is_told_as_failed() {
        let (mut cx, mut e, mut sync) = kit::node();
        sync.start(&mut cx, &mut e, [kit::addr(1)].into_iter());
        let (mut asked, mut failed) = (0, 0);
        let end = cx.now + Duration::from_secs(600);
        while cx.now < end {
            while let Some(ask) = sync.due(&mut cx, &mut e) {
                asked += matches!(ask, Ask::Join(_)) as u32;
            }
            failed += matches!(sync.joins.next_result(), Some(join::JoinResult::No(_))) as u32;
            cx.now = sync.deadline(&e).max(cx.now + Duration::from_millis(1));
        }
        assert_eq!(failed, 1);
        assert!(!e.events.fleet.is_starting(), "alone");
        // Each 500 ms of the first ten seconds; then each 3.3 s of ten, in each half minute.
        assert_eq!(asked, 20 + 19 * 4);
    }
}

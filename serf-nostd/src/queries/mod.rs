//! Questions to the fleet, and their answers.
//!
//! A query travels as an event does ([`crate::events`]): pushed, pulled when missed, handed to each application at most once.
//! 1. [`Queries::ask`] notes whom its filters address, as far as this node knows, and sends it on its way.
//! 2. When it comes to the application's turn, [`Queries::accept`] looks whether its filters let this node through. If so it is
//!    acknowledged, where that is wanted.
//! 3. [`Queries::respond`] sends the answer straight to the asker, or says that there is none. Answers of a large fleet do not
//!    come all at once: each waits for a random time first, as long as the asker wants between two, for each member.
//! 4. The asker confirms each ([`Queries::answered`]); what is not confirmed is sent again.
//! 5. It ends when all who were addressed have answered or do not live any more, else when its time is over.
//!
//! 2 and 3 stand in [`asked`]. Who has handed an event to its application is asked in the same way ([`receipts`]). Those that operators
//! sign have identities of their own ([`signed`]).

mod asked;
#[cfg(feature = "seal")]
pub(crate) mod keys;
mod receipts;
mod signed;

use core::error::Error;
use core::fmt;

use crate::authority::Signed;
use crate::config::{Config, log10_ceil};
use crate::context::Cx;
use crate::events::store::Pin;
use crate::events::{EventError, Events, reaches_all};
use crate::failure::Links;
use crate::filter::{self, passes};
use crate::membership::Membership;
use crate::membership::table::SELF;
use crate::time::{Duration, Instant};
use crate::wire::message::{Address, EventId, Query, QueryResponse, answer_flag, query_flag};

pub use asked::Asked;
pub(crate) use asked::confirmation;
#[cfg(feature = "seal")]
pub use keys::{KeyAnswer, KeyOrder};
pub use receipts::Fired;
pub(crate) use signed::reserve;
use signed::{numbered, reserved_number};

/// Serf's time-out is this many gossip intervals, times the digits of the fleet's size.
const TIMEOUT_MULT: u32 = 16;
/// How often it is looked whether those who have not answered live still.
const LOOK: Duration = Duration::from_millis(100);

/// A question to the fleet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ask<'q> {
    /// What it is about.
    pub name: &'q str,
    /// Any bytes.
    pub payload: &'q [u8],
    /// Names of the members that are asked; none: all are.
    pub nodes: &'q [&'q str],
    /// Tags, and an expression that the value of each must match.
    pub tags: &'q [(&'q str, &'q str)],
    /// Whether whoever is asked is to say so at once.
    pub ack: bool,
    /// How long answers are waited for; `None`: as long as Serf does, 3.2 s in a small fleet.
    pub timeout: Option<Duration>,
    /// Whether to wait so long even if all have answered.
    pub wait_full_timeout: bool,
    /// What an operator has signed of it, with [`crate::Stated::Query`] and no filters but `nodes` and `tags`
    /// ([`crate::Target::encode`]), under what [`crate::Node::reserve_query`] has returned, whose time-out counts.
    pub signed: Option<&'q Signed>,
}

impl<'q> Ask<'q> {
    /// A question to all, with acknowledgements.
    pub fn all(name: &'q str, payload: &'q [u8]) -> Ask<'q> {
        let (nodes, tags, timeout) = (&[][..], &[][..], None);
        Ask { name, payload, nodes, tags, ack: true, timeout, wait_full_timeout: false, signed: None }
    }
}

/// Why a query was not asked, or an answer not taken. Nothing of it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum QueryError {
    /// As many queries of this node's as may be are running.
    TooMany,
    /// The filters are longer than 512 bytes, or name a member with an empty name.
    Filters,
    /// It cannot be spread, for the reasons that an event cannot be.
    Event(EventError),
    /// The answer is longer than so many bytes, as it is encoded.
    TooLong(u16),
    /// The query is not known, or its time is over.
    Over,
    /// This node has answered it already.
    Answered,
    /// There is no room for the answer now; try again.
    Full,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryError::TooMany => f.write_str("too many queries are running: try again when one has ended"),
            QueryError::Filters => {
                f.write_str("the filters are longer than 512 bytes, or have an empty name")
            }
            QueryError::Event(error) => write!(f, "{error}"),
            QueryError::TooLong(limit) => write!(f, "encoded the answer is longer than {limit} bytes"),
            QueryError::Over => f.write_str("there is no such query, or its time is over"),
            QueryError::Answered => f.write_str("the query has been answered already"),
            QueryError::Full => f.write_str("there is no room for the answer: try again later"),
        }
    }
}

impl Error for QueryError {}

/// A query of this node's. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Running {
    id: EventId,
    deadline: Instant,
    /// When it is looked next whether those who have not answered live.
    look: Instant,
    number: u32,
    /// So many of those who were addressed have said nothing to their end.
    left: u16,
    used: bool,
    waits: bool,
    /// It has ended, and the application has not been told so.
    over: bool,
}

impl Running {
    /// A free place.
    pub const EMPTY: Running = Running {
        id: EventId::LOWEST,
        deadline: Instant::PAST,
        look: Instant::PAST,
        number: 0,
        left: 0,
        used: false,
        waits: false,
        over: false,
    };
}

/// What a query of this node's says, its filters encoded.
struct Sheet<'q> {
    name: &'q str,
    payload: &'q [u8],
    filters: &'q [u8],
    flags: u32,
    timeout: Duration,
    waits: bool,
    /// Under what was reserved for it, if it is signed.
    reserved: Option<EventId>,
}

/// The slices that queries work on.
pub(crate) struct Parts<'a> {
    pub(crate) running: &'a mut [Running],
    pub(crate) asked: &'a mut [Asked],
    /// For each running query and member two bits: whether it still has to answer, and whether it has acknowledged.
    pub(crate) marks: &'a mut [u8],
}

pub(crate) struct Queries<'a> {
    running: &'a mut [Running],
    asked: &'a mut [Asked],
    marks: &'a mut [u8],
    /// Answers still to be sent, or confirmed: when the next one is due.
    next_answer: Instant,
    /// How many of `running` run, and how many of `asked` wait for an event: most of the time none, and nothing is looked at.
    used: u16,
    wanted: u16,
}

/// Which bit of a member's marks.
#[derive(Clone, Copy)]
enum Mark {
    Awaited,
    Acked,
}

impl<'a> Queries<'a> {
    pub(crate) fn new(parts: Parts<'a>) -> Self {
        parts.running.fill(Running::EMPTY);
        parts.asked.fill(Asked::EMPTY);
        Queries {
            running: parts.running,
            asked: parts.asked,
            marks: parts.marks,
            next_answer: Instant::FAR,
            used: 0,
            wanted: 0,
        }
    }

    pub(crate) fn release(self) -> Parts<'a> {
        Parts { running: self.running, asked: self.asked, marks: self.marks }
    }

    // ---- 1. asked here ----

    /// Asks the fleet; see [`crate::Node::query`].
    pub(crate) fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        events: &mut Events<'_>,
        links: Links,
        cut_off: bool,
        ask: &Ask<'_>,
    ) -> Result<EventId, QueryError> {
        let filters = filter::encode(ask.nodes, ask.tags).ok_or(QueryError::Filters)?;
        let signed = ask.signed.filter(|_| cfg!(feature = "authority"));
        let signed = signed.and_then(|signed| signed.signature.in_front_of(&filters));
        let (filters, reserved) = match &signed {
            Some(filters) => (&filters[..], ask.signed.map(|signed| signed.reserved.id)),
            None => (&filters[..], None),
        };
        let timeout = match ask.signed {
            Some(signed) => Duration::from_millis(100).times(signed.reserved.timeout as u32),
            None => ask.timeout.unwrap_or_else(|| default_timeout(&cx.config, links)),
        };
        let flags = if ask.ack { query_flag::ACK } else { 0 };
        let flags = flags
            | ask.signed.map_or(0, |signed| signed.reserved.timeout as u32) << query_flag::TIMEOUT_SHIFT;
        let (name, payload) = (ask.name, ask.payload);
        let waits = ask.wait_full_timeout;
        let sheet = Sheet { name, payload, filters, flags, timeout, waits, reserved };
        self.begin(cx, members, events, links, cut_off, &sheet)
    }

    fn begin(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        events: &mut Events<'_>,
        links: Links,
        cut_off: bool,
        sheet: &Sheet<'_>,
    ) -> Result<EventId, QueryError> {
        let Some(place) = self.running.iter().position(|running| !running.used) else {
            cx.stats.queries_full += 1;
            return Err(QueryError::TooMany);
        };
        let source = members.table.name(SELF);
        let (ltime, number) = match sheet.reserved {
            Some(EventId { ltime, .. }) => (ltime, reserved_number(cx, ltime, source)),
            None => {
                let ltime = cx.clocks.event.now();
                (ltime, numbered(ltime, source, cx.random.next(), false))
            }
        };
        // So few may answer at once.
        let pace = if reaches_all(&cx.config, links) { 0 } else { cx.config.answer_pace as u32 };
        let own = members.table.hot(SELF).addr;
        let query = Query {
            ltime,
            id: number,
            addr: own,
            source,
            filters: sheet.filters,
            flags: sheet.flags | pace << query_flag::PACE_SHIFT,
            relay_factor: 0,
            timeout_us: sheet.timeout.as_micros(),
            name: sheet.name,
            payload: sheet.payload,
        };
        let id = query.event_id();
        if sheet.reserved.is_some_and(|reserved| reserved != id) {
            return Err(QueryError::Event(EventError::Outdated));
        }
        events.ask(cx, links, cut_off, query).map_err(QueryError::Event)?;
        cx.clocks.query.adopt(query.ltime + 1);
        cx.stats.queries_asked += 1;
        self.marks_of(place).fill(0);
        let mut left = 0;
        for member in members.table.iter().filter(|id| members.table.hot(*id).is_live()) {
            let candidate = members.candidate(member);
            // Of whom this node cannot tell it is waited for, too.
            if passes(sheet.filters, candidate, cx.config.tag_matcher) != Some(false) {
                self.mark(place, member, Mark::Awaited);
                left += 1;
            }
        }
        self.running[place] = Running {
            id,
            deadline: cx.now + sheet.timeout,
            look: cx.now + LOOK,
            number,
            left,
            used: true,
            waits: sheet.waits,
            over: false,
        };
        self.used += 1;
        self.end_early(place);
        Ok(id)
    }

    /// Of whom a query, the last one of its identity, still wants to hear, of those who live.
    pub(crate) fn awaited<'m>(
        &'m self,
        members: &'m Membership<'_>,
        id: EventId,
    ) -> impl Iterator<Item = u16> + 'm {
        let place = self.running.iter().position(|running| running.id == id);
        let each = self.marks.len() / self.running.len();
        let is_awaited = move |place: usize, member: u16| {
            self.marks[place * each + member as usize / 4] & bit_of(member, Mark::Awaited) != 0
        };
        let live = members.table.iter().filter(|member| members.table.hot(*member).is_live());
        live.filter(move |member| place.is_some_and(|place| is_awaited(place, *member)))
    }

    /// Nobody waits for the answers to a query of this node's any more.
    pub(crate) fn cancel(&mut self, id: EventId) {
        if let Some(running) = self.running.iter_mut().find(|running| running.used && running.id == id) {
            running.used = false;
            self.used -= 1;
        }
    }

    fn marks_of(&mut self, place: usize) -> &mut [u8] {
        let each = self.marks.len() / self.running.len();
        &mut self.marks[place * each..(place + 1) * each]
    }

    /// Where a mark stands, and its bit.
    fn mark_of(&mut self, place: usize, member: u16, which: Mark) -> (&mut u8, u8) {
        (&mut self.marks_of(place)[member as usize / 4], bit_of(member, which))
    }

    fn is_marked(&mut self, place: usize, member: u16, which: Mark) -> bool {
        let (marks, bit) = self.mark_of(place, member, which);
        *marks & bit != 0
    }

    /// Sets a mark; whether it was not set.
    fn mark(&mut self, place: usize, member: u16, which: Mark) -> bool {
        let (marks, bit) = self.mark_of(place, member, which);
        let new = *marks & bit == 0;
        *marks |= bit;
        new
    }

    /// Takes a mark away; whether it was set.
    fn unmark(&mut self, place: usize, member: u16, which: Mark) -> bool {
        let (marks, bit) = self.mark_of(place, member, which);
        let set = *marks & bit != 0;
        *marks &= !bit;
        set
    }

    // ---- 4. answered ----

    /// An answer has come. Whether it is taken, or need not come again; else it is not confirmed.
    pub(crate) fn answered(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        events: &mut Events<'_>,
        addr: Address,
        answer: &QueryResponse<'_>,
    ) -> bool {
        let running = self.running.iter().position(|running| {
            running.used && running.number == answer.id && running.id.ltime == answer.ltime
        });
        let Some(place) = running.filter(|place| !self.running[*place].over) else {
            cx.stats.query_answers_late += 1;
            // It need not come again.
            return true;
        };
        let from = members.table.find(answer.from);
        let Some(member) = from.filter(|member| members.table.hot(*member).addr == addr) else {
            cx.stats.strangers += 1;
            return false;
        };
        let id = self.running[place].id;
        let is_answer = answer.flags & answer_flag::ANSWER != 0;
        let is_last = is_answer || answer.flags & answer_flag::NO_ANSWER != 0;
        if !self.is_marked(place, member, Mark::Awaited) {
            // It was not asked, or has answered before.
            cx.stats.query_answers_late += 1;
            return true;
        }
        // Without room for it, it comes again.
        let acks = answer.flags & answer_flag::ACK != 0 && self.mark(place, member, Mark::Acked);
        if acks && !show(cx, events, id, answer.from, None) {
            self.unmark(place, member, Mark::Acked);
            return false;
        }
        if is_answer && !show(cx, events, id, answer.from, Some(answer.payload)) {
            return false;
        }
        if is_last {
            self.unmark(place, member, Mark::Awaited);
            self.running[place].left -= 1;
            self.end_early(place);
        }
        true
    }

    fn end_early(&mut self, place: usize) {
        let running = &mut self.running[place];
        running.over |= running.left == 0 && !running.waits;
    }

    // ---- 5. ended ----

    /// A member is forgotten, or somebody else takes its place: nobody waits for it.
    pub(crate) fn forget(&mut self, member: u16) {
        for place in 0..self.running.len() {
            if self.running[place].used {
                self.unmark(place, member, Mark::Acked);
                self.running[place].left -= self.unmark(place, member, Mark::Awaited) as u16;
                self.end_early(place);
            }
        }
    }

    /// What ends by itself, and what had to wait for an event.
    pub(crate) fn expire(&mut self, cx: &mut Cx<'_>, members: &Membership<'_>, events: &mut Events<'_>) {
        if self.wanted > 0 {
            self.give_receipts(cx, members, events);
        }
        if self.used == 0 {
            return;
        }
        for place in 0..self.running.len() {
            let running = self.running[place];
            if !running.used || running.over {
                continue;
            }
            if running.deadline <= cx.now {
                self.running[place].over = true;
            } else if running.look <= cx.now {
                self.running[place].look = cx.now + LOOK;
                for member in members.table.iter().filter(|id| !members.table.hot(*id).is_live()) {
                    if self.unmark(place, member, Mark::Awaited) {
                        self.running[place].left -= 1;
                    }
                }
                self.end_early(place);
            }
        }
    }

    /// When something is due. `tells`: the application is told of what has ended.
    pub(crate) fn deadline(&self, tells: bool) -> Instant {
        if self.used == 0 {
            return self.next_answer;
        }
        let running = self.running.iter().filter(|running| running.used);
        let due = |running: &Running| match (running.over, tells) {
            (true, true) => Instant::PAST,
            (true, false) => Instant::FAR,
            (false, _) => running.deadline.min(running.look),
        };
        running.map(due).fold(self.next_answer, Instant::min)
    }

    /// A query that has ended, once all its answers have been shown.
    pub(crate) fn next_over(&mut self, events: &Events<'_>) -> Option<EventId> {
        if self.used == 0 || events.waiting() > 0 {
            return None;
        }
        let over = self.running.iter_mut().find(|running| running.used && running.over)?;
        over.used = false;
        self.used -= 1;
        Some(over.id)
    }
}

/// The bit of a member's mark in its byte.
fn bit_of(member: u16, which: Mark) -> u8 {
    1 << (member % 4 * 2 + which as u16)
}

/// Hands an answer (or with no payload an acknowledgement) to the application; false if there is no room.
fn show(cx: &mut Cx<'_>, events: &mut Events<'_>, id: EventId, from: &str, payload: Option<&[u8]>) -> bool {
    let len = from.len() + payload.map_or(0, <[u8]>::len);
    if events.store.quota_full(Pin::Application, len) {
        cx.stats.app_full += 1;
        return false;
    }
    let mut dropped = 0;
    let slot = events.store.put_response(id, from, payload, &mut dropped);
    cx.stats.store_dropped += dropped;
    slot.inspect(|slot| events.deliver(*slot)).is_some()
}

/// Serf's time-out of queries.
pub(crate) fn default_timeout(config: &Config, links: Links) -> Duration {
    config.gossip_interval.times(TIMEOUT_MULT).times(log10_ceil(links.live + 1))
}

//! Receipts of this agent's users' events, as they come in.

use serf_nostd::wire::message::EventId;
use serf_nostd::{Fired, QueryError, Status, Target};
use tokio::sync::oneshot;
use tokio::time::Instant as Wall;

use super::{Driver, queries};
use crate::agent::error::Refusal;
use crate::agent::memory::QUERIES;
use crate::agent::query::Reply;
use crate::agent::receipts::{Receipts, UserEvent, Wait, is_share};

/// An event of which receipts are awaited.
pub(super) struct Awaited {
    query: EventId,
    since: Wall,
    wait: Wait,
    /// Named members that do not live: they are missing from the start.
    absent: Vec<String>,
    members: usize,
    reached: usize,
    reply: oneshot::Sender<Result<Receipts, Refusal>>,
}

impl Driver<'_> {
    /// That there is a place among the queries that run, or the event would set out without anybody being asked.
    pub(super) fn check_places(&mut self) -> Result<(), Refusal> {
        self.cancel_abandoned();
        let running = self.receipts.len() + self.queries.running();
        if running < QUERIES { Ok(()) } else { Err(Refusal::Query(QueryError::TooMany)) }
    }

    /// Asks for receipts.
    pub(super) fn ask_receipts(
        &mut self,
        event: &UserEvent,
        wait: Wait,
        ltime: u64,
    ) -> Result<EventId, QueryError> {
        self.cancel_abandoned();
        let now = self.clock.now();
        let timeout = queries::span(wait.timeout);
        event.target.lend(|nodes, tags| {
            let fired = Fired::new(ltime, &event.name, event.coalesce);
            let fired = event.signed.map_or(fired, |signed| fired.signed(signed.reserved.id));
            self.node.receipts(now, &fired.target(Target::new(nodes, tags)), timeout)
        })
    }

    /// They have been asked for: from now on they are counted.
    pub(super) fn await_receipts(
        &mut self,
        query: EventId,
        event: &UserEvent,
        wait: Wait,
        since: Wall,
        reply: oneshot::Sender<Result<Receipts, Refusal>>,
    ) {
        let lives = |name: &String| self.node.member(name).is_some_and(|it| it.status == Status::Alive);
        let absent: Vec<String> = event.target.nodes.iter().filter(|name| !lives(name)).cloned().collect();
        let members = self.node.awaited(query).count() + absent.len();
        self.receipts.push(Awaited { query, since, wait, absent, members, reached: 0, reply });
    }

    /// A member has acknowledged a query: one of those that ask for receipts, or another one.
    pub(super) fn acknowledged(&mut self, query: EventId, from: String) {
        let Some(awaited) = self.receipts.iter_mut().find(|awaited| awaited.query == query) else {
            return self.queries.tell(query, Reply::Ack { from });
        };
        awaited.reached += 1;
        if is_share(awaited.reached, awaited.members, awaited.wait.share) {
            self.node.cancel_query(query);
            self.receipts_done(query);
        }
    }

    /// No more receipts come for this query, if it asks for any.
    pub(super) fn receipts_done(&mut self, query: EventId) {
        let Some(at) = self.receipts.iter().position(|awaited| awaited.query == query) else { return };
        let Awaited { since, reached, reply, absent: mut missing, .. } = self.receipts.swap_remove(at);
        missing.extend(self.node.awaited(query).map(str::to_owned));
        missing.sort();
        let receipts = Receipts { members: reached + missing.len(), missing, took: since.elapsed() };
        // Whoever asked may have gone.
        let _ = reply.send(Ok(receipts));
    }

    /// Those for whom nobody waits any more are in nobody's way.
    pub(super) fn cancel_abandoned_receipts(&mut self) {
        let node = &mut self.node;
        self.receipts.retain(|awaited| {
            if awaited.reply.is_closed() {
                node.cancel_query(awaited.query);
            }
            !awaited.reply.is_closed()
        });
    }
}

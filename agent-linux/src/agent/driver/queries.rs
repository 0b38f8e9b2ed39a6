//! Queries: those of this agent's users on their way out and back, those of others to whoever may answer them.

use std::collections::VecDeque;
use std::sync::Arc;

use serf_nostd::wire::message::EventId;
use serf_nostd::{Ask, Duration, EventError, QueryError, Question as CoreQuestion};
use tokio::sync::mpsc;

use super::Driver;
use crate::agent::error::Refusal;
use crate::agent::model::Event;
use crate::agent::query::{Answer, Query, Question, Replies, Reply};
use crate::agent::snapshot::Handed;

/// Serf's own queries begin so, and are nobody's else.
const INTERNAL: &str = "_serf_";
/// All that users may ask of them: whoever gets it acknowledges it, as any query, and has no answer.
const PING: &str = "_serf_ping";

pub(super) struct Queries {
    /// Those that run, and who waits for what is said to them. No more than the core runs.
    running: Vec<(EventId, mpsc::UnboundedSender<Reply>)>,
    /// For whoever may answer.
    answers: mpsc::UnboundedSender<Answer>,
    answered: mpsc::UnboundedReceiver<Answer>,
    /// Answers that have no room yet.
    waiting: VecDeque<Answer>,
}

impl Queries {
    pub(super) fn new() -> Queries {
        let (answers, answered) = mpsc::unbounded_channel();
        Queries { running: Vec::new(), answers, answered, waiting: VecDeque::new() }
    }

    /// Waits for the next answer. Cancel safe.
    pub(super) async fn answered(&mut self) -> Option<Answer> {
        self.answered.recv().await
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// What is said to a query of this node's from now on.
    fn listen(&mut self, id: EventId) -> Replies {
        let (sender, replies) = Replies::new();
        self.running.push((id, sender));
        replies
    }

    /// A member says something. Whoever asked may have gone.
    pub(super) fn tell(&self, id: EventId, reply: Reply) {
        if let Some((_, to)) = self.running.iter().find(|(running, _)| *running == id) {
            let _ = to.send(reply);
        }
    }

    pub(super) fn done(&mut self, id: EventId) {
        self.running.retain(|(running, _)| *running != id);
    }
}

/// What can be seen to be wrong before it is asked.
pub(super) fn check(query: &Query) -> Result<(), Refusal> {
    if query.name.starts_with(INTERNAL) && (query.name != PING || !query.payload.is_empty()) {
        return Err(Refusal::QueryName);
    }
    query.target.check()
}

impl Driver<'_> {
    pub(super) fn ask(&mut self, query: &Query) -> Result<Replies, QueryError> {
        if self.awaiting_first_join {
            return Err(QueryError::Event(EventError::Starting));
        }
        self.cancel_abandoned();
        let now = self.clock.now();
        let asked = query.target.lend(|nodes, tags| {
            let mut ask = Ask::all(&query.name, &query.payload);
            (ask.nodes, ask.tags, ask.ack) = (nodes, tags, query.ack);
            ask.timeout = query.timeout.map(span);
            ask.wait_full_timeout = query.wait_full_timeout;
            ask.signed = query.signed.as_ref();
            self.node.query(now, &ask)
        });
        asked.map(|id| self.queries.listen(id))
    }

    /// Queries whose clients have gone are in nobody's way.
    pub(super) fn cancel_abandoned(&mut self) {
        self.cancel_abandoned_receipts();
        self.cancel_abandoned_orders();
        let node = &mut self.node;
        self.queries.running.retain(|(id, to)| {
            if to.is_closed() {
                node.cancel_query(*id);
            }
            !to.is_closed()
        });
    }

    pub(super) fn asked(&mut self, question: Arc<Question>) {
        // Serf's own are for none of its users, and none of them is answered here.
        if !question.name.starts_with(INTERNAL) {
            self.tell_members();
            let handed = Handed { id: question.id, key: None };
            self.tell(Event::Query(question), Some(handed));
        }
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        self.queries.waiting.push_back(answer);
        self.retry_answers();
    }

    /// Hands the answers to the node, in order, until one has to wait on.
    pub(super) fn retry_answers(&mut self) {
        while let Some(answer) = self.queries.waiting.pop_front() {
            let now = self.clock.now();
            let taken = match &answer.payload {
                Some(payload) => self.node.respond(now, answer.id, payload),
                None => self.node.decline(now, answer.id),
            };
            if taken == Err(QueryError::Full) {
                self.queries.waiting.push_front(answer);
                return;
            }
            if let Some(reply) = answer.reply {
                let _ = reply.send(taken.map_err(Refusal::Answer));
            }
        }
    }
}

/// A time as the core has it.
pub(super) fn span(time: std::time::Duration) -> Duration {
    Duration::from_micros(time.as_micros() as u64)
}

/// The core's question, for whoever may answer it.
pub(super) fn question(queries: &Queries, asked: &CoreQuestion<'_>) -> Arc<Question> {
    let timeout = std::time::Duration::from_micros(asked.timeout.as_micros());
    // Who waits longer than the clock goes waits for ever.
    let now = tokio::time::Instant::now();
    Arc::new(Question {
        id: asked.id,
        name: asked.name.to_owned(),
        payload: asked.payload.to_vec(),
        source: asked.source.to_owned(),
        deadline: now.checked_add(timeout).unwrap_or(now + super::LONG),
        answers: queries.answers.clone(),
    })
}

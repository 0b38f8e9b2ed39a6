//! The queries of a node, and for whom they have to wait: kept beside the node, from what its table shows after each step, so
//! that no moment is missed in which it took somebody for dead.

use std::collections::{BTreeMap, BTreeSet};

use serf_nostd::wire::message::EventId;
use serf_nostd::{Ask, Instant, Node, QueryError, Status};

/// A query of a node's.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which.
    pub id: EventId,
    /// Members that lived in its table when it asked, with the tags that they had in it.
    pub asked: BTreeMap<String, Vec<u8>>,
    /// Of them, those who have not lived in it at some moment since.
    pub gone: BTreeSet<String>,
    /// When its time is over, on the node's own clock.
    pub deadline: Instant,
    /// When the application was told that it has ended, on that clock.
    pub ended: Option<Instant>,
}

/// All queries of a node's, since it was switched on.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    /// In the order in which they were asked.
    pub all: Vec<Question>,
    /// So many of them have not ended.
    running: usize,
}

impl Questions {
    /// Lets the node ask.
    pub(crate) fn ask(
        &mut self,
        node: &mut Node<'static>,
        now: Instant,
        ask: &Ask<'_>,
    ) -> Result<EventId, QueryError> {
        let living = node.members().filter(|member| lives(member.status));
        let living = living.map(|member| (member.name.to_owned(), member.tags.to_vec())).collect();
        let id = node.query(now, ask)?;
        // Whoever leaves the time-out to the node is not told which it took: then no end is too early.
        let deadline = ask.timeout.map_or(now, |timeout| now + timeout);
        self.all.push(Question { id, asked: living, gone: BTreeSet::new(), deadline, ended: None });
        self.running += 1;
        Ok(id)
    }

    /// The application was told that one has ended.
    pub(crate) fn end(&mut self, id: EventId, now: Instant, node: &Node<'static>) {
        self.look(node);
        if let Some(question) = self.all.iter_mut().find(|question| question.id == id) {
            self.running -= question.ended.is_none() as usize;
            question.ended.get_or_insert(now);
        }
    }

    /// Whom the node does not take for alive now.
    pub(crate) fn look(&mut self, node: &Node<'static>) {
        if self.running > 0 {
            let lives = |name: &str| node.member(name).is_some_and(|member| lives(member.status));
            for Question { asked, gone, .. } in
                self.all.iter_mut().filter(|question| question.ended.is_none())
            {
                gone.extend(asked.keys().filter(|name| !lives(name)).cloned());
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Questions::default();
    }
}

fn lives(status: Status) -> bool {
    matches!(status, Status::Alive | Status::Leaving)
}

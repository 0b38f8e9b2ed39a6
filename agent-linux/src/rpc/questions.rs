//! The queries that the streams of one connection have told of, for as long as they can be answered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::agent::query::Question;

/// Queries that one client may leave unanswered; for one more, the oldest is given up.
const OPEN: usize = 256;

/// Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Questions(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The number of the last one.
    last: u64,
    open: VecDeque<(u64, Arc<Question>)>,
}

impl Questions {
    /// The number of a query that the client is told of. Unless it only observes, the query waits for it.
    pub(super) fn number(&self, question: &Arc<Question>, observe: bool) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.last += 1;
        let number = state.last;
        if !observe {
            state.forget_old();
            if state.open.len() == OPEN {
                state.open.pop_front();
            }
            state.open.push_back((number, question.clone()));
        }
        number
    }

    /// The query of this number, while its time is not over.
    pub(super) fn named(&self, number: u64) -> Option<Arc<Question>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_old();
        let found = state.open.iter().find(|(known, _)| *known == number);
        found.map(|(_, question)| question.clone())
    }
}

impl State {
    fn forget_old(&mut self) {
        let now = Instant::now();
        self.open.retain(|(_, question)| question.deadline > now);
    }
}

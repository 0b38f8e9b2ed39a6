//! Keys: orders of this agent's users to all members, and what this agent's own keys are written to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serf_nostd::wire::message::EventId;
use serf_nostd::{EventError, Key, KeyAnswer, QueryError, Signed};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Driver;
use crate::agent::error::{Refusal, words};
use crate::agent::keyring_file;
use crate::agent::keys::{KeyReport, KeyRequest, encode};

/// What became of a change of the keys: whose order it was, and whether it is kept or there is nowhere to, or why it could not be.
pub(super) type Kept = (Option<EventId>, Result<bool, String>);

/// An order that members answer.
struct Ordered {
    query: EventId,
    /// Who was asked and has not answered, by name.
    silent: BTreeSet<String>,
    report: KeyReport,
    reply: oneshot::Sender<Result<KeyReport, Refusal>>,
}

pub(super) struct Keys {
    orders: Vec<Ordered>,
    /// Where changes go, one after the other, and where it is told that they are kept.
    changes: mpsc::UnboundedSender<(Vec<Key>, Option<EventId>)>,
    kept: mpsc::UnboundedReceiver<Kept>,
    /// What is kept, while there was no room for the answer.
    untold: Vec<Kept>,
}

impl Keys {
    /// `file`: where they are kept; without one, nowhere.
    pub(super) fn new(file: Option<PathBuf>) -> Keys {
        let (changes, changed) = mpsc::unbounded_channel();
        let (tell, kept) = mpsc::unbounded_channel();
        tokio::spawn(keep(file, changed, tell));
        Keys { orders: Vec::new(), changes, kept, untold: Vec::new() }
    }

    /// Waits for the next change that has been kept. Cancel safe.
    pub(super) async fn kept(&mut self) -> Option<Kept> {
        self.kept.recv().await
    }
}

/// How often it is tried again to write down what could not be.
const AGAIN: Duration = Duration::from_secs(10);

/// Writes changes down, in their order. The disk may not answer: the agent goes on. It may be full: once there is room again, the keys of
/// then are written.
async fn keep(
    file: Option<PathBuf>,
    mut changed: mpsc::UnboundedReceiver<(Vec<Key>, Option<EventId>)>,
    tell: mpsc::UnboundedSender<Kept>,
) {
    let mut unwritten: Option<Vec<Key>> = None;
    loop {
        let (keys, order) = match unwritten.take() {
            None => match changed.recv().await {
                Some(change) => change,
                None => return,
            },
            Some(keys) => match timeout(AGAIN, changed.recv()).await {
                Ok(Some(change)) => change,
                Ok(None) => return,
                Err(_) => {
                    if write(file.as_deref(), &keys).await.is_ok() {
                        log::info!(target: "agent", "The keys of now are written down");
                    } else {
                        unwritten = Some(keys);
                    }
                    continue;
                }
            },
        };
        let written = write(file.as_deref(), &keys).await;
        if written.is_err() {
            unwritten = Some(keys);
        }
        if tell.send((order, written)).is_err() {
            return;
        }
    }
}

/// Whether they are in the file, if there is one.
async fn write(file: Option<&Path>, keys: &[Key]) -> Result<bool, String> {
    let Some(path) = file.map(Path::to_owned) else { return Ok(false) };
    let keys = keys.to_vec();
    let store = move || {
        let why = |error| format!("cannot write {}: {}", path.display(), words(&error));
        keyring_file::store(&path, &keys).map(|()| true).map_err(why)
    };
    tokio::task::spawn_blocking(store).await.unwrap_or_else(|error| Err(error.to_string()))
}

impl Driver<'_> {
    /// Tells all members what is to be done.
    pub(super) fn order_keys(
        &mut self,
        request: &KeyRequest,
        signed: Option<&Signed>,
        reply: oneshot::Sender<Result<KeyReport, Refusal>>,
    ) {
        match self.give_order(request, signed) {
            Ok(query) => {
                let silent: BTreeSet<_> = self.node.awaited(query).map(str::to_owned).collect();
                let report = KeyReport { members: silent.len(), ..KeyReport::default() };
                self.keys.orders.push(Ordered { query, silent, report, reply });
            }
            // Whoever asked may have gone.
            Err(refusal) => _ = reply.send(Err(refusal)),
        }
    }

    fn give_order(&mut self, request: &KeyRequest, signed: Option<&Signed>) -> Result<EventId, Refusal> {
        if self.awaiting_first_join {
            return Err(Refusal::Query(QueryError::Event(EventError::Starting)));
        }
        self.cancel_abandoned();
        let now = self.clock.now();
        let given = request.lend(|order| self.node.order_keys(now, order, None, signed));
        given.map_err(Refusal::Key)?.map_err(Refusal::Query)
    }

    /// A member answers an order. False if that query is none.
    pub(super) fn key_answered(&mut self, query: EventId, from: &str, answer: &mut [u8]) -> bool {
        let Some(ordered) = self.keys.orders.iter_mut().find(|ordered| ordered.query == query) else {
            return false;
        };
        let report = &mut ordered.report;
        ordered.silent.remove(from);
        report.answered += 1;
        match self.node.key_answer(answer) {
            Some(KeyAnswer::Done(keys)) => {
                let texts = keys.iter().map(|key| encode(&Key::new(*key)));
                for (at, text) in texts.enumerate() {
                    if at == 0 {
                        report.users.entry(text.clone()).or_default().push(from.to_owned());
                    }
                    report.holders.entry(text).or_default().push(from.to_owned());
                }
            }
            Some(KeyAnswer::Unkept) => report.unkept.push(from.to_owned()),
            Some(KeyAnswer::Failed(text)) => {
                report.failed += 1;
                report.messages.insert(from.to_owned(), text.to_owned());
            }
            None => {
                report.failed += 1;
                report.messages.insert(from.to_owned(), "its answer is not understood".to_owned());
            }
        }
        true
    }

    /// No more answers come to this query, if it is an order.
    pub(super) fn order_done(&mut self, query: EventId) {
        let Some(at) = self.keys.orders.iter().position(|ordered| ordered.query == query) else { return };
        let Ordered { silent, mut report, reply, .. } = self.keys.orders.swap_remove(at);
        let lives = |name: &String| self.node.awaited(query).any(|awaited| awaited == name);
        for name in silent {
            let why = if lives(&name) { "no answer in time" } else { "it was gone before it answered" };
            report.messages.insert(name, why.to_owned());
        }
        let _ = reply.send(Ok(report));
    }

    /// The node's keys are others now.
    pub(super) fn keys_changed(&mut self, order: Option<EventId>, keys: Vec<Key>) {
        log::info!(
            target: "agent",
            "The keys have changed{}; there are {} now",
            if order.is_some() { "" } else { ", as another member says that uses a newer one" },
            keys.len()
        );
        // What it says at its end has to be opened with them.
        self.prepared_for = usize::MAX;
        // It ends with the run loop.
        let _ = self.keys.changes.send((keys, order));
    }

    /// A change has been kept, or could not be: whoever gave the order is told.
    pub(super) fn tell_kept(&mut self, kept: Kept) {
        match &kept.1 {
            Ok(true) => {}
            Ok(false) => log::warn!(
                target: "agent",
                "The next start will not know the keys of now: this agent keeps none. Start it with -keyring-file"
            ),
            Err(why) => log::error!(target: "agent", "The next start will not know the keys of now: {why}"),
        }
        self.keys.untold.push(kept);
        self.retry_kept();
    }

    /// Tells what there was no room for.
    pub(super) fn retry_kept(&mut self) {
        while let Some((order, result)) = self.keys.untold.pop() {
            let Some(id) = order else { continue };
            let told = match &result {
                Ok(kept) => Ok(*kept),
                Err(why) => Err(why.as_str()),
            };
            if self.node.keys_kept(self.clock.now(), id, told) == Err(QueryError::Full) {
                self.keys.untold.push((order, result));
                return;
            }
        }
    }

    /// Orders that nobody waits for any more are in nobody's way.
    pub(super) fn cancel_abandoned_orders(&mut self) {
        let node = &mut self.node;
        self.keys.orders.retain(|ordered| {
            if ordered.reply.is_closed() {
                node.cancel_query(ordered.query);
            }
            !ordered.reply.is_closed()
        });
    }
}

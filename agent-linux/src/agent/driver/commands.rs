//! What the agent's users ask for.

use std::collections::BTreeMap;
use std::time::Duration;

use serf_nostd::{EventError, LeaveError, QueryError, Signed};
use tokio::sync::oneshot;
use tokio::time::Instant as Wall;

use super::{Driver, End, news, queries};
use crate::agent::error::{Refusal, check_name, words};
use crate::agent::handle::Request;
use crate::agent::handler::{Identity, Spec};
use crate::agent::log::in_one_line;
use crate::agent::query::{Query, Replies};
use crate::agent::receipts::{Receipts, UserEvent, Wait};
use crate::agent::{once, operators, tags, tags_file};

/// How long an event or a query may wait for room before its sender is told that there is none.
const PATIENCE: Duration = Duration::from_secs(5);

/// An event or query that has no room yet.
pub(super) struct Pending {
    message: Message,
    pub(super) deadline: Wall,
}

enum Message {
    Event {
        event: UserEvent,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    Receipts {
        event: UserEvent,
        wait: Wait,
        /// The event has been fired, and when; its receipts are to be asked for.
        fired: Option<(u64, Wall)>,
        reply: oneshot::Sender<Result<Receipts, Refusal>>,
    },
    Query {
        query: Query,
        reply: oneshot::Sender<Result<Replies, Refusal>>,
    },
}

impl Driver<'_> {
    pub(super) fn handle_request(&mut self, request: Request) {
        match request {
            Request::Event { event, reply } => {
                log_event(&event);
                match check(&event) {
                    Ok(()) => self.launch(Message::Event { event, reply }),
                    Err(refusal) => _ = reply.send(Err(refusal)),
                }
            }
            Request::Receipts { event, wait, reply } => {
                log_event(&event);
                match check(&event).and_then(|()| self.check_places()) {
                    Ok(()) => self.launch(Message::Receipts { event, wait, fired: None, reply }),
                    Err(refusal) => _ = reply.send(Err(refusal)),
                }
            }
            Request::Query { query, reply } => {
                log::debug!(
                    target: "agent",
                    "Requesting query send: {}. Payload: {:?}",
                    in_one_line(&query.name),
                    String::from_utf8_lossy(&query.payload)
                );
                match queries::check(&query) {
                    Ok(()) => self.launch(Message::Query { query, reply }),
                    Err(refusal) => _ = reply.send(Err(refusal)),
                }
            }
            Request::Members { reply } => {
                let members = self.node.members().map(|member| news::member(&member)).collect();
                // Here and below: whoever asked may have gone.
                let _ = reply.send(members);
            }
            Request::Others { reply } => {
                let gauges = self.node.gauges();
                let _ = reply.send((gauges.members - gauges.failed - gauges.left).saturating_sub(1));
            }
            Request::Join { addresses, replay, reply } => {
                if replay {
                    self.turns.catch_up();
                }
                self.joins.look_up(addresses, self.socket.bound().port(), replay, reply);
            }
            Request::Moved(moved) => self.moved(moved),
            Request::HandOut { reply } => {
                self.node.end_windows(self.clock.now());
                self.drain();
                self.prepare_farewell();
                let _ = reply.send(());
            }
            Request::Leave { reply } => {
                log::info!(target: "agent", "requesting graceful leave from Serf");
                self.awaiting_first_join = false;
                self.leave_turns();
                match self.node.leave(self.clock.now()) {
                    Ok(()) => {
                        self.leaving.push(reply);
                        if let Some(recorder) = &self.recorder {
                            recorder.leave();
                        }
                    }
                    Err(LeaveError::AlreadyLeaving) => {
                        let _ = reply.send(Err(Refusal::Leaving));
                    }
                }
            }
            Request::ForceLeave { node, prune, reply } => {
                let how = if prune { " (prune)" } else { "" };
                log::info!(target: "agent", "Force leaving node{how}: {}", in_one_line(&node));
                let possible = check_name(&node);
                if possible.is_ok() {
                    self.node.force_leave(self.clock.now(), &node, prune);
                }
                let _ = reply.send(possible);
            }
            Request::SetHandlers { handlers, reply } => {
                // They carry the mark of those that run once, or nothing changes.
                let set = self.set_tags(tags::decode(self.node.this().tags), &handlers);
                if set.is_ok() {
                    self.handlers.set_specs(handlers);
                }
                let _ = reply.send(set);
            }
            Request::SetOperators { operators, reply } => {
                self.node.set_authority(operators::authority(&operators));
                let _ = reply.send(());
            }
            Request::SetLimits { sizes, handler_timeout, reply } => {
                self.node.set_size_limits(sizes);
                self.handlers.set_timeout(handler_timeout);
                let _ = reply.send(());
            }
            Request::SetTags { tags, reply } => self.change_tags(tags, reply),
            Request::EditTags { set, delete, reply } => self.edit_tags(set, delete, reply),
            Request::Keys { request, signed, reply } => self.order_keys(&request, signed.as_ref(), reply),
            Request::ReserveEvent { reply } => {
                let reserved = match self.awaiting_first_join {
                    true => Err(EventError::Starting),
                    false => self.node.reserve_event(self.clock.now()),
                };
                let _ = reply.send(reserved.map_err(Refusal::Event));
            }
            Request::ReserveQuery { timeout, reply } => {
                let reserved = match self.awaiting_first_join {
                    true => Err(EventError::Starting),
                    false => self.node.reserve_query(self.clock.now(), timeout.map(queries::span)),
                };
                let _ = reply.send(reserved.map_err(Refusal::Event));
            }
            Request::Coordinate { node, reply } => {
                let _ = reply.send(self.node.coordinate(&node).copied());
            }
            Request::Why { node, reply } => {
                let _ = reply.send(self.why(&node));
            }
            Request::Stats { reply } => {
                let _ = reply.send(self.report());
            }
            Request::Figures { reply } => {
                let _ = reply.send(self.figures());
            }
        }
    }

    // ---- events and queries ----

    fn launch(&mut self, message: Message) {
        self.pending.push_back(Pending { message, deadline: Wall::now() + PATIENCE });
        // Those that wait came first.
        if self.pending.len() == 1 {
            self.retry_pending();
        }
    }

    /// Hands to the node what waits, in order, until something has to wait on. Whether anything has come to an end.
    pub(super) fn retry_pending(&mut self) -> bool {
        let mut any = false;
        while let Some(Pending { message, deadline }) = self.pending.pop_front() {
            if let Some(message) = self.attempt(message, Wall::now() < deadline) {
                self.pending.push_front(Pending { message, deadline });
                break;
            }
            any = true;
        }
        any
    }

    /// Hands one to the node; gives it back if it has to wait on, while there is patience for that.
    fn attempt(&mut self, message: Message, patient: bool) -> Option<Message> {
        let may_wait = |why: &EventError| patient && matches!(why, EventError::Full | EventError::Starting);
        // Whoever asked may have gone.
        match message {
            Message::Event { event, reply } => match self.fire(&event) {
                Err(why) if may_wait(&why) => return Some(Message::Event { event, reply }),
                outcome => {
                    self.refused += outcome.as_ref().is_err_and(is_full) as u64;
                    let _ = reply.send(outcome.map(drop).map_err(Refusal::Event));
                }
            },
            Message::Query { query, reply } => match self.ask(&query) {
                Err(QueryError::Event(why)) if may_wait(&why) => {
                    return Some(Message::Query { query, reply });
                }
                outcome => {
                    let why = outcome.as_ref().err();
                    let full = matches!(why, Some(QueryError::Event(why)) if is_full(why));
                    self.refused += full as u64;
                    let _ = reply.send(outcome.map_err(Refusal::Query));
                }
            },
            Message::Receipts { event, wait, fired: None, reply } => match self.fire(&event) {
                Err(why) if may_wait(&why) => {
                    return Some(Message::Receipts { event, wait, fired: None, reply });
                }
                Err(why) => {
                    self.refused += is_full(&why) as u64;
                    let _ = reply.send(Err(Refusal::Event(why)));
                }
                Ok(ltime) => {
                    let fired = Some((ltime, Wall::now()));
                    return self.attempt(Message::Receipts { event, wait, fired, reply }, patient);
                }
            },
            Message::Receipts { event, wait, fired: Some((ltime, since)), reply } => {
                match self.ask_receipts(&event, wait, ltime) {
                    Err(QueryError::Event(why)) if may_wait(&why) => {
                        let fired = Some((ltime, since));
                        return Some(Message::Receipts { event, wait, fired, reply });
                    }
                    Err(why) => _ = reply.send(Err(Refusal::Receipts(why))),
                    Ok(query) => self.await_receipts(query, &event, wait, since, reply),
                }
            }
        }
        None
    }

    pub(super) fn fire(&mut self, event: &UserEvent) -> Result<u64, EventError> {
        if self.awaiting_first_join {
            return Err(EventError::Starting);
        }
        let (node, now) = (&mut self.node, self.clock.now());
        let UserEvent { target, name, payload, coalesce, signed } = event;
        match signed {
            None => target.lend(|nodes, tags| {
                let target = serf_nostd::Target::new(nodes, tags);
                node.targeted_event(now, &target, name, payload, *coalesce)
            }),
            Some(Signed { reserved, signature }) => {
                let fired =
                    event.stated(*reserved, signature.time, |said| node.signed_event(now, said, signature));
                fired.unwrap_or(Err(EventError::Target))
            }
        }
    }

    // ---- leaving, tags ----

    pub(super) fn left(&mut self) {
        for reply in self.leaving.drain(..) {
            let _ = reply.send(Ok(()));
        }
        self.end = Some(End::Left);
    }

    fn edit_tags(
        &mut self,
        set: BTreeMap<String, String>,
        delete: Vec<String>,
        reply: oneshot::Sender<Result<(), Refusal>>,
    ) {
        if let Some((key, _)) = set.iter().find(|(key, value)| !tags::is_tag(key, value)) {
            let _ = reply.send(Err(Refusal::TagText(key.clone())));
            return;
        }
        let mut tags = tags::decode(self.node.this().tags);
        delete.iter().for_each(|key| _ = tags.remove(key));
        tags.extend(set);
        self.change_tags(tags, reply);
    }

    /// Goes by these tags from now on, and keeps them where they are to be kept.
    fn change_tags(
        &mut self,
        mut tags: BTreeMap<String, String>,
        reply: oneshot::Sender<Result<(), Refusal>>,
    ) {
        // That one is not its users' to keep.
        tags.remove(once::MARK);
        let set = self.set_tags(tags.clone(), &self.handlers.specs());
        match self.tags_file.clone().filter(|_| set.is_ok()) {
            None => _ = reply.send(set),
            // The disk may not answer: the agent goes on.
            Some(path) => drop(tokio::task::spawn_blocking(move || {
                let kept = tags_file::store(&path, &tags);
                let why = |error| Refusal::TagsFile(format!("{}: {}", path.display(), words(&error)));
                let _ = reply.send(kept.map_err(why));
            })),
        }
    }

    fn set_tags(&mut self, tags: BTreeMap<String, String>, handlers: &[Spec]) -> Result<(), Refusal> {
        let tags = once::marked(tags, handlers);
        let set = self.node.set_tags(self.clock.now(), &tags::encode(&tags));
        set.map_err(Refusal::Tags)?;
        self.handlers.set_identity(Identity { name: self.node.this().name.to_owned(), tags });
        Ok(())
    }
}

/// What can be seen to be wrong before it is fired.
fn check(event: &UserEvent) -> Result<(), Refusal> {
    if event.name == once::NAME {
        return Err(Refusal::EventName);
    }
    event.target.check()
}

/// Whether the fleet takes no more for now.
fn is_full(why: &EventError) -> bool {
    matches!(why, EventError::Full)
}

fn log_event(event: &UserEvent) {
    log::debug!(
        target: "agent",
        "Requesting user event send: {}. Coalesced: {}. Payload: {:?}",
        in_one_line(&String::from_utf8_lossy(&event.name)),
        event.coalesce,
        String::from_utf8_lossy(&event.payload)
    );
}

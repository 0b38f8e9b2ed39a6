//! What the agent's users ask for.

use std::collections::BTreeMap;
use std::time::Duration;

use serf_nostd::{EventError, LeaveError};
use tokio::sync::oneshot;
use tokio::time::Instant as Wall;

use super::{Driver, End, news};
use crate::agent::error::{Refusal, words};
use crate::agent::handle::Request;
use crate::agent::handler::Identity;
use crate::agent::{tags, tags_file};

/// How long an event may wait for room before its sender is told that there is none.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest name a member can have, in bytes.
const NAME_LIMIT: usize = 128;

/// An event that has no room yet.
pub(super) struct PendingEvent {
    name: Vec<u8>,
    payload: Vec<u8>,
    coalesce: bool,
    reply: oneshot::Sender<Result<(), Refusal>>,
    pub(super) deadline: Wall,
}

impl Driver<'_> {
    pub(super) fn handle_request(&mut self, request: Request) {
        match request {
            Request::Event { name, payload, coalesce, reply } => {
                log::debug!(
                    target: "agent",
                    "Requesting user event send: {}. Coalesced: {coalesce}. Payload: {:?}",
                    String::from_utf8_lossy(&name),
                    String::from_utf8_lossy(&payload)
                );
                let event = PendingEvent { name, payload, coalesce, reply, deadline: Wall::now() + PATIENCE };
                // Those that wait came first.
                self.pending.push_back(event);
                if self.pending.len() == 1 {
                    self.retry_events();
                }
            }
            Request::Members { reply } => {
                let members = self.node.members().map(|member| news::member(&member)).collect();
                // Here and below: whoever asked may have gone.
                let _ = reply.send(members);
            }
            Request::Join { addresses, replay, reply } => {
                self.joins.look_up(addresses, self.node.this().addr.port(), replay, reply);
            }
            Request::Leave { reply } => {
                log::info!(target: "agent", "requesting graceful leave from Serf");
                self.awaiting_first_join = false;
                match self.node.leave(self.clock.now()) {
                    Ok(()) => self.leaving.push(reply),
                    Err(LeaveError::AlreadyLeaving) => {
                        let _ = reply.send(Err(Refusal::Leaving));
                    }
                }
            }
            Request::ForceLeave { node, prune, reply } => {
                let how = if prune { " (prune)" } else { "" };
                log::info!(target: "agent", "Force leaving node{how}: {node}");
                let possible = (1..=NAME_LIMIT).contains(&node.len());
                if possible {
                    self.node.force_leave(self.clock.now(), &node, prune);
                }
                let _ = reply.send(if possible { Ok(()) } else { Err(Refusal::Name) });
            }
            Request::SetTags { tags, reply } => self.change_tags(tags, reply),
            Request::EditTags { set, delete, reply } => self.edit_tags(set, delete, reply),
            Request::Stats { reply } => {
                let _ = reply.send(self.report());
            }
        }
    }

    // ---- events ----

    /// Hands the events that wait to the node, in order, until one has to wait on. Whether one was accepted.
    pub(super) fn retry_events(&mut self) -> bool {
        let mut accepted = false;
        while let Some(event) = self.pending.front() {
            let outcome = match self.awaiting_first_join {
                true => Err(EventError::Starting),
                false => self.node.user_event(self.clock.now(), &event.name, &event.payload, event.coalesce),
            };
            let answer = match outcome {
                Ok(_) => Ok(()),
                Err(EventError::Full | EventError::Starting) if Wall::now() < event.deadline => break,
                Err(error) => Err(Refusal::Event(error)),
            };
            accepted |= answer.is_ok();
            if let Some(event) = self.pending.pop_front() {
                let _ = event.reply.send(answer);
            }
        }
        accepted
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
        let nul = set.iter().find(|(key, value)| key.contains('\0') || value.contains('\0'));
        if let Some((key, _)) = nul {
            let _ = reply.send(Err(Refusal::TagText(key.clone())));
            return;
        }
        let mut tags = tags::decode(self.node.this().tags);
        delete.iter().for_each(|key| _ = tags.remove(key));
        tags.extend(set);
        self.change_tags(tags, reply);
    }

    /// Goes by these tags from now on, and keeps them where they are to be kept.
    fn change_tags(&mut self, tags: BTreeMap<String, String>, reply: oneshot::Sender<Result<(), Refusal>>) {
        let set = self.set_tags(tags.clone());
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

    fn set_tags(&mut self, tags: BTreeMap<String, String>) -> Result<(), Refusal> {
        let set = self.node.set_tags(self.clock.now(), &tags::encode(&tags));
        set.map_err(Refusal::Tags)?;
        self.handlers.set_identity(Identity { name: self.node.this().name.to_owned(), tags });
        Ok(())
    }
}

//! What the agent's users ask for.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use serf_nostd::{EventError, JoinError, LeaveError, TagsError};
use tokio::sync::oneshot;
use tokio::time::Instant as Wall;

use super::{Driver, End, news};
use crate::agent::address::{AddressError, JoinTarget};
use crate::agent::handle::Request;
use crate::agent::handler::Identity;
use crate::agent::tags;

/// How long an event may wait for room before its sender is told that there is none.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many seeds the core takes at once.
const SEEDS: usize = 8;

/// The longest name a member can have, in bytes.
const NAME_LIMIT: usize = 128;

/// An event that has no room yet.
pub(super) struct PendingEvent {
    name: Vec<u8>,
    payload: Vec<u8>,
    coalesce: bool,
    reply: oneshot::Sender<Result<(), String>>,
    pub(super) deadline: Wall,
}

/// Whom to join, looked up; `errors` tells of those that have no address.
pub(super) struct Resolved {
    addresses: Vec<SocketAddr>,
    errors: Vec<String>,
    replay: bool,
    reply: oneshot::Sender<(usize, Option<String>)>,
}

/// A join of several addresses, under way.
pub(super) struct Joining {
    /// Not tried yet: the core runs a few joins at once.
    waiting: VecDeque<SocketAddr>,
    /// Not answered yet.
    asked: Vec<SocketAddr>,
    joined: usize,
    errors: Vec<String>,
    replay: bool,
    reply: oneshot::Sender<(usize, Option<String>)>,
}

impl Driver<'_> {
    pub(super) fn obey(&mut self, request: Request) {
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
            Request::Join { addresses, replay, reply } => self.look_up(addresses, replay, reply),
            Request::Leave { reply } => {
                log::info!(target: "agent", "requesting graceful leave from Serf");
                self.seeded = false;
                match self.node.leave(self.clock.now()) {
                    Ok(()) => self.leaving.push(reply),
                    Err(LeaveError::AlreadyLeaving) => {
                        let _ = reply.send(Err("Leave already in progress".to_owned()));
                    }
                }
            }
            Request::ForceLeave { node, prune, reply } => {
                log::info!(target: "agent", "Force leaving node: {node}");
                if node.len() <= NAME_LIMIT {
                    self.node.force_leave(self.clock.now(), &node, prune);
                }
                let _ = reply.send(Ok(()));
            }
            Request::SetTags { tags, reply } => {
                let _ = reply.send(self.set_tags(tags));
            }
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
            let outcome = match self.seeded {
                true => Err(EventError::Starting),
                false => self.node.user_event(self.clock.now(), &event.name, &event.payload, event.coalesce),
            };
            let answer = match outcome {
                Ok(_) => Ok(()),
                Err(EventError::Full | EventError::Starting) if Wall::now() < event.deadline => break,
                Err(error) => Err(refusal(error)),
            };
            accepted |= answer.is_ok();
            if let Some(event) = self.pending.pop_front() {
                let _ = event.reply.send(answer);
            }
        }
        accepted
    }

    // ---- joining ----

    /// Looks the addresses up, all at the same time and beside the loop.
    fn look_up(
        &mut self,
        addresses: Vec<String>,
        replay: bool,
        reply: oneshot::Sender<(usize, Option<String>)>,
    ) {
        log::info!(target: "agent", "joining: [{}] replay: {replay}", addresses.join(" "));
        let port = self.node.this().addr.port();
        let lookups: Vec<_> = addresses
            .into_iter()
            .map(|text| tokio::spawn(async move { (resolve(&text, port).await, text) }))
            .collect();
        let resolved = self.resolved.0.clone();
        tokio::spawn(async move {
            let (mut addresses, mut errors) = (Vec::new(), Vec::new());
            for lookup in lookups {
                match lookup.await {
                    Ok((Ok(found), _)) => addresses.extend(found),
                    Ok((Err(error), text)) => errors.push(format!("Failed to resolve {text}: {error}")),
                    Err(error) => errors.push(error.to_string()),
                }
            }
            // If the loop has ended, so has the one that asked.
            let _ = resolved.send(Resolved { addresses, errors, replay, reply });
        });
    }

    pub(super) fn begin_join(&mut self, resolved: Resolved) {
        let Resolved { addresses, errors, replay, reply } = resolved;
        let (mut waiting, mut asked) = (VecDeque::from(addresses), Vec::new());
        if std::mem::take(&mut self.seeded) {
            asked.extend(waiting.drain(..waiting.len().min(SEEDS)));
            self.node.start(self.clock.now(), &asked);
        }
        self.joining.push(Joining { waiting, asked, joined: 0, errors, replay, reply });
        self.advance_joins();
    }

    /// A join was answered, or was not.
    pub(super) fn joined(&mut self, addr: SocketAddr, answered: bool) {
        for joining in &mut self.joining {
            let Some(place) = joining.asked.iter().position(|asked| *asked == addr) else { continue };
            joining.asked.swap_remove(place);
            if answered {
                joining.joined += 1;
            } else {
                joining.errors.push(format!("Failed to join {addr}: no answer"));
            }
            break;
        }
        self.advance_joins();
    }

    /// Begins the joins there is room for, and answers those that are complete.
    fn advance_joins(&mut self) {
        let now = self.clock.now();
        for joining in &mut self.joining {
            while let Some(addr) = joining.waiting.pop_front() {
                match self.node.join(now, addr, joining.replay) {
                    Ok(()) => joining.asked.push(addr),
                    Err(JoinError::Busy) => {
                        joining.waiting.push_front(addr);
                        break;
                    }
                    Err(JoinError::Left) => {
                        joining.errors.push("Serf can't Join after Leave or Shutdown".to_owned());
                    }
                }
            }
        }
        let complete = |joining: &mut Joining| joining.waiting.is_empty() && joining.asked.is_empty();
        for joining in self.joining.extract_if(.., complete) {
            let error = told_together(&joining.errors);
            match &error {
                Some(error) => log::warn!(target: "agent", "error joining: {error}"),
                None => log::info!(target: "agent", "joined: {} nodes", joining.joined),
            }
            let _ = joining.reply.send((joining.joined, error.filter(|_| joining.joined == 0)));
        }
    }

    // ---- leaving, tags ----

    pub(super) fn left(&mut self) {
        for reply in self.leaving.drain(..) {
            let _ = reply.send(Ok(()));
        }
        self.end = Some(End::Left);
    }

    fn set_tags(&mut self, tags: BTreeMap<String, String>) -> Result<(), String> {
        let set = self.node.set_tags(self.clock.now(), &tags::encode(&tags));
        set.map_err(|TagsError::TooLong| tags::too_long())?;
        self.handlers.set_identity(Identity { name: self.node.this().name.to_owned(), tags });
        Ok(())
    }
}

async fn resolve(text: &str, port: u16) -> Result<Vec<SocketAddr>, AddressError> {
    JoinTarget::parse(text)?.endpoint.resolve_all(port).await
}

fn refusal(error: EventError) -> String {
    match error {
        EventError::TooLong(limit) => {
            format!("user event exceeds configured limit of {limit} bytes before encoding")
        }
        EventError::TooLongEncoded(limit) => {
            format!("encoded user event exceeds configured limit of {limit} bytes after encoding")
        }
        EventError::Full => "event queue full".to_owned(),
        EventError::Starting => "still joining the cluster".to_owned(),
        EventError::ClockExhausted => {
            "the event clock is exhausted by forged times; only a new cluster helps".to_owned()
        }
        EventError::Left => "Serf can't send events after Leave or Shutdown".to_owned(),
    }
}

/// Several errors as Serf lists them.
fn told_together(errors: &[String]) -> Option<String> {
    let mut text = match errors.len() {
        0 => return None,
        1 => "1 error occurred:\n".to_owned(),
        many => format!("{many} errors occurred:\n"),
    };
    for error in errors {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "\t* {error}");
    }
    text.push('\n');
    Some(text)
}

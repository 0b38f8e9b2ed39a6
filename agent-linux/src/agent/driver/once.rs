//! Events whose handlers run once in the fleet: what this agent's turn is, and what members tell one another of it.

use std::cmp::Reverse;
use std::sync::Arc;

use serf_nostd::wire::message::EventId;
use serf_nostd::{Node, Status};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant as Wall;

use super::Driver;
use crate::agent::model::Event;
use crate::agent::once::{Act, MARK, NAME, Once, Order, Turn, Word, is_marked};
use crate::agent::query::Target;
use crate::agent::receipts::UserEvent;

pub(super) struct Turns {
    pub(super) once: Once,
    /// Told of events whose handlers have run here.
    done: mpsc::UnboundedSender<EventId>,
    ended: mpsc::UnboundedReceiver<EventId>,
}

impl Turns {
    pub(super) fn new() -> Turns {
        let (done, ended) = mpsc::unbounded_channel();
        Turns { once: Once::default(), done, ended }
    }

    /// Waits until handlers that run once have ended here. Cancel safe.
    pub(super) async fn ended(&mut self) -> Option<EventId> {
        self.ended.recv().await
    }
}

impl Driver<'_> {
    /// An event has been handed out: perhaps it is one to handle once.
    pub(super) fn take_turn(&mut self, id: EventId, filters: Vec<u8>, event: Arc<Event>) {
        if self.handlers.run_once(&event) {
            self.turns.once.add(id, event, filters, Wall::now());
        }
    }

    /// Does what is to be done by now; when to come back.
    pub(super) fn look_at_turns(&mut self) -> Option<Wall> {
        let node = &self.node;
        for act in self.turns.once.look(Wall::now(), |turn| order(node, turn)) {
            match act {
                Act::Run(id, event) => {
                    if !self.handlers.offer_once(event, id, self.turns.done.clone()) {
                        // It has no room for it, or no handler any more: others will hear nothing, and take over.
                        self.turns.once.drop(id);
                    }
                }
                Act::StillRuns(event) => self.say(event, false),
            }
        }
        self.turns.once.deadline()
    }

    pub(super) fn turn_ended(&mut self, event: EventId) {
        self.turns.once.forget(event);
        self.say(event, true);
    }

    /// Tells all that have handlers that run once.
    fn say(&mut self, event: EventId, done: bool) {
        let word = Word { event, done, from: self.node.this().name.to_owned() };
        let target = Target { tags: [(MARK.to_owned(), ".".to_owned())].into(), ..Target::default() };
        let event = UserEvent { target, name: NAME.to_vec(), payload: word.encode(), coalesce: false };
        // Should there be no room for it for long, others take over.
        let (reply, _) = oneshot::channel();
        self.launch(super::commands::Message::Event { event, reply });
    }
}

/// Who may run the handlers for an event.
fn order(node: &Node<'_>, turn: &Turn) -> Option<Order> {
    let Event::User { name, .. } = &*turn.event else { return None };
    let live = node.members().filter(|member| member.status == Status::Alive);
    let marked = live.filter(|member| is_marked(member.tag(MARK).unwrap_or_default(), name));
    let meant = marked.filter(|member| node.is_for(&turn.filters, member));
    let mut ranked: Vec<_> = meant.map(|member| (Reverse(turn.id.rank(member.name)), member.name)).collect();
    ranked.sort_unstable();
    let own = node.this().name;
    let own = ranked.iter().position(|(_, name)| *name == own)?;
    Some(Order { names: ranked.iter().map(|(_, name)| (*name).to_owned()).collect(), own })
}

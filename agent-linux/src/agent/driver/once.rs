//! Events whose handlers run once in the fleet: what this agent's turn is, and what members tell one another of it.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serf_nostd::wire::message::EventId;
use serf_nostd::{EventError, Node, Status};
use tokio::sync::mpsc;
use tokio::time::Instant as Wall;

use super::Driver;
use crate::agent::model::Event;
use crate::agent::once::{Act, MARK, NAME, Once, Order, Said, TOLD, Turn, Word, is_marked};
use crate::agent::query::Target;
use crate::agent::receipts::UserEvent;

/// Somebody who was away has come to all that there is by then.
const CATCHING_UP: Duration = Duration::from_secs(30);
/// How soon what found no room is tried again.
const AGAIN: Duration = Duration::from_millis(50);
/// Of so many later events this agent would know already, were it not behind.
const BEHIND: u64 = 64;

pub(super) struct Turns {
    pub(super) once: Once,
    /// Until then events may be old ones.
    catching_up: Option<Wall>,
    /// What is to be told, in order.
    words: VecDeque<(Said, EventId)>,
    /// There was no room for them: when to try again.
    no_room_until: Option<Wall>,
    /// This agent has met its fleet; and that is still to be told.
    begun: bool,
    begins: bool,
    /// How often this agent had stood still when it was last looked.
    freezes: u64,
    /// Told of events whose handlers have ended here; or will not run, as they were taken away.
    done: mpsc::UnboundedSender<(EventId, bool)>,
    ended: mpsc::UnboundedReceiver<(EventId, bool)>,
}

impl Turns {
    pub(super) fn new() -> Turns {
        let (done, ended) = mpsc::unbounded_channel();
        Turns {
            once: Once::default(),
            catching_up: None,
            words: VecDeque::new(),
            no_room_until: None,
            begun: false,
            begins: false,
            freezes: 0,
            done,
            ended,
        }
    }

    /// Waits until handlers that run once have ended here. Cancel safe.
    pub(super) async fn ended(&mut self) -> Option<(EventId, bool)> {
        self.ended.recv().await
    }

    /// When there is something to do by itself.
    pub(super) fn deadline(&self) -> Option<Wall> {
        [self.once.deadline(), self.no_room_until].into_iter().flatten().min()
    }

    /// What is to be told next: of no events, that this agent has begun.
    fn next_word(&self) -> Option<(Said, Vec<EventId>)> {
        if self.begins {
            return Some((Said::Runs, Vec::new()));
        }
        let (said, _) = *self.words.front()?;
        let alike = self.words.iter().take(TOLD).take_while(|(other, _)| *other == said);
        Some((said, alike.map(|(_, event)| *event).collect()))
    }

    fn told(&mut self, count: usize) {
        self.begins &= count > 0;
        self.words.drain(..count);
    }

    /// This agent has met its fleet: others are to know that it runs nothing of what it may have run before.
    pub(super) fn begin(&mut self) {
        self.begins |= !std::mem::replace(&mut self.begun, true);
    }

    /// What comes for a while may have come to others before.
    pub(super) fn catch_up(&mut self) {
        self.catching_up = Some(Wall::now() + CATCHING_UP);
    }
}

impl Driver<'_> {
    /// An event has been handed out: perhaps it is one to handle once.
    pub(super) fn take_turn(&mut self, id: EventId, filters: Vec<u8>, event: Arc<Event>) {
        if !self.handlers.run_once(&event) {
            return;
        }
        let freezes = self.node.stats().freezes;
        if std::mem::replace(&mut self.turns.freezes, freezes) != freezes {
            self.turns.catch_up();
        }
        let now = Wall::now();
        let behind = self.node.gauges().event_time.saturating_sub(id.ltime) > BEHIND;
        let late = behind || self.turns.catching_up.is_some_and(|until| now < until);
        self.turns.once.add(id, event, filters, late, now);
    }

    /// Does what is to be done by now; whether anything was told.
    pub(super) fn look_at_turns(&mut self) -> bool {
        let node = &self.node;
        for act in self.turns.once.look(Wall::now(), |turn| order(node, turn)) {
            match act {
                Act::Run(id, event) => {
                    if !self.handlers.offer_once(event, id, self.turns.done.clone()) {
                        // It has no room for it, or no handler any more: others will hear nothing, and take over.
                        self.turns.once.drop(id);
                    }
                }
                Act::Runs(event) => self.turns.words.push_back((Said::Runs, event)),
                Act::Overdue(event) => self.overdue(event),
            }
        }
        self.say_words()
    }

    /// An event's handlers have waited or run for long. If others could, those that have not begun are left to them.
    fn overdue(&mut self, event: EventId) {
        let others = self.turns.once.turn(event).and_then(|turn| order(&self.node, turn));
        let withdrawn = others.is_some_and(|order| order.names.len() > 1) && self.handlers.withdraw(event);
        if withdrawn {
            self.turns.once.again(event, Some(self.node.this().name), Wall::now());
        }
        self.turns.words.push_back((if withdrawn { Said::GivenUp } else { Said::Runs }, event));
    }

    /// This agent is about to leave: handlers that have not begun are left to others, and what has ended is told.
    pub(super) fn leave_turns(&mut self) {
        let waiting: Vec<EventId> = self.turns.once.here().collect();
        for event in waiting {
            let others = self.turns.once.turn(event).and_then(|turn| order(&self.node, turn));
            if others.is_some_and(|order| order.names.len() > 1) && self.handlers.withdraw(event) {
                self.turns.once.drop(event);
                self.turns.words.push_back((Said::GivenUp, event));
            }
        }
        self.say_words();
    }

    /// Handlers have ended, or were taken away before they began.
    pub(super) fn turn_ended(&mut self, event: EventId, ran: bool) {
        if ran {
            self.turns.once.forget(event);
            self.turns.words.push_back((Said::Done, event));
        } else {
            self.turns.once.again(event, None, Wall::now());
        }
    }

    /// Tells all that have handlers that run once, as many events in a word as fit. What finds no room is told later, with what
    /// has come by then. Whether anything was told.
    fn say_words(&mut self) -> bool {
        let (mut told, now) = (false, Wall::now());
        if self.turns.no_room_until.is_some_and(|until| now < until) {
            return false;
        }
        self.turns.no_room_until = None;
        while let Some((said, events)) = self.turns.next_word() {
            let count = events.len();
            if !self.say(said, events) {
                self.turns.no_room_until = Some(now + AGAIN);
                break;
            }
            self.turns.told(count);
            told = true;
        }
        told
    }

    /// Whether that has been told, or never can be.
    fn say(&mut self, said: Said, events: Vec<EventId>) -> bool {
        let word = Word { said, from: self.node.this().name.to_owned(), events };
        let target = Target { tags: [(MARK.to_owned(), ".".to_owned())].into(), ..Target::default() };
        let event =
            UserEvent { target, name: NAME.to_vec(), payload: word.encode(), coalesce: false, signed: None };
        !matches!(self.fire(&event), Err(EventError::Full | EventError::Starting))
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

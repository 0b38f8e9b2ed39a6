//! What the node tells, on its way to handlers and streams.

use std::sync::Arc;

use serf_nostd::{Member as CoreMember, MemberChange, Status as CoreStatus, UserEvent};

use super::{Changes, Driver};
use crate::agent::log::in_one_line;
use crate::agent::model::{Event, Member, MemberEventKind, Status};
use crate::agent::snapshot::Handed;
use crate::agent::tags;

impl Driver<'_> {
    /// Adds a change to those of the same kind that came just before it.
    pub(super) fn tell_member(&mut self, kind: MemberEventKind, member: Member) {
        self.turns.once.stir();
        let (name, addr) = (&member.name, member.addr);
        let failed = match kind {
            MemberEventKind::Failed => !self.failed.insert(name.clone()),
            MemberEventKind::Update => false,
            _ => self.failed.remove(name),
        };
        let Changes { joins, leaves, failures, updates } = &mut self.changes;
        match kind {
            MemberEventKind::Join => *joins += 1,
            MemberEventKind::Leave => *leaves += 1,
            MemberEventKind::Failed => *failures += 1,
            MemberEventKind::Update => *updates += 1,
            // The core counts it.
            MemberEventKind::Reap => {}
        }
        match kind {
            MemberEventKind::Join => log::info!(target: "serf", "EventMemberJoin: {name} {addr}"),
            MemberEventKind::Leave if failed => {
                log::info!(target: "serf", "EventMemberLeave (forced): {name} {addr}");
            }
            MemberEventKind::Leave => log::info!(target: "serf", "EventMemberLeave: {name} {addr}"),
            MemberEventKind::Failed => log::info!(target: "serf", "EventMemberFailed: {name} {addr}"),
            MemberEventKind::Update => log::info!(target: "serf", "EventMemberUpdate: {name}"),
            MemberEventKind::Reap => log::info!(target: "serf", "EventMemberReap: {name}"),
        }
        match &mut self.group {
            Some((of, members)) if *of == kind => members.push(member),
            _ => {
                self.tell_members();
                self.group = Some((kind, vec![member]));
            }
        }
    }

    /// Tells the changes collected so far.
    pub(super) fn tell_members(&mut self) {
        if let Some((kind, members)) = self.group.take() {
            self.tell(Event::Member { kind, members }, None);
        }
    }

    /// `handed`: what the snapshot is to know of it.
    pub(super) fn tell(&mut self, event: Event, handed: Option<Handed>) -> Arc<Event> {
        match &event {
            Event::Member { kind, .. } => log::info!(target: "agent", "Received event: {}", kind.as_str()),
            Event::User { name, .. } => {
                let name = String::from_utf8_lossy(name);
                // A name is anybody's bytes: it stays on its line.
                log::info!(target: "agent", "Received event: user-event: {}", in_one_line(&name));
            }
            Event::Query(question) => {
                log::info!(target: "agent", "Received event: query: {}", in_one_line(&question.name));
            }
        }
        let event = Arc::new(event);
        match &self.recorder {
            Some(recorder) => recorder.tell(event.clone(), handed),
            None => {
                self.hub.publish(event.clone());
                self.handlers.offer(event.clone());
            }
        }
        event
    }
}

pub(super) fn user(event: &UserEvent<'_>) -> Event {
    Event::User {
        ltime: event.id.ltime,
        name: event.name.to_vec(),
        payload: event.payload.to_vec(),
        coalesce: event.coalesce,
    }
}

pub(super) fn kind(change: MemberChange) -> MemberEventKind {
    match change {
        MemberChange::Join => MemberEventKind::Join,
        MemberChange::Leave => MemberEventKind::Leave,
        MemberChange::Failed => MemberEventKind::Failed,
        MemberChange::Update => MemberEventKind::Update,
        MemberChange::Reap => MemberEventKind::Reap,
    }
}

pub(super) fn member(member: &CoreMember<'_>) -> Member {
    Member {
        name: member.name.to_owned(),
        addr: member.addr.ip(),
        port: member.addr.port(),
        tags: tags::decode(member.tags),
        status: match member.status {
            CoreStatus::Alive => Status::Alive,
            CoreStatus::Leaving => Status::Leaving,
            CoreStatus::Left => Status::Left,
            CoreStatus::Failed => Status::Failed,
        },
        versions: member.versions,
    }
}

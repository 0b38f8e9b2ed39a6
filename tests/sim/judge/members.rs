//! In the end everybody is shown as it is.

use serf_nostd::Status;

use super::history::Told;
use super::{Judge, Machine};
use crate::fleet::Fleet;

/// What is to be shown of a machine; `None`: nothing, or what it likes.
fn truth(machine: &Machine, on: bool) -> Option<&'static [Status]> {
    match (on, machine.boots) {
        (true, _) => Some(&[Status::Alive]),
        (false, 0) => None,
        (false, _) if machine.left => Some(&[Status::Left]),
        // The word may have been lost with it.
        (false, _) if machine.leaves => Some(&[Status::Left, Status::Failed]),
        (false, _) => Some(&[Status::Failed]),
    }
}

impl Judge {
    pub(super) fn judge_members(&mut self, fleet: &Fleet) {
        if self.namesakes {
            return;
        }
        for viewer in 0..self.machines.len() {
            let Some(node) = fleet.node(viewer) else { continue };
            let stats = node.stats();
            let partial = stats.members_unheld + stats.names_unheld > 0;
            for subject in 0..self.machines.len() {
                self.judge_member(fleet, viewer, subject, partial);
            }
        }
    }

    fn judge_member(&mut self, fleet: &Fleet, viewer: usize, subject: usize, partial: bool) {
        let machine = &fleet.machines[subject];
        let Some(node) = fleet.node(viewer) else { return };
        let Some(truth) = truth(&self.machines[subject], fleet.is_on(subject)) else { return };
        let Some(shown) = node.member(machine.name()) else {
            if partial {
                self.excuse("no place for a member");
            } else if fleet.is_on(subject) {
                self.complain(format!("machine {viewer} does not show machine {subject}, which lives"));
            }
            return;
        };
        let (status, addr, tags) = (shown.status, shown.addr, shown.tags.to_vec());
        if self.machines[subject].pruned && self.forged_until.is_none() {
            return self.complain(format!(
                "machine {viewer} shows machine {subject}, which was pruned, as {status:?}"
            ));
        }
        if !truth.contains(&status) {
            return self
                .complain(format!("machine {viewer} shows machine {subject} as {status:?}, not {truth:?}"));
        }
        let (home, own) = (machine.address(), &machine.tags);
        if fleet.is_on(subject) && (addr != home || (!tags.is_empty() && tags != *own)) {
            return self.complain(format!(
                "machine {viewer} shows machine {subject} at {addr} with tags {tags:?}, not at {home} with {own:?}"
            ));
        }
        let Some(life) = &self.machines[viewer].life else { return };
        let told = match life.history.of(machine.name()) {
            None => return,
            Some(Told::Joined) => status == Status::Alive,
            Some(Told::Failed) => status == Status::Failed,
            Some(Told::Left) => status != Status::Alive,
        };
        if !told && self.forged_until.is_none() {
            let last = life.history.of(machine.name());
            self.complain(format!(
                "machine {viewer} shows machine {subject} as {status:?}; last told: {last:?}"
            ));
        }
    }
}

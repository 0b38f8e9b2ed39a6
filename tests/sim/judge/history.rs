//! What an application is told of a member is a legal history: it joins, changes, fails or leaves, comes back, is forgotten.

use std::collections::BTreeMap;

use serf_nostd::MemberChange;

/// What an application was last told of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is there.
    Joined,
    /// It has failed.
    Failed,
    /// It has left.
    Left,
}

/// What one application has been told, by name of the member.
#[derive(Clone, Debug, Default)]
pub struct History(BTreeMap<String, Told>);

impl History {
    /// What was last told of a member; `None`: nothing, or its end.
    pub fn of(&self, name: &str) -> Option<Told> {
        self.0.get(name).copied()
    }

    /// One more report.
    ///
    /// # Errors
    /// Why it cannot follow what was told before.
    pub fn tell(&mut self, name: &str, change: MemberChange) -> Result<(), String> {
        let before = self.of(name);
        let after = match (before, change) {
            (None | Some(Told::Failed | Told::Left), MemberChange::Join) => Some(Told::Joined),
            (Some(Told::Joined), MemberChange::Update) => Some(Told::Joined),
            (Some(Told::Joined), MemberChange::Failed) => Some(Told::Failed),
            (Some(Told::Joined | Told::Failed), MemberChange::Leave) => Some(Told::Left),
            (Some(Told::Failed | Told::Left), MemberChange::Reap) => None,
            _ => return Err(format!("{change:?} of {name} is told after {before:?}")),
        };
        match after {
            Some(told) => drop(self.0.insert(name.to_string(), told)),
            None => drop(self.0.remove(name)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MemberChange::{Failed, Join, Leave, Reap, Update};

    fn told(changes: &[MemberChange]) -> Result<(), String> {
        let mut history = History::default();
        changes.iter().try_for_each(|change| history.tell("a", *change))
    }

    #[test]
    fn legal_histories_pass() {
        assert_eq!(told(&[Join, Update, Failed, Join, Failed, Leave, Reap, Join, Leave, Join]), Ok(()));
    }

    #[test]
    fn others_do_not() {
        let illegal: [&[MemberChange]; 9] = [
            &[Failed],
            &[Leave],
            &[Update],
            &[Reap],
            &[Join, Join],
            &[Join, Reap],
            &[Join, Failed, Failed],
            &[Join, Leave, Failed],
            &[Join, Failed, Reap, Reap],
        ];
        assert!(illegal.iter().all(|changes| told(changes).is_err()));
    }
}

//! What an application is told about a member is a history that can be: it comes, changes, fails or leaves, and is forgotten.

use std::collections::BTreeMap;

use serf_nostd::{MemberChange, Status};

use super::Verdict;
use super::excuse::{Excused, excuse};
use super::members::View;

/// What an application was last told about a member.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    change: MemberChange,
    tags: Vec<u8>,
    /// When.
    at: u64,
}

/// What all applications have been told in their present lives, by the members' names.
#[derive(Debug)]
pub(super) struct Histories {
    told: Vec<BTreeMap<String, Told>>,
}

impl Histories {
    pub(super) fn new(machines: usize) -> Histories {
        Histories { told: vec![BTreeMap::new(); machines] }
    }

    pub(super) fn switched_on(&mut self, i: usize) {
        self.told[i].clear();
    }

    /// An application was told of a change.
    pub(super) fn saw(
        &mut self,
        i: usize,
        at: u64,
        change: MemberChange,
        (name, status, tags): (&str, Status, &[u8]),
    ) -> Verdict {
        use MemberChange::{Failed, Join, Leave, Reap, Update};
        let before = self.told[i].get(name).map(|told| told.change);
        let legal = match change {
            Join => matches!(before, None | Some(Failed | Leave | Reap)),
            Update => matches!(before, Some(Join | Update)),
            Failed => matches!(before, Some(Join | Update)),
            Leave => matches!(before, Some(Join | Update | Failed)),
            Reap => matches!(before, Some(Failed | Leave)),
        };
        let told = Told { change, tags: tags.to_vec(), at };
        self.told[i].insert(name.to_string(), told);
        if !legal {
            let before = before.map_or("nothing".to_string(), |before| format!("{before:?}"));
            return Err(format!("node {i} was told {change:?} of {name} after {before}, at {at}"));
        }
        let fits = match change {
            Join | Update => matches!(status, Status::Alive | Status::Leaving),
            Failed => status == Status::Failed,
            Leave => status == Status::Left,
            Reap => matches!(status, Status::Failed | Status::Left),
        };
        if !fits {
            return Err(format!("node {i} was told {change:?} of {name}, which is {status:?}, at {at}"));
        }
        Ok(())
    }

    /// Whether somebody who lives yet has been told after this time that a member has left, or is forgotten.
    pub(super) fn has_left(&self, name: &str, after: u64, living: &[usize]) -> bool {
        let left =
            |told: &Told| told.at >= after && matches!(told.change, MemberChange::Leave | MemberChange::Reap);
        living.iter().any(|i| self.told[*i].get(name).is_some_and(left))
    }

    /// In peace everybody has been told what its node shows. `partial`: whose table is smaller than the fleet; it gives up those
    /// who are gone, of which its application has been told, without another word.
    pub(super) fn judge(
        &self,
        views: &[Option<View>],
        partial: &dyn Fn(usize) -> bool,
        excused: &mut Excused,
    ) -> Verdict {
        use MemberChange::{Failed, Join, Leave, Reap, Update};
        for (i, view) in views.iter().enumerate() {
            let Some(view) = view else { continue };
            for (name, shown) in view {
                let told = self.told[i].get(name);
                let right = match told.map(|told| told.change) {
                    Some(Join | Update) => matches!(shown.status, Status::Alive | Status::Leaving),
                    Some(Failed) => shown.status == Status::Failed,
                    Some(Leave) => shown.status == Status::Left,
                    // Whom it never knew alive it is not told of.
                    None => matches!(shown.status, Status::Failed | Status::Left),
                    Some(Reap) => false,
                };
                if !right {
                    let told = told.map(|told| told.change);
                    let status = shown.status;
                    return Err(format!(
                        "node {i} shows {name} {status:?}, its application was told {told:?}"
                    ));
                }
                let other_tags = told.filter(|told| told.tags != shown.tags);
                if other_tags.is_some_and(|told| matches!(told.change, Failed | Leave)) {
                    // It was back, with other tags, and gone again, before anybody was told.
                    excuse(excused, "a life within one window");
                } else if other_tags.is_some() {
                    return Err(format!("node {i} shows tags of {name} that its application was not told"));
                }
            }
            let last = self.told[i].iter().filter(|(_, told)| told.change != Reap);
            for (name, told) in last {
                if !view.contains_key(name) {
                    let told = told.change;
                    if partial(i) && matches!(told, Failed | Leave) {
                        excuse(excused, "partial table");
                        continue;
                    }
                    return Err(format!("node {i} does not show {name}, its application was told {told:?}"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serf_nostd::MemberChange::{self, Failed, Join, Leave, Reap, Update};
    use serf_nostd::Status;

    use super::super::excuse::Excused;
    use super::super::members::Shown;
    use super::Histories;

    fn tell(changes: &[MemberChange]) -> Result<Histories, String> {
        let mut histories = Histories::new(1);
        for (at, change) in changes.iter().enumerate() {
            let status = match change {
                Join | Update => Status::Alive,
                Leave => Status::Left,
                Failed | Reap => Status::Failed,
            };
            histories.saw(0, at as u64, *change, ("a", status, b""))?;
        }
        Ok(histories)
    }

    #[test]
    fn a_member_comes_changes_fails_leaves_and_comes_again() {
        assert!(tell(&[Join, Update, Failed, Leave, Reap, Join, Failed, Join]).is_ok());
    }

    #[test]
    fn impossible_histories_are_refused() {
        let impossible: [&[MemberChange]; 8] = [
            &[Join, Join],
            &[Update],
            &[Failed],
            &[Leave],
            &[Join, Reap],
            &[Join, Leave, Failed],
            &[Join, Failed, Update],
            &[Join, Failed, Failed],
        ];
        for changes in impossible {
            assert!(tell(changes).is_err(), "{changes:?}");
        }
    }

    #[test]
    fn a_change_that_is_not_what_the_member_is_is_refused() {
        let mut histories = Histories::new(1);
        assert!(histories.saw(0, 0, Join, ("a", Status::Failed, b"")).is_err());
    }

    fn judge(histories: &Histories, status: Option<(Status, &[u8])>, partial: bool) -> bool {
        let addr = "10.0.0.1:7946".parse().expect("an address");
        let shown = |(status, tags): (Status, &[u8])| Shown { status, addr, tags: tags.to_vec() };
        let view: BTreeMap<_, _> =
            status.map(|status| ("a".to_string(), shown(status))).into_iter().collect();
        histories.judge(&[Some(view)], &|_| partial, &mut Excused::default()).is_ok()
    }

    #[test]
    fn what_is_shown_was_told() {
        let histories = tell(&[Join]).expect("legal");
        assert!(judge(&histories, Some((Status::Alive, b"")), false));
        assert!(!judge(&histories, Some((Status::Failed, b"")), false), "a death is not told");
        assert!(!judge(&histories, Some((Status::Alive, b"new")), false), "new tags are not told");
        assert!(!judge(&histories, None, true), "an end is not told");
    }

    #[test]
    fn who_was_never_known_alive_need_not_be_told() {
        let nothing = tell(&[]).expect("legal");
        assert!(judge(&nothing, Some((Status::Left, b"")), false));
        assert!(!judge(&nothing, Some((Status::Alive, b"")), false), "a coming is not told");
    }

    #[test]
    fn a_small_table_gives_up_the_dead() {
        let dead = tell(&[Join, Failed]).expect("legal");
        assert!(!judge(&dead, None, false));
        assert!(judge(&dead, None, true));
    }

    #[test]
    fn who_was_told_of_a_leave_knows_that_it_left() {
        let left = tell(&[Join, Leave]).expect("legal");
        assert!(left.has_left("a", 1, &[0]));
        assert!(!left.has_left("a", 2, &[0]), "that was before");
        assert!(!left.has_left("a", 1, &[]), "nobody who heard it lives");
    }
}

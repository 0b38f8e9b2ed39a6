//! The judge of members can fail: each kind of violation, made by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serf_nostd::{MemberChange, Status};

use super::{Members, Shown, Views};
use crate::fleet::Fleet;
use crate::judge::excuse::Excused;
use crate::judge::history::Histories;
use crate::judge::presence::Presence;
use crate::wire::addr;

/// Three machines that show each other as they are.
struct Court {
    views: Views,
    presence: Presence,
    histories: Histories,
    members: Members,
}

impl Court {
    fn new() -> Court {
        let own: Vec<(SocketAddr, Vec<u8>)> = (0..3).map(|i| (addr(i), Vec::new())).collect();
        let shown = |i: usize| Shown { status: Status::Alive, addr: own[i].0, tags: Vec::new() };
        let view: BTreeMap<String, Shown> = (0..3).map(|i| (Fleet::name(i), shown(i))).collect();
        let mut presence = Presence::new(3);
        for i in 0..3 {
            presence.begin(i, 1, 0);
            presence.lives[i].name = Fleet::name(i);
            presence.is_in(i, 1, 0);
        }
        Court {
            views: Views { shown: vec![Some(view); 3], own, places: vec![8; 3] },
            presence,
            histories: Histories::new(3),
            members: Members::new(3),
        }
    }

    /// Switches machine 2 off.
    fn off(&mut self, status: Option<Status>) {
        self.presence.end(2, 10);
        self.views.shown[2] = None;
        self.show(0, status);
        self.show(1, status);
    }

    /// Machine `i` shows the last one so.
    fn show(&mut self, i: usize, status: Option<Status>) {
        let view = self.views.shown[i].as_mut().expect("on");
        match status {
            Some(status) => {
                let shown = Shown { status, addr: addr(2), tags: Vec::new() };
                view.insert(Fleet::name(2), shown);
            }
            None => drop(view.remove(&Fleet::name(2))),
        }
    }

    fn judge(&self) -> Result<Excused, String> {
        let mut excused = Excused::default();
        self.members.judge(&self.views, &self.presence, &self.histories, &mut excused)?;
        Ok(excused)
    }

    /// Machine 0 is told that the last one has left.
    fn tell_left(&mut self) {
        for (change, status) in [(MemberChange::Join, Status::Alive), (MemberChange::Leave, Status::Left)] {
            self.histories.saw(0, 30, change, (&Fleet::name(2), status, b"")).expect("legal");
        }
    }
}

#[test]
fn the_living_are_shown_alive_by_all() {
    let mut court = Court::new();
    assert!(court.judge().is_ok());
    court.show(0, Some(Status::Failed));
    assert!(court.judge().is_err());
    court.show(0, None);
    assert!(court.judge().is_err());
    court.views.places[0] = 2;
    assert_eq!(court.judge().map(|excused| excused.of("partial table")), Ok(1));
}

#[test]
fn addresses_and_tags_are_true() {
    let mut court = Court::new();
    court.views.own[2].0 = addr(7);
    assert!(court.judge().is_err(), "it has moved");
    let mut court = Court::new();
    court.views.own[2].1 = b"new".to_vec();
    assert!(court.judge().is_err(), "it has other tags");
}

#[test]
fn whom_there_never_was_nobody_shows() {
    let mut court = Court::new();
    let ghost = Shown { status: Status::Failed, addr: addr(9), tags: Vec::new() };
    court.views.shown[1].as_mut().expect("on").insert("ghost".to_string(), ghost);
    assert!(court.judge().is_err());
}

#[test]
fn the_dead_are_shown_failed_by_all() {
    let mut court = Court::new();
    court.off(Some(Status::Failed));
    assert!(court.judge().is_ok());
    court.show(1, None);
    assert!(court.judge().is_err(), "one does not show it");
    court.off(Some(Status::Left));
    assert!(court.judge().is_err(), "it did not leave");
    court.off(Some(Status::Alive));
    assert!(court.judge().is_err(), "it does not live");
}

#[test]
fn who_has_left_is_shown_so() {
    let mut court = Court::new();
    let long = court.presence.spreading;
    court.members.ordered(2, long, &court.presence);
    court.members.done(2);
    court.off(Some(Status::Left));
    assert!(court.judge().is_ok());
    court.off(Some(Status::Failed));
    assert!(court.judge().is_err());
    // Nobody may have heard it behind a cut; but then nobody has.
    court.presence.cut(4);
    assert!(court.judge().is_ok());
    court.show(0, Some(Status::Left));
    assert!(court.judge().is_err(), "they differ");
}

/// It is back from behind a cut, and has not found anybody yet.
#[test]
fn who_leaves_when_it_knows_of_nobody_may_count_as_dead() {
    let mut court = Court::new();
    court.presence.lives[2].alone = true;
    court.members.ordered(2, 20, &court.presence);
    court.members.done(2);
    court.off(Some(Status::Failed));
    assert_eq!(court.judge().map(|excused| excused.of("an order that may be lost")), Ok(1));
    court.tell_left();
    assert!(court.judge().is_err(), "one has heard it");
}

#[test]
fn an_order_that_somebody_has_heard_holds_for_all() {
    let mut court = Court::new();
    court.off(Some(Status::Failed));
    court.members.forced_out(&Fleet::name(2), 20, (None, false), &court.presence);
    assert_eq!(court.judge().map(|excused| excused.of("an order that may be lost")), Ok(1));
    court.tell_left();
    assert!(court.judge().is_err(), "one has heard it");
    court.off(Some(Status::Left));
    assert!(court.judge().is_ok());
}

#[test]
fn the_pruned_are_gone() {
    let mut court = Court::new();
    court.off(Some(Status::Left));
    court.members.forced_out(&Fleet::name(2), 20, (Some((0, 1)), false), &court.presence);
    court.tell_left();
    assert!(court.judge().is_err());
    court.off(None);
    assert!(court.judge().is_ok());
}

#[test]
fn an_order_to_forget_that_is_older_than_what_others_know_may_be_lost() {
    let mut court = Court::new();
    court.off(Some(Status::Left));
    court.members.forced_out(&Fleet::name(2), 20, (Some((0, 1)), true), &court.presence);
    court.tell_left();
    assert_eq!(court.judge().map(|excused| excused.of("an order that may be lost")), Ok(1));
    court.off(None);
    assert!(court.judge().is_ok());
}

#[test]
fn of_two_with_one_name_all_show_the_same() {
    let mut court = Court::new();
    court.presence.lives[1].name = Fleet::name(2);
    for view in court.views.shown.iter_mut().flatten() {
        view.remove(&Fleet::name(1));
    }
    assert!(court.judge().is_ok());
    let view = court.views.shown[0].as_mut().expect("on");
    view.get_mut(&Fleet::name(2)).expect("shown").addr = addr(5);
    assert!(court.judge().is_err(), "neither of them is there");
}

//! Who is in the fleet: in the end everybody shows every member as it is.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serf_nostd::Status;

use super::Verdict;
use super::excuse::{Excused, excuse};
use super::history::Histories;
use super::presence::Presence;
use crate::fleet::Fleet;

/// A member as a node shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub status: Status,
    pub addr: SocketAddr,
    pub tags: Vec<u8>,
}

/// All members that a node shows, by name.
pub(super) type View = BTreeMap<String, Shown>;

/// What all machines show (nothing, if they are off), what they say of themselves, and what they have places for.
#[derive(Clone, Debug)]
pub(super) struct Views {
    pub shown: Vec<Option<View>>,
    pub own: Vec<(SocketAddr, Vec<u8>)>,
    pub places: Vec<usize>,
}

impl Views {
    pub(super) fn of(fleet: &Fleet) -> Views {
        let machines = 0..fleet.machines.len();
        let view = |i: usize| {
            let node = fleet.node(i)?;
            let shown =
                |m: serf_nostd::Member<'_>| Shown { status: m.status, addr: m.addr, tags: m.tags.to_vec() };
            Some(node.members().map(|m| (m.name.to_string(), shown(m))).collect())
        };
        let own = |i: usize| (fleet.machines[i].address(), fleet.machines[i].tags.clone());
        Views {
            shown: machines.clone().map(view).collect(),
            own: machines.clone().map(own).collect(),
            places: machines.map(|i| fleet.machines[i].size.members()).collect(),
        }
    }
}

/// How a machine's life ended, as far as somebody gave an order.
#[derive(Clone, Debug, Default)]
struct End {
    /// When it was ordered to leave.
    ordered: Option<u64>,
    /// It knew of nobody then whom it could have told.
    alone: bool,
    /// Its node said that it has left.
    done: bool,
    /// When others were ordered to count it as left.
    forced: Option<u64>,
    /// Who was ordered to forget it, in which life.
    pruned: Vec<(usize, u64)>,
    /// And who was so while others had heard more: its order may be older than what they know.
    pruned_late: bool,
}

#[derive(Debug)]
pub(super) struct Members {
    ends: Vec<End>,
    /// How somebody went before then nobody may know: a member lied.
    pub honest_since: u64,
}

impl Members {
    pub(super) fn new(machines: usize) -> Members {
        Members { ends: vec![End::default(); machines], honest_since: 0 }
    }

    pub(super) fn switched_on(&mut self, i: usize) {
        self.ends[i] = End::default();
    }

    pub(super) fn ordered(&mut self, i: usize, now: u64, presence: &Presence) {
        self.ends[i].ordered = Some(now);
        self.ends[i].alone = presence.lives[i].alone;
    }

    pub(super) fn done(&mut self, i: usize) {
        self.ends[i].done = true;
    }

    /// All machines of a name are to be counted as left, and forgotten if somebody says so. `late`: others know of later orders.
    pub(super) fn forced_out(
        &mut self,
        name: &str,
        now: u64,
        (prune, late): (Option<(usize, u64)>, bool),
        presence: &Presence,
    ) {
        for (end, _) in self.ends.iter_mut().zip(&presence.lives).filter(|(_, life)| life.name == name) {
            end.forced.get_or_insert(now);
            end.pruned.extend(prune.filter(|_| !late));
            end.pruned_late |= prune.is_some() && late;
        }
    }

    /// Peace: everybody shows what is.
    pub(super) fn judge(
        &self,
        views: &Views,
        presence: &Presence,
        histories: &Histories,
        excused: &mut Excused,
    ) -> Verdict {
        let mut names: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (j, life) in presence.lives.iter().enumerate().filter(|(_, life)| life.boots > 0) {
            names.entry(&life.name).or_default().push(j);
        }
        let viewers = presence.living();
        for i in &viewers {
            let shown = views.shown[*i].iter().flat_map(|view| view.keys());
            for name in shown {
                if !names.contains_key(name.as_str()) {
                    return Err(format!("node {i} shows {name}, which there never was"));
                }
            }
        }
        // Of two with one name those who show the other one do not tell this one anything.
        let shadowed = |i: usize| {
            let name = &presence.lives[i].name;
            let shown = |viewer: &usize| views.shown[*viewer].as_ref()?.get(name);
            let others = viewers.iter().filter(|viewer| presence.lives[**viewer].name != *name);
            presence.lives[i].shares_name
                && !others.filter_map(shown).any(|shown| shown.addr == views.own[i].0)
        };
        let shadowed: Vec<usize> = viewers.iter().copied().filter(|i| shadowed(*i)).collect();
        for (name, machines) in &names {
            let on: Vec<usize> = machines.iter().copied().filter(|j| presence.lives[*j].on).collect();
            let others = viewers.iter().copied().filter(|i| !on.contains(i) || on.len() == 1);
            // Who has too few places may show some only.
            let held = others.filter_map(|i| {
                let shown = views.shown[i].as_ref()?.get(*name);
                if shadowed.contains(&i) {
                    excuse(excused, "one name for two");
                    return None;
                }
                if shown.is_none() && views.places[i] < names.len() {
                    excuse(excused, "partial table");
                    return None;
                }
                Some((i, shown))
            });
            let held: Vec<(usize, Option<&Shown>)> = held.collect();
            match on.as_slice() {
                [] if machines.len() == 1 => {
                    let whole = |i: usize| views.places[i] >= names.len();
                    self.judge_gone(machines[0], &held, &whole, presence, histories, excused)?
                }
                // Which of them it was that died or left nobody can tell.
                [] => excuse(excused, "one name for two"),
                _ => {
                    // Of two with one name a small table may keep the one that it met first.
                    let twins = machines.len() > 1;
                    let (part, whole): (Vec<_>, Vec<_>) =
                        held.into_iter().partition(|(i, _)| twins && views.places[*i] < names.len());
                    part.iter().for_each(|_| excuse(excused, "partial table"));
                    judge_living(name, &on, &whole, views)?
                }
            }
        }
        Ok(())
    }

    /// All show one that is off as it went, and those with places for all, who compare, in the same way.
    fn judge_gone(
        &self,
        j: usize,
        held: &[(usize, Option<&Shown>)],
        whole: &dyn Fn(usize) -> bool,
        presence: &Presence,
        histories: &Histories,
        excused: &mut Excused,
    ) -> Verdict {
        let (end, life) = (&self.ends[j], &presence.lives[j]);
        let since = end.ordered.into_iter().chain(end.forced).min();
        let quiet = |at: u64| presence.trouble_after(at) == at;
        let told = since.is_some_and(|since| histories.has_left(&life.name, since, &presence.living()));
        // Whoever leaves before it is known leaves nobody's fleet.
        let heard = |at: u64| quiet(at) && presence.was_in(j, at);
        let heard = end.done && !end.alone && end.ordered.is_some_and(heard) && quiet(life.until);
        let left = told || heard;
        let dead_when_forced = end.forced.is_some_and(|at| at >= life.until);
        let allowed: &[Option<Status>] = if life.until < self.honest_since {
            excuse(excused, "a member lied");
            &[Some(Status::Left), Some(Status::Failed), None]
        } else if left && dead_when_forced && end.pruned.iter().any(|by| presence.lives(*by)) {
            &[None]
        } else if left && dead_when_forced && (end.pruned_late || !end.pruned.is_empty()) {
            // With its giver the order to forget it may have ended, before it had come to anybody.
            excuse(excused, "an order that may be lost");
            &[None, Some(Status::Left)]
        } else if left {
            &[Some(Status::Left)]
        } else if since.is_none() {
            &[Some(Status::Failed)]
        } else {
            // The order may have come to nobody who is there yet.
            excuse(excused, "an order that may be lost");
            &[Some(Status::Left), Some(Status::Failed), None]
        };
        let statuses = held.iter().map(|(i, shown)| (*i, shown.map(|shown| shown.status)));
        // Nobody can know of one whom nobody met.
        if statuses.clone().all(|(_, status)| status.is_none()) {
            return Ok(());
        }
        let first = statuses.clone().find(|(i, _)| whole(*i));
        for (i, status) in statuses {
            if !allowed.contains(&status) {
                return Err(format!(
                    "node {i} shows {} {status:?}, which is off since {}; right is {allowed:?}",
                    life.name, life.until
                ));
            }
            if let Some((other, seen)) = first.filter(|(_, seen)| *seen != status) {
                if !whole(i) {
                    excuse(excused, "partial table");
                    continue;
                }
                return Err(format!("node {i} shows {} {status:?}, node {other} {seen:?}", life.name));
            }
        }
        Ok(())
    }
}

/// All show a living member alive, at its address and with its tags; of several with one name all show the same one.
fn judge_living(name: &str, on: &[usize], held: &[(usize, Option<&Shown>)], views: &Views) -> Verdict {
    let mut agreed: Option<(usize, SocketAddr)> = None;
    for (i, shown) in held {
        let status = shown.map(|shown| shown.status);
        let Some(shown) = shown.filter(|shown| shown.status == Status::Alive) else {
            return Err(format!("node {i} shows {name} {status:?}, which lives"));
        };
        let Some(j) = on.iter().find(|j| views.own[**j].0 == shown.addr) else {
            return Err(format!("node {i} shows {name} at {}, where it is not", shown.addr));
        };
        if views.own[*j].1 != shown.tags {
            return Err(format!("node {i} shows tags of {name} that it has not got: {:?}", shown.tags));
        }
        let (first, addr) = *agreed.get_or_insert((*i, shown.addr));
        if addr != shown.addr {
            return Err(format!("node {i} shows {name} at {}, node {first} at {addr}", shown.addr));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! What people order: to leave, to force out, to join, to change tags; and the meeting of two fleets.

use serf_nostd::Status;

use super::Run;
use super::plan::Faults;
use super::start::{FLEET, Seed};

impl Run<'_> {
    /// Orders of this moment.
    pub(super) fn orders(&mut self) {
        let Faults { leaves, forced, tags, joins, twins, .. } = self.plan.faults;
        let nodes = self.plan.nodes as u64;
        if self.merge.is_some_and(|at| self.fleet.now() >= at) {
            self.meet();
        }
        let (i, other) = (self.luck.below(nodes) as usize, self.luck.below(nodes) as usize);
        if self.luck.chance(0.03 * leaves) {
            self.leave(i);
        }
        if self.luck.chance(0.03 * forced) && i != other {
            self.force_out(i, other);
        }
        if self.luck.chance(0.04 * tags) {
            self.change_tags(i);
        }
        if self.luck.chance(0.03 * joins) && i != other {
            let replay = self.luck.chance(0.5);
            self.join(i, other, replay);
        }
        // Whoever has left, or was refused, comes back some time.
        let away = self.lives[i].left || self.lives[i].refused;
        if away && !self.fleet.is_on(i) && self.luck.chance(0.1 * leaves.max(twins).max(0.1)) {
            self.boot(i);
        }
    }

    /// A machine leaves, if enough others stay. The first one stays where it is the only seed.
    fn leave(&mut self, i: usize) {
        let stays = |i: &usize| self.fleet.is_on(*i) && !self.lives[*i].leaving;
        let staying = (0..self.plan.nodes).filter(stays).count();
        let only_seed = i == 0 && self.plan.faults.seeds == 0.0;
        if only_seed || staying <= 2.max(self.plan.nodes / 2) {
            return;
        }
        let ears = &mut self.ears;
        let watch = &mut |i, boots, at, seen: crate::fleet::Seen| ears.hear(i, boots, at, &seen);
        if self.fleet.with(i, watch, |node, now| node.leave(now)) == Some(Ok(())) {
            self.lives[i].leaving = true;
            self.ears.judge.left(i, self.fleet.now());
            self.note(format!("machine {i} is ordered to leave"));
        }
    }

    /// A machine declares another one left. If that is dead, it may stay so.
    fn force_out(&mut self, i: usize, other: usize) {
        let (name, prune) = (self.fleet.machines[other].name().to_string(), self.luck.chance(0.3));
        let ears = &mut self.ears;
        let watch = &mut |i, boots, at, seen: crate::fleet::Seen| ears.hear(i, boots, at, &seen);
        if self.fleet.with(i, watch, |node, now| node.force_leave(now, &name, prune)).is_none() {
            return;
        }
        let dead = !self.fleet.is_on(other);
        self.happened.forced += dead as u64;
        self.happened.forced_alive += !dead as u64;
        self.happened.pruned += prune as u64;
        self.lives[other].stays_off = dead && other != 0 && self.luck.chance(0.5);
        let clock = |i: usize| self.fleet.node(i).map_or(0, |node| node.gauges().member_time);
        let late = (0..self.plan.nodes).any(|other| clock(other) > clock(i));
        self.ears.judge.forced_out(&name, self.fleet.now(), prune.then_some(i), late);
        self.note(format!("machine {i} forces {name} out, prune: {prune}"));
    }

    fn change_tags(&mut self, i: usize) {
        // A map of one string, as Go Serf encodes it.
        let value = self.luck.range(10..100).to_string();
        let tags = [&[0xff, 0x81, 0xa1, b'v', 0xa2], value.as_bytes()].concat();
        let ears = &mut self.ears;
        let watch = &mut |i, boots, at, seen: crate::fleet::Seen| ears.hear(i, boots, at, &seen);
        if self.fleet.with(i, watch, |node, now| node.set_tags(now, &tags)) == Some(Ok(())) {
            self.happened.tags += 1;
            self.ears.judge.tags_set(i, &tags);
            self.fleet.machines[i].tags = tags;
            self.note(format!("machine {i} changes its tags to v={value}"));
        }
    }

    fn join(&mut self, i: usize, other: usize, replay: bool) -> bool {
        let address = self.fleet.address(other);
        let ears = &mut self.ears;
        let watch = &mut |i, boots, at, seen: crate::fleet::Seen| ears.hear(i, boots, at, &seen);
        let joins = self.fleet.with(i, watch, |node, now| node.join(now, address, replay)) == Some(Ok(()));
        if joins {
            self.happened.joins += 1;
            if replay {
                self.happened.replays += 1;
                self.ears.judge.replays(i);
            }
            self.note(format!("machine {i} joins machine {other}, replay: {replay}"));
        }
        joins
    }

    /// Two fleets meet, if they have not yet: a machine of one joins the other, and will again whenever it starts; or a
    /// machine starts with seeds in both.
    pub(super) fn meet(&mut self) {
        if self.merge.take().is_none() {
            return;
        }
        let nodes = 0..self.plan.nodes;
        let sides = &self.fleet.network.side;
        let (second, first): (Vec<usize>, Vec<usize>) =
            nodes.filter(|i| self.holds_all(*i)).partition(|i| sides[*i] & FLEET != 0);
        self.fleet.network.side.iter_mut().for_each(|side| *side &= !FLEET);
        let (a, b) = (self.luck.below(first.len() as u64), self.luck.below(second.len() as u64));
        let (a, b) = (first[a as usize], second[b as usize]);
        self.lives[a].seeds.push(Seed::Machine(b));
        self.happened.merges += 1;
        self.note("two fleets meet".to_string());
        let replay = self.luck.chance(0.3);
        if self.luck.chance(0.3) || !self.join(a, b, replay) {
            if self.fleet.is_on(a) {
                self.power_off(a, "restarts with seeds in both fleets");
            }
            self.boot(a);
        }
    }

    /// Where machines can't find each other any more, as those that they knew have moved or left, people tell one of them
    /// whom to join.
    pub(super) fn bring_together(&mut self) {
        let nodes = self.plan.nodes;
        let mut part: Vec<usize> = (0..nodes).collect();
        // Who shares its name may be refused any time.
        let twin: Vec<bool> = self.lives.iter().map(|life| life.twin.is_some()).collect();
        let room: Vec<bool> = (0..nodes).map(|i| self.holds_all(i)).collect();
        let links = |i: usize| room[i] && !twin[i];
        let mut knows = |i: usize, other: usize| {
            let (from, to) = (part[i], part[other]);
            if links(i) {
                part.iter_mut().filter(|p| **p == from).for_each(|p| *p = to);
            } else {
                part[i] = to;
            }
        };
        for i in 0..nodes {
            let Some(node) = self.fleet.node(i) else { continue };
            let tried =
                node.members().filter(|member| matches!(member.status, Status::Alive | Status::Failed));
            for member in tried {
                // Where another machine is by now, nobody answers to that name; nor at the port of a router that is gone.
                let there = self.fleet.reached(member.addr);
                let other = there.filter(|other| self.fleet.machines[*other].name() == member.name);
                other.into_iter().for_each(|other| knows(i, other));
            }
        }
        let on: Vec<usize> = (0..nodes).filter(|i| self.fleet.is_on(*i) && !self.lives[*i].leaving).collect();
        let Some(first) = on.iter().copied().find(|i| links(*i)) else { return };
        for i in on {
            let (from, to) = (part[i], part[first]);
            if from != to && self.join(i, first, false) {
                if links(i) {
                    part.iter_mut().filter(|p| **p == from).for_each(|p| *p = to);
                } else {
                    part[i] = to;
                }
            }
        }
    }
}

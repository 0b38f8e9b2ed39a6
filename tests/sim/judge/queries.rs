//! Queries: each is shown to whom its filter lets through, once in each life; each answer is counted once, from whom it was
//! asked, and before the end; and that comes early only when nobody is left to wait for.

use std::collections::{BTreeMap, BTreeSet};

use serf_nostd::wire::message::EventId;

use super::Verdict;
use super::excuse::{Excused, excuse};
use super::presence::Presence;
use crate::fleet::{Fleet, Seen};
use crate::questions::Question;

/// Whom a query is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Names of members; none: all.
    pub nodes: Vec<String>,
    /// The first digit of their tag `v`, which is their only one.
    pub digit: Option<u8>,
}

impl Filter {
    /// Where the value begins in encoded tags: a map of one pair, `v` and a short text.
    const VALUE: usize = 5;

    fn passes(&self, name: &str, tags: &[u8]) -> bool {
        let tagged = |digit| tags.get(Filter::VALUE) == Some(&digit);
        (self.nodes.is_empty() || self.nodes.iter().any(|node| node == name)) && self.digit.is_none_or(tagged)
    }
}

/// A query that some node has accepted.
#[derive(Clone, Debug)]
pub struct Posed {
    /// Under which identity.
    pub id: EventId,
    /// The machine, and which of its boots.
    pub asker: (usize, u64),
    /// What applications do with it: see [`Seen::Asked`].
    pub name: String,
    /// Whom it is for.
    pub filter: Filter,
    /// Whether it wants acknowledgements.
    pub ack: bool,
    /// Whether it runs to its time-out in any case.
    pub waits: bool,
    /// It is asked in peace: whoever knows the asker answers.
    pub peace: bool,
}

/// What has become of a query.
#[derive(Debug)]
struct Course {
    posed: Posed,
    /// Lives of machines to which it was shown, and their names.
    shown: BTreeSet<(usize, u64)>,
    names: BTreeSet<String>,
    acks: BTreeSet<String>,
    answers: BTreeSet<String>,
    /// Who lived in the asker's table from first to last.
    awaited: BTreeSet<String>,
    /// Its application was told of its end; and that has been judged.
    done: bool,
    judged: bool,
}

/// What queries have come to, in one run or in many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Asked, and not refused.
    pub asked: u64,
    /// How often one was shown to a node.
    pub shown: u64,
    /// Acknowledgements.
    pub acks: u64,
    /// Answers.
    pub answers: u64,
    /// Queries that were over before their time.
    pub early: u64,
    /// Of them, those in which somebody who was asked had died.
    pub bereft: u64,
    /// Queries that were over when their time was.
    pub late: u64,
}

impl Tally {
    /// Every count with its name.
    pub fn each(&mut self) -> [(&'static str, &mut u64); 7] {
        [
            ("queries", &mut self.asked),
            ("shown to a node", &mut self.shown),
            ("acknowledgements", &mut self.acks),
            ("answers", &mut self.answers),
            ("ended before their time", &mut self.early),
            ("as somebody had died", &mut self.bereft),
            ("ended with their time", &mut self.late),
        ]
    }

    /// Adds another run's.
    pub fn add(&mut self, mut other: Tally) {
        self.each().into_iter().zip(other.each()).for_each(|((_, sum), (_, more))| *sum += *more);
    }
}

/// All queries of a run, by the serial numbers that they have as payloads.
#[derive(Debug, Default)]
pub(super) struct Queries {
    courses: BTreeMap<u64, Course>,
    serials: BTreeMap<EventId, u64>,
    pub tally: Tally,
}

impl Queries {
    pub(super) fn count(&self) -> usize {
        self.courses.len()
    }

    pub(super) fn posed(&mut self, serial: u64, posed: Posed) {
        self.tally.asked += 1;
        self.serials.insert(posed.id, serial);
        let (shown, [names, acks, answers, awaited]) = Default::default();
        let course = Course { posed, shown, names, acks, answers, awaited, done: false, judged: false };
        self.courses.insert(serial, course);
    }

    /// An application was told something about a query.
    pub(super) fn saw(&mut self, i: usize, at: u64, seen: &Seen, presence: &Presence) -> Verdict {
        let life = (i, presence.lives[i].boots);
        match seen {
            Seen::Asked { id, payload, tags, .. } => {
                let serial = std::str::from_utf8(payload).ok().and_then(|text| text.parse::<u64>().ok());
                let course = serial.and_then(|serial| self.courses.get_mut(&serial));
                let Some(course) = course.filter(|course| course.posed.id == *id) else {
                    return Err(format!("node {i} was asked what nobody asked: {seen:?}, at {at}"));
                };
                let name = &presence.lives[i].name;
                if !course.posed.filter.passes(name, tags) {
                    return Err(format!("node {i} was asked, at {at}, whom the filter excludes: {course:?}"));
                }
                if !course.shown.insert(life) {
                    return Err(format!("node {i} was asked {} twice, at {at}", course.posed.name));
                }
                course.names.insert(name.clone());
                self.tally.shown += 1;
                Ok(())
            }
            Seen::QueryAck(id, from) => {
                let course = self.running(life, id, at)?;
                let right = course.posed.ack && course.names.contains(from);
                if !right || !course.acks.insert(from.clone()) {
                    return Err(format!("{from} acknowledges again, or unasked, at {at}: {course:?}"));
                }
                self.tally.acks += 1;
                Ok(())
            }
            Seen::QueryResponse(id, from, payload) => {
                let serial = self.serials.get(id).copied();
                let course = self.running(life, id, at)?;
                let right = serial.is_some_and(|serial| *payload == format!("{from}{serial}").into_bytes());
                if !right || !course.names.contains(from) || !course.answers.insert(from.clone()) {
                    return Err(format!("{from} answers again, unasked or else, at {at}: {course:?}"));
                }
                self.tally.answers += 1;
                Ok(())
            }
            Seen::QueryDone(id) => {
                self.running(life, id, at)?.done = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A query of this life of a machine's that has not ended.
    fn running(&mut self, life: (usize, u64), id: &EventId, at: u64) -> Result<&mut Course, String> {
        let course = self.serials.get(id).and_then(|serial| self.courses.get_mut(serial));
        match course {
            Some(course) if course.posed.asker == life && !course.done => Ok(course),
            other => Err(format!(
                "node {} is told of a query that it does not wait for, at {at}: {other:?}",
                life.0
            )),
        }
    }

    /// Judges the ends of queries.
    pub(super) fn look(&mut self, fleet: &Fleet) -> Verdict {
        for (i, machine) in fleet.machines.iter().enumerate() {
            for question in &machine.questions.all {
                let Some(ended) = question.ended else { continue };
                let course = self.serials.get(&question.id).and_then(|serial| self.courses.get_mut(serial));
                if let Some(course) = course.filter(|course| !course.judged) {
                    course.judged = true;
                    let awaited = question.asked.keys().filter(|name| !question.gone.contains(*name));
                    course.awaited = awaited.cloned().collect();
                    let early = ended < question.deadline;
                    self.tally.early += early as u64;
                    self.tally.late += !early as u64;
                    if early {
                        self.tally.bereft += course.ended_early(i, question)? as u64;
                    } else if course.posed.peace
                        && course.open(question).all(|name| question.gone.contains(name))
                    {
                        return Err(format!("a query of node {i} has waited for nobody: {course:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// In the end.
    pub(super) fn judge(&self, fleet: &Fleet, presence: &Presence, excused: &mut Excused) -> Verdict {
        for course in self.courses.values().filter(|course| presence.lives(course.posed.asker)) {
            if !course.done {
                return Err(format!("a query has not ended: {course:?}"));
            }
            let asker = &presence.lives[course.posed.asker.0];
            for i in presence.living().into_iter().filter(|_| course.posed.peace) {
                let life = &presence.lives[i];
                if course.answers.contains(&life.name) {
                    continue;
                }
                // The asker's small table had no place for this one; or this one's had none for the asker, and a stranger is told
                // nothing.
                let small = |i: usize| fleet.machines[i].size.members() < fleet.machines.len();
                let unknown = small(course.posed.asker.0) && !course.awaited.contains(&life.name);
                let stranger = small(i) && !course.shown.contains(&(i, life.boots));
                if life.shares_name || asker.shares_name {
                    excuse(excused, "one name for two");
                } else if unknown || stranger {
                    excuse(excused, "partial table");
                } else {
                    return Err(format!("node {i} has not answered, in peace: {course:?}"));
                }
            }
        }
        Ok(())
    }
}

impl Course {
    /// Whether this one has told the asker all that it will.
    fn is_settled(&self, name: &str) -> bool {
        match self.posed.name.as_str() {
            "silent" => false,
            // The application is not told of this.
            "none" => self.names.contains(name),
            _ => self.answers.contains(name),
        }
    }

    /// Who was asked, as far as the asker knew, and has not told it all.
    fn open<'q>(&self, question: &'q Question) -> impl Iterator<Item = &'q String> {
        let asked = question.asked.iter().filter(|(name, tags)| self.posed.filter.passes(name, tags));
        asked.map(|(name, _)| name).filter(|name| !self.is_settled(name))
    }

    /// It has ended before its time: of those who were asked all who have lived ever since have told what they have to.
    /// Whether the others have not.
    fn ended_early(&self, i: usize, question: &Question) -> Result<bool, String> {
        if self.posed.waits {
            return Err(format!("a query of node {i} has ended, which was to wait: {self:?}"));
        }
        let mut open = self.open(question).peekable();
        let bereft = open.peek().is_some();
        match open.find(|name| !question.gone.contains(*name)) {
            Some(name) => Err(format!("a query of node {i} has ended without {name}, which lives: {self:?}")),
            None => Ok(bereft),
        }
    }
}

#[cfg(test)]
mod tests;

//! Handlers that run once per fleet: whose turn an event is, and when the next one takes over.
//!
//! Agents with such handlers carry a mark, the tag [`MARK`], which names the events. All of them, each by itself, put the marked
//! members in an order that differs from event to event (rendezvous hashing), and the first of those that live runs its handlers. It
//! tells the others when they are done, while they take long that they will be, and that it gives up if they could not even begin.
//! Whoever hears nothing in time, or learns that the one in turn has failed or begun anew, goes on to the next one. So the handlers run once as a rule, and at least once
//! while any marked member lives; more often where members do not hear of one another: in a fleet that is cut in two, once on each
//! side.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serf_nostd::wire::message::EventId;
use tokio::time::Instant;

use super::handler::Spec;
use super::model::Event;

/// The tag that names the user events for which a member has handlers that run once, joined by commas; `*`: for all.
pub const MARK: &str = "_serf_once";
/// The name of the events that say what has become of others.
pub(super) const NAME: &[u8] = b"_serf_once";
const EVERY: &str = "*";

/// How long the next one waits for whoever is in turn to say something, and the one after it for twice as long.
const PATIENCE: Duration = Duration::from_secs(5);
/// So much longer for each event that is open: in a storm words take their time.
const EACH_OPEN: Duration = Duration::from_millis(10);
/// Who comes to an event late waits so long for the word that it is done.
const LATE: Duration = Duration::from_secs(2);
/// Handlers that take longer than this are told of.
const LONG: Duration = Duration::from_secs(2);
/// And then so often.
const STILL: Duration = Duration::from_secs(30);
/// Who has said so is waited for so long: two times may be lost.
const STILL_PATIENCE: Duration = Duration::from_secs(75);
/// Events whose turn it is not here, or not over, that are remembered.
const TURNS: usize = 4_096;
/// Events of which it is known that they are done.
const DONE: usize = 4_096;

/// These tags, with the mark that these handlers ask for, and no other.
pub(super) fn marked(mut tags: BTreeMap<String, String>, specs: &[Spec]) -> BTreeMap<String, String> {
    tags.remove(MARK);
    let mut names: Vec<String> = specs.iter().filter(|spec| spec.once).map(name_of).collect();
    names.sort();
    names.dedup();
    if !names.is_empty() {
        tags.insert(MARK.to_owned(), names.join(","));
    }
    tags
}

fn name_of(spec: &Spec) -> String {
    let name: String = spec.filter.labels().map(|(_, name)| name).collect();
    if name.is_empty() { EVERY.to_owned() } else { written(&name) }
}

/// A name as it stands in a mark: one that begins like [`EVERY`] has that once more.
fn written(name: &str) -> String {
    if name.starts_with(EVERY) { format!("{EVERY}{name}") } else { name.to_owned() }
}

/// Whether a member with this mark has a handler for events of this name.
pub(super) fn is_marked(mark: &str, name: &[u8]) -> bool {
    let name = written(&String::from_utf8_lossy(name));
    mark.split(',').any(|marked| marked == EVERY || marked == name)
}

/// What is told of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Their handlers wait or run; of no events: this member has just begun, and what it ran before has ended.
    Runs,
    /// Their handlers have ended.
    Done,
    /// Their handlers could not begin for long: others are to run theirs.
    GivenUp,
}

/// So many events are told of in one word at most: with the longest name it is as long as an event may be.
pub(super) const TOLD: usize = 16;

/// What members tell one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub said: Said,
    /// Who says it.
    pub from: String,
    /// Of which events.
    pub events: Vec<EventId>,
}

impl Word {
    /// As the payload of an event: a byte for what is said, a name behind its length, then the events, little-endian.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.said as u8, self.from.len() as u8];
        bytes.extend_from_slice(self.from.as_bytes());
        for EventId { ltime, origin } in &self.events {
            bytes.extend_from_slice(&ltime.to_le_bytes());
            bytes.extend_from_slice(&origin.to_le_bytes());
        }
        bytes
    }

    /// The opposite; `None` if it is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Word> {
        let (said, rest) = bytes.split_first()?;
        let (len, rest) = rest.split_first()?;
        let (from, events) = rest.split_at_checked(usize::from(*len))?;
        let (events, []) = events.as_chunks::<16>() else { return None };
        let event = |id: &[u8; 16]| {
            let id = u128::from_le_bytes(*id);
            EventId { ltime: id as u64, origin: (id >> 64) as u64 }
        };
        Some(Word {
            said: [Said::Runs, Said::Done, Said::GivenUp].into_iter().find(|known| *known as u8 == *said)?,
            from: String::from_utf8(from.to_vec()).ok()?,
            events: events.iter().map(event).collect(),
        })
    }
}

/// An event that handlers of this agent's want to run for once.
pub(super) struct Turn {
    pub id: EventId,
    pub event: Arc<Event>,
    /// Whom it is for, as the core has it.
    pub filters: Vec<u8>,
    state: State,
    /// When it is to be looked at again.
    due: Instant,
    /// It was somebody else's once.
    elsewhere: bool,
    /// Who has given it up.
    given_up: Vec<String>,
}

enum State {
    /// Nobody has said since then that its handlers run.
    Silent(Instant),
    /// This member has said so then.
    Running(String, Instant),
    /// They wait or run here; whether that has been told.
    Here(bool),
}

impl Turn {
    /// From now on whoever is in turn is waited for.
    fn silent_since(&mut self, now: Instant) {
        (self.state, self.due) = (State::Silent(now), now);
    }
}

/// Who may run the handlers for an event: members that live, have such handlers, and that the event is for.
pub(super) struct Order {
    /// Their names, in turn.
    pub names: Vec<String>,
    /// This agent's place among them.
    pub own: usize,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It is this agent's turn.
    Run(EventId, Arc<Event>),
    /// Its handlers wait or run: tell the others.
    Runs(EventId),
    /// They have done so for long: if they have not begun, others are to run theirs.
    Overdue(EventId),
}

/// Whose turns events are. Time is what it is told.
#[derive(Default)]
pub(super) struct Once {
    turns: VecDeque<Turn>,
    done: VecDeque<EventId>,
    /// Members have changed since it was looked.
    stirred: bool,
    /// Turns that this agent has taken because others were silent, or failed.
    pub taken_over: u64,
    /// Turns that were forgotten, as more came.
    pub forgotten: u64,
}

impl Once {
    /// An event has come for which this agent has handlers. `late`: others may have had it long ago, and done it.
    pub(super) fn add(&mut self, id: EventId, event: Arc<Event>, filters: Vec<u8>, late: bool, now: Instant) {
        if self.done.contains(&id) || self.turns.iter().any(|turn| turn.id == id) {
            return;
        }
        if self.turns.len() == TURNS {
            self.turns.pop_front();
            self.forgotten += 1;
        }
        let state = State::Silent(if late { now + LATE } else { now });
        self.turns.push_back(Turn {
            id,
            event,
            filters,
            state,
            due: now,
            elsewhere: false,
            given_up: Vec::new(),
        });
    }

    /// A member says something.
    pub(super) fn heard(&mut self, word: Word, now: Instant) {
        let Word { said, from, events } = word;
        if events.is_empty() {
            // It was started anew before anybody took it for failed.
            let its = |turn: &&mut Turn| matches!(&turn.state, State::Running(who, _) if *who == from);
            self.turns.iter_mut().filter(its).for_each(|turn| turn.silent_since(now));
        }
        for event in events {
            if said == Said::Done {
                self.forget(event);
                continue;
            }
            let turn = self.turns.iter_mut().find(|turn| turn.id == event);
            // Where it runs here as well, it is too late.
            let Some(turn) = turn.filter(|turn| !matches!(turn.state, State::Here(_))) else { continue };
            if said == Said::GivenUp {
                turn.given_up.push(from.clone());
                turn.silent_since(now);
            } else {
                turn.state = State::Running(from.clone(), now);
                turn.due = now + STILL_PATIENCE;
            }
        }
    }

    /// The handlers for an event have ended, here or elsewhere.
    pub(super) fn forget(&mut self, event: EventId) {
        self.turns.retain(|turn| turn.id != event);
        if !self.done.contains(&event) {
            if self.done.len() == DONE {
                self.done.pop_front();
            }
            self.done.push_back(event);
        }
    }

    /// Its handlers have not run here after all. `given_up`: by this agent of this name, which comes last from now on; else whose
    /// turn it is is to be seen again.
    pub(super) fn again(&mut self, event: EventId, given_up: Option<&str>, now: Instant) {
        if let Some(turn) = self.turns.iter_mut().find(|turn| turn.id == event) {
            turn.given_up.extend(given_up.map(str::to_owned));
            turn.elsewhere = given_up.is_some();
            turn.silent_since(now);
        }
    }

    /// One that is not known to be done.
    pub(super) fn turn(&self, event: EventId) -> Option<&Turn> {
        self.turns.iter().find(|turn| turn.id == event)
    }

    /// Those whose handlers wait or run here.
    pub(super) fn here(&self) -> impl Iterator<Item = EventId> + '_ {
        self.turns.iter().filter(|turn| matches!(turn.state, State::Here(_))).map(|turn| turn.id)
    }

    /// It cannot be this agent's turn.
    pub(super) fn drop(&mut self, event: EventId) {
        self.turns.retain(|turn| turn.id != event);
    }

    /// Members have come, gone, or changed.
    pub(super) fn stir(&mut self) {
        self.stirred = true;
    }

    /// How many events are not known to be done.
    pub(super) fn len(&self) -> usize {
        self.turns.len()
    }

    /// When it is to be looked at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.turns.iter().map(|turn| turn.due).min()
    }

    /// What is to be done now. `order` says who may run an event's handlers; `None`: not this agent.
    pub(super) fn look(&mut self, now: Instant, mut order: impl FnMut(&Turn) -> Option<Order>) -> Vec<Act> {
        let stirred = std::mem::take(&mut self.stirred);
        let (mut acts, mut taken_over) = (Vec::new(), 0);
        // One by itself is in nobody's way.
        let patience = PATIENCE + EACH_OPEN * self.turns.len().saturating_sub(1) as u32;
        self.turns.retain_mut(|turn| {
            if turn.due > now && !stirred {
                return true;
            }
            if let State::Here(told) = &mut turn.state {
                if turn.due <= now {
                    acts.push(if *told { Act::Overdue(turn.id) } else { Act::Runs(turn.id) });
                    (*told, turn.due) = (true, now + STILL);
                }
                return true;
            }
            let Some(Order { names, own }) = order(turn) else { return false };
            if let State::Running(who, since) = &turn.state {
                turn.elsewhere = true;
                turn.due = *since + STILL_PATIENCE;
                if turn.due > now && names.contains(who) {
                    return true;
                }
                turn.state = State::Silent(now);
            }
            if names.iter().all(|name| turn.given_up.contains(name)) {
                // Nobody is left: it goes round once more.
                turn.given_up.clear();
            }
            if let State::Silent(since) = turn.state {
                // Those who have given it up come after all others.
                let gave_up = |name: &String| turn.given_up.contains(name);
                let own_gave_up = gave_up(&names[own]);
                let before = |(place, name): (usize, &String)| (gave_up(name), place) < (own_gave_up, own);
                let ahead = names.iter().enumerate().filter(|it| before(*it)).count();
                turn.elsewhere |= ahead > 0;
                turn.due = since + patience * ahead as u32;
            }
            if turn.due <= now {
                acts.push(Act::Run(turn.id, turn.event.clone()));
                let taken = turn.elsewhere;
                taken_over += taken as u64;
                if taken {
                    // Others wait for the same: they hear of it at once.
                    acts.push(Act::Runs(turn.id));
                }
                (turn.state, turn.due) = (State::Here(taken), now + if taken { STILL } else { LONG });
            }
            true
        });
        self.taken_over += taken_over;
        acts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: EventId = EventId { ltime: 7, origin: 1 };

    fn event() -> Arc<Event> {
        Arc::new(Event::User { ltime: 7, name: b"job".to_vec(), payload: Vec::new(), coalesce: false })
    }

    /// What the agent at this place among those who live does so many seconds after the event has come.
    struct Agent {
        once: Once,
        start: Instant,
        names: Vec<&'static str>,
        own: &'static str,
    }

    impl Agent {
        fn new(own: &'static str) -> Agent {
            let (start, names) = (Instant::now(), vec!["a", "b", "c"]);
            let mut once = Once::default();
            once.add(ID, event(), Vec::new(), false, start);
            Agent { once, start, names, own }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn look(&mut self, seconds: u64) -> Vec<Act> {
            let now = self.at(seconds);
            let names: Vec<String> = self.names.iter().map(|name| name.to_string()).collect();
            let own = names.iter().position(|name| name == self.own);
            self.once.look(now, |_| own.map(|own| Order { names: names.clone(), own }))
        }

        fn hear(&mut self, seconds: u64, from: &str, done: bool) {
            let now = self.at(seconds);
            let said = if done { Said::Done } else { Said::Runs };
            self.once.heard(Word { said, from: from.to_owned(), events: vec![ID] }, now);
        }

        fn loses(&mut self, name: &str) {
            self.names.retain(|known| *known != name);
            self.once.stir();
        }
    }

    fn run() -> Vec<Act> {
        vec![Act::Run(ID, event())]
    }

    /// In the place of another one, which is told.
    fn takes_over() -> Vec<Act> {
        vec![Act::Run(ID, event()), Act::Runs(ID)]
    }

    #[test]
    fn the_first_in_turn_runs_at_once_and_tells_while_it_takes_long() {
        let mut a = Agent::new("a");
        assert_eq!(a.look(0), run());
        assert_eq!((a.look(1), a.look(2), a.look(31)), (vec![], vec![Act::Runs(ID)], vec![]));
        assert_eq!((a.look(32), a.look(62)), (vec![Act::Overdue(ID)], vec![Act::Overdue(ID)]));
        a.once.forget(ID);
        assert_eq!((a.once.len(), a.once.deadline(), a.once.taken_over), (0, None, 0));
        // What comes again is done.
        let later = a.at(40);
        a.once.add(ID, event(), Vec::new(), false, later);
        assert_eq!(a.once.len(), 0);
    }

    #[test]
    fn who_hears_nothing_takes_over_one_after_the_other() {
        for (own, after) in [("b", 5), ("c", 10)] {
            let mut agent = Agent::new(own);
            assert_eq!((agent.look(0), agent.look(after - 1)), (vec![], vec![]), "{own}");
            assert_eq!(agent.look(after), takes_over());
            assert_eq!(agent.once.taken_over, 1);
        }
    }

    #[test]
    fn who_comes_late_lets_others_say_first_that_it_is_done() {
        for done in [false, true] {
            let mut a = Agent::new("a");
            let (start, id) = (a.start, EventId { ltime: 8, ..ID });
            a.once.forget(ID);
            a.once.add(id, event(), Vec::new(), true, start);
            assert_eq!(a.look(1), []);
            if done {
                a.once.heard(Word { said: Said::Done, from: "c".to_owned(), events: vec![id] }, start);
            }
            let run = if done { vec![] } else { vec![Act::Run(id, event())] };
            assert_eq!((a.look(2), a.once.taken_over), (run, 0));
        }
    }

    #[test]
    fn handlers_that_were_taken_away_are_done_by_nobody_and_others_are_waited_for_again() {
        let mut a = Agent::new("a");
        assert_eq!(a.look(0), run());
        let later = a.at(1);
        a.once.again(ID, None, later);
        a.own = "gone";
        assert_eq!((a.look(1), a.once.len()), (vec![], 0));
    }

    #[test]
    fn who_hears_that_it_is_done_does_nothing() {
        let mut b = Agent::new("b");
        b.look(0);
        b.hear(1, "a", true);
        assert_eq!((b.look(60), b.once.len()), (vec![], 0));
    }

    #[test]
    fn whoever_says_that_it_runs_is_waited_for_until_it_fails_or_is_silent_for_long() {
        let mut b = Agent::new("b");
        b.look(0);
        b.hear(2, "a", false);
        assert_eq!((b.look(50), b.once.deadline()), (vec![], Some(b.at(77))));
        b.hear(62, "a", false);
        assert_eq!(b.look(100), []);
        b.loses("a");
        assert_eq!((b.look(101), b.once.taken_over), (takes_over(), 1));

        let mut b = Agent::new("b");
        b.look(0);
        // One that comes later in turn, and took over too early.
        b.hear(2, "c", false);
        assert_eq!((b.look(76), b.look(77), b.look(82)), (vec![], vec![], takes_over()));
    }

    #[test]
    fn the_second_goes_on_at_once_when_the_first_fails_and_the_third_waits_for_it() {
        for (own, expected) in [("b", takes_over()), ("c", vec![])] {
            let mut agent = Agent::new(own);
            agent.look(0);
            agent.loses("a");
            assert_eq!(agent.look(1), expected, "{own}");
        }
        let mut other = Agent::new("d");
        assert_eq!((other.look(0), other.once.len()), (vec![], 0), "not its business any more");
    }

    #[test]
    fn who_gives_up_comes_last_and_the_next_one_runs_at_once() {
        let (mut a, mut b, mut c) = (Agent::new("a"), Agent::new("b"), Agent::new("c"));
        for agent in [&mut a, &mut b, &mut c] {
            agent.look(0);
        }
        let later = a.at(32);
        a.once.again(ID, Some("a"), later);
        let given_up = Word { said: Said::GivenUp, from: "a".to_owned(), events: vec![ID] };
        b.once.heard(given_up.clone(), later);
        c.once.heard(given_up, later);
        assert_eq!((a.look(32), b.look(32), c.look(32)), (vec![], takes_over(), vec![]));
        // Were neither of the others there, it would be its turn again.
        a.loses("b");
        a.loses("c");
        assert_eq!(a.look(33), takes_over());
    }

    #[test]
    fn who_has_begun_anew_runs_nothing_of_what_it_ran_before() {
        let mut b = Agent::new("b");
        b.look(0);
        b.hear(2, "a", false);
        let begun = |from: &str| Word { said: Said::Runs, from: from.to_owned(), events: Vec::new() };
        let (third, fourth) = (b.at(3), b.at(4));
        b.once.heard(begun("c"), third);
        assert_eq!(b.look(30), []);
        b.once.heard(begun("a"), fourth);
        assert_eq!((b.look(8), b.look(9)), (vec![], takes_over()), "5 s later");
    }

    #[test]
    fn words_are_read_as_they_were_written_and_others_are_none() {
        let word = Word { said: Said::GivenUp, from: "a-node".to_owned(), events: vec![ID, ID] };
        let bytes = word.encode();
        assert_eq!(Word::decode(&bytes), Some(word));
        // Cut behind the name, or the first event, it is a shorter one.
        let whole = [8, 24, 40];
        assert!((0..40).all(|len| Word::decode(&bytes[..len]).is_some() == whole.contains(&len)));
        assert_eq!((Word::decode(&[0xff; 20]), Word::decode(&[3, 0])), (None, None));
    }

    #[test]
    fn the_mark_names_the_events_of_handlers_that_run_once() {
        let specs: Vec<Spec> = ["once:user:b=x", "user:c=x", "once:user:a=y", "once:user:b=z"]
            .iter()
            .flat_map(|text| Spec::parse(text).unwrap())
            .collect();
        let own = |tags: BTreeMap<String, String>| tags.get(MARK).cloned();
        assert_eq!(own(marked(BTreeMap::new(), &specs)), Some("a,b".to_owned()));
        let forged = BTreeMap::from([(MARK.to_owned(), "x".to_owned())]);
        assert_eq!(own(marked(forged, &specs[1..2])), None);
        assert!(is_marked("a,b", b"a") && !is_marked("a,b", b"c") && is_marked("a,*", b"c"));
        let every = marked(BTreeMap::new(), &Spec::parse("once:user:*=x").unwrap());
        assert!(is_marked(&every[MARK], b"*") && !is_marked(&every[MARK], b"a"));
    }
}

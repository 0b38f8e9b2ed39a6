//! Handlers that run once per fleet: whose turn an event is, and when the next one takes over.
//!
//! Agents with such handlers carry a mark, the tag [`MARK`], which names the events. All of them, each by itself, put the marked
//! members in an order that differs from event to event (rendezvous hashing), and the first of those that live runs its handlers. It
//! tells the others when they are done, and while they run long that they still do. Whoever hears neither of them in
//! time, or learns that the one in turn has failed, goes on to the next one. So the handlers run once as a rule, and at least once
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
    if name.is_empty() { EVERY.to_owned() } else { name }
}

/// Whether a member with this mark has a handler for events of this name.
pub(super) fn is_marked(mark: &str, name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name);
    mark.split(',').any(|marked| marked == EVERY || marked == name)
}

/// What members tell one another of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub event: EventId,
    /// Its handlers have ended; else they still run.
    pub done: bool,
    /// Who says it.
    pub from: String,
}

impl Word {
    /// As the payload of an event.
    pub(super) fn encode(&self) -> Vec<u8> {
        let EventId { ltime, origin } = self.event;
        [&ltime.to_le_bytes()[..], &origin.to_le_bytes(), &[self.done as u8], self.from.as_bytes()].concat()
    }

    /// The opposite; `None` if it is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Word> {
        let (ltime, rest) = bytes.split_first_chunk()?;
        let (origin, rest) = rest.split_first_chunk()?;
        let (done, from) = rest.split_first()?;
        Some(Word {
            event: EventId { ltime: u64::from_le_bytes(*ltime), origin: u64::from_le_bytes(*origin) },
            done: *done == 1,
            from: String::from_utf8(from.to_vec()).ok()?,
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
    /// It was somebody else's at the last look.
    elsewhere: bool,
}

enum State {
    /// Nobody has said since then that its handlers run.
    Silent(Instant),
    /// This member has said so then.
    Running(String, Instant),
    /// They run here.
    Here,
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
    /// Its handlers still run: tell the others.
    StillRuns(EventId),
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
    /// An event has come for which this agent has handlers.
    pub(super) fn add(&mut self, id: EventId, event: Arc<Event>, filters: Vec<u8>, now: Instant) {
        if self.done.contains(&id) || self.turns.iter().any(|turn| turn.id == id) {
            return;
        }
        if self.turns.len() == TURNS {
            self.turns.pop_front();
            self.forgotten += 1;
        }
        let state = State::Silent(now);
        self.turns.push_back(Turn { id, event, filters, state, due: now, elsewhere: false });
    }

    /// A member says something.
    pub(super) fn heard(&mut self, word: Word, now: Instant) {
        if word.done {
            self.forget(word.event);
            return;
        }
        let turn = self.turns.iter_mut().find(|turn| turn.id == word.event);
        // Where it runs here as well, it is too late.
        if let Some(turn) = turn.filter(|turn| !matches!(turn.state, State::Here)) {
            turn.state = State::Running(word.from, now);
            turn.due = now + STILL_PATIENCE;
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
        self.turns.retain_mut(|turn| {
            if turn.due > now && !stirred {
                return true;
            }
            if let State::Here = turn.state {
                if turn.due <= now {
                    turn.due = now + STILL;
                    acts.push(Act::StillRuns(turn.id));
                }
                return true;
            }
            let Some(Order { names, own }) = order(turn) else { return false };
            if let State::Running(who, since) = &turn.state {
                turn.due = *since + STILL_PATIENCE;
                if turn.due > now && names.contains(who) {
                    return true;
                }
                turn.state = State::Silent(now);
            }
            if let State::Silent(since) = turn.state {
                turn.due = since + PATIENCE * own as u32;
            }
            if turn.due <= now {
                taken_over += turn.elsewhere as u64;
                (turn.state, turn.due) = (State::Here, now + LONG);
                acts.push(Act::Run(turn.id, turn.event.clone()));
            }
            turn.elsewhere = true;
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
            once.add(ID, event(), Vec::new(), start);
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
            self.once.heard(Word { event: ID, done, from: from.to_owned() }, now);
        }

        fn loses(&mut self, name: &str) {
            self.names.retain(|known| *known != name);
            self.once.stir();
        }
    }

    fn run() -> Vec<Act> {
        vec![Act::Run(ID, event())]
    }

    #[test]
    fn the_first_in_turn_runs_at_once_and_tells_while_it_takes_long() {
        let mut a = Agent::new("a");
        assert_eq!(a.look(0), run());
        assert_eq!((a.look(1), a.look(2), a.look(31)), (vec![], vec![Act::StillRuns(ID)], vec![]));
        assert_eq!(a.look(32), [Act::StillRuns(ID)]);
        a.once.forget(ID);
        assert_eq!((a.once.len(), a.once.deadline(), a.once.taken_over), (0, None, 0));
        // What comes again is done.
        let later = a.at(40);
        a.once.add(ID, event(), Vec::new(), later);
        assert_eq!(a.once.len(), 0);
    }

    #[test]
    fn who_hears_nothing_takes_over_one_after_the_other() {
        for (own, after) in [("b", 5), ("c", 10)] {
            let mut agent = Agent::new(own);
            assert_eq!((agent.look(0), agent.look(after - 1)), (vec![], vec![]), "{own}");
            assert_eq!(agent.look(after), run());
            assert_eq!(agent.once.taken_over, 1);
        }
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
        assert_eq!((b.look(101), b.once.taken_over), (run(), 1));

        let mut b = Agent::new("b");
        b.look(0);
        // One that comes later in turn, and took over too early.
        b.hear(2, "c", false);
        assert_eq!((b.look(76), b.look(77), b.look(82)), (vec![], vec![], run()));
    }

    #[test]
    fn the_second_goes_on_at_once_when_the_first_fails_and_the_third_waits_for_it() {
        for (own, expected) in [("b", run()), ("c", vec![])] {
            let mut agent = Agent::new(own);
            agent.look(0);
            agent.loses("a");
            assert_eq!(agent.look(1), expected, "{own}");
        }
        let mut other = Agent::new("d");
        assert_eq!((other.look(0), other.once.len()), (vec![], 0), "not its business any more");
    }

    #[test]
    fn words_are_read_as_they_were_written_and_others_are_none() {
        let word = Word { event: ID, done: true, from: "a-node".to_owned() };
        assert_eq!(Word::decode(&word.encode()), Some(word.clone()));
        assert!((0..17).all(|len| Word::decode(&word.encode()[..len]).is_none()));
        assert_eq!(Word::decode(&[0xff; 20]), None);
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
    }
}

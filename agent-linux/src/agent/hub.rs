//! Hands every event to everybody who listens.
//!
//! Streams may be many and their readers slow: an event is kept once, whoever has still to read it, and all streams together
//! keep no more than one could. Whoever is too far behind misses the oldest, and is told how many.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::filter::Filter;
use super::model::Event;

/// The most events that are kept for those who have not read them.
pub const EVENTS: usize = 4096;

/// The most that these take together, in bytes, as far as [`size_of`] knows.
const BYTES: usize = 4 << 20;

/// Where the run loop publishes events and RPC streams subscribe to them. Clones are the same hub.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Events that somebody has still to read, by their numbers.
    kept: BTreeMap<u64, Kept>,
    /// How many there have been.
    published: u64,
    bytes: usize,
    listeners: BTreeMap<u64, Listener>,
    /// How many there have been.
    subscribed: u64,
}

#[derive(Debug)]
struct Kept {
    event: Arc<Event>,
    size: usize,
    /// So many have still to read it.
    awaited: usize,
}

#[derive(Debug)]
struct Listener {
    filter: Filter,
    /// Number of the first event that it has not looked at.
    next: u64,
    /// Events that it wanted and that went unread, since the last one that it has read.
    missed: u64,
    news: Arc<Notify>,
}

/// One who listens.
#[derive(Debug)]
pub struct Stream {
    hub: Hub,
    number: u64,
    news: Arc<Notify>,
}

impl Hub {
    /// A hub that nobody listens to.
    pub fn new() -> Hub {
        Hub::default()
    }

    /// Offers the event to all whose filter it passes. Never waits.
    pub fn publish(&self, event: Arc<Event>) {
        let mut state = self.lock();
        let mut awaited = 0;
        for listener in state.listeners.values().filter(|listener| listener.filter.matches(&event)) {
            listener.news.notify_one();
            awaited += 1;
        }
        if awaited == 0 {
            return;
        }
        let size = size_of(&event);
        while state.kept.len() == EVENTS || (!state.kept.is_empty() && state.bytes + size > BYTES) {
            state.give_up_first();
        }
        state.bytes += size;
        let number = state.published;
        state.published += 1;
        state.kept.insert(number, Kept { event, size, awaited });
    }

    /// Listens from now on.
    pub fn subscribe(&self, filter: Filter) -> Stream {
        let mut state = self.lock();
        let (number, next, news) = (state.subscribed, state.published, Arc::default());
        state.subscribed += 1;
        let listener = Listener { filter, next, missed: 0, news: Arc::clone(&news) };
        state.listeners.insert(number, listener);
        Stream { hub: self.clone(), number, news }
    }

    /// The lock is never held over foreign code, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next event for a listener, and how many it missed just before it.
    fn take(&mut self, number: u64) -> Option<(Arc<Event>, u64)> {
        let listener = self.listeners.get_mut(&number)?;
        let mut unread = self.kept.range_mut(listener.next..);
        let found = unread.find(|(_, kept)| listener.filter.matches(&kept.event));
        let Some((&place, kept)) = found else {
            listener.next = self.published;
            return None;
        };
        kept.awaited -= 1;
        listener.next = place + 1;
        let taken = (kept.event.clone(), std::mem::take(&mut listener.missed));
        if kept.awaited == 0 {
            self.bytes -= kept.size;
            self.kept.remove(&place);
        }
        Some(taken)
    }

    /// Makes room; whoever has not read the oldest event has missed it.
    fn give_up_first(&mut self) {
        let Some((place, lost)) = self.kept.pop_first() else { return };
        self.bytes -= lost.size;
        for listener in self.listeners.values_mut() {
            let missed = listener.next <= place && listener.filter.matches(&lost.event);
            listener.missed += missed as u64;
        }
    }
}

impl Stream {
    /// The next event, if it is there; with it, how many were lost just before it.
    pub fn try_next(&self) -> Option<(Arc<Event>, u64)> {
        self.hub.lock().take(self.number)
    }

    /// Waits for the next event; with it, how many were lost just before it. Cancel safe.
    pub async fn next(&self) -> (Arc<Event>, u64) {
        loop {
            if let Some(taken) = self.try_next() {
                return taken;
            }
            self.news.notified().await;
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        while state.take(self.number).is_some() {}
        state.listeners.remove(&self.number);
    }
}

/// About what an event takes in memory, in bytes.
pub(super) fn size_of(event: &Event) -> usize {
    match event {
        Event::Member { members, .. } => members.iter().fold(64, |sum, member| {
            let tags: usize = member.tags.iter().map(|(key, value)| 64 + key.len() + value.len()).sum();
            sum + 128 + member.name.len() + tags
        }),
        Event::User { name, payload, .. } => 96 + name.len() + payload.len(),
        Event::Query(question) => 192 + question.name.len() + question.payload.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(ltime: u64, name: &str, payload: usize) -> Arc<Event> {
        Arc::new(Event::User { ltime, name: name.into(), payload: vec![0; payload], coalesce: false })
    }

    fn subscribe(hub: &Hub, filter: &str) -> Stream {
        hub.subscribe(Filter::parse(filter).expect("a filter"))
    }

    async fn next(stream: &Stream) -> (u64, u64) {
        let (event, missed) = stream.next().await;
        match &*event {
            Event::User { ltime, .. } => (*ltime, missed),
            _ => panic!("nobody has published that"),
        }
    }

    #[tokio::test]
    async fn each_reads_what_it_wants_at_its_own_pace_and_nothing_is_kept_that_all_have_read() {
        let hub = Hub::new();
        hub.publish(user(0, "a", 0));
        let (all, some) = (subscribe(&hub, "*"), subscribe(&hub, "user:b"));
        hub.publish(user(1, "a", 0));
        hub.publish(user(2, "b", 0));
        hub.publish(user(3, "a", 0));
        assert_eq!(next(&some).await, (2, 0));
        assert_eq!([next(&all).await, next(&all).await], [(1, 0), (2, 0)]);
        assert_eq!(hub.lock().kept.len(), 1);
        assert_eq!(next(&all).await, (3, 0));
        assert_eq!(hub.lock().kept.len(), 0);
        assert_eq!(hub.lock().bytes, 0);
        hub.publish(user(4, "b", 0));
        drop(all);
        assert_eq!(next(&some).await, (4, 0));
        assert!(hub.lock().kept.is_empty());
    }

    #[tokio::test]
    async fn whoever_is_too_far_behind_misses_the_oldest_of_what_it_wants() {
        let hub = Hub::new();
        let (odd, even) = (subscribe(&hub, "user:odd"), subscribe(&hub, "user:even"));
        for ltime in 0..EVENTS as u64 + 100 {
            hub.publish(user(ltime, if ltime % 2 == 0 { "even" } else { "odd" }, 0));
        }
        assert_eq!(next(&even).await, (100, 50));
        assert_eq!(next(&odd).await, (101, 50));
        assert_eq!(next(&odd).await, (103, 0));
    }

    #[tokio::test]
    async fn what_others_have_read_costs_nobody_what_he_has_not() {
        let hub = Hub::new();
        let (rare, often) = (subscribe(&hub, "user:rare"), subscribe(&hub, "user:often"));
        hub.publish(user(1, "rare", 0));
        for ltime in 2..2 * EVENTS as u64 {
            hub.publish(user(ltime, "often", 0));
            assert_eq!(next(&often).await, (ltime, 0));
        }
        assert_eq!(next(&rare).await, (1, 0));
    }

    #[tokio::test]
    async fn bytes_are_bounded_but_one_event_is_always_kept() {
        let hub = Hub::new();
        let stream = subscribe(&hub, "user");
        hub.publish(user(1, "large", BYTES / 2));
        hub.publish(user(2, "large", BYTES / 2));
        hub.publish(user(3, "huge", 2 * BYTES));
        assert_eq!(next(&stream).await, (3, 2));
    }
}

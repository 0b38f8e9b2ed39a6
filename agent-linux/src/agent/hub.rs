//! Hands every event to everybody who listens.

use std::sync::{Arc, Mutex, PoisonError};

use super::filter::Filter;
use super::model::Event;
use super::queue::{self, Feed, Tap};

/// Where the run loop publishes events and RPC streams subscribe to them. Clones are the same hub.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    subscribers: Arc<Mutex<Vec<Subscriber>>>,
}

#[derive(Debug)]
struct Subscriber {
    filter: Filter,
    feed: Feed<Arc<Event>>,
}

/// What one subscriber may hold back: about 4 MiB of events, shared with others that hold the same ones.
const BYTES: usize = 4 << 20;

impl Hub {
    /// A hub that nobody listens to.
    pub fn new() -> Hub {
        Hub::default()
    }

    /// Offers the event to all subscribers whose filter it passes. Never waits: whoever is behind misses it.
    pub fn publish(&self, event: Arc<Event>) {
        let size = size_of(&event);
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.retain(|to| !to.filter.matches(&event) || to.feed.push(event.clone(), size, 0));
    }

    /// Listens from now on; at most `capacity` events (and about 4 MiB of them) wait to be read.
    pub fn subscribe(&self, filter: Filter, capacity: usize) -> Tap<Arc<Event>> {
        let (feed, tap) = queue::lossy(capacity, BYTES);
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        // Those who left are noticed here too, since their events may be rare.
        subscribers.retain(|old| !old.feed.is_abandoned());
        subscribers.push(Subscriber { filter, feed });
        tap
    }
}

/// About what an event takes in memory, in bytes.
fn size_of(event: &Event) -> usize {
    match event {
        Event::Member { members, .. } => members.iter().fold(64, |sum, member| {
            let tags: usize = member.tags.iter().map(|(key, value)| 64 + key.len() + value.len()).sum();
            sum + 128 + member.name.len() + tags
        }),
        Event::User { name, payload, .. } => 96 + name.len() + payload.len(),
    }
}

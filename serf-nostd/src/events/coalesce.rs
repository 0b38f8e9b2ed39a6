//! Coalescing of user events: per name the greatest of a window is delivered, once.
//!
//! A window is held open by further events of its name, for a quiescent period each, up to a quantum in all. What was
//! delivered is remembered, so that an older value never follows a newer one. When there are more names than places
//! the oldest held one is delivered early: overflow costs extra deliveries, never a last value.
//!
//! So the windows are also a table of last values. Nodes compare them (by a digest), and fetch what they lack, whatever
//! their floors say: all end on the same value, however long they were apart.

use super::store::NONE;
use crate::config::Config;
use crate::rules::{Rule, Settings};
use crate::slice::{Index, Link, Linked, List};
use crate::stats::Stats;
use crate::time::Instant;
use crate::wire::message::EventId;

/// One name's place. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Window {
    name: u64,
    greatest: EventId,
    first: Instant,
    last: Instant,
    /// In the order of first events while held, of delivery afterwards.
    by_first: Link,
    /// In the order of last events, while held.
    by_last: Link,
    /// The store's slot, while held.
    slot: u16,
    /// The application has not been told this value, as it is from before this node met its fleet.
    silent: bool,
}

impl Window {
    /// A free place.
    pub const EMPTY: Window = Window {
        name: 0,
        greatest: EventId { ltime: 0, origin: 0 },
        first: Instant::PAST,
        last: Instant::PAST,
        by_first: Link::LOOSE,
        by_last: Link::LOOSE,
        slot: 0,
        silent: false,
    };
}

const FIRST: usize = 0;
const LAST: usize = 1;

impl Linked<FIRST> for Window {
    fn link(&mut self) -> &mut Link {
        &mut self.by_first
    }
}

impl Linked<LAST> for Window {
    fn link(&mut self) -> &mut Link {
        &mut self.by_last
    }
}

/// What becomes of an event that may be coalesced. The caller delivers and lets go as told, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placed {
    /// This held slot is to be delivered now, early.
    pub deliver: Option<u16>,
    /// This held slot is superseded: let it go.
    pub superseded: Option<u16>,
    /// The new event is held.
    pub held: bool,
    /// The new event is the last value of its name; else it is older than that.
    pub newest: bool,
    /// This one was it before.
    pub replaced: Option<EventId>,
}

pub(crate) struct Coalescer<'a> {
    windows: &'a mut [Window],
    index: Index<'a>,
    /// Held names, first come first.
    held: List<FIRST>,
    /// Held names, longest quiet first.
    quiet: List<LAST>,
    /// Names whose event was delivered, longest ago first.
    sent: List<FIRST>,
    /// Places from here on were never used.
    touched: usize,
    /// Hashes of the last values' identities, XORed.
    digest: u32,
    /// A name was forgotten: this is not the whole table of last values any more.
    partial: bool,
}

impl<'a> Coalescer<'a> {
    pub(crate) fn new(windows: &'a mut [Window], index: &'a mut [u16]) -> Self {
        Coalescer {
            windows,
            index: Index::new(index),
            held: List::new(),
            quiet: List::new(),
            sent: List::new(),
            touched: 0,
            digest: 0,
            partial: false,
        }
    }

    pub(crate) fn release(self) -> (&'a mut [Window], &'a mut [u16]) {
        (self.windows, self.index.release())
    }

    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    fn find(&self, name: u64) -> Option<u16> {
        let hash_of = |id: u16| self.windows[id as usize].name as u32;
        self.index.find(name as u32, hash_of, |id| self.windows[id as usize].name == name)
    }

    /// A new coalescible event whose payload stands in `slot`; `name` is a hash of its name. `silent`: it becomes the
    /// last value of its name, and is not to be delivered.
    #[allow(clippy::too_many_arguments)] // It is told all there is to know about one event.
    pub(crate) fn offer(
        &mut self,
        name: u64,
        event: EventId,
        slot: u16,
        silent: bool,
        now: Instant,
        config: &Settings,
        stats: &mut Stats,
    ) -> Placed {
        let mut placed = Placed { held: !silent, newest: true, ..Placed::default() };
        let id = match self.find(name) {
            Some(id) => {
                let window = &mut self.windows[id as usize];
                let is_held = window.slot != NONE;
                let remembers = is_held || config.has(Rule::CoalesceMemory);
                if event <= window.greatest && remembers && (config.has(Rule::CoalesceOrder) || !is_held) {
                    stats.coalesce_superseded += 1;
                    return Placed::default();
                }
                self.digest ^= window.greatest.hash();
                placed.replaced = Some(window.greatest);
                if is_held {
                    stats.coalesce_superseded += 1;
                    placed.superseded = Some(window.slot);
                    self.quiet.remove(self.windows, id);
                } else {
                    window.first = now;
                    self.sent.remove(self.windows, id);
                    self.held.push_back(self.windows, id);
                }
                id
            }
            None => {
                let id = self.place(&mut placed, stats, config);
                self.windows[id as usize] = Window { name, first: now, ..Window::EMPTY };
                let windows = &*self.windows;
                self.index.insert(name as u32, id, |id| windows[id as usize].name as u32);
                self.held.push_back(self.windows, id);
                id
            }
        };
        let window = &mut self.windows[id as usize];
        (window.greatest, window.last, window.slot, window.silent) = (event, now, slot, silent);
        self.digest ^= event.hash();
        self.quiet.push_back(self.windows, id);
        if silent {
            self.deliver(id);
        }
        placed
    }

    /// This value of a name was handed out before a restart.
    #[cfg(any(feature = "recall", test))]
    pub(super) fn recall(&mut self, name: u64, event: EventId) {
        if let Some(id) = self.find(name) {
            let window = &mut self.windows[id as usize];
            self.digest ^= window.greatest.hash();
            window.greatest = window.greatest.max(event);
            self.digest ^= window.greatest.hash();
        } else if self.touched < self.windows.len() {
            let id = self.touched as u16;
            self.touched += 1;
            self.windows[id as usize] = Window { name, greatest: event, slot: NONE, ..Window::EMPTY };
            let windows = &*self.windows;
            self.index.insert(name as u32, id, |id| windows[id as usize].name as u32);
            self.sent.push_back(self.windows, id);
            self.digest ^= event.hash();
        } else {
            self.partial = true;
        }
    }

    /// A place for a new name.
    fn place(&mut self, placed: &mut Placed, stats: &mut Stats, config: &Settings) -> u16 {
        if let Some(fresh) = self.windows.get_mut(self.touched) {
            *fresh = Window::EMPTY;
            self.touched += 1;
            return (self.touched - 1) as u16;
        }
        if self.sent.is_empty()
            && let Some(id) = self.held.head()
        {
            stats.coalesce_early += 1;
            let slot = self.deliver(id);
            if config.has(Rule::CoalesceEarly) {
                placed.deliver = Some(slot);
            } else {
                placed.superseded = Some(slot);
            }
        }
        stats.coalesce_forgotten += 1;
        self.partial = true;
        // One of the two lists is never empty: a coalescer has at least one place.
        let id = self.sent.pop_front(self.windows).unwrap_or(0);
        let windows = &*self.windows;
        self.index.remove(windows[id as usize].name as u32, id, |id| windows[id as usize].name as u32);
        self.digest ^= windows[id as usize].greatest.hash();
        id
    }

    /// Ends a window: it remembers what it has shown.
    fn deliver(&mut self, id: u16) -> u16 {
        self.held.remove(self.windows, id);
        self.quiet.remove(self.windows, id);
        self.sent.push_back(self.windows, id);
        core::mem::replace(&mut self.windows[id as usize].slot, NONE)
    }

    /// When the next window ends.
    pub(crate) fn deadline(&self, config: &Config) -> Instant {
        let quantum = self.held.head().map(|id| self.windows[id as usize].first + config.coalesce_quantum);
        let quiet = self.quiet.head().map(|id| self.windows[id as usize].last + config.coalesce_quiescent);
        quantum.unwrap_or(Instant::FAR).min(quiet.unwrap_or(Instant::FAR))
    }

    /// The slot of a window that has ended, if any: to be delivered.
    pub(crate) fn due(&mut self, now: Instant, config: &Config) -> Option<u16> {
        let first = self.held.head()?;
        if self.windows[first as usize].first + config.coalesce_quantum <= now {
            return Some(self.deliver(first));
        }
        let quiet = self.quiet.head()?;
        (self.windows[quiet as usize].last + config.coalesce_quiescent <= now).then(|| self.deliver(quiet))
    }

    /// Gives the oldest held slot up for delivery now: when the store needs its room, or the node is about to end.
    pub(crate) fn oldest(&mut self) -> Option<u16> {
        let id = self.held.head()?;
        Some(self.deliver(id))
    }

    // ---- the table of last values ----

    /// Digest of the last values; `None` if there were more names than places.
    pub(crate) fn digest(&self) -> Option<u32> {
        (!self.partial).then_some(self.digest)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.touched == 0
    }

    /// Whether it is known what the application has been told of this name, be it nothing.
    pub(crate) fn remembers(&self, name: u64) -> bool {
        !self.partial || self.find(name).is_some()
    }

    /// Whether the application has been told no value of this name.
    pub(crate) fn is_silent(&self, name: u64) -> bool {
        self.find(name).is_none_or(|id| self.windows[id as usize].silent)
    }

    /// The last value of a name, and whether its window has ended with it.
    pub(crate) fn last_of(&self, name: u64) -> Option<(EventId, bool)> {
        let window = &self.windows[self.find(name)? as usize];
        Some((window.greatest, window.slot == NONE && !window.silent))
    }

    /// Whether this is the last value of a name. Goes through them all.
    pub(crate) fn is_last_value(&self, event: EventId) -> bool {
        self.windows[..self.touched].iter().any(|window| window.greatest == event)
    }

    /// The last values from a place on, with their places.
    pub(crate) fn values(&self, from: usize) -> impl Iterator<Item = (usize, EventId)> + '_ {
        self.windows[..self.touched]
            .iter()
            .enumerate()
            .skip(from)
            .map(|(place, window)| (place, window.greatest))
    }

    /// An own event that nobody else has seen goes by another identity from now on.
    pub(crate) fn renamed(&mut self, name: u64, before: EventId, after: EventId) {
        if let Some(id) = self.find(name)
            && self.windows[id as usize].greatest == before
        {
            self.digest ^= before.hash() ^ after.hash();
            self.windows[id as usize].greatest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::id;

    struct Names<'a> {
        coalescer: Coalescer<'a>,
        settings: Settings,
        stats: Stats,
        now: Instant,
    }

    fn with_places<const N: usize>(run: impl FnOnce(&mut Names<'_>)) {
        let (mut windows, mut index) = ([Window::EMPTY; N], std::vec![0; 3 * N]);
        let (settings, stats) = (Settings::new(Config::LAN), Stats::default());
        let coalescer = Coalescer::new(&mut windows, &mut index);
        run(&mut Names { coalescer, settings, stats, now: Instant::from_millis(1_000) });
    }

    impl Names<'_> {
        fn offer(&mut self, name: u64, ltime: u64, slot: u16) -> Placed {
            let Names { coalescer, settings, stats, now } = self;
            coalescer.offer(name, id(ltime, 1), slot, false, *now, settings, stats)
        }

        fn due(&mut self, ms: u64) -> Option<u16> {
            self.now = Instant::from_millis(1_000 + ms);
            self.coalescer.due(self.now, &self.settings)
        }
    }

    #[test]
    fn the_greatest_of_a_window_is_delivered_once_after_a_quiet_second() {
        with_places::<4>(|names| {
            assert!(names.offer(1, 5, 10).held);
            assert_eq!(names.offer(1, 7, 11).superseded, Some(10));
            assert_eq!(names.offer(1, 6, 12), Placed::default(), "older than what is held");
            assert_eq!(names.due(999), None);
            assert_eq!((names.due(1_000), names.due(5_000)), (Some(11), None));
            assert_eq!(names.offer(1, 7, 13), Placed::default(), "never an older one after it");
            assert!(names.offer(1, 8, 14).newest);
            assert_eq!(names.stats.coalesce_superseded, 3);
        });
    }

    #[test]
    fn a_window_that_is_never_quiet_ends_after_its_quantum() {
        with_places::<4>(|names| {
            let mut delivered = 0;
            for tenth in 0..=30 {
                delivered += names.due(100 * tenth).is_some() as u64;
                names.offer(1, 1 + tenth, tenth as u16);
            }
            assert_eq!(delivered, 1);
        });
    }

    #[test]
    fn more_names_than_places_are_delivered_early_and_the_digest_is_not_whole_any_more() {
        with_places::<2>(|names| {
            names.offer(1, 1, 10);
            names.offer(2, 2, 11);
            assert_eq!(names.coalescer.digest(), Some(id(1, 1).hash() ^ id(2, 1).hash()));
            assert_eq!(names.offer(3, 3, 12).deliver, Some(10), "the oldest");
            assert_eq!((names.coalescer.digest(), names.stats.coalesce_early), (None, 1));
            assert!(!names.coalescer.remembers(1) && names.coalescer.remembers(2));
        });
    }

    #[test]
    fn what_was_handed_out_before_a_restart_is_a_last_value_and_never_followed_by_an_older_one() {
        with_places::<2>(|names| {
            for (name, ltime) in [(1, 7), (2, 5), (1, 6), (3, 9)] {
                names.coalescer.recall(name, id(ltime, 1));
            }
            assert_eq!(names.coalescer.last_of(1), Some((id(7, 1), true)));
            assert_eq!(names.coalescer.digest(), None, "of the third there is no room");
            assert_eq!(names.offer(1, 6, 10), Placed::default());
            assert!(names.offer(2, 6, 11).held);
            assert_eq!(names.due(1_000), Some(11));
        });
    }

    #[test]
    fn a_silent_value_is_the_last_one_and_is_not_delivered() {
        with_places::<2>(|names| {
            let Names { coalescer, settings, stats, now } = names;
            let placed = coalescer.offer(1, id(5, 1), 10, true, *now, settings, stats);
            assert!(placed.newest && !placed.held);
            assert!(coalescer.is_silent(1) && coalescer.is_last_value(id(5, 1)));
            assert_eq!(names.due(9_000), None);
            names.offer(1, 6, 11);
            assert!(!names.coalescer.is_silent(1));
        });
    }
}

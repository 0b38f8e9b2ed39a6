//! Own events, back from others.

use super::store::{Pin, list};
use super::{Events, reaches_all};
use crate::context::Cx;
use crate::failure::Links;
use crate::rules::Settings;
use crate::wire::message::{Address, EventId};

/// From how many others an own event has to come back; one less where this node sends it to everybody itself.
const CONFIRMATIONS: usize = 3;

impl Events<'_> {
    /// Whether it is an event of this node's that has to come back from others.
    pub(crate) fn waits_for_return(&self, id: EventId) -> bool {
        self.store.find(id).is_some_and(|slot| self.store.is_pinned(slot, Pin::Own))
    }

    /// An own event came back from somebody who has it.
    pub(super) fn came_back(&mut self, cx: &mut Cx<'_>, links: Links, id: EventId, from: Address) {
        if let Some(slot) = self.confirm_own(links, &cx.config, id, from, true) {
            cx.note_spread(self.store.since(slot));
        }
    }

    /// Somebody has an own event (`shown`), or will never take it. If with this it need not be held for others any more: its slot.
    fn confirm_own(
        &mut self,
        links: Links,
        config: &Settings,
        id: EventId,
        from: Address,
        shown: bool,
    ) -> Option<u16> {
        let slot = self.store.find(id).filter(|slot| self.store.is_pinned(*slot, Pin::Own))?;
        if links.live == 0 {
            // Nobody has been told it.
            return None;
        }
        let enough =
            self.store.confirm(slot, from.hash(), shown) as usize >= self.returns_needed(config, links);
        enough.then(|| {
            self.store.release_own(slot);
            slot
        })
    }

    /// Somebody will never take an own event. True if it is held no longer with this, and others may lack it: unless as many returns were
    /// needed as there are others, and one of them has it; the rest have come after it.
    pub(crate) fn never_taken(&mut self, links: Links, config: &Settings, id: EventId, by: Address) -> bool {
        let all = self.returns_needed(config, links) == links.live;
        let given_up = self.confirm_own(links, config, id, by, false);
        given_up.is_some_and(|slot| !(all && self.store.was_shown(slot)))
    }

    /// From how many others an own event has to come back.
    pub(super) fn returns_needed(&self, config: &Settings, links: Links) -> usize {
        (CONFIRMATIONS - reaches_all(config, links) as usize).min(links.live)
    }

    /// What a peer's summary says about own events that wait for their return: if it has seen the `same` above its floor, it
    /// has those; and what is not above its floor, it has or will never take.
    pub(crate) fn confirm_all(
        &mut self,
        cx: &mut Cx<'_>,
        links: Links,
        floor: EventId,
        same: bool,
        peer: Address,
    ) {
        for which in list::ANNOUNCE..=list::OWN_HELD {
            let mut at = self.store.first(which).filter(|_| self.store.pinned(Pin::Own) > 0);
            while let Some(slot) = at {
                at = self.store.after(which, slot);
                let id = self.store.id(slot);
                if id <= floor {
                    cx.stats.own_unconfirmed += self.never_taken(links, &cx.config, id, peer) as u64;
                } else if same {
                    self.came_back(cx, links, id, peer);
                }
            }
        }
    }
}

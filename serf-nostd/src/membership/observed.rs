//! Where this node is: what it advertises, and where others see it.

use super::Membership;
use super::record::update;
use super::table::SELF;
use crate::context::Cx;
use crate::wire::message::Address;

/// Somebody has seen this node at an address that it does not advertise.
#[derive(Clone, Copy)]
pub(crate) struct Observed {
    by: Address,
    at: Address,
}

impl Membership<'_> {
    /// This node is reached at another address from now on: tells everybody.
    pub(crate) fn set_address(&mut self, cx: &Cx<'_>, addr: Address) {
        if addr.is_somewhere() && self.table.hot(SELF).addr != addr {
            self.observed = None;
            self.say_anew(cx, |hot| hot.addr = addr);
        }
    }

    /// A member has answered that sees this node where it says that it is.
    pub(crate) fn seen_here(&mut self) {
        self.observed = None;
    }

    /// A member has answered, and says where it sees this node: if it follows that it goes there, by the word of two who say the same, or of
    /// the only one. A router that shows each of them another address leads it nowhere.
    pub(crate) fn observed(&mut self, cx: &mut Cx<'_>, by: Address, at: Address) {
        if at == self.table.hot(SELF).addr {
            // Its word has not come there yet.
            self.queue_update(SELF, update::STATE);
            return;
        }
        cx.stats.seen_elsewhere += 1;
        if !cx.config.advertise_observed {
            return;
        }
        let agreed = self.observed.is_some_and(|before| before.at == at && before.by != by);
        if agreed || self.table.live() <= 1 {
            self.set_address(cx, at);
        } else {
            self.observed = Some(Observed { by, at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::kit;
    use crate::rules::Settings;

    #[test]
    fn two_who_say_the_same_lead_it_there_and_a_router_that_shows_each_another_one_does_not() {
        let (mut cx, mut e, _) = kit::fleet(4);
        let own = |e: &crate::sync::Engines<'_>| e.members.table.hot(SELF).addr;
        let before = own(&e);
        e.members.observed(&mut cx, kit::addr(1), kit::addr(50));
        e.members.observed(&mut cx, kit::addr(2), kit::addr(50));
        assert_eq!((own(&e), cx.stats.seen_elsewhere), (before, 2), "it does not follow");
        cx.config = Settings::new(Config { advertise_observed: true, ..Config::LAN });
        for (by, at) in [(1, 50), (1, 50), (2, 51), (3, 52), (1, 50)] {
            e.members.observed(&mut cx, kit::addr(by), kit::addr(at));
            assert_eq!(own(&e), before, "{by} says {at}");
        }
        e.members.seen_here();
        e.members.observed(&mut cx, kit::addr(2), kit::addr(50));
        assert_eq!(own(&e), before, "another one has seen it here meanwhile");
        e.members.observed(&mut cx, kit::addr(1), before);
        assert_eq!(
            e.members.table.cold(SELF).update & update::STATE,
            update::STATE,
            "it says again where it is"
        );
        let incarnation = e.members.table.hot(SELF).incarnation;
        e.members.observed(&mut cx, kit::addr(1), kit::addr(50));
        assert_eq!((own(&e), e.members.table.hot(SELF).incarnation), (kit::addr(50), incarnation + 1));
        e.members.observed(&mut cx, kit::addr(1), Address::UNSET);
        e.members.observed(&mut cx, kit::addr(2), Address::UNSET);
        assert_eq!(own(&e), kit::addr(50), "nowhere is no address");
        e.members.table.check();
    }

    #[test]
    fn the_only_other_one_is_believed() {
        let (mut cx, mut e, _) = kit::fleet(1);
        cx.config = Settings::new(Config { advertise_observed: true, ..Config::LAN });
        e.members.observed(&mut cx, kit::addr(1), kit::addr(50));
        assert_eq!(e.members.table.hot(SELF).addr, kit::addr(50));
    }
}

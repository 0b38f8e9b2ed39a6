//! What random faults have found, each by the smallest plan that showed it.

use fleet_tests::chaos::{Faults, Plan, Profile, run};
use fleet_tests::fleet::Size;

/// # Panics
/// If a promise is broken under this plan.
#[track_caller]
fn holds(plan: &Plan) {
    assert_eq!(run(plan).map(|_| ()).map_err(|failure| failure.text), Ok(()));
}

/// A machine that boots behind a cut starts with its side's clock as its floor. What the other side fires meanwhile may be
/// below it: the machine was not connected to that, and nobody may count it as lost.
#[test]
fn a_newcomer_behind_a_cut_misses_what_is_below_its_sides_clock() {
    let faults = Faults { partitions: 0.205, reboots: 0.9, deaf: 0.0475, ..Faults::default() };
    holds(&Plan {
        seed: 4_294_967_338,
        nodes: 26,
        size: Size::Server,
        seconds: 47,
        names: 1,
        rate: 2.0,
        coalesced: 0.0,
        faults,
        ..Plan::calm(0)
    });
}

/// A machine that boots behind a cut, all alone, meets the fleet when that heals: it is there for what is fired from then on,
/// and brings along what it has fired itself.
#[test]
fn a_newcomer_that_starts_alone_is_there_when_it_meets_the_others() {
    let faults = Faults { partitions: 0.036_25, reboots: 0.19, garbage: 0.44, ..Faults::default() };
    holds(&Plan {
        seed: 12_884_906_659,
        nodes: 5,
        size: Size::Server,
        seconds: 38,
        names: 1,
        rate: 8.0,
        coalesced: 0.5,
        faults,
        ..Plan::calm(0)
    });
}

/// A small machine has missed hundreds of events, and takes in what its rate allows. What it wants to fire meanwhile it may.
#[test]
fn who_catches_up_is_not_refused() {
    let faults = Faults {
        loss: 0.17,
        reorder: 0.455,
        freezes: 0.485,
        deaf: 0.7,
        garbage: 0.48,
        floods: 0.045,
        ..Faults::default()
    };
    holds(&Plan {
        seed: 4_294_976_859,
        nodes: 6,
        size: Size::Mixed,
        seconds: 52,
        names: 1,
        rate: 8.0,
        coalesced: 0.5,
        faults,
        ..Plan::calm(0)
    });
}

/// A member whose boot number jumps by more than others believe, and whose address changes twice.
#[test]
fn a_boot_number_far_ahead_at_another_address_is_asked_for() {
    holds(&Plan {
        seed: 21_474_838_397,
        nodes: 3,
        profile: Profile::Wan,
        latency: 4,
        seconds: 5,
        names: 1,
        coalesced: 1.0,
        faults: Faults { boots: 0.56, moves: 0.83, ..Faults::default() },
        ..Plan::calm(0)
    });
}

/// A member that has failed and comes back with other tags before its application was told that it had failed.
#[test]
fn tags_that_change_between_two_lives_are_told() {
    holds(&Plan {
        seed: 658,
        nodes: 6,
        seconds: 10,
        names: 1,
        rate: 0.25,
        coalesced: 0.0,
        faults: Faults { tags: 0.76, nats: 0.51, ..Faults::default() },
        ..Plan::calm(0)
    });
}

/// A running member of a fleet is told to join a node that is alone, and has fired events.
#[test]
fn a_lone_node_that_a_fleet_comes_to_brings_its_events_along() {
    holds(&Plan {
        seed: 60_129_542_375,
        nodes: 4,
        seconds: 27,
        names: 1,
        coalesced: 0.0,
        faults: Faults { seeds: 0.0425, moves: 0.96, ..Faults::default() },
        ..Plan::calm(0)
    });
}

/// A member is pruned, and later somebody else counts it as left.
#[test]
fn whom_one_has_pruned_no_other_brings_back() {
    holds(&Plan {
        seed: 1_562,
        nodes: 8,
        seconds: 43,
        names: 1,
        rate: 1.0,
        coalesced: 1.0,
        faults: Faults { boots: 0.043_75, forced: 0.77, ..Faults::default() },
        ..Plan::calm(0)
    });
}

/// Boards that have no place for all, while machines fail and come back at other addresses.
#[test]
fn a_board_asks_others_about_those_who_are_gone() {
    holds(&Plan {
        seed: 25_769_804_653,
        nodes: 11,
        size: Size::Boards,
        seconds: 18,
        names: 1,
        coalesced: 0.0,
        faults: Faults { moves: 0.65, ..Faults::default() },
        ..Plan::calm(0)
    });
}

/// A machine that has forgotten its boot number is accused as of a former life, and goes on above that.
#[test]
fn who_is_accused_of_a_former_life_contradicts_above_it() {
    holds(&Plan::draw(303));
}

/// What two machines had fired in the fleet that they left, long ago and never confirmed, was told to their new one.
#[test]
fn what_was_fired_in_a_fleet_that_was_left_stays_there() {
    holds(&Plan::draw(5_784));
}

/// Behind routers that forget, a node went through three fleets within a second, and took a last value for one from before.
#[test]
fn who_lingers_in_its_former_fleet_is_told_its_last_values() {
    holds(&Plan::draw(5_474));
}

/// Nobody in the tables of some boards had what these boards lacked; those who had it asked, and were never asked back.
#[test]
fn boards_get_what_nobody_in_their_tables_has() {
    [7_076, 7_254, 18_376].into_iter().for_each(|seed| holds(&Plan::draw(seed)));
}

/// After a liar: living members that were failed or left to some for ever, and tables that never became the same.
#[test]
fn a_liar_leaves_nothing_behind() {
    let seeds = [1_348, 2_427, 2_469, 2_517, 11_245, 13_968, 18_451];
    seeds.into_iter().for_each(|seed| holds(&Plan::draw(seed)));
}

/// A machine that is about to enter another fleet with values of its own fetched that one's first: to it theirs were the
/// newest, to all others its own.
#[test]
fn who_enters_a_fleet_ends_on_the_values_that_it_brings() {
    holds(&Plan::draw(2_078));
}

/// A machine stood still while its fleet entered another one, and entered it when nobody lingered in the old one any more. Both
/// then grew up, and all went back.
#[test]
fn who_comes_too_late_into_another_fleet_counts_what_it_may_have_missed() {
    holds(&Plan::draw(4174));
}

/// A board's table says of a member that it is dead, at another address, in a life that a liar has made up.
#[test]
fn a_life_that_was_made_up_is_contradicted_at_any_address() {
    holds(&Plan::draw(6198));
}

/// A liar has driven two machines of one name to one boot number.
#[test]
fn twins_are_two_wherever_they_are_driven() {
    holds(&Plan::draw(17_409));
}

/// Orders to prune, and what is said after them: somebody else only forces the member out, or a liar says that it joins.
#[test]
fn a_prune_is_not_undone() {
    [16_170, 18_702, 19_136].into_iter().for_each(|seed| holds(&Plan::draw(seed)));
}

/// A router gave a machine another port: it asked for an event with the token of its former address for ever.
#[test]
fn whoever_is_known_by_another_address_learns_its_token() {
    holds(&Plan::draw(3418));
}

/// Whom a machine knew last has left, and lingers. What the machine fires then waits for somebody to tell it to; the leaver asks for
/// it, and so has it under its first identity.
#[test]
fn an_own_event_that_was_given_to_who_asked_keeps_its_identity() {
    let faults = Faults { leaves: 0.97, joins: 0.88, nats: 0.25, ..Faults::default() };
    holds(&Plan {
        seed: 8_589_936_702,
        nodes: 6,
        seconds: 2,
        names: 1,
        rate: 4.0,
        coalesced: 0.0,
        faults,
        ..Plan::calm(0)
    });
}

/// The store of a board is full. A query whose turn it was made room for its own acknowledgement, whose bytes were then shown
/// as an event that nobody had fired.
#[test]
fn a_query_is_shown_also_where_the_store_is_full() {
    let faults = Faults { garbage: 0.58, muted: 0.7, ..Faults::default() };
    holds(&Plan {
        seed: 5_761,
        nodes: 19,
        size: Size::Boards,
        seconds: 29,
        names: 30,
        rate: 0.5,
        coalesced: 1.0,
        queries: 3.0,
        faults,
        ..Plan::calm(0)
    });
}

/// A member moves, or gets other tags, and leaves before all have heard that: in some tables it has left in an incarnation of which they
/// know no more. They ask who knows more, and where nobody does they come to one address.
#[test]
fn who_leaves_with_news_of_itself_is_the_same_in_all_tables() {
    holds(&Plan::draw(386));
    holds(&Plan::asking(2_469));
    holds(&Plan::draw(5_855));
}

/// A member gets other tags and dies. A table that had not heard of these was told of both by another one, and then that it was back,
/// all in one window: its application was never told of the tags.
#[test]
fn who_is_back_with_tags_that_came_with_its_death_is_told_of() {
    holds(&Plan::sealed(109));
}

/// A node that hears nobody asks a query and enters another fleet in the same moment. It gives the query up, of which it had told one of its
/// former fleet, who fetches it and passes it on: its own application was asked twice.
#[test]
fn a_query_that_was_given_up_and_comes_back_is_not_asked_again() {
    holds(&Plan::sealed(1_546));
}

/// A clone, whom nobody takes in, forces somebody out who lives: nobody heeds it, so that nothing contradicts it either.
#[test]
fn whom_a_clone_forces_out_stays_for_all_others() {
    let faults = Faults { forced: 0.11, twins: 0.05, ..Faults::default() };
    holds(&Plan {
        seed: 12_884_902_593,
        nodes: 8,
        size: Size::Server,
        seconds: 1,
        names: 1,
        rate: 0.25,
        coalesced: 0.0,
        queries: 0.0,
        sealed: true,
        faults,
        ..Plan::calm(0)
    });
}

/// A board hears that somebody is forced out who lives, and misses the contradiction. It holds a part of the fleet, so that no comparison of
/// all members tells it; its next probe does.
#[test]
fn a_board_that_misses_a_contradiction_hears_it_from_whom_it_probes() {
    let faults = Faults { forced: 0.0475, twins: 0.37, ..Faults::default() };
    holds(&Plan {
        seed: 4_294_969_293,
        nodes: 26,
        size: Size::Boards,
        seconds: 2,
        names: 1,
        rate: 4.0,
        coalesced: 1.0,
        queries: 3.0,
        sealed: true,
        faults,
        ..Plan::calm(0)
    });
}

/// A node wakes behind a firewall, and asks for what it has missed: nobody answers it for six seconds. That those others said nothing does not
/// mean that they hold nothing.
#[test]
fn what_nobody_was_heard_about_is_not_lost() {
    holds(&Plan::asking(1_233));
}

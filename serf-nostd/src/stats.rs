//! Counters: everything that was bounded, refused, repaired or lost can be seen here.

macro_rules! stats {
    ($($(#[doc = $doc:literal])* $(#[cfg($with:meta)])? $name:ident,)*) => {
        /// What a node has counted since its start. All counts; none is ever reset.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub struct Stats { $($(#[doc = $doc])* $(#[cfg($with)])? pub $name: u64,)* }

        impl Stats {
            /// What each counter counts, in the order of [`Stats::each`].
            pub const MEANINGS: &'static [&'static str] = &[$($(#[cfg($with)])? concat!($($doc),*),)*];

            /// Every counter with its name, in a fixed order.
            pub fn each(&self, mut show: impl FnMut(&'static str, u64)) {
                $($(#[cfg($with)])? show(stringify!($name), self.$name);)*
            }
        }
    };
}

stats! {
    /// Datagrams taken in.
    datagrams_in,
    /// Datagrams handed out.
    datagrams_out,
    /// Bytes of datagrams taken in.
    bytes_in,
    /// Bytes of datagrams handed out.
    bytes_out,
    /// Datagrams refused as malformed, too long, or of no known wire.
    refused,
    /// Datagrams of another wire or another version of ours.
    refused_wire,
    /// Datagrams of a fleet with another cluster name.
    refused_cluster,
    /// Datagrams that were not sealed where all are, or sealed where none is.
    refused_unsealed,
    /// Datagrams sealed with a key that this node does not have, or for a cluster of another name.
    refused_key,
    /// Datagrams whose seal did not fit.
    refused_forged,
    /// Datagrams that had come before, or came later than three that were sent after them; and this node's own.
    refused_replayed,
    /// Times that another node sealed as this one did: a copy of its flash or its machine.
    clones,
    /// Sessions under which members have shown that they seal.
    proofs,
    /// News that may have been said before, and were dropped: their senders had not shown yet that they are new.
    doubted,
    /// Times that a sender was challenged to show that what it says is new.
    challenges,
    /// Messages of kinds that this build does not know.
    unknown_messages,
    /// Pings for somebody else that came here.
    misaddressed,
    /// Lamport times that were out of reach; their messages were refused.
    clock_refused,
    /// Incarnations too far above the known one; their messages were refused.
    incarnation_refused,
    /// Members not held because the table was full.
    members_unheld,
    /// Failed or left members evicted from a full table.
    members_evicted,
    /// Members not held because their name is too long for a slot.
    names_unheld,
    /// Times that a member's tags were too long for its slot.
    tags_unheld,
    /// Members forgotten after their timeout.
    members_reaped,
    /// Newcomers refused because their name belongs to a member that answers.
    names_taken,
    /// Times that the application was told of another node with this node's name.
    name_conflicts,
    /// Times that a member has said that this node's datagrams come from another address than it advertises.
    seen_elsewhere,
    /// Newcomers not taken in because only somebody who is in no fleet with this node has told of them; queries and answers of who is
    /// no member, or elsewhere than it says.
    strangers,
    /// Intents for unknown members that were forgotten to make room.
    intents_forgotten,
    /// Probes sent.
    probes,
    /// Probes without any answer, before their target is probed again.
    probes_failed,
    /// Times that a member which did not answer was probed again before anybody was told.
    pre_suspicions,
    /// Times that it was not, because too many waited for that.
    pre_suspicions_refused,
    /// Times that this node has heard nobody, or that nobody has answered it, so that it has probed many at a time.
    searches,
    /// Suspicions begun here.
    suspicions,
    /// Datagrams of this node's that a host has refused: nobody listens there.
    #[cfg(feature = "inquest")]
    refusals,
    /// Times that a member has said that its process ends.
    #[cfg(feature = "inquest")]
    last_words,
    /// Inquests begun into members whose hosts said so.
    #[cfg(feature = "inquest")]
    inquests,
    /// Of them, those that found that the member has failed.
    #[cfg(feature = "inquest")]
    inquests_gone,
    /// Times this node contradicted what was said against it.
    refuted,
    /// Suspicion confirmers not noted because there was no room.
    confirmers_refused,
    /// Indirect probes refused because too many were running.
    relays_refused,
    /// Answers refused because too many were owed.
    answers_refused,
    /// Times the clock jumped and running suspicions were put off.
    freezes,
    /// Own events accepted.
    events_fired,
    /// Times that there was no place for an own event, be it when it was tried again.
    events_full,
    /// Events seen for the first time, own ones included.
    events_new,
    /// Further copies of seen events.
    events_duplicate,
    /// Events that only an operator may fire, and none has signed; or whose signature is wrong.
    events_unauthorized,
    /// Signed events that came too fast to be checked, or orders about keys under one that is not here: others offer them again.
    events_unchecked,
    /// Events handed to the application.
    events_delivered,
    /// Events for other members: passed on only.
    events_elsewhere,
    /// Datagrams of own events that were sent to everybody at once, to be received by all.
    #[cfg(feature = "batches")]
    batches,
    /// Times that somebody was told of one who had not said that it has been received.
    #[cfg(feature = "batches")]
    reminders,
    /// Copies of payloads sent.
    payloads_sent,
    /// Event ids announced.
    ids_sent,
    /// Events asked for.
    pulls,
    /// Pulls that were not begun because too many were running.
    pulls_refused,
    /// Events lost here: nobody who was asked holds their payload any more.
    pull_miss,
    /// Events at or below the floor that were not delivered.
    too_old,
    /// Events that have passed this node's floor, or a peer's, without having been seen by both: at least so many. And one
    /// for each fleet that was left for another one, as something may have been on its way there.
    event_gaps,
    /// Events shed unrecorded because they came faster than the acceptance rate.
    shed,
    /// Events left unrecorded because the application did not take its events.
    app_full,
    /// Events too long for this node's limit.
    events_too_long,
    /// Stored events dropped to make room, sent ones first.
    store_dropped,
    /// Own events whose return was not seen within 30 s, while others were there, or before others' floors had passed them, or
    /// before this node had left their fleet for another one.
    own_unconfirmed,
    /// Own events that others could not take any more, or given up while nobody was there to hear them.
    own_expired,
    /// Coalescible events that a greater one of their name replaced.
    coalesce_superseded,
    /// Coalesced events delivered early because there were more names than slots.
    coalesce_early,
    /// Delivered names forgotten to make room: an older event of such a name may follow.
    coalesce_forgotten,
    /// Foreign members' messages passed on without being held.
    foreign_forwarded,
    /// Queries asked by this node.
    queries_asked,
    /// Queries that were not asked, and answers that had to wait, as there was no room.
    queries_full,
    /// Queries of others, or its own, handed to the application.
    queries_received,
    /// Queries and events whose filters this node does not understand: passed on only.
    unfiltered,
    /// Queries that were not answered to their end, as too many others came.
    queries_given_up,
    /// Copies of answers to queries sent.
    query_answers,
    /// Answers that came twice, too late, or from whom nobody had asked.
    query_answers_late,
    /// Comparisons of member tables begun.
    member_syncs,
    /// Comparisons of seen events begun.
    event_syncs,
    /// Comparisons of last values begun.
    value_syncs,
    /// Member records taken from others' tables.
    records_in,
    /// Verdicts reached while hearing nobody, and told to nobody.
    local_verdicts,
}

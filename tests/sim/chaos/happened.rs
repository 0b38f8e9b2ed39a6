//! How often things really happened: a run in which they did not proves nothing.

macro_rules! happened {
    ($($name:ident: $text:literal,)*) => {
        /// Counts of what happened in one run, or in many.
        #[derive(Clone, Copy, Debug, Default)]
        #[allow(missing_docs)] // Each is a count of what it is named after.
        pub struct Happened { $(pub $name: u64,)* }

        impl Happened {
            /// Every count with its name.
            pub fn each_mut(&mut self) -> Vec<(&'static str, &mut u64)> {
                vec![$(($text, &mut self.$name)),*]
            }
        }
    };
}

happened! {
    runs: "runs",
    steps: "steps",
    seconds: "seconds of virtual time",
    events: "events",
    lost: "datagrams lost",
    partitions: "partitions",
    one_way: "one-way cuts",
    freezes: "freezes",
    reboots: "reboots",
    deaf: "deaf applications",
    garbage: "garbage refused",
    too_long: "lost as too long for a link",
    muted: "machines muted",
    echoes: "copies after minutes",
    overflowed: "lost at full queues",
    drifting: "clocks that drift",
    stopped: "clocks stopped",
    jumped: "clocks that jumped",
    far_boots: "boot numbers far ahead",
    same_boots: "boot numbers repeated",
    lagging: "floors that lag",
    late: "late drains",
    unsent: "datagrams not sent",
    left: "machines that left",
    returned: "and came back",
    forced: "failed ones forced out",
    forced_alive: "living ones forced out",
    pruned: "pruned",
    tags: "tags changed",
    joins: "joins at run time",
    replays: "with replay",
    seedless: "starts without seeds",
    aliases: "starts through oneself",
    dead_seeds: "starts through dead seeds",
    first: "first machine off",
    merges: "fleets merged",
    twins: "two of one name",
    clones: "and of one boot",
    refused: "names refused",
    moved: "addresses changed",
    moved_on: "and of machines that were on",
    forgotten: "ports forgotten",
    killed: "programs killed or ended",
    refusals: "refusals",
    rejecting: "machines behind firewalls that refuse",
    inquests: "inquests",
    found_gone: "and members found gone",
    forged: "datagrams forged",
    replayed: "datagrams replayed",
    differing: "fleets with links that differ",
    wan: "WAN fleets",
    local: "local fleets",
    device: "fleets of devices",
    mixed: "fleets of mixed sizes",
    partial: "tables too small",
    full: "events refused: full",
    too_old: "too old",
    shed: "shed",
    dropped: "store overflows",
    app_full: "application quota full",
    pulls: "pulls",
    refuted: "refutations",
    failures: "members declared failed",
    superseded: "superseded",
    early: "coalesced early",
}

impl Happened {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Happened) {
        for ((_, sum), (_, more)) in self.each_mut().into_iter().zip(other.clone().each_mut()) {
            *sum += *more;
        }
    }

    /// Adds what a node has counted.
    pub(super) fn collect(&mut self, stats: &serf_nostd::Stats) {
        self.garbage += stats.refused;
        self.full += stats.events_full;
        self.too_old += stats.too_old;
        self.shed += stats.shed;
        self.dropped += stats.store_dropped;
        self.app_full += stats.app_full;
        self.pulls += stats.pulls;
        self.refuted += stats.refuted;
        self.superseded += stats.coalesce_superseded;
        self.early += stats.coalesce_early;
        self.inquests += stats.inquests;
        self.found_gone += stats.inquests_gone;
        self.failures += stats.probes_failed;
    }
}

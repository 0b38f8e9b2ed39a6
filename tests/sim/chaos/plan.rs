//! What a run is to be like: drawn from its seed.

use serf_nostd::Config;
use serf_nostd::rules::Rule;

use crate::fleet::Size;
use crate::rng::Rng;

/// The timing of all nodes of a fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Serf's LAN profile.
    #[default]
    Lan,
    /// Serf's WAN profile.
    Wan,
    /// Serf's profile for one machine.
    Local,
    /// LAN timing with a device's fan-out.
    Device,
}

impl Profile {
    /// The constants.
    pub fn config(self) -> Config {
        match self {
            Profile::Lan => Config::LAN,
            Profile::Wan => Config::WAN,
            Profile::Local => Config::LOCAL,
            Profile::Device => Config::DEVICE,
        }
    }

    /// The longest usual latency that it bears, microseconds: on links half as long again, with half of that as jitter, a
    /// probe and its answer still come within half of its timeout.
    fn bears(self) -> u64 {
        self.config().probe_timeout.as_micros() / 9
    }
}

/// The shortest usual latency, microseconds, and the longest.
const LATENCY: std::ops::Range<f64> = 100.0..300_000.0;

/// What a run is to be like.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Decides everything else.
    pub seed: u64,
    /// How many machines.
    pub nodes: usize,
    /// Their capacities.
    pub size: Size,
    /// Their timing.
    pub profile: Profile,
    /// The usual latency of links that differ, microseconds; 0: 2 ms on all.
    pub latency: u64,
    /// How long faults go on, seconds.
    pub seconds: u64,
    /// How many names events have.
    pub names: u64,
    /// Events per second.
    pub rate: f64,
    /// Share of the events that may be coalesced.
    pub coalesced: f64,
    /// Queries per second.
    pub queries: f64,
    /// The fleet has a key, and somebody without it records and replays.
    pub sealed: bool,
    /// Which faults there are, and how strong.
    pub faults: Faults,
    /// A rule that is left out.
    pub without: Option<Rule>,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Kinds of faults and of disorder, and how strong each is in a run: from 0, off, to 1.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct Faults { $($(#[$doc])* pub $name: f64,)* }

        impl Faults {
            /// How many kinds there are.
            pub const KINDS: usize = [$(stringify!($name)),*].len();

            /// Every kind by name.
            pub const NAMES: [&str; Faults::KINDS] = [$(stringify!($name)),*];

            /// Every strength.
            pub fn each_mut(&mut self) -> [&mut f64; Faults::KINDS] {
                [$(&mut self.$name),*]
            }
        }
    };
}

faults! {
    /// Datagrams lost: up to 40 %.
    loss,
    /// Links that lose everything for moments of 20 ms to 2 s: up to 30 % of the time.
    bursts,
    /// Datagrams that come twice: up to half.
    duplicates,
    /// Datagrams that come late, by up to 10 ms to 10 s: up to half.
    reorder,
    /// The fleet is cut in two for a while: up to every five seconds.
    partitions,
    /// Links that work one way only: up to seven.
    one_way,
    /// Machines stopped and continued: up to one each five seconds.
    freezes,
    /// Machines that lose power: up to one each five seconds; half of them remember their floor.
    reboots,
    /// Applications that take no events for a while: up to one each three seconds.
    deaf,
    /// Datagrams of garbage: up to twenty a second.
    garbage,
    /// Events fired a hundred at a time, or as many as are accepted, for up to a second: up to every 20th.
    floods,
    /// Links that lose long datagrams: up to 40 %.
    narrow,
    /// Machines of which nothing is heard, or that hear nothing, for up to half a minute: up to one each five seconds.
    muted,
    /// Datagrams that come once more after minutes: up to 5 %.
    echoes,
    /// Machines that take in one datagram after the other, and have few places for those that wait.
    queues,
    /// Clocks that drift by up to 1 %, stop for up to 5 s, and jump ahead by up to a minute.
    clocks,
    /// Boot numbers that jump ahead or repeat, and floors that lag: machines lose power for it.
    boots,
    /// Programs that drain their nodes up to 50 ms late, and fail to send up to 20 %.
    drivers,
    /// Machines that leave, and come back: up to one each three seconds.
    leaves,
    /// Members that are ordered to leave by others, dead or alive, or pruned.
    forced,
    /// Tags that change.
    tags,
    /// Joins at run time.
    joins,
    /// Several seeds, none, dead ones, oneself under another address; and the first machine loses power like all others.
    seeds,
    /// Two fleets that come together apart, and meet.
    merges,
    /// Machines with the name of another one, or with its boot number as well.
    twins,
    /// Machines that come back at another address.
    moves,
    /// Routers in front of machines, which forget them.
    nats,
    /// A member that forges what it can.
    forger,
    /// Machines whose programs are killed, or ended, while their systems go on and say so, some for less than 2 s: up to one each five
    /// seconds. Firewalls that refuse in a machine's name, and refusals that are forged.
    refusals,
}

impl Faults {
    /// Two in five of these first kinds are there, each as strong as it may be.
    fn draw_usual(rng: &mut Rng) -> Faults {
        let mut faults = Faults::default();
        for strength in faults.each_mut().into_iter().take(11) {
            if rng.chance(0.4) {
                *strength = rng.range(5..101) as f64 / 100.0;
            }
        }
        faults
    }
}

/// What a fleet can be like, beside its faults: links that differ, and a profile that bears them; machines of different
/// sizes; more members than a board has places for; small machines. A swarm takes these for kinds as well.
const SHAPES: [&str; 4] = ["links", "mixed", "boards", "small"];

/// A kind that is drawn by itself.
const REFUSALS: &str = "refusals";

impl Plan {
    /// A plan without faults: a small fleet of servers, for half a minute.
    pub fn calm(seed: u64) -> Plan {
        Plan {
            seed,
            nodes: 5,
            size: Size::Server,
            profile: Profile::Lan,
            latency: 0,
            seconds: 30,
            names: 4,
            rate: 2.0,
            coalesced: 0.5,
            queries: 0.0,
            sealed: false,
            faults: Faults::default(),
            without: None,
        }
    }

    /// The plan that a seed stands for: two to six kinds of faults and shapes of all that there are, so that none hides another.
    pub fn draw(seed: u64) -> Plan {
        let (mut plan, mut rng) = Plan::begin(seed);
        let drawn = Faults::NAMES.into_iter().filter(|kind| *kind != REFUSALS);
        let mut kinds: Vec<&str> = drawn.chain(SHAPES).collect();
        for _ in 0..rng.range(2..7) {
            let kind = kinds.swap_remove(rng.below(kinds.len() as u64) as usize);
            plan.add(kind, &mut rng);
        }
        // Beside the others: of a machine that is off it only says how it went.
        let mut rng = Rng::new(seed ^ 0x6963_6d70);
        if rng.chance(0.3) {
            plan.add(REFUSALS, &mut rng);
        }
        plan
    }

    /// As [`Plan::draw`], in a fleet that is asked as well: whatever else happens is drawn as it is there.
    pub fn asking(seed: u64) -> Plan {
        let mut rng = Rng::new(seed ^ 0x0061_736b);
        Plan { queries: [0.3, 1.0, 3.0][rng.below(3) as usize], ..Plan::draw(seed) }
    }

    /// As [`Plan::asking`], in a sealed fleet, whose datagrams an outsider records and replays.
    pub fn sealed(seed: u64) -> Plan {
        Plan { sealed: true, ..Plan::asking(seed) }
    }

    /// The plan that a seed stands for among those of just these kinds, by name.
    ///
    /// # Panics
    /// If there is no such kind.
    pub fn of_kinds(seed: u64, kinds: &[&str]) -> Plan {
        let (mut plan, mut rng) = Plan::begin(seed);
        kinds.iter().for_each(|kind| plan.add(kind, &mut rng));
        plan
    }

    fn begin(seed: u64) -> (Plan, Rng) {
        let mut rng = Rng::new(seed ^ 0x7377_6172);
        let mut plan = Plan {
            nodes: rng.range(3..21) as usize,
            seconds: rng.range(15..45),
            names: [1, 4, 8, 30][rng.below(4) as usize],
            rate: [0.5, 2.0, 8.0][rng.below(3) as usize],
            coalesced: [0.0, 0.5, 1.0][rng.below(3) as usize],
            ..Plan::calm(seed)
        };
        if rng.chance(0.02) {
            plan.nodes = 50;
        }
        (plan, rng)
    }

    /// One kind more.
    fn add(&mut self, kind: &str, rng: &mut Rng) {
        let strength = rng.range(5..101) as f64 / 100.0;
        match kind {
            "links" => {
                let profiles = [Profile::Lan, Profile::Wan, Profile::Local, Profile::Device];
                self.profile = profiles[rng.below(4) as usize];
                let longest = LATENCY.end.min(self.profile.bears() as f64);
                let power = rng.below(1_001) as f64 / 1_000.0;
                self.latency = (LATENCY.start * (longest / LATENCY.start).powf(power)) as u64;
            }
            "mixed" => self.size = Size::Mixed,
            "boards" => {
                self.size = Size::Boards;
                self.nodes = self.nodes.max(rng.range(9..31) as usize);
            }
            "small" => self.size = Size::Small,
            fault => {
                let place = Faults::NAMES.iter().position(|name| *name == fault);
                *self.faults.each_mut()[place.expect("a kind of fault")] = strength;
            }
        }
    }

    /// As [`Plan::draw`], of the faults that networks and power have, with 2 ms latency and one seed for all: larger fleets,
    /// and more faults at once.
    pub fn usual(seed: u64) -> Plan {
        let mut rng = Rng::new(seed ^ 0x706c_616e);
        let faults = Faults::draw_usual(&mut rng);
        // Half of the fleets are within their bounds and must not lose anything; half are driven over them.
        let size = [Size::Server, Size::Server, Size::Small, Size::Mixed][rng.below(4) as usize];
        let names = [1, 4, 8, 30][rng.below(4) as usize];
        Plan {
            nodes: 5 + (rng.below(46) * rng.below(46) / 46) as usize,
            size,
            seconds: rng.range(20..60),
            names,
            rate: [0.5, 2.0, 8.0][rng.below(3) as usize],
            coalesced: [0.0, 0.5, 1.0][rng.below(3) as usize],
            faults,
            ..Plan::calm(seed)
        }
    }

    /// What is in it, in few words.
    pub fn kinds(&self) -> String {
        let mut faults = self.faults;
        let faults = Faults::NAMES.into_iter().zip(faults.each_mut());
        let faults: Vec<&str> =
            faults.filter(|(_, strength)| **strength > 0.0).map(|(name, _)| name).collect();
        let Plan { nodes, size, profile, latency, queries, sealed, .. } = self;
        let asked = if *queries > 0.0 { format!("; {queries} queries/s") } else { String::new() };
        format!(
            "{nodes} {size:?}, {profile:?}, {latency} us; {}{asked}{}",
            faults.join(", "),
            if *sealed { "; sealed" } else { "" }
        )
    }

    /// The same run without one rule of the protocol.
    pub fn without(self, rule: Rule) -> Plan {
        Plan { without: Some(rule), ..self }
    }
}

//! What an agent tells of itself in numbers: one table for `serf info`, `/metrics` and docs/metrics.md.

use serf_nostd::Histogram;

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counts what has happened since the agent's start.
    Counter,
    /// How things stand.
    Gauge,
    /// 0 or 1, which `serf info` calls `false` and `true`.
    Switch,
}

/// One number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Where `serf info` shows it, and by what key.
    pub section: &'static str,
    /// Likewise.
    pub key: &'static str,
    /// Its name among metrics, without what all have in front and counters behind.
    pub metric: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub meaning: &'static str,
    /// As it is now.
    pub value: u64,
}

impl Figure {
    /// As `serf info` shows it.
    pub fn shown(&self) -> String {
        match self.kind {
            Kind::Switch => (self.value != 0).to_string(),
            Kind::Counter | Kind::Gauge => self.value.to_string(),
        }
    }
}

/// How long something takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Its name among metrics, without what all have in front and the unit behind.
    pub metric: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// How often it took how long.
    pub taken: Histogram,
}

/// All numbers of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The node's name.
    pub node: String,
    /// Whether it has begun to leave.
    pub leaving: bool,
    /// In the order of `serf info`.
    pub numbers: Vec<Figure>,
    /// How long things take.
    pub timings: Vec<Timing>,
}

impl Figures {
    /// The number that has this name among metrics; 0 if there is none.
    pub fn number(&self, metric: &str) -> u64 {
        self.numbers.iter().find(|figure| figure.metric == metric).map_or(0, |figure| figure.value)
    }
}

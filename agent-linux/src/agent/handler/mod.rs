//! Event handlers: scripts that the agent runs for events.
//!
//! - [`Spec`]: which script for which events.
//! - [`Handlers`]: the queue between the gossip core and the scripts.
//! - `invoke`: one run of one script.

mod invoke;
mod queue;
mod spec;

pub use invoke::Identity;
pub(super) use invoke::{describe, shell};
pub use queue::{Counters, Handlers, Limits, Timings, Unfinished};
pub use spec::{InvalidSpec, Spec};

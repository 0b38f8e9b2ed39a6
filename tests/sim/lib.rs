//! Many real nodes in one process, under virtual time and one seed.
//!
//! - [`fleet`]: the nodes, the event queue, what an application would see.
//! - [`acquaint`]: a fleet in which everybody knows everybody, also without the storm of their joining.
//! - [`measure`]: figures of a fleet.
//! - [`lifeguard`]: members that are slow, not dead, as in published experiments.
//! - [`machine`]: a node's machine, and what survives a reboot.
//! - [`clock`]: what a machine takes for the time.
//! - [`memory`]: what the nodes work on.
//! - [`network`]: what happens to a datagram: latency, loss, bursts, duplicates, reordering, cuts.
//! - [`refusals`]: what hosts say of datagrams that nobody takes.
//! - [`seen`]: what an application sees.
//! - [`questions`]: the queries of a node, and for whom they have to wait.
//! - [`wire`]: datagrams written by hand.
//! - [`judge`]: what must hold, checked at every delivery and at the end.
//! - [`judged`]: a fleet with its judge.
//! - [`proof`]: scenarios that hold with a rule of the protocol, and break without it.
//! - [`chaos`]: a mix of faults drawn from the seed, and the run that ends in peace and judgement.
//! - [`cores`]: seeds, spread over all cores.
//! - [`shrink`]: a run that goes wrong, made as small as possible.
//! - [`transcript`]: what all nodes of a run have put out, as one number.
//! - [`detection`]: crashes under steady loss, and how they are told from it.
//!
//! The same seed gives the same run, to the last datagram; a failure names seed and step.

pub mod acquaint;
pub mod chaos;
pub mod clock;
pub mod collapse;
pub mod cores;
pub mod detection;
pub mod fleet;
pub mod judge;
pub mod judged;
pub mod lifeguard;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod network;
pub mod proof;
pub mod questions;
pub mod rapid;
pub mod refusals;
pub mod rng;
pub mod sealing;
pub mod seen;
pub mod shrink;
pub mod transcript;
pub mod wire;

//! Hostile input and awkward moments: what a careful attacker, a tiny memory or an unlucky driver could do to one node.
//!
//! Datagrams are written here by hand, independently of the core's own encoder.

mod answers;
mod anything;
mod events;
mod joining;
mod kit;
mod members;

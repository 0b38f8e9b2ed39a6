//! Serf's gossip core without an allocator: who is in the cluster, who has failed, events that reach everybody or some
//! ([`Node::user_event`], [`Node::targeted_event`]), who has got them ([`Node::receipts`]),
//! and questions to the fleet ([`Node::query`]).
//!
//! # Promises
//! - No `std`, no `alloc`, no `unsafe`. All memory is one [`Storage`] (or slices that you bring, [`Memory`]), whose
//!   size you choose; everything that can fill up has a rule for "full" and a counter in [`Stats`].
//! - Deterministic: it reads no clock, no randomness and no socket. The same inputs at the same instants, with the
//!   same seed, give the same outputs.
//! - No input makes it panic, hang or lose accepted work. An error is bad input or a bound that is told; a panic
//!   would be our bug.
//!
//! # The drive loop
//! One door in, [`Node::handle`], and one drain, [`Node::poll`], which ends in the time by which it must be called
//! again. After every call that may change something, drain until [`Output::Sleep`].
//!
//! ```
//! use serf_nostd::{Config, Event, Identity, Input, Instant, Node, Output, storage};
//!
//! // A node's memory is a value; on a device it can be a `static`.
//! type Storage = storage! { members: 8, seen: 64 };
//! let mut here = Storage::new();
//! let mut there = Storage::new();
//! let addresses = ["10.0.0.1:7946".parse().unwrap(), "10.0.0.2:7946".parse().unwrap()];
//! let identity = |name, addr| Identity { name, addr, boot: 1, instance: 0, tags: &[], versions: Identity::VERSIONS };
//! let mut nodes = [
//!     Node::new(here.memory(), Config::LAN, identity("here", addresses[0]), 1, Instant::ZERO).unwrap(),
//!     Node::new(there.memory(), Config::LAN, identity("there", addresses[1]), 2, Instant::ZERO).unwrap(),
//! ];
//! nodes[0].join(Instant::ZERO, addresses[1], false).unwrap();
//!
//! let mut now = Instant::ZERO;
//! let mut tx = [0; 1400];
//! let mut in_flight: Vec<(usize, std::net::SocketAddr, Vec<u8>)> = Vec::new();
//! let mut heard = false;
//! let mut fired = false;
//! while !heard {
//!     let mut next = Instant::FAR;
//!     for (i, node) in nodes.iter_mut().enumerate() {
//!         // 1. What has arrived goes in; a refused datagram is counted, and may be logged.
//!         for (_, _, mut bytes) in in_flight.extract_if(.., |(to, ..)| *to == i) {
//!             let _ = node.handle(now, Input::Datagram { from: addresses[1 - i], bytes: &mut bytes });
//!         }
//!         // 2. What you want done goes in.
//!         if i == 0 && node.live() == 2 && !fired {
//!             node.user_event(now, b"deploy", b"1234567890", false).unwrap();
//!             fired = true;
//!         }
//!         // 3. Drain: send datagrams, handle events, until you are told how long there is nothing to do.
//!         loop {
//!             match node.poll(now, &mut tx) {
//!                 Output::Datagram { to, bytes } => {
//!                     let to = addresses.iter().position(|a| *a == to).unwrap();
//!                     in_flight.push((to, addresses[i], bytes.to_vec()));
//!                 }
//!                 Output::Event(Event::User(event)) if i == 1 => heard |= event.name == b"deploy",
//!                 Output::Event(_) => {}
//!                 Output::Sleep(until) => {
//!                     next = next.min(until);
//!                     break;
//!                 }
//!             }
//!         }
//!     }
//!     // 4. Sleep until then, or until something arrives.
//!     if in_flight.is_empty() {
//!         now = next;
//!     }
//! }
//! ```
//!
//! # Patience
//! How long a fleet of `n` takes to come right again once nothing goes wrong any more (the simulator's judge holds it to it):
//! - a cut, or names in dispute: the longest suspicion (`6 x suspicion_mult x log10(n)` probe intervals), some tries of failed
//!   members and seeds (`reconnect_interval` each), and a comparison;
//! - a restart of all: the join timeout, and a round of probes;
//! - clocks that are `d` apart: `d / 2^20` seconds, and a round of probes.
//!
//! # Work
//! What one call may cost is bounded by the memory it was given (M events seen, N members; nothing else grows). Members and
//! events are found in a few steps, and a quiet fleet's datagrams touch nothing else. These go through more:
//! - an event that comes late moves the ids on one side of its place: M / 2 at most;
//! - a comparison of events goes through the ids above the asker's floor once for its digest, and up to four times for its
//!   list; a history goes through those at or below a floor. One answer each for a datagram, whatever it holds;
//! - a page or list of members walks their index from its cursor on: 3 N cells of two bytes at most, and never the same twice;
//! - an intent about an unknown member goes through those that are kept, an accusation through the accusers, once;
//! - a clock that jumped, or a node that is heard again, goes through all suspects, and all who are gone, once;
//! - names whose 32-bit hashes are equal are told apart one by one: who makes such names (unsealed wire) makes look-ups of
//!   just those linear;
//! - a query is held against all members once where it is asked, and every 100 ms all members are looked at for who has not
//!   answered and lives; what confirms answers goes through those that wait; one
//!   filter costs 64 steps for each character of a tag;
//! - [`Node::gauges`] counts all who are gone.
//!
//! # Engines
//! `membership` (who is in the fleet), `failure` (who still answers), `events` (what was fired), `queries` (what was asked) and `sync`
//! (what others know otherwise) own their state and rules; each uses only those before it. `gossip` sends what they have to say, `wire` alone
//! knows bytes, and [`Node`] is the door, which carries what one engine wants of another. `docs/architecture.md` in the
//! repository shows the house, and the walks of a datagram, an event and a failing member through it.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

/// The front page's example is one of this crate's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

#[macro_use]
mod fmt;

mod authority;
mod backoff;
mod clock;
mod config;
mod context;
#[cfg(feature = "coordinates")]
mod coordinate;
pub mod driver;
mod events;
mod expression;
mod failure;
mod filter;
mod gossip;
mod hash;
#[cfg(test)]
mod kit;
mod membership;
mod node;
mod outgoing;
mod queries;
mod random;
#[cfg(not(feature = "sabotage"))]
mod rules;
#[cfg(feature = "sabotage")]
pub mod rules;
mod slice;
mod stats;
pub mod storage;
mod sync;
mod time;
#[cfg(feature = "timings")]
mod timings;
pub mod wire;

#[cfg(feature = "authority")]
pub use authority::signing::{is_public_key, public_key};
pub use authority::{Authority, Operator, Reserved, Signature, Signed, Stated, Statement};
pub use clock::{LTIME_JUMP, LTIME_LIMIT, LTIME_STEP, LamportClock};
pub use config::Config;
#[cfg(feature = "coordinates")]
pub use coordinate::Coordinate;
#[cfg(feature = "recall")]
pub use events::Past;
pub use events::{Belonging, EventError, UserEvent};
pub use expression::{TagMatcher, matches};
pub use filter::Target;
#[cfg(feature = "journal")]
pub use membership::journal::{Change, What};
pub use membership::{Identity, Member, MemberChange, Status};
pub use node::{Event, Gauges, Input, JoinError, LeaveError, Node, Output, Question, SetupError, TagsError};
pub use queries::{Ask, Fired, QueryError};
#[cfg(feature = "seal")]
pub use queries::{KeyAnswer, KeyOrder};
pub use stats::Stats;
pub use storage::{Memory, Storage};
pub use time::{Duration, Instant};
#[cfg(feature = "timings")]
pub use timings::{Histogram, Timings};
pub use wire::packet::{DATAGRAM_MAX, Reject};
#[cfg(feature = "seal")]
pub use wire::seal::{Key, KeyError, Keys};

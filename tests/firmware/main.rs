//! Boards in QEMU and Linux hosts on one Ethernet.
//!
//! Needs the rights that `tests/run firmware` brings: network namespaces.

mod board;
mod cable;
mod faults;
mod fleet;
mod frame;
mod hostile;
mod image;
mod images;
mod lab;
mod log;
mod members;
mod report;
mod sealed;
mod server;
mod signed;
mod small;
mod storm;

#[path = "../hub/mod.rs"]
#[allow(dead_code, reason = "every suite uses its own part of it")]
mod hub;

#[path = "../process/harness/mod.rs"]
mod harness;

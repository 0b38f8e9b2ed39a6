//! Small data structures over slices that somebody else owns: the protocol is compiled once, whatever the capacities.

mod heap;
mod index;
mod list;
mod ring;

pub(crate) use heap::{Heap, Timed};
pub(crate) use index::Index;
pub(crate) use list::{Link, Linked, List};
pub(crate) use ring::Ring;

/// "No item": what an id of these structures can't be.
pub(crate) const NIL: u16 = u16::MAX;

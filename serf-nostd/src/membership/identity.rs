//! What a node is told about itself.

use core::net::SocketAddr;

use crate::wire::message::Versions;

/// Who a node is.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Identity<'i> {
    /// Unique in the cluster; 1 to 128 bytes, and no longer than the storage's names.
    pub name: &'i str,
    /// Where others reach it.
    pub addr: SocketAddr,
    /// Which life of this node: greater than that of every earlier one (a counter in flash, or the wall clock in
    /// milliseconds). Below 2^46.
    pub boot: u64,
    /// Tells two machines apart that have one name and one boot number (a cloned disk or flash): random, or at least
    /// different for each machine (of its address or serial number).
    pub instance: u16,
    /// Encoded tags: 0xff, then a MessagePack map of strings, or empty. At most 512 bytes.
    pub tags: &'i [u8],
    /// Versions it speaks.
    pub versions: Versions,
}

impl Identity<'_> {
    /// The versions of Serf 0.8 to 0.10: memberlist 1..5 speaking 2, Serf 2..5 speaking 5.
    pub const VERSIONS: Versions = [1, 5, 2, 2, 5, 5];
}

//! What nodes say to each other: the messages ([`message`]), their bytes on the native wire (`native`) and the
//! layers of a datagram ([`packet`]). But for filters (`filter`), which are read
//! where they stand, nothing outside this room knows an encoding.

pub(crate) mod go;
pub mod message;
pub(crate) mod native;
pub mod packet;
#[cfg(feature = "seal")]
pub(crate) mod seal;
#[cfg(not(feature = "seal"))]
#[path = "unsealed.rs"]
pub(crate) mod seal;

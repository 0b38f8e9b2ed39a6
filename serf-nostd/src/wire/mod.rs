//! What nodes say to each other: the messages ([`message`]), their bytes on the native wire (`native`) and the
//! layers of a datagram ([`packet`]). Nothing outside this room knows an encoding.

pub(crate) mod go;
pub mod message;
pub(crate) mod native;
pub mod packet;

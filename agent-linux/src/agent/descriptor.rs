//! Descriptors that tokio has no type of its own for, in its event loop.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the runtime, which is told of these changes only. Must be called within one.
///
/// # Errors
/// What the system refuses.
#[allow(unsafe_code)]
pub(super) fn register(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is open as long as it lives, and the same one.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, interest) }?)
}

//! What `packaging/build` has made, as those who install it find it.
//!
//! Needs what `tests/run package` brings: the packages, and the rights to change root and to mount.

mod deb;
mod plain;
mod rpm;
mod shells;
mod unpacked;

#[path = "../process/harness/mod.rs"]
mod harness;

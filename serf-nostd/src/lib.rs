//! The gossip core.
#![no_std]
#![forbid(unsafe_code)]

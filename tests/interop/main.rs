//! x
#[path = "../process/harness/mod.rs"]
mod harness;

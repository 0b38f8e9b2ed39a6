//! `serf agent` as a process: an agent with settings, a terminal, RPC and signals around it.

pub mod config;
pub mod console;
mod heap;
pub mod run;
pub mod signals;
mod systemd;

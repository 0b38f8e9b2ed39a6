//! `serf agent` as a process: an agent with settings, a terminal, RPC and signals around it.

pub mod config;
pub mod console;
mod heap;
pub mod run;
mod services;
pub mod signals;
mod systemd;

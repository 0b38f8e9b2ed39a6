//! The agent seen from outside: one port, over HTTP, from which nothing can be changed.
//!
//! - [`server`]: connections and their bounds.
//! - `pages`: what each path answers.
//! - [`metrics`]: all numbers in the formats of Prometheus.

pub mod metrics;
mod pages;
pub mod server;

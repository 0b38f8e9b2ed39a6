//! The bounds of patience: how long a fleet may take to come right again once nothing goes wrong any more. They are written
//! down in the core's documentation in the same words.

use serf_nostd::{Config, Duration};

/// Microseconds of a duration.
fn us(span: Duration) -> u64 {
    span.as_micros()
}

/// The longest suspicion in a fleet of so many.
fn suspicion(nodes: usize, config: &Config) -> u64 {
    let digits = (nodes.max(10) as f64).log10();
    let shortest = us(config.probe_interval) as f64 * config.suspicion_mult as f64 * digits;
    (shortest * config.suspicion_max_mult as f64) as u64
}

/// Until everybody's picture of the members is true again, whatever it was: the longest suspicion, a try of each failed
/// member and of each seed (eight at most) with good luck in drawing, and a round of comparisons.
pub fn healing(nodes: usize, config: &Config) -> u64 {
    let tries = us(config.reconnect_interval) * (4 + nodes.min(8) as u64);
    suspicion(nodes, config) + tries + 64 * us(config.probe_interval) + us(config.join_timeout)
}

/// Until clocks that are so far apart have met: 2^20 a second, in the rounds in which others are asked.
pub fn clocks(nodes: usize, config: &Config, apart: u64) -> u64 {
    (apart / serf_nostd::LTIME_JUMP + 1) * 1_000_000 + us(config.probe_interval) * 2 * nodes.min(30) as u64
}

/// Until a machine that has been switched on counts as there for what is fired from then on: its join is answered, or given
/// up and somebody found.
pub fn meeting(config: &Config) -> u64 {
    us(config.join_timeout) + 5 * us(config.probe_interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_with_the_fleet_and_its_timing() {
        assert!(healing(5, &Config::LAN) < healing(50, &Config::LAN));
        assert!(healing(20, &Config::LAN) < healing(20, &Config::WAN));
        assert!(healing(20, &Config::LAN) <= 480 * 1_000_000, "eight minutes at most among twenty");
        assert!(clocks(20, &Config::LAN, 1 << 26) < 120 * 1_000_000);
    }
}

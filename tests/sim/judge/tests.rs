//! The judge of whole fleets: one without faults has nothing to be excused.

use serf_nostd::Config;

use super::{Excused, Judge, Memory};
use crate::fleet::{Fleet, Size};

const SECOND: u64 = 1_000_000;

/// A fleet that starts, is fired some events in, and then is left alone until the judge has seen it rest.
fn calm(nodes: usize, config: &Config) -> Result<Excused, String> {
    let mut fleet = Fleet::new(1, nodes, Size::Server, config.clone());
    let mut judge = Judge::new(nodes);
    for i in 0..nodes {
        judge.switched_on(i, 0, Memory::Forgets);
        fleet.boot(i, &[0], false, &mut |i, boots, at, seen| judge.saw(i, boots, at, &seen));
    }
    let beats = 10 * (2 * super::bounds::event_loss(config) + 100 * SECOND) / SECOND;
    for beat in 0..beats {
        fleet.run(SECOND / 10, &mut |i, boots, at, seen| judge.saw(i, boots, at, &seen));
        judge.look(&fleet)?;
        if beat == beats / 3 {
            let (serial, now) = (judge.serial(), fleet.now());
            let mut heard = Vec::new();
            let payload = serial.to_string();
            fleet.with(1, &mut |i, boots, at, seen| heard.push((i, boots, at, seen)), |node, now| {
                node.user_event(now, b"e", payload.as_bytes(), false).expect("room")
            });
            judge.fired(serial, b"e", false, (1, 1), now);
            heard.into_iter().for_each(|(i, boots, at, seen)| judge.saw(i, boots, at, &seen));
        }
    }
    judge.judge(&fleet)
}

#[test]
fn a_fleet_without_faults_needs_no_excuse() {
    for config in [Config::LAN, Config::DEVICE, Config::LOCAL, Config::WAN] {
        for nodes in [3, 10, 40] {
            assert_eq!(calm(nodes, &config), Ok(Excused::default()), "{nodes} nodes, {config:?}");
        }
    }
}

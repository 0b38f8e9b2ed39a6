//! The judge of whole fleets: one without faults has nothing to be excused.

use serf_nostd::Config;

use super::{Excused, Judge, Memory};
use crate::fleet::{Fleet, Seen, Size};

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

/// One of three is cut off, and nobody has told the judge why.
#[test]
fn a_living_member_is_not_called_failed_for_ever() {
    let mut fleet = Fleet::new(1, 3, Size::Server, Config::LAN);
    let mut judge = Judge::new(3);
    fleet.assemble(&mut |i, boots, at, seen| judge.saw(i, boots, at, &seen));
    judge.look(&fleet).expect("all is well");
    fleet.network.side[2] = 1;
    let bound = super::bounds::healing(3, &Config::LAN);
    let mut verdict = Ok(());
    while verdict.is_ok() && fleet.now() < bound + 10 * SECOND {
        fleet.run(SECOND, &mut |i, boots, at, seen| judge.saw(i, boots, at, &seen));
        verdict = judge.look(&fleet);
    }
    assert!(verdict.is_err_and(|text| text.contains("still shows")));
    assert!(fleet.now() > bound, "not before it must have healed");
}

fn hand(judge: &mut Judge, now: u64, payload: &[u8]) -> Result<(), String> {
    let (id, name) = ((1, 1), b"e".to_vec());
    judge.saw(0, 1, now, &Seen::User { id, name, payload: payload.to_vec(), coalesce: false });
    judge.verdict()
}

#[test]
fn what_nobody_fired_nobody_is_handed_but_of_a_liar() {
    let mut judge = Judge::new(1);
    judge.switched_on(0, 0, Memory::Forgets);
    assert!(hand(&mut judge, SECOND, b"forged").is_err());
    assert!(hand(&mut judge, SECOND, b"7").is_err(), "a number that was never given");
    judge.forger(SECOND);
    assert_eq!(hand(&mut judge, 2 * SECOND, b"forged"), Ok(()));
    assert_eq!(hand(&mut judge, 2 * SECOND, b"7"), Ok(()));
    assert!(hand(&mut judge, 2 * SECOND, b"7").is_err(), "twice, whoever lies");
    assert!(hand(&mut judge, 3_600 * SECOND, b"forged").is_err(), "that has long healed");
}

//! What anybody can send to a fleet of three small nodes, beside what they do themselves: nothing panics, no invariant breaks,
//! and all come to rest.
//!
//! Input: steps of four bytes each, and what they are about. Byte 0: who is spoken to (bits 0 and 1), who speaks (bits 2 to 4;
//! from 3 on somebody who is not in the fleet), how (bits 5 and 6: a whole datagram; messages, to which the head belongs; the
//! same with the number of the fleet behind them; an event that is fired there). Byte 1: how long before it, in units of 50 ms,
//! squared. Bytes 2 and 3: how many bytes follow.
#![no_main]

use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::wire::{HEAD, checked, datagram, fleet as in_fleet};
use libfuzzer_sys::fuzz_target;

const SECOND: u64 = 1_000_000;
const STEPS: usize = 32;

fuzz_target!(|data: &[u8]| {
    let mut quiet = |_, _, _, _| {};
    let mut fleet = Fleet::new(1, 3, Size::Tiny, serf_nostd::Config::LAN);
    fleet.check_every = 4;
    (0..3).for_each(|i| fleet.boot(i, &[0], false, &mut quiet));
    fleet.run(3 * SECOND, &mut quiet);
    let mut rest = data;
    for _ in 0..STEPS {
        let Some((&[who, pause, low, high], behind)) = rest.split_first_chunk::<4>() else { break };
        let len = usize::from(u16::from_le_bytes([low, high])).min(behind.len());
        let (bytes, behind) = behind.split_at(len);
        rest = behind;
        fleet.run(u64::from(pause).pow(2) * SECOND / 20, &mut quiet);
        let (to, from) = (usize::from(who & 3) % 3, usize::from(who >> 2 & 7));
        match who >> 5 & 3 {
            0 => fleet.inject(from, to, bytes.to_vec()),
            1 => fleet.inject(from, to, checked([&HEAD[..], bytes].concat())),
            2 => {
                let number = fleet.node(to).map_or(0, |node| node.gauges().fleet);
                fleet.inject(from, to, datagram(&[bytes.to_vec(), in_fleet(number)]));
            }
            _ => {
                let (name, payload) = bytes.split_at(bytes.len().min(2));
                fleet.with(to, &mut quiet, |node, now| node.user_event(now, name, payload, from & 1 == 0));
            }
        }
    }
    fleet.run(20 * SECOND, &mut quiet);
});

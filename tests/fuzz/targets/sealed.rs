//! What an insider can send to a sealed fleet of three small nodes: any messages under a valid seal, in sessions of his own and
//! in those of members. Nothing panics, no invariant breaks, and all come to rest.
//!
//! Input: as that of `datagram`, but for byte 0: bits 5 and 6 say in which session the messages are sealed: the speaker's own
//! if it is a member, in order or far ahead; a session of the outsider's own; the last one, with the number of the fleet behind them.
#![no_main]

use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::sealing::Sealer;
use fleet_tests::wire::fleet as in_fleet;
use libfuzzer_sys::fuzz_target;
use serf_nostd::Key;

const SECOND: u64 = 1_000_000;
const STEPS: usize = 32;
const KEY: [u8; 32] = [7; 32];

fuzz_target!(|data: &[u8]| {
    let mut quiet = |_, _, _, _| {};
    let mut fleet = Fleet::new(1, 3, Size::Tiny, serf_nostd::Config::LAN);
    fleet.check_every = 4;
    fleet.key = Some(Key::new(KEY));
    fleet.recording = Some(Vec::new());
    (0..3).for_each(|i| fleet.boot(i, &[0], false, &mut quiet));
    fleet.run(3 * SECOND, &mut quiet);
    let said = fleet.recording.take().unwrap_or_default();
    let session = |who: usize| {
        let of = said.iter().find(|(from, ..)| *from == who);
        of.and_then(|(_, _, bytes)| bytes[3..].first_chunk().copied()).unwrap_or([who as u8; 8])
    };
    let mut rest = data;
    for step in 0..STEPS as u64 {
        let Some((&[who, pause, low, high], behind)) = rest.split_first_chunk::<4>() else { break };
        let len = usize::from(u16::from_le_bytes([low, high])).min(behind.len()).min(1_360);
        let (bytes, behind) = behind.split_at(len);
        rest = behind;
        fleet.run(u64::from(pause).pow(2) * SECOND / 20, &mut quiet);
        let (to, from) = (usize::from(who & 3) % 3, usize::from(who >> 2 & 7));
        let number = fleet.node(to).map_or(0, |node| node.gauges().fleet);
        let (session, counter, messages) = match who >> 5 & 3 {
            0 => (session(from), 1_000 + step, bytes.to_vec()),
            1 => (session(from), (1 << 40) + step, bytes.to_vec()),
            2 => ([from as u8; 8], step, bytes.to_vec()),
            _ => ([from as u8; 8], step, [bytes.to_vec(), in_fleet(number)].concat()),
        };
        fleet.inject(from, to, Sealer { key: KEY, session, cluster: None }.seal(counter, &messages));
    }
    fleet.run(20 * SECOND, &mut quiet);
});

//! Forged datagrams at a sealed board, so many in a second.

use std::net::Ipv4Addr;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use fleet_tests::rng::Rng;

use crate::fleet::Fleet;
use crate::frame::{self, End};

const PORT: u16 = 7946;
/// An address that is nobody's.
const STRANGER: End = End { mac: [2, 0, 0, 0, 0, 0x66], ip: Ipv4Addr::new(10, 77, 0, 66), port: PORT };

/// What is needed to forge: the number of the fleet's key, read off the wire.
pub struct Storm {
    key_id: u8,
}

impl Storm {
    /// Listens until somebody has said something.
    pub fn new(fleet: &Fleet) -> Storm {
        loop {
            fleet.lab.hub.record();
            sleep(Duration::from_millis(100));
            let recorded = fleet.lab.hub.recorded();
            if let Some(payload) = recorded.iter().find_map(|frame| frame::udp_payload(frame, PORT)) {
                return Storm { key_id: payload[2] };
            }
        }
    }

    /// Sends so many forgeries a second, of 123 bytes each, to the first board; meanwhile calls `each` ten times a second, with how
    /// often it was called before.
    pub fn rage(&self, fleet: &Fleet, rate: u32, span: Duration, mut each: impl FnMut(usize)) {
        let board = &fleet.boards[0];
        let to = End { mac: board.mac(), ip: board.ip(), port: PORT };
        let start = Instant::now();
        scope(|scope| {
            scope.spawn(|| {
                let mut rng = Rng::new(65);
                let mut sent = 0;
                while start.elapsed() < span {
                    while f64::from(sent) < start.elapsed().as_secs_f64() * f64::from(rate) {
                        let mut forged = vec![b'S', 0x22, self.key_id];
                        forged.extend((0..120).map(|_| rng.bits() as u8));
                        fleet.lab.hub.inject(board.port(), &frame::udp(STRANGER, to, &forged));
                        sent += 1;
                    }
                    sleep(Duration::from_micros(500));
                }
            });
            for call in 0.. {
                if start.elapsed() >= span {
                    break;
                }
                each(call);
                sleep((Duration::from_millis(100) * (call as u32 + 1)).saturating_sub(start.elapsed()));
            }
        });
    }
}

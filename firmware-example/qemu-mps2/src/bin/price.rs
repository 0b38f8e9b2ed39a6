//! What sealing costs, in the processor's instructions: for QEMU with `-icount shift=10`, where each takes 1,024 ns of the board's time.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use embassy_time::Instant;
use qemu_mps2::{host, start_clock};
use selftest::{Both, Pair, Prices, prices};
use static_cell::ConstStaticCell;

#[entry]
fn main() -> ! {
    static PAIRS: ConstStaticCell<[Pair; 2]> = ConstStaticCell::new([const { Pair::new() }; 2]);
    static NODES: ConstStaticCell<[Both<'static>; 2]> = ConstStaticCell::new([[None, None], [None, None]]);
    start_clock();
    let instructions = || (Instant::now().as_micros() * 1_000 / 1_024) as u32;
    match prices(PAIRS.take(), NODES.take(), instructions) {
        Ok(prices) => {
            let Prices { forged, replayed, .. } = prices;
            defmt::info!(
                "price: seal {=u32} open {=u32} forged {=u32} replayed {=u32}",
                prices.seal(),
                prices.open(),
                forged,
                replayed
            );
            host::exit(0)
        }
        Err(what) => {
            defmt::error!("price: {=str}", what);
            host::exit(1)
        }
    }
}

//! The core's self-test: QEMU's exit code is its verdict.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use qemu_mps2::{host, stack};
use selftest::{Fleet, Nodes};
use static_cell::ConstStaticCell;

#[entry]
fn main() -> ! {
    static FLEET: ConstStaticCell<Fleet> = ConstStaticCell::new(Fleet::new());
    static NODES: ConstStaticCell<Nodes<'static>> = ConstStaticCell::new([None, None, None]);
    let (fleet, nodes) = (FLEET.take(), NODES.take());
    let verdict = selftest::division()
        .and_then(|()| selftest::codec())
        .and_then(|kinds| Ok((kinds, fleet.run(nodes)?)));
    match verdict {
        Ok((kinds, fleet)) => {
            defmt::info!(
                "selftest: {=usize} kinds, {=u32} datagrams, digest {=u64:016x}, {=usize} bytes of stack",
                kinds,
                fleet.datagrams,
                fleet.digest,
                stack::high_water()
            );
            host::exit(0)
        }
        Err(what) => {
            defmt::error!("selftest: {=str}", what);
            host::exit(1)
        }
    }
}

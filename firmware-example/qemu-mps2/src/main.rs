//! The firmware.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use embassy_executor::Spawner;

#[entry]
fn main() -> ! {
    qemu_mps2::run(|spawner| spawner.spawn(application(spawner).expect("it is spawned once")))
}

#[embassy_executor::task]
async fn application(spawner: Spawner) {
    app::run(qemu_mps2::start(spawner)).await
}

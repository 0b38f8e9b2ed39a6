//! UDP echo: shows that the board works.
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
    board::echo::run(qemu_mps2::start(spawner)).await
}

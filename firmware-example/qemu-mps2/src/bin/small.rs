//! The firmware with room for 8 members only, for fleets that are larger than that.
#![no_std]
#![no_main]

use app::storage;
use cortex_m_rt::entry;
use embassy_executor::Spawner;
use static_cell::ConstStaticCell;

#[entry]
fn main() -> ! {
    qemu_mps2::run(|spawner| spawner.spawn(application(spawner).expect("it is spawned once")))
}

#[embassy_executor::task]
async fn application(spawner: Spawner) {
    type Storage = storage! { members: 8 };
    static STORAGE: ConstStaticCell<Storage> = ConstStaticCell::new(Storage::new());
    app::run(qemu_mps2::start(spawner), STORAGE.take().memory()).await
}

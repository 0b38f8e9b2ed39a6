//! The MPS2 board with a Cortex-M3 (Arm's application note 385) as QEMU's `mps2-an385` models it.
//!
//! Where the board lacks something, the host helps by semihosting: settings from QEMU's command line, random bits, log
//! output. Everything else is the board's own hardware.
#![no_std]

mod clock;
mod console;
mod executor;
mod flash;
pub mod host;
mod interrupts;
mod led;
mod mmio;
pub mod stack;

use small_intrinsics as _;

use board::{Board, Press, Settings};
use embassy_executor::Spawner;
use embassy_net::{Ipv4Address, Ipv4Cidr, Runner, StackResources, StaticConfigV4};
use lan9118::{Buffers, Device, Lan9118};
use static_cell::{ConstStaticCell, StaticCell};

pub use clock::start as start_clock;
pub use executor::run;
pub use flash::Flash;

use interrupts::Interrupt;

/// UDP sockets that can be open at a time: one in use, and another while it is being replaced.
const SOCKETS: usize = 2;

// SAFETY: the board's Ethernet controller is here, and nothing else uses it.
static ETHERNET: Lan9118 = unsafe { Lan9118::new(0x4020_0000) };

/// Brings the board up; to be called once, by the first task. Its settings are QEMU's
/// `-semihosting-config ..,arg=KEY=VALUE`, the MAC address is that of its `-net nic`.
///
/// Without an address it takes the one that QEMU's user networking expects, 10.0.2.15 behind 10.0.2.2.
pub fn start(spawner: Spawner) -> Board<Flash, impl FnMut(bool), impl AsyncFnMut() -> Press> {
    clock::start();
    let mut line = [0; 512];
    let settings = Settings::parse(host::command_line(&mut line)).unwrap_or_else(|invalid| {
        defmt::error!("unusable setting: {}", invalid.0);
        host::exit(2)
    });
    let seed = settings.seed.unwrap_or_else(host::random);

    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
    let device = ETHERNET.start(BUFFERS.take()).expect("QEMU models this controller");
    let config = embassy_net::Config::ipv4_static(settings.network().unwrap_or_else(user_network));
    let (stack, runner) = embassy_net::new(device, config, RESOURCES.init(StackResources::new()), seed);
    spawner.spawn(network(runner).expect("the board is started once"));
    interrupts::enable(Interrupt::Ethernet);

    let flash = Flash::take();
    let flash_range = 0..Flash::CAPACITY as u32;
    Board {
        stack,
        seed,
        flash,
        flash_range,
        led: led::switch,
        button: console::press,
        restart: restart::restart,
        settings,
    }
}

fn user_network() -> StaticConfigV4 {
    StaticConfigV4 {
        address: Ipv4Cidr::new(Ipv4Address::new(10, 0, 2, 15), 24),
        gateway: Some(Ipv4Address::new(10, 0, 2, 2)),
        dns_servers: Default::default(),
    }
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Device<'static>>) -> ! {
    runner.run().await
}

//! The firmware on ST's Nucleo-H743ZI: LED LD1, the blue user button, Ethernet by its RJ45 socket.
//!
//! It runs on the internal oscillator's 64 MHz: Ethernet needs 25, and gossip not more.
#![no_std]
#![no_main]

mod flash;

use app::Storage;
use board::{Board, Press, Settings};
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_net::{Runner, StackResources};
use embassy_stm32::eth::{self, Ethernet, GenericPhy, PacketQueue, Sma};
use embassy_stm32::exti::{self, ExtiInput};
use embassy_stm32::gpio::{Level, Output, Pull, Speed};
use embassy_stm32::mode::Async;
use embassy_stm32::peripherals::{ETH, ETH_SMA, IWDG1, RNG};
use embassy_stm32::rcc::VoltageScale;
use embassy_stm32::rng::{self, Rng};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{bind_interrupts, interrupt, uid};
use embassy_time::{Duration, Timer, with_timeout};
use small_intrinsics as _;
use static_cell::{ConstStaticCell, StaticCell};

use flash::Flash;

bind_interrupts!(struct Irqs {
    ETH => eth::InterruptHandler;
    EXTI15_10 => exti::InterruptHandler<interrupt::typelevel::EXTI15_10>;
    RNG => rng::InterruptHandler<RNG>;
});

type Device = Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>;

/// UDP sockets that can be open at a time, and DHCP's.
const SOCKETS: usize = 3;
/// Contacts bounce for less than this.
const BOUNCE: Duration = Duration::from_millis(30);
/// From here on a press is a long one.
const LONG: Duration = Duration::from_secs(1);
/// The board starts again when its tasks have not run for so long. A sector of flash takes up to 4 s to be erased.
const WATCHDOG_US: u32 = 20_000_000;

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let mut config = embassy_stm32::Config::default();
    config.rcc.hsi48 = Some(Default::default()); // for the random number generator
    config.rcc.voltage_scale = VoltageScale::Scale1; // enough for 64 MHz; the default one is not for early chips
    let p = embassy_stm32::init(config);
    let settings = match Settings::parse(option_env!("BOARD").unwrap_or("")) {
        Ok(settings) => settings,
        Err(invalid) => return defmt::error!("unusable setting: {}", invalid.0),
    };
    let mut core = cortex_m::Peripherals::take().expect("nobody else takes them");
    let seed = settings.seed.unwrap_or_else(|| Rng::new(p.RNG, Irqs).next_u64());

    static QUEUE: StaticCell<PacketQueue<4, 8>> = StaticCell::new();
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let device = Ethernet::new(
        QUEUE.init(PacketQueue::new()),
        p.ETH,
        Irqs,
        p.PA1,
        p.PA7,
        p.PC4,
        p.PC5,
        p.PG13,
        p.PB13,
        p.PG11,
        address(&uid::uid()),
        p.ETH_SMA,
        p.PA2,
        p.PC1,
    );
    let config = settings
        .network()
        .map_or(embassy_net::Config::dhcpv4(Default::default()), embassy_net::Config::ipv4_static);
    let (stack, runner) = embassy_net::new(device, config, RESOURCES.init(StackResources::new()), seed);
    spawner.spawn(network(runner).expect("it is spawned once"));
    spawner.spawn(watch(IndependentWatchdog::new(p.IWDG1, WATCHDOG_US)).expect("it is spawned once"));

    let mut led = Output::new(p.PB0, Level::Low, Speed::Low);
    let mut button: ExtiInput<'_, Async> = ExtiInput::new(p.PC13, p.EXTI13, Pull::Down, Irqs);
    let board = Board {
        stack,
        seed,
        flash: Flash::new(p.FLASH, &mut core.SCB),
        flash_range: Flash::RANGE,
        led: |on: bool| led.set_level(on.into()),
        button: async || {
            // It also bounces when it is released: pressed is what is still down a little later.
            loop {
                button.wait_for_rising_edge().await;
                Timer::after(BOUNCE).await;
                if button.is_high() {
                    let released = with_timeout(LONG, button.wait_for_low()).await;
                    return if released.is_ok() { Press::Short } else { Press::Long };
                }
            }
        },
        restart: restart::restart,
        settings,
    };
    static STORAGE: ConstStaticCell<Storage> = ConstStaticCell::new(Storage::new());
    app::run(board, STORAGE.take().memory()).await
}

/// A locally administered MAC address out of the chip's unique number.
fn address(uid: &[u8; 12]) -> [u8; 6] {
    let mut address = [0x02, 0, 0, 0, 0, 0];
    for (i, byte) in uid.iter().enumerate() {
        address[1 + i % 5] ^= byte.rotate_left(i as u32 / 5);
    }
    address
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Device>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn watch(mut watchdog: IndependentWatchdog<'static, IWDG1>) -> ! {
    watchdog.unleash();
    loop {
        watchdog.pet();
        Timer::after_secs(1).await;
    }
}

//! The firmware on WIZnet's W5500-EVB-Pico, or a Raspberry Pi Pico with a W5500 wired alike. The LED is the Pico's; the
//! button is to be connected between GP14 and ground.
#![no_std]
#![no_main]

use app::Storage;
use board::{Board, Press, Settings};
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_net::StackResources;
use embassy_net_wiznet::chip::W5500;
use embassy_net_wiznet::{Device, State};
use embassy_rp::clocks::RoscRng;
use embassy_rp::flash::{self, Flash};
use embassy_rp::gpio::{Input, Level, Output, Pull};
use embassy_rp::peripherals::{DMA_CH0, DMA_CH1, DMA_CH2, SPI0};
use embassy_rp::spi::{self, Spi};
use embassy_rp::watchdog::Watchdog;
use embassy_rp::{bind_interrupts, dma};
use embassy_time::{Delay, Duration, Timer, with_timeout};
use embedded_hal_bus::spi::ExclusiveDevice;
use static_cell::{ConstStaticCell, StaticCell};

bind_interrupts!(struct Irqs {
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>, dma::InterruptHandler<DMA_CH1>, dma::InterruptHandler<DMA_CH2>;
});

type Bus = ExclusiveDevice<Spi<'static, SPI0, spi::Async>, Output<'static>, Delay>;

/// 2 MiB.
const FLASH_SIZE: usize = 2 << 20;
/// What memory.x leaves at the end: five pages.
const FLASH_RANGE: core::ops::Range<u32> = FLASH_SIZE as u32 - 20 * 1024..FLASH_SIZE as u32;
/// UDP sockets that can be open at a time, and DHCP's.
const SOCKETS: usize = 3;
/// The W5500 allows 80 MHz, the wires of a breadboard less.
const SPI_HZ: u32 = 20_000_000;
/// Contacts bounce for less than this.
const BOUNCE: Duration = Duration::from_millis(30);
/// From here on a press is a long one.
const LONG: Duration = Duration::from_secs(1);
/// The board starts again when its tasks have not run for so long. This watchdog can't wait longer than 8.3 s.
const WATCHDOG: Duration = Duration::from_secs(8);

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let p = embassy_rp::init(Default::default());
    let settings = match Settings::parse(option_env!("BOARD").unwrap_or("")) {
        Ok(settings) => settings,
        Err(invalid) => return defmt::error!("unusable setting: {}", invalid.0),
    };
    let seed = settings.seed.unwrap_or_else(|| RoscRng.next_u64());
    let mut flash: Flash<'_, _, flash::Async, FLASH_SIZE> = Flash::new(p.FLASH, p.DMA_CH2, Irqs);
    let mut unique = [0; 8];
    flash.blocking_unique_id(&mut unique).expect("every flash chip on this board has one");

    let mut config = spi::Config::default();
    config.frequency = SPI_HZ;
    let spi = Spi::new(p.SPI0, p.PIN_18, p.PIN_19, p.PIN_16, p.DMA_CH0, p.DMA_CH1, Irqs, config);
    let select = Output::new(p.PIN_17, Level::High);
    let bus = ExclusiveDevice::new(spi, select, Delay).expect("an output that cannot fail");
    let (interrupt, reset) = (Input::new(p.PIN_21, Pull::Up), Output::new(p.PIN_20, Level::High));
    static STATE: StaticCell<State<8, 8>> = StaticCell::new();
    let state = STATE.init(State::new());
    let (device, driver) = embassy_net_wiznet::new(address(unique), state, bus, interrupt, reset)
        .await
        .unwrap_or_else(|_| defmt::panic!("the W5500 does not answer"));
    spawner.spawn(ethernet(driver).expect("it is spawned once"));

    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let config = settings
        .network()
        .map_or(embassy_net::Config::dhcpv4(Default::default()), embassy_net::Config::ipv4_static);
    let (stack, runner) = embassy_net::new(device, config, RESOURCES.init(StackResources::new()), seed);
    spawner.spawn(network(runner).expect("it is spawned once"));
    spawner.spawn(watch(Watchdog::new(p.WATCHDOG)).expect("it is spawned once"));

    let mut led = Output::new(p.PIN_25, Level::Low);
    let mut button = Input::new(p.PIN_14, Pull::Up);
    let board = Board {
        stack,
        seed,
        flash,
        flash_range: FLASH_RANGE,
        led: |on: bool| led.set_level(on.into()),
        button: async || {
            // It also bounces when it is released: pressed is what is still down a little later.
            loop {
                button.wait_for_falling_edge().await;
                Timer::after(BOUNCE).await;
                if button.is_low() {
                    let released = with_timeout(LONG, button.wait_for_high()).await;
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

/// A locally administered MAC address out of the flash chip's unique number.
fn address([a, b, c, d, e, f, g, h]: [u8; 8]) -> [u8; 6] {
    [0x02, a ^ f, b ^ g, c ^ h, d, e]
}

#[embassy_executor::task]
async fn ethernet(
    driver: embassy_net_wiznet::Runner<'static, W5500, Bus, Input<'static>, Output<'static>>,
) -> ! {
    driver.run().await
}

#[embassy_executor::task]
async fn network(mut runner: embassy_net::Runner<'static, Device<'static>>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn watch(mut watchdog: Watchdog) -> ! {
    watchdog.start(WATCHDOG);
    loop {
        watchdog.feed(WATCHDOG);
        Timer::after_secs(1).await;
    }
}

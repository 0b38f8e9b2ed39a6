//! The firmware, the same for every board: a full member of the fleet.
//!
//! - `led` with payload `on` or `off` switches the LED; coalesced events do so once, with the last value.
//! - `blink` is counted, each one.
//! - `reboot` starts the board again.
//! - The button fires the event `button`.
#![no_std]
#![forbid(unsafe_code)]

mod memory;

use core::net::SocketAddr;

use board::Board;
use embassy_net::HardwareAddress;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use embedded_storage_async::nor_flash::NorFlash;
use serf_nostd::driver::embassy::{self, Buffers, Command};
use serf_nostd::{Config, DATAGRAM_MAX, Event, Identity, Node, Storage};
use static_cell::ConstStaticCell;

use memory::Memory;

/// Serf's port.
pub const PORT: u16 = 7946;

/// `role=sensor`, encoded as on Go Serf's wire.
const TAGS: &[u8] = b"\xff\x81\xa4role\xa6sensor";

/// 32 members, 256 events told apart, 16 held.
type Fleet = Storage<32, 256, 16>;

/// Runs the node for ever.
///
/// # Panics
/// On a second call.
pub async fn run<Flash, Led, Button>(board: Board<Flash, Led, Button>) -> !
where
    Flash: NorFlash,
    Led: FnMut(bool),
    Button: AsyncFnMut(),
{
    static STORAGE: ConstStaticCell<Fleet> = ConstStaticCell::new(Fleet::new());
    static BUFFERS: ConstStaticCell<Buffers<6000, DATAGRAM_MAX>> = ConstStaticCell::new(Buffers::new());
    let Board { stack, seed, flash, flash_range, mut led, mut button, restart, settings } = board;
    stack.wait_config_up().await;
    let Some(ip) = stack.config_v4().map(|config| config.address.address()) else { restart() };

    let mut memory = Memory::new(flash, flash_range);
    let Some((boot, floor)) = memory.start().await else {
        defmt::error!("the flash can't be written");
        restart()
    };
    let mut name = heapless::String::<32>::new();
    match &settings.name {
        Some(given) => name.clone_from(given),
        None => {
            let HardwareAddress::Ethernet(mac) = stack.hardware_address();
            for digit in mac.as_bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]) {
                let _ = name.push(char::from_digit(digit.into(), 16).unwrap_or_default());
            }
        }
    }
    let addr = settings.advertise.map_or(SocketAddr::from((ip, PORT)), SocketAddr::V4);
    let identity = Identity { name: &name, addr, boot, tags: TAGS, versions: Identity::VERSIONS };
    let config = Config { event_floor: floor, ..Config::DEVICE };
    let node = Node::new(STORAGE.take().memory(), config, identity, seed, embassy::now());
    let Ok(mut node) = node else {
        defmt::error!("the name or the storage's sizes can't be used");
        restart()
    };
    let mut seeds = heapless::Vec::<SocketAddr, 8>::new();
    seeds.extend(settings.peers.iter().map(|peer| SocketAddr::V4(*peer)));
    node.start(embassy::now(), &seeds);
    defmt::info!("{=str}: boot {=u64}, floor {=u64}", name.as_str(), boot, floor);

    let commands = Channel::<NoopRawMutex, Command<16, 32>, 2>::new();
    let mut blinks: u32 = 0;
    let node = embassy::run(&mut node, stack, PORT, BUFFERS.take(), &commands, async |event| match event {
        Event::User(event) => {
            if !memory.cover(event.id.ltime).await {
                defmt::error!("the flash can't be written: event {=[u8]:a} is not handled", event.name);
                return;
            }
            match event.name {
                b"led" => {
                    let on = event.payload == b"on";
                    led(on);
                    defmt::info!("LED {=bool}, LTime {=u64}", on, event.id.ltime);
                }
                b"blink" => {
                    blinks += 1;
                    defmt::info!("blink {=u32}, LTime {=u64}", blinks, event.id.ltime);
                }
                b"reboot" => {
                    defmt::info!("reboot");
                    restart();
                }
                name => defmt::info!("event {=[u8]:a}, LTime {=u64}", name, event.id.ltime),
            }
        }
        Event::Member(change, member) => defmt::info!("{}: {=str}", change, member.name),
        Event::Joined(_) => defmt::info!("joined"),
        Event::JoinFailed(_) => defmt::warn!("nobody answered"),
        Event::NameTaken(_) => {
            defmt::error!("another node has this name");
            restart();
        }
        Event::Left => {}
    });
    let buttons = async {
        loop {
            button().await;
            let mut name = heapless::Vec::new();
            let _ = name.extend_from_slice(b"button");
            commands.send(Command::Event { name, payload: heapless::Vec::new(), coalesce: false }).await;
        }
    };
    embassy_futures::select::select(node, buttons).await;
    restart()
}

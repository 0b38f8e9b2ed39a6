//! The firmware, the same for every board: a full member of the fleet.
//!
//! - `led` with payload `on` or `off` switches the LED; coalesced events do so once, with the last value.
//! - `blink` is counted, each one.
//! - `role` makes the board go by the role that the payload names: for one board, by an event for that one.
//! - `reboot` starts the board again; with the feature `authority` and the setting `operator` only if that one has signed it, as the orders about keys then.
//! - The button fires the event `button`, whose payload is the node's name. Held, it logs what this node knows and has
//!   counted.
//! - The queries `uptime` and `levels` are answered; `ask` makes the board ask the fleet what the payload names.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod answers;
#[cfg(test)]
mod flash;
mod memory;
#[cfg(any(test, feature = "seal"))]
mod ring;

use core::net::SocketAddr;

use board::{Board, Press};
use embassy_futures::select::select3;
use embassy_net::HardwareAddress;
use embassy_sync::blocking_mutex::raw::{NoopRawMutex, RawMutex};
use embassy_sync::channel::Channel;
use embedded_storage_async::nor_flash::NorFlash;
use serf_nostd::driver::embassy::{self, Buffers, Command};
use serf_nostd::{Config, DATAGRAM_MAX, Event, Identity, Node, Question};
use static_cell::ConstStaticCell;

pub use serf_nostd::{Storage, storage};

use memory::Memory;

/// Serf's port.
pub const PORT: u16 = 7946;

/// What only an operator may do, if the settings name one.
#[cfg(feature = "authority")]
const OPERATED: &[&str] = &["reboot", "keys:*"];

/// `role=sensor`, encoded as on Go Serf's wire.
const TAGS: &[u8] = b"\xff\x81\xa4role\xa6sensor";

/// Runs the node for ever, with the members and events that `storage` has room for.
///
/// # Panics
/// On a second call.
pub async fn run<Flash, Led, Button>(
    board: Board<Flash, Led, Button>,
    storage: serf_nostd::Memory<'static>,
) -> !
where
    Flash: NorFlash,
    Led: FnMut(bool),
    Button: AsyncFnMut() -> Press,
{
    static BUFFERS: ConstStaticCell<Buffers<6000, DATAGRAM_MAX>> = ConstStaticCell::new(Buffers::new());
    let Board { stack, seed, flash, flash_range, mut led, mut button, restart, settings } = board;
    stack.wait_config_up().await;
    let Some(ip) = stack.config_v4().map(|config| config.address.address()) else { restart() };

    #[cfg(feature = "seal")]
    let Some(key_pages) = ring::pages::<Flash>(&flash_range) else {
        defmt::error!("a sealed board wants five pages of flash");
        restart()
    };
    #[cfg(feature = "seal")]
    let flash_range = flash_range.start..key_pages.start;
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
    // Cloned boards draw other random bits.
    let instance = seed as u16;
    let identity = Identity { name: &name, addr, boot, instance, tags: TAGS, versions: Identity::VERSIONS };
    #[cfg(feature = "authority")]
    let config = Config { event_floor: floor, authority: authority(&settings), ..Config::DEVICE };
    #[cfg(not(feature = "authority"))]
    let config = Config { event_floor: floor, ..Config::DEVICE };
    // In one step: a `Result` in a variable of its own would have a place beside the node's for as long as this runs.
    let mut node = match Node::new(storage, config, identity, seed, embassy::now()) {
        Ok(node) => node,
        Err(_) => {
            defmt::error!("the name or the storage's sizes can't be used");
            restart()
        }
    };
    #[cfg(feature = "seal")]
    let mut keys = match ring::Ring::read(memory.flash(), &key_pages).await {
        Some(kept) if install_keys(&mut node, &kept.keys, &settings) => kept,
        _ => {
            defmt::error!("the keys can't be used");
            restart()
        }
    };
    let mut seeds = heapless::Vec::<SocketAddr, 8>::new();
    seeds.extend(settings.peers.iter().map(|peer| SocketAddr::V4(*peer)));
    node.start(embassy::now(), &seeds);
    defmt::info!("{=str}: boot {=u64}, floor {=u64}", name.as_str(), boot, floor);

    let commands = Channel::<NoopRawMutex, Command<16, 32>, 2>::new();
    let mut blinks: u32 = 0;
    let on_event = async |event: Event<'_>| match event {
        Event::User(event) => {
            if !memory.cover(event.id.ltime).await {
                defmt::error!("the flash can't be written: event {=[u8]:a} is not handled", event.name);
                return;
            }
            let (name, payload, ltime) = (event.name, event.payload, event.id.ltime);
            defmt::info!("event {=[u8]:a}: {=[u8]:a}, LTime {=u64}", name, payload, ltime);
            match name {
                b"led" => led(payload == b"on"),
                b"blink" => {
                    blinks += 1;
                    defmt::info!("blink {=u32}", blinks);
                }
                b"reboot" => restart(),
                b"ask" => ask(&commands, payload),
                b"role" => set_role(&commands, payload),
                _ => {}
            }
        }
        #[cfg(feature = "seal")]
        Event::Keys(_, new) => {
            if !keys.write(memory.flash(), &key_pages, new.clone()).await {
                // Whoever gave the order must not believe that they are kept.
                defmt::error!("the flash can't be written: the keys are lost");
                restart()
            }
            defmt::info!("{=usize} keys", new.count());
        }
        Event::Member(change, member) => defmt::info!("{}: {=str}", change, member.name),
        Event::Joined(_) => defmt::info!("joined"),
        Event::JoinFailed(_) => defmt::warn!("nobody answered"),
        Event::NameTaken(_) => {
            defmt::error!("another node has this name");
            restart();
        }
        Event::NameConflict(_) => defmt::error!("another node has this name"),
        Event::QueryResponse(_, from, payload) => defmt::info!("{=str} says: {=[u8]:a}", from, payload),
        Event::QueryAck(_, from) => defmt::info!("{=str} has it", from),
        // This firmware does not leave, and waits for nobody's last word.
        _ => {}
    };
    let on_query = |question: &Question<'_>| answers::to(question.name);
    let node = embassy::run(&mut node, stack, PORT, BUFFERS.take(), &commands, on_event, on_query);
    let buttons = async {
        loop {
            let command = match button().await {
                Press::Short => Command::Event {
                    name: bytes("button"),
                    payload: bytes(&name),
                    coalesce: false,
                    receipts: true,
                },
                Press::Long => Command::Inspect(report),
            };
            commands.send(command).await;
        }
    };
    // An address that DHCP has taken back is not where the others look for the board: it starts again at the new one.
    let moved = async {
        loop {
            stack.wait_config_down().await;
            stack.wait_config_up().await;
            if settings.advertise.is_none()
                && stack.config_v4().map(|config| config.address.address()) != Some(ip)
            {
                return;
            }
        }
    };
    select3(node, buttons, moved).await;
    restart()
}

/// Asks the fleet, if this is text that fits.
fn ask<M: RawMutex, const N: usize>(commands: &Channel<M, Command<16, 32>, N>, name: &[u8]) {
    let name = core::str::from_utf8(name).ok().and_then(|name| heapless::String::try_from(name).ok());
    let query = name.map(|name| Command::Query { name, payload: heapless::Vec::new() });
    if query.and_then(|query| commands.try_send(query).ok()).is_none() {
        defmt::warn!("what was to be asked is too long, or too much is to be done");
    }
}

/// Goes by the tag `role` with this value, if it is text that fits.
fn set_role<M: RawMutex, const N: usize>(commands: &Channel<M, Command<16, 32>, N>, role: &[u8]) {
    let mut tags = heapless::Vec::new();
    let fits = role.len() < 24 && core::str::from_utf8(role).is_ok();
    // A map of one; the marks of texts of less than 32 bytes hold their length.
    let parts = [b"\xff\x81\xa4role", &[0xa0 | role.len() as u8][..], role];
    let written = fits && parts.iter().all(|part| tags.extend_from_slice(part).is_ok());
    if !written || commands.try_send(Command::SetTags(tags)).is_err() {
        defmt::warn!("no role: longer than 23 bytes, or too much is to be done");
    }
}

/// A board has no clock: what is recorded once is not taken again by the floor that it keeps.
#[cfg(feature = "authority")]
fn authority(settings: &board::Settings) -> serf_nostd::Authority {
    static OPERATOR: static_cell::StaticCell<[serf_nostd::Operator; 1]> = static_cell::StaticCell::new();
    let operators = |key| OPERATOR.init([serf_nostd::Operator { key, patterns: OPERATED }]);
    settings.operator.map_or(serf_nostd::Authority::NONE, |key| serf_nostd::Authority::new(operators(key), 2))
}

/// Gives the node the keys that were in flash, else the one that is set. False if it can't have so many.
#[cfg(feature = "seal")]
fn install_keys(node: &mut Node<'_>, kept: &[serf_nostd::Key], settings: &board::Settings) -> bool {
    let set = settings.key.as_ref().filter(|_| kept.is_empty()).map(|key| serf_nostd::Key::new(key.0));
    kept.iter().chain(&set).all(|key| node.install_key(key).is_ok())
}

/// Logs what the node knows and has counted.
fn report(node: &Node<'_>) {
    defmt::info!("up for {=u64:us} s", embassy::now().as_micros());
    for member in node.members() {
        defmt::info!("member {=str}: {}", member.name, member.status);
    }
    defmt::info!("levels: {}", node.gauges());
    defmt::info!("counted: {}", node.stats());
}

/// As much of a text as there is room for.
fn bytes<const N: usize>(text: &str) -> heapless::Vec<u8, N> {
    text.bytes().take(N).collect()
}

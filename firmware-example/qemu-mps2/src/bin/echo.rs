//! Shows that the board works, before anything else is to run on it: UDP echo, LED and button.
#![no_std]
#![no_main]

use core::net::SocketAddrV4;

use board::{Board, Press};
use cortex_m_rt::entry;
use embassy_executor::Spawner;
use embassy_futures::join::join;
use embassy_net::Stack;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use static_cell::ConstStaticCell;

/// The echo protocol's port (RFC 862).
const PORT: u16 = 7;

#[entry]
fn main() -> ! {
    qemu_mps2::run(|spawner| spawner.spawn(echo(spawner).expect("it is spawned once")))
}

/// Answers every datagram at [`PORT`] with itself, greets each of the board's peers once at the start, and changes the
/// LED whenever the button is pressed; a long press makes it panic.
#[embassy_executor::task]
async fn echo(spawner: Spawner) {
    let Board { stack, mut led, mut button, settings, seed, .. } = qemu_mps2::start(spawner);
    defmt::info!("echo: up, seed {:016x}", seed);
    let buttons = async {
        let mut on = false;
        loop {
            assert!(button().await == Press::Short, "a long press asks for it");
            on = !on;
            led(on);
            defmt::info!("echo: button, LED {=bool}", on);
        }
    };
    join(answer(stack, &settings.peers), buttons).await;
}

async fn answer(stack: Stack<'static>, peers: &[SocketAddrV4]) -> ! {
    // Static, as a future with large variables crosses the stack on its way to its task.
    static RX_META: ConstStaticCell<[PacketMetadata; 16]> = ConstStaticCell::new([PacketMetadata::EMPTY; 16]);
    static TX_META: ConstStaticCell<[PacketMetadata; 4]> = ConstStaticCell::new([PacketMetadata::EMPTY; 4]);
    static RX: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static TX: ConstStaticCell<[u8; 3000]> = ConstStaticCell::new([0; 3000]);
    static DATAGRAM: ConstStaticCell<[u8; 1472]> = ConstStaticCell::new([0; 1472]);
    let mut socket = UdpSocket::new(stack, RX_META.take(), RX.take(), TX_META.take(), TX.take());
    let datagram = DATAGRAM.take();
    socket.bind(PORT).expect("a new socket, and the port is not 0");
    for peer in peers {
        let sent = socket.send_to(b"hello", *peer).await;
        defmt::info!("echo: greeted {}: {}", peer.port(), sent);
    }
    let mut echoed: u32 = 0;
    loop {
        let Ok((length, from)) = socket.recv_from(datagram).await else { continue };
        if socket.send_to(&datagram[..length], from).await.is_ok() {
            echoed += 1;
            defmt::debug!("echo: {=u32} answered, the last to {}", echoed, from);
        }
    }
}

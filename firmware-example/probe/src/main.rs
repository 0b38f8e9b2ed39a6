//! The gossip core and nothing else, to be measured: no runtime, no driver, no log, and a panic handler that says nothing.
//! It is linked as a board's image would be, and never run. Whatever stands in it the core has brought along.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::net::SocketAddr;
use core::panic::PanicInfo;

use serf_nostd::{Config, DATAGRAM_MAX, Identity, Input, Instant, Node, Output, Storage};

/// The entry: every call that the core offers, with values that the compiler can't foresee.
#[unsafe(no_mangle)]
extern "C" fn _start(storage: &'static mut Storage, datagram: &mut [u8; DATAGRAM_MAX], len: usize) -> ! {
    let now = || Instant::from_micros(black_box(0));
    let addr: SocketAddr = black_box(SocketAddr::from(([10, 0, 0, 1], 7946)));
    let identity = Identity {
        name: black_box("probe"),
        addr,
        boot: 1,
        instance: black_box(1),
        tags: black_box(&[]),
        versions: Identity::VERSIONS,
    };
    let Ok(mut node) = Node::new(storage.memory(), black_box(Config::DEVICE), identity, black_box(1), now())
    else {
        halt()
    };
    node.start(now(), black_box(&[addr]));
    let _ = black_box(node.join(now(), addr, black_box(false)));
    loop {
        let _ = black_box(node.handle(now(), Input::Datagram { from: addr, bytes: &mut datagram[..len] }));
        let _ = black_box(node.user_event(now(), black_box(b"name"), black_box(b"payload"), black_box(true)));
        let _ = black_box(node.set_tags(now(), black_box(&[])));
        node.force_leave(now(), black_box("other"), black_box(true));
        let _ = black_box(node.leave(now()));
        for member in node.members() {
            black_box(member.name);
        }
        black_box((node.stats(), node.gauges()));
        loop {
            match node.poll(now(), datagram) {
                Output::Datagram { to, bytes } => _ = black_box((to, bytes)),
                Output::Event(event) => _ = black_box(event),
                Output::Sleep(until) => {
                    black_box(until);
                    break;
                }
            }
        }
    }
}

#[panic_handler]
#[inline(always)]
#[allow(
    unused_attributes,
    reason = "the function is exported, and link-time optimization inlines it all the same"
)]
fn panic(_: &PanicInfo<'_>) -> ! {
    halt()
}

fn halt() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

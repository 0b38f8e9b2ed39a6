//! A member of a fleet over a UDP socket of the standard library. Each line that is typed is an event, which all print:
//!
//! ```text
//! cargo run --example udp -- a 127.0.0.1:7946
//! cargo run --example udp -- b 127.0.0.2:7946 127.0.0.1:7946
//! ```

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serf_nostd::{Config, DATAGRAM_MAX, Event, Identity, Input, Instant, Node, Output, storage};

type Storage = storage! { members: 64, seen: 1024, slots: 64 };

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(name), Some(addr)) = (args.next(), args.next()) else {
        return Err("usage: udp NAME ADDRESS:PORT [SEED:PORT]...".into());
    };
    let addr: SocketAddr = addr.parse()?;
    let seeds = args.map(|seed| seed.parse()).collect::<Result<Vec<SocketAddr>, _>>()?;
    let socket = UdpSocket::bind(addr)?;

    // The core reads no clock and no randomness: both are handed in.
    let began = std::time::Instant::now();
    let now = || Instant::from_micros(began.elapsed().as_micros() as u64);
    let boot = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let instance = std::process::id() as u16;
    let identity = Identity { name: &name, addr, boot, instance, tags: &[], versions: Identity::VERSIONS };
    let mut storage = Storage::new();
    let mut node = Node::new(storage.memory(), Config::LAN, identity, boot ^ instance as u64, now())?;
    node.start(now(), &seeds);

    let (line, lines) = mpsc::channel();
    thread::spawn(move || io::stdin().lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
    let (mut rx, mut tx) = ([0; DATAGRAM_MAX + 1], [0; DATAGRAM_MAX]);
    loop {
        // What is wanted goes in ...
        for line in lines.try_iter() {
            if let Err(error) = node.user_event(now(), b"line", line.as_bytes(), false) {
                eprintln!("not fired: {error}");
            }
        }
        // ... what is to be done comes out, until there is nothing more for a while ...
        let until = loop {
            match node.poll(now(), &mut tx) {
                // What can't be sent is sent again by the protocol.
                Output::Datagram { to, bytes } => drop(socket.send_to(bytes, to)),
                Output::Event(Event::User(event)) => println!("{}", String::from_utf8_lossy(event.payload)),
                Output::Event(Event::Member(change, member)) => println!("{change:?}: {}", member.name),
                Output::Event(other) => println!("{other:?}"),
                Output::Sleep(until) => break until,
            }
        };
        // ... or until a datagram arrives; a typed line waits 50 ms at most.
        let pause = until.since(now()).as_micros().clamp(1, 50_000);
        socket.set_read_timeout(Some(Duration::from_micros(pause)))?;
        match socket.recv_from(&mut rx) {
            Ok((len, from)) => {
                if let Err(reject) = node.handle(now(), Input::Datagram { from, bytes: &mut rx[..len] }) {
                    eprintln!("refused a datagram from {from}: {reject}");
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

//! What the machine itself takes to wake so many processes: each receives an event in a datagram and hands it to its reader, and
//! does nothing else. Nothing of which there is a process for each node is faster here.

use std::env;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::process::Command;
use std::time::Instant;

use crate::brokers::{Measured, PAYLOAD, Publisher, Seen, Subject, payload, reader};
use crate::phases::Figures;

/// How this program tells itself to be one of these processes.
pub const PASS_ON: &str = "--pass-on";
const FIRST: &str = "first";

/// One of them: connects to its reader's address, and says there at which UDP port it is. The first one is told the others' ports there, and
/// then events, which it sends to them.
pub fn pass_on(reader: &str, which: &str) {
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let port = udp.local_addr().expect("it has one").port();
    let mut reader = TcpStream::connect(reader).expect("the reader listens");
    reader.set_nodelay(true).expect("a socket");
    reader.write_all(&port.to_be_bytes()).expect("the reader reads");
    let mut event = [0; PAYLOAD];
    if which != FIRST {
        while udp.recv(&mut event).is_ok() && reader.write_all(&event).is_ok() {}
        return;
    }
    let mut count = [0];
    reader.read_exact(&mut count).expect("how many there are");
    let ports: Vec<u16> = (0..count[0]).map(|_| read_port(&mut reader)).collect();
    while reader.read_exact(&mut event).is_ok() {
        for port in &ports {
            udp.send_to(&event, (Ipv4Addr::LOCALHOST, *port)).expect("a way there");
        }
        reader.write_all(&event).expect("the reader reads");
    }
}

fn read_port(from: &mut TcpStream) -> u16 {
    let mut port = [0; 2];
    from.read_exact(&mut port).expect("a port");
    u16::from_be_bytes(port)
}

impl Publisher for TcpStream {
    fn publish(&mut self, numbers: Range<usize>) {
        let bytes: Vec<u8> = numbers.flat_map(payload).collect();
        self.write_all(&bytes).expect("the first one reads");
    }
}

/// So many of them, each with one reader: single events.
pub fn measure(count: usize) -> Figures {
    let own = env::current_exe().expect("a running program has a path");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address: SocketAddr = listener.local_addr().expect("it has one");
    let (mut processes, mut streams, mut ports) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..count {
        let which = if i == 0 { FIRST } else { "other" };
        let command = Command::new(&own).args([PASS_ON, &address.to_string(), which]).spawn();
        processes.push(Measured(command.expect("it starts")));
        let (mut stream, _) = listener.accept().expect("it connects");
        stream.set_nodelay(true).expect("a socket");
        ports.push(read_port(&mut stream));
        streams.push(stream);
    }
    let mut first = streams[0].try_clone().expect("a descriptor");
    first.write_all(&[count as u8 - 1]).expect("it reads");
    ports[1..].iter().for_each(|port| first.write_all(&port.to_be_bytes()).expect("it reads"));

    let began = Instant::now();
    let seen: Vec<_> = streams.iter().map(|_| Seen::new()).collect();
    for (stream, seen) in streams.into_iter().zip(&seen) {
        reader(stream, seen.clone(), began);
    }
    let pids = processes.iter().map(|process| process.0.id()).collect();
    let mut subject = Subject { began, publisher: Box::new(first), seen, pids };
    subject.singles(0.0).map(|(name, value)| (name.to_owned(), value)).into()
}

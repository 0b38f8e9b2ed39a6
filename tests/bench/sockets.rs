//! What sending and receiving several datagrams with one system call would save: an event goes to 19 others at once.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::process;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

use crate::proc::cpu_seconds;
use crate::table::{head, number, row};

/// Datagrams that are sent, or have come, together.
const TOGETHER: usize = 19;
/// The length of an event's.
const LENGTH: usize = 100;
const ROUNDS: usize = 5_000;

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    socket.set_nonblocking(true).expect("sockets can be made so");
    socket
}

fn address(socket: &UdpSocket) -> SocketAddrV4 {
    match socket.local_addr() {
        Ok(SocketAddr::V4(address)) => address,
        other => unreachable!("bound to an IPv4 address, not to {other:?}"),
    }
}

/// Reads a socket empty, one datagram after the other; how many there were.
fn empty(socket: &UdpSocket) -> usize {
    let mut buffer = [0; 2 * LENGTH];
    std::iter::from_fn(|| socket.recv_from(&mut buffer).ok()).count()
}

/// Processor time per datagram in µs: of `timed` alone, which is called once a round, between the two others.
fn measure(mut before: impl FnMut(), mut timed: impl FnMut(), mut after: impl FnMut()) -> f64 {
    let mut seconds = 0.0;
    for _ in 0..ROUNDS {
        before();
        let began = cpu_seconds(process::id());
        timed();
        seconds += cpu_seconds(process::id()) - began;
        after();
    }
    seconds * 1e6 / (ROUNDS * TOGETHER) as f64
}

fn sending(one_call: bool) -> f64 {
    let from = socket();
    let to: Vec<UdpSocket> = (0..TOGETHER).map(|_| socket()).collect();
    let addresses: Vec<SocketAddrV4> = to.iter().map(address).collect();
    let datagram = [7; LENGTH];
    let names: Vec<Option<SockaddrIn>> = addresses.iter().map(|address| Some((*address).into())).collect();
    let mut heads = MultiHeaders::preallocate(TOGETHER, Option::None);
    let send = || {
        if one_call {
            let slices = vec![[IoSlice::new(&datagram)]; TOGETHER];
            let sent = sendmmsg(from.as_raw_fd(), &mut heads, &slices, &names, [], MsgFlags::empty());
            assert_eq!(sent.map(Iterator::count), Ok(TOGETHER));
        } else {
            for address in &addresses {
                from.send_to(&datagram, address).expect("there is room");
            }
        }
    };
    let drain = || to.iter().for_each(|socket| assert_eq!(empty(socket), 1));
    measure(|| {}, send, drain)
}

fn receiving(one_call: bool) -> f64 {
    let (from, to) = (socket(), socket());
    let address = address(&to);
    let mut buffers = [[0; 2 * LENGTH]; TOGETHER];
    let mut heads = MultiHeaders::<SockaddrIn>::preallocate(TOGETHER, Option::None);
    let fill =
        || (0..TOGETHER).for_each(|_| assert!(from.send_to(&[7; LENGTH], address).is_ok(), "there is room"));
    let receive = || {
        if one_call {
            let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
            let come =
                recvmmsg(to.as_raw_fd(), &mut heads, slices.iter_mut(), MsgFlags::empty(), Option::None);
            assert_eq!(come.map(Iterator::count), Ok(TOGETHER));
        } else {
            // The last call says that there are no more.
            assert_eq!(empty(&to), TOGETHER);
        }
    };
    measure(fill, receive, || {})
}

/// The table of both.
pub fn table() -> String {
    let columns = ["", "one call each", "one call for all"];
    let title = format!("{TOGETHER} datagrams of {LENGTH} bytes over loopback: CPU per datagram (µs)");
    let line =
        |name: &str, cost: fn(bool) -> f64| row(&[name.into(), number(cost(false)), number(cost(true))]);
    [head(&title, 1, &columns), line("sending", sending), line("receiving", receiving)].concat()
}

//! Loopback addresses nobody else uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use super::process::fork_lock;

/// Where one agent gossips and answers RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// `-bind`
    pub gossip: SocketAddr,
    /// `-rpc-addr`
    pub rpc: SocketAddr,
}

impl Address {
    /// An IPv4 address of its own with Serf's two default ports: all of 127.0.0.0/8 is loopback on Linux, so agents
    /// can neither meet each other's ports nor those that the kernel hands out.
    pub fn unused() -> Address {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            // Suites that run at the same time start far apart from each other.
            let n = process::id().wrapping_mul(509).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let [_, a, b, c] = n.to_be_bytes();
            let ip = IpAddr::V4(Ipv4Addr::new(127, 1 + a % 254, b, 1 + c % 254));
            let address = Address { gossip: (ip, 7946).into(), rpc: (ip, 7373).into() };
            if address.is_free() {
                return address;
            }
        }
    }

    /// `[::1]` with two ports that were free just now, or `None` on a machine without IPv6. IPv6 has one loopback
    /// address only.
    pub fn unused_v6() -> Option<Address> {
        let localhost = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let rpc = TcpListener::bind((localhost, 0)).ok()?.local_addr().ok()?;
        loop {
            let gossip = UdpSocket::bind((localhost, 0)).ok()?.local_addr().ok()?;
            let address = Address { gossip, rpc };
            if gossip.port() != rpc.port() && address.is_free() {
                return Some(address);
            }
        }
    }

    /// Likewise on 127.0.0.1, for tests that need that address.
    pub fn unused_localhost() -> Address {
        let rpc = Address::unused().rpc;
        loop {
            let gossip = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
            let address = Address { gossip: gossip.expect("127.0.0.1 is there"), rpc };
            if address.is_free() {
                return address;
            }
        }
    }

    fn is_free(&self) -> bool {
        let _nobody_forks = fork_lock();
        UdpSocket::bind(self.gossip).is_ok()
            && TcpListener::bind(self.gossip).is_ok()
            && TcpListener::bind(self.rpc).is_ok()
    }
}

//! Going along with the machine: an agent whose address was chosen for it, and not set, takes the one that has come in its place when the
//! machine has lost it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::handle::WeakHandle;
use super::interface;
use super::socket::Socket;

/// After the kernel has told that addresses change it looks after each of these: an address that is renewed may be away for a moment, and
/// routes come later.
const LOOKS: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(5)];

/// It looks after so long anyway.
const PERIOD: Duration = Duration::from_secs(60);

/// The kernel's groups of news about IPv4 and IPv6 addresses.
const GROUPS: u32 = 0x10 | 0x100;

/// Where the agent is from now on.
#[derive(Debug)]
pub struct Move {
    /// Where the others are to reach it, if that changes.
    pub(super) advertised: Option<SocketAddr>,
    /// The socket to go on with, if the former one was bound to the former address.
    pub(super) socket: Option<Socket>,
}

/// An address that was chosen.
pub(super) enum Chosen {
    /// To be advertised by a socket that is bound to all addresses of the machine; it was on this interface.
    Of { bound: SocketAddr, advertised: SocketAddr, interface: Option<String> },
    /// To be bound to, as the first of an interface; others are told, or they reach the agent otherwise.
    On { interface: String, bound: SocketAddr, is_advertised: bool },
}

impl Chosen {
    /// Tells the agent when it is another one, as long as it lives.
    pub(super) async fn follow(mut self, agent: WeakHandle) {
        let changes = Changes::listen().inspect_err(|error| {
            log::warn!(target: "serf", "Changes of addresses are seen late: {error}");
        });
        let (changes, mut told) = (changes.ok(), false);
        loop {
            match &changes {
                Some(changes) => _ = timeout(PERIOD, changes.next()).await,
                None => sleep(PERIOD).await,
            }
            for pause in LOOKS {
                sleep(pause).await;
                if agent.upgrade().is_none() {
                    return;
                }
                match self.next() {
                    Ok(None) => told = false,
                    Ok(Some(moved)) => {
                        let Some(handle) = agent.upgrade() else { return };
                        if handle.moved(moved).await.is_err() {
                            return;
                        }
                    }
                    // The address may come back; or another one is about to come.
                    Err(_) if told || pause < LOOKS[1] => {}
                    Err(error) => {
                        log::warn!(target: "serf", "This machine has not got this agent's address any more: {error}");
                        told = true;
                    }
                }
            }
        }
    }

    /// What has come in its place, if it is gone.
    fn next(&mut self) -> Result<Option<Move>, String> {
        match self {
            Chosen::Of { bound, advertised, interface } => {
                let next = interface::successor(bound.ip(), advertised.ip(), interface.as_deref())?;
                Ok(next.map(|(ip, on)| {
                    advertised.set_ip(ip);
                    *interface = Some(on);
                    Move { advertised: Some(*advertised), socket: None }
                }))
            }
            Chosen::On { interface, bound, is_advertised } => {
                if interface::addresses(interface)?.iter().any(|own| own.is(bound.ip())) {
                    return Ok(None);
                }
                let every: IpAddr = match bound {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                };
                let next = interface::listener_on(interface, SocketAddr::new(every, bound.port()))?;
                if next.is_ipv4() != bound.is_ipv4() {
                    return Err(format!("interface '{interface}' has none of its family"));
                }
                let socket = Socket::bind(next).map_err(|error| format!("{next}: {error}"))?;
                *bound = next;
                Ok(Some(Move { advertised: is_advertised.then_some(next), socket: Some(socket) }))
            }
        }
    }
}

/// What the kernel tells of this machine's addresses (rtnetlink).
struct Changes(UdpSocket);

impl Changes {
    fn listen() -> io::Result<Changes> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Of this family protocol 0 is rtnetlink.
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        // As good as any other type for a socket of datagrams that are received only.
        UdpSocket::from_std(socket.into()).map(Changes)
    }

    /// Waits for the next ones. What they say is not read: it is seen by looking.
    async fn next(&self) {
        let mut buffer = [0; 4_096];
        let _ = self.0.recv(&mut buffer).await;
        while self.0.try_recv(&mut buffer).is_ok() {}
    }
}

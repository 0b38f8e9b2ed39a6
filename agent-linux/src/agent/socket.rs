//! The UDP socket that gossip goes through.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::descriptor::register;

/// Bytes the kernel is asked to hold of what has arrived and was not read yet; it grants at most `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;

/// What has come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A datagram of this length, and from where.
    Datagram(usize, SocketAddr),
    /// The host of this address has refused a datagram: nobody listens at that port. So many of its bytes are quoted.
    Refusal(usize, SocketAddr),
}

/// A bound UDP socket. Bound to every address (`0.0.0.0` or `[::]`) it speaks IPv4 and IPv6 alike, as Serf's does,
/// if the system knows IPv6. Addresses go in and come out in their own family, never as IPv4 mapped into IPv6, and without a scope:
/// link-local ones are of the network that the socket is bound to, as by `[fe80::1%eth0]`.
#[derive(Debug)]
pub struct Socket {
    /// Registered for what comes in only: that there is room for another datagram is no news.
    inner: AsyncFd<OwnedFd>,
    bound: SocketAddr,
}

impl Socket {
    /// Binds to `address`; port 0 takes a free one. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// What the system refuses: see [`super::address::bind_error`] for Serf's words.
    pub fn bind(address: SocketAddr) -> io::Result<Socket> {
        let opened = if address.ip().is_unspecified() {
            let both = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), address.port());
            match open(both) {
                // No IPv6 in this kernel, or none of its addresses.
                Err(error) if address.is_ipv4() && error.kind() != io::ErrorKind::AddrInUse => open(address),
                other => other,
            }
        } else {
            open(address)
        };
        let inner = register(opened?, Interest::READABLE | Interest::ERROR)?;
        let bound = rustix::net::getsockname(&inner)?.try_into()?;
        Ok(Socket { inner, bound })
    }

    /// The bound address with its real port; `[::]` if it speaks both families.
    pub fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Why nothing can be sent to an address, if that is so: it is of a family that this socket does not speak, or of a network that it
    /// is not bound to.
    pub fn cannot_reach(&self, to: SocketAddr) -> Option<&'static str> {
        match (self.bound, to) {
            (SocketAddr::V4(_), SocketAddr::V6(_)) => Some("this agent is bound to an IPv4 address"),
            (SocketAddr::V6(bound), SocketAddr::V4(_)) if !bound.ip().is_unspecified() => {
                Some("this agent is bound to an IPv6 address")
            }
            (SocketAddr::V6(bound), SocketAddr::V6(to)) if to.ip().is_unicast_link_local() => {
                if bound.scope_id() == 0 {
                    Some("link-local addresses are for agents that are bound to one, as -bind=[fe80::1%eth0]")
                } else if ![0, bound.scope_id()].contains(&to.scope_id()) {
                    Some("this agent is bound to another network's link-local address")
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    /// Waits for a datagram, or a refusal. What exceeds `buffer` is cut off. May be dropped while waiting.
    ///
    /// # Errors
    /// What the system reports, which is no reason to stop.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<Incoming> {
        loop {
            let _ready = self.inner.ready(Interest::READABLE | Interest::ERROR).await?;
            match self.try_receive(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                incoming => return incoming,
            }
        }
    }

    /// As [`Socket::receive`], without waiting.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing is there.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Incoming> {
        // Errors first: each of them spoils the next receive and the next send, whomever that is for, and takes room from datagrams.
        loop {
            match self.inner.try_io(Interest::ERROR, |socket| refusal(socket, buffer)) {
                Ok(Some((length, by))) => return Ok(Incoming::Refusal(length, by)),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let receive = |socket: &OwnedFd| Ok(rustix::net::recvfrom(socket, buffer, RecvFlags::empty())?);
        let (length, _, from) = self.inner.try_io(Interest::READABLE, receive)?;
        let from = from.ok_or(io::ErrorKind::AddrNotAvailable)?.try_into()?;
        Ok(Incoming::Datagram(length, plain(from)))
    }

    /// Sends a datagram, without waiting: gossip that does not fit the kernel's buffer is as good as lost.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is no room; what else the system refuses.
    pub fn send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        let to = match (self.bound, to) {
            (SocketAddr::V6(_), SocketAddr::V4(to)) => {
                SocketAddr::new(to.ip().to_ipv6_mapped().into(), to.port())
            }
            (SocketAddr::V6(bound), SocketAddr::V6(to)) if to.ip().is_unicast_link_local() => {
                SocketAddrV6::new(*to.ip(), to.port(), 0, bound.scope_id()).into()
            }
            _ => to,
        };
        let send = || rustix::net::sendto(&self.inner, bytes, SendFlags::empty(), &to);
        let sent = match send() {
            // This may be an earlier datagram's error, which the next one has to take: it was not sent.
            Err(error) if error != Errno::WOULDBLOCK => send(),
            sent => sent,
        };
        Ok(sent.map(drop)?)
    }
}

/// The next error of an earlier datagram: how much of it is quoted, and whose host it is that says that nobody listens there. `None`
/// if it is another error, or another host says so.
fn refusal(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
    // `ee_origin` of linux/errqueue.h; type and code of "port unreachable".
    const ICMP: (u8, u8, u8) = (2, 3, 3);
    const ICMP6: (u8, u8, u8) = (3, 1, 4);
    let mut control = nix::cmsg_space!([u8; 64]);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let to = message.address.and_then(|to| match (to.as_sockaddr_in(), to.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddrV4::from(*v4).into()),
        (_, Some(v6)) => Some(SocketAddrV6::from(*v6).into()),
        _ => None,
    });
    let said = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, Some(by)) => {
            Some((error, IpAddr::V4(Ipv4Addr::from(u32::from_be(by.sin_addr.s_addr)))))
        }
        ControlMessageOwned::Ipv6RecvErr(error, Some(by)) => {
            Some((error, IpAddr::V6(Ipv6Addr::from(by.sin6_addr.s6_addr))))
        }
        _ => None,
    });
    let (Some(to), Some((error, by))) = (to.map(plain), said) else { return Ok(None) };
    let unreachable = [ICMP, ICMP6].contains(&(error.ee_origin, error.ee_type, error.ee_code));
    Ok((unreachable && by.to_canonical() == to.ip()).then_some((message.bytes, to)))
}

fn open(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    if address.is_ipv6() {
        // The system's default may be otherwise.
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    // A smaller buffer only loses more in a burst.
    let _ = sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER);
    // Where the system does not tell of refusals, the dead are found by their silence.
    let _ = setsockopt(&socket, Ipv4RecvErr, &true);
    if address.is_ipv6() {
        let _ = setsockopt(&socket, Ipv6RecvErr, &true);
    }
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

/// An IPv4 address as one, a link-local IPv6 address without its scope.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn exchange(from: &Socket, to: &Socket, at: SocketAddr) -> SocketAddr {
        // The first attempt to send registers with the runtime.
        while from.send(b"hello", at).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            tokio::task::yield_now().await;
        }
        let mut buffer = [0; 16];
        let receive = tokio::time::timeout(std::time::Duration::from_secs(60), to.receive(&mut buffer));
        let incoming = receive.await.expect("it arrives").unwrap();
        let Incoming::Datagram(length, sender) = incoming else { panic!("{incoming:?}") };
        assert_eq!(&buffer[..length], b"hello");
        sender
    }

    /// Over both families, from a socket that speaks both: what was sent where nobody listens is quoted, and the next datagram goes out.
    #[tokio::test]
    async fn a_host_s_refusal_is_told_with_what_it_quotes_and_spoils_nothing() {
        let socket = Socket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        for own in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(closed) = Socket::bind(own.parse().unwrap()) else { continue };
            let nobody = closed.bound();
            drop(closed);
            let peer = Socket::bind(own.parse().unwrap()).unwrap();
            while socket.send(b"anybody there?", nobody).is_err() {
                tokio::task::yield_now().await;
            }
            // Its refusal has come by now, and was not read.
            let there = SocketAddr::new(nobody.ip(), socket.bound().port());
            socket.send(b"and you?", peer.bound()).expect("it is sent all the same");
            let mut buffer = [0; 64];
            let incoming =
                tokio::time::timeout(std::time::Duration::from_secs(60), socket.receive(&mut buffer));
            assert_eq!(incoming.await.expect("it comes").unwrap(), Incoming::Refusal(14, nobody));
            assert_eq!(&buffer[..14], b"anybody there?");
            let incoming = peer.receive(&mut buffer).await.unwrap();
            assert_eq!(incoming, Incoming::Datagram(8, there));
        }
    }

    #[tokio::test]
    async fn bound_to_every_address_it_speaks_both_families_in_their_own_form() {
        let every = Socket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = every.bound().port();
        for own in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(peer) = Socket::bind(own.parse().unwrap()) else { continue };
            let there = SocketAddr::new(peer.bound().ip(), port);
            assert_eq!(exchange(&peer, &every, there).await, peer.bound());
            assert_eq!(exchange(&every, &peer, peer.bound()).await, there);
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_told_in_gos_words() {
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let first = Socket::bind(address.parse().unwrap()).unwrap();
            let taken = SocketAddr::new(address.parse::<SocketAddr>().unwrap().ip(), first.bound().port());
            let error = Socket::bind(taken).unwrap_err();
            assert_eq!(crate::agent::address::bind_error(&error), "bind: address already in use");
        }
    }
}

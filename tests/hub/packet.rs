//! The system calls that the standard library has no words for.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// A packet socket on this interface that reads and writes whole frames and does not block.
pub fn open(interface: &str) -> io::Result<File> {
    let protocol = (libc::ETH_P_ALL as u16).to_be();
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let socket = socket(libc::AF_PACKET, kind, protocol.into())?;
    let name = CString::new(interface)?;
    // SAFETY: plain data, for which zeros are a value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    // SAFETY: the name ends with NUL.
    address.sll_ifindex = match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => return Err(io::Error::last_os_error()),
        index => index as i32,
    };
    let size = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address is as long as is said.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) })?;
    // Its own frames are not to come back.
    let on: libc::c_int = 1;
    let size = mem::size_of_val(&on) as libc::socklen_t;
    let (level, option) = (libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING);
    // SAFETY: the value is as long as is said.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), size) })?;
    Ok(File::from(socket))
}

/// Lets an interface's Linux finish its frames itself: a veth leaves checksums and segmentation to hardware that does not
/// exist, and a board drops what comes with a wrong checksum. To be called before it is moved into its namespace.
///
/// # Errors
/// If there is no such interface, or it is not ours.
pub fn switch_offload_off(interface: &str) -> io::Result<()> {
    const SIOCETHTOOL: libc::Ioctl = 0x8946;
    const ETHTOOL_STXCSUM: u32 = 0x17;
    const ETHTOOL_STSO: u32 = 0x1f;
    const ETHTOOL_SGSO: u32 = 0x24;
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)?;
    for command in [ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO] {
        let mut off = [command, 0];
        // SAFETY: plain data, for which zeros are a value.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        let room = request.ifr_name.len() - 1;
        for (to, byte) in request.ifr_name[..room].iter_mut().zip(interface.bytes()) {
            *to = byte as libc::c_char;
        }
        request.ifr_ifru.ifru_data = off.as_mut_ptr().cast();
        // SAFETY: the kernel reads the request and the two words that it points to.
        check(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) })?;
    }
    Ok(())
}

/// Returns when one of the descriptors can be read, or after this time.
pub fn wait(descriptors: &[BorrowedFd<'_>], time: Option<Duration>) {
    let events = |fd: &BorrowedFd<'_>| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut polled: Vec<_> = descriptors.iter().map(events).collect();
    let time = time.map(|time| libc::timespec {
        tv_sec: time.as_secs() as libc::time_t,
        tv_nsec: time.subsec_nanos().into(),
    });
    let limit = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: as many entries as are said, and a time or none. An interrupted wait is a short one.
    unsafe { libc::ppoll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, limit, ptr::null()) };
}

/// Gives the calling thread a new network.
pub fn leave_network() -> io::Result<()> {
    // SAFETY: takes a number; nothing in this process relies on which network a thread has.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Gives the calling thread this network.
pub fn enter_network(namespace: &File) -> io::Result<()> {
    // SAFETY: takes two numbers, as above.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes three numbers.
    let fd = check(unsafe { libc::socket(family, kind, protocol) })?;
    // SAFETY: new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

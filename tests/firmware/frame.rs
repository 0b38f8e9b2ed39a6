//! Ethernet frames of our own making, right or wrong.

use std::net::Ipv4Addr;

/// Where IPv4's header begins, and its length.
const IP: usize = 14;
const IP_LEN: usize = 20;
const UDP_LEN: usize = 8;

/// One end of a conversation.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub mac: [u8; 6],
    pub ip: Ipv4Addr,
    pub port: u16,
}

/// A frame with this EtherType.
pub fn ethernet(from: [u8; 6], to: [u8; 6], kind: u16, body: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), body].concat()
}

/// An ARP message as it should be, but for what it says.
pub fn arp(operation: u16, from: End, to: End) -> Vec<u8> {
    let body = [
        &[0, 1, 8, 0, 6, 4][..],
        &operation.to_be_bytes(),
        &from.mac,
        &from.ip.octets(),
        &to.mac,
        &to.ip.octets(),
    ];
    ethernet(from.mac, to.mac, 0x0806, &body.concat())
}

/// An IPv4 packet in a frame, with a right header.
pub fn ipv4(from: End, to: End, protocol: u8, body: &[u8]) -> Vec<u8> {
    let length = (IP_LEN + body.len()) as u16;
    let mut header = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header.extend(from.ip.octets().into_iter().chain(to.ip.octets()));
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    ethernet(from.mac, to.mac, 0x0800, &[&header[..], body].concat())
}

/// A UDP datagram in a frame, right all over; its checksum is left out, as IPv4 allows.
pub fn udp(from: End, to: End, payload: &[u8]) -> Vec<u8> {
    let length = (UDP_LEN + payload.len()) as u16;
    let head = [from.port, to.port, length, 0].map(u16::to_be_bytes);
    ipv4(from, to, 17, &[head.as_flattened(), payload].concat())
}

/// The payload of a frame, if it is a UDP datagram to this port.
pub fn udp_payload(frame: &[u8], port: u16) -> Option<&[u8]> {
    let udp = frame.get(IP + IP_LEN..)?;
    let ours = frame[12..14] == [8, 0] && frame[IP] == 0x45 && frame[IP + 9] == 17;
    let length = u16::from_be_bytes([*udp.get(4)?, *udp.get(5)?]) as usize;
    (ours && udp[2..4] == port.to_be_bytes()).then(|| udp.get(UDP_LEN..length)).flatten()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) as u16 + (folded >> 16) as u16)
}

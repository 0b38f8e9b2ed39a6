//! A number that stands for all that the nodes of a run have put out, in its order: another number, another behaviour.

use std::net::{IpAddr, SocketAddr};

/// What has been noted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transcript(u64);

impl Transcript {
    /// Notes a number.
    pub fn number(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.0 = mixed ^ mixed >> 32;
    }

    /// Notes bytes, and how many they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        for word in bytes.chunks(8) {
            let mut padded = [0; 8];
            padded[..word.len()].copy_from_slice(word);
            self.number(u64::from_le_bytes(padded));
        }
    }

    /// Notes an address.
    pub fn addr(&mut self, addr: SocketAddr) {
        match addr.ip() {
            IpAddr::V4(ip) => self.bytes(&ip.octets()),
            IpAddr::V6(ip) => self.bytes(&ip.octets()),
        }
        self.number(addr.port().into());
    }

    /// The number.
    pub fn sum(self) -> u64 {
        self.0
    }
}

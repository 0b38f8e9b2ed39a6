//! A board's settings as one line of text, wherever it comes from: a command line, the build's environment, a console.

use core::net::{Ipv4Addr, SocketAddrV4};

use embassy_net::{Ipv4Cidr, StaticConfigV4};
use heapless::{String, Vec};

/// Words `key=value`, separated by blanks; of a key that comes twice, the last counts:
///
/// | key | value | when missing |
/// |---|---|---|
/// | `name` | the node's name, at most 32 bytes | the application's choice, usually from the MAC address |
/// | `ip` | the board's address, as `10.77.0.11/24`; without a length, 24 | the board's choice, usually DHCP |
/// | `gateway` | router's address | none |
/// | `advertise` | `address:port` at which others reach the board, if a router translates | its own |
/// | `peers` | at most 8 `address:port`, separated by `/` | none |
/// | `key` | the fleet's key in base64, as `serf keygen` makes it (feature `seal`); what is in flash counts more | none: nothing is sealed |
/// | `operator` | an operator's public key, as `serf keygen -sign` prints it (feature `authority`) | none: whoever is in the fleet fires everything |
/// | `seed` | a number instead of the hardware's random bits, to repeat a run | random |
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The node's name.
    pub name: Option<String<32>>,
    /// Address and prefix length.
    pub ip: Option<Ipv4Cidr>,
    /// The router.
    pub gateway: Option<Ipv4Addr>,
    /// Where others reach the board.
    pub advertise: Option<SocketAddrV4>,
    /// Whom to join.
    pub peers: Vec<SocketAddrV4, 8>,
    /// The fleet's key.
    #[cfg(feature = "seal")]
    pub key: Option<Secret>,
    /// An operator's public key.
    #[cfg(feature = "authority")]
    pub operator: Option<[u8; 32]>,
    /// Instead of random bits.
    pub seed: Option<u64>,
}

/// A key, which nothing shows.
#[cfg(feature = "seal")]
#[derive(Clone, PartialEq)]
pub struct Secret(pub [u8; 32]);

#[cfg(feature = "seal")]
impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A word that cannot be used: its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub struct Invalid<'a>(pub &'a str);

impl Settings {
    /// Reads a line; words without `=` are skipped, unknown keys are not.
    ///
    /// # Errors
    /// The first word that is not understood.
    pub fn parse(line: &str) -> Result<Settings, Invalid<'_>> {
        let mut settings = Settings::default();
        for (key, value) in line.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
            settings.set(key, value).ok_or(Invalid(key))?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "name" if !value.is_empty() => self.name = Some(String::try_from(value).ok()?),
            "ip" => self.ip = Some(network(value)?),
            "gateway" => self.gateway = Some(address(value)?),
            "advertise" => self.advertise = Some(endpoint(value)?),
            "peers" => {
                self.peers.clear();
                for peer in value.split('/') {
                    self.peers.push(endpoint(peer)?).ok()?;
                }
            }
            #[cfg(feature = "seal")]
            "key" => self.key = Some(Secret(base64(value)?)),
            #[cfg(feature = "authority")]
            "operator" => self.operator = Some(base64(value)?),
            "seed" => self.seed = Some(number(value, u64::MAX)?),
            _ => return None,
        }
        Some(())
    }

    /// The network's configuration, if an address is set.
    pub fn network(&self) -> Option<StaticConfigV4> {
        let dns_servers = Default::default();
        Some(StaticConfigV4 { address: self.ip?, gateway: self.gateway, dns_servers })
    }
}

// In place of `FromStr`, which takes 1.7 KiB of a board's flash for this.

/// Decimal digits, without zeros in front.
fn number(text: &str, most: u64) -> Option<u64> {
    if text.is_empty() || text.len() > 1 && text.starts_with('0') {
        return None;
    }
    let mut value = 0u64;
    for byte in text.bytes() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(digit.into())?;
    }
    (value <= most).then_some(value)
}

/// 32 bytes in base64.
#[cfg(any(feature = "authority", feature = "seal"))]
fn base64(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_suffix('=').filter(|digits| digits.len() == 43)?;
    let (mut key, mut bits) = ([0; 32], 0u32);
    for (at, digit) in digits.bytes().enumerate() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        // Each digit but the first of four ends a byte.
        if at % 4 != 0 {
            *key.get_mut(at * 3 / 4)? = (bits >> (2 * (3 - at % 4))) as u8;
        }
    }
    (bits & 3 == 0).then_some(key)
}

fn address(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        *octet = number(parts.next()?, 255)? as u8;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

fn endpoint(text: &str) -> Option<SocketAddrV4> {
    let (host, port) = text.split_once(':')?;
    Some(SocketAddrV4::new(address(host)?, number(port, 65_535)? as u16))
}

fn network(text: &str) -> Option<Ipv4Cidr> {
    let (host, prefix) = text.split_once('/').unwrap_or((text, "24"));
    Some(Ipv4Cidr::new(address(host)?, number(prefix, 32)? as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_sets_what_it_names() {
        let line =
            "fw ip=10.77.0.11/16 gateway=10.77.0.1 name=lamp peers=10.77.0.1:7946/10.77.0.2:7946 seed=7";
        let settings = Settings::parse(line).unwrap();
        assert_eq!(settings.name.as_deref(), Some("lamp"));
        assert_eq!(settings.ip, Some(Ipv4Cidr::new(Ipv4Addr::new(10, 77, 0, 11), 16)));
        assert_eq!(settings.peers[1], SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), 7946));
        assert_eq!((settings.seed, settings.advertise), (Some(7), None));
        assert_eq!(Settings::parse("fw").unwrap(), Settings::default());
    }

    #[test]
    fn numbers_and_addresses_are_as_elsewhere() {
        assert_eq!(number("18446744073709551615", u64::MAX), Some(u64::MAX));
        for wrong in ["", "18446744073709551616", "01", "+1", "1a", "-1"] {
            assert_eq!(number(wrong, u64::MAX), None, "{wrong:?}");
        }
        assert_eq!(endpoint("255.0.0.1:65535"), "255.0.0.1:65535".parse().ok());
        for wrong in
            ["1.2.3.4.5:6", "1.2.3:4", "256.0.0.1:1", "1.2.3.4:65536", "1.2.3.4:", "1..3.4:5", "1.2.3.4:5:6"]
        {
            assert_eq!(endpoint(wrong), None, "{wrong:?}");
        }
    }

    #[cfg(any(feature = "authority", feature = "seal"))]
    #[test]
    fn a_key_is_32_bytes_in_base64() {
        let counted = base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        assert_eq!(counted, Some(core::array::from_fn(|at| at as u8)));
        assert_eq!(base64("//////////////////////////////////////////8="), Some([0xff; 32]));
        for wrong in [
            "",
            "AAAA",
            "//////////////////////////////////////////9=",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        ] {
            assert_eq!(base64(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_wrong_word_is_named() {
        for (line, key) in
            [("ip=10.77.0", "ip"), ("ip=1.2.3.4/33", "ip"), ("peers=1.2.3.4", "peers"), ("nmae=x", "nmae")]
        {
            assert_eq!(Settings::parse(line), Err(Invalid(key)));
        }
    }
}

//! A board's settings as one line of text, wherever it comes from: a command line, the build's environment, a console.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::str::FromStr;

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
    /// Instead of random bits.
    pub seed: Option<u64>,
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
        for (key, value) in line.split_whitespace().filter_map(|word| word.split_once('=')) {
            settings.set(key, value).ok_or(Invalid(key))?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "name" if !value.is_empty() => self.name = Some(String::try_from(value).ok()?),
            "ip" => self.ip = Some(network(value)?),
            "gateway" => self.gateway = Some(parse(value)?),
            "advertise" => self.advertise = Some(parse(value)?),
            "peers" => {
                self.peers.clear();
                for peer in value.split('/') {
                    self.peers.push(parse(peer)?).ok()?;
                }
            }
            "seed" => self.seed = Some(parse(value)?),
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

fn parse<T: FromStr>(value: &str) -> Option<T> {
    value.parse().ok()
}

fn network(value: &str) -> Option<Ipv4Cidr> {
    let (address, prefix) = value.split_once('/').unwrap_or((value, "24"));
    Some(Ipv4Cidr::new(parse(address)?, parse(prefix).filter(|bits| *bits <= 32)?))
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
    fn a_wrong_word_is_named() {
        for (line, key) in
            [("ip=10.77.0", "ip"), ("ip=1.2.3.4/33", "ip"), ("peers=1.2.3.4", "peers"), ("nmae=x", "nmae")]
        {
            assert_eq!(Settings::parse(line), Err(Invalid(key)));
        }
    }
}

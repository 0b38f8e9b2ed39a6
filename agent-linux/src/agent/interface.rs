//! The machine's own addresses: which one to listen at, and which one to tell the others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::address::AddressError;

/// An address of an interface, and which one of them that is to the system.
pub(crate) struct Own {
    ip: IpAddr,
    index: u32,
}

impl Own {
    /// Whether it is this one.
    pub(super) fn is(&self, ip: IpAddr) -> bool {
        self.ip == ip
    }
}

/// Where to listen on this interface, if `bind` is where to listen otherwise: bound to every address, its first one that is not
/// link-local (`0.0.0.0`: of either family; `[::]`: of IPv6); else `bind`, which must be one of its addresses, and is one of
/// this interface's network if it is link-local.
///
/// # Errors
/// What is wrong, in Serf's words.
pub fn listener_on(interface: &str, bind: SocketAddr) -> Result<SocketAddr, String> {
    listener(interface, bind, &addresses(interface)?)
}

/// The addresses of an interface.
///
/// # Errors
/// There is none of this name, or it has none.
pub(crate) fn addresses(interface: &str) -> Result<Vec<Own>, String> {
    let all = if_addrs::get_if_addrs().map_err(|error| error.to_string())?;
    let own = |one: &if_addrs::Interface| Own { ip: one.ip(), index: one.index.unwrap_or_default() };
    let of_it: Vec<Own> = all.iter().filter(|one| one.name == interface).map(own).collect();
    if of_it.is_empty() {
        let mut names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        return Err(format!(
            "Invalid network interface: there is no '{interface}' with an address, only {}",
            names.join(", ")
        ));
    }
    Ok(of_it)
}

fn listener(interface: &str, bind: SocketAddr, of_it: &[Own]) -> Result<SocketAddr, String> {
    if bind.ip().is_unspecified() {
        let usable = |own: &&Own| !is_link_local(own.ip) && (bind.is_ipv4() || own.ip.is_ipv6());
        let first = of_it.iter().find(usable).map(|own| SocketAddr::new(own.ip, bind.port()));
        return first.ok_or_else(|| {
            let error = format!("Failed to find usable address for interface '{interface}'");
            match of_it.iter().find(|own| own.ip.is_ipv6()) {
                Some(own) => format!("{error}: -bind=[{}] takes a link-local one", own.ip),
                None => error,
            }
        });
    }
    let Some(own) = of_it.iter().find(|own| own.ip == bind.ip()) else {
        let ips: Vec<String> = of_it.iter().map(|own| own.ip.to_string()).collect();
        return Err(format!(
            "Interface '{interface}' has no '{}' address for -bind; it has {}",
            bind.ip(),
            ips.join(", ")
        ));
    };
    Ok(match bind {
        SocketAddr::V6(mut bind) if is_link_local(own.ip) => {
            bind.set_scope_id(own.index);
            bind.into()
        }
        _ => bind,
    })
}

/// Whether it is an address of one network among those of this machine, 169.254.0.0/16 or fe80::/10.
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The address to advertise for a socket that is bound to `bound`: that very address, or for one bound to every
/// address of the machine the first private one (RFC 6890). With `[::]`, which is what [`super::socket::Socket`]
/// makes of both wildcards, IPv4 comes first and then IPv6; with `0.0.0.0` only IPv4 addresses are considered, as
/// nobody could reach the socket through another.
///
/// # Errors
/// [`AddressError::NoPrivateAddress`]: it has to be given with `-advertise`. A public address is never taken
/// unasked: it would open the gossip to the whole Internet.
pub fn advertised_ip(bound: IpAddr) -> Result<IpAddr, AddressError> {
    let bound = bound.to_canonical();
    if !bound.is_unspecified() {
        return Ok(bound);
    }
    let candidates = candidates(bound).map_err(AddressError::Interfaces)?;
    choose(candidates.into_iter()).map(|chosen| chosen.ip).ok_or(AddressError::NoPrivateAddress)
}

/// The interface that has this address.
pub(super) fn interface_of(ip: IpAddr) -> Option<String> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    interfaces.into_iter().find(|interface| interface.ip() == ip).map(|interface| interface.name)
}

/// What has come in the place of an address that [`advertised_ip`] had chosen: another one of its family, of the interface that had it or
/// of that of the default route, with this interface. `None`: it is still there.
///
/// # Errors
/// There is none.
pub(super) fn successor(
    bound: IpAddr,
    former: IpAddr,
    on: Option<&str>,
) -> Result<Option<(IpAddr, String)>, String> {
    succeed(candidates(bound.to_canonical())?, former, on)
}

fn succeed(
    candidates: Vec<Candidate>,
    former: IpAddr,
    on: Option<&str>,
) -> Result<Option<(IpAddr, String)>, String> {
    if candidates.iter().any(|candidate| candidate.ip == former) {
        return Ok(None);
    }
    // Others, as of a bridge for containers, are there on many machines at once.
    let in_place = |candidate: &Candidate| {
        let near = candidate.on_default_route || on == Some(&*candidate.interface);
        near && candidate.ip.is_ipv4() == former.is_ipv4()
    };
    let next = choose(candidates.into_iter().filter(in_place)).ok_or("no other one is in its place")?;
    Ok(Some((next.ip, next.interface)))
}

struct Candidate {
    ip: IpAddr,
    prefix: u8,
    interface: String,
    on_default_route: bool,
}

/// The addresses at which a socket that is bound there may be reached.
fn candidates(bound: IpAddr) -> Result<Vec<Candidate>, String> {
    let interfaces = if_addrs::get_if_addrs().map_err(|error| error.to_string())?;
    let default = default_interface();
    let candidates =
        interfaces.into_iter().filter(if_addrs::Interface::is_oper_up).map(|interface| Candidate {
            ip: interface.ip(),
            prefix: match &interface.addr {
                if_addrs::IfAddr::V4(v4) => v4.prefixlen,
                if_addrs::IfAddr::V6(v6) => v6.prefixlen,
            },
            on_default_route: default.as_deref() == Some(interface.name.as_str()),
            interface: interface.name,
        });
    Ok(candidates.filter(|candidate| bound.is_ipv6() || candidate.ip.is_ipv4()).collect())
}

/// Serf's order among private addresses: the interface of the default route, then IPv4, then the larger network.
fn choose(candidates: impl Iterator<Item = Candidate>) -> Option<Candidate> {
    candidates
        .filter(|candidate| is_private(candidate.ip))
        .min_by_key(|candidate| (!candidate.on_default_route, candidate.ip.is_ipv6(), candidate.prefix))
}

/// The special-purpose blocks of RFC 6890 that its tables call forwardable.
fn is_private(ip: IpAddr) -> bool {
    const V4: [([u8; 4], u8); 6] = [
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([172, 16, 0, 0], 12),
        ([192, 88, 99, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
    ];
    const V6: [([u16; 2], u8); 5] =
        [([0x64, 0xff9b], 96), ([0x100, 0], 64), ([0x2001, 0x2], 48), ([0x2002, 0], 16), ([0xfc00, 0], 7)];
    match ip {
        IpAddr::V4(ip) => V4.iter().any(|(block, prefix)| {
            (ip.to_bits() ^ Ipv4Addr::from(*block).to_bits()) >> (32 - u32::from(*prefix)) == 0
        }),
        IpAddr::V6(ip) => V6.iter().any(|([high, low], prefix)| {
            let block = Ipv6Addr::new(*high, *low, 0, 0, 0, 0, 0, 0);
            (ip.to_bits() ^ block.to_bits()) >> (128 - u32::from(*prefix)) == 0
        }),
    }
}

/// The interface of the IPv4 default route, from the kernel's table.
fn default_interface() -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/route").ok()?;
    default_in(&table)
}

/// Columns: interface, destination, gateway, flags, references, use, metric, mask. The lowest metric wins.
fn default_in(table: &str) -> Option<String> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_ascii_whitespace().collect();
            let is_default = columns.get(1) == Some(&"00000000") && columns.get(7) == Some(&"00000000");
            let metric: u32 = columns.get(6)?.parse().ok()?;
            is_default.then(|| (metric, columns[0].to_owned()))
        })
        .min_by_key(|(metric, _)| *metric)
        .map(|(_, interface)| interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Serf 0.9.4 does, but for `[::]`, which it looks for among the addresses.
    #[test]
    fn an_interface_gives_its_first_usable_address_or_must_have_the_one_that_is_asked_for() {
        let own = |ip: &str| Own { ip: ip.parse().unwrap(), index: 7 };
        let eth0 = ["169.254.1.1", "10.0.0.1", "10.0.0.2", "fe80::1", "fd00::1"].map(own);
        let on = |bind: &str, of: &[Own]| listener("eth0", bind.parse().unwrap(), of);
        for (bind, bound) in [
            ("0.0.0.0:5", "10.0.0.1:5"),
            ("[::]:5", "[fd00::1]:5"),
            ("10.0.0.2:5", "10.0.0.2:5"),
            ("[fe80::1]:5", "[fe80::1%7]:5"),
        ] {
            assert_eq!(on(bind, &eth0), Ok(bound.parse().unwrap()), "{bind}");
        }
        let error = on("10.0.0.3:5", &eth0[..2]).unwrap_err();
        assert_eq!(
            error,
            "Interface 'eth0' has no '10.0.0.3' address for -bind; it has 169.254.1.1, 10.0.0.1"
        );
        let error = on("0.0.0.0:5", &eth0[3..4]).unwrap_err();
        assert!(error.ends_with("interface 'eth0': -bind=[fe80::1] takes a link-local one"), "{error}");
        let error = listener_on("none", "0.0.0.0:0".parse().unwrap()).unwrap_err();
        assert!(
            error.starts_with("Invalid network interface: there is no 'none' with an address, only "),
            "{error}"
        );
    }

    fn chosen(of: &[(&str, u8, bool)]) -> Option<String> {
        let candidates = of.iter().map(|(ip, prefix, on_default_route)| Candidate {
            ip: ip.parse().unwrap(),
            prefix: *prefix,
            interface: String::new(),
            on_default_route: *on_default_route,
        });
        choose(candidates).map(|chosen| chosen.ip.to_string())
    }

    /// Each row was observed with Serf 0.9.4 in a network namespace.
    #[test]
    fn the_advertised_address_is_the_one_that_serf_takes() {
        let all = [("192.168.9.1", 24, false), ("10.1.0.1", 8, false), ("172.16.5.1", 30, false)];
        assert_eq!(chosen(&all).as_deref(), Some("10.1.0.1"));
        let routed = [("192.168.9.1", 24, true), ("10.1.0.1", 8, false)];
        assert_eq!(chosen(&routed).as_deref(), Some("192.168.9.1"));
        let documentation = [("192.0.2.2", 24, true), ("fd00::2", 64, true), ("fe80::1", 64, true)];
        assert_eq!(chosen(&documentation).as_deref(), Some("fd00::2"));
        assert_eq!(
            chosen(&[("8.8.4.4", 24, true), ("127.0.0.1", 8, false), ("169.254.1.1", 16, false)]),
            None
        );
        for taken in ["100.64.0.1", "198.18.0.1", "192.88.99.1", "172.31.255.255"] {
            assert_eq!(chosen(&[(taken, 24, false)]).as_deref(), Some(taken));
        }
        assert_eq!(chosen(&[("172.32.0.1", 12, false), ("198.20.0.1", 15, false)]), None);
    }

    #[test]
    fn an_address_is_followed_on_its_interface_and_to_the_default_route() {
        let candidate = |(ip, interface, on_default_route): (&str, &str, bool)| Candidate {
            ip: ip.parse().unwrap(),
            prefix: 24,
            interface: interface.to_owned(),
            on_default_route,
        };
        let next = |all: &[(&str, &str, bool)], on| {
            succeed(all.iter().copied().map(candidate).collect(), "10.0.0.5".parse().unwrap(), on)
                .map(|next| next.map(|(ip, interface)| format!("{ip} {interface}")))
        };
        let here = ("10.0.0.5", "eth0", true);
        let other = ("10.0.0.9", "eth0", false);
        let bridge = ("172.17.0.1", "docker0", false);
        let mobile = ("192.168.1.7", "wlan0", true);
        assert_eq!(next(&[bridge, mobile, here], Some("eth0")), Ok(None), "it is still there");
        assert_eq!(next(&[bridge, other], Some("eth0")), Ok(Some("10.0.0.9 eth0".to_owned())));
        assert_eq!(next(&[bridge, mobile], Some("eth0")), Ok(Some("192.168.1.7 wlan0".to_owned())));
        let public = ("8.8.8.8", "eth0", true);
        let other_family = ("fd00::5", "eth0", true);
        for none in [&[bridge][..], &[], &[public], &[other_family]] {
            assert!(next(none, Some("eth0")).is_err(), "a machine without a network waits for one");
        }
    }

    #[test]
    fn a_bound_address_is_advertised_as_it_is() {
        for bound in ["127.0.0.1", "::1", "8.8.8.8"] {
            let bound: IpAddr = bound.parse().unwrap();
            assert_eq!(advertised_ip(bound), Ok(bound));
        }
    }

    #[test]
    fn the_default_route_of_the_lowest_metric_counts() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                     wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
                     eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                     eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n";
        assert_eq!(default_in(table).as_deref(), Some("eth0"));
        assert_eq!(default_in(""), None);
    }
}

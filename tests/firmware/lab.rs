//! Boards and Linux hosts on one hub.

use std::io;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::board::{Board, Wiring};
use crate::harness::Scratch;
use crate::hub::{Hub, Namespace, Port, switch_offload_off};

/// A hub and what is plugged into it.
pub struct Lab {
    /// For faults, partitions and counters.
    pub hub: Hub,
    /// Where the hub's ends of the cables to Linux hosts are, out of sight of the machine's own network.
    closet: Namespace,
    scratch: Scratch,
    boards: AtomicU8,
    hosts: AtomicU8,
}

impl Lab {
    /// An empty one.
    ///
    /// # Panics
    /// Without the right to make network namespaces.
    pub fn new(seed: u64) -> Lab {
        let closet = Namespace::new().expect("as root, or inside of `unshare -Ur`, as tests/run does it");
        let hub = Hub::new(seed).expect("loopback works");
        Lab { hub, closet, scratch: Scratch::new(), boards: AtomicU8::new(0), hosts: AtomicU8::new(0) }
    }

    /// A board with the firmware of this name, not yet switched on. Their addresses are 10.77.0.101, 102, ..; `settings`
    /// are further words `key=value`.
    pub fn board(&self, firmware: &str, name: &str, settings: &[&str]) -> Board {
        let number = self.boards.fetch_add(1, Ordering::Relaxed) + 1;
        let (port, netdev) = self.hub.port_dgram().expect("a loopback port is free");
        let ip = Ipv4Addr::new(10, 77, 0, 100 + number);
        let mut words = vec![format!("name={name}"), format!("ip={ip}/24")];
        words.extend(settings.iter().map(|word| (*word).to_owned()));
        let mac = [0x52, 0x54, 0x00, 0x4d, 0x00, number];
        Board::new(firmware, name, Wiring { ip, port, netdev, mac }, words, self.scratch.clone())
    }

    /// A Linux host, that is a namespace with its own address: 10.77.0.1, 2, ..
    pub fn linux(&self) -> Linux {
        let number = self.hosts.fetch_add(1, Ordering::Relaxed) + 1;
        let ip = Ipv4Addr::new(10, 77, 0, number);
        let namespace = Namespace::new().expect("the lab could make one too");
        let (ours, theirs) = (format!("hub{number}"), format!("host{number}"));
        let port = self.closet.enter(|| {
            ip_command(&format!("link add {ours} type veth peer name {theirs}"));
            switch_offload_off(&theirs).expect("the interface is ours");
            ip_command(&format!("link set {ours} up addrgenmode none"));
            ip_command(&format!("link set {theirs} netns {} name eth0", namespace.path()));
            self.hub.port_veth(&ours).expect("the interface is ours")
        });
        namespace.enter(|| {
            ip_command("link set lo up");
            ip_command(&format!("address add {ip}/24 dev eth0"));
            ip_command("link set eth0 up addrgenmode none");
        });
        Linux { namespace, ip, port }
    }
}

/// A Linux host.
pub struct Linux {
    namespace: Namespace,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its place in the hub.
    pub port: Port,
}

impl Linux {
    /// Runs `work` on it: sockets that it opens and processes that it starts belong to this host.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.enter(work)
    }
}

#[track_caller]
fn ip_command(arguments: &str) {
    let run =
        || -> io::Result<_> { Command::new("ip").args(arguments.split(' ')).stdin(Stdio::null()).output() };
    let output = run().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

//! Finding a cluster on the networks that this machine is in, by mDNS (RFC 6762), as Serf does: each agent says where it is as
//! an instance of the service `_serf_NAME._tcp`, and looks who else is there.
//!
//! Looking is what costs: each look is one question, that all agents answer. So a look is short and asks once; an agent that is
//! alone looks again after 1, 2, 4, ... 60 s, one of N members after N minutes, so that all of them together look once a minute. Who
//! comes finds them by its own looks.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use mdns_sd::{IfKind, ScopedIp, ServiceDaemon, ServiceEvent, ServiceInfo, TxtProperty};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::handle::WeakHandle;
use super::model::Status;
use super::seeds::jittered;

/// The longest name: of a service's 30 bytes, `serf_` has five.
pub const NAME_MAX: usize = 25;

/// The longest part of a name in DNS, in bytes.
const LABEL_MAX: usize = 63;

/// How long answers to a question are waited for: longer than they are held back (120 ms), shorter than until the question is asked
/// again (1 s).
const LOOK: Duration = Duration::from_millis(900);

/// After how long one that is alone looks for the second time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How often one that is alone looks in the end, and all members of a cluster together.
const PAUSE: Duration = Duration::from_secs(60);

/// So many addresses are joined after a look, of which one is enough; others may be after the next one.
const MOST_JOINED: usize = 64;

/// So many addresses are remembered as tried; of more all are forgotten.
const MOST_TRIED: usize = 4_096;

/// Which cluster to find, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// What the cluster is called here, 1 to [`NAME_MAX`] bytes of letters, digits, `-` and `_`.
    pub name: String,
    /// The only network interface to use; `None`: all.
    pub interface: Option<String>,
    /// Whether not to use IPv4.
    pub disable_ipv4: bool,
    /// Whether not to use IPv6.
    pub disable_ipv6: bool,
}

impl Discovery {
    /// Whether a cluster can be called `name` here.
    pub fn is_name(name: &str) -> bool {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=NAME_MAX).contains(&name.len())
            && name.bytes().all(known)
            && !name.contains("--")
            && !name.ends_with('-')
    }

    /// Says where this agent, `node`, is, and joins whom it finds; each once, and again when no other member is alive. Ends with the agent.
    pub(crate) async fn run(
        self,
        agent: WeakHandle,
        node: String,
        mut address: watch::Receiver<SocketAddr>,
        replay: bool,
    ) {
        let (mut tried, mut pause) = (HashSet::<SocketAddr>::new(), FIRST_PAUSE);
        let mut said: Option<(SocketAddr, ServiceDaemon)> = None;
        loop {
            let own = *address.borrow_and_update();
            if said.as_ref().is_none_or(|(before, _)| *before != own) {
                if let Some((_, daemon)) = said.take() {
                    let _ = daemon.shutdown();
                }
                match self.say(&node, own) {
                    // It is said as long as this lives.
                    Ok(daemon) => said = Some((own, daemon)),
                    // It is tried again after the next look.
                    Err(error) => {
                        log::error!(target: "agent.mdns", "Failed to announce this agent: {error}");
                    }
                }
            }
            let found = match self.look().await {
                Ok(found) => found,
                Err(error) => {
                    log::warn!(target: "agent.mdns", "Failed to look for others: {error}");
                    BTreeSet::new()
                }
            };
            let Some(handle) = agent.upgrade() else { return };
            let Ok(members) = handle.members().await else { return };
            let alive: HashSet<SocketAddr> = members
                .iter()
                .filter(|member| member.status == Status::Alive)
                .map(|member| SocketAddr::new(member.addr, member.port))
                .collect();
            if alive.len() <= 1 || tried.len() > MOST_TRIED {
                tried.clear();
            }
            let new = |addr: &SocketAddr| *addr != own && !alive.contains(addr) && !tried.contains(addr);
            let new: Vec<SocketAddr> = found.into_iter().filter(new).take(MOST_JOINED).collect();
            tried.extend(&new);
            let addresses: Vec<String> = new.iter().map(SocketAddr::to_string).collect();
            if !addresses.is_empty() {
                log::info!(target: "agent.mdns", "Joining hosts {}", addresses.join(" "));
                match handle.join(addresses, replay).await {
                    Ok(count) => log::info!(target: "agent.mdns", "Joined {count} hosts"),
                    Err(error) => log::warn!(target: "agent.mdns", "Failed to join: {error}"),
                }
            }
            drop(handle);
            let wait = if alive.len() <= 1 {
                let wait = pause;
                pause = (pause * 2).min(PAUSE);
                wait
            } else {
                pause = FIRST_PAUSE;
                // Three quarters of it, on the average.
                jittered(PAUSE * alive.len() as u32 * 4 / 3)
            };
            if let Ok(Err(_)) = timeout(wait, address.changed()).await {
                return;
            }
        }
    }

    fn service(&self) -> String {
        format!("_serf_{}._tcp.local.", self.name)
    }

    /// What speaks mDNS on the interfaces that are to be used.
    fn daemon(&self) -> mdns_sd::Result<ServiceDaemon> {
        let daemon = ServiceDaemon::new()?;
        if let Some(interface) = &self.interface {
            daemon.disable_interface(IfKind::All)?;
            daemon.enable_interface(interface)?;
        }
        if self.disable_ipv4 {
            daemon.disable_interface(IfKind::IPv4)?;
        }
        if self.disable_ipv6 {
            daemon.disable_interface(IfKind::IPv6)?;
        }
        Ok(daemon)
    }

    fn say(&self, node: &str, own: SocketAddr) -> mdns_sd::Result<ServiceDaemon> {
        let daemon = self.daemon()?;
        daemon.set_service_name_len_max((NAME_MAX + "serf_".len()) as u8)?;
        // One machine may have several agents, each at its own address.
        let host = format!("serf-{}-{}", own.ip(), own.port()).replace([':', '.'], "-") + ".local.";
        let whole = |end: &usize| node.is_char_boundary(*end);
        let node = &node[..(0..=LABEL_MAX.min(node.len())).rev().find(whole).unwrap_or_default()];
        let text = vec![TxtProperty::from(&*format!("Serf '{}' cluster", self.name))];
        daemon.register(ServiceInfo::new(&self.service(), node, &host, own.ip(), own.port(), text)?)?;
        Ok(daemon)
    }

    /// Who answers.
    async fn look(&self) -> mdns_sd::Result<BTreeSet<SocketAddr>> {
        let daemon = self.daemon()?;
        let events = daemon.browse(&self.service())?;
        let until = Instant::now() + LOOK;
        let mut found = BTreeSet::new();
        while let Ok(Ok(event)) = timeout_at(until, events.recv_async()).await {
            if let ServiceEvent::ServiceResolved(service) = event {
                let at = |ip: &ScopedIp| SocketAddr::new(ip.to_ip_addr(), service.port);
                found.extend(service.addresses.iter().map(at));
            }
        }
        daemon.shutdown()?;
        Ok(found)
    }
}

//! A DNS server that answers what a test tells it to.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Address, Scratch};

/// What a name has.
#[derive(Clone, Debug)]
pub enum Record {
    /// An address: A or AAAA.
    Address(IpAddr),
    /// SRV: port and target, all of one priority.
    Service(u16, String),
}

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct Dns {
    at: SocketAddr,
    names: Arc<Mutex<HashMap<String, Vec<Record>>>>,
    over: Arc<AtomicBool>,
    scratch: Scratch,
}

impl Dns {
    /// One that knows no name, at the port of DNS. `None` where that is not allowed.
    pub fn start() -> Option<Dns> {
        let at = SocketAddr::new(Address::unused().gossip.ip(), 53);
        let socket = UdpSocket::bind(at).ok()?;
        let wake = Some(Duration::from_millis(100));
        socket.set_read_timeout(wake).expect("it is not zero");
        let dns = Dns { at, names: Arc::default(), over: Arc::default(), scratch: Scratch::new() };
        let (names, over) = (dns.names.clone(), dns.over.clone());
        thread::spawn(move || {
            let mut packet = [0; 512];
            while !over.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
                let names = names.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(answer) = answer(&packet[..length], &names) {
                    // Whoever has asked may have gone.
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Some(dns)
    }

    /// What the name has from now on, and nothing else.
    pub fn tell(&self, name: &str, records: Vec<Record>) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), records);
    }

    /// A `resolv.conf` that names this server.
    pub fn resolv_conf(&self) -> PathBuf {
        let text = format!("nameserver {}\noptions timeout:1 attempts:1\n", self.at.ip());
        self.scratch.write("resolv.conf", &text)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The answer to one question; RFC 1035, section 4.
fn answer(asked: &[u8], names: &HashMap<String, Vec<Record>>) -> Option<Vec<u8>> {
    let (mut name, mut end) = (Vec::new(), 12);
    loop {
        let length = usize::from(*asked.get(end)?);
        let label = asked.get(end + 1..end + 1 + length)?;
        end += 1 + length;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(label).into_owned());
    }
    let question = asked.get(12..end + 4)?;
    let kind = u16::from_be_bytes([asked[end], asked[end + 1]]);
    let known = names.get(&name.join("."));
    let bodies: Vec<Vec<u8>> = known.into_iter().flatten().filter_map(|record| body(record, kind)).collect();
    let mut answer = asked[..2].to_vec();
    // An answer, as asked for; no such name, if it has nothing.
    answer.extend([0x81, if known.is_some() { 0x80 } else { 0x83 }]);
    answer.extend([0, 1, 0, bodies.len() as u8, 0, 0, 0, 0]);
    answer.extend(question);
    for body in bodies {
        // The name of the question, Internet, for no time.
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 0]);
        answer.extend((body.len() as u16).to_be_bytes());
        answer.extend(body);
    }
    Some(answer)
}

/// A record's data, if it is of the kind that is asked for.
fn body(record: &Record, kind: u16) -> Option<Vec<u8>> {
    match (record, kind) {
        (Record::Address(IpAddr::V4(ip)), 1) => Some(ip.octets().to_vec()),
        (Record::Address(IpAddr::V6(ip)), 28) => Some(ip.octets().to_vec()),
        (Record::Service(port, target), 33) => {
            let mut body = vec![0, 1, 0, 1];
            body.extend(port.to_be_bytes());
            for label in target.split('.') {
                body.push(label.len() as u8);
                body.extend(label.as_bytes());
            }
            body.push(0);
            Some(body)
        }
        _ => None,
    }
}

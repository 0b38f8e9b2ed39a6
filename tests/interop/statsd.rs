//! What agents of both kinds tell statsd.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use crate::harness::{Address, Scratch, Setup, debian, ours, wait_until};

/// Names and types of what an agent tells while another one comes, changes its tags and leaves.
fn told(binary: &Path, wanted: &[&str]) -> BTreeSet<String> {
    let scratch = Scratch::new();
    let at = SocketAddr::new(Address::unused().rpc.ip(), 8125);
    let statsd = UdpSocket::bind(at).expect("the address was free");
    statsd.set_read_timeout(Some(Duration::from_millis(20))).expect("a time");
    let file = scratch.write("serf.json", &format!("{{\"statsd_addr\": \"{at}\"}}"));
    let first = Setup::new("n1").binary(binary).arg(format!("-config-file={}", file.display())).start();
    let other = Setup::new("n2").binary(binary).join(&first).start();
    first.wait_sees("n2", "alive");
    // Told of one after the other, once the join has been.
    wait_until("the join at the handler", || first.recorder().count("member-join", "n2") == 1);
    assert_eq!(other.cli(["tags", "-set", "role=web"]).code, 0);
    wait_until("the tags at the handler", || first.recorder().count("member-update", "n2") == 1);
    assert_eq!(other.cli(["leave"]).code, 0);
    let mut names = BTreeSet::new();
    wait_until("what is wanted", || {
        let mut buf = [0; 2048];
        while let Ok(len) = statsd.recv(&mut buf) {
            let text = String::from_utf8_lossy(&buf[..len]).into_owned();
            names.extend(text.lines().filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                Some(format!("{name}|{}", value.split_once('|')?.1))
            }));
        }
        wanted.iter().all(|name| names.contains(*name))
    });
    names
}

#[test]
fn what_both_kinds_of_agents_tell_has_one_name() {
    // What Debian's tells at all: other names of Serf's are lost in it between two libraries.
    let both = [
        "serf-agent.memberlist.udp.received|c",
        "serf-agent.memberlist.udp.sent|c",
        "serf-agent.serf.member.left|c",
        "serf-agent.serf.member.update|c",
    ];
    told(debian(), &both);
    let ours = told(ours(), &both);
    assert!(ours.iter().all(|name| name.starts_with("serf-agent.")), "{ours:?}");
}

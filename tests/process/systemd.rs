//! What systemd is told, by a socket of ours in the place of its own; and the unit that is shipped.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Address, Scratch, Setup, wait_until};

/// Where an agent reports.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn new(at: &Path) -> Manager {
        let socket = UnixDatagram::bind(at).expect("a scratch folder");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time");
        Manager { socket, heard: Vec::new() }
    }

    /// How often it has been told this by now.
    fn count(&mut self, line: &str) -> usize {
        let mut buf = [0; 512];
        while let Ok(len) = self.socket.recv(&mut buf) {
            let text = String::from_utf8_lossy(&buf[..len]);
            self.heard.extend(text.lines().map(str::to_owned));
        }
        self.heard.iter().filter(|heard| heard.starts_with(line)).count()
    }
}

#[test]
fn it_is_told_when_an_agent_has_joined_reloads_lives_and_ends() {
    let scratch = Scratch::new();
    let (at, seen) = (scratch.file("notify"), scratch.file("seen"));
    let mut manager = Manager::new(&at);
    let later = Address::unused();
    let notify = [format!("NOTIFY_SOCKET={}", at.display()), "WATCHDOG_USEC=400000".to_owned()];
    let handler = format!("-event-handler=user:look=env > {}", seen.display());
    let setup = Setup::new("n1").through([&["env".to_owned()][..], &notify].concat());
    let setup = setup.arg(format!("-retry-join={}", later.gossip)).arg("-retry-interval=1s").arg(handler);
    let mut agent = setup.start();
    wait_until("life", || manager.count("WATCHDOG=1") > 2);
    assert_eq!((manager.count("READY=1"), manager.count("STATUS=joining") > 0), (0, true));
    let _seed = Setup::new("seed").at(later).start();
    wait_until("the join", || manager.count("READY=1") == 1);
    agent.signal("HUP");
    wait_until("the reload", || manager.count("READY=1") == 2);
    assert_eq!((manager.count("RELOADING=1"), manager.count("MONOTONIC_USEC=")), (1, 1));
    assert_eq!(agent.cli(["event", "-coalesce=false", "look"]).code, 0);
    wait_until("the handler", || fs::read_to_string(&seen).is_ok_and(|seen| seen.contains("SERF_EVENT=")));
    let environment = fs::read_to_string(&seen).expect("it was there");
    assert!(!environment.contains("NOTIFY_SOCKET") && !environment.contains("WATCHDOG"), "{environment}");
    // While the run loop stands still, nobody says that it lives.
    agent.signal("STOP");
    wait_until("what was said before", || {
        let before = manager.count("WATCHDOG=1");
        std::thread::sleep(Duration::from_millis(500));
        manager.count("WATCHDOG=1") == before
    });
    agent.signal("CONT");
    agent.end_by("INT");
    assert!(manager.count("STOPPING=1") > 0);
}

/// How much of the system a service could harm, from 0 to 10, as systemd says.
#[test]
fn the_unit_that_is_shipped_can_be_locked_up() {
    let scratch = Scratch::new();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("packaging/systemd");
    let folder = scratch.folder("units");
    fs::copy(shipped.join("serf.service"), folder.join("serf.service")).expect("it is shipped");
    fs::create_dir(folder.join("serf.service.d")).expect("a scratch folder");
    fs::copy(shipped.join("hardened.conf"), folder.join("serf.service.d/hardened.conf"))
        .expect("it is shipped");
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "./serf.service"]).current_dir(&folder);
    let said = analyze.output().expect("systemd is installed: apt-get install systemd");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let level = text.lines().find_map(|line| line.split_once("exposure level for serf.service: "));
    let level = level.and_then(|(_, level)| level.split(' ').next()?.parse::<f64>().ok());
    assert!(level.is_some_and(|level| level <= 2.0), "{text}{}", String::from_utf8_lossy(&said.stderr));
}

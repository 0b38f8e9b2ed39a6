//! One board: a QEMU process, its log, its console, and a memory that outlives it.

use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::harness::{Scratch, wait_until};
use crate::hub::Port;
use crate::image;
use crate::log;
use crate::report::{self, Report};

/// Bytes of stack that its memory.x gives it.
pub const STACK: usize = 16 * 1024;

/// How it is connected.
pub struct Wiring {
    pub ip: Ipv4Addr,
    pub port: Port,
    /// Of QEMU's `-netdev`, all but the identifier.
    pub netdev: String,
    pub mac: [u8; 6],
}

/// A board, which can be switched on and off any number of times.
pub struct Board {
    name: String,
    elf: PathBuf,
    wiring: Wiring,
    settings: Vec<String>,
    scratch: Scratch,
    /// Of QEMU's `-icount`, if its instructions are counted.
    pace: Option<&'static str>,
    lines: Arc<Mutex<Vec<String>>>,
    power: Option<Power>,
}

struct Power {
    child: Child,
    reader: JoinHandle<()>,
}

impl Board {
    pub fn new(firmware: &str, name: &str, wiring: Wiring, settings: Vec<String>, scratch: Scratch) -> Board {
        let (name, elf) = (name.to_owned(), image::build("qemu-mps2", firmware));
        Board { name, elf, wiring, settings, scratch, pace: None, lines: Arc::default(), power: None }
    }

    /// Gives it a processor whose instructions take some time: QEMU's `-icount`.
    pub fn set_pace(&mut self, icount: &'static str) {
        self.pace = Some(icount);
    }

    /// Its node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn ip(&self) -> Ipv4Addr {
        self.wiring.ip
    }

    /// Its Ethernet address.
    pub fn mac(&self) -> [u8; 6] {
        self.wiring.mac
    }

    /// Its place in the hub.
    pub fn port(&self) -> Port {
        self.wiring.port
    }

    /// Time that the host has spent on it since it was switched on, to a hundredth of a second.
    pub fn cpu_time(&self) -> Duration {
        let pid = self.power.as_ref().expect("it is on").child.id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        // Fields 14 and 15 in all; the second one, a name in parentheses, may contain blanks.
        let (_, fields) = stat.rsplit_once(')').expect("proc(5) says so");
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
        Duration::from_millis(10 * ticks)
    }

    /// Switches it on.
    pub fn switch_on(&mut self) {
        assert!(self.power.is_none(), "{} is on already", self.name);
        let create = |path: PathBuf| File::options().create(true).append(true).open(path);
        let errors = create(self.errors()).expect("the scratch folder can be written");
        let mut child = self.command().stderr(errors).spawn().expect("tests/qemu can be run");
        let output = child.stdout.take().expect("it was asked for");
        let (elf, lines) = (self.elf.clone(), Arc::clone(&self.lines));
        let reader = thread::spawn(move || {
            let keep = |line| lines.lock().expect("nobody panics while holding it").push(line);
            log::decode(&elf, output, false, keep).expect("the firmware logs by defmt");
        });
        self.power = Some(Power { child, reader });
    }

    /// Takes its power away, at whatever it is doing.
    pub fn switch_off(&mut self) {
        let Some(Power { mut child, reader }) = self.power.take() else { return };
        // Both fail only if it has ended already.
        let _ = child.kill();
        let _ = child.wait();
        // It has read all there was.
        let _ = reader.join();
    }

    /// How QEMU has ended, if it has: by the firmware's own wish, or because the processor could not go on.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.power.as_mut()?.child.try_wait().expect("it is our child")
    }

    /// Presses its button.
    pub fn press(&mut self) {
        self.write_console("\n");
    }

    /// Presses it for long.
    pub fn press_long(&mut self) {
        self.write_console("?\n");
    }

    /// Most bytes of its stack that have been in use since it started.
    #[track_caller]
    pub fn stack_used(&mut self) -> usize {
        report::stack_used(&self.ask("stack: "))
    }

    /// What its node knows and has counted.
    #[track_caller]
    pub fn report(&mut self) -> Report {
        Report::parse(&self.ask("counted: "))
    }

    /// Presses its button for long; what it has logged when this line has come.
    #[track_caller]
    fn ask(&mut self, last: &str) -> Vec<String> {
        let answered = self.count(last);
        self.press_long();
        self.wait_lines(last, answered + 1);
        self.lines()
    }

    /// Payloads of the events of this name that it has handled, over all its starts.
    pub fn heard(&self, event: &str) -> Vec<String> {
        let start = format!("event b\"{event}\": b\"");
        let payload = |line: &String| {
            let (_, rest) = line.split_once(&start)?;
            rest.split_once("\", LTime ").map(|(payload, _)| payload.to_owned())
        };
        self.lines().iter().filter_map(payload).collect()
    }

    fn write_console(&mut self, text: &str) {
        let power = self.power.as_mut().expect("it is on");
        let console = power.child.stdin.as_mut().expect("it was asked for");
        console.write_all(text.as_bytes()).expect("QEMU reads its console");
    }

    /// Its log since it was made, over all its starts.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("nobody panics while holding it").clone()
    }

    /// How many lines of its log contain `text`.
    pub fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until `times` lines of its log contain `text`.
    #[track_caller]
    pub fn wait_lines(&self, text: &str, times: usize) {
        wait_until(&format!("{times} lines with {text:?} from {}", self.name), || self.count(text) >= times);
    }

    fn errors(&self) -> PathBuf {
        self.scratch.file(&format!("{}.stderr", self.name))
    }

    fn command(&self) -> Command {
        let memory = self.scratch.file(&format!("{}.psram", self.name));
        let words: String = self.settings.iter().map(|word| format!(",arg={word}")).collect();
        let netdev = &self.wiring.netdev;
        let mac = self.wiring.mac.map(|byte| format!("{byte:02x}")).join(":");
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("qemu"));
        command
            .args([
                "-M",
                "mps2-an385,memory-backend=psram",
                "-nodefaults",
                "-display",
                "none",
                "-monitor",
                "none",
            ])
            .args([
                "-object",
                &format!("memory-backend-file,id=psram,size=16M,share=on,mem-path={}", memory.display()),
            ])
            .args(["-chardev", "stdio,id=console", "-serial", "chardev:console"])
            .args(["-semihosting-config", &format!("enable=on,target=native,arg=firmware{words}")])
            .args([
                "-netdev",
                &format!("dgram,id=cable,{netdev}"),
                "-net",
                &format!("nic,netdev=cable,macaddr={mac}"),
            ])
            .args(self.pace.iter().flat_map(|icount| ["-icount", icount]))
            .arg("-kernel")
            .arg(&self.elf)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.switch_off();
        if thread::panicking() {
            let lines = self.lines();
            let last = &lines[lines.len().saturating_sub(60)..];
            let errors = fs::read_to_string(self.errors()).unwrap_or_default();
            eprintln!("---- {}\n{}\n{errors}", self.name, last.join("\n"));
        }
    }
}

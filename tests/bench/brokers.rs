//! Events beside a broker: one of ours at each of some agents, and mosquitto with as many subscribers, read in the same way.
//!
//! Each payload holds its number between two marks, by which it is known in whatever stands around it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use crate::fleet::{Fleet, median};
use crate::harness::{wait_for, wait_quiet, wait_until};
use crate::phases::Figures;
use crate::proc::{cpu_seconds, resident};
use crate::table::Goal::{AtLeast, AtMost};
use crate::table::{Goal, head, judged, number, row};

/// Single events, so far apart, and bursts of so many.
const SINGLE: usize = 50;
const PAUSE: Duration = Duration::from_millis(200);
const BURSTS: usize = 5;
const BURST: usize = 2_000;
const IDLE: Duration = Duration::from_secs(10);
/// After the start: links are taken for clean once sixteen probes have been answered.
const SETTLE: Duration = Duration::from_secs(15);
const BETWEEN: Duration = Duration::from_millis(2_500);
/// Of them all.
const EVENTS: usize = SINGLE + BURSTS * BURST;
/// Around the number in a payload.
const MARK: u8 = b'#';
const DIGITS: usize = 6;
/// Bytes of a payload.
pub const PAYLOAD: usize = DIGITS + 2;

pub fn payload(number: usize) -> Vec<u8> {
    format!("#{number:0DIGITS$}#").into_bytes()
}

/// When one reader saw each event, in nanoseconds since the start, and which it saw twice.
pub struct Seen {
    at: Vec<AtomicU64>,
    count: AtomicU32,
    twice: AtomicU32,
}

impl Seen {
    pub fn new() -> Arc<Seen> {
        let at = (0..EVENTS).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Seen { at, count: AtomicU32::new(0), twice: AtomicU32::new(0) })
    }

    /// Notes the numbers that stand in these bytes; how many bytes at their end may be the beginning of one.
    fn note(&self, bytes: &[u8], began: Instant) -> usize {
        let now = began.elapsed().as_nanos() as u64;
        let mut at = 0;
        while let Some(start) = bytes[at..].iter().position(|byte| *byte == MARK).map(|found| at + found) {
            let Some(rest) = bytes.get(start + 1..start + 2 + DIGITS) else { return bytes.len() - start };
            let number =
                std::str::from_utf8(&rest[..DIGITS]).ok().and_then(|text| text.parse::<usize>().ok());
            at = start + 1;
            if let Some(number) = number.filter(|number| *number < EVENTS && rest[DIGITS] == MARK) {
                at = start + 2 + DIGITS;
                if self.at[number].swap(now, Ordering::Relaxed) != 0 {
                    self.twice.fetch_add(1, Ordering::Relaxed);
                }
                self.count.fetch_add(1, Ordering::Release);
            }
        }
        0
    }
}

/// Who publishes, and those who listen.
pub struct Subject {
    pub began: Instant,
    pub publisher: Box<dyn Publisher>,
    pub seen: Vec<Arc<Seen>>,
    pub pids: Vec<u32>,
}

pub trait Publisher {
    /// Publishes events of these numbers, in one write.
    fn publish(&mut self, numbers: std::ops::Range<usize>);
}

impl Subject {
    fn cpu(&self) -> f64 {
        self.pids.iter().map(|pid| cpu_seconds(*pid)).sum()
    }

    /// Waits until all have seen so many.
    fn wait(&self, count: usize) {
        wait_until("all events", || {
            sleep(Duration::from_micros(500));
            self.seen.iter().all(|seen| seen.count.load(Ordering::Acquire) as usize >= count)
        });
    }

    /// Events one by one: until the last reader has it, and what each costs a node in CPU time beside so much at rest.
    pub fn singles(&mut self, idle: f64) -> [(&'static str, f64); 2] {
        let (mut all, began, before) = (Vec::new(), Instant::now(), self.cpu());
        for number in 0..SINGLE {
            let fired = self.began.elapsed().as_nanos() as u64;
            self.publisher.publish(number..number + 1);
            self.wait(number + 1);
            let last =
                self.seen.iter().map(|seen| seen.at[number].load(Ordering::Relaxed)).max().unwrap_or(0);
            all.push((last - fired) as f64 / 1e6);
            sleep(PAUSE);
        }
        let single = self.cpu() - before - idle * began.elapsed().as_secs_f64();
        let single = single / SINGLE as f64 / self.seen.len() as f64;
        [("all_ms", median(&all)), ("single_us", single * 1e6)]
    }

    fn measure(mut self) -> Figures {
        let nodes = self.seen.len() as f64;
        sleep(SETTLE);
        let before = self.cpu();
        sleep(IDLE);
        let idle = (self.cpu() - before) / IDLE.as_secs_f64();
        let rss = self.pids.iter().map(|pid| resident(*pid)).sum::<f64>() / 1024.0 / self.pids.len() as f64;

        let [all_ms, single_us] = self.singles(idle);
        let (mut bursts, mut burst_cpu) = (Vec::new(), 0.0);
        for turn in 0..BURSTS {
            sleep(BETWEEN);
            let first = SINGLE + turn * BURST;
            let (began, before) = (Instant::now(), self.cpu());
            let fired = self.began.elapsed().as_nanos() as u64;
            self.publisher.publish(first..first + BURST);
            wait_quiet("the burst to end", Duration::from_secs(2), || {
                self.seen.iter().map(|seen| seen.count.load(Ordering::Acquire)).sum::<u32>()
            });
            let times = self.seen.iter().flat_map(|seen| &seen.at[first..first + BURST]);
            let last = times.map(|at| at.load(Ordering::Relaxed)).max().unwrap_or(0);
            bursts.push((last.saturating_sub(fired)) as f64 / 1e9);
            burst_cpu += self.cpu() - before - idle * began.elapsed().as_secs_f64();
        }
        let once = |seen: &Arc<Seen>| {
            let missing = seen.at.iter().filter(|at| at.load(Ordering::Relaxed) == 0).count();
            EVENTS - missing - seen.twice.load(Ordering::Relaxed) as usize
        };
        let delivered = self.seen.iter().map(once).sum::<usize>() as f64 / (nodes * EVENTS as f64);
        let all = [
            all_ms,
            ("burst_s", median(&bursts)),
            ("once_percent", delivered * 100.0),
            single_us,
            ("delivery_us", burst_cpu / (BURSTS * BURST) as f64 / nodes * 1e6),
            ("idle_percent", idle / nodes * 100.0),
            ("rss_mib", rss),
        ];
        all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

// ---- ours ----

struct Agent {
    rpc: TcpStream,
    seq: u64,
}

impl Publisher for Agent {
    fn publish(&mut self, numbers: std::ops::Range<usize>) {
        let mut bytes = Vec::new();
        for number in numbers {
            self.seq += 1;
            bytes.extend(b"\x82\xa7Command\xa5event\xa3Seq\xcf");
            bytes.extend(self.seq.to_be_bytes());
            bytes.extend(b"\x83\xa4Name\xa1e\xa7Payload\xc4\x08");
            bytes.extend(payload(number));
            bytes.extend(b"\xa8Coalesce\xc2");
        }
        self.rpc.write_all(&bytes).expect("the agent reads");
    }
}

/// Agents, each with one reader of its events.
pub fn agents(binary: &Path, count: usize) -> Figures {
    let mut fleet = Fleet::start(binary, count);
    fleet.streams.clear();
    let (began, mut seen) = (Instant::now(), Vec::new());
    for agent in &fleet.agents {
        let mut rpc = connected(agent.address().rpc);
        rpc.write_all(b"\x82\xa7Command\xa6stream\xa3Seq\x02\x81\xa4Type\xa4user").expect("the agent reads");
        let noted = Seen::new();
        seen.push(noted.clone());
        reader(rpc, noted, began);
    }
    let rpc = connected(fleet.agents[0].address().rpc);
    let mut answers = rpc.try_clone().expect("a descriptor");
    spawn(move || while answers.read(&mut [0; 65_536]).is_ok_and(|read| read > 0) {});
    let publisher = Box::new(Agent { rpc, seq: 10 });
    let pids = fleet.agents.iter().map(|agent| agent.pid()).collect();
    let subject = Subject { began, publisher, seen, pids };
    let figures = subject.measure();
    drop(fleet);
    figures
}

/// A connection to an agent's RPC after the handshake.
fn connected(agent: SocketAddr) -> TcpStream {
    let mut rpc = TcpStream::connect(agent).expect("the agent listens");
    rpc.set_nodelay(true).expect("a socket");
    rpc.write_all(b"\x82\xa7Command\xa9handshake\xa3Seq\x01\x81\xa7Version\x01").expect("the agent reads");
    let mut answer = [0; 256];
    assert!(rpc.read(&mut answer).is_ok_and(|read| read > 0), "it answers");
    rpc
}

pub fn reader(mut from: TcpStream, seen: Arc<Seen>, began: Instant) -> JoinHandle<()> {
    spawn(move || {
        let (mut buffer, mut kept) = (vec![0; 65_536], 0);
        while let Ok(read) = from.read(&mut buffer[kept..]) {
            if read == 0 {
                return;
            }
            let len = kept + read;
            let open = seen.note(&buffer[..len], began);
            buffer.copy_within(len - open..len, 0);
            kept = open;
        }
    })
}

// ---- mosquitto ----

/// A process that ends with what it is measured for.
pub struct Measured(pub Child);

impl Drop for Measured {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Mqtt {
    broker: TcpStream,
    qos: u8,
    id: u16,
}

impl Publisher for Mqtt {
    fn publish(&mut self, numbers: std::ops::Range<usize>) {
        let mut bytes = Vec::new();
        for number in numbers {
            let mut body = b"\0\x01e".to_vec();
            if self.qos > 0 {
                self.id = self.id.checked_add(1).unwrap_or(1);
                body.extend(self.id.to_be_bytes());
            }
            body.extend(payload(number));
            bytes.extend([0x30 | self.qos << 1, body.len() as u8]);
            bytes.extend(body);
        }
        self.broker.write_all(&bytes).expect("the broker reads");
    }
}

/// Mosquitto, in the folder that it was unpacked to, with as many subscribers.
pub fn mosquitto(folder: &Path, count: usize, qos: u8) -> Figures {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a free port");
    let configuration = std::env::temp_dir().join(format!("mosquitto-{}.conf", std::process::id()));
    let text = format!(
        "listener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0\nmax_inflight_messages 0\nlog_type none\nuser root\n",
        free.port()
    );
    std::fs::write(&configuration, text).expect("a folder for files");
    let mut command = Command::new(folder.join("usr/sbin/mosquitto"));
    command.arg("-c").arg(&configuration).stdout(Stdio::null()).stderr(Stdio::null());
    command.env("LD_LIBRARY_PATH", libraries(folder));
    let broker = Measured(command.spawn().expect("it starts"));
    let (began, mut seen) = (Instant::now(), Vec::new());
    for number in 0..count {
        let mut subscriber = session(free, &format!("s{number}"));
        subscriber.write_all(&[0x82, 6, 0, 1, 0, 1, b'e', qos]).expect("the broker reads");
        let mut answer = [0; 5];
        subscriber.read_exact(&mut answer).expect("it answers");
        assert_eq!(answer, [0x90, 3, 0, 1, qos], "subscribed");
        let noted = Seen::new();
        seen.push(noted.clone());
        spawn(move || subscribed(subscriber, &noted, began));
    }
    let publisher = session(free, "p");
    let mut answers = publisher.try_clone().expect("a descriptor");
    spawn(move || while answers.read(&mut [0; 65_536]).is_ok_and(|read| read > 0) {});
    let closes = publisher.try_clone().expect("a descriptor");
    let publisher = Box::new(Mqtt { broker: publisher, qos, id: 0 });
    let subject = Subject { began, publisher, seen, pids: vec![broker.0.id()] };
    let figures = subject.measure();
    let _ = closes.shutdown(Shutdown::Both);
    let _ = std::fs::remove_file(configuration);
    figures
}

/// Its own folders of libraries.
fn libraries(folder: &Path) -> std::ffi::OsString {
    let found = std::fs::read_dir(folder.join("usr/lib")).into_iter().flatten().flatten();
    let all = found.map(|entry| entry.path()).chain([folder.join("usr/lib")]);
    std::env::join_paths(all).expect("paths without colons")
}

/// A connection to the broker after its greeting.
fn session(broker: SocketAddr, name: &str) -> TcpStream {
    let mut stream = wait_for("the broker", || TcpStream::connect(broker).ok());
    stream.set_nodelay(true).expect("a socket");
    let mut packet = vec![0x10, 12 + name.len() as u8];
    packet.extend(b"\0\x04MQTT\x04\x02\0\0");
    packet.extend((name.len() as u16).to_be_bytes());
    packet.extend(name.as_bytes());
    stream.write_all(&packet).expect("the broker reads");
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(answer, [0x20, 2, 0, 0], "accepted");
    stream
}

/// Reads what is published, and confirms it if it is to be.
fn subscribed(mut broker: TcpStream, seen: &Seen, began: Instant) {
    let (mut buffer, mut kept) = (vec![0; 65_536], 0);
    while let Ok(read) = broker.read(&mut buffer[kept..]) {
        if read == 0 {
            return;
        }
        let len = kept + read;
        let (mut at, mut confirmed) = (0, Vec::new());
        // Each is shorter than 128 bytes.
        while len >= at + 2 && len >= at + 2 + buffer[at + 1] as usize {
            let packet = &buffer[at..at + 2 + buffer[at + 1] as usize];
            at += packet.len();
            if packet[0] & 0xf0 == 0x30 {
                seen.note(packet, began);
                if packet[0] & 0x06 != 0 {
                    confirmed.extend([0x40, 2, packet[5], packet[6]]);
                }
            }
        }
        if broker.write_all(&confirmed).is_err() {
            return;
        }
        buffer.copy_within(at..len, 0);
        kept = len - at;
    }
}

// ---- the report ----

/// What our figures are to be: so many times mosquitto's without confirmations, and with them.
const GOALS: [(usize, f64, f64); 2] = [(20, 1.2, 0.8), (50, 1.5, 1.1)];
const BURST_GOAL: f64 = 0.9;

/// Whose events are measured.
#[derive(Clone, Copy)]
pub enum Whose {
    /// Mosquitto's with this quality of service.
    Mosquitto(u8),
    /// Processes that only pass them on.
    Bare,
    Ours,
}

/// Has each subject measured by `measure`, with so many readers.
pub fn report(mut measure: impl FnMut(usize, Whose) -> Option<Figures>) -> Option<String> {
    let mut text = String::new();
    for (count, unconfirmed, confirmed) in GOALS {
        let columns = ["figure", "mosquitto, QoS 0", "QoS 1", "bare processes", "ours", "goal", "met"];
        text += &head(&format!("{count} readers of one machine, beside a broker"), 1, &columns);
        let [first, second] = [measure(count, Whose::Mosquitto(0))?, measure(count, Whose::Mosquitto(1))?];
        let [bare, ours] = [measure(count, Whose::Bare)?, measure(count, Whose::Ours)?];
        let mut line = |label: &str, key: &str, goal: Goal| {
            let [goal, met] = judged(ours[key], goal);
            let cells = [&first, &second, &bare, &ours];
            let cells = cells.map(|figures| number(figures.get(key).copied().unwrap_or(f64::NAN)));
            text += &row(&[&[label.into()][..], &cells, &[goal, met]].concat());
        };
        let most = (first["all_ms"] * unconfirmed).min(second["all_ms"] * confirmed);
        line("an event at all, median of 50 (ms)", "all_ms", AtMost(most));
        line("a burst of 2,000 at all, median of 5 (s)", "burst_s", AtMost(first["burst_s"] * BURST_GOAL));
        line("of all of these once at each reader (%)", "once_percent", AtLeast(100.0));
        line("CPU per single event and reader (µs)", "single_us", Goal::None);
        line("CPU per delivery in a burst (µs)", "delivery_us", Goal::None);
        line("CPU at rest per reader (%)", "idle_percent", Goal::None);
        line("resident memory of a process (MiB)", "rss_mib", Goal::None);
    }
    text += "\nOf mosquitto CPU time is its one process's, divided by its readers; of ours all agents'. Neither has its readers' own.\n\
             Bare processes receive an event from the first of them in a datagram and hand it to their readers, and do nothing else.\n";
    Some(text)
}

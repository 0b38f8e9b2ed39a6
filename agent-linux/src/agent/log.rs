//! The agent's log: held back until the agent is up, readable for `serf monitor`.

mod format;
pub mod journal;
pub mod syslog;

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::stdout::Stdout;
pub use format::{Format, in_one_line, printable};
use format::{line, told};
use journal::Journal;
use syslog::Syslog;

/// Lines held back while the gate is shut; beyond that the oldest go, counted.
pub const GATE_LINES: usize = 512;

/// The names Serf has for log levels, most talkative first.
pub const LEVELS: [(&str, LevelFilter); 5] = [
    ("TRACE", LevelFilter::Trace),
    ("DEBUG", LevelFilter::Debug),
    ("INFO", LevelFilter::Info),
    ("WARN", LevelFilter::Warn),
    ("ERR", LevelFilter::Error),
];

/// The filter of that name, in any case.
pub fn level_named(name: &str) -> Option<LevelFilter> {
    LEVELS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, filter)| *filter)
}

type Observer = Box<dyn Fn(Level, &str) + Send + Sync>;

/// Writes log records in one of the formats.
///
/// The component is the record's target: `agent`, `agent.ipc`, `serf`, `memberlist`. The module paths of this
/// workspace stand for the component they belong to; records of other crates are dropped below WARN.
pub struct Logger {
    level: AtomicUsize,
    format: Format,
    observer: OnceLock<Observer>,
    syslog: OnceLock<Syslog>,
    terminal: Mutex<Terminal>,
}

struct Terminal {
    out: Box<dyn Write + Send>,
    /// `None` once the gate is open.
    held: Option<VecDeque<Vec<u8>>>,
    /// Lines that were not written, nor told of yet.
    dropped: u64,
}

static LOST: AtomicU64 = AtomicU64::new(0);

/// Lines of this process that could not be written: a full disk, a reader that does not read. Monitors get them.
pub fn lines_lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

impl Logger {
    /// A logger with its gate shut that will write lines of `level` and above to `out`, each in one piece. A line that cannot be
    /// written is lost, counted, and told of when there is room again: a closed terminal or a full disk is no reason to stop.
    pub fn new(level: LevelFilter, format: Format, out: Box<dyn Write + Send>) -> Logger {
        Logger {
            level: AtomicUsize::new(level as usize),
            format,
            observer: OnceLock::new(),
            syslog: OnceLock::new(),
            terminal: Mutex::new(Terminal { out, held: Some(VecDeque::new()), dropped: 0 }),
        }
    }

    /// Makes a logger to standard output, or to the journal, the logger of the process; it lives as long as that.
    ///
    /// # Errors
    /// If the process has one already, or has no file descriptors left.
    pub fn install(level: LevelFilter, format: Format) -> std::io::Result<&'static Logger> {
        let out: Box<dyn Write + Send> = match format {
            Format::Text | Format::Json { .. } => Box::new(Stdout),
            Format::Journald { .. } => Box::new(Journal::new()?),
        };
        let logger = Box::leak(Box::new(Logger::new(level, format, out)));
        log::set_logger(logger).map_err(std::io::Error::other)?;
        log::set_max_level(LevelFilter::Trace);
        Ok(logger)
    }

    /// Changes what is written from now on.
    pub fn set_level(&self, level: LevelFilter) {
        self.level.store(level as usize, Ordering::Relaxed);
    }

    /// Has `observer` called with every line, whatever the level of the terminal, gated or not, without the four
    /// leading spaces and the line's end. It must neither block nor log. Returns whether it was taken: there can
    /// be only one.
    pub fn observe(&self, observer: impl Fn(Level, &str) + Send + Sync + 'static) -> bool {
        self.observer.set(Box::new(observer)).is_ok()
    }

    /// Has the system's log told as well of what is written, gated or not. Once.
    pub fn tell(&self, syslog: Syslog) {
        // There is no second one.
        let _ = self.syslog.set(syslog);
    }

    /// Writes what was held back, and from now on every line at once.
    pub fn open(&self) {
        let mut terminal = self.terminal();
        let Some(held) = terminal.held.take() else { return };
        for line in held {
            terminal.write(&line, &self.format);
        }
    }

    fn terminal(&self) -> MutexGuard<'_, Terminal> {
        // A panic while writing leaves nothing half-changed that matters here.
        self.terminal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writes(&self, level: Level) -> bool {
        level as usize <= self.level.load(Ordering::Relaxed)
    }
}

impl Terminal {
    fn show(&mut self, line: Vec<u8>, format: &Format) {
        let Some(held) = &mut self.held else { return self.write(&line, format) };
        if held.len() == GATE_LINES {
            held.pop_front();
            self.dropped += 1;
        }
        held.push_back(line);
    }

    fn write(&mut self, line: &[u8], format: &Format) {
        if self.dropped > 0 {
            let told = format!("{} earlier log lines dropped", self.dropped);
            if self.put(&format.written(Level::Warn, "agent", &told)).is_ok() {
                self.dropped = 0;
            }
        }
        // Behind what is missing.
        if self.dropped > 0 || self.put(line).is_err() {
            self.dropped += 1;
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One write call each, so that lines of other writers to the same terminal stay whole, and entries are one each.
    fn put(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.out.write_all(line)?;
        self.out.flush()
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        (self.writes(metadata.level()) || self.observer.get().is_some())
            && (metadata.level() <= Level::Warn || component(metadata.target()).is_some())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let component = component(record.target()).unwrap_or(record.target());
        let text = record.args().to_string();
        let (writes, observer) = (self.writes(record.level()), self.observer.get());
        let is_text = self.format == Format::Text;
        let line = (observer.is_some() || is_text).then(|| line(record.level(), component, &text));
        if let (Some(observer), Some(line)) = (observer, &line) {
            observer(record.level(), told(line));
        }
        if writes {
            if let Some(syslog) = self.syslog.get()
                && syslog.write(record.level(), component, &text).is_err()
            {
                LOST.fetch_add(1, Ordering::Relaxed);
            }
            let written = match line.filter(|_| is_text) {
                Some(line) => line.into_bytes(),
                None => self.format.written(record.level(), component, &text),
            };
            self.terminal().show(written, &self.format);
        }
    }

    fn flush(&self) {}
}

/// Serf's component for a target of ours.
fn component(target: &str) -> Option<&str> {
    match target {
        "agent" | "agent.ipc" | "agent.mdns" | "serf" | "memberlist" => Some(target),
        _ => match target.split("::").next() {
            Some("serf_nostd") => Some("serf"),
            Some("agent_linux") if target.starts_with("agent_linux::rpc") => Some("agent.ipc"),
            Some("agent_linux") => Some("agent"),
            _ => None,
        },
    }
}

/// Tells of things that come in storms: of one kind at most so often.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    last: Option<Instant>,
}

impl Pace {
    /// Whether it was told of last at least so long ago, or never; then it is told of now.
    pub fn is_time(&mut self, every: Duration) -> bool {
        let is_time = self.last.is_none_or(|last| last.elapsed() >= every);
        if is_time {
            self.last = Some(Instant::now());
        }
        is_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    #[derive(Clone, Default)]
    struct Screen {
        shown: Arc<Mutex<Vec<u8>>>,
        full: Arc<AtomicBool>,
    }

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.full.load(Ordering::Relaxed) {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            self.shown.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Screen {
        fn text(&self) -> String {
            String::from_utf8(self.shown.lock().unwrap().clone()).unwrap()
        }
        /// Without the four spaces and the time stamp.
        fn lines(&self) -> Vec<String> {
            self.text().lines().map(|line| line[24..].to_owned()).collect()
        }
    }

    fn logger(level: LevelFilter) -> (Logger, Screen) {
        let screen = Screen::default();
        (Logger::new(level, Format::Text, Box::new(screen.clone())), screen)
    }

    fn tell(logger: &Logger, level: Level, target: &str, text: &str) {
        logger.log(&Record::builder().level(level).target(target).args(format_args!("{text}")).build());
    }

    #[test]
    fn lines_have_serfs_format() {
        let (logger, screen) = logger(LevelFilter::Info);
        logger.open();
        tell(&logger, Level::Info, "serf", "EventMemberJoin: n1 127.0.0.1");
        let line = screen.text();
        let shape: String = line.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "    0000/00/00 00:00:00 [INFO] serf: EventMemberJoin: n0 000.0.0.0\n");
    }

    #[test]
    fn components_come_from_targets_and_foreign_crates_are_quiet() {
        let (logger, screen) = logger(LevelFilter::Trace);
        logger.open();
        tell(&logger, Level::Trace, "memberlist", "a");
        tell(&logger, Level::Debug, "agent.ipc", "b");
        tell(&logger, Level::Info, "agent.mdns", "found");
        tell(&logger, Level::Info, "serf_nostd::detect::probe", "c");
        tell(&logger, Level::Info, "agent_linux::rpc::server", "d");
        tell(&logger, Level::Error, "agent_linux::agent::handler", "e");
        tell(&logger, Level::Info, "mio::poll", "quiet");
        tell(&logger, Level::Warn, "mio::poll", "f");
        let expected = [
            "[TRACE] memberlist: a",
            "[DEBUG] agent.ipc: b",
            "[INFO] agent.mdns: found",
            "[INFO] serf: c",
            "[INFO] agent.ipc: d",
            "[ERR] agent: e",
            "[WARN] mio::poll: f",
        ];
        assert_eq!(screen.lines(), expected);
    }

    #[test]
    fn the_level_can_be_changed_and_the_observer_sees_everything() {
        let (logger, screen) = logger(LevelFilter::Warn);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        assert!(logger.observe(move |level, line| sink.lock().unwrap().push((level, line[20..].to_owned()))));
        assert!(!logger.observe(|_, _| ()));
        tell(&logger, Level::Debug, "agent", "gated and filtered");
        logger.open();
        tell(&logger, Level::Info, "agent", "filtered");
        logger.set_level(LevelFilter::Info);
        tell(&logger, Level::Info, "agent", "shown");
        assert_eq!(screen.lines(), ["[INFO] agent: shown"]);
        let seen = seen.lock().unwrap();
        assert_eq!(seen[0], (Level::Debug, "[DEBUG] agent: gated and filtered".to_owned()));
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn a_shut_gate_holds_512_lines_and_tells_how_many_it_dropped() {
        let (logger, screen) = logger(LevelFilter::Info);
        for number in 0..GATE_LINES + 3 {
            tell(&logger, Level::Info, "agent", &number.to_string());
        }
        assert_eq!(screen.text(), "");
        logger.open();
        logger.open();
        let lines = screen.lines();
        assert_eq!(lines.len(), GATE_LINES + 1);
        assert_eq!(lines[0], "[WARN] agent: 3 earlier log lines dropped");
        assert_eq!(lines[1], "[INFO] agent: 3");
        assert_eq!(lines[GATE_LINES], "[INFO] agent: 514");
    }

    #[test]
    fn lines_that_could_not_be_written_are_told_of_when_there_is_room() {
        let (logger, screen) = logger(LevelFilter::Info);
        logger.open();
        let lost = lines_lost();
        screen.full.store(true, Ordering::Relaxed);
        tell(&logger, Level::Info, "agent", "a");
        tell(&logger, Level::Info, "agent", "b");
        screen.full.store(false, Ordering::Relaxed);
        tell(&logger, Level::Info, "agent", "c");
        tell(&logger, Level::Info, "agent", "d");
        assert_eq!(
            screen.lines(),
            ["[WARN] agent: 2 earlier log lines dropped", "[INFO] agent: c", "[INFO] agent: d"]
        );
        assert_eq!(lines_lost() - lost, 2);
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        let (logger, screen) = logger(LevelFilter::Info);
        logger.open();
        tell(&logger, Level::Info, "agent", "a\u{1b}[2Jb\tc\r\u{7}\n");
        tell(&logger, Level::Info, "memberlist", "Suspect a\n [ERR] agent: b has failed");
        assert_eq!(
            screen.lines(),
            [
                "[INFO] agent: a\\u{1b}[2Jb\tc\\r\\u{7}",
                "[INFO] memberlist: Suspect a\\n [ERR] agent: b has failed"
            ]
        );
    }

    #[test]
    fn levels_go_by_serfs_names_in_any_case() {
        assert_eq!(level_named("err"), Some(LevelFilter::Error));
        assert_eq!(level_named("Debug"), Some(LevelFilter::Debug));
        assert_eq!(level_named("ERROR"), None);
    }
}

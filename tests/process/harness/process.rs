//! One child process with its output in files, ended when dropped.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::wait_for;

/// Taken while a process is started, and while a port is tried: a child holds every open socket of ours until it has become
/// another program, and what was free when it was tried would not be when it is wanted.
pub fn fork_lock() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder of its own under cargo's target folder, removed with its last owner; kept when the test fails.
#[derive(Clone, Debug)]
pub struct Scratch(Arc<Folder>);

#[derive(Debug)]
struct Folder(PathBuf);

impl Scratch {
    /// A new, empty folder.
    pub fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("serf-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path); // of an earlier process with the same id
        fs::create_dir_all(&path).expect("cargo's target folder can be written");
        Scratch(Arc::new(Folder(path)))
    }

    /// Path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.0.join(name)
    }

    /// Makes a folder in it and tells its path.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.file(name);
        fs::create_dir(&path).expect("the scratch folder can be written");
        path
    }

    /// Writes a file and tells its path.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, content).expect("the scratch folder can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// What a finished command left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Standard output; invalid UTF-8 is replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
    /// Exit code; for a signal 128 + its number, as in a shell.
    pub code: i32,
}

impl Output {
    /// Both streams: Go's Serf prints nearly all its errors to standard output.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A running child, killed and collected on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    command: String,
    stdout: PathBuf,
    stderr: PathBuf,
    scratch: Scratch,
}

impl Process {
    /// Starts `command`; its output goes to files in a scratch folder, so that it never waits for a reader.
    pub fn start(command: &mut Command) -> Process {
        let scratch = Scratch::new();
        let (stdout, stderr) = (scratch.file("stdout"), scratch.file("stderr"));
        let create = |path: &Path| File::create(path).expect("the scratch folder can be written");
        let forking = fork_lock();
        let child = command
            .stdin(Stdio::null())
            .stdout(create(&stdout))
            .stderr(create(&stderr))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        drop(forking);
        Process { child, command: format!("{command:?}"), stdout, stderr, scratch }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far, standard error last.
    pub fn printed(&self) -> String {
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        read(&self.stdout) + &read(&self.stderr)
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Sends a signal by name, such as `INT`.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`: a safe system call without a further dependency.
        let _forking = fork_lock();
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.pid())).status();
        assert!(sent.is_ok_and(|status| status.success()), "{} is gone already", self.command);
    }

    /// Kills it, by a system call and nothing else, and collects it.
    pub fn kill(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> Output {
        let status = wait_for(&format!("the end of {}", self.command), || self.ended());
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let code = status.code().or_else(|| status.signal().map(|number| 128 + number)).unwrap_or(-1);
        Output { stdout: read(&self.stdout), stderr: read(&self.stderr), code }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let printed = self.printed();
            let lines: Vec<_> = printed.lines().collect();
            let last = &lines[lines.len().saturating_sub(60)..];
            eprintln!("---- {}\n{}", self.command, last.join("\n"));
        }
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn run<S: AsRef<OsStr>>(binary: &Path, args: impl IntoIterator<Item = S>) -> Output {
    Process::start(Command::new(binary).args(args)).wait()
}

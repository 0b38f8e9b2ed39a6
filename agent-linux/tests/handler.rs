//! Handlers with real scripts: what they are told, in which order they run, and what happens when they cannot.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use agent_linux::agent::handler::{Counters, Handlers, Identity, Limits, Spec, Unfinished};
use agent_linux::agent::log::{Format, Logger};
use agent_linux::agent::model::{Event, Member, MemberEventKind, Status};
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything here takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of its own for each test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("serf-handler-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The path of a file, for a script.
    fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// A piece of script that waits for a file, or for the end of the test: nothing outlives a failed one.
    fn wait_for(&self, name: &str) -> String {
        format!("while test -d {} && ! test -e {}; do sleep 0.01; done", self.0.display(), self.path(name))
    }

    fn lines(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.file(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn handlers(specs: &[String], limits: Limits) -> Handlers {
    let tags = BTreeMap::from([("role".into(), "web".into()), ("my-tag.x".into(), "é=1".into())]);
    let own = Identity { name: "n 1".into(), tags };
    Handlers::new(parsed(specs), own, limits)
}

fn parsed(specs: &[String]) -> Vec<Spec> {
    specs.iter().flat_map(|spec| Spec::parse(spec).unwrap()).collect()
}

fn user(name: &str, payload: impl AsRef<[u8]>) -> Arc<Event> {
    let (name, payload) = (name.as_bytes().to_vec(), payload.as_ref().to_vec());
    Arc::new(Event::User { ltime: 42, name, payload, coalesce: false })
}

fn member(name: &str, tags: &[(&str, &str)]) -> Member {
    Member {
        name: name.into(),
        addr: "127.0.0.1".parse().unwrap(),
        port: 7946,
        tags: tags.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        status: Status::Alive,
        versions: [1, 5, 2, 2, 5, 5],
    }
}

fn joined(members: Vec<Member>) -> Arc<Event> {
    Arc::new(Event::Member { kind: MemberEventKind::Join, members })
}

async fn finish(handlers: &Handlers) -> Counters {
    handlers.drain(Instant::now() + PATIENCE).await.expect("everything ends in time");
    handlers.counters()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let poll = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("{what}"));
}

/// Every log line of this process so far.
fn log() -> &'static Mutex<Vec<String>> {
    static LINES: OnceLock<Mutex<Vec<String>>> = OnceLock::new();
    let lines = LINES.get_or_init(Mutex::default);
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let logger = Logger::install(log::LevelFilter::Off, Format::Text).unwrap();
        logger.observe(move |_, line| lines.lock().unwrap().push(line[20..].to_owned()));
    });
    lines
}

fn logged(containing: &str) -> Vec<String> {
    log().lock().unwrap().iter().filter(|line| line.contains(containing)).cloned().collect()
}

#[tokio::test]
async fn a_script_finds_the_event_and_the_node_in_its_environment() {
    let folder = Folder::new("environment");
    let print = |file: &str| format!("env | grep ^SERF_ | sort > {}", folder.path(file));
    let handlers = handlers(
        &[format!("user:deploy=e=1; {}", print("user")), format!("member-join={}", print("member"))],
        Limits::default(),
    );
    handlers.offer(user("deploy", ""));
    handlers.offer(joined(vec![member("a", &[])]));
    assert_eq!(finish(&handlers).await.run, 2);
    let own = ["SERF_SELF_NAME=n 1", "SERF_SELF_ROLE=web", "SERF_TAG_MY_TAG_X=é=1", "SERF_TAG_ROLE=web"];
    let user = [&["SERF_EVENT=user"], &own[..], &["SERF_USER_EVENT=deploy", "SERF_USER_LTIME=42"]].concat();
    assert_eq!(folder.lines("user"), user);
    assert_eq!(folder.lines("member"), [&["SERF_EVENT=member-join"], &own[..]].concat());
}

#[tokio::test]
async fn tags_are_those_of_the_moment_the_script_starts() {
    let folder = Folder::new("tags");
    let handlers = handlers(&[format!("echo $SERF_TAG_DC >> {}", folder.path("out"))], Limits::default());
    handlers.offer(user("x", ""));
    finish(&handlers).await;
    let tags = BTreeMap::from([("dc".into(), "east".into())]);
    handlers.set_identity(Identity { name: "n".into(), tags });
    handlers.offer(user("x", ""));
    finish(&handlers).await;
    assert_eq!(folder.lines("out"), ["", "east"]);
}

#[tokio::test]
async fn standard_input_is_the_payload_byte_for_byte_and_ends_with_a_line_end() {
    let folder = Folder::new("payload");
    for (payload, expected) in [
        (b"abc".as_slice(), b"abc\n".as_slice()),
        (b"abc\n", b"abc\n"),
        (b"a\n\n", b"a\n\n"),
        (b"", b""),
        (b"\0\xff\r", b"\0\xff\r\n"),
    ] {
        let handlers = handlers(&[format!("user=cat > {}", folder.path("out"))], Limits::default());
        handlers.offer(user("x", payload));
        assert_eq!(finish(&handlers).await.failed, 0);
        assert_eq!(fs::read(folder.file("out")).unwrap(), expected);
    }
}

#[tokio::test]
async fn members_come_as_one_line_each_with_tabs_and_line_ends_escaped() {
    let folder = Folder::new("members");
    let handlers = handlers(&[format!("member-join=cat > {}", folder.path("out"))], Limits::default());
    let mut six = member("six", &[]);
    six.addr = "fd00::2".parse().unwrap();
    let plain = member("a", &[("role", "web"), ("dc", "east")]);
    handlers.offer(joined(vec![plain, member("b\tc\n", &[("role", "x\ty")]), six]));
    finish(&handlers).await;
    let expected = "a\t127.0.0.1\tweb\tdc=east,role=web\n\
                    b\\tc\\n\t127.0.0.1\tx\\ty\trole=x\\ty\n\
                    six\tfd00::2\t\t\n";
    assert_eq!(fs::read_to_string(folder.file("out")).unwrap(), expected);
}

#[tokio::test]
async fn a_large_input_to_a_script_that_reads_nothing_hurts_nobody() {
    let handlers = handlers(&["true".into(), "head -c 1 >/dev/null; echo ok".into()], Limits::default());
    handlers.offer(user("x", vec![b'x'; 1 << 20]));
    assert_eq!(finish(&handlers).await, Counters { run: 2, ..Counters::default() });
}

#[tokio::test]
async fn names_are_bytes_but_none_with_a_nul_reaches_an_environment() {
    log();
    let folder = Folder::new("names");
    let script = format!("user=printf %s \"$SERF_USER_EVENT\" > {}", folder.path("out"));
    let handlers = handlers(&[script], Limits::default());
    let named = |name: &[u8]| {
        Arc::new(Event::User { ltime: 1, name: name.into(), payload: Vec::new(), coalesce: false })
    };
    handlers.offer(named(b"\xff\xfe="));
    assert_eq!(finish(&handlers).await.failed, 0);
    assert_eq!(fs::read(folder.file("out")).unwrap(), b"\xff\xfe=");
    handlers.offer(named(b"a\0b"));
    let counters = finish(&handlers).await;
    assert_eq!((counters.run, counters.failed), (2, 1));
    assert_eq!(logged("SERF_USER_EVENT would contain a NUL byte").len(), 1);
}

#[tokio::test]
async fn only_the_handlers_whose_filter_fits_run_and_once_for_each_filter() {
    let folder = Folder::new("filters");
    let note = |word: &str| format!("echo {word} >> {}", folder.path("out"));
    let specs = [
        format!("user,user:x={}", note("twice")),
        format!("user:y={}", note("never")),
        format!("member-leave,query,query:x={}", note("never")),
        note("any"),
    ];
    let handlers = handlers(&specs, Limits::default());
    handlers.offer(user("x", ""));
    assert_eq!(finish(&handlers).await.run, 3);
    assert_eq!(folder.lines("out"), ["twice", "twice", "any"]);
}

#[tokio::test]
async fn output_failures_and_slowness_are_logged_in_serfs_words() {
    log();
    let handlers = handlers(
        &[
            "user:o=echo out-one; echo err-one >&2; echo out-two".into(),
            "user:o=: three; exit 3".into(),
            "user:o=: nine; kill -9 $$".into(),
            "user:o=: slow; sleep 1.3".into(),
            "user:o=: big; head -c 8192 /dev/zero | tr '\\0' a; head -c 8000 /dev/zero | tr '\\0' b; echo zz"
                .into(),
        ],
        Limits::default(),
    );
    handlers.offer(user("o", ""));
    assert_eq!(finish(&handlers).await, Counters { run: 5, failed: 2, ..Counters::default() });
    let merged = "[DEBUG] agent: Event 'user' script output: out-one\nerr-one\nout-two";
    assert_eq!(logged("out-one"), [merged]);
    assert_eq!(logged(": three"), ["[ERR] agent: Error invoking script ': three; exit 3': exit status 3"]);
    assert_eq!(logged(": nine"), ["[ERR] agent: Error invoking script ': nine; kill -9 $$': signal: killed"]);
    assert_eq!(logged(": slow"), ["[WARN] agent: Script ': slow; sleep 1.3' slow, execution exceeding 1s"]);
    let tail = format!("output: {}{}zz", "a".repeat(8192 - 8003), "b".repeat(8000));
    assert_eq!(logged("aaa").iter().filter(|line| line.ends_with(&tail)).count(), 1);
    assert_eq!(logged("generated 16195 bytes of output, truncated to 8192").len(), 1);
}

#[tokio::test]
async fn scripts_run_one_at_a_time_in_the_order_of_events_and_of_the_configuration() {
    let folder = Folder::new("order");
    // Whoever finds the lock held was started too early.
    let script = |name: &str| {
        format!(
            "user=mkdir {lock} || echo overlap >> {out}; echo {name}-$SERF_USER_EVENT >> {out}; \
             sleep 0.01; rmdir {lock}",
            lock = folder.path("lock"),
            out = folder.path("out")
        )
    };
    let handlers = handlers(&[script("first"), script("second")], Limits::default());
    let names = ["c", "a", "b", "a", "d"];
    for name in names {
        handlers.offer(user(name, ""));
    }
    finish(&handlers).await;
    let expected: Vec<_> =
        names.iter().flat_map(|name| [format!("first-{name}"), format!("second-{name}")]).collect();
    assert_eq!(folder.lines("out"), expected);
}

#[tokio::test]
async fn with_concurrency_other_names_overtake_but_each_name_keeps_its_order() {
    let folder = Folder::new("lanes");
    // The first event of `slow` waits for the last one of `fast`: only with several scripts at once does this end.
    let script = format!(
        "*=read n; echo \"$n\" >> {out}-$SERF_EVENT$SERF_USER_EVENT; case $SERF_USER_EVENT$n in \
         slow0) {wait};; fast9) touch {last};; esac",
        out = folder.path("out"),
        wait = folder.wait_for("last"),
        last = folder.path("last")
    );
    let handlers = handlers(&[script], Limits { concurrency: 2, ..Limits::default() });
    for number in 0..10 {
        handlers.offer(user("slow", number.to_string()));
        handlers.offer(user("fast", number.to_string()));
        handlers.offer(joined(vec![member(&number.to_string(), &[])]));
    }
    assert!(handlers.counters().running <= 2);
    assert_eq!(finish(&handlers).await, Counters { run: 30, ..Counters::default() });
    let in_order: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    assert_eq!(folder.lines("out-userslow"), in_order);
    assert_eq!(folder.lines("out-userfast"), in_order);
    let members: Vec<String> =
        folder.lines("out-member-join").iter().map(|line| line[..1].to_owned()).collect();
    assert_eq!(members, in_order);
}

/// And no other handler loses anything with it.
#[tokio::test]
async fn a_handler_too_far_behind_loses_the_newest_counts_them_and_says_so() {
    log();
    let folder = Folder::new("full");
    let gate = folder.wait_for("go");
    let full = format!("user={gate}; cat >> {}", folder.path("full"));
    let other = format!("user:both=cat >> {}", folder.path("other"));
    let handlers = handlers(&[full.clone(), other], Limits { waiting: 3, ..Limits::default() });
    handlers.offer(user("x", "0"));
    until("the first event's script runs", || handlers.counters().running == 1).await;
    for number in 1..6 {
        handlers.offer(user("x", number.to_string()));
    }
    handlers.offer(user("both", "6"));
    let counters = handlers.counters();
    assert_eq!((counters.waiting, counters.lost), (3 + 1, 2 + 1));

    fs::write(folder.file("go"), "").unwrap();
    assert_eq!(finish(&handlers).await, Counters { run: 5, lost: 3, ..Counters::default() });
    assert_eq!(folder.lines("full"), ["0", "1", "2", "3"], "in the order in which they came");
    assert_eq!(folder.lines("other"), ["6"]);
    let script = full.trim_start_matches("user=");
    assert_eq!(
        logged(&format!("Script '{script}' is too far behind: 3 events wait for it, 1 were lost")).len(),
        1
    );
    assert_eq!(logged(&format!("Script '{script}' has caught up; 2 more events were lost for it")).len(), 1);
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes_as_well() {
    let folder = Folder::new("bytes");
    let script = format!("user={}", folder.wait_for("go"));
    let handlers = handlers(&[script], Limits { bytes: 1_000, ..Limits::default() });
    handlers.offer(user("x", ""));
    until("the first event's script runs", || handlers.counters().running == 1).await;
    handlers.offer(user("longer than all", "x".repeat(2_000)));
    handlers.offer(user("x", ""));
    assert_eq!((handlers.counters().waiting, handlers.counters().lost), (1, 1));
    fs::write(folder.file("go"), "").unwrap();
    finish(&handlers).await;
    handlers.offer(user("x", ""));
    assert_eq!(finish(&handlers).await.run, 3);
}

#[tokio::test]
async fn an_overdue_script_is_killed_with_everything_it_started() {
    log();
    let folder = Folder::new("overdue");
    // The child in the background would outlive a kill of the shell alone. The detached one is in a group of its
    // own and keeps the output open: it must not hold up the queue.
    let script = format!(
        "user:late=sh -c 'sleep 600' & echo $! > {child}; setsid sh -c 'echo $$ > {detached}; exec sleep 600' & wait",
        child = folder.path("child"),
        detached = folder.path("detached")
    );
    let next = format!("user:next=touch {}", folder.path("next"));
    let limits = Limits { timeout: Some(Duration::from_secs(4)), ..Limits::default() };
    let handlers = handlers(&[script, next], limits);
    handlers.offer(user("late", ""));
    handlers.offer(user("next", ""));
    let counters = finish(&handlers).await;
    assert_eq!(counters, Counters { run: 2, timed_out: 1, ..Counters::default() });
    assert!(folder.file("next").exists());
    assert_eq!(logged("killed, it ran longer than 4s").len(), 1);
    let ended = |file: &str| {
        let process = folder.lines(file)[0].clone();
        // A killed child may stay a zombie where nobody reaps orphans.
        let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        state.is_empty() || state.rsplit(')').next().unwrap().starts_with(" Z")
    };
    until("the child is gone", || ended("child")).await;
    let detached: i32 = folder.lines("detached")[0].parse().unwrap();
    let detached = rustix::process::Pid::from_raw(detached).unwrap();
    rustix::process::kill_process(detached, rustix::process::Signal::KILL).unwrap();
}

/// As with Go's Serf: what waits is handled as it is configured by then.
#[tokio::test]
async fn reloaded_handlers_take_what_waits_as_well() {
    let folder = Folder::new("reload");
    let wait = folder.wait_for("go");
    let old = format!("user={wait}; echo old >> {}", folder.path("out"));
    let new = format!("user=echo new >> {}", folder.path("out"));
    let handlers = handlers(std::slice::from_ref(&old), Limits { waiting: 2, ..Limits::default() });
    handlers.offer(user("x", ""));
    until("it runs", || handlers.counters().running == 1).await;
    handlers.offer(user("x", ""));
    handlers.set_specs(parsed(&[old.clone(), new.clone()]));
    assert_eq!(handlers.counters().waiting, 2);
    handlers.offer(user("x", ""));
    handlers.offer(user("x", ""));
    assert_eq!((handlers.counters().waiting, handlers.counters().lost), (4, 2), "both are full now");
    handlers.set_specs(parsed(std::slice::from_ref(&new)));
    assert_eq!(handlers.specs(), parsed(&[new]));
    fs::write(folder.file("go"), "").unwrap();
    assert_eq!(finish(&handlers).await, Counters { run: 3, lost: 2, ..Counters::default() });
    assert_eq!(folder.lines("out"), ["old", "new", "new"]);
    handlers.set_specs(Vec::new());
    handlers.offer(user("x", ""));
    assert_eq!(handlers.counters().waiting, 0);
}

#[tokio::test]
async fn draining_gives_up_at_its_deadline_and_tells_what_it_left() {
    let folder = Folder::new("drain");
    let script = format!("user={}; exit 5", folder.wait_for("go"));
    let handlers = handlers(&[script.clone(), script], Limits { concurrency: 2, ..Limits::default() });
    for name in ["x", "x", "y", "z"] {
        handlers.offer(user(name, ""));
    }
    until("two run", || handlers.counters().running == 2).await;
    let left = handlers.drain(Instant::now()).await;
    assert_eq!(left, Err(Unfinished { waiting: 6, running: 2 }));
    handlers.offer(user("x", ""));
    fs::write(folder.file("go"), "").unwrap();
    assert_eq!(finish(&handlers).await, Counters { run: 2, failed: 2, ..Counters::default() });
}

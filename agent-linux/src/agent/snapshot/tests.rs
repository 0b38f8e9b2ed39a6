use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::agent::filter::Filter;
use crate::agent::handler::{Handlers, Identity, Limits, Spec};
use crate::agent::hub::Hub;
use crate::agent::model::{Member, MemberEventKind, Status};

/// A folder of its own for each test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        // Where writing to the disk costs nothing, if there is such a place.
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let path = parent.join(format!("serf-snapshot-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self) -> PathBuf {
        self.0.join("snapshot")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn id(ltime: u64) -> EventId {
    EventId { ltime, origin: 0xfeed }
}

fn event(ltime: u64, name: &str) -> Arc<Event> {
    let (name, payload) = (name.as_bytes().to_vec(), ltime.to_string().into_bytes());
    Arc::new(Event::User { ltime, name, payload, coalesce: false })
}

fn handed(ltime: u64) -> Option<Handed> {
    Some(Handed { id: id(ltime), key: None })
}

fn joined(name: &str) -> Arc<Event> {
    let member = Member {
        name: name.to_owned(),
        addr: "10.0.0.7".parse().unwrap(),
        port: 7946,
        tags: Default::default(),
        status: Status::Alive,
        versions: [0; 6],
    };
    Arc::new(Event::Member { kind: MemberEventKind::Join, members: vec![member] })
}

fn recorder(snapshot: Snapshot, scripts: &[&str]) -> (Recorder, Hub, Handlers) {
    let specs = scripts.iter().flat_map(|script| Spec::parse(script).unwrap()).collect();
    let handlers = Handlers::new(specs, Identity::default(), Limits::default());
    let hub = Hub::new();
    (Recorder::start(snapshot, "own".to_owned(), hub.clone(), handlers.clone()), hub, handlers)
}

/// What a script's process has of the file until it has become a script holds the file for a moment.
fn open(path: &Path, rejoin: bool) -> (Snapshot, Recalled) {
    loop {
        match Snapshot::open(path, "own", rejoin) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn times(events: &[EventId]) -> BTreeSet<u64> {
    events.iter().map(|id| id.ltime).collect()
}

/// Opens what would be there if the agent had been killed when the file stood so.
fn reopened(folder: &Folder, text: &[u8]) -> Recalled {
    let path = folder.0.join("again");
    fs::write(&path, text).unwrap();
    open(&path, false).1
}

/// Events in batches; what has been handed out when each batch is. Wherever the file is cut, that of the batches before the cut is known
/// again, and nothing of those behind it.
#[tokio::test]
async fn killed_at_any_byte_nothing_is_handed_out_twice_and_nothing_is_recorded_that_was_not() {
    let folder = Folder::new("cuts");
    let (snapshot, _) = open(&folder.path(), false);
    let (recorder, ..) = recorder(snapshot, &["user:scripted=true"]);
    let mut batches = vec![(fs::read(folder.path()).unwrap().len(), 0)];
    for batch in 0..40_u64 {
        for ltime in batch * 10 + 1..=batch * 10 + 10 {
            let name = if ltime % 3 == 0 { "scripted" } else { "plain" };
            recorder.tell(event(ltime, name), handed(ltime));
        }
        recorder.tell(joined(&format!("member-{batch}")), None);
        recorder.flush().await;
        batches.push((fs::read(folder.path()).unwrap().len(), batch * 10 + 10));
    }
    let text = fs::read(folder.path()).unwrap();
    let mut cuts = 0;
    for cut in (batches[0].0..=text.len()).step_by(text.len() / 1_200) {
        let recalled = reopened(&folder, &text[..cut]);
        let known = times(&recalled.past.events);
        let (_, whole) = batches.iter().rfind(|(end, _)| *end <= cut).unwrap();
        assert!((1..=*whole).all(|ltime| known.contains(&ltime)), "cut at {cut}: {whole} and {known:?}");
        // Each batch may have been written in several pieces, each whole.
        let latest = known.last().copied().unwrap_or(0);
        assert!(latest <= whole + 10 && known.len() as u64 == latest, "cut at {cut}: {known:?}");
        cuts += 1;
    }
    assert!(cuts > 1_000, "{cuts}");
}

#[tokio::test]
async fn a_snapshot_that_was_closed_says_the_same_and_is_short() {
    let folder = Folder::new("closed");
    let (snapshot, recalled) = open(&folder.path(), false);
    assert!(recalled.notes.is_empty() && recalled.members.is_empty());
    let (recorder, hub, _) = recorder(snapshot, &[]);
    let stream = hub.subscribe(Filter::parse("member-join").unwrap());
    recorder.tell(joined("a b"), None);
    let belonging = Belonging { fleet: 7, age: serf_nostd::Duration::from_secs(100), met: id(3) };
    let standing = Standing { clocks: [5, 9, 4], floor: id(10), belonging: Some(belonging) };
    recorder.stand(standing);
    for ltime in 11..=20_010 {
        recorder.tell(event(ltime, "e"), Some(Handed { id: id(ltime), key: Some(ltime % 5) }));
    }
    recorder.close().await;
    let size = fs::metadata(folder.path()).unwrap().len();
    assert!(size < 1 << 20, "{size}");
    assert!(matches!(&*stream.next().await.0, Event::Member { .. }));
    let (_, recalled) = open(&folder.path(), false);
    assert_eq!(recalled.notes, Vec::<String>::new());
    assert_eq!(recalled.members, [("a b".to_owned(), "10.0.0.7:7946".parse().unwrap())]);
    let Past { clocks, belonging: Some(back), events, values, floor } = recalled.past else {
        panic!("it was in a fleet");
    };
    assert_eq!((clocks, back.fleet, back.met), ([5, 20_011, 4], 7, id(3)));
    assert!((100..200).contains(&back.age.as_secs()));
    assert_eq!((events.len(), values.len(), floor), (4096, 5, id(20_010 - 4096)));
    assert!(fs::metadata(folder.path()).unwrap().len() < size.max(300 << 10));
}

/// What is only in the system's memory is gone with the machine; the lease is on the disk.
#[tokio::test]
async fn after_a_power_cut_nothing_up_to_the_lease_is_handed_out_again() {
    let folder = Folder::new("power");
    let (snapshot, _) = open(&folder.path(), false);
    let (recorder, ..) = recorder(snapshot, &["user:scripted=sleep 60"]);
    for ltime in 1..=3_000 {
        recorder.tell(event(ltime, if ltime > 2_990 { "scripted" } else { "e" }), handed(ltime));
        if ltime == 1_500 {
            recorder.flush().await;
        }
    }
    recorder.flush().await;
    let text = fs::read_to_string(folder.path()).unwrap();
    let another_boot = |text: &str| {
        let boot = text.split(" boot=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        let line = text.lines().next().unwrap();
        let line = line.rsplit_once(" =").unwrap().0.replace(boot, "00000000-0000-4000-8000-000000000000");
        let rest = text.split_once('\n').unwrap().1;
        format!("{}\n{rest}", line::checked(&line))
    };
    assert!(reopened(&folder, text.as_bytes()).notes.is_empty());
    assert!(reopened(&folder, text.as_bytes()).due.len() >= 9);
    let cut = another_boot(&text);
    for lines in [1, 100, 2_000, usize::MAX] {
        let kept: String = cut.lines().take(lines).map(|line| format!("{line}\n")).collect();
        let recalled = reopened(&folder, kept.as_bytes());
        let floor = recalled.past.floor;
        assert!(floor >= id(3_000) && floor.ltime <= 3_000 + LEASE, "{lines} lines: {floor:?}");
        assert!(recalled.due.is_empty() && !recalled.notes.is_empty());
    }
    recorder.close().await;
    let text = another_boot(&fs::read_to_string(folder.path()).unwrap());
    assert!(reopened(&folder, text.as_bytes()).notes.is_empty(), "it has been written to the disk");
}

#[tokio::test]
async fn whatever_is_done_to_the_file_no_event_is_handed_out_twice() {
    let folder = Folder::new("damaged");
    let (snapshot, _) = open(&folder.path(), false);
    let (recorder, ..) = recorder(snapshot, &[]);
    (1..=20).for_each(|ltime| recorder.tell(event(ltime, "e"), handed(ltime)));
    recorder.tell(joined("a"), None);
    recorder.close().await;
    let text = fs::read(folder.path()).unwrap();
    for at in 0..text.len() {
        for change in [0x01, 0x80, text[at]] {
            let mut damaged = text.clone();
            damaged[at] ^= change;
            let path = folder.0.join("again");
            fs::write(&path, &damaged).unwrap();
            let past = open(&path, false).1.past;
            let is_known = |ltime| id(ltime) <= past.floor || past.events.contains(&id(ltime));
            assert!((1..=20).all(is_known), "{change:#x} at {at}: {past:?}");
        }
    }
}

#[test]
fn what_is_no_snapshot_or_another_agents_is_refused_and_left_as_it_is() {
    let folder = Folder::new("refused");
    let refused = |path: &Path| Snapshot::open(path, "own", false).map(drop).unwrap_err().to_string();
    fs::write(folder.path(), "root:x:0:0:root:/root:/bin/bash\nanother line\n").unwrap();
    assert!(refused(&folder.path()).contains("it is no snapshot"));
    assert!(fs::read_to_string(folder.path()).unwrap().starts_with("root:x"));
    assert!(refused(&folder.0).contains("directory"));
    assert!(refused(&folder.0.join("none/snapshot")).contains("No such file"));
    fs::remove_file(folder.path()).unwrap();
    let first = open(&folder.path(), false);
    assert!(refused(&folder.path()).contains("another agent uses it"));
    drop(first);
    open(&folder.path(), false);
}

/// As Go Serf 0.9.4 writes it.
#[test]
fn serfs_own_snapshots_are_read() {
    let folder = Folder::new("serfs");
    let text = "alive: n1 127.0.0.1:7946\nclock: 1\nevent-clock: 7\nalive: n 2 127.0.0.2:7946\nnot-alive: n1\n\
                query-clock: 3\ncoordinate: {}\nclock: 9\n";
    let recalled = reopened(&folder, text.as_bytes());
    assert_eq!(recalled.members, [("n 2".to_owned(), "127.0.0.2:7946".parse().unwrap())]);
    assert_eq!(recalled.past.clocks, [10, 8, 4]);
    assert_eq!(recalled.past.floor, EventId { ltime: 7, origin: u64::MAX });
    assert!(recalled.notes.is_empty());
    let left = format!("{text}leave\nclock: 10\n");
    assert!(reopened(&folder, left.as_bytes()).members.is_empty());
    let path = folder.0.join("again");
    fs::write(&path, &left).unwrap();
    let recalled = open(&path, true).1;
    assert_eq!((recalled.members.len(), recalled.notes.len()), (1, 1));
}

/// Two handlers, of which one has begun: so know all further lives, however often the file was written anew.
#[tokio::test]
async fn which_scripts_have_begun_is_known_to_all_further_lives() {
    let folder = Folder::new("begun");
    let (snapshot, _) = open(&folder.path(), false);
    let gate = folder.0.join("gate");
    let waits = format!("user:scripted=while [ ! -e '{}' ]; do sleep 0.01; done", gate.display());
    let (recorder, ..) = recorder(snapshot, &[&waits, "user:scripted=true"]);
    recorder.tell(event(1, "scripted"), handed(1));
    let text = loop {
        let text = fs::read(folder.path()).unwrap();
        if String::from_utf8_lossy(&text).contains("#begun") {
            break text;
        }
        tokio::task::yield_now().await;
    };
    let lives: Vec<usize> = {
        let path = folder.0.join("lives");
        fs::write(&path, &text).unwrap();
        (0..4).map(|_| open(&path, false).1.due[0].2.len()).collect()
    };
    assert_eq!(lives, [1, 1, 1, 1]);
    fs::write(&gate, "").unwrap();
    loop {
        if String::from_utf8_lossy(&fs::read(folder.path()).unwrap()).contains("#ran") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// What stands behind the order to close does not happen, and is not written.
#[tokio::test]
async fn what_comes_behind_the_end_is_for_the_next_life() {
    let folder = Folder::new("end");
    for _ in 0..20 {
        let _ = fs::remove_file(folder.path());
        let (snapshot, _) = open(&folder.path(), false);
        let (recorder, ..) = recorder(snapshot, &["user:scripted=true"]);
        (1..=50).for_each(|ltime| recorder.tell(event(ltime, "scripted"), handed(ltime)));
        let also = recorder.clone();
        tokio::join!(recorder.close(), async { also.tell(event(51, "scripted"), handed(51)) });
        let known = open(&folder.path(), false).1;
        let times = times(&known.past.events);
        assert!(!times.contains(&51) && times.len() == 50, "{times:?}");
    }
}

/// A member is never to be joined that is this agent; and a fleet that it has left is not its own.
#[test]
fn an_agent_is_no_member_of_its_own_and_forgets_a_fleet_that_it_has_left() {
    let folder = Folder::new("own");
    let fleet = line::checked("#fleet 5 100 0 0000000000000000");
    let text = format!("alive: own 127.0.0.1:7946\nalive: n2 127.0.0.2:7946\n{fleet}\n");
    let recalled = reopened(&folder, text.as_bytes());
    assert_eq!(recalled.members.len(), 1);
    assert_eq!(recalled.past.belonging.map(|there| there.fleet), Some(5));
    assert!(reopened(&folder, format!("{text}leave\n").as_bytes()).past.belonging.is_none());
}

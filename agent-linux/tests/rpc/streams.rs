//! Streams, monitors, and readers that are too slow.

use std::net::IpAddr;
use std::sync::Arc;

use agent_linux::agent::model::{Event, Member, MemberEventKind, Status};
use agent_linux::rpc::message::{AnyRecord, LogRecord, ResponseHeader, Stats};
use agent_linux::rpc::server::Options;
use agent_linux::rpc::wire::encode_text;
use log::Level;
use tokio::task::yield_now;

use super::fake::*;

fn user(ltime: u64, name: &str, payload: &[u8]) -> Arc<Event> {
    Arc::new(Event::User { ltime, name: name.into(), payload: payload.to_vec(), coalesce: true })
}

async fn open(raw: &mut Raw, seq: u64, filter: &str) {
    raw.send("stream", seq, &body([("Type", filter)])).await;
    assert_eq!(raw.header().await, ("".to_owned(), seq));
}

#[tokio::test]
async fn a_stream_tells_the_events_that_pass_its_filter_in_serfs_form() {
    let fake = Fake::start(Options::default()).await;
    let mut raw = fake.greeted().await;
    let mut filter = b"\x81\xa4Type".to_vec();
    encode_text(&mut filter, b"user:deploy,user:\xff,member-failed");
    raw.send("stream", 5, &filter).await;
    assert_eq!(raw.header().await, ("".to_owned(), 5));
    let member = Member {
        name: "n".to_owned(),
        addr: IpAddr::from([10, 0, 0, 1]),
        port: 1,
        tags: Default::default(),
        status: Status::Failed,
        versions: [1, 5, 2, 2, 5, 5],
    };
    fake.hub.publish(user(1, "other", b""));
    fake.hub.publish(Arc::new(Event::Member { kind: MemberEventKind::Join, members: vec![member.clone()] }));
    fake.hub.publish(user(300, "deploy", b""));
    fake.hub.publish(user(301, "deploy", b"\xff"));
    let name = b"\xff".to_vec();
    fake.hub.publish(Arc::new(Event::User { ltime: 2, name, payload: vec![], coalesce: false }));
    fake.hub.publish(Arc::new(Event::Member { kind: MemberEventKind::Failed, members: vec![member] }));
    for expected in [
        &b"\x85\xa8Coalesce\xc3\xa5Event\xa4user\xa5LTime\xcd\x01\x2c\xa4Name\xa6deploy\xa7Payload\xc0"[..],
        b"\x85\xa8Coalesce\xc3\xa5Event\xa4user\xa5LTime\xcd\x01\x2d\xa4Name\xa6deploy\xa7Payload\xc4\x01\xff",
        b"\x85\xa8Coalesce\xc2\xa5Event\xa4user\xa5LTime\x02\xa4Name\xa1\xff\xa7Payload\xc0",
        b"\x82\xa5Event\xadmember-failed\xa7Members\x91\x8b\xa4Addr\xc4\x04\x0a\0\0\x01\xabDelegateCur\x05\
            \xabDelegateMax\x05\xabDelegateMin\x02\xa4Name\xa1n\xa4Port\x01\xabProtocolCur\x02\xabProtocolMax\x05\
            \xabProtocolMin\x01\xa6Status\xa6failed\xa4Tags\x80",
    ] {
        assert_eq!(raw.read.next().await.unwrap().unwrap(), b"\x82\xa5Error\xa0\xa3Seq\x05");
        let record = raw.read.next().await.unwrap().unwrap();
        assert_eq!(record.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}

#[tokio::test]
async fn streams_are_refused_stopped_and_limited_as_serfs() {
    let fake = Fake::start(Options { streams: 2, ..Options::default() }).await;
    let mut raw = fake.greeted().await;
    raw.send("stream", 1, &body([("Type", "bogus")])).await;
    assert_eq!(raw.header().await, ("Invalid event filter".to_owned(), 1));
    raw.send("stream", 1, &body([("Type", "user,".repeat(2000) + "user")])).await;
    assert_eq!(raw.header().await, ("Invalid event filter".to_owned(), 1));
    open(&mut raw, 1, "").await;
    raw.send("stream", 1, &body([("Type", "*")])).await;
    assert_eq!(raw.header().await, ("Stream with given sequence exists".to_owned(), 1));
    raw.send("monitor", 2, &body([("LogLevel", "bogus")])).await;
    assert_eq!(raw.header().await, ("Unknown log level: BOGUS".to_owned(), 2));
    raw.send("monitor", 2, &body([("LogLevel", "debug")])).await;
    assert_eq!(raw.header().await, ("".to_owned(), 2));
    raw.send("monitor", 3, &body([("LogLevel", "debug")])).await;
    assert_eq!(raw.header().await, ("Monitor already exists".to_owned(), 3));
    raw.send("stream", 4, &body([("Type", "*")])).await;
    assert_eq!(raw.header().await, ("Too many streams".to_owned(), 4));
    for stop in [1, 2, 99] {
        raw.send("stop", 5, &body([("Stop", stop)])).await;
        assert_eq!(raw.header().await, ("".to_owned(), 5));
    }
    fake.hub.publish(user(1, "unheard", b""));
    raw.send("monitor", 1, &body([("LogLevel", "err")])).await;
    assert_eq!(raw.header().await, ("".to_owned(), 1));
    open(&mut raw, 2, "user").await;
    fake.hub.publish(user(2, "heard", b""));
    assert_eq!(raw.header().await, ("".to_owned(), 2));
    assert_eq!(raw.value::<AnyRecord>().await.name, b"heard");
}

#[tokio::test]
async fn a_monitor_sends_the_kept_lines_and_goes_on() {
    let fake = Fake::start(Options::default()).await;
    for n in 0..600 {
        fake.logs.push(Level::Info, &format!("line {n}"));
        fake.logs.push(Level::Debug, "detail");
    }
    let mut raw = fake.greeted().await;
    raw.send("monitor", 1, &body([("LogLevel", "info")])).await;
    assert_eq!(raw.header().await, ("".to_owned(), 1));
    fake.logs.push(Level::Warn, "new");
    for n in 344..600 {
        assert_eq!(raw.header().await, ("".to_owned(), 1));
        assert_eq!(raw.value::<LogRecord>().await.log, format!("line {n}"));
    }
    assert_eq!(raw.header().await, ("".to_owned(), 1));
    assert_eq!(raw.value::<LogRecord>().await.log, "new");
}

#[tokio::test]
async fn a_reader_that_is_too_slow_stalls_nobody_and_learns_what_it_missed() {
    const EVENTS: u64 = 60_000;
    let fake = Fake::start(Options::default()).await;
    let mut slow = fake.greeted().await;
    open(&mut slow, 1, "*").await;
    let mut quick = fake.greeted().await;
    open(&mut quick, 1, "user:last").await;
    // More than all socket buffers between the two hold.
    let payload = [7; 400];
    for ltime in 1..=EVENTS {
        fake.hub.publish(user(ltime, "flood", &payload));
        yield_now().await;
    }
    fake.hub.publish(user(EVENTS + 1, "last", b""));
    assert_eq!(quick.header().await, ("".to_owned(), 1));
    assert_eq!(quick.value::<AnyRecord>().await.name, b"last");
    quick.send("stats", 2, b"").await;
    assert_eq!(quick.header().await, ("".to_owned(), 2));
    quick.value::<Stats>().await;

    // Now it reads, and events go on: first what was under way to it, without a gap, then how many it has missed.
    for expected in 1.. {
        let ResponseHeader { missed, .. } = slow.value().await;
        let record: AnyRecord = slow.value().await;
        assert_eq!(record.ltime, expected + missed);
        if missed > 0 {
            break;
        }
        fake.hub.publish(user(EVENTS + 1 + expected, "flood", b""));
    }
}

#[tokio::test]
async fn a_client_that_never_reads_is_not_answered_without_end() {
    let fake = Fake::start(Options::default()).await;
    let mut deaf = fake.greeted().await;
    let event = request("event", 1, b"\x81\xa4Name\xa1x");
    let many = event.repeat(1000);
    // It stops being read once its answers have nowhere to go; then writing waits for ever.
    let flood = async {
        loop {
            tokio::io::AsyncWriteExt::write_all(&mut deaf.write, &many).await.unwrap();
        }
    };
    let other = async {
        let mut before = usize::MAX;
        loop {
            let mut quick = fake.greeted().await;
            quick.send("stats", 1, b"").await;
            assert_eq!(quick.header().await, ("".to_owned(), 1));
            quick.value::<Stats>().await;
            let now = fake.done.lock().unwrap().len();
            if now == before {
                break now;
            }
            before = now;
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = flood => unreachable!(),
        answered = other => assert!(answered > 1000),
    }
}

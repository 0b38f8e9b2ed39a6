//! Clients that mean harm, or cannot help it.

use std::time::Duration;

use agent_linux::rpc::message::{ResponseHeader, Stats};
use agent_linux::rpc::server::Options;
use agent_linux::rpc::token::Token;
use agent_linux::rpc::wire::Limits;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::fake::*;

/// A session with every command that does not end the agent.
fn conversation() -> Vec<Vec<u8>> {
    vec![
        request("handshake", 1, &body([("Version", 1)])),
        request("auth", 2, &body([("AuthKey", "")])),
        request("event", 3, b"\x83\xa8Coalesce\xc3\xa4Name\xa4name\xa7Payload\xc4\x03pay"),
        request("members", 4, b""),
        request("members-filtered", 5, b"\x83\xa4Tags\x81\xa4role\xa1.\xa6Status\xa5alive\xa4Name\xa2.*"),
        request("join", 6, b"\x82\xa8Existing\x92\xa1a\xa1b\xa6Replay\xc3"),
        request("force-leave", 7, b"\x82\xa4Node\xa1x\xa5Prune\xc3"),
        request("stream", 8, &body([("Type", "user:x,member-join")])),
        request("monitor", 9, &body([("LogLevel", "DEBUG")])),
        request("stop", 10, &body([("Stop", 8)])),
        request("query", 11, &body([("Name", "refused")])),
        request("list-keys", 12, b""),
        request("stats", 13, b""),
    ]
}

async fn still_serves(fake: &Fake) {
    let mut raw = fake.greeted().await;
    raw.send("stats", 1, b"").await;
    assert_eq!(raw.header().await, ("".to_owned(), 1));
    raw.value::<Stats>().await;
}

/// Sends the bytes, closes the sending side, and reads until the server closes too.
async fn abuse(fake: &Fake, bytes: &[u8]) {
    let mut raw = fake.connect().await;
    // The server may close before all is written.
    let _ = raw.write.write_all(bytes).await;
    let _ = raw.write.shutdown().await;
    let drained = timeout(PATIENCE, async { while let Ok(Some(_)) = raw.read.next().await {} }).await;
    assert!(drained.is_ok(), "the server neither answers nor closes: {}", bytes.escape_ascii());
}

#[tokio::test]
async fn announced_lengths_are_not_believed() {
    let fake = Fake::start(Options::default()).await;
    for bytes in [
        &b"\xdb\xff\xff\xff\xff"[..],
        b"\xc6\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x82\xa7Command\xdb\xff\xff\xff\xff",
        b"\x82\xa7Command\xa5event\xa3Seq\xc9\xff\xff\xff\xff\x01",
        b"\xc1",
        &[0x91; 4096],
        &[0x81; 4096],
    ] {
        let mut raw = fake.connect().await;
        raw.write(bytes).await;
        assert!(raw.ended().await, "{}", bytes.escape_ascii());
        // The same after the handshake, and as a body.
        let mut raw = fake.greeted().await;
        raw.write(&[&request("event", 1, b""), bytes].concat()).await;
        assert!(raw.ended().await, "{}", bytes.escape_ascii());
    }
    still_serves(&fake).await;
}

#[tokio::test]
async fn a_message_of_the_limit_is_taken_and_a_larger_one_is_not() {
    let fake = Fake::start(Options::default()).await;
    let mut raw = fake.greeted().await;
    // The map's head, its key, and the head of a str32 take 11 bytes.
    let payload = |size: usize| {
        let length = (size as u32).to_be_bytes();
        [&b"\x81\xa4Name\xdb"[..], &length, &vec![b'x'; size][..]].concat()
    };
    raw.send("event", 1, &payload(Limits::REQUEST.bytes - 11)).await;
    assert_eq!(raw.header().await, ("".to_owned(), 1));
    raw.write(&request("event", 2, &payload(Limits::REQUEST.bytes - 10))[..64]).await;
    assert!(raw.ended().await);
    still_serves(&fake).await;
}

#[tokio::test]
async fn a_conversation_may_come_byte_by_byte() {
    let fake = Fake::start(Options::default()).await;
    let mut raw = fake.connect().await;
    raw.write.as_ref().set_nodelay(true).unwrap();
    for byte in conversation().concat() {
        raw.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    raw.write.shutdown().await.unwrap();
    let mut answered = Vec::new();
    while let Ok(Some(value)) = timeout(PATIENCE, raw.read.next()).await.unwrap() {
        if value.starts_with(b"\x82\xa5Error") {
            let ResponseHeader { seq, .. } = agent_linux::rpc::wire::decode(&value).unwrap();
            answered.push(seq);
        }
    }
    assert_eq!(answered, (1..=13).collect::<Vec<u64>>());
}

#[tokio::test]
async fn every_truncation_is_survived() {
    let fake = Fake::start(Options::default()).await;
    let all = conversation().concat();
    for end in 0..all.len() {
        abuse(&fake, &all[..end]).await;
    }
    still_serves(&fake).await;
}

#[tokio::test]
async fn random_corruption_is_survived() {
    let fake = Fake::start(Options::default()).await;
    let mut random = Random(0x5e12_f00d);
    let greeting = conversation()[0].len();
    for _ in 0..1500 {
        let mut bytes = conversation().concat();
        for _ in 0..1 + random.below(4) {
            // Most of it behind the handshake, or nothing else would be seen.
            let first = if random.below(8) == 0 { 0 } else { greeting };
            let at = first + random.below(bytes.len() - first);
            match random.below(3) {
                0 => bytes[at] = random.below(256) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.below(256) as u8),
            }
        }
        abuse(&fake, &bytes).await;
    }
    still_serves(&fake).await;
}

/// A small generator of its own, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let fake = Fake::start(Options { connections: 3, ..Options::default() }).await;
    let (_a, mut b, _c) = (fake.greeted().await, fake.greeted().await, fake.greeted().await);
    let mut fourth = fake.connect().await;
    assert_eq!(fourth.header().await, ("Too many RPC connections".to_owned(), 0));
    assert!(fourth.ended().await);
    // Once one has gone there is room again.
    b.write.shutdown().await.unwrap();
    assert!(b.ended().await);
    loop {
        let mut again = fake.connect().await;
        let _ = again.write.write_all(&request("handshake", 9, &body([("Version", 1)]))).await;
        if again.header().await == ("".to_owned(), 9) {
            break;
        }
    }
}

#[tokio::test]
async fn who_is_only_connected_gives_way() {
    let fake = Fake::start(Options { connections: 3, ..Options::default() }).await;
    let (mut first, mut second, mut admitted) =
        (fake.connect().await, fake.connect().await, fake.greeted().await);
    let mut more = fake.greeted().await;
    assert!(first.ended().await, "the oldest one has gone");
    let mut yet_more = fake.greeted().await;
    assert!(second.ended().await, "then the next one");
    assert_eq!(fake.connect().await.header().await, ("Too many RPC connections".to_owned(), 0));
    for raw in [&mut admitted, &mut more, &mut yet_more] {
        raw.send("stats", 2, b"").await;
        assert_eq!(raw.header().await, ("".to_owned(), 2));
    }
}

#[tokio::test]
async fn who_says_nothing_or_brings_no_token_is_sent_away() {
    let handshake = Duration::from_secs(1);
    let fake = Fake::start(Options { handshake, auth: Token::new("token"), ..Options::default() }).await;
    let (mut silent, mut half, mut stranger) =
        (fake.connect().await, fake.connect().await, fake.greeted().await);
    half.write(b"\x82\xa7Command").await;
    for raw in [&mut silent, &mut half, &mut stranger] {
        assert!(raw.ended().await);
    }
}

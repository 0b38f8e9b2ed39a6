//! Handshake, token, and one reply to every request.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_linux::rpc::client::{Client, Config, Error};
use agent_linux::rpc::message::{
    EventReceipts, Found, Join, Joined, Keys, Members, Query, QueryRecord, Receipts, Stats, TargetedEvent,
};
use agent_linux::rpc::server::Options;
use agent_linux::rpc::token::Token;
use rmp_serde::decode::from_slice;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::fake::*;

fn with_token() -> Options {
    Options { auth: Token::new("secret"), ..Options::default() }
}

fn event(name: &str) -> Vec<u8> {
    body([("Name", name)])
}

#[tokio::test]
async fn the_handshake_comes_first_and_once() {
    let fake = Fake::start(Options::default()).await;
    for (command, body) in
        [("members", &[][..]), ("event", &event("x")), ("no-such", b"\x80"), ("auth", b"\x80")]
    {
        let mut raw = fake.connect().await;
        raw.send(command, 7, body).await;
        assert_eq!(raw.header().await, ("Handshake required".to_owned(), 7));
        assert!(raw.ended().await);
    }
    let mut raw = fake.connect().await;
    for (seq, version) in [(1, 0), (2, 2), (3, -1)] {
        raw.send("handshake", seq, &body([("Version", version)])).await;
        assert_eq!(raw.header().await, ("Unsupported IPC version".to_owned(), seq));
    }
    raw.send("handshake", 4, b"\xc0").await;
    assert_eq!(raw.header().await, ("Unsupported IPC version".to_owned(), 4));
    raw.send("handshake", 5, &body([("Version", 1)])).await;
    assert_eq!(raw.header().await, ("".to_owned(), 5));
    raw.send("handshake", 6, &body([("Version", 1)])).await;
    assert_eq!(raw.header().await, ("Handshake already performed".to_owned(), 6));
    raw.send("event", 7, &event("still here")).await;
    assert_eq!(raw.header().await, ("".to_owned(), 7));
    assert_eq!(fake.done(), ["event still here  false"]);
}

#[tokio::test]
async fn what_comes_before_the_token_is_refused_once_and_keeps_in_step() {
    let fake = Fake::start(with_token()).await;
    let mut raw = fake.greeted().await;
    let commands = [
        "event",
        "force-leave",
        "join",
        "members",
        "members-filtered",
        "tags",
        "stream",
        "monitor",
        "stop",
        "leave",
        "targeted-event",
        "event-receipts",
        "why",
        "query",
        "respond",
        "install-key",
        "use-key",
        "remove-key",
        "list-keys",
        "stats",
        "get-coordinate",
    ];
    let mut all = Vec::new();
    for (seq, command) in commands.iter().enumerate() {
        let without = ["members", "leave", "list-keys", "stats"].contains(command);
        all.extend(request(command, seq as u64, if without { &[] } else { b"\x81\xa4Name\xc4\x01x" }));
    }
    raw.write(&all).await;
    for seq in 0..commands.len() as u64 {
        assert_eq!(raw.header().await, ("Authentication required".to_owned(), seq));
    }
    for (seq, key, error) in [
        (50, "wrong!", "Invalid authentication token"),
        (51, "", "Invalid authentication token"),
        (52, "secret1", "Invalid authentication token"),
        (53, "secret", ""),
        (54, "wrong", "Invalid authentication token"),
    ] {
        raw.send("auth", seq, &body([("AuthKey", key)])).await;
        assert_eq!(raw.header().await, (error.to_owned(), seq));
    }
    // A later failure takes nothing away.
    raw.send("event", 55, &event("x")).await;
    assert_eq!(raw.header().await, ("".to_owned(), 55));
    assert_eq!(fake.done(), ["event x  false"]);
}

#[tokio::test]
async fn without_a_token_only_the_empty_one_is_right() {
    let fake = Fake::start(Options::default()).await;
    let mut raw = fake.greeted().await;
    raw.send("auth", 1, &body([("AuthKey", "x")])).await;
    assert_eq!(raw.header().await, ("Invalid authentication token".to_owned(), 1));
    raw.send("auth", 2, &body([("AuthKey", "")])).await;
    assert_eq!(raw.header().await, ("".to_owned(), 2));
}

#[tokio::test]
async fn an_unknown_command_ends_the_connection() {
    let fake = Fake::start(Options::default()).await;
    let mut raw = fake.greeted().await;
    raw.send("reboot", 1, b"\x81\xa1a\x01").await;
    assert_eq!(raw.header().await, ("Unsupported command".to_owned(), 1));
    assert!(raw.ended().await);
}

#[tokio::test]
async fn key_commands_are_answered_with_the_body_that_go_waits_for_also_when_they_fail() {
    let fake = Fake::start(Options::default()).await;
    let mut raw = fake.greeted().await;
    for (seq, command) in [(1, "install-key"), (2, "use-key"), (3, "remove-key")] {
        raw.send(command, seq, b"\x81\xa3Key\xa1x").await;
        assert_eq!(raw.header().await, ("1/3 nodes reported failure".to_owned(), seq));
        let keys: Keys = raw.value().await;
        assert_eq!(keys.keys, None, "who has asked for something else is told none");
        assert_eq!((keys.num_err, keys.num_nodes, keys.num_resp), (1, 3, 2));
        assert_eq!(keys.messages, Some(BTreeMap::from([("a".into(), "no room".into())])));
    }
    raw.send("list-keys", 4, b"").await;
    assert_eq!(raw.header().await, (String::new(), 4));
    let keys: Keys = raw.value().await;
    assert_eq!(keys.keys, Some(BTreeMap::from([("k1".into(), 2), ("k2".into(), 1)])));
    assert_eq!(keys.lacking, Some(BTreeMap::from([("k2".into(), vec!["b".to_owned()])])));
    assert_eq!(fake.done(), ["keys Install(..)", "keys Use(..)", "keys Remove(..)", "keys List"]);
    // Nobody was asked.
    raw.send("install-key", 5, b"\x81\xa3Key\xa3bad").await;
    assert_eq!(raw.header().await, ("illegal base64 data at input byte 0".to_owned(), 5));
    let body = raw.read.next().await.unwrap().unwrap();
    assert_eq!(body, b"\x85\xa4Keys\xc0\xa8Messages\x80\xa6NumErr\0\xa8NumNodes\0\xa7NumResp\0");
}

#[tokio::test]
async fn a_coordinate_is_told_as_go_tells_it_and_its_absence_too() {
    let fake = Fake::start(Options::default()).await;
    let mut raw = fake.greeted().await;
    raw.send("get-coordinate", 10, b"\x81\xa4Node\xa1x").await;
    assert_eq!(raw.header().await, (String::new(), 10));
    let none: Found = raw.value().await;
    assert_eq!(none, Found::default());
    raw.send("get-coordinate", 11, b"\x81\xa4Node\xa4web1").await;
    assert_eq!(raw.header().await, (String::new(), 11));
    let found: Found = raw.value().await;
    let place = found.coord;
    assert!(found.ok && place.vec.len() == 8 && (place.height, place.error) == (0.25, 1.5), "{place:?}");
    // Half a second of both heights, and nothing in between.
    assert_eq!(place.distance(&place), 0.5);
    let client = Client::connect(&fake.address.to_string(), Config::default()).await.unwrap();
    assert_eq!(client.coordinate("web1").await, Ok(Some(place)));
    assert_eq!(client.coordinate("web2").await, Ok(None));
}

#[tokio::test]
async fn tags_are_set_and_deleted_and_what_is_wrong_is_said() {
    let fake = Fake::start(Options::default()).await;
    let client = Client::connect(&fake.address.to_string(), Config::default()).await.unwrap();
    let set = |key: &str| BTreeMap::from([(key.to_owned(), "v".to_owned())]);
    client.tags(set("role"), vec!["old".to_owned()]).await.unwrap();
    let refused = client.tags(set("long"), Vec::new()).await.unwrap_err();
    assert_eq!(refused.to_string(), "Encoded length of tags exceeds limit of 512 bytes");
    // As Go's client leaves out what is not to be done.
    let mut raw = fake.greeted().await;
    raw.send("tags", 1, b"\x82\xa4Tags\xc0\xaaDeleteTags\x91\xa1x").await;
    assert_eq!(raw.header().await, (String::new(), 1));
    assert_eq!(
        fake.done(),
        [r#"tags {"role": "v"} ["old"]"#, r#"tags {"long": "v"} []"#, r#"tags {} ["x"]"#]
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let fake = Fake::start(Options::default()).await;
    let mut raw = fake.connect().await;
    let mut all = request("handshake", 0, &body([("Version", 1)]));
    for seq in 1..=500 {
        all.extend(request("event", seq, &event(&format!("e{seq}"))));
    }
    let join = Join { existing: vec!["a".to_owned(), "nobody".to_owned()], replay: true };
    all.extend(request("join", 501, &encoded(&join)));
    all.extend(request("force-leave", 502, b"\x82\xa5Prune\xc3\xa4Node\xa1f"));
    all.extend(request("leave", 503, b""));
    raw.write(&all).await;
    for seq in 0..=501 {
        assert_eq!(raw.header().await, ("".to_owned(), seq));
    }
    assert_eq!(raw.value::<Joined>().await.num, 1);
    assert_eq!(raw.header().await, ("".to_owned(), 502));
    assert_eq!(raw.header().await, ("".to_owned(), 503));
    assert!(raw.ended().await, "the agent has ended");
    let done = fake.done();
    assert_eq!(done[..2], ["event e1  false", "event e2  false"]);
    assert_eq!(done[500..], ["join [\"a\", \"nobody\"] true", "force-leave f true", "leave"]);
}

/// Go Serf's client chooses at random between an answer and the connection's end, if it finds both.
#[tokio::test]
async fn whoever_tells_the_agent_to_leave_may_hang_up_first() {
    let fake = Fake::start(Options::default()).await;
    let (mut leaver, mut other) = (fake.greeted().await, fake.greeted().await);
    leaver.send("leave", 1, b"").await;
    assert_eq!(leaver.header().await, ("".to_owned(), 1));
    assert!(other.ended().await, "the agent has ended");
    tokio::select! {
        biased;
        () = sleep(Duration::from_millis(100)) => {}
        _ = leaver.read.next() => panic!("the server hung up first"),
    }
    leaver.write.shutdown().await.unwrap();
    assert!(leaver.ended().await);
}

#[tokio::test]
async fn errors_of_the_agent_come_through_and_a_failed_join_has_its_body() {
    let fake = Fake::start(Options::default()).await;
    let mut raw = fake.greeted().await;
    raw.send("event", 1, &event("full")).await;
    assert_eq!(raw.header().await, ("event queue full".to_owned(), 1));
    raw.send("join", 2, b"\x81\xa8Existing\x91\xa6nobody").await;
    assert_eq!(raw.header().await, ("1 error occurred:\n\t* nobody there\n\n".to_owned(), 2));
    assert_eq!(raw.value::<Joined>().await.num, 0);
}

#[tokio::test]
async fn an_event_that_waits_holds_up_its_own_connection_only() {
    let fake = Fake::start(Options::default()).await;
    let mut waiting = fake.greeted().await;
    waiting.send("event", 1, &event("wait")).await;
    waiting.send("event", 2, &event("second")).await;
    let mut other = fake.greeted().await;
    other.send("stats", 1, b"").await;
    assert_eq!(other.header().await, ("".to_owned(), 1));
    let stats: Stats = other.value().await;
    assert_eq!(stats["agent"]["name"], "fake");
    assert_eq!(fake.done(), [""; 0]);
    other.send("event", 2, &event("go")).await;
    assert_eq!(other.header().await, ("".to_owned(), 2));
    assert_eq!(waiting.header().await, ("".to_owned(), 1));
    assert_eq!(waiting.header().await, ("".to_owned(), 2));
}

#[tokio::test]
async fn members_are_filtered_by_whole_expressions() {
    let fake = Fake::start(Options::default()).await;
    let mut raw = fake.greeted().await;
    for (body, expected) in [
        (&b"\x80"[..], &["web2", "web1", "db"][..]),
        (b"\x81\xa4Name\xa3web", &[]),
        (b"\x81\xa4Name\xa4web.", &["web2", "web1"]),
        (b"\x81\xa4Name\xa8web1|d.x", &["web1"]),
        (b"\x81\xa4Name\xa4x|db", &["db"]),
        (b"\x82\xa4Name\xa2.*\xa6Status\xa5alive", &["web1", "db"]),
        (b"\x81\xa4Tags\x81\xa4role\xa3web", &["web1"]),
        (b"\x81\xa4Tags\x81\xa4role\xa0", &["db"]),
        (b"\x81\xa4Tags\x82\xa4role\xa4web.\xa2dc\xa2.*", &[]),
        (b"\x93\xc0\xa5alive\xa2db", &["db"]),
    ] {
        raw.send("members-filtered", 1, body).await;
        assert_eq!(raw.header().await, ("".to_owned(), 1));
        let names: Vec<String> = raw.value::<Members>().await.members.into_iter().map(|m| m.name).collect();
        assert_eq!(names, expected, "{}", body.escape_ascii());
    }
    for bad in ["(", "a)(b", "((a{200}){200}){200}"] {
        raw.send("members-filtered", 2, &body([("Name", bad)])).await;
        let (error, _) = raw.header().await;
        assert!(error.contains(bad), "{error}");
        assert!(raw.value::<Members>().await.members.is_empty());
    }
    raw.send("members", 3, b"").await;
    assert_eq!(raw.header().await, ("".to_owned(), 3));
    assert_eq!(raw.value::<Members>().await.members.len(), 3);
}

#[tokio::test]
async fn requests_are_understood_in_every_form_that_go_understands() {
    let fake = Fake::start(Options::default()).await;
    let mut raw = fake.greeted().await;
    let bodies: [(&[u8], &str); 8] = [
        (b"\x83\xa8Coalesce\xc3\xa4Name\xa1n\xa7Payload\xc4\x01p", "event n p true"),
        (b"\x83\xa7Payload\xa1p\xa4Name\xc4\x01n\xa8Coalesce\xc2", "event n p false"),
        (b"\x82\xa5Extra\x91\x81\x01\xd4\x05a\xa4Name\xd9\x01n", "event n  false"),
        (b"\x93\xa1n\xa1p\xc3", "event n p true"),
        (b"\x91\xa1n", "event n  false"),
        (b"\x83\xa8Coalesce\xc0\xa4Name\xc0\xa7Payload\xc0", "event   false"),
        (b"\xc0", "event   false"),
        (b"\x82\xa4Name\xa1\xff\xa7Payload\xa1\xfe", "event \\xff \\xfe false"),
    ];
    // Headers too: other orders and types of number, and an array.
    let headers: [&[u8]; 4] = [
        b"\x82\xa3Seq\x05\xa7Command\xa5event",
        b"\x82\xa7Command\xc4\x05event\xa3Seq\xd3\0\0\0\0\0\0\0\x05",
        b"\x83\xa4More\xc0\xa7Command\xa5event\xa3Seq\xcf\0\0\0\0\0\0\0\x05",
        b"\x92\xa5event\xd0\x05",
    ];
    for header in headers {
        for (body, _) in bodies {
            raw.write(&[header, body].concat()).await;
            assert_eq!(raw.header().await, ("".to_owned(), 5));
        }
    }
    let expected: Vec<&str> = bodies.iter().map(|(_, done)| *done).collect();
    assert_eq!(fake.done(), expected.repeat(headers.len()));
    // A body that is none of these is refused, and the next request is understood.
    raw.send("event", 6, b"\x81\xa4Name\x05").await;
    assert!(raw.header().await.0.starts_with("Invalid request: "));
    raw.send("event", 7, b"\xc0").await;
    assert_eq!(raw.header().await, ("".to_owned(), 7));
}

#[tokio::test]
async fn answers_are_byte_for_byte_what_go_sends() {
    let fake = Fake::start(Options::default()).await;
    let mut raw = fake.greeted().await;
    raw.send("members-filtered", 1, &body([("Name", "web1")])).await;
    let header = raw.read.next().await.unwrap().unwrap();
    assert_eq!(header, b"\x82\xa5Error\xa0\xa3Seq\x01");
    let members = raw.read.next().await.unwrap().unwrap();
    let expected =
        b"\x81\xa7Members\x91\x8b\xa4Addr\xc4\x04\x0a\0\0\x01\xabDelegateCur\x05\xabDelegateMax\x05\
        \xabDelegateMin\x02\xa4Name\xa4web1\xa4Port\xcd\x1f\x0a\xabProtocolCur\x02\xabProtocolMax\x05\
        \xabProtocolMin\x01\xa6Status\xa5alive\xa4Tags\x81\xa4role\xa3web";
    assert_eq!(members.escape_ascii().to_string(), expected.escape_ascii().to_string());
    raw.send("members-filtered", 2, &body([("Name", "nobody")])).await;
    raw.read.next().await.unwrap().unwrap();
    assert_eq!(raw.read.next().await.unwrap().unwrap(), b"\x81\xa7Members\x90");
    assert!(from_slice::<Members>(b"\x81\xa7Members\xc0").unwrap().members.is_empty());
}

#[tokio::test]
async fn what_the_fleet_says_to_a_query_comes_as_records_of_three_types() {
    let fake = Fake::start(Options::default()).await;
    let mut raw = fake.greeted().await;
    let request = Query {
        filter_nodes: vec!["web1".to_owned()],
        filter_tags: BTreeMap::from([("role".to_owned(), "we".to_owned())]),
        request_ack: true,
        timeout: 1_500_000_000,
        name: "load".to_owned(),
        payload: b"\xff".to_vec(),
        ..Query::default()
    };
    raw.send("query", 7, &encoded(&request)).await;
    assert_eq!(raw.header().await, ("".to_owned(), 7));
    for (from, payload, kind) in [
        ("web1", &b""[..], "ack"),
        ("web1", b"1.5\n", "response"),
        ("db", b"", "response"),
        ("", b"", "done"),
    ] {
        assert_eq!(raw.header().await, ("".to_owned(), 7));
        let (from, payload, kind) = (from.to_owned(), payload.to_vec(), kind.to_owned());
        assert_eq!(raw.value::<QueryRecord>().await, QueryRecord { from, payload, r#type: kind });
    }
    let asked = "Query { name: \"load\", payload: [255], target: Target { nodes: [\"web1\"], tags: {\"role\": \"we\"} }, ack: true, \
                 timeout: Some(1.5s), wait_full_timeout: false, signed: None }";
    assert_eq!(fake.done(), [asked]);

    // Nothing is nil to Go.
    let mut record = Vec::new();
    QueryRecord { from: "db".to_owned(), payload: Vec::new(), r#type: "ack".to_owned() }.encode(&mut record);
    assert_eq!(record, b"\x83\xa4From\xa2db\xa7Payload\xc0\xa4Type\xa3ack");

    // Go's agents end it before anybody can answer. No time at all is what the agent sees fit.
    for (seq, timeout, said) in [(8, -1, "The timeout must not be negative"), (9, 0, "")] {
        raw.send("query", seq, &encoded(&Query { timeout, name: "x".to_owned(), ..Query::default() })).await;
        assert_eq!(raw.header().await, (said.to_owned(), seq));
    }
    assert!(fake.done()[1].contains("timeout: None"), "{:?}", fake.done());
}

#[tokio::test]
async fn a_query_that_has_ended_takes_no_place_of_a_stream() {
    let options = Options { streams: 1, ..Options::default() };
    let fake = Fake::start(options).await;
    let client = Client::connect(&fake.address.to_string(), Config::default()).await.unwrap();
    for _ in 0..3 {
        let query = Query { name: "load".to_owned(), wait_full_timeout: Some(false), ..Query::default() };
        let mut records = loop {
            // The record of the end is sent before the place is free.
            match client.query(&query).await {
                Ok(records) => break records,
                Err(error) => assert_eq!(error, Error::Refused("Too many streams".to_owned())),
            }
        };
        while records.next().await.unwrap().unwrap().record.r#type != "done" {}
    }
    let refused = client.query(&Query { name: "refused".to_owned(), ..Query::default() }).await;
    assert_eq!(refused.unwrap_err(), Error::Refused("Queries cannot contain the '_serf_' prefix".to_owned()));
    assert_eq!(
        client.respond(1, b"x").await,
        Err(Error::Refused("No pending queries matching ID".to_owned()))
    );
}

#[tokio::test]
async fn an_event_for_some_brings_its_filters_in_a_command_that_go_does_not_know() {
    let fake = Fake::start(Options::default()).await;
    let client = Client::connect(&fake.address.to_string(), Config::default()).await.unwrap();
    let event = TargetedEvent {
        filter_nodes: vec!["a".to_owned()],
        filter_tags: BTreeMap::from([("role".to_owned(), "db".to_owned())]),
        name: b"deploy".to_vec(),
        payload: b"\xff".to_vec(),
        coalesce: true,
        signed: None,
    };
    client.targeted_event(&event).await.unwrap();
    let target = r#"Target { nodes: ["a"], tags: {"role": "db"} }"#;
    assert_eq!(fake.done(), [format!(r"event deploy \xff true {target}")]);
}

#[tokio::test]
async fn receipts_are_asked_for_with_a_share_and_a_time() {
    let fake = Fake::start(Options::default()).await;
    let client = Client::connect(&fake.address.to_string(), Config::default()).await.unwrap();
    let event = TargetedEvent { name: b"\xff".to_vec(), ..TargetedEvent::default() };
    let mut request = EventReceipts::of(event, 95, 1_500_000_000);
    let receipts = client.event_with_receipts(&request).await.unwrap();
    let missing = vec!["web2".to_owned(), "a\nb".to_owned()];
    assert_eq!(receipts, Receipts { members: 20, missing, took: 1_940_000 });
    assert_eq!(fake.done(), [r"\xff Wait { share: 95, timeout: 1.5s }"]);
    for (share, timeout) in [(0, 1), (101, 1), (50, -1)] {
        (request.share, request.timeout) = (share, timeout);
        let why = "Share must be 1 to 100 percent, and the time not negative".to_owned();
        assert_eq!(client.event_with_receipts(&request).await, Err(Error::Refused(why)));
    }
}

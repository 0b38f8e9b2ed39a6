//! The project's own client, against its own server and against agents that behave like Go's.

use std::sync::Arc;
use std::time::Duration;

use agent_linux::agent::model::Event;
use agent_linux::rpc::client::{Client, Config, Error, Record};
use agent_linux::rpc::message::{MembersFiltered, RequestHeader};
use agent_linux::rpc::server::Options;
use agent_linux::rpc::token::Token;
use agent_linux::rpc::wire::{Limits, Reader, decode};
use log::Level;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fake::*;

async fn connect(fake: &Fake) -> Client {
    Client::connect(&fake.address.to_string(), Config::default()).await.unwrap()
}

/// An agent that is played by `play`.
async fn played<F: Future<Output = ()> + Send + 'static>(
    play: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { play(listener.accept().await.unwrap().0).await });
    address
}

#[tokio::test]
async fn every_command_works() {
    let fake = Fake::start(Options { auth: Token::new("token"), ..Options::default() }).await;
    let address = fake.address.to_string();
    let config = |auth: &str| Config { auth: auth.to_owned(), ..Config::default() };
    let wrong = Client::connect(&address, config("wrong")).await.unwrap_err();
    assert_eq!(wrong.to_string(), "Invalid authentication token");
    let without = Client::connect(&address, Config::default()).await.unwrap();
    assert_eq!(without.members().await.unwrap_err().to_string(), "Authentication required");
    assert_eq!(without.join(vec![], false).await.unwrap_err().to_string(), "Authentication required");

    let client = Client::connect(&address, config("token")).await.unwrap();
    client.event(b"\xff", b"p", true).await.unwrap();
    assert_eq!(client.event(b"full", b"", false).await, Err(Error::Refused("event queue full".to_owned())));
    assert_eq!(client.members().await.unwrap().len(), 3);
    let bad = MembersFiltered { name: "(".to_owned(), ..MembersFiltered::default() };
    assert!(
        matches!(client.members_filtered(&bad).await, Err(Error::Refused(error)) if error.contains("'('"))
    );
    let good = MembersFiltered { status: "failed".to_owned(), ..MembersFiltered::default() };
    let failed = client.members_filtered(&good).await.unwrap();
    assert_eq!((failed[0].name.as_str(), failed[0].ip()), ("web2", Some([10, 0, 0, 2].into())));
    assert_eq!(client.join(vec!["a".to_owned()], true).await, Ok(1));
    assert_eq!(
        client.join(vec!["nobody".to_owned()], true).await,
        Err(Error::Refused("1 error occurred:\n\t* nobody there\n\n".to_owned()))
    );
    client.force_leave("x", true).await.unwrap();
    assert_eq!(client.stats().await.unwrap()["agent"]["name"], "fake");
    client.leave().await.unwrap();
    assert_eq!(
        fake.done(),
        [
            "event \\xff p true",
            "event full  false",
            "join [\"a\"] true",
            "join [\"nobody\"] true",
            "force-leave x true",
            "leave"
        ]
    );
}

#[tokio::test]
async fn streams_and_commands_share_a_connection() {
    let fake = Fake::start(Options::default()).await;
    let client = connect(&fake).await;
    assert_eq!(client.stream("bogus").await.unwrap_err().to_string(), "Invalid event filter");
    let mut events = client.stream("user:a").await.unwrap();
    fake.logs.push(Level::Info, "old");
    let mut lines = client.monitor("info").await.unwrap();
    assert_eq!(client.monitor("info").await.unwrap_err().to_string(), "Monitor already exists");
    for ltime in 1..=100 {
        let name = if ltime % 2 == 0 { "a" } else { "b" };
        fake.hub.publish(Arc::new(Event::User {
            ltime,
            name: name.into(),
            payload: vec![],
            coalesce: false,
        }));
    }
    fake.logs.push(Level::Info, "new");
    assert_eq!(client.members().await.unwrap().len(), 3);
    for ltime in (2..=100).step_by(2) {
        let received = events.next().await.unwrap().unwrap();
        let Record::User(user) = received.record else { panic!("{received:?}") };
        assert_eq!((user.ltime, received.missed), (ltime, 0));
    }
    assert_eq!(lines.next().await.unwrap().unwrap().record, "old");
    assert_eq!(lines.next().await.unwrap().unwrap().record, "new");
    client.stop(lines).await.unwrap();
    client.monitor("debug").await.unwrap();
    client.leave().await.unwrap();
    assert_eq!(events.next().await, Ok(None));
    assert_eq!(client.members().await, Err(Error::Closed));
}

/// An agent that says these bytes, each when the request with that number has come, and then waits for the end.
async fn scripted(script: Vec<(u64, Vec<u8>)>) -> String {
    played(|stream| async move {
        let (read, mut write) = stream.into_split();
        let mut read = Reader::new(read, Limits::ANSWER);
        for (wanted, bytes) in script {
            // Bodies have no number.
            while decode::<RequestHeader>(&read.next().await.unwrap().unwrap()).unwrap().seq != wanted {}
            write.write_all(&bytes).await.unwrap();
        }
        while let Ok(Some(_)) = read.next().await {}
    })
    .await
}

#[tokio::test]
async fn gos_second_refusal_of_one_request_does_no_harm() {
    let address = scripted(vec![
        (1, b"\x82\xa5Error\xa0\xa3Seq\x01".to_vec()),
        (2, b"\x82\xa5Error\xb7Authentication required\xa3Seq\x02".repeat(2)),
        // Numbers as signed ones, which newer agents send.
        (3, b"\x82\xa5Error\xa0\xa3Seq\xd3\0\0\0\0\0\0\0\x03\x81\xa3Num\xd2\0\0\0\x02".to_vec()),
    ]);
    let client = Client::connect(&address.await, Config::default()).await.unwrap();
    assert_eq!(
        client.event(b"a", b"", false).await,
        Err(Error::Refused("Authentication required".to_owned()))
    );
    assert_eq!(client.join(vec!["a".to_owned()], false).await, Ok(2));
}

#[tokio::test]
async fn records_that_arrive_after_a_stream_was_stopped_do_no_harm() {
    let records = b"\x82\xa5Error\xa0\xa3Seq\x02\x81\xa5Event\xa4user".repeat(3);
    let address = scripted(vec![
        (1, b"\x82\xa5Error\xa0\xa3Seq\x01".to_vec()),
        (2, [b"\x82\xa5Error\xa0\xa3Seq\x02", &records[..]].concat()),
        (3, [b"\x82\xa5Error\xa0\xa3Seq\x03", &records[..]].concat()),
        (4, b"\x82\xa5Error\xa0\xa3Seq\x04\x81\xa5agent\x80".to_vec()),
    ]);
    let client = Client::connect(&address.await, Config::default()).await.unwrap();
    let events = client.stream("*").await.unwrap();
    client.stop(events).await.unwrap();
    assert!(client.stats().await.unwrap().contains_key("agent"));
}

#[tokio::test]
async fn an_agent_that_never_answers_is_given_up() {
    let address = played(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    });
    let config = Config { answer: Duration::from_millis(30), ..Config::default() };
    let error = Client::connect(&address.await, config).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer from the agent within 0.03 s");
}

#[tokio::test]
async fn what_is_no_agent_is_found_out() {
    for (says, error) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "answer not understood: "),
        (b"\xdb\xff\xff\xff\xff", "answer not understood: message too large"),
        (b"\x82\xa5Error\xb8Too many RPC connections\xa3Seq\x00", "Too many RPC connections"),
        (b"", "client closed"),
    ] {
        let address = played(move |mut stream| async move {
            stream.write_all(says).await.unwrap();
            stream.shutdown().await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
        });
        let found = Client::connect(&address.await, Config::default()).await.unwrap_err().to_string();
        assert!(found.starts_with(error), "{found}");
    }
}

#[tokio::test]
async fn addresses_are_judged_as_go_judges_them() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (address, error) in [
        (unused.to_string(), format!("dial tcp {unused}: connect: connection refused")),
        ("bogus".to_owned(), "dial tcp: address bogus: missing port in address".to_owned()),
        ("[::1]".to_owned(), "dial tcp: address [::1]: missing port in address".to_owned()),
        ("127.0.0.1:99999".to_owned(), "dial tcp: address 99999: invalid port".to_owned()),
        ("".to_owned(), "dial tcp: missing address".to_owned()),
    ] {
        assert_eq!(Client::connect(&address, Config::default()).await.unwrap_err().to_string(), error);
    }
}

//! Queries between whole agents in one process, and through their RPC.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use agent_linux::agent::embed::{Agent, Setup};
use agent_linux::agent::error::Refusal;
use agent_linux::agent::filter::Filter;
use agent_linux::agent::handler::Spec;
use agent_linux::agent::model::{Event, Status};
use agent_linux::agent::query::{Query, Question, Replies, Reply, Target};
use agent_linux::agent::receipts::UserEvent;
use agent_linux::rpc::client::{Client, Config, Error, Record};
use agent_linux::rpc::logs::LogHub;
use agent_linux::rpc::message::QuestionRecord;
use agent_linux::rpc::server::{Options, serve};
use serf_nostd::QueryError;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

/// Generous: only a broken agent comes near it.
const DEADLINE: Duration = Duration::from_secs(60);

/// Agents that see each other, the first one with these handlers.
async fn pair(handlers: &[&str]) -> (Agent, Agent) {
    let setup = |name: &str, handlers: &[&str]| {
        let handlers = handlers.iter().flat_map(|text| Spec::parse(text).unwrap()).collect();
        Setup { handlers, max_members: 16, ..Setup::new(name, (Ipv4Addr::LOCALHOST, 0).into()) }
    };
    let first = Agent::start(setup("first", handlers)).await.unwrap();
    let second = Agent::start(setup("second", &[])).await.unwrap();
    assert_eq!(second.handle.join(vec![first.bound.to_string()], false).await, Ok(1));
    let meeting = async {
        for agent in [&first, &second] {
            let live = |member: &agent_linux::agent::model::Member| member.status == Status::Alive;
            while agent.handle.members().await.unwrap().iter().filter(|member| live(member)).count() < 2 {
                sleep(Duration::from_millis(10)).await;
            }
        }
    };
    timeout(DEADLINE, meeting).await.expect("they meet");
    (first, second)
}

/// A query that nobody would see the end of if it did not end early.
fn query(name: &str, payload: &[u8]) -> Query {
    let (name, payload) = (name.to_owned(), payload.to_vec());
    Query { name, payload, timeout: Some(24 * 60 * DEADLINE), ..Query::default() }
}

/// What is said until the end, in one order.
async fn said(mut replies: Replies) -> Vec<String> {
    let all = async {
        let mut all = Vec::new();
        while let Some(reply) = replies.next().await {
            all.push(match reply {
                Reply::Ack { from } => format!("{from}: ack"),
                Reply::Response { from, payload } => format!("{from}: {}", payload.escape_ascii()),
            });
        }
        all.sort_unstable();
        all
    };
    timeout(DEADLINE, all).await.expect("the query ends")
}

async fn asked(agent: &Agent, query: Query) -> Vec<String> {
    said(agent.handle.query(query).await.unwrap()).await
}

#[tokio::test]
async fn the_first_handler_that_prints_something_and_succeeds_is_the_answer() {
    let (first, second) = pair(&[
        "query:load=exit 0",
        "query:load=echo lost; exit 3",
        "query=printf '%s ' $SERF_QUERY_NAME $SERF_EVENT; cat",
        "query:load=echo late",
    ])
    .await;
    let acked = Query { ack: true, ..query("load", b"p") };
    assert_eq!(asked(&second, acked).await, ["first: ack", r"first: load query p\n", "second: ack"]);
    assert_eq!(asked(&first, query("other", b"\xff\n")).await, [r"first: other query \xff\n"]);
    assert_eq!(asked(&first, query("", b"")).await, ["first: query "]);
}

#[tokio::test]
async fn filters_choose_who_is_asked_and_nobody_else_hears_of_it() {
    let (first, second) = pair(&["query=cat"]).await;
    second.handle.set_tags([("role".to_owned(), "web12".to_owned())].into()).await.unwrap();
    let tagged = |expression: &str| {
        let tags = [("role".to_owned(), expression.to_owned())].into();
        Query { target: Target { tags, ..Target::default() }, ack: true, ..query("load", b"x") }
    };
    let known = async {
        while asked(&first, tagged("b[0-9]{2}$")).await != ["second: ack"] {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, known).await.expect("both know the tag");
    assert_eq!(asked(&first, tagged("^b")).await, [""; 0]);
    // A missing tag counts as empty.
    assert_eq!(asked(&second, tagged("^$")).await, ["first: ack", r"first: x\n"]);
    let nodes = vec!["first".to_owned(), "nobody".to_owned()];
    let named = Query { target: Target { nodes, ..Target::default() }, ..query("load", b"x") };
    assert_eq!(asked(&second, named).await, [r"first: x\n"]);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_in_serfs_words() {
    let (first, _second) = pair(&[]).await;
    let tagged = |expression: &str| {
        let tags = [("a".to_owned(), expression.to_owned())].into();
        Target { tags, ..Target::default() }
    };
    let named = |name: &str, count| Target { nodes: vec![name.to_owned(); count], ..Target::default() };
    for (wrong, words) in [
        (query("_serf_x", b""), "Queries cannot contain the '_serf_' prefix"),
        (query("_serf_ping", b"x"), "Queries cannot contain the '_serf_' prefix"),
        (query("x", &[0; 1100]), "query exceeds limit of 1024 bytes"),
        (Query { target: tagged("("), ..query("x", b"") }, "Invalid regular expression '(': unclosed group"),
        (Query { target: named("", 1), ..query("x", b"") }, "Node name must have 1 to 128 bytes"),
        (
            Query { target: named(&"x".repeat(100), 6), ..query("x", b"") },
            "the filters are longer than 512 bytes, or have an empty name",
        ),
    ] {
        assert_eq!(first.handle.query(wrong).await.unwrap_err().to_string(), words);
    }
    let mut running = Vec::new();
    let refused = loop {
        let waiting = Query { wait_full_timeout: true, ..query("x", b"") };
        match first.handle.query(waiting).await {
            Ok(replies) => running.push(replies),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!((running.len(), refused), (64, Refusal::Query(QueryError::TooMany)));
    // Those whose client has gone are in nobody's way.
    drop(running);
    assert_eq!(asked(&first, query("x", b"")).await, [""; 0]);
}

#[tokio::test]
async fn an_event_for_some_is_handed_out_by_those_and_by_nobody_else() {
    let (first, second) = pair(&[]).await;
    let listeners = [&first, &second].map(|agent| agent.hub.subscribe(Filter::parse("user").unwrap()));
    let node = |name: &str| Target { nodes: vec![name.to_owned()], ..Target::default() };
    let tag = |expression: &str| {
        let tags = [("role".to_owned(), expression.to_owned())].into();
        Target { tags, ..Target::default() }
    };
    let event = |target: Target, payload: &str| UserEvent {
        target,
        name: b"e".to_vec(),
        payload: payload.into(),
        coalesce: false,
        signed: None,
    };
    // In both directions, and for those who fire them; behind each other, so that what is wrong would come before.
    for (target, payload) in [
        (node("second"), "1"),
        (node("first"), "2"),
        (node("nobody"), "3"),
        (tag("^$"), "4"),
        (tag("."), "5"),
        (Target::default(), "6"),
    ] {
        first.handle.event_for(event(target, payload)).await.unwrap();
    }
    for (listener, expected) in listeners.iter().zip([["2", "4", "6"], ["1", "4", "6"]]) {
        let mut heard = Vec::new();
        for _ in expected {
            let (event, _) = timeout(DEADLINE, listener.next()).await.expect("an event");
            let Event::User { payload, .. } = &*event else { panic!("{event:?}") };
            heard.push(String::from_utf8(payload.clone()).unwrap());
        }
        heard.sort_unstable();
        assert_eq!(heard, expected);
    }
    for (wrong, words) in [
        (tag("("), "Invalid regular expression '(': unclosed group"),
        (node(""), "Node name must have 1 to 128 bytes"),
    ] {
        assert_eq!(first.handle.event_for(event(wrong, "")).await.unwrap_err().to_string(), words);
    }
}

/// The next question at this agent.
async fn question(listener: &agent_linux::agent::hub::Stream) -> Arc<Question> {
    let (event, _) = timeout(DEADLINE, listener.next()).await.expect("a question");
    let Event::Query(question) = &*event else { panic!("{event:?}") };
    question.clone()
}

#[tokio::test]
async fn whoever_holds_a_question_may_answer_it_once() {
    let (first, second) = pair(&[]).await;
    let listener = second.hub.subscribe(Filter::parse("query:load").unwrap());
    let replies = first.handle.query(query("load", b"p")).await.unwrap();
    let held = question(&listener).await;
    assert_eq!((&*held.name, &*held.payload, &*held.source), ("load", &b"p"[..], "first"));
    let long = held.respond(vec![0; 1100]).await.unwrap_err();
    assert_eq!(long, Refusal::Answer(QueryError::TooLong(1024)));
    held.respond(b"yes".to_vec()).await.unwrap();
    let again = held.respond(b"no".to_vec()).await.unwrap_err();
    assert_eq!(again.to_string(), "failed to respond to key query: response already sent");
    assert_eq!(said(replies).await, ["second: yes"]);

    // Let go of, it is answered too: there is nothing to wait for.
    let replies = first.handle.query(query("load", b"")).await.unwrap();
    drop(question(&listener).await);
    assert_eq!(said(replies).await, [""; 0]);
    let brief = Query { timeout: Some(Duration::from_millis(200)), ..query("load", b"") };
    let replies = first.handle.query(brief).await.unwrap();
    let held = question(&listener).await;
    assert_eq!(said(replies).await, [""; 0]);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(held.respond(b"late".to_vec()).await, Err(Refusal::Answer(QueryError::Over)));
}

#[tokio::test]
async fn what_has_been_answered_takes_no_place_of_what_has_not() {
    let (first, second) = pair(&[]).await;
    // More than there are places, each with a day to go.
    for _ in 0..260 {
        assert_eq!(asked(&first, query("load", b"")).await, [""; 0]);
    }
    for (asker, other) in [(&first, &second), (&second, &first)] {
        let listeners = [asker, other].map(|agent| agent.hub.subscribe(Filter::parse("query:hold").unwrap()));
        let mut running = Vec::new();
        for _ in 0..3 {
            running.push(asker.handle.query(query("hold", b"")).await.unwrap());
        }
        for listener in &listeners {
            let held = [question(listener).await, question(listener).await, question(listener).await];
            for question in held {
                question.respond(b"yes".to_vec()).await.unwrap();
            }
        }
        for replies in running {
            assert_eq!(said(replies).await, ["first: yes", "second: yes"]);
        }
    }
}

#[tokio::test]
async fn clients_answer_by_the_number_in_the_record_and_observers_hold_nobody_up() {
    let (first, second) = pair(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (handle, hub) = (second.handle.clone(), second.hub.clone());
    tokio::spawn(serve(listener.into(), handle, hub, LogHub::new(), Options::default()));
    let client = Client::connect(&address, Config::default()).await.unwrap();

    let mut observed = client.observe("*").await.unwrap();
    assert_eq!(asked(&first, query("load", b"")).await, [""; 0]);
    let received = observed.next().await.unwrap().unwrap().record;
    assert!(matches!(&received, Record::Query { id: 1, name, .. } if name == b"load"), "{received:?}");
    let refused = Error::Refused("No pending queries matching ID".to_owned());
    assert_eq!(client.respond(1, b"x").await, Err(refused.clone()));
    client.stop(observed).await.unwrap();

    let mut records = client.stream("query").await.unwrap();
    let replies = first.handle.query(query("load", b"\xff")).await.unwrap();
    let received = records.next().await.unwrap().unwrap().record;
    let Record::Query { id: 2, payload, .. } = received else { panic!("{received:?}") };
    assert_eq!(payload, b"\xff");
    client.respond(2, b"yes").await.unwrap();
    assert_eq!(said(replies).await, ["second: yes"]);
    let twice = "failed to respond to key query: response already sent".to_owned();
    assert_eq!(client.respond(2, b"no").await, Err(Error::Refused(twice)));
    assert_eq!(client.respond(3, b"x").await, Err(refused));

    // A client that goes is waited for no more.
    let replies = first.handle.query(query("load", b"")).await.unwrap();
    records.next().await.unwrap().unwrap();
    drop((client, records));
    assert_eq!(said(replies).await, [""; 0]);
}

#[test]
fn the_record_of_a_question_is_serfs() {
    let (name, payload) = ("load".to_owned(), b"pp".to_vec());
    let mut record = Vec::new();
    QuestionRecord { id: 1, ltime: 1, name, payload }.encode(&mut record);
    assert_eq!(record, b"\x85\xa5Event\xa5query\xa2ID\x01\xa5LTime\x01\xa4Name\xa4load\xa7Payload\xc4\x02pp");
}

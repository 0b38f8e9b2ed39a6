//! Whole agents in one process, over real sockets of 127.0.0.1.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use agent_linux::agent::driver::End;
use agent_linux::agent::embed::{Agent, Setup};
use agent_linux::agent::filter::Filter;
use agent_linux::agent::handle::{Gone, Request};
use agent_linux::agent::handler::Spec;
use agent_linux::agent::hub::Stream;
use agent_linux::agent::model::{Event, Member, Status};
use tokio::time::{sleep, timeout};

/// Generous: only a broken agent comes near it.
const DEADLINE: Duration = Duration::from_secs(60);

fn setup(name: &str) -> Setup {
    let core = serf_nostd::Config {
        // A dead address should not hold a test up for ten seconds.
        join_timeout: serf_nostd::Duration::from_secs(2),
        // Nobody else is there to confirm a suspicion.
        suspicion_max_mult: 1,
        ..serf_nostd::Config::LAN
    };
    Setup { core, max_members: 16, ..Setup::new(name, (Ipv4Addr::LOCALHOST, 0).into()) }
}

async fn started(setup: Setup) -> Agent {
    Agent::start(setup).await.unwrap()
}

async fn join(agent: &Agent, addresses: &[SocketAddr]) -> (usize, Option<String>) {
    let addresses = addresses.iter().map(SocketAddr::to_string).collect();
    agent.handle.ask(|reply| Request::Join { addresses, replay: false, reply }).await.unwrap()
}

async fn members(agent: &Agent) -> Vec<Member> {
    agent.handle.ask(|reply| Request::Members { reply }).await.unwrap()
}

/// Waits until `agent` sees the member as asked for.
async fn sees(agent: &Agent, name: &str, holds: impl Fn(&Member) -> bool) {
    let seen = async {
        while !members(agent).await.iter().any(|member| member.name == name && holds(member)) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, seen).await.unwrap_or_else(|_| panic!("{name} is not seen as expected"));
}

async fn fire(agent: &Agent, name: &[u8], payload: &[u8]) -> Result<(), String> {
    let (name, payload) = (name.to_vec(), payload.to_vec());
    agent.handle.ask(|reply| Request::Event { name, payload, coalesce: false, reply }).await.unwrap()
}

/// Two agents that see each other.
async fn pair() -> (Agent, Agent) {
    let (first, second) = (started(setup("first")).await, started(setup("second")).await);
    assert_eq!(join(&second, &[first.bound]).await, (1, None));
    sees(&first, "second", |member| member.status == Status::Alive).await;
    sees(&second, "first", |member| member.status == Status::Alive).await;
    (first, second)
}

fn user_events(agent: &Agent) -> Stream {
    agent.hub.subscribe(Filter::parse("user").unwrap())
}

/// The next user event: Lamport time and payload.
async fn next(events: &Stream) -> (u64, Vec<u8>) {
    let (event, missed) = timeout(DEADLINE, events.next()).await.expect("an event");
    assert_eq!(missed, 0);
    let Event::User { ltime, payload, .. } = &*event else { panic!("{event:?}") };
    (*ltime, payload.clone())
}

#[tokio::test]
async fn agents_meet_and_each_event_reaches_both_once() {
    let (first, second) = pair().await;
    let taps = [user_events(&first), user_events(&second)];
    for number in 0..200_u8 {
        fire(&first, b"numbered", &[number]).await.unwrap();
    }
    for tap in taps {
        let mut payloads = Vec::new();
        for _ in 0..200 {
            payloads.extend(next(&tap).await.1);
        }
        payloads.sort_unstable();
        assert_eq!(payloads, (0..200).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_node_that_is_about_to_join_stamps_its_events_after_the_clusters() {
    let (first, _second) = pair().await;
    for _ in 0..50 {
        fire(&first, b"before", b"").await.unwrap();
    }
    let third = started(Setup { seeded: true, ..setup("third") }).await;
    let tap = user_events(&third);
    let early = fire(&third, b"early", b"mine");
    let late = async {
        sleep(Duration::from_millis(100)).await;
        join(&third, &[first.bound]).await
    };
    let (fired, joined) = tokio::join!(early, late);
    assert_eq!((fired, joined), (Ok(()), (1, None)));
    let (ltime, payload) = next(&tap).await;
    assert_eq!(payload, b"mine", "events from before the join were not asked for");
    assert!(ltime > 50, "{ltime}");
}

#[tokio::test]
async fn a_seed_that_does_not_answer_is_told_and_the_node_starts_alone() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dead = [silent.local_addr().unwrap()];
    let agent = started(Setup { seeded: true, ..setup("alone") }).await;
    let tap = user_events(&agent);
    let (fired, joined) = tokio::join!(fire(&agent, b"e", b"x"), join(&agent, &dead));
    let error = format!("1 error occurred:\n\t* Failed to join {}: no answer\n\n", dead[0]);
    assert_eq!(joined, (0, Some(error)));
    assert_eq!(fired, Ok(()));
    assert_eq!(next(&tap).await, (1, b"x".to_vec()));
}

#[tokio::test]
async fn one_answer_is_enough_for_a_join_and_more_addresses_than_the_core_tries_at_once_wait() {
    let seed = started(setup("seed")).await;
    let dead: Vec<_> = (0..9).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let mut addresses: Vec<_> = dead.iter().map(|socket| socket.local_addr().unwrap()).collect();
    addresses.push(seed.bound);
    let agent = started(setup("joiner")).await;
    assert_eq!(join(&agent, &addresses).await, (1, None));

    let addresses = vec!["/no-name".to_owned(), "a:b:c".to_owned()];
    let (joined, error) =
        agent.handle.ask(|reply| Request::Join { addresses, replay: false, reply }).await.unwrap();
    let error = error.unwrap();
    assert_eq!(joined, 0);
    assert!(
        error.starts_with("2 errors occurred:\n\t* Failed to resolve /no-name: empty node name"),
        "{error}"
    );
    assert!(error.contains("\t* Failed to resolve a:b:c: "), "{error}");
}

#[tokio::test]
async fn leaving_is_answered_when_it_is_done_and_ends_the_agent() {
    let (first, second) = pair().await;
    let leave = || second.handle.ask(|reply| Request::Leave { reply });
    let (left, again) = tokio::join!(leave(), leave());
    assert_eq!(left, Ok(Ok(())));
    assert_eq!(again, Ok(Err("Leave already in progress".to_owned())));
    assert_eq!(leave().await, Err(Gone));
    assert_eq!(second.end.await.unwrap(), End::Left);
    sees(&first, "second", |member| member.status == Status::Left).await;
}

#[tokio::test]
async fn events_beyond_the_limits_are_refused_in_serfs_words() {
    let agent = started(setup("agent")).await;
    for (len, answer) in [
        (511, Err("user event exceeds configured limit of 512 bytes before encoding")),
        (510, Err("encoded user event exceeds configured limit of 512 bytes after encoding")),
        (480, Ok(())),
    ] {
        assert_eq!(fire(&agent, b"ab", &vec![b'x'; len]).await, answer.map_err(str::to_owned), "{len}");
    }
}

#[tokio::test]
async fn an_event_that_finds_no_room_for_five_seconds_is_refused() {
    let slow = |name| Setup { core: serf_nostd::Config::WAN, ..setup(name) };
    let (first, second) = (started(slow("first")).await, started(slow("second")).await);
    assert_eq!(join(&second, &[first.bound]).await, (1, None));
    sees(&first, "second", |member| member.status == Status::Alive).await;
    // Nobody shows any more to have an event, so each own one keeps its slot.
    second.end.abort();
    let fired: Vec<_> = (0..1030_u32)
        .map(|number| {
            let handle = first.handle.clone();
            tokio::spawn(async move {
                let (name, payload) = (b"burst".to_vec(), number.to_be_bytes().to_vec());
                handle.ask(|reply| Request::Event { name, payload, coalesce: false, reply }).await
            })
        })
        .collect();
    let mut refused = 0;
    for answer in fired {
        match answer.await.unwrap().unwrap() {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error, "event queue full");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 1030 - 1024);
}

/// Who listens is not kept waiting by a script, and the script gets everything in the end, the oldest first.
#[tokio::test]
async fn a_handler_that_is_stuck_delays_its_own_events_and_nothing_else() {
    // More than the core would keep for an application that takes nothing.
    const EVENTS: usize = 3_000;
    let folder = std::env::temp_dir().join(format!("serf-agent-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (gate, out) = (folder.join("gate"), folder.join("out"));
    let script =
        format!("while [ ! -e '{}' ]; do sleep 0.05; done; cat >>'{}'", gate.display(), out.display());
    let agent =
        started(Setup { handlers: Spec::parse(&format!("user={script}")).unwrap(), ..setup("slow") }).await;
    let events = user_events(&agent);
    for number in 0..EVENTS {
        fire(&agent, b"e", number.to_string().as_bytes()).await.unwrap();
        assert_eq!(next(&events).await.1, number.to_string().as_bytes());
    }
    assert_eq!(members(&agent).await.len(), 1, "it answers meanwhile");
    let stats = agent.handle.ask(|reply| Request::Stats { reply }).await.unwrap();
    assert_eq!((&*stats["handlers"]["waiting"], &*stats["levels"]["events_waiting"]), ("2999", "0"));

    std::fs::write(&gate, "").unwrap();
    let expected: String = (0..EVENTS).map(|number| format!("{number}\n")).collect();
    let handled = async {
        while std::fs::read_to_string(&out).unwrap_or_default() != expected {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, handled).await.expect("every event is handled once, in order");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn who_brings_a_name_that_is_taken_is_the_one_to_end() {
    let (first, second) = pair().await;
    let intruder = started(Setup { seeded: true, ..setup("second") }).await;
    let addresses = vec![first.bound.to_string()];
    let joined = intruder.handle.ask(|reply| Request::Join { addresses, replay: false, reply }).await;
    assert_eq!(joined, Err(Gone));
    assert_eq!(intruder.end.await.unwrap(), End::NameTaken(first.bound));
    sees(&first, "second", |member| member.port == second.bound.port()).await;
}

#[tokio::test]
async fn tags_and_a_forced_leave_reach_the_others() {
    let (first, second) = pair().await;
    let tags = BTreeMap::from([("role".to_owned(), "web".to_owned())]);
    let set = second.handle.ask(|reply| Request::SetTags { tags: tags.clone(), reply }).await;
    assert_eq!(set, Ok(Ok(())));
    sees(&first, "second", |member| member.tags == tags).await;

    let long = BTreeMap::from([("key".to_owned(), "x".repeat(600))]);
    let set = second.handle.ask(|reply| Request::SetTags { tags: long, reply }).await.unwrap();
    assert_eq!(set, Err("Encoded length of tags exceeds limit of 512 bytes".to_owned()));

    second.end.abort();
    sees(&first, "second", |member| member.status == Status::Failed).await;
    let node = "second".to_owned();
    let forced = first.handle.ask(|reply| Request::ForceLeave { node, prune: false, reply }).await;
    assert_eq!(forced, Ok(Ok(())));
    sees(&first, "second", |member| member.status == Status::Left).await;
}

#[tokio::test]
async fn an_agent_that_cannot_start_says_why() {
    let long = Agent::start(setup(&"n".repeat(129))).await.err();
    assert_eq!(long.as_deref(), Some("Error creating Serf: Node name must have 1 to 128 bytes"));
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let first = started(Setup { bind: taken, ..setup("first") }).await;
    let error = Agent::start(Setup { bind: first.bound, ..setup("second") }).await.err().unwrap();
    assert!(error.ends_with("bind: address already in use"), "{error}");
}

#[tokio::test]
async fn joining_two_clusters_makes_one() {
    let (first, second) = (started(setup("first")).await, started(setup("second")).await);
    let third = started(Setup { seeded: true, ..setup("third") }).await;
    assert_eq!(join(&third, &[first.bound, second.bound]).await, (2, None));
    for agent in [&first, &second, &third] {
        for name in ["first", "second", "third"] {
            sees(agent, name, |member| member.status == Status::Alive).await;
        }
    }
}

//! Whole agents in one process, over real sockets of 127.0.0.1.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use agent_linux::agent::driver::End;
use agent_linux::agent::embed::{Agent, Setup};
use agent_linux::agent::error::Refusal;
use agent_linux::agent::filter::Filter;
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

async fn join(agent: &Agent, addresses: &[SocketAddr]) -> Result<usize, Refusal> {
    agent.handle.join(addresses.iter().map(SocketAddr::to_string).collect(), false).await
}

async fn members(agent: &Agent) -> Vec<Member> {
    agent.handle.members().await.unwrap()
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

async fn fire(agent: &Agent, name: &[u8], payload: &[u8]) -> Result<(), Refusal> {
    agent.handle.event(name, payload, false).await
}

/// Two agents that see each other.
async fn pair() -> (Agent, Agent) {
    let (first, second) = (started(setup("first")).await, started(setup("second")).await);
    assert_eq!(join(&second, &[first.bound]).await, Ok(1));
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
    let third = started(Setup { awaiting_first_join: true, ..setup("third") }).await;
    let tap = user_events(&third);
    let early = fire(&third, b"early", b"mine");
    let late = async {
        sleep(Duration::from_millis(100)).await;
        join(&third, &[first.bound]).await
    };
    let (fired, joined) = tokio::join!(early, late);
    assert_eq!((fired, joined), (Ok(()), Ok(1)));
    let (ltime, payload) = next(&tap).await;
    assert_eq!(payload, b"mine", "events from before the join were not asked for");
    assert!(ltime > 50, "{ltime}");
}

#[tokio::test]
async fn a_seed_that_does_not_answer_is_told_and_the_node_starts_alone() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dead = [silent.local_addr().unwrap()];
    let agent = started(Setup { awaiting_first_join: true, ..setup("alone") }).await;
    let tap = user_events(&agent);
    let (fired, joined) = tokio::join!(fire(&agent, b"e", b"x"), join(&agent, &dead));
    let error = format!("1 error occurred:\n\t* Failed to join {}: no answer\n\n", dead[0]);
    assert_eq!(joined.map_err(|refusal| refusal.to_string()), Err(error));
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
    assert_eq!(join(&agent, &addresses).await, Ok(1));

    let addresses = vec!["/no-name".to_owned(), "a:b:c".to_owned()];
    let error = agent.handle.join(addresses, false).await.unwrap_err().to_string();
    assert!(
        error.starts_with("2 errors occurred:\n\t* Failed to resolve /no-name: empty node name"),
        "{error}"
    );
    assert!(error.contains("\t* Failed to resolve a:b:c: "), "{error}");
}

#[tokio::test]
async fn leaving_is_answered_when_it_is_done_and_ends_the_agent() {
    let (first, second) = pair().await;
    let (left, again) = tokio::join!(second.handle.leave(), second.handle.leave());
    assert_eq!((left, again), (Ok(()), Err(Refusal::Leaving)));
    assert_eq!(second.handle.leave().await, Err(Refusal::Gone));
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
        let fired = fire(&agent, b"ab", &vec![b'x'; len]).await;
        assert_eq!(fired.map_err(|refusal| refusal.to_string()), answer.map_err(str::to_owned), "{len}");
    }
}

#[tokio::test]
async fn an_event_that_finds_no_room_for_five_seconds_is_refused() {
    let slow = |name| Setup { core: serf_nostd::Config::WAN, ..setup(name) };
    let (first, second) = (started(slow("first")).await, started(slow("second")).await);
    assert_eq!(join(&second, &[first.bound]).await, Ok(1));
    sees(&first, "second", |member| member.status == Status::Alive).await;
    // Nobody shows any more to have an event, so each own one keeps its slot.
    second.end.abort();
    let fired: Vec<_> = (0..1030_u32)
        .map(|number| {
            let handle = first.handle.clone();
            tokio::spawn(async move { handle.event(*b"burst", number.to_be_bytes(), false).await })
        })
        .collect();
    let mut refused = 0;
    for answer in fired {
        match answer.await.unwrap() {
            Ok(()) => {}
            Err(refusal) => {
                assert_eq!(refusal.to_string(), "event queue full");
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
    let stats = agent.handle.stats().await.unwrap();
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
    let intruder = started(Setup { awaiting_first_join: true, ..setup("second") }).await;
    assert_eq!(join(&intruder, &[first.bound]).await, Err(Refusal::Gone));
    assert_eq!(intruder.end.await.unwrap(), End::NameTaken(first.bound));
    sees(&first, "second", |member| member.port == second.bound.port()).await;
}

#[tokio::test]
async fn tags_and_a_forced_leave_reach_the_others() {
    let (first, second) = pair().await;
    let tags = BTreeMap::from([("role".to_owned(), "web".to_owned())]);
    assert_eq!(second.handle.set_tags(tags.clone()).await, Ok(()));
    sees(&first, "second", |member| member.tags == tags).await;

    let long = BTreeMap::from([("key".to_owned(), "x".repeat(600))]);
    let refused = second.handle.set_tags(long).await.unwrap_err();
    assert_eq!(refused.to_string(), "Encoded length of tags exceeds limit of 512 bytes");

    second.end.abort();
    sees(&first, "second", |member| member.status == Status::Failed).await;
    assert_eq!(first.handle.force_leave("second".to_owned(), false).await, Ok(()));
    sees(&first, "second", |member| member.status == Status::Left).await;
}

#[tokio::test]
async fn an_agent_that_cannot_start_says_why() {
    let long = Agent::start(setup(&"n".repeat(129))).await.err().unwrap().to_string();
    assert_eq!(long, "Error creating Serf: Node name must have 1 to 128 bytes");
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let first = started(Setup { bind: taken, ..setup("first") }).await;
    let error = Agent::start(Setup { bind: first.bound, ..setup("second") }).await.err().unwrap().to_string();
    assert!(error.ends_with("bind: address already in use"), "{error}");
}

#[tokio::test]
async fn joining_two_clusters_makes_one() {
    let (first, second) = (started(setup("first")).await, started(setup("second")).await);
    let third = started(Setup { awaiting_first_join: true, ..setup("third") }).await;
    assert_eq!(join(&third, &[first.bound, second.bound]).await, Ok(2));
    for agent in [&first, &second, &third] {
        for name in ["first", "second", "third"] {
            sees(agent, name, |member| member.status == Status::Alive).await;
        }
    }
}

/// Who panics says that its process ends; others look whether that is so.
#[tokio::test]
async fn a_panic_is_told_to_others() {
    let (first, second) = pair().await;
    sees(&second, "first", |member| member.status == Status::Alive).await;
    second.farewell.say_on_panic();
    assert!(std::thread::spawn(|| panic!("on purpose")).join().is_err());
    let looked = async {
        while first.handle.stats().await.unwrap()["counters"]["last_words"] != "1" {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, looked).await.expect("nobody hears of it");
    assert!(members(&first).await.iter().all(|member| member.status == Status::Alive), "it has not");
}

//! Whom commands say to join. Not beside the crate's own tests: a shell that has just been forked holds their files open.

use agent_linux::Refusal;
use agent_linux::agent::handle::{Handle, Request};
use agent_linux::agent::seeds::Seeds;

/// What an agent is asked to join, of whom all answer.
async fn asked_to_join(texts: &[&str]) -> Result<Vec<String>, Refusal> {
    let (handle, mut requests) = Handle::new(1);
    let seeds = Seeds { texts: texts.iter().map(ToString::to_string).collect(), replay: false };
    let agent = async {
        let Some(Request::Join { addresses, reply, .. }) = requests.recv().await else { panic!("a join") };
        reply.send(Ok(addresses.len())).expect("somebody waits");
        addresses
    };
    let (joined, addresses) = tokio::join!(seeds.join(&handle), agent);
    joined.map(|_| addresses)
}

#[tokio::test]
async fn what_a_command_prints_is_joined_beside_what_else_is_named() {
    let printed = "exec:echo 10.0.0.1:5; printf ' n2/b\\n\\nsrv:_serf._udp.example'";
    let asked = asked_to_join(&["10.0.0.9", printed, "exec:exit 1"]).await;
    assert_eq!(asked.unwrap(), ["10.0.0.9", "10.0.0.1:5", "n2/b", "srv:_serf._udp.example"]);
}

#[tokio::test]
async fn what_a_command_does_wrong_is_told() {
    for (command, why) in [
        ("exit 3", "exit status 3"),
        ("kill -9 $$", "signal: killed"),
        (":", "it printed no address"),
        ("yes 10.0.0.1", "it printed more than 64 KiB"),
    ] {
        let error = format!("Failed to run 'exec:{command}': {why}");
        let asked = asked_to_join(&[&format!("exec:{command}")]).await;
        assert_eq!(asked, Err(Refusal::NotJoined(vec![error])));
    }
}

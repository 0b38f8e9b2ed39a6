//! User events reach everyone, once.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use crate::harness::{Record, fleet, wait_quiet, wait_until};

/// Longer than the windows in which a second delivery could come: the coalescing quantum is 3 s.
const QUIET: Duration = Duration::from_secs(4);

#[test]
fn an_event_reaches_every_handler_once() {
    let agents = fleet(5);
    let sent = agents[1].cli(["event", "deploy", "version 7"]);
    assert_eq!(sent.stdout, "Event 'deploy' dispatched! Coalescing enabled: true\n");
    assert_eq!(sent.code, 0);

    let received = || agents.iter().map(|agent| agent.user_events()).collect::<Vec<_>>();
    wait_until("the event at every handler", || received().iter().all(|records| !records.is_empty()));
    let received = wait_quiet("the handlers to fall silent", QUIET, received);

    let ltime = received[0][0].ltime;
    let expected =
        Record { event: "user".into(), name: b"deploy".to_vec(), ltime, payload: b"version 7".to_vec() };
    assert!(ltime > 0);
    for records in received {
        assert_eq!(records, std::slice::from_ref(&expected));
    }
}

#[test]
fn names_and_payloads_may_be_any_bytes() {
    let agents = fleet(2);
    let name = b"caf\xe9 \xff";
    let payload = b"\xfe\x80\xff and \xc3\xa9";
    let args = [
        OsStr::new("event"),
        OsStr::new("-coalesce=false"),
        OsStr::from_bytes(name),
        OsStr::from_bytes(payload),
    ];
    assert_eq!(agents[0].cli(args).code, 0);
    for agent in &agents {
        wait_until("the event at the handler", || !agent.user_events().is_empty());
        let record = &agent.user_events()[0];
        assert_eq!((&record.name[..], &record.payload[..]), (&name[..], &payload[..]));
    }
}

#[test]
fn payloads_with_nul_bytes_and_newlines_reach_streams_unchanged() {
    let agents = fleet(2);
    let streams: Vec<_> = agents.iter().map(|agent| agent.stream()).collect();
    let payload: Vec<u8> = (0..=255).collect();
    agents[0].rpc().event(b"bytes", &payload, false).expect("the event is within all limits");
    for stream in &streams {
        let event = stream.events.recv_timeout(crate::harness::DEADLINE).expect("the event arrives");
        assert_eq!(event.payload, payload);
    }
}

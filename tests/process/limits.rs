//! The limits of an event, and what is said beyond them.

use std::time::Duration;

use crate::harness::{fleet, wait_quiet, wait_until};

const BEFORE: &str =
    "Error sending event: user event exceeds configured limit of 512 bytes before encoding\n";
const AFTER: &str =
    "Error sending event: encoded user event exceeds configured limit of 512 bytes after encoding\n";

/// Go's encoding adds 30 bytes at a small Lamport time, and name and payload count together.
#[test]
fn events_are_refused_beyond_512_bytes_and_delivered_below() {
    let agents = fleet(2);
    let event = |size: usize| agents[0].cli(["event", "-coalesce=false", "four", &"x".repeat(size - 4)]);

    let refused = [(513, BEFORE), (4_096, BEFORE), (512, AFTER), (483, AFTER)];
    for (size, text) in refused {
        let output = event(size);
        assert_eq!((output.text().as_str(), output.code), (text, 1), "{size} bytes");
    }
    // 482 fit as long as the clock is small; refused events may have moved it a little.
    assert_eq!(event(482).code, 0);
    for agent in &agents {
        wait_until("the largest event at the handler", || !agent.user_events().is_empty());
        let records =
            wait_quiet("the handler to fall silent", Duration::from_secs(1), || agent.user_events());
        assert_eq!(records.iter().map(|record| record.payload.len()).collect::<Vec<_>>(), [478]);
    }
}

#[test]
fn an_event_has_a_name_and_at_most_one_payload() {
    let agents = fleet(1);
    let two = agents[0].cli(["event", "name", "payload", "more"]);
    assert_eq!(two.code, 1);
    let text = "Too many command line arguments. Only a name and payload must be specified.";
    assert!(two.text().contains(text), "{}", two.text());

    let none = agents[0].cli(["event"]);
    assert_eq!(none.code, 1);
    assert!(agents[0].user_events().is_empty());

    assert_eq!(agents[0].cli(["event", "-coalesce=false", "bare"]).code, 0);
    wait_until("the event at the handler", || {
        agents[0].user_events().iter().any(|record| record.payload.is_empty())
    });
}

//! Handlers and filters as users write them: what is taken is written as it was read.
#![no_main]

use agent_linux::Filter;
use agent_linux::agent::handler::Spec;
use agent_linux::agent::model::Event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(filter) = Filter::parse(data) {
        let event =
            |name: &[u8]| Event::User { ltime: 1, name: name.to_vec(), payload: Vec::new(), coalesce: false };
        let _ = filter.matches(&event(data));
        // A filter for one event is met by that event.
        if let Some(name) =
            data.strip_prefix(b"user:").filter(|name| !name.contains(&b',') && !name.is_empty())
        {
            assert!(filter.matches(&event(name)));
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(specs) = Spec::parse(text) {
        let script = text.split_once('=').map_or(text, |(_, script)| script);
        assert!(!specs.is_empty() && specs.iter().all(|spec| spec.script == script));
    }
});

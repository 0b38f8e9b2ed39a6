//! A file of settings: it is taken, or refused with a text.
#![no_main]

use std::path::PathBuf;

use agent_linux::process::config::{Config, Settings, Source};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let file: PathBuf = std::env::temp_dir().join(format!("serf-fuzz-{}.json", std::process::id()));
    std::fs::write(&file, data).expect("there is room for a small file");
    let source =
        Source { files: vec![file], flags: Settings { node_name: "n".to_owned(), ..Settings::default() } };
    if let Err(text) = Config::load(source, |_| {}) {
        assert!(!text.is_empty());
    }
});

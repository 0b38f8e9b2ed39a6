//! A board's log: defmt frames, of which only the firmware's ELF knows the words.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use addr2line::Loader;
use defmt_decoder::{DecodeError, Table};

/// Reads frames until the input ends, and hands over each as a line: seconds since the start, level, text. With `colored`,
/// as a terminal shows it. Addresses of code, of which a fault's last words have two, are followed by file and line.
///
/// # Errors
/// If the ELF cannot be read or has no defmt data; if the input fails.
pub fn decode(
    elf: &Path,
    mut input: impl Read,
    colored: bool,
    mut line: impl FnMut(String),
) -> io::Result<()> {
    let table = Table::parse(&fs::read(elf)?).map_err(io::Error::other)?;
    let table = table.ok_or_else(|| io::Error::other("no defmt data in the firmware"))?;
    let code = Loader::new(elf).map_err(|error| io::Error::other(error.to_string()))?;
    let mut decoder = table.new_stream_decoder();
    let mut bytes = [0; 1024];
    loop {
        let length = input.read(&mut bytes)?;
        if length == 0 {
            return Ok(());
        }
        decoder.received(&bytes[..length]);
        loop {
            match decoder.decode() {
                Ok(frame) => line(with_places(&code, &frame.display(colored).to_string())),
                Err(DecodeError::UnexpectedEof) => break,
                // A board that was reset in the middle of a line.
                Err(DecodeError::Malformed) => {}
            }
        }
    }
}

/// The text, each `<address>` in it replaced by the address and the place in the source: of inlined calls the innermost
/// that is not the standard library's.
fn with_places(code: &Loader, text: &str) -> String {
    let mut parts = text.split('<');
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let address = part
            .split_once('>')
            .and_then(|(hex, rest)| Some((u64::from_str_radix(hex.strip_prefix("0x")?, 16).ok()?, rest)));
        shown += &match address {
            Some((address, rest)) => format!("{address:#x} ({}){rest}", place(code, address)),
            None => format!("<{part}"),
        };
    }
    shown
}

fn place(code: &Loader, address: u64) -> String {
    let mut found = String::from("?");
    let Ok(mut frames) = code.find_frames(address) else { return found };
    while let Ok(Some(frame)) = frames.next() {
        let Some(at) = frame.location else { continue };
        found = format!("{}:{}", at.file.unwrap_or("?"), at.line.unwrap_or(0));
        if !found.starts_with("/rustc/") {
            break;
        }
    }
    found
}

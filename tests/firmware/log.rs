//! A board's log: defmt frames, of which only the firmware's ELF knows the words.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use defmt_decoder::{DecodeError, Table};

/// Reads frames until the input ends, and hands over each as a line: seconds since the start, level, text. With `colored`,
/// as a terminal shows it.
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
                Ok(frame) => line(frame.display(colored).to_string()),
                Err(DecodeError::UnexpectedEof) => break,
                // A board that was reset in the middle of a line.
                Err(DecodeError::Malformed) => {}
            }
        }
    }
}

//! `decode ELF`: shows the defmt log on standard input as lines, live.

mod log;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(elf) = std::env::args_os().nth(1) else {
        eprintln!("usage: decode ELF < LOG");
        return ExitCode::from(2);
    };
    let colored = io::stdout().is_terminal();
    match log::decode(Path::new(&elf), io::stdin().lock(), colored, |line| println!("{line}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("decode: {}: {error}", elf.display());
            ExitCode::FAILURE
        }
    }
}

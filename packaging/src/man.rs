//! Man pages: `serf.1`, and one for each command.

use std::io;

use agent_linux::cli::{command, label};
use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// The pages by their names.
///
/// # Errors
/// As writing into memory has: none.
pub fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut serf = command();
    serf.build();
    let version = format!("serf {}", serf.get_version().unwrap_or_default());
    let page = |command: &Command| {
        let man = Man::new(command.clone()).source(&version).manual("Serf");
        Ok((man.get_filename(), render(command, &man)?))
    };
    [&serf].into_iter().chain(serf.get_subcommands()).map(page).collect()
}

/// clap's sections, but for those that show flags: clap knows flags with two dashes, and folds the lines of what follows them.
fn render(command: &Command, man: &Man) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    let mut roff = Roff::default();
    let flags: Vec<&Arg> = command.get_arguments().filter(|flag| flag.get_long().is_some()).collect();
    if !flags.is_empty() {
        roff.control("SH", ["OPTIONS"]);
    }
    for flag in flags {
        roff.control("TP", []);
        roff.text([bold(label(flag))]);
        roff.text([roman(flag.get_help().map(ToString::to_string).unwrap_or_default())]);
    }
    if let Some(text) = command.get_after_help() {
        roff.control("SH", ["NOTES"]);
        roff.control("nf", []);
        roff.text([roman(text.to_string())]);
        roff.control("fi", []);
    }
    roff.to_writer(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    Ok(page)
}

//! Writes what packages bring beside the program, made of the one definition of its commands: `packaging FOLDER` makes
//! `FOLDER/man` and `FOLDER/completions`.

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

mod completions;
mod man;

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1) else {
        eprintln!("usage: packaging FOLDER");
        return ExitCode::from(2);
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("packaging: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    for (kind, files) in [("man", man::pages()?), ("completions", completions::scripts())] {
        let folder = folder.join(kind);
        fs::create_dir_all(&folder)?;
        for (name, text) in files {
            fs::write(folder.join(name), text)?;
        }
    }
    Ok(())
}

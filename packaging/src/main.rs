//! Writes what is made of the one definition of the program's commands: `packaging FOLDER` makes `FOLDER/man` and
//! `FOLDER/completions`, which packages bring beside it, `packaging --configuration FILE` the reference of its settings, `packaging
//! --notices TARGET FILE` the licences of what is compiled into it.

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

mod completions;
mod man;
mod notices;
mod reference;

fn main() -> ExitCode {
    let args: Vec<_> = env::args_os().skip(1).collect();
    let (path, written) = match &args[..] {
        [folder] => (folder, write(Path::new(folder))),
        [what, file] if what == "--configuration" => (file, fs::write(file, reference::page())),
        [what, target, file] if what == "--notices" => {
            let text = notices::text(&target.to_string_lossy());
            (file, text.and_then(|text| fs::write(file, text)))
        }
        _ => {
            eprintln!(
                "usage: packaging FOLDER, packaging --configuration FILE, or packaging --notices TARGET FILE"
            );
            return ExitCode::from(2);
        }
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("packaging: {}: {error}", path.display());
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

//! `docs/architecture.md` names what there is, and all of it.

use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../docs/architecture.md");

fn src() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

/// What stands between backticks.
fn code() -> impl Iterator<Item = &'static str> {
    PAGE.split('`').skip(1).step_by(2)
}

#[test]
fn every_file_that_it_names_is_there() {
    let files = code().filter(|name| name.ends_with(".rs") && !name.contains(' '));
    // Those that are only planned stand behind "How to add".
    let planned = ["wire/seal.rs"];
    let mut named = 0;
    for file in files.filter(|file| !planned.contains(file)) {
        assert!(src().join(file).is_file(), "there is no {file}");
        named += 1;
    }
    assert!(named > 20, "{named} files are named");
}

#[test]
fn every_room_is_in_the_picture() {
    let picture = PAGE.split("```").nth(1).expect("a picture");
    for entry in std::fs::read_dir(src()).expect("sources") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("ASCII");
        let folder = entry.file_type().expect("a type").is_dir();
        // Each folder has its file of the same name, or a mod.rs; logging, platforms and test kits carry no rule.
        let beside = src().join(name.trim_end_matches(".rs")).is_dir();
        if ["lib.rs", "fmt.rs", "kit.rs", "driver", "driver.rs"].contains(&name.as_str())
            || folder && name == "node"
        {
            continue;
        }
        let room = if folder { format!("{name}/") } else { name.clone() };
        assert!(
            picture.contains(&room) || beside && picture.contains(name.trim_end_matches(".rs")),
            "{room} is missing"
        );
    }
}

/// Where this room stands in the picture: 0 at the top.
fn floor(room: &str) -> Option<usize> {
    let picture = PAGE.split("```").nth(1)?;
    let names = |line: &str, name: &str| {
        line.split_whitespace().any(|word| word == format!("{name}/") || word == format!("{name}.rs"))
    };
    picture
        .lines()
        .scan(0, |floor, line| {
            *floor += line.contains('├') as usize;
            Some((*floor, line))
        })
        .find(|(_, line)| names(line, room))
        .map(|(floor, _)| floor)
}

#[test]
fn no_room_uses_one_above_it() {
    let mut held = 0;
    for (file, text) in sources() {
        let place = file.strip_prefix(src()).expect("one of them");
        let room = place.iter().next().and_then(|name| name.to_str()).expect("ASCII").trim_end_matches(".rs");
        let Some(own) = floor(room) else { continue };
        let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code = shipped.lines().filter(|line| !line.trim_start().starts_with("//"));
        for used in code.flat_map(|line| line.split("crate::").skip(1)) {
            let used = used.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
            if let Some(other) = floor(used) {
                assert!(other >= own, "{} uses {used}, which stands above it", place.display());
                held += 1;
            }
        }
    }
    assert!(held > 100, "{held} uses were held against the picture");
}

fn sources() -> Vec<(PathBuf, String)> {
    let (mut sources, mut folders) = (Vec::new(), vec![src().to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("sources") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let text = std::fs::read_to_string(&path).expect("UTF-8");
                    sources.push((path, text));
                }
            }
        }
    }
    sources
}

/// `Type::function` and `function` as they stand in the sources: what the walks name exists.
#[test]
fn every_function_that_the_walks_name_is_there() {
    let sources: String = sources().into_iter().map(|(_, text)| text).collect();
    let mut named = 0;
    for name in code().filter(|name| name.contains("::") && !name.contains(' ')) {
        let last = name.rsplit("::").next().expect("not empty");
        let there = [format!("fn {last}("), format!("fn {last}<"), format!("    {last}(")];
        let variant = [format!("    {last},"), format!("    {last} {{")];
        assert!(there.iter().chain(&variant).any(|text| sources.contains(text)), "there is no {name}");
        named += 1;
    }
    assert!(named > 30, "{named} functions are named");
}

//! `docs/architecture.md` names what there is, and all of it.

use std::path::Path;

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

/// `Type::function` and `function` as they stand in the sources: what the walks name exists.
#[test]
fn every_function_that_the_walks_name_is_there() {
    let mut sources = String::new();
    let mut folders = vec![src().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("sources") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => sources += &std::fs::read_to_string(path).expect("UTF-8"),
            }
        }
    }
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

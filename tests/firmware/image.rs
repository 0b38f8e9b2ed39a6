//! Firmware images: built as they are shipped, measured, and looked into.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use object::elf::{SHF_ALLOC, SHF_WRITE};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind};

/// The firmware of this name in a folder of `firmware-example`, built now.
pub fn build(folder: &str, firmware: &str) -> PathBuf {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut built = BUILT.lock().expect("a failed build ends every test");
    let build = || {
        let status = command(folder, firmware).status().expect("tests/cross can be run");
        assert!(status.success(), "the firmware does not build");
        let (target, bin, _) = which(firmware);
        target.join("thumbv7m-none-eabi/release").join(bin)
    };
    built.get_or_insert_default().entry(firmware.to_owned()).or_insert_with(build).clone()
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("firmware-example")
}

/// Where a firmware is built, under which name, and with which features: `sealed` is the usual one, which seals, and `signed` knows operators as
/// well.
fn which(firmware: &str) -> (PathBuf, &str, &[&str]) {
    match firmware {
        "signed" => (example().join("target/signed"), "qemu-mps2", &["--features", "seal,authority"]),
        "sealed" => (example().join("target/sealed"), "qemu-mps2", &["--features", "seal"]),
        "price" => (example().join("target/sealed"), "price", &["--features", "seal"]),
        _ => (example().join("target"), firmware, &[]),
    }
}

/// Builds the firmware of this name.
pub fn command(folder: &str, firmware: &str) -> Command {
    let (target, bin, features) = which(firmware);
    let mut build = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("cross"));
    build
        .args(["thumbv7m-none-eabi", "build", "--quiet", "--release", "--bin", bin])
        .args(features)
        // Beside this workspace's own output, and never in its way.
        .env("CARGO_TARGET_DIR", target)
        .current_dir(example().join(folder));
    build
}

/// How many bytes of code each folder or file in the core's `src` has come to, most first: each instruction counts for the
/// innermost function of the core's that it was inlined from.
pub fn rooms(elf: &Path) -> Vec<(String, u64)> {
    let bytes = fs::read(elf).expect("it has been built");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let code = file.section_by_name(".text").expect("it has code");
    let lines = addr2line::Loader::new(elf).expect("it was built with debug information");
    let mut rooms = HashMap::new();
    // A Thumb instruction has one or two halves.
    for address in (code.address()..code.address() + code.size()).step_by(2) {
        let mut frames = lines.find_frames(address).expect("sound debug information");
        while let Some(frame) = frames.next().expect("sound debug information") {
            let path = frame.location.and_then(|location| location.file).unwrap_or_default();
            if let Some((_, path)) = path.split_once("serf-nostd/src/") {
                let room = path.split('/').next().unwrap_or(path);
                *rooms.entry(room.trim_end_matches(".rs").to_owned()).or_insert(0) += 2;
                break;
            }
        }
    }
    let mut rooms: Vec<_> = rooms.into_iter().collect();
    rooms.sort_unstable_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    rooms
}

/// What is in an ELF file.
pub struct Image {
    /// Bytes in flash: code, constants, and the first values of variables.
    pub flash: u64,
    /// Bytes of variables, the stack not among them.
    pub ram: u64,
    symbols: Vec<String>,
}

impl Image {
    pub fn read(elf: &Path) -> Image {
        let bytes = fs::read(elf).expect("it has been built");
        let file = object::File::parse(&*bytes).expect("an ELF file");
        let (mut flash, mut ram) = (0, 0);
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
                unreachable!("it is an ELF file")
            };
            let has = |flag| sh_flags.contains(flag);
            if has(SHF_ALLOC) && section.kind() != SectionKind::UninitializedData {
                flash += section.size();
            }
            if has(SHF_ALLOC) && has(SHF_WRITE) {
                ram += section.size();
            }
        }
        let names = file.symbols().filter_map(|symbol| symbol.name().ok().map(str::to_owned));
        Image { flash, ram, symbols: names.collect() }
    }

    /// Names of functions and variables, as the linker knows them, of which `is` is true.
    pub fn symbols(&self, is: impl Fn(&str) -> bool) -> Vec<&str> {
        self.symbols.iter().map(String::as_str).filter(|name| is(name)).collect()
    }
}

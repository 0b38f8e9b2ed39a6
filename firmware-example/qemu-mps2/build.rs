//! Tells the linker of memory.x, device.x, and the scripts of cortex-m-rt and defmt.

use std::env;
use std::fs;

fn main() {
    let (here, out) = (env::var("CARGO_MANIFEST_DIR").unwrap(), env::var("OUT_DIR").unwrap());
    if env::var_os("CARGO_FEATURE_AUTHORITY").is_some() {
        // To check a signature takes 8 KiB of stack.
        let memory = fs::read_to_string("memory.x").unwrap();
        let memory = memory
            .replace("LENGTH = 16K", "LENGTH = 24K")
            .replace("20004000, LENGTH = 48K", "20006000, LENGTH = 40K");
        fs::write(format!("{out}/memory.x"), memory).unwrap();
        println!("cargo:rustc-link-search={out}");
    }
    println!("cargo:rustc-link-search={here}");
    // Equal functions share one copy.
    for argument in ["--nmagic", "--icf=all", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    for file in ["build.rs", "memory.x", "device.x"] {
        println!("cargo:rerun-if-changed={file}");
    }
}

//! Tells the linker of memory.x, and the scripts of cortex-m-rt and defmt.

use std::env;

fn main() {
    println!("cargo:rustc-link-search={}", env::var("CARGO_MANIFEST_DIR").unwrap());
    // Equal functions share one copy.
    for argument in ["--nmagic", "--icf=all", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    for file in ["build.rs", "memory.x"] {
        println!("cargo:rerun-if-changed={file}");
    }
}

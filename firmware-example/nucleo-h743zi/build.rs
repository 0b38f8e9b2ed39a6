//! Tells the linker of the scripts of cortex-m-rt and defmt; memory.x comes from embassy-stm32.

fn main() {
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}

//! What is in the firmware, and what is not.

use crate::harness::core_features;
use crate::image::{Image, build, command, rooms};
use crate::lab::Lab;

/// Of Rust's allocator; the crate `alloc` in both of Rust's ways to write a symbol.
fn allocates(symbol: &str) -> bool {
    ["__rust_alloc", "__rg_alloc", "__rdl_alloc", "5alloc5"].iter().any(|part| symbol.contains(part))
}

/// Of `core::fmt`.
fn formats(symbol: &str) -> bool {
    symbol.contains("4core3fmt") || symbol.contains("core..fmt")
}

/// Floating-point arithmetic in software: the ABI's names, the compiler's, and Rust's own.
fn floats(symbol: &str) -> bool {
    let abi = symbol.strip_prefix("__aeabi_");
    let of_abi = abi.is_some_and(|name| {
        name.starts_with(['f', 'd']) || ["2f", "2d"].iter().any(|end| name.ends_with(end))
    });
    let compiler = symbol.strip_prefix("__").filter(|name| !name.starts_with("aeabi_"));
    let of_compiler = compiler.is_some_and(|name| {
        ["sf2", "df2", "sf3", "df3", "sfsi", "dfsi", "sfdi", "dfdi", "sisf", "sidf", "disf", "didf"]
            .iter()
            .any(|end| name.ends_with(end))
    });
    of_abi || of_compiler || symbol.contains("17compiler_builtins5float")
}

#[test]
fn unwanted_symbols_are_known_by_their_names() {
    for name in ["__aeabi_fadd", "__aeabi_ui2d", "__aeabi_d2iz", "__muldf3", "__floatsisf", "__fixdfsi"] {
        assert!(floats(name), "{name}");
    }
    for name in ["__aeabi_uldivmod", "__aeabi_memcpy4", "__aeabi_idiv", "__udivmoddi4", "_start"] {
        assert!(!floats(name), "{name}");
    }
    assert!(formats("_RNvXs_NtNtCs1_4core3fmt3numjNtB7_7Display3fmt"));
    assert!(formats("_ZN58_$LT$alloc..string..String$u20$as$u20$core..fmt..Debug$GT$3fmt17h0E"));
    assert!(allocates("_ZN5alloc5alloc8box_free17h0E"));
}

#[test]
fn the_core_alone_brings_no_formatting_no_allocator_and_no_floating_point() {
    let probe = Image::read(&build("probe", "probe"));
    assert!(!probe.symbols(|name| name.contains("serf_nostd")).is_empty(), "its symbols are there");
    let unwanted = probe.symbols(|name| allocates(name) || formats(name) || floats(name));
    assert!(unwanted.is_empty(), "{unwanted:?}");
}

#[test]
fn the_firmware_fits_a_small_part_and_has_no_allocator() {
    let image = Image::read(&build("qemu-mps2", "qemu-mps2"));
    assert!(!image.symbols(|name| name.contains("serf_nostd")).is_empty(), "its symbols are there");
    let allocator = image.symbols(allocates);
    assert!(allocator.is_empty(), "{allocator:?}");
    // 10 KiB more than the goal of a core without queries, 15 for those, for targets, receipts and tags, 2 for members that move,
    // 1 for batches, 1 for the search for who is left and 1 for what silence means to who looks for a payload: see CHANGELOG.
    assert!(image.flash <= 127 * 1024, "{} bytes of flash", image.flash);
    // Of 48 KiB, 8 are the stack's.
    assert!(image.ram <= 40 * 1024, "{} bytes of variables", image.ram);
}

#[test]
fn the_core_s_flash_is_told_by_room() {
    let rooms = rooms(&build("qemu-mps2", "qemu-mps2"));
    let bytes = |room: &str| rooms.iter().find(|(name, _)| name == room).map_or(0, |(_, bytes)| *bytes);
    for room in ["membership", "failure", "events", "sync", "wire", "node"] {
        assert!(bytes(room) > 1024, "{room} is missing, or has moved: {rooms:?}");
    }
}

#[test]
fn the_core_in_the_firmware_keeps_all_rules() {
    for (folder, firmware) in [("qemu-mps2", "qemu-mps2"), ("probe", "probe")] {
        build(folder, firmware);
        let features = core_features(&mut command(folder, firmware));
        let shipped = ["default", "defmt", "embassy-net"];
        assert!(
            features.iter().all(|feature| shipped.contains(&feature.as_str())),
            "{firmware}: {features:?}"
        );
    }
}

#[test]
fn the_core_does_on_the_board_s_processor_what_it_does_here() {
    let here = selftest::Fleet::new().run(&mut [None, None, None]).expect("here it works");
    let lab = Lab::new(9);
    let mut board = lab.board("selftest", "alone", &[]);
    board.switch_on();
    board.wait_lines("selftest: ", 1);
    let expected = format!("40 kinds, {} datagrams, digest {:016x}", here.datagrams, here.digest);
    assert_eq!(board.count(&expected), 1, "{expected}, not {:?}", board.lines());
    crate::harness::wait_until("QEMU to end", || board.ended().is_some());
    assert_eq!(board.ended().and_then(|status| status.code()), Some(0));
}

//! Starting again: on request, after a panic, after a fault. A board that links this crate has its panic handler.
#![no_std]

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::asm;
use cortex_m::peripheral::SCB;
use cortex_m_rt::{ExceptionFrame, exception};

/// Processor cycles that a debug probe gets to fetch the last words: about 60 ms at 64 MHz.
const LAST_WORDS: u32 = 4_000_000;

/// Resets the processor and all peripherals (SYSRESETREQ).
pub fn restart() -> ! {
    SCB::sys_reset()
}

/// A panic is a fault, at its own place: the handler is inlined wherever something panics, and the linker drops what would
/// have been said (texts, file names and `core`'s formatting, 14 KiB). The log has the address, the ELF file its line.
#[panic_handler]
#[inline(always)]
#[allow(
    unused_attributes,
    reason = "the function is exported, and link-time optimization inlines it all the same"
)]
fn panic(_: &PanicInfo<'_>) -> ! {
    asm::udf()
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    once(|| defmt::error!("fault at {=u32:#x}, called from {=u32:#x}", frame.pc(), frame.lr()));
    restart()
}

/// Not again when logging itself has failed.
fn once(log: impl FnOnce()) {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    if !LOGGED.load(Ordering::Relaxed) {
        LOGGED.store(true, Ordering::Relaxed);
        log();
        asm::delay(LAST_WORDS);
    }
}

//! Starting again: on request, after a panic, after a fault. A board that links this crate has its panic handler.
#![no_std]

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::peripheral::SCB;
use cortex_m::{asm, interrupt};
use cortex_m_rt::{ExceptionFrame, exception};

/// Processor cycles that a debug probe gets to fetch the last words: about 60 ms at 64 MHz.
const LAST_WORDS: u32 = 4_000_000;

/// Resets the processor and all peripherals (SYSRESETREQ).
pub fn restart() -> ! {
    SCB::sys_reset()
}

/// Logs where and, if it is a fixed text, why: without the formatting machinery of `core`, which is large.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    interrupt::disable();
    let (file, line) = info.location().map_or(("?", 0), |at| (at.file(), at.line()));
    once(|| {
        defmt::error!("panic at {=str}:{=u32}: {=str}", file, line, info.message().as_str().unwrap_or(""))
    });
    restart()
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

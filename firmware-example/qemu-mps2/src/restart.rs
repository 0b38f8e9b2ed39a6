//! Starting again: on request, after a panic, after a fault.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::interrupt;
use cortex_m::peripheral::SCB;
use cortex_m_rt::{ExceptionFrame, exception};

/// Resets the processor and all peripherals (SYSRESETREQ); QEMU starts the firmware again.
pub fn restart() -> ! {
    SCB::sys_reset()
}

/// Logs once where it was, without the formatting machinery of `core`, and restarts.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    interrupt::disable();
    if first() {
        let (file, line) = info.location().map_or(("?", 0), |at| (at.file(), at.line()));
        defmt::error!("panic at {=str}:{=u32}: {=str}", file, line, info.message().as_str().unwrap_or(""));
    }
    restart()
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    if first() {
        defmt::error!("fault at {=u32:#x}, called from {=u32:#x}", frame.pc(), frame.lr());
    }
    restart()
}

/// False when logging has failed itself.
fn first() -> bool {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    !LOGGED.swap(true, Ordering::Relaxed)
}

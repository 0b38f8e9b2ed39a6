//! Starting again: on request, after a panic, after a fault. A board that links this crate has its panic handler.
#![no_std]

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::asm;
use cortex_m::peripheral::SCB;
use cortex_m_rt::{ExceptionFrame, exception};

/// Processor cycles that a debug probe gets to fetch the last words: about 60 ms at 64 MHz.
const LAST_WORDS: u32 = 4_000_000;
/// Callers that are logged, at most.
const CALLERS: usize = 8;
/// From here on, a return address ends an exception.
const EXCEPTION_RETURN: u32 = 0xf000_0000;

/// Resets the processor and all peripherals (SYSRESETREQ).
pub fn restart() -> ! {
    SCB::sys_reset()
}

/// A panic is a fault: the handler is inlined wherever something panics, and the linker drops what would have been said
/// (texts, file names and `core`'s formatting, 14 KiB). The log has addresses; the ELF file knows their lines.
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
    static FAULTED: AtomicBool = AtomicBool::new(false);
    // Not again when logging itself has failed.
    if !FAULTED.load(Ordering::Relaxed) {
        FAULTED.store(true, Ordering::Relaxed);
        defmt::error!("fault at <{=u32:#x}>", frame.pc());
        callers(|address| defmt::error!("  called from <{=u32:#x}>", address));
        asm::delay(LAST_WORDS);
    }
    restart()
}

/// Where calls stand that have not returned, the innermost first: Rust's code for Arm microcontrollers keeps a chain of
/// frames, each two words (the next frame, the return address), of which register 7 points to the innermost.
#[inline(always)]
fn callers(mut each: impl FnMut(u32)) {
    unsafe extern "C" {
        // Not a variable: only where it is means something, the end of the stack's memory.
        static _stack_start: u32;
    }
    let mut frame: *const [u32; 2];
    // SAFETY: copies a register.
    unsafe { core::arch::asm!("mov {}, r7", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    for _ in 0..CALLERS {
        // SAFETY: an aligned place on the stack, at or above the frame of the caller of this function.
        let [next, back] = unsafe { frame.read_volatile() };
        // The exception's own return is not an address.
        if back < EXCEPTION_RETURN {
            // The lowest bit says that the code is Thumb; a call's last half-word is right in front.
            each((back & !1) - 2);
        }
        let next = next as *const [u32; 2];
        if next <= frame || next.wrapping_add(1) > (&raw const _stack_start).cast() || !next.is_aligned() {
            break;
        }
        frame = next;
    }
}

//! embassy's executor, sleeping with WFI.
//!
//! The stock executor for this core sleeps with WFE, which QEMU runs as a yield: an idle board would take all of a host
//! CPU. On real boards there is no difference, and they use the stock one.

use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::{asm, interrupt};
use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;

static WOKEN: AtomicBool = AtomicBool::new(false);

#[unsafe(export_name = "__pender")]
fn pend(_context: *mut ()) {
    WOKEN.store(true, Ordering::Release);
}

/// Runs the tasks that `init` spawns, and theirs, for ever.
pub fn run(init: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor: &'static raw::Executor = EXECUTOR.init(raw::Executor::new(ptr::null_mut()));
    init(executor.spawner());
    loop {
        // SAFETY: only here, so never from within itself.
        unsafe { executor.poll() };
        // With interrupts masked none can set the flag between the look and WFI, which a masked one ends all the same.
        interrupt::disable();
        if !WOKEN.swap(false, Ordering::Acquire) {
            asm::wfi();
        }
        // SAFETY: they were enabled before.
        unsafe { interrupt::enable() };
    }
}

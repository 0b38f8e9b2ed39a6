//! The board's first LED.

use crate::mmio::Mmio;

// SAFETY: the FPGA's registers for LEDs and buttons; nothing else uses them.
static FPGAIO: Mmio = unsafe { Mmio::new(0x4002_8000) };
const LED0: usize = 0x00;

/// Switches the LED, and says so, since nobody sees it in QEMU.
pub fn switch(on: bool) {
    FPGAIO.write(LED0, on.into());
    defmt::info!("LED {=str}", if on { "on" } else { "off" });
}

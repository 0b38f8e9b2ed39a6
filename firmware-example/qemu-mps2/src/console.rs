//! UART0, in QEMU the serial console: each line that is typed there is a press of the button.

use core::sync::atomic::{AtomicU32, Ordering};

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;

use crate::interrupts::{self, Interrupt};
use crate::mmio::Mmio;

// SAFETY: a CMSDK APB UART; nothing else uses it.
static UART0: Mmio = unsafe { Mmio::new(0x4000_4000) };
const DATA: usize = 0x00;
const STATE: usize = 0x04;
const CTRL: usize = 0x08;
const INTCLEAR: usize = 0x0c;
const BAUDDIV: usize = 0x10;

const STATE_RX_FULL: u32 = 1 << 1;
const CTRL_RX_ENABLE: u32 = 1 << 1;
const CTRL_RX_INTERRUPT_ENABLE: u32 = 1 << 3;
const INT_RX: u32 = 1 << 1;
/// 25 MHz / 217 = 115,200 baud.
const BAUDDIV_115200: u32 = 217;

/// Lines not yet waited for; what is typed beyond that is lost, as on a button.
static LINES: Channel<CriticalSectionRawMutex, (), 4> = Channel::new();

/// The next line.
pub async fn line() {
    if UART0.read(CTRL) == 0 {
        UART0.write(BAUDDIV, BAUDDIV_115200);
        UART0.write(CTRL, CTRL_RX_ENABLE | CTRL_RX_INTERRUPT_ENABLE);
        interrupts::enable(Interrupt::Uart0Rx);
    }
    LINES.receive().await;
}

pub fn on_interrupt() {
    static LAST: AtomicU32 = AtomicU32::new(0);
    UART0.write(INTCLEAR, INT_RX);
    while UART0.read(STATE) & STATE_RX_FULL != 0 {
        let byte = UART0.read(DATA) & 0xff;
        // A terminal ends its lines with CR, a pipe with LF, some programs with both.
        let last = LAST.swap(byte, Ordering::Relaxed);
        if byte == '\r' as u32 || byte == '\n' as u32 && last != '\r' as u32 {
            let _ = LINES.try_send(());
        }
    }
}

//! UART0, in QEMU the serial console: each line that is typed there is a press of the button. One that ends with `?` is
//! a long one, and logs how much of the stack has been used, and how many frames have come.

use core::sync::atomic::{AtomicU8, Ordering};

use board::Press;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;

use crate::interrupts::{self, Interrupt};
use crate::mmio::Mmio;
use crate::stack;

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
static LINES: Channel<CriticalSectionRawMutex, Press, 4> = Channel::new();

/// The next line.
pub async fn press() -> Press {
    if UART0.read(CTRL) == 0 {
        UART0.write(BAUDDIV, BAUDDIV_115200);
        UART0.write(CTRL, CTRL_RX_ENABLE | CTRL_RX_INTERRUPT_ENABLE);
        interrupts::enable(Interrupt::Uart0Rx);
        // Nothing has come yet; but only a read makes QEMU look at a console that it found closed before.
        UART0.read(DATA);
    }
    let press = LINES.receive().await;
    if press == Press::Long {
        defmt::info!("stack: {=usize} of {=usize} bytes used", stack::high_water(), stack::size());
        let (received, damaged) = crate::ETHERNET.frames();
        defmt::info!("frames: {=u32} received, {=u32} damaged", received, damaged);
    }
    press
}

pub fn on_interrupt() {
    // This interrupt's alone, so loads and stores are all that is needed.
    static LAST: AtomicU8 = AtomicU8::new(0);
    UART0.write(INTCLEAR, INT_RX);
    while UART0.read(STATE) & STATE_RX_FULL != 0 {
        let byte = UART0.read(DATA) as u8;
        let last = LAST.load(Ordering::Relaxed);
        LAST.store(byte, Ordering::Relaxed);
        // A terminal ends its lines with CR, a pipe with LF, some programs with both.
        if byte == b'\r' || byte == b'\n' && last != b'\r' {
            let _ = LINES.try_send(if last == b'?' { Press::Long } else { Press::Short });
        }
    }
}

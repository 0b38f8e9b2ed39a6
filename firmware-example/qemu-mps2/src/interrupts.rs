//! The interrupts that are in use, and where they go.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

use crate::{ETHERNET, clock, console};

/// Interrupts by their number on this board.
#[derive(Clone, Copy)]
pub enum Interrupt {
    Uart0Rx = 0,
    Timer0 = 8,
    Timer1 = 9,
    Ethernet = 13,
}

// SAFETY: the numbers are the board's, and fixed.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

/// Lets it come.
pub fn enable(interrupt: Interrupt) {
    // SAFETY: no code relies on one of these being masked.
    unsafe { NVIC::unmask(interrupt) };
}

type Handler = unsafe extern "C" fn();

unsafe extern "C" {
    /// cortex-m-rt's, for what nobody expects.
    fn DefaultHandler();
}

extern "C" fn uart0_rx() {
    console::on_interrupt();
}

extern "C" fn timer0() {
    clock::on_counter_interrupt();
}

extern "C" fn timer1() {
    clock::on_alarm_interrupt();
}

extern "C" fn ethernet() {
    ETHERNET.on_interrupt();
}

const HANDLERS: [Handler; 32] = {
    let mut handlers: [Handler; 32] = [DefaultHandler; 32];
    handlers[Interrupt::Uart0Rx as usize] = uart0_rx;
    handlers[Interrupt::Timer0 as usize] = timer0;
    handlers[Interrupt::Timer1 as usize] = timer1;
    handlers[Interrupt::Ethernet as usize] = ethernet;
    handlers
};

/// The part of the vector table that cortex-m-rt leaves to the board.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".vector_table.interrupts")]
static __INTERRUPTS: [Handler; 32] = HANDLERS;

//! embassy-time on two CMSDK APB timers: one counts, one wakes.

use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Waker;

use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::interrupts::{self, Interrupt};
use crate::mmio::Mmio;

// SAFETY: both are there; nothing else uses them.
static COUNTER: Mmio = unsafe { Mmio::new(0x4000_0000) };
static ALARM: Mmio = unsafe { Mmio::new(0x4000_1000) };
const CTRL: usize = 0x00;
const VALUE: usize = 0x04;
const RELOAD: usize = 0x08;
/// Reads as the interrupt's state, and writing 1 clears it.
const INTSTATUS: usize = 0x0c;

const CTRL_ENABLE: u32 = 1 << 0;
const CTRL_INTERRUPT_ENABLE: u32 = 1 << 3;

/// Timer clock in MHz; embassy-time's tick is one microsecond.
const MHZ: u32 = 25;
/// The counter starts again every 2^27 microseconds (134 s): the time is then put together without a 64-bit division.
const PERIOD_BITS: u32 = 27;
const COUNTER_RELOAD: u32 = (MHZ << PERIOD_BITS) - 1;
/// Longest time that the alarm is set for in one go; who waits longer is woken for nothing.
const ALARM_MAX_US: u64 = 100_000_000;

struct Clock {
    periods: AtomicU32,
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock {
    periods: AtomicU32::new(0),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

/// Starts the counter; the time is 0.
pub fn start() {
    COUNTER.write(CTRL, 0);
    COUNTER.write(RELOAD, COUNTER_RELOAD);
    COUNTER.write(VALUE, COUNTER_RELOAD);
    COUNTER.write(CTRL, CTRL_ENABLE | CTRL_INTERRUPT_ENABLE);
    interrupts::enable(Interrupt::Timer0);
    interrupts::enable(Interrupt::Timer1);
}

pub fn on_counter_interrupt() {
    critical_section::with(|_| {
        COUNTER.write(INTSTATUS, 1);
        // This core's only interrupt that writes it; loads and stores are all that is needed.
        CLOCK.periods.store(CLOCK.periods.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    });
}

pub fn on_alarm_interrupt() {
    critical_section::with(|cs| {
        ALARM.write(INTSTATUS, 1);
        CLOCK.wake_due(cs);
    });
}

impl Clock {
    /// Wakes those whose time has come, and sets the alarm for the next.
    fn wake_due(&self, cs: CriticalSection<'_>) {
        let now = self.now();
        let next = self.queue.borrow_ref_mut(cs).next_expiration(now);
        ALARM.write(CTRL, 0);
        if next == u64::MAX {
            return;
        }
        // At least one tick, so that what came due in the meantime rings at once.
        let ticks = next.saturating_sub(now).clamp(1, ALARM_MAX_US) as u32 * MHZ;
        ALARM.write(INTSTATUS, 1);
        ALARM.write(RELOAD, 0);
        // In this order: QEMU switches a timer off that is enabled while its value is 0.
        ALARM.write(VALUE, ticks);
        ALARM.write(CTRL, CTRL_ENABLE | CTRL_INTERRUPT_ENABLE);
    }
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        critical_section::with(|_| {
            let mut periods = self.periods.load(Ordering::Relaxed);
            let mut left = COUNTER.read(VALUE);
            if COUNTER.read(INTSTATUS) != 0 {
                // A period has ended, perhaps since the first look, and its interrupt has not run.
                periods += 1;
                left = COUNTER.read(VALUE);
            }
            u64::from(periods) << PERIOD_BITS | u64::from((COUNTER_RELOAD - left) / MHZ)
        })
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            let earlier = self.queue.borrow_ref_mut(cs).schedule_wake(at, waker);
            if earlier {
                self.wake_due(cs);
            }
        });
    }
}

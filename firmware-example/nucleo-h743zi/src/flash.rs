//! The end of the chip's flash, which can be read whatever a power cut has left there.
//!
//! Every 32 bytes have check bits. Where writing or erasing was cut short more may be wrong than they can correct, and a
//! look there is a bus fault: without this module at each start again, until somebody erases the chip. Here such bytes
//! read as zeros, which sequential-storage passes over.

use core::arch::asm;
use core::ops::Range;

use cortex_m::asm::{dsb, isb};
use cortex_m::peripheral::SCB;
use embassy_stm32::flash::{Blocking, Error};
use embassy_stm32::peripherals::FLASH;
use embassy_stm32::{Peri, flash, pac};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

const SECTOR: usize = flash::MAX_ERASE_SIZE;
/// What has check bits together, and is written at a time.
const WORD: usize = flash::WRITE_SIZE;

/// Where the second of two banks begins. The program runs from the first, and goes on while this one is written.
const BANK_START: u32 = (flash::FLASH_SIZE / 2) as u32;

/// In SCB's register CCR: bus faults are passed over while faults are masked.
const BFHFNMIGN: u32 = 1 << 8;

/// The chip's flash.
pub struct Flash(flash::Flash<'static, Blocking>);

impl Flash {
    /// The last five of sixteen sectors of 128 KiB.
    pub const RANGE: Range<u32> = (flash::FLASH_SIZE - 5 * SECTOR) as u32..flash::FLASH_SIZE as u32;

    pub fn new(flash: Peri<'static, FLASH>, scb: &mut SCB) -> Flash {
        // SAFETY: faults are masked only in `without_faults`, and while one is handled.
        unsafe { scb.ccr.modify(|bits| bits | BFHFNMIGN) };
        dsb();
        isb();
        Flash(flash::Flash::new_blocking(flash))
    }
}

impl ErrorType for Flash {
    type Error = Error;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = WORD;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Error> {
        if !Self::RANGE.contains(&offset) {
            return Err(Error::Size);
        }
        if !(offset as usize).is_multiple_of(WORD) || !bytes.len().is_multiple_of(WORD) {
            return Err(Error::Unaligned);
        }
        for (offset, word) in (offset..).step_by(WORD).zip(bytes.chunks_exact_mut(WORD)) {
            clear_errors();
            without_faults(|| self.0.blocking_read(offset, word))?;
            // Only this word's: the processor may have looked at the next one, too.
            let failed = usize::from(bank().far().read().fail_ecc_addr()) * WORD;
            if bank().sr().read().dbeccerr() && failed == (offset - BANK_START) as usize {
                word.fill(0);
            }
        }
        clear_errors();
        Ok(())
    }

    fn capacity(&self) -> usize {
        flash::FLASH_SIZE
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR;

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Error> {
        clear_errors();
        self.0.blocking_write(offset, bytes)
    }

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Error> {
        clear_errors();
        self.0.blocking_erase(from, to)
    }
}

/// The second bank's registers.
fn bank() -> pac::flash::Bank {
    pac::FLASH.bank(1)
}

/// Forgets earlier errors, some of which a chip that sleeps reports without cause. They stay until they are cleared here,
/// and embassy-stm32 would take them for errors of what it does next.
fn clear_errors() {
    bank().ccr().write(|clear| {
        clear.set_clr_wrperr(true);
        clear.set_clr_pgserr(true);
        clear.set_clr_strberr(true);
        clear.set_clr_incerr(true);
        clear.set_clr_operr(true);
        clear.set_clr_rdperr(true);
        clear.set_clr_rdserr(true);
        clear.set_clr_sneccerr(true);
        clear.set_clr_dbeccerr(true);
        clear.set_clr_crcrderr(true);
    });
    dsb();
}

/// Passes over a bus fault in `read`, which then has read anything.
fn without_faults<T>(read: impl FnOnce() -> T) -> T {
    // SAFETY: masks faults and interrupts; they were not masked, as no fault handler comes here.
    unsafe { asm!("cpsid f") };
    let result = read();
    dsb();
    // SAFETY: unmasks what was masked above.
    unsafe { asm!("cpsie f") };
    result
}

//! NOR flash, modelled in the board's PSRAM, which QEMU can keep in a file: see README.
//!
//! Bits are kept inverted, so that a new file, all zeros, reads as erased flash; and like flash it is erased by pages,
//! and writing only ever clears bits.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

use embedded_storage_async::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashErrorKind, ReadNorFlash,
};

const BASE: usize = 0x2100_0000;
const SIZE: usize = 64 * 1024;

/// The flash, 64 KiB in pages of 4 KiB.
pub struct Flash(());

impl Flash {
    /// Bytes.
    pub const CAPACITY: usize = SIZE;

    /// The only one.
    ///
    /// # Panics
    /// On the second call.
    pub(crate) fn take() -> Flash {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        assert!(!TAKEN.swap(true, Ordering::Relaxed), "there is one flash");
        Flash(())
    }
}

/// The cells of `range`, whose ends must be multiples of `unit`.
fn cells(range: Range<usize>, unit: usize) -> Result<impl Iterator<Item = *mut u8>, NorFlashErrorKind> {
    if range.start > range.end || range.end > SIZE {
        return Err(NorFlashErrorKind::OutOfBounds);
    }
    if !range.start.is_multiple_of(unit) || !range.end.is_multiple_of(unit) {
        return Err(NorFlashErrorKind::NotAligned);
    }
    Ok(range.map(|offset| (BASE + offset) as *mut u8))
}

/// The range of `length` bytes at `offset`.
fn range(offset: u32, length: usize) -> Range<usize> {
    offset as usize..(offset as usize).saturating_add(length)
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for (cell, byte) in cells(range(offset, bytes.len()), Self::READ_SIZE)?.zip(bytes) {
            // SAFETY: within the PSRAM, which is used by this value only.
            *byte = !unsafe { cell.read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        SIZE
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        for cell in cells(from as usize..to as usize, Self::ERASE_SIZE)? {
            // SAFETY: as for `read`.
            unsafe { cell.write_volatile(0) };
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        for (cell, byte) in cells(range(offset, bytes.len()), Self::WRITE_SIZE)?.zip(bytes) {
            // SAFETY: as for `read`.
            unsafe { cell.write_volatile(cell.read_volatile() | !byte) };
        }
        Ok(())
    }
}

/// Writing again to the same place clears further bits.
impl MultiwriteNorFlash for Flash {}

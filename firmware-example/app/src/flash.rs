//! For tests: flash whose power is cut.

use std::vec;
use std::vec::Vec;

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

const WORD: usize = 32;
/// Bytes that are erased at a time.
pub const PAGE: usize = 16 * WORD;

/// What a page may hold when the power went while it was erased.
#[derive(Clone, Copy, Debug)]
pub enum Torn {
    Zeros,
    HalfErased,
    Noise(u64),
}

/// Flash whose power is cut at one of its next operations.
pub struct Flash {
    pub bytes: Vec<u8>,
    pub left: u32,
    pub torn: Torn,
}

impl Flash {
    /// Erased, with power for long.
    pub fn new(size: usize, torn: Torn) -> Flash {
        Flash { bytes: vec![0xff; size], left: 1_000, torn }
    }

    /// Whether there is power for one more operation.
    fn power(&mut self) -> Result<(), NorFlashErrorKind> {
        self.left = self.left.checked_sub(1).ok_or(NorFlashErrorKind::Other)?;
        Ok(())
    }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = WORD;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        let power = self.power();
        let cells = &mut self.bytes[offset as usize..][..bytes.len()];
        assert!(cells.iter().all(|cell| *cell == 0xff), "a word is written once");
        match power {
            Ok(()) => cells.copy_from_slice(bytes),
            Err(_) => cells.fill(0),
        }
        power
    }

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        let power = self.power();
        let cells = &mut self.bytes[from as usize..to as usize];
        match (power, &mut self.torn) {
            (Ok(()), _) => cells.fill(0xff),
            (Err(_), Torn::Zeros) => cells.fill(0),
            (Err(_), Torn::HalfErased) => cells[..PAGE / 2].fill(0xff),
            (Err(_), Torn::Noise(state)) => {
                for cell in cells {
                    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    *cell |= (*state >> 56) as u8;
                }
            }
        }
        power
    }
}

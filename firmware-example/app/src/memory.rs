//! What outlives the power: how often the board has started, and which events it must not hear again.

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::cache::{Cache, CacheImpl};
use sequential_storage::map::{MapConfig, MapStorage};

/// Two numbers in flash, written so that a power cut at any moment leaves the old or the new ones.
///
/// They are one item: so the page that is being erased, whose contents a power cut leaves to chance, never has the newest
/// of either. That wants three pages: one that is full, the next, and the one that is erased for the time after.
pub struct Memory<F: NorFlash> {
    flash: F,
    range: Range<u32>,
    boot: u64,
    floor: u64,
}

impl<F: NorFlash> Memory<F> {
    /// The application's part of the flash: at least three erasable pages.
    pub fn new(flash: F, range: Range<u32>) -> Self {
        Memory { flash, range, boot: 0, floor: 0 }
    }

    /// The number of this start, and the Lamport time up to which events may have been handed out before. `None` if the
    /// flash can't be used: then the board has no number that it has not used, and must not take part.
    pub async fn start(&mut self) -> Option<(u64, u64)> {
        let [boot, floor] = self.map().fetch_item(&mut [0; 32], &()).await.ok()?.unwrap_or([0, 0]);
        self.boot = boot + 1;
        self.store(floor).await.then_some((self.boot, floor))
    }

    /// Makes sure that events up to this time are not handed out again after a power cut. False if it can't be.
    ///
    /// Each later time costs a write. To cover some times ahead would save most of them, but whatever others fire at those
    /// times would be lost to the next start.
    pub async fn cover(&mut self, ltime: u64) -> bool {
        ltime <= self.floor || self.store(ltime).await
    }

    async fn store(&mut self, floor: u64) -> bool {
        let numbers = [self.boot, floor];
        let stored = self.map().store_item(&mut [0; 32], &(), &numbers).await.is_ok();
        if stored {
            self.floor = floor;
        }
        stored
    }

    fn map(&mut self) -> MapStorage<(), &mut F, impl CacheImpl<()>> {
        MapStorage::new(&mut self.flash, MapConfig::new(self.range.clone()), Cache::new_uncached())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use embassy_futures::block_on;
    use embedded_storage_async::nor_flash::{ErrorType, NorFlashErrorKind, ReadNorFlash};

    use super::*;

    const WORD: usize = 32;
    const PAGE: usize = 16 * WORD;
    const FLASH: usize = 3 * PAGE;
    /// More operations than a life has: no power cut.
    const LONG: u32 = 1_000;

    /// What a page may hold when the power went while it was erased.
    #[derive(Clone, Copy, Debug)]
    enum Torn {
        Zeros,
        HalfErased,
        Noise(u64),
    }

    /// Flash whose power is cut at one of its next operations.
    struct Flash {
        bytes: Vec<u8>,
        left: u32,
        torn: Torn,
    }

    impl Flash {
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

    /// A board's lives, by turns as many operations long as `lives` says.
    fn live(torn: Torn, lives: &[u32]) {
        let mut bytes = vec![0xff; FLASH];
        let (mut last, mut covered) = (0, 0);
        for left in lives.iter().copied().cycle().take(30) {
            let mut memory = Memory::new(Flash { bytes, left, torn }, 0..FLASH as u32);
            block_on(async {
                let Some((boot, floor)) = memory.start().await else {
                    assert!(left < LONG, "with power it starts: {lives:?} {torn:?}");
                    return;
                };
                assert!(boot > last, "boot {boot} after {last}, {lives:?}, {torn:?}");
                assert!(floor >= covered, "floor {floor}, {covered} was promised, {lives:?}, {torn:?}");
                last = boot;
                for ltime in covered + 1..covered + 300 {
                    if !memory.cover(ltime).await {
                        break;
                    }
                    covered = ltime;
                }
            });
            bytes = memory.flash.bytes;
        }
    }

    #[test]
    fn a_power_cut_at_any_moment_takes_no_promise_back() {
        for first in 0..50 {
            live(Torn::Zeros, &[first, LONG]);
            for second in 0..8 {
                live(Torn::HalfErased, &[first, second, LONG]);
                live(Torn::Noise(first.into()), &[first, second, LONG]);
            }
        }
    }
}
